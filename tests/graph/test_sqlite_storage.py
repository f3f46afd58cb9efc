"""Dagster's storage with one engine a database: the same files, and nothing left open."""

import sqlite3
from contextlib import closing
from pathlib import Path

import dagster as dg
import pytest
from dagster._core.events import ASSET_EVENTS
from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

from assets.empty_databases import _empty, _is_whole, _kept
from assets.instance import dagster_home, open_instance
from assets.sqlite_storage import open_databases
from harmony_pipeline.files import write_bytes
from harmony_pipeline.testing.tiny import tiny_settings


@dg.asset
def counted() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"rows": 3})


@dg.asset
def broken() -> None:
    raise dg.Failure("no bars")


def run(instance: dg.DagsterInstance, *assets: dg.AssetsDefinition) -> str:
    with open_databases(instance):
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


def test_each_home_has_an_id_of_its_own(tmp_path: Path) -> None:
    instances = [open_instance(tiny_settings(tmp_path / name)) for name in ("one", "other")]
    assert len({each.run_storage.get_run_storage_id() for each in instances}) == 2


def test_no_database_stays_open_after_a_run(tmp_path: Path) -> None:
    instance = open_instance(tiny_settings(tmp_path))
    run(instance, counted)
    run(instance, broken)
    assert of_this_process(tmp_path) == []


@dg.asset(partitions_def=dg.StaticPartitionsDefinition(["a", "b", "c"]))
def parted(context: dg.AssetExecutionContext) -> dg.MaterializeResult[None]:
    context.log.info("three partitions")
    for key in context.partition_keys:
        context.add_asset_metadata({"key": key}, partition_key=key)
    return dg.MaterializeResult(tags={"made": "here"})


@dg.asset(deps=[parted])
def after() -> dg.MaterializeResult[None]:
    return dg.MaterializeResult(metadata={"rows": 3})


@dg.asset_check(asset=parted)
def is_whole() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=True, metadata={"rows": 3})


@dg.asset_check(asset=after)
def is_empty() -> dg.AssetCheckResult:
    return dg.AssetCheckResult(passed=False)


def facts_of(instance: dg.DagsterInstance) -> tuple[object, ...]:
    """What the storage tells of a run over three partitions, but for ids and times."""
    tags = {"dagster/asset_partition_range_start": "a", "dagster/asset_partition_range_end": "c"}
    with open_databases(instance):
        graph = dg.Definitions([parted, after], asset_checks=[is_whole, is_empty])
        job = graph.resolve_implicit_global_asset_job_def()
        done = job.execute_in_process(instance=instance, tags=tags)
    events = list(instance.all_logs(done.run_id))
    found = instance.fetch_materializations(dg.AssetKey("parted"), limit=10).records
    (record,) = instance.get_asset_records([dg.AssetKey("parted")])
    latest = record.asset_entry.last_materialization_record
    assert latest is not None
    assert latest.storage_id == found[0].storage_id
    assert record.asset_entry.last_run_id == done.run_id
    statuses = instance.fetch_run_status_changes(dg.DagsterEventType.RUN_SUCCESS, limit=9).records
    checks = instance.event_log_storage.get_latest_asset_check_execution_by_key(
        [is_whole.check_key, is_empty.check_key]
    )
    return (
        [(each.dagster_event_type, each.get_dagster_event().partition)
         if each.is_dagster_event else each.user_message for each in events],
        [(each.partition_key, each.asset_materialization.metadata["key"].value,
          each.asset_materialization.tags["made"]) for each in found if each.asset_materialization],
        latest.partition_key,
        instance.get_materialized_partitions(dg.AssetKey("parted")),
        instance.event_log_storage.get_asset_check_summary_records([is_whole.check_key]).keys(),
        [(key, each.status, each.evaluation and each.evaluation.passed)
         for key, each in sorted(checks.items())],
        [each.event_log_entry.dagster_event_type for each in statuses],
        [each.status for each in instance.get_runs()],
    )  # fmt: skip


def test_the_storage_tells_what_dagsters_own_tells(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ours = facts_of(open_instance(tiny_settings(tmp_path / "ours")))
    monkeypatch.setenv("DAGSTER_EVENT_BATCH_SIZE", "0")
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "own"))
    own = dg.DagsterInstance.get()
    assert type(own.event_log_storage) is SqliteEventLogStorage
    assert facts_of(own) == ours
    assert ours[3] == {"a", "b", "c"}
    assert len(ours[5]) == 2  # type: ignore[arg-type]


def seen_from_outside(folder: Path, run_id: str) -> list[dg.DagsterEventType | None]:
    """Kinds of the events of a run that another process finds."""
    with closing(sqlite3.connect(folder / "history" / "runs" / f"{run_id}.db")) as connection:
        rows = connection.execute("select dagster_event_type from event_logs order by id")
        return [kind and dg.DagsterEventType(kind) for (kind,) in rows]


