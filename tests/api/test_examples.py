"""The examples run as they stand, and the notebook is the script."""

import importlib.util
import json
import subprocess
import sys
import types
from pathlib import Path

import polars as pl
import pytest
from example_notebook import SCRIPTS, cells_of, notebook, notebook_of, run_cells

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


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_notebook_is_its_script_and_shows_what_comes_out(script):
    text = notebook_of(script).read_text()
    outputs = [cell["outputs"] for cell in json.loads(text)["cells"] if cell["cell_type"] == "code"]
    assert text == notebook(cells_of(script), outputs)
    assert sum(map(bool, outputs)) >= 3


@pytest.mark.parametrize("script", SCRIPTS, ids=lambda script: script.stem)
def test_a_notebook_runs(script, folder, monkeypatch):
    shown = []
    monkeypatch.setattr("webbrowser.open", shown.append)
    monkeypatch.setitem(sys.modules, "the_notebook", types.ModuleType("the_notebook"))
    cells = json.loads(notebook_of(script).read_text())["cells"]
    place = f"Path({str(folder)!r})"
    code = [
        "".join(cell["source"]).replace('Path(".harmony/examples")', place)
        for cell in cells
        if cell["cell_type"] == "code"
    ]
    outputs = run_cells(code, "the_notebook")
    assert sum(map(bool, outputs)) >= 3
    if script.stem == "complete_backtest":
        assert shown == [(folder / "pullback.html").resolve().as_uri()]


def test_four_months_are_too_short_for_the_gate(folder):
    """What the notebook says of itself, after it was run."""
    verdict = loaded("feature_to_gate").main(folder)
    refused = verdict.filter(~verdict["passed"])["rule"].to_list()
    assert {"days", "min_track_record"} <= set(refused)
    assert verdict.filter(pl.col("rule") == "trades")["measure"][0] > 100


def test_a_script_may_hold_its_own_strategy(folder):
    """As in `python examples/complete_backtest.py`: the class is in __main__."""
    code = "import runpy, sys, webbrowser; webbrowser.open = print; sys.argv = ['complete_backtest.py']; import os"
    run = f"os.chdir({str(folder)!r}); runpy.run_path({str(SCRIPTS[0])!r}, run_name='__main__')"
    (folder / ".harmony").mkdir(exist_ok=True)
    (folder / ".harmony" / "examples").symlink_to(folder)
    found = subprocess.run(
        [sys.executable, "-c", f"{code}; {run}"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 0, found.stderr
    assert "wrote" in found.stdout
