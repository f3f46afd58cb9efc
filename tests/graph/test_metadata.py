"""What the UI shows of a run that a command started: under its job, with a log, each partition with
its own counts and picture.
"""

from datetime import date

import dagster as dg
import pytest
from stages.short_markets import daily_rows, short_market

from assets.groups import INGEST, JOBS, SCAN
from assets.runner import Runner
from harmony_pipeline.config import load_settings
from harmony_pipeline.errors import NotReady
from harmony_pipeline.reports import sketches
from harmony_pipeline.reports.style import as_markdown

SHOWN_AT_ONCE = 1000  # characters of Markdown; Dagster hides longer values behind a link


@pytest.fixture(scope="module")
def runner(tmp_path_factory):
    folder = tmp_path_factory.mktemp("shown")
    short_market(folder, daily_rows(60), trading="month", retraining="month", end=date(2024, 4, 1))
    runner = Runner.of(load_settings(folder / "harmony.toml", {}))
    runner.run_job("ingest", "2024-01", "2024-03")
    runner.backfill("features", "2024-02", "2024-03")
    return runner


def shown(runner, asset, key=None):
    records = dg.AssetRecordsFilter(
        asset_key=dg.AssetKey(asset), asset_partitions=[key] if key else None
    )
    return (
        runner.instance.fetch_materializations(records, limit=1)
        .records[0]
        .asset_materialization.metadata
    )


def pictures(metadata):
    return [
        value.md_str
        for value in metadata.values()
        if isinstance(value, dg.MarkdownMetadataValue) and "](data:image/" in value.md_str
    ]


@pytest.mark.parametrize("asset", ["raw_bars", "bars", "quarantine", "daily_summary", "features"])
def test_each_partition_shows_its_own_rows_and_a_picture_without_a_click(runner, asset):
    table = {"quarantine": "bars"}.get(asset, asset)
    rows = {
        key: shown(runner, asset, key)[f"rows in {table}"].value
        for key in ("2024-01", "2024-02", "2024-03")
    }
    assert rows == {key: runner.pipeline.lake.read(table, [key]).height for key in rows}
    assert len(set(rows.values())) > 1
    for key in rows:
        assert any(len(picture) < SHOWN_AT_ONCE for picture in pictures(shown(runner, asset, key)))


def test_every_asset_of_an_ingest_has_a_picture_without_a_click(runner):
    empty = {"corporate_actions", "universe", "listings"}  # the file has none
    for asset in (*set(INGEST.assets) - empty, "features"):
        key = "2024-03" if runner.partition_keys(asset) else None
        assert any(
            len(picture) < SHOWN_AT_ONCE for picture in pictures(shown(runner, asset, key))
        ), asset


def test_a_period_that_the_fold_passed_over_shows_as_materialised(runner):
    assert "2024-01" in runner.instance.get_materialized_partitions(dg.AssetKey("features"))


def test_runs_stand_under_their_job_in_the_timeline_and_say_what_they_did(runner):
    runs = runner.instance.get_runs()  # other tests of this file add theirs
    assert (
        {"ingest", "research"}
        <= {run.job_name for run in runs}
        <= {"ingest", "research", "daily_scan", "evaluate"}
    )
    assert all(
        run.remote_job_origin.repository_origin.get_label() == "__repository__@harmony"
        for run in runs
    )
    (ingest,) = [run for run in runs if run.job_name == "ingest"]  # made by the fixture alone
    said = [
        line
        for entry in runner.instance.all_logs(ingest.run_id)
        if entry.dagster_event is None
        for line in entry.user_message.splitlines()
    ]
    rows = runner.pipeline.lake.read("bars", ["2024-02"]).height
    assert any(line.startswith(f"bars 2024-02: {rows} raw_bars, {rows} bars") for line in said)


def test_a_second_run_keeps_the_picture_and_says_since_when_it_is_unchanged(runner):
    before = pictures(shown(runner, "features", "2024-03"))
    runner.backfill("features", "2024-02", "2024-03")
    again = shown(runner, "features", "2024-03")
    assert again["unchanged since"].value.endswith("UTC")
    assert pictures(again) == before


def test_a_scan_by_command_leaves_its_assets_materialised(runner):
    runner.run_job("daily_scan", "2024-03-28")
    for asset in SCAN.assets:
        assert runner.instance.get_materialized_partitions(dg.AssetKey(asset)) == {"2024-03-28"}


def test_nothing_made_is_shown_and_refused_where_it_is_the_result(runner):
    runner.materialize(["backtest"], "rsi_momentum")
    assert (
        "harmony backfill research"
        in shown(runner, "backtest", "rsi_momentum")["nothing made"].value
    )
    with pytest.raises(NotReady, match="harmony backfill research"):
        runner.refuse_nothing("backtest")
    with pytest.raises(NotReady, match="harmony backfill research"):
        runner.made(["backtest"])


def test_every_job_of_the_command_line_is_a_job_of_the_graph(runner):
    for name, job in JOBS.items():
        definition = runner.definitions.resolve_job_def(name)
        assert {key.to_user_string() for key in definition.asset_layer.selected_asset_keys} == set(
            job.assets
        )


@pytest.mark.parametrize("count", [0, 1, 2, 47, 48, 49, 500])
@pytest.mark.parametrize("size", [1e-9, 1.0, 1e300])
def test_a_sketch_is_small_enough_to_be_shown_at_once(count, size):
    values = [size * ((place * 7919) % 101) for place in range(count)] + [None, float("nan")]
    for picture in (sketches.line(values), sketches.bars(values, marked=count // 2)):
        assert (
            len(as_markdown(picture, "a name of some length, as stages give them")) < SHOWN_AT_ONCE
        )
        assert picture.startswith(b"<svg")
