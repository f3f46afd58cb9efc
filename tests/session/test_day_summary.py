"""The day in one table, and why it left its backtest."""

import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from session.days import DAYS, fresh_ledger, market, plan_of, rules

from harmony_pipeline.backtest.simulator import BacktestResult
from harmony_pipeline.session.day_backtest import backtest_day
from harmony_pipeline.session.day_summary import day_summary, latencies, slippage_against_model
from harmony_pipeline.session.divergence import compare
from harmony_pipeline.session.divergence_causes import bars_heard, first_cause, with_causes
from harmony_pipeline.session.replay import replay_day
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.text import duration

BARS = market()


@pytest.fixture(scope="module")
def day(tmp_path_factory: pytest.TempPathFactory) -> tuple[SessionResult, BacktestResult]:
    with fresh_ledger(tmp_path_factory.mktemp("day")) as ledger:
        plan = plan_of(DAYS[0], ledger, BARS, rules("barriers"))
        return replay_day(plan, BARS, ledger), backtest_day(plan, BARS)


def changed(tested: BacktestResult, table: str, rows: pl.DataFrame) -> BacktestResult:
    return replace(tested, **{table: rows})


def first_row(column: str, change: Any) -> pl.Expr:
    return pl.when(pl.int_range(pl.len()) == 0).then(change).otherwise(column).alias(column)


def causes(session: SessionResult, tested: BacktestResult, **bars: Any) -> pl.DataFrame:
    heard = bars_heard(session.tables["session_events"])
    return with_causes(compare(session, tested).table, heard, bars.get("known", heard))


def test_an_equal_day_has_no_cause(day: tuple[SessionResult, BacktestResult]) -> None:
    assert first_cause(causes(*day)) is None


@pytest.mark.parametrize(
    ("table", "changes", "cause"),
    [
        ("fills", [first_row("fee", pl.col("fee") + 0.01)], "fee"),
        ("fills", [first_row("price", pl.col("price") + 0.01)], "fill"),
        ("fills", [first_row("timestamp", pl.col("timestamp") + timedelta(minutes=7))], "timing"),
        ("orders", [first_row("quantity", pl.col("quantity") + 1.0)], "signal"),
        ("orders", [first_row("status", pl.lit("rejected"))], "reject"),
        ("equity", [first_row("equity", pl.col("equity") + 1.0)], "data"),
    ],
)
def test_each_cause_is_named(
    day: tuple[SessionResult, BacktestResult], table: str, changes: list[pl.Expr], cause: str
) -> None:
    session, tested = day
    other = changed(tested, table, getattr(tested, table).with_columns(changes))
    found = causes(session, other)
    assert found.height > 0
    assert first_cause(found) == cause
    # what follows in equity follows from it
    assert set(found["cause"]) == {cause}


def test_a_bar_that_was_not_heard_is_data(day: tuple[SessionResult, BacktestResult]) -> None:
    session, tested = day
    known = bars_heard(session.tables["session_events"])
    known[min(known)] += 1
    other = changed(
        tested,
        "orders",
        tested.orders.with_columns(first_row("quantity", pl.col("quantity") + 1.0)),
    )
    assert first_cause(causes(session, other, known=known)) == "data"


def test_an_order_that_only_one_side_decided_is_a_signal(
    day: tuple[SessionResult, BacktestResult],
) -> None:
    session, tested = day
    found = causes(session, changed(tested, "orders", tested.orders.tail(-1)))
    assert first_cause(found) == "signal"


def test_slippage_against_the_model_is_what_was_paid_more(
    day: tuple[SessionResult, BacktestResult],
) -> None:
    session, tested = day
    cheaper = pl.when(pl.col("side") == "buy").then(-0.01).otherwise(0.01)
    other = changed(tested, "fills", tested.fills.with_columns(price=pl.col("price") + cheaper))
    worse, matched = slippage_against_model(compare(session, other).table)
    assert matched == session.fills.height
    assert worse == pytest.approx(0.01 * session.fills["quantity"].sum())


