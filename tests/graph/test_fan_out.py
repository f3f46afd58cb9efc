"""How the assets of a command become runs, and what a step outside this process is held to."""

import json
import socket
from types import SimpleNamespace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from assets.definitions import build_definitions
from assets.executors import broker_url, build_executor, celery_configuration
from assets.fan_out import Part, Wave, ranges, waves
from assets.groups import ASSETS, EVALUATE, RESEARCH, RETRAIN
from assets.instance import open_instance
from assets.result_files import join_results, take_results, write_result
from assets.step_context import RESULTS_TAG, SETTINGS_TAG, of_run, run_tags, settings_hash
from harmony_pipeline.cli.boundary import run_command
from harmony_pipeline.config import Settings, load_settings
from harmony_pipeline.dagster_settings import DagsterSettings
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.testing.tiny import tiny_market, tiny_settings


@given(st.integers(1, 60), st.integers(1, 9))
def test_ranges_cover_every_key_once_and_differ_by_one_at_most(keys, runs):
    names = [f"{number:03d}" for number in range(keys)]
    cut = [names[names.index(first) : names.index(last) + 1] for first, last in ranges(names, runs)]
    assert [key for part in cut for key in part] == names
    assert len(cut) == min(keys, runs)
    assert max(map(len, cut)) - min(map(len, cut)) <= 1


def test_a_fold_is_one_run_and_what_follows_from_it_is_cut():
    made = list(waves(RESEARCH.assets, ["2001", "2002", "2003"], 2))
    assert [wave.is_cut for wave in made] == [False, True]
    assert made[0].parts == (
        Part(tuple(name for name in RESEARCH.assets if name != "labels"), "2001", "2003"),
    )
    assert made[1].parts == (Part(("labels",), "2001", "2001"), Part(("labels",), "2002", "2003"))


def test_a_model_and_its_predictions_are_one_run_and_all_trials_are_counted_when_all_were_made():
    assert list(waves(RETRAIN.assets, ["a", "b"], 4)) == [
        Wave((Part(("model", "predictions"), "a", "a"), Part(("model", "predictions"), "b", "b")))
    ]
    *cut, last = waves(EVALUATE.assets, ["a", "b", "c"], 4)
    assert [part.assets for part in cut[0].parts] == [
        ("backtest", "parameter_sensitivity", "monte_carlo")
    ] * 3
    assert last == Wave((Part(("overfitting", "regime_stability"), "a", "c"),))


def test_one_partition_is_one_run_and_no_asset_is_forgotten():
    assert list(waves(EVALUATE.assets, ["only"], 4)) == [
        Wave((Part(tuple(name for name in ASSETS if name in EVALUATE.assets), "only", "only"),))
    ]
    made = [name for wave in waves(list(ASSETS), ["x", "y"], 3) for name in wave.parts[0].assets]
    assert made == list(ASSETS)


def settings(**dagster) -> DagsterSettings:
    return DagsterSettings(**dagster)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"executor": "multiproces"}, "choose of in_process, multiprocess, celery"),
        ({"storage": "postgresql://me:secret@host/db"}, "PGPASSWORD"),
        ({"storage": "mysql://host/db"}, "postgresql://user@host/database"),
        ({"broker": "redis://:secret@host/1"}, "REDIS_PASSWORD"),
        ({"broker": "redis://:sec/ret@host/1"}, "REDIS_PASSWORD"),
        ({"broker": "redis://host/1?password=secret"}, "REDIS_PASSWORD"),
        ({"storage": "postgresql://host/db?password=secret"}, "PGPASSWORD"),
        ({"broker": "redis://host:port/1"}, "cannot be read"),
        ({"broker": ""}, "redis://host:6379/1"),
        ({"queue": "two words"}, "pattern"),
    ],
)
def test_what_cannot_be_is_refused_with_what_to_write(given, said):
    with pytest.raises(ValueError, match=said) as refused:
        settings(**given)
    if "sec" in str(given):
        assert "URL holds a password" in str(refused.value)


def test_the_brokers_password_comes_from_the_environment_alone(monkeypatch):
    chosen = settings(broker="redis://harmony@host:6380/2")
    assert broker_url(chosen) == "redis://harmony@host:6380/2"
    monkeypatch.setenv("REDIS_PASSWORD", "a/b@c")
    assert broker_url(chosen) == "redis://harmony:a%2Fb%40c@host:6380/2"
    assert broker_url(settings()) == "redis://:a%2Fb%40c@127.0.0.1:6379/1"


