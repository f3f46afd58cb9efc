"""The examples run as they stand, and the notebook is the script."""

import importlib.util
import json
import subprocess
import sys
import types
from pathlib import Path

import pytest
from example_notebook import NOTEBOOK, SCRIPT, notebook

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """One market for all, as who runs them after each other has it."""
    return tmp_path_factory.mktemp("examples")


def loaded(name: str) -> types.ModuleType:
    spec = importlib.util.spec_from_file_location(name, REPOSITORY / "examples" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["complete_backtest", "strategy_comparison"])
def test_an_example_runs_and_fits_on_a_screen(name, folder, capsys):
    page = loaded(name).main(folder)
    assert page.parent == folder
    assert "plotly.js v" in page.read_text()
    assert "sharpe" in capsys.readouterr().out
    assert len((REPOSITORY / "examples" / f"{name}.py").read_text().splitlines()) <= 65


def test_the_example_of_own_features_runs(folder, capsys):
    table = loaded("own_feature").main(folder / "features")
    assert "'tomorrow' looks ahead" in capsys.readouterr().out
    known = table.drop_nulls()
    assert known.height > 100
    assert (known["location"] - known["close_location_10"]).abs().max() < 1e-12


def test_the_notebook_is_the_script():
    assert NOTEBOOK.read_text() == notebook(SCRIPT.read_text())


def test_the_notebook_runs(folder, monkeypatch):
    shown = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    module = types.ModuleType("the_notebook")
    monkeypatch.setitem(sys.modules, "the_notebook", module)
    cells = json.loads(NOTEBOOK.read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    for text in code:
        changed = text.replace('Path(".harmony/examples")', f"Path({str(folder)!r})")
        exec(compile(changed, "notebook", "exec"), module.__dict__)
    assert shown == [(folder / "pullback.html").resolve().as_uri()]


def test_a_script_may_hold_its_own_strategy(folder):
    """As in `python examples/complete_backtest.py`: the class is in __main__."""
    code = "import runpy, sys, webbrowser; webbrowser.open = print; sys.argv = ['complete_backtest.py']; import os"
    run = f"os.chdir({str(folder)!r}); runpy.run_path({str(SCRIPT)!r}, run_name='__main__')"
    (folder / ".harmony").mkdir(exist_ok=True)
    (folder / ".harmony" / "examples").symlink_to(folder)
    found = subprocess.run(
        [sys.executable, "-c", f"{code}; {run}"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert "wrote" in found.stdout