def test_the_table_has_profit_fills_latency_and_comparison(
    day: tuple[SessionResult, BacktestResult],
) -> None:
    session, tested = day
    divergence = compare(session, tested).table
    heard = bars_heard(session.tables["session_events"])
    table = dict(day_summary(session, 50_000.0, divergence, heard).iter_rows())
    profit = float(session.equity.sort("timestamp")["equity"][-1]) - 50_000.0
    assert table["profit and loss"] == f"{profit:,.2f}"
    assert table["fills"] == str(session.fills.height)
    assert table["slippage against the model"].startswith("+0.00 in")
    assert table["discrepancies"] == "0"
    assert table["divergence from the backtest"] == f"none in {divergence.height} rows"
    assert table["decision to answer"].startswith("median 0 ms")
    uncompared = dict(day_summary(session, None, None, {}).iter_rows())
    assert uncompared["divergence from the backtest"] == "not compared"
    assert uncompared["profit and loss"] == "-"


@pytest.mark.parametrize(
    ("milliseconds", "written"),
    [
        (0.0, "0 ms"),
        (999.4, "999 ms"),
        (9_000.0, "9.0 s"),
        (89_900.0, "89.9 s"),
        (900_000.0, "15 min"),
        (5_400_000.0, "1.5 h"),
    ],
)
def test_latencies_are_written_in_the_unit_that_people_would_use(
    milliseconds: float, written: str
) -> None:
    assert duration(milliseconds) == written


def test_latencies_are_of_orders_that_were_answered(
    day: tuple[SessionResult, BacktestResult],
) -> None:
    events = day[0].tables["session_events"]
    later = events.with_columns(
        known_at=pl.when(pl.col("kind") == "submitted")
        .then(pl.col("known_at") + timedelta(milliseconds=40))
        .when(pl.col("kind") == "accepted")
        .then(pl.col("known_at") + timedelta(seconds=9))
        .otherwise("known_at")
    )
    found = latencies(later)
    sent = day[0].orders.filter(pl.col("status") != "refused").height
    assert found.height == sent
    assert found["sent"].max() <= 40.0
    assert found["sent"].mean() > 0.0


def test_the_summary_is_on_the_page(day: tuple[SessionResult, BacktestResult]) -> None:
    from harmony_pipeline.reports.daily_report import DailyReport, daily_report

    session, tested = day
    heard = bars_heard(session.tables["session_events"])
    summary = day_summary(session, 50_000.0, compare(session, tested).table, heard)
    page = daily_report(DailyReport(session.date, session.session_id, summary=summary))
    assert "The day in one table" in page
    assert "slippage against the model" in page


def test_a_page_without_a_summary_has_no_empty_table(tmp_path: Path) -> None:
    from harmony_pipeline.reports.daily_report import DailyReport, daily_report

    assert "The day in one table" not in daily_report(DailyReport(DAYS[0], "s"))


def test_executions_of_a_broker_are_of_the_bars_in_which_they_happened(
    day: tuple[SessionResult, BacktestResult],
) -> None:
    """Stamped by its clock, and each in two parts at two prices that have the same mean."""
    session, tested = day
    parts = []
    for number, (share, move) in enumerate(((0.25, 0.03), (0.75, -0.01)), 1):
        name = pl.format("{}-{}", "fill_id", pl.lit(number))
        parts.append(
            session.fills.with_columns(
                fill_id=name,
                timestamp=pl.col("timestamp") + timedelta(minutes=9 * number, microseconds=7),
                quantity=pl.col("quantity") * share,
                fee=pl.col("fee") * share,
                price=pl.col("price") + move,
            )
        )
    fills = pl.concat(parts).sort("timestamp")
    tables = session.tables | {"session_fills": fills}
    table = compare(replace(session, tables=tables), tested).table.filter(pl.col("kind") == "fill")
    same = compare(session, tested).table.filter(pl.col("kind") == "fill")
    assert table["key"].equals(same["key"])
    assert table["timestamp"].equals(same["timestamp"])
    for here, there in table.select("live", "backtest").iter_rows():
        live, backtest = json.loads(here), json.loads(there)
        assert live == pytest.approx(backtest, abs=1e-9)
    moved = fills.with_columns(pl.col("timestamp") + timedelta(minutes=30))
    later = replace(session, tables=session.tables | {"session_fills": moved})
    assert "timing" in set(causes(later, tested).filter(pl.col("kind") == "fill")["cause"])