def test_nothing_waits_while_a_step_works_or_when_the_run_has_ended(tmp_path: Path) -> None:
    settings = tiny_settings(tmp_path)
    instance = open_instance(settings)
    home, seen = dagster_home(settings), []

    @dg.asset(deps=[counted])
    def watching(context: dg.AssetExecutionContext) -> None:
        seen.extend(seen_from_outside(home, context.run.run_id))

    with open_databases(instance):
        done = dg.materialize([counted, watching], instance=instance)
        ended = seen_from_outside(home, done.run_id)
    assert seen.count(dg.DagsterEventType.STEP_START) == 2
    assert seen.count(dg.DagsterEventType.ASSET_MATERIALIZATION) == 1
    assert seen == ended[: len(seen)]
    assert dg.DagsterEventType.RUN_SUCCESS in ended
    assert len(ended) == len(list(instance.all_logs(done.run_id)))


def test_who_reads_sees_the_events_that_waited(tmp_path: Path) -> None:
    instance = open_instance(tiny_settings(tmp_path))
    with open_databases(instance):
        run_id = run(instance, counted)
        before = instance.all_logs(run_id)
        instance.report_engine_event("one more", run_id=run_id, job_name="job")
        assert len(instance.all_logs(run_id)) == len(before) + 1


def test_an_event_that_cannot_be_stored_takes_no_other_with_it(tmp_path: Path) -> None:
    instance = open_instance(tiny_settings(tmp_path))
    run_id = run(instance, counted)
    before = len(instance.all_logs(run_id))
    with pytest.raises(UnicodeEncodeError), open_databases(instance):
        for text in ("before", "half a letter", "after"):
            step = "\ud800" if text == "half a letter" else "step"
            instance.report_engine_event(text, run_id=run_id, job_name="job", step_key=step)
    said = [each.message for each in instance.all_logs(run_id)][before:]
    assert said == ["before", "after"]


def test_a_batch_that_fails_leaves_nothing_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    instance = open_instance(tiny_settings(tmp_path))
    events = instance.event_log_storage
    run_id = run(instance, counted)
    kept = events.get_logs_for_run(run_id)
    made = [each for each in kept if each.dagster_event_type in ASSET_EVENTS]

    def fails(*_arguments: object) -> None:
        raise RuntimeError("the disk is full")

    monkeypatch.setattr(events, "_store_asset_event", fails)
    with pytest.raises(RuntimeError, match="the disk is full"):
        events.store_event_batch([*made, *made])
    monkeypatch.undo()
    assert len(events.get_logs_for_run(run_id)) == len(kept)
    assert len(instance.fetch_materializations(dg.AssetKey("counted"), limit=10).records) == 1
    events.store_event_batch([*made, *made])
    assert len(events.get_logs_for_run(run_id)) == len(kept) + 2 * len(made)


def test_an_empty_database_is_the_one_that_dagster_makes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own").mkdir()
    monkeypatch.setenv("DAGSTER_HOME", str(tmp_path / "own"))
    dg.DagsterInstance.get()
    settings = tiny_settings(tmp_path / "ours")
    open_instance(settings)
    for place in ("history/runs.db", "history/runs/index.db", "schedules/schedules.db"):
        assert content_of(dagster_home(settings) / place) == content_of(tmp_path / "own" / place)


def content_of(path: Path) -> dict[str, object]:
    """Definitions and rows of a database, but for moments."""
    with closing(sqlite3.connect(path)) as connection:
        tables = connection.execute("select name, sql from sqlite_master order by name").fetchall()
        names = [name for name, text in tables if text and text.startswith("CREATE TABLE")]
        return {
            "definitions": tables,
            **{name: [[value for value in row if ":" not in str(value)] for row in
                      connection.execute(f"select * from {name}")] for name in names},
        }  # fmt: skip


@pytest.mark.parametrize("kept", [b"", b"SQLite format 3\0 and no more", None])
def test_a_kept_database_that_is_not_whole_is_made_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bytes | None
) -> None:
    monkeypatch.setenv("HARMONY_KERNEL_CACHE", str(tmp_path / "cache"))
    if kept is not None:
        for database in ("runs", "schedules", "index", "run"):
            write_bytes(_kept(database), kept)
    _empty.cache_clear()
    try:
        instance = open_instance(tiny_settings(tmp_path))
        assert list(instance.all_logs(run(instance, counted)))
    finally:
        _empty.cache_clear()
    assert all(_is_whole(file.read_bytes()) for file in (tmp_path / "cache" / "dagster").iterdir())


@pytest.mark.parametrize("missing", ["alembic_version", "instance_info"])
def test_a_database_without_version_or_table_is_left_to_dagster(
    tmp_path: Path, missing: str
) -> None:
    settings = tiny_settings(tmp_path)
    before = run(open_instance(settings), counted)
    for file in dagster_home(settings).rglob("*.db"):
        with closing(sqlite3.connect(file)) as connection:
            connection.execute(f"drop table if exists {missing}")
    instance = open_instance(settings)
    assert instance.run_storage.get_run_storage_id()
    assert list(instance.all_logs(before))
    assert list(instance.all_logs(run(instance, counted)))
