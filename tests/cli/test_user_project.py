"""A user's own project: modules beside the settings file, one writer at a time, the installed
package.
"""

import importlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from harmony_pipeline.cli.boundary import run_command
from harmony_pipeline.config import load_settings
from harmony_pipeline.run_lock import AlreadyRunning, run_lock

ROOT = Path(__file__).resolve().parents[2]
STRATEGY = '''"""Long above the average of the day before."""

from harmony_pipeline.strategies.crossover import MovingAverageCrossover


class {name}(MovingAverageCrossover):
    """Ours."""
'''
SETTINGS = """
[paths]
lake = "lake"
state = "state"
[market]
start = 2024-01-02
end = 2024-03-01
[market.simulated]
symbols = 2
low_float_symbols = 0
[strategies.own]
use = "{module}:{name}"
parameters = {{ fast = 3, slow = 9 }}
[session]
strategy = "own"
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("HARMONY_CONFIG", "")
    monkeypatch.setattr(sys, "path", list(sys.path))
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "own_rules.py").write_text(STRATEGY.format(name="Own"))
    (folder / "mine.toml").write_text(SETTINGS.format(module="own_rules", name="Own"))
    yield folder
    sys.modules.pop("own_rules", None)


def test_a_module_beside_the_settings_works_in_the_command_from_any_folder(
    project, tmp_path, monkeypatch, capfd
):
    monkeypatch.chdir(tmp_path)
    assert run_command(["--config", "project/mine.toml", "models"]) == 0, capfd.readouterr().err
    assert importlib.import_module("own_rules").__file__ == str(project / "own_rules.py")


def test_what_is_installed_comes_before_a_module_beside_the_settings(project):
    (project / "polars.py").write_text("raise RuntimeError('not the real one')\n")
    load_settings(project / "mine.toml", {})
    assert sys.path[-1] == str(project)
    before = list(sys.path)
    load_settings(project / "mine.toml", {})
    assert sys.path == before


def test_the_code_location_of_the_ui_finds_it_too(project, tmp_path):
    program = (
        "import json, sys, importlib\ndefs ="
        " importlib.import_module('assets.definitions').defs()\nprint(json.dumps(sorted(key.to_user_string()"
        " for key in defs.resolve_asset_graph().get_all_asset_keys())), flush=True)\n"
        "import os; os._exit(0)\n"  # objects of Dagster take a second to take apart
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(ROOT),
        "HARMONY_CONFIG": str(project / "mine.toml"),
    }
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=elsewhere,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert "signals" in json.loads(found.stdout)


def test_a_second_writer_is_refused_at_once_and_readers_go_on(project, monkeypatch, capfd):
    monkeypatch.chdir(project)
    with run_lock(load_settings("mine.toml", {}), "run"):
        for verb in (["ingest"], ["run"], ["backfill", "bars"], ["replay"]):
            assert run_command(["--config", "mine.toml", *verb]) == 1
            line = capfd.readouterr().err.strip()
            assert (
                f"is in use by `harmony --config mine.toml run`, process {os.getpid()} on " in line
            )
            assert "\n" not in line
        assert run_command(["--config", "mine.toml", "sql", "select 1", "--format", "csv"]) == 0
        assert run_command(["--config", "mine.toml", "models"]) == 0
    assert run_command(["--config", "mine.toml", "backfill", "universe"]) == 0


def test_two_markets_that_share_a_lake_do_not_write_it_together(project):
    first = load_settings(project / "mine.toml", {})
    second = load_settings(project / "mine.toml", {"HARMONY__PATHS__STATE": "other"})
    with run_lock(first, "run"):
        with (
            pytest.raises(AlreadyRunning, match=r"the lake .*/lake is in use by"),
            run_lock(second, "ingest"),
        ):
            pass
        third = load_settings(
            project / "mine.toml",
            {"HARMONY__PATHS__STATE": "other", "HARMONY__PATHS__LAKE": "other_lake"},
        )
        with run_lock(third, "ingest"):
            pass


def test_a_lock_that_a_dead_process_left_is_taken_over(project):
    settings = load_settings(project / "mine.toml", {})
    settings.state_root.mkdir(parents=True)
    (settings.state_root / "run.lock").write_text(
        '{"pid": 1, "host": "gone", "since": "2020", "verb": "run"}'
    )
    with run_lock(settings, "ingest"):
        assert json.loads((settings.state_root / "run.lock").read_text())["pid"] == os.getpid()
    with run_lock(settings, "ingest"):
        pass


# --- the installed package ------------------------------------------------------------------------


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files as the wheel lays them out, by what pyproject.toml says of it, with their byte code
    as an installer leaves them.
    """
    target = tmp_path_factory.mktemp("site")
    wheel = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["hatch"]["build"][
        "targets"
    ]["wheel"]
    assert wheel["packages"] == ["harmony_pipeline"]
    shutil.copytree(ROOT / "harmony_pipeline", target / "harmony_pipeline")
    for source, place in wheel["force-include"].items():
        assert place.startswith("harmony_pipeline/bundled/")
        if (ROOT / source).is_dir():
            shutil.copytree(ROOT / source, target / place)
        else:
            shutil.copy(ROOT / source, target / place)
    return target


def test_an_installed_package_brings_its_graph_and_sql_under_one_name(project, tmp_path, site):
    assert sorted(path.name for path in site.iterdir()) == ["harmony_pipeline"]
    program = (
        "import json, sys\nfrom harmony_pipeline.cli.boundary import run_command\nassert"
        " run_command(['sql', 'gaps_by_symbol', '--format', 'json']) == 0\nfrom harmony_pipeline"
        " import project_paths\nimport assets.runner\nfrom assets.definitions import defs\nimport assets,"
        " resources, yaml\nkeys = defs().resolve_asset_graph().get_all_asset_keys()\nplace ="
        " yaml.safe_load(project_paths.WORKSPACE_FILE.read_text())['load_from'][0]['python_module']\nprint(json.dumps([assets.__file__,"
        " resources.__file__, str(project_paths.SQL_FOLDER), place['module_name'], len(keys)]),"
        " flush=True)\nimport os; os._exit(0)\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(site),
        "HARMONY_CONFIG": str(project / "mine.toml"),
    }
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    answer = found.stdout.strip().splitlines()
    assert answer[0] == "[]"
    *places, module, count = json.loads(answer[-1])
    assert all(place.startswith(str(site / "harmony_pipeline" / "bundled")) for place in places)
    assert module == "assets.definitions"
    assert count > 25


@pytest.mark.slow
def test_dagster_loads_the_graph_of_an_installed_package_from_any_folder(project, tmp_path, site):
    program = (
        "import subprocess, sys\nfrom harmony_pipeline.project_paths import WORKSPACE_FILE,"
        " let_children_import_graph\nlet_children_import_graph()\ncommand = [sys.executable, '-m',"
        " 'dagster', 'definitions', 'validate', '-w',"
        " str(WORKSPACE_FILE)]\nsys.exit(subprocess.run(command, check=False).returncode)\n"
    )
    environment = {
        **os.environ,
        "PYTHONPATH": str(site),
        "HARMONY_CONFIG": str(project / "mine.toml"),
        "DAGSTER_HOME": str(tmp_path),
    }
    found = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 0, found.stderr
    assert "Validation successful for code location harmony" in found.stdout + found.stderr


def test_a_run_without_a_settings_file_says_that_its_market_is_simulated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from assets.runner import Runner

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Runner, "chain", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
    assert run_command(["run"]) == 130
    assert (
        "there is no harmony.toml here, so this runs the embedded simulated market"
        in capsys.readouterr().err
    )
