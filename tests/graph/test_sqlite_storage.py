"""Dagster's storage with one engine a database: the same files, and nothing left open."""

from pathlib import Path

import dagster as dg
import pytest
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from assets.instance import dagster_home, open_instance
from assets.sqlite_storage import open_event_log
from harmony_pipeline.testing.tiny import tiny_settings


@dg.asset
def counted() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"rows": 3})


@dg.asset
def broken() -> None:
    raise dg.Failure("no bars")


def run(instance: dg.DagsterInstance, *assets: dg.AssetsDefinition) -> str:
    with open_event_log(instance):
        done = dg.materialize(assets, instance=instance, raise_on_error=False)
    return done.run_id


def of_this_process(folder: Path) -> list[str]:
    links = [link for link in Path("/proc/self/fd").iterdir() if link.is_symlink()]
    return [name for link in links if (name := str(link.readlink())).startswith(str(folder))]


def test_dagsters_own_storage_reads_the_events_of_every_run(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path)
    instance = open_instance(settings)
    runs = [run(instance, counted), run(instance, broken), run(instance, counted)]
    events = {one: [each.dagster_event_type for each in instance.all_logs(one)] for one in runs}
    own = SqliteEventLogStorage(str(dagster_home(settings) / "history" / "runs"))
    for one in runs:
        assert [each.dagster_event_type for each in own.get_logs_for_run(one)] == events[one]
    assert dg.DagsterEventType.ASSET_MATERIALIZATION in events[runs[0]]
    assert events[runs[1]][-1] == dg.DagsterEventType.RUN_FAILURE
    assert own.has_asset_key(dg.AssetKey("counted"))


def test_runs_that_dagsters_own_storage_kept_are_still_there(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = tiny_settings(tmp_path)
    home = dagster_home(settings)
    home.mkdir(parents=True)
    monkeypatch.setenv("DAGSTER_HOME", str(home))
    before = run(dg.DagsterInstance.get(), counted)
    instance = open_instance(settings)
    after = run(instance, counted)
    assert {each.run_id for each in instance.get_runs()} == {before, after}
    assert len(list(instance.all_logs(before))) == len(list(instance.all_logs(after)))


def test_no_database_stays_open_after_a_run(tmp_path: Path) -> None:
    instance = open_instance(tiny_settings(tmp_path))
    run(instance, counted)
    run(instance, broken)
    assert of_this_process(tmp_path) == []
