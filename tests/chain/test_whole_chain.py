"""Laws of the whole chain, on one small simulated market: no look-ahead, same tables twice, session
equals backtest.
"""

import re
from datetime import datetime
from pathlib import Path

import polars as pl
import pytest

from assets.chain import run_stages
from assets.groups import RETRAIN
from harmony_pipeline.cli.lineage import lineage
from harmony_pipeline.errors import DataError
from harmony_pipeline.lake import sql
from harmony_pipeline.reports.style import small_pictures
from harmony_pipeline.schemas import TABLES
from harmony_pipeline.stages import (
    backtests,
    ingest,
    interactive_reports,
    live,
    market,
    models,
    research,
    robustness,
    scanner,
    tear_sheets,
)
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.testing.recompute_backtests import recompute
from harmony_pipeline.testing.tiny import tiny_settings

pytestmark = pytest.mark.slow
# Nothing went wrong, nothing was fetched from a venue or read from files, and no ticks were asked
# for: tests/market and tests/ticks fill these.
MAY_BE_EMPTY = {
    "news",
    "news_quarantine",
    "news_scores",
    "news_words",
    "sizing_policies",
    "cost_calibration",
    "execution_stress",
    "cross_validation",
    "drift",
    "corporate_actions",
    "quarantine",
    "quality_warnings",
    "coverage",
    "file_accounts",
    "bar_grid",
    "listings",
    "quote_ticks",
    "trade_ticks",
    "tick_counts",
    "tick_quarantine",
    "gaps",
    "verdicts",
}
UNEQUAL_BY_NATURE = {"session_events"}  # their detail holds the wall clock


def small_market(folder) -> PipelineContext:
    """The tiny market, with so many sessions that a position travels from one to the next."""
    settings = tiny_settings(folder)
    session = settings.session.model_copy(update={"replay_days": 6})
    return PipelineContext(settings.model_copy(update={"session": session}))


@pytest.fixture(scope="module")
def first_run(tmp_path_factory) -> tuple[PipelineContext, dict[str, StageResult]]:
    """A market with everything made, and what its assets had to show."""
    pipeline = small_market(tmp_path_factory.mktemp("first"))
    return pipeline, run_stages(pipeline)


@pytest.fixture(scope="module")
def finished(first_run) -> PipelineContext:
    return first_run[0]


def hashes(pipeline: PipelineContext) -> dict[str, dict[str, str]]:
    return {
        table: pipeline.lake.content_hashes(table)
        for table in TABLES
        if table not in UNEQUAL_BY_NATURE
    }


def test_every_stage_leaves_rows(finished):
    empty = [table for table in TABLES if finished.lake.read(table).is_empty()]
    assert set(empty) <= MAY_BE_EMPTY


def test_every_picture_of_every_asset_can_be_drawn(first_run):
    drawn, drawings = [], {}
    for asset, result in first_run[1].items():
        for one in (result, *result.parts.values()):
            for picture in one.pictures.values():
                if isinstance(picture, bytes):
                    drawn.append(picture)
                else:  # many partitions have the same kind of picture: that of the last is drawn
                    drawings[asset, picture.function] = picture
    with small_pictures():  # as the UI shows them
        drawn += [drawing() for drawing in drawings.values()]
    assert all(picture.startswith((b"<svg", b"\x89PNG")) for picture in drawn)
    assert sum(picture.startswith(b"\x89PNG") for picture in drawn) > 8


def test_two_runs_from_scratch_give_identical_tables(finished, tmp_path):
    again = small_market(tmp_path)
    run_stages(again)
    assert hashes(again) == hashes(finished)


def test_running_again_on_what_is_there_changes_nothing(finished):
    before = hashes(finished)
    run_stages(finished, RETRAIN)
    assert hashes(finished) == before


