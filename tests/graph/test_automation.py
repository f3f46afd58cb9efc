"""When runs start by themselves, and over which partitions."""

from datetime import UTC, date, datetime

import dagster as dg
import polars as pl
import pytest

from assets.definitions import build_definitions
from assets.partitions import RANGE_END, RANGE_START
from harmony_pipeline.testing.tiny import tiny_market


def tick(pipeline, name: str, moment: datetime) -> dg.RunRequest | str:
    definitions = build_definitions(pipeline.settings, {"pipeline": pipeline})
    schedule = definitions.get_repository_def().get_schedule_def(name)
    context = dg.build_schedule_context(
        scheduled_execution_time=moment, repository_def=definitions.get_repository_def()
    )
    result = schedule.evaluate_tick(context)
    return result.run_requests[0] if result.run_requests else result.skip_message


@pytest.fixture
def pipeline(tmp_path):
    # a running market: its current period is a partition too
    return tiny_market(tmp_path, end=None)


@pytest.mark.parametrize(
    ("schedule", "clock"), [("daily_ingest", (1, 30)), ("premarket_ingest", (14, 25))]
)
def test_an_ingest_grows_the_running_period(pipeline, schedule, clock):
    request = tick(pipeline, schedule, datetime(2024, 2, 14, *clock, tzinfo=UTC))
    assert request.partition_key == "2024-02"


def test_days_on_which_nothing_ran_are_made_up_for(pipeline):
    rows = pipeline.source.bars(
        None, pipeline.trading_periods()[0].start, pipeline.trading_periods()[0].end, "30Min"
    ).with_columns(ingested_at=pl.lit(datetime(2024, 2, 1, tzinfo=UTC)))
    pipeline.lake.write("raw_bars", "2024-01", rows)
    request = tick(pipeline, "daily_ingest", datetime(2024, 3, 15, 0, 30, tzinfo=UTC))
    assert (request.tags[RANGE_START], request.tags[RANGE_END]) == ("2024-01", "2024-03")
    pipeline.lake.write("raw_bars", "2024-03", rows.clear())
    assert (
        tick(pipeline, "daily_ingest", datetime(2024, 3, 15, 0, 30, tzinfo=UTC)).partition_key
        == "2024-03"
    )


def test_a_holiday_starts_nothing_and_says_so(pipeline):
    assert "2024-02-19 is not a session" in tick(
        pipeline, "premarket_ingest", datetime(2024, 2, 19, 14, 25, tzinfo=UTC)
    )


def test_the_scan_follows_the_premarket_bars_before_the_open(pipeline):
    schedules = {
        schedule.name: schedule.cron_schedule
        for schedule in (
            build_definitions(pipeline.settings, {"pipeline": pipeline})
            .get_repository_def()
            .schedule_defs
        )
    }
    assert schedules["premarket_ingest"] == "25 9 * * *"
    assert schedules["scan_before_open"] == "28 9 * * *"
    assert (
        tick(pipeline, "scan_before_open", datetime(2024, 2, 14, 14, 28, tzinfo=UTC)).partition_key
        == date(2024, 2, 14).isoformat()
    )