def closed_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.mark.parametrize("service", ["worker", "session"])
def test_a_worker_without_redis_ends_with_one_line(tmp_path, monkeypatch, capfd, service):
    """Celery would ask a hundred times, for hours."""
    pytest.importorskip("dagster_celery", reason="Celery is not installed")
    broker = f"redis://127.0.0.1:{closed_port()}/1"
    file = tmp_path / "harmony.toml"
    file.write_text(f'[dagster]\nexecutor = "celery"\nbroker = "{broker}"\n')
    monkeypatch.setenv("REDIS_PASSWORD", "not-to-be-told")
    assert run_command(["--config", str(file), "service", service]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert f"no Redis answers at {broker} (" in line
    assert "start Redis there, or correct dagster.broker or REDIS_PASSWORD" in line
    assert "not-to-be-told" not in line
    assert not (tmp_path / ".harmony").exists()


def test_an_executor_of_ones_own_is_named_by_import_path():
    assert build_executor(settings(executor="dagster:in_process_executor")).name == "in_process"
    with pytest.raises(ConfigError, match="is no executor definition"):
        build_executor(settings(executor="dagster:asset"))
    with pytest.raises(ConfigError, match="there is no module"):
        build_executor(settings(executor="no_such_module:executor"))


def test_a_session_is_never_given_out_twice():
    given = celery_configuration(settings(redeliver_seconds=60))
    assert given["task_acks_late"]
    assert given["task_reject_on_worker_lost"]
    assert given["broker_transport_options"]["visibility_timeout"] == 60
    session = celery_configuration(settings(), session=True)
    assert not session["task_acks_late"]
    assert not session["task_reject_on_worker_lost"]


def test_dagster_is_told_its_storage_and_its_limits(tmp_path):
    chosen = tiny_settings(tmp_path)
    chosen = chosen.model_copy(
        update={"dagster": settings(concurrent_runs=7, max_runtime_seconds=60)}
    )
    open_instance(chosen)
    text = (tmp_path / "state" / "dagster" / "dagster.yaml").read_text()
    assert "max_concurrent_runs: 7" in text
    assert "max_runtime_seconds: 60" in text
    assert "assets.sqlite_storage" in text


def context(tags: dict[str, str]) -> SimpleNamespace:
    return SimpleNamespace(run=SimpleNamespace(tags=tags, run_id="r"))


def test_a_step_refuses_other_settings_than_those_of_whoever_asked(tmp_path):
    mine, other = tiny_market(tmp_path / "mine"), tiny_market(tmp_path / "other", timeframe="15Min")
    assert of_run(context({}), mine) is mine
    assert of_run(context(run_tags(mine)), mine).settings == mine.settings
    with pytest.raises(ConfigError, match=r"not those of whoever asked .* dagster\.queue"):
        of_run(context(run_tags(mine)), other)


def test_runs_of_schedules_carry_the_settings_where_steps_leave_and_sessions_may_last_a_day(
    tmp_path,
):
    def tags_of(executor: str, job: str) -> dict[str, str]:
        chosen = tiny_settings(tmp_path)
        chosen = chosen.model_copy(update={"dagster": settings(executor=executor)})
        return build_definitions(chosen).resolve_job_def(job).run_tags

    assert tags_of("in_process", "ingest") == {}
    expected = {SETTINGS_TAG: settings_hash(tiny_settings(tmp_path))}
    assert tags_of("multiprocess", "ingest") == expected
    assert tags_of("multiprocess", "paper_session") == {
        **expected,
        "dagster/max_runtime": str(26 * 3600),
    }


def test_how_a_run_is_executed_is_no_difference(tmp_path):
    file = tmp_path / "harmony.toml"
    file.write_text('[dagster]\nexecutor = "celery"\nqueue = "of_this_market"\n')

    def market_of(loaded: Settings):
        return SimpleNamespace(settings=loaded, again=False)

    asked = market_of(load_settings(file, {}))
    file.write_text("")
    assert run_tags(asked) == run_tags(market_of(load_settings(file, {})))


def test_a_step_is_told_to_make_again_and_leaves_what_it_had_to_show(tmp_path):
    pipeline = tiny_market(tmp_path)
    again = SimpleNamespace(settings=pipeline.settings, again=True)
    assert not of_run(context(run_tags(pipeline)), pipeline).again
    there = of_run(context(run_tags(again)), pipeline)
    assert there.again
    part = StageResult(rows={"labels": 3}, facts={"n": 3, "why": "because", "none": None})
    shown = StageResult.of({"2001": part}, notes=["a note"], facts={"share": 0.1})
    there.record("labels", shown)
    found = take_results(pipeline.settings, "r")
    assert found == {"labels": shown}
    assert take_results(pipeline.settings, "r") == {}
    assert json.loads(json.dumps(run_tags(pipeline)))[RESULTS_TAG] == "true"


def test_results_of_several_runs_are_those_of_one():
    parts = {
        str(year): StageResult(rows={"labels": year}, facts={"n": year, "set": "x"}, notes=["odd"])
        for year in (2001, 2002, 2003)
    }
    whole = StageResult.of(parts, facts={"feature set": "x"})
    first = StageResult.of({"2001": parts["2001"]}, facts={"feature set": "x"})
    rest = StageResult.of(
        {key: part for key, part in parts.items() if key != "2001"}, facts={"feature set": "x"}
    )
    assert join_results([first, rest]) == whole
    nothing = StageResult.of({"2001": StageResult(nothing="no bars")}, nothing="no bars")
    assert not join_results([nothing, rest]).nothing
    assert join_results([nothing, nothing]).nothing == "no bars"


def test_a_result_file_is_of_its_run(tmp_path):
    chosen = tiny_settings(tmp_path)
    write_result(chosen, "one", "bars", StageResult(rows={"bars": 1}))
    assert take_results(chosen, "two") == {}
    assert take_results(chosen, "one")["bars"].rows == {"bars": 1}
