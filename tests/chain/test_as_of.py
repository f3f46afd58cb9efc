"""Looking back: every table, and a backtest computed again, as they were known before corrections
arrived, bit for bit.
"""

from datetime import UTC, date, datetime

import polars as pl
import pytest
from market.venue import Venue, market_over

from assets.chain import run_stages
from assets.groups import RETRAIN
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.lake import sql
from harmony_pipeline.schemas import TABLES
from harmony_pipeline.stages import backtests, ingest, market
from harmony_pipeline.stages.context import PipelineContext

pytestmark = pytest.mark.slow
RESEARCHED = (
    "raw_bars",
    "bars",
    "quarantine",
    "daily_summary",
    "features",
    "signals",
    "labels",
    "predictions",
    "folds",
)


def chain(pipeline: PipelineContext) -> None:
    run_stages(pipeline, RETRAIN)
    backtests.backtest(pipeline, list(pipeline.settings.active_strategies))


@pytest.fixture(scope="module")
def corrected(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[PipelineContext, datetime, dict[str, dict[str, str]]]:
    """A market whose February was corrected after everything had been made from it; the moment in
    between, and the hashes of then.
    """
    pipeline, venue = market_over(tmp_path_factory.mktemp("corrected"), end=date(2024, 4, 1))
    chain(pipeline)
    then, hashes = (
        datetime.now(UTC),
        {table: pipeline.lake.content_hashes(table) for table in TABLES},
    )
    rows = pipeline.lake.read("bars").filter(
        (pl.col("session") == "regular") & (pl.col("timestamp").dt.date() == date(2024, 2, 14))
    )
    venue.corrections |= {
        (symbol, stamp): close * 1.02
        for symbol, stamp, close in rows.select("symbol", "timestamp", "close").iter_rows()
    }
    ingest.raw_bars(pipeline, pipeline.trading_periods(), again=True)
    chain(pipeline)
    return pipeline, then, hashes


def looking_back(pipeline: PipelineContext, then: datetime) -> PipelineContext:
    past = PipelineContext(pipeline.settings.model_copy(update={"as_of": then}))
    past.__dict__["source"] = Venue(pipeline.source.inside)  # type: ignore[attr-defined]
    return past


def test_the_correction_went_all_the_way(corrected):
    pipeline, _, hashes = corrected
    changed = [
        table
        for table in (*RESEARCHED, "trades", "equity")
        if pipeline.lake.content_hashes(table) != hashes[table]
    ]
    assert {"raw_bars", "bars", "quarantine", "features", "labels", "equity"} <= set(changed)


def test_every_table_is_as_it_was_known_then(corrected):
    pipeline, then, hashes = corrected
    past = looking_back(pipeline, then)
    for table in TABLES:
        told = {key: _hash(past, table, key) for key in past.lake.partitions(table)}
        assert told == hashes[table], table


def _hash(pipeline: PipelineContext, table: str, key: str) -> str:
    from harmony_pipeline.lake.lake import content_hash

    return content_hash(pipeline.lake.tables[table].conform(pipeline.lake.read(table, [key])))


def test_sql_tells_the_same_past(corrected):
    pipeline, then, _ = corrected
    past = looking_back(pipeline, then)
    for table in (*RESEARCHED, "fills", "equity"):
        conform = pipeline.lake.tables[table].conform  # a view promises no order
        told = conform(sql.query(past.lake, f"select * exclude (partition) from {table}"))
        assert told.equals(past.lake.read(table)), table
        assert not told.equals(
            conform(sql.query(pipeline.lake, f"select * exclude (partition) from {table}"))
        ) or table in (
            "folds",
            "predictions",
            "signals",
            "fills",
        ), table


def test_the_stages_from_bars_to_backtest_computed_again_give_the_same_bits(corrected):
    pipeline, then, hashes = corrected
    past = looking_back(pipeline, then)
    present = {table: pipeline.lake.content_hashes(table) for table in TABLES}
    market.bars(past, past.trading_periods())
    market.daily_summary(past, past.trading_periods())
    backtests.backtest(past, list(past.settings.active_strategies))
    for table in (
        "bars",
        "quarantine",
        "daily_summary",
        "orders",
        "fills",
        "trades",
        "equity",
        "backtests",
    ):
        assert past.lake.content_hashes(table) == hashes[table], table
    assert {table: pipeline.lake.content_hashes(table) for table in TABLES} == present


def test_before_anything_was_learned_everything_is_empty(corrected):
    pipeline, _, _ = corrected
    past = looking_back(pipeline, datetime(2024, 1, 1, tzinfo=UTC))
    assert all(past.lake.read(table).is_empty() for table in TABLES)
    assert sql.query(past.lake, "select count(*) as n from bars")["n"].item() == 0


def test_nothing_is_fetched_into_the_past(corrected):
    pipeline, then, _ = corrected
    with pytest.raises(ConfigError, match="nothing can be fetched or traded in the past"):
        ingest.raw_bars(looking_back(pipeline, then), pipeline.trading_periods())
