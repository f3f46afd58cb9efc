"""`harmony new`: what it writes passes its own test and runs, and nothing is overwritten."""

import os
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from harmony_pipeline.cli.boundary import run_command
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.features import catalog

ROOT = Path(__file__).resolve().parents[2]
SETTINGS = """
[paths]
lake = "lake"
state = "state"
[market]
timeframe = "30Min"
start = 2024-01-02
end = 2024-03-01
[market.simulated]
symbols = 2
low_float_symbols = 1
[monte_carlo]
paths = 200
[overfitting]
bootstrap_reps = 100
[scanner]
use = "my_scanner:MyScanner"
minimum_price = 1.0
run_days = 5
"""


@pytest.fixture
def project(tmp_path, monkeypatch):
    monkeypatch.setenv("HARMONY_CONFIG", "")
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(catalog, "_BY_KIND", dict(catalog._BY_KIND))
    folder = tmp_path / "project"
    folder.mkdir()
    (folder / "mine.toml").write_text(SETTINGS)
    monkeypatch.chdir(folder)
    yield folder
    for name in ("my_rule", "my_machine", "my_scanner", "my_location"):
        sys.modules.pop(name, None)


def harmony(*words):
    return run_command(["--config", "mine.toml", *words])


def lines_to_add(told):
    return told.partition("add to ")[2].partition(":\n\n")[2].partition("\n\nnext:")[0]


def test_what_is_scaffolded_passes_its_own_tests_and_runs(project, capfd):
    """All in one market: a strategy, a machine, an indicator that the strategy's market computes,
    and a scanner.
    """
    asked = (
        ("strategy", "my_rule"),
        ("strategy", "my_machine", "--machine"),
        ("feature", "my_location"),
        ("scanner", "my_scanner"),
    )
    told = {}
    for words in asked:
        assert harmony("new", *words) == 0
        told[words[1]] = capfd.readouterr().out
        assert sorted(path.name for path in project.glob(f"*{words[1]}*")) == [
            f"{words[1]}.md", f"{words[1]}.py", f"test_{words[1]}.py",
        ]  # fmt: skip
        assert "next:\n  python -m pytest " in told[words[1]]
    assert "harmony --config mine.toml backtest my_rule" in told["my_rule"]
    names = ("my_rule", "my_machine", "my_location")  # the scanner is chosen already
    added = "\n".join(lines_to_add(told[name]) for name in names)
    assert "add to the table [scanner] of " in told["my_scanner"]  # which a file can have once
    assert lines_to_add(told["my_scanner"]) == 'use = "my_scanner:MyScanner"'
    (project / "mine.toml").write_text(SETTINGS + added)
    assert set(tomllib.loads(added)["strategies"]) == {"my_rule", "my_machine"}

    chosen = {"PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"}
    environment = {**os.environ, **chosen}
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(project)],
        cwd=project,
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert tests.returncode == 0, tests.stdout
    assert "passed" in tests.stdout

    for words in (
        ("backfill", "research"),
        ("backtest", "my_rule"),
        ("backtest", "my_machine"),
        ("scan",),
    ):
        assert harmony(*words) == 0, capfd.readouterr().err
    capfd.readouterr()
    query = "select b.strategy, count(*) > 0 as traded from trades t join backtests b using (backtest_id) group by all order by 1"
    assert harmony("sql", query, "--format", "csv") == 0
    assert capfd.readouterr().out.split() == ["strategy,traded", "my_machine,true", "my_rule,true"]
    query = "select count(my_location_10) > 1000 as known, min(my_location_10) >= 0 as low, max(my_location_10) <= 1 as high from features"
    assert harmony("sql", query, "--format", "csv") == 0
    assert capfd.readouterr().out.split() == ["known,low,high", "true,true,true"]


@pytest.mark.parametrize("exists", ["my_rule.py", "test_my_rule.py", "my_rule.md"])
def test_nothing_is_overwritten_and_nothing_is_written_beside_it(project, capfd, exists):
    (project / exists).write_text("mine")
    assert harmony("new", "strategy", "my_rule") == 2
    assert f"{exists} exists and is not overwritten" in capfd.readouterr().err
    assert [path.name for path in sorted(project.glob("*my_rule*"))] == [exists]
    assert (project / exists).read_text() == "mine"


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (("strategy", "My Rule"), "cannot be the name of a module: use lower-case"),
        (("strategy", "../rule"), "cannot be the name of a module"),
        (("strategy", "class"), "cannot be the name of a module"),
        (("strategy", "polars"), "a module 'polars' is installed already"),
        (("strategy", "meta_labelled"), "the settings have 'meta_labelled' already"),
        (("feature", "my_location_10"), "numbers are parameters"),
        (("indicator", "x"), "No such command 'indicator'"),
    ],
)
def test_a_name_that_cannot_be_is_refused(project, capfd, words, reason):
    assert harmony("new", *words) == 2
    assert reason in capfd.readouterr().err
    assert [path.name for path in project.iterdir()] == ["mine.toml"]


INDICATOR = """
from harmony_pipeline.features.catalog import Indicator
from harmony_pipeline.kernel import kernel

def slow(bars, state, parameters, values):
    values[:] = 1.0

fast = kernel(slow)
GOOD = Indicator("constant", (), fast, lambda: 0, "one")
SLOW = Indicator("constant", (), slow, lambda: 0, "not compiled")
TAKEN = Indicator("rsi", ("N",), fast, lambda n: 0, "taken")
NUMBERED = Indicator("rsi2", ("N",), fast, lambda n: 0, "numbered")
NOTHING = 3
"""


def test_an_own_indicator_has_the_hash_of_its_kernel_as_version(project, monkeypatch):
    # byte code is told apart by second and size of the source, and both are the same here
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    (project / "my_location.py").write_text(INDICATOR)
    monkeypatch.syspath_prepend(project)
    found = catalog.register_own("my_location:GOOD")
    assert catalog.FeatureSet.of(["constant"]).columns[0].indicator == found
    before = catalog.FeatureSet.of(["constant"]).hash
    (project / "my_location.py").write_text(INDICATOR.replace("= 1.0", "= 2.0"))
    sys.modules.pop("my_location")
    catalog.register_own("my_location:GOOD")
    assert catalog.FeatureSet.of(["constant"]).hash != before, (
        "saved states of the old one do not fit"
    )


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("SLOW", "decorate it with harmony_pipeline.kernel.kernel"),
        ("TAKEN", "kind 'rsi' is taken"),
        ("NUMBERED", "must be lower-case letters and _"),
        ("NOTHING", "is int and no harmony_pipeline.features.catalog.Indicator"),
        ("ABSENT", "my_location has no ABSENT"),
    ],
)
def test_an_own_indicator_that_cannot_be_is_refused(project, monkeypatch, name, reason):
    (project / "my_location.py").write_text(INDICATOR)
    monkeypatch.syspath_prepend(project)
    with pytest.raises(ConfigError, match=reason):
        catalog.register_own(f"my_location:{name}")