def moment_of(pipeline: PipelineContext) -> datetime:
    """Inside the last retraining period, in the middle of a session."""
    period = pipeline.retraining_periods()[-1]
    stamps = (
        pipeline.lake.scan("bars", [period.key])
        .filter(pl.col("session") == "regular")
        .select("timestamp")
        .unique()
        .sort("timestamp")
        .collect()["timestamp"]
    )
    return stamps[len(stamps) // 2]


def known_before(pipeline: PipelineContext, moment: datetime) -> dict[str, pl.DataFrame]:
    """What each table said that was known by `moment`."""
    known = pl.col("timestamp") + pipeline.bar <= moment
    day = pl.lit(moment).dt.date()
    read = pipeline.lake.read
    return {
        "bars": read("bars").filter(known),
        "features": read("features").filter(known),
        "regimes": read("regimes").filter(pl.col("known_at") <= moment),
        "signals": read("signals").filter(known),
        "labels": read("labels").filter(pl.col("end_timestamp") <= moment),
        "predictions": read("predictions").filter(known),
        "scan_candidates": read("scan_candidates").filter(pl.col("date") < day),
        "scan_selections": read("scan_selections").filter(pl.col("date") < day),
        "fills": without_book(read("fills").filter(known), "order_id", "fill_id"),
        "trades": without_book(
            read("trades").filter(pl.col("exit_timestamp") + pipeline.bar <= moment), "trade_id"
        ),
        "equity": read("equity").filter(known).drop("backtest_id"),
    }


def without_book(rows: pl.DataFrame, *ids: str) -> pl.DataFrame:
    """Rows of backtests whose ids say what happened, and not in which backtest."""
    return rows.with_columns(
        pl.col(name).str.strip_prefix(pl.col("backtest_id") + "-") for name in ids
    ).drop("backtest_id")


def disturbed(bars: pl.DataFrame, moment: datetime) -> pl.DataFrame:
    """The same bars with every price and volume from `moment` on changed, differently in each
    row.
    """
    wave = 1.0 + 0.3 * ((pl.int_range(pl.len()) * 7919) % 101) / 101.0
    changed = [
        pl.when(pl.col("timestamp") >= moment)
        .then(pl.col(name) * wave)
        .otherwise(pl.col(name))
        .alias(name)
        for name in ("open", "high", "low", "close", "volume")
    ]
    return bars.with_columns(changed)


def test_changing_every_bar_after_a_moment_moves_nothing_known_before_it(finished, tmp_path):
    moment = moment_of(finished)
    changed = small_market(tmp_path)
    market.corporate_actions(changed)
    market.universe(changed)
    periods = changed.trading_periods()
    ingest.raw_bars(changed, periods)
    for period in periods:
        changed.lake.write(
            "raw_bars", period.key, disturbed(changed.lake.read("raw_bars", [period.key]), moment)
        )
    market.bars(changed, periods)
    market.daily_summary(changed, periods)
    for stage in (research.features, research.regimes, research.signals, research.labels):
        stage(changed, periods)
    models.model(changed, changed.retraining_periods())
    models.predictions(changed, changed.retraining_periods())
    strategies = list(changed.settings.active_strategies)
    backtests.backtest(changed, strategies)
    days = market.sessions_with_bars(changed)
    scanned = [
        day for day in days if day.isoformat() in finished.lake.partitions("scan_candidates")
    ]
    scanner.scan(changed, scanned)
    assert not changed.lake.read("bars").equals(finished.lake.read("bars"))
    ours, theirs = known_before(finished, moment), known_before(changed, moment)
    for table, frame in ours.items():
        assert frame.height, table
        assert frame.equals(theirs[table]), table


def test_a_replayed_session_equals_the_backtest_of_the_day_to_the_cent(finished):
    days = [day.isoformat() for day in live.replayed_days(finished)]
    assert len(days) >= 5
    compared = finished.lake.read("divergence", days)
    assert compared.filter(pl.col("kind") == "fill").height >= 5
    assert compared.filter(pl.col("kind") == "order")["session_id"].n_unique() >= 3
    assert compared.filter(~pl.col("equal")).is_empty()


def test_every_backtest_is_recomputed_to_the_cent_by_a_naive_ledger(finished):
    found = list(recompute(finished))
    assert len(found) == finished.lake.read("backtests").height > 1
    assert all(one.counts["fills"] for one in found)
    assert [one.differences for one in found] == [[]] * len(found)


def test_positions_travel_from_session_to_session(finished):
    held = finished.lake.read("session_positions")
    assert held.height


def test_ids_are_unique_over_the_lake_and_every_exit_has_its_entry(finished):
    orders, placed = finished.lake.read("orders"), finished.lake.read("session_orders")
    everything = pl.concat([orders["order_id"], placed["order_id"]])
    assert orders["backtest_id"].n_unique() > 2
    assert everything.is_unique().all()
    for name, key in (("fills", "fill_id"), ("trades", "trade_id"), ("session_fills", "fill_id")):
        assert finished.lake.read(name)[key].is_unique().all()
    exits = orders.filter(pl.col("parent_id").is_not_null())
    entries = orders.select("backtest_id", "model_id", parent_id="order_id")
    found = exits.join(entries, on=["backtest_id", "parent_id"], how="left", suffix="_of_entry")
    assert found.height > 20
    assert found["model_id"].equals(found["model_id_of_entry"])
    assert set(placed["parent_id"].drop_nulls()) <= set(placed["order_id"])


def test_lineage_is_of_the_order_s_own_strategy_and_leads_to_its_model(finished):
    orders = finished.lake.read("orders").join(
        finished.lake.read("backtests").select("backtest_id", "strategy"), on="backtest_id"
    )
    shared = orders.filter(
        pl.struct("symbol", "timestamp").is_duplicated() & (pl.col("status") == "filled")
    )
    # decisions that several strategies made, whose orders had one name before
    assert shared["strategy"].n_unique() > 1
    filled = orders.filter(pl.col("status") == "filled")
    chosen = pl.concat(
        [shared.head(3), filled.unique(["strategy", "kind"], keep="last", maintain_order=True)]
    )
    for order in chosen.iter_rows(named=True):
        found = lineage(finished, order["order_id"])
        assert found["orders"]["backtest_id"].unique().to_list() == [order["backtest_id"]]
        assert found["orders"]["order_id"][0] == order["order_id"]
        assert set(found["fills"]["backtest_id"]) == {order["backtest_id"]}
        assert set(found["signals"]["strategy"]) == {order["strategy"]}
        assert found["signals"].height == found["features"].height == 1
        uses_model = finished.settings.strategies[order["strategy"]].uses_model
        assert found["models"].height == found["predictions"].height == int(uses_model)
        assert found["bars"].height == found["raw_bars"].height == 3


def test_the_example_of_the_readme_leads_to_a_model(finished):
    query = re.search(
        r'lineage "\$\(.*? sql "(select [^"]*)"', Path("README.md").read_text(encoding="utf-8")
    ).group(1)
    found = lineage(finished, sql.query(finished.lake, query).item())
    assert found["models"].height == found["predictions"].height == 1
    assert found["orders"].height == 2  # an exit and its entry


def test_lineage_of_a_session_s_order_leads_to_its_model(finished):
    placed = finished.lake.read("session_orders").filter(
        pl.col("parent_id").is_not_null() & (pl.col("status") == "filled")
    )
    found = lineage(finished, placed["order_id"][0])
    assert found["session_orders"].height == 2
    assert found["models"].height == found["features"].height == 1
    assert set(found["signals"]["strategy"]) == {finished.settings.session.strategy}
    with pytest.raises(DataError, match="no order 'nowhere'"):
        lineage(finished, "nowhere")


def test_predictions_lie_outside_what_their_model_was_trained_on(finished):
    folds = finished.lake.read("folds").drop_nulls("model_id")
    joined = finished.lake.read("predictions").join(
        folds, on=["model_id", "period", "horizon"], how="left", maintain_order="left"
    )
    assert joined["test_start"].null_count() == 0
    assert joined.filter(
        (pl.col("timestamp") < pl.col("test_start"))
        | (pl.col("train_last_end") > pl.col("train_end"))
    ).is_empty()


def test_robustness_and_the_gate_leave_their_evidence(finished):
    strategies = list(finished.settings.active_strategies)
    assert set(finished.lake.read("overfitting")["strategy"]) == set(strategies)
    assert finished.lake.read("trials")["strategy"].n_unique() == len(strategies)
    rules = finished.lake.read("promotions")
    assert rules.height >= 8
    assert rules["decided_at"].n_unique() == 1
    assert robustness.monte_carlo(finished, strategies).rows["monte_carlo"] > 0


def test_reports_are_written(finished):
    path = tear_sheets.write_tear_sheet(finished, finished.settings.session.strategy)
    sheet = Path(path).read_text()
    trades = Path(path).with_name(f"{finished.settings.session.strategy}-trades.html")
    assert "<html" in sheet
    assert trades.name in sheet
    assert "<html" in trades.read_text()
    pages = interactive_reports.write_comparison(finished)
    strategies = list(finished.settings.active_strategies)
    assert [page.name for page in pages] == [
        "comparison.html",
        *(f"{name}-interactive.html" for name in strategies),
    ]
    comparison = pages[0].read_text()
    for name, page in zip(strategies, pages[1:], strict=True):
        assert page.name in comparison
        row = finished.lake.read("backtests", [name]).row(0, named=True)
        assert f"{row['sharpe']:,.2f}" in page.read_text()
    before = pages[1].read_bytes()
    interactive_reports.write_interactive_page(finished, strategies[0])
    assert pages[1].read_bytes() == before
