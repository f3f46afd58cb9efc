"""Every asset and check is inside the boundary: a failure is one line for Dagster, and the command
gets the error itself.
"""

import inspect
import json

import dagster as dg
import pytest

from assets.definitions import build_definitions
from assets.runner import Runner
from harmony_pipeline.cli.boundary import run_command
from harmony_pipeline.errors import DataError
from harmony_pipeline.market.sources.simulated import SimulatedSource
from harmony_pipeline.testing.tiny import tiny_settings

SECRET = "hunter2-is-secret"


def test_no_asset_and_no_check_is_outside_the_boundary(tmp_path):
    definitions = build_definitions(tiny_settings(tmp_path))
    everything = [*definitions.assets, *definitions.asset_checks]
    assert len(everything) > 25
    for definition in everything:
        assert definition.op.compute_fn.decorated_fn.inside_boundary


@pytest.mark.parametrize(
    ("error", "line"),
    [
        (
            DataError("a.csv row 3: close is 'x': write a number"),
            "a.csv row 3: close is 'x': write a number",
        ),
        (
            KeyError(f"nobody foresaw {SECRET}"),
            "something failed that Harmony did not foresee: KeyError",
        ),
        (
            type("PanicException", (BaseException,), {"__module__": "pyo3_runtime"})("index"),
            "a library failed inside (index)",
        ),
        (MemoryError(), "the machine has no memory left"),
    ],
    ids=["refusal", "unforeseen", "panic", "memory"],
)
def test_a_failing_asset_shows_one_line_and_raises_its_own_error(
    tmp_path, monkeypatch, error, line
):
    monkeypatch.setenv("BROKER_TOKEN", SECRET)

    def fail(_work):
        raise error

    monkeypatch.setattr(SimulatedSource, "universe", fail)
    runner = Runner.of(tiny_settings(tmp_path))
    with pytest.raises(type(error)):
        runner.materialize(["universe"])
    run = runner.instance.get_runs(limit=1)[0]
    failed = [
        record
        for record in runner.instance.all_logs(run.run_id)
        if record.dagster_event and record.dagster_event.is_step_failure
    ]
    data = failed[0].dagster_event.step_failure_data
    assert data.user_failure_data.description.startswith(line)
    assert SECRET not in str(data)
    assert ("log" in data.user_failure_data.metadata) is not isinstance(error, DataError)


def test_a_check_that_fails_inside_is_one_line_too(tmp_path):
    definitions = build_definitions(tiny_settings(tmp_path))
    check = next(one for one in definitions.asset_checks if "bars_are_sound" in str(one.op.name))
    function = check.op.compute_fn.decorated_fn
    assert list(inspect.signature(function).parameters) == ["context", "pipeline"]
    with pytest.raises(dg.Failure, match="AttributeError"):
        function(None, None)


def test_the_command_writes_an_assets_failure_once(tmp_path, monkeypatch, capfd):
    (tmp_path / "mine.toml").write_text(
        '[paths]\nlake = "lake"\nstate = "state"\n[market]\nstart = 2024-01-02\nend = 2024-03-01\n'
    )
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARMONY_CONFIG", "")

    def fail(_work):
        raise RuntimeError("the one and only")

    monkeypatch.setattr(SimulatedSource, "universe", fail)
    assert run_command(["--config", "mine.toml", "backfill", "universe"]) == 1
    shown = capfd.readouterr().err.strip().splitlines()
    assert shown[-1].endswith(
        f"RuntimeError: the one and only (log: {tmp_path}/state/logs/harmony.jsonl)"
    )
    assert not [line for line in shown if "Traceback" in line]
    text = (tmp_path / "state" / "logs" / "harmony.jsonl").read_text()
    assert text.count("Traceback (most recent call last)") == 1
    line = next(one for one in map(json.loads, text.splitlines()) if one["event"] == "failure")
    assert line["asset"] == "universe"
    assert line["command"] == "backfill"
    assert len(line["run"]) == 36
    assert line["seconds"] >= 0.0
