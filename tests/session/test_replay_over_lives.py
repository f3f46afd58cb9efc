"""A day on which a security is delisted or changes its symbol is replayed like any other: the
session equals the backtest to the cent.
"""

from collections.abc import Callable
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from session.crashes import Fuse, RemoteBroker, RemoteExchange, RemoteStream
from session.day_chains import assert_same_course, run_days, together, whole_backtest
from session.days import (
    ACTIONS,
    DAYS,
    fresh_ledger,
    market,
    plan_of,
    rules,
)

from harmony_pipeline.execution.events import CancelOrder
from harmony_pipeline.market.lives import LIFE_EVENTS
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.replay import (
    day_bars,
    replay_day,
    simulated_broker,
)
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.runner import run_session

RENAMED_ON, DELISTED_ON, SILENT_FROM = date(2024, 6, 28), date(2024, 7, 2), date(2024, 7, 3)
WATCHED = ("AAA", "BBB", "CCC", "DDD")
CASES: dict[str, TradingRules] = {
    "brackets": rules("barriers"),
    "signals": rules("signal"),
    "brackets with bad luck": rules(
        "barriers", reject_probability=0.15, partial_fill_probability=0.3
    ),
    "thin": rules("barriers", max_participation=0.01),
}


def events(*rows: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=LIFE_EVENTS, orient="row")


LIVES = events(
    (RENAMED_ON, "symbol_change", "CCC", "DDD", None), (DELISTED_ON, "delisting", "BBB", None, 11.0)
)


def lived(bars: pl.DataFrame, *, split: float = 1.0) -> pl.DataFrame:
    """CCC goes on as DDD, by `split` new shares for one; BBB has no bars from its delisting on."""
    moved = (pl.col("symbol") == "CCC") & (pl.col("session_date") >= RENAMED_ON)
    prices = [
        pl.when(moved).then((pl.col(name) / split).round(2)).otherwise(name).alias(name)
        for name in ("open", "high", "low", "close")
    ]
    bars = bars.filter(
        (pl.col("symbol") != "BBB") | (pl.col("session_date") < DELISTED_ON)
    ).with_columns(*prices)
    return bars.with_columns(symbol=pl.when(moved).then(pl.lit("DDD")).otherwise("symbol")).sort(
        "symbol", "timestamp"
    )


# of these markets: every case holds CCC overnight into its change and BBB into its delisting
SEED = 12
BARS = lived(market(SEED))


Traded = Callable[[str], tuple[Ledger, list[SessionResult]]]


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> Traded:
    """The days of a case, traded once and read by several tests, with their ledger."""

    @cache
    def days_of(name: str) -> tuple[Ledger, list[SessionResult]]:
        ledger = fresh_ledger(tmp_path_factory.mktemp("days"))
        return ledger, run_days(ledger, CASES[name], BARS, lives=LIVES, watched=WATCHED)

    return days_of


@pytest.mark.parametrize("name", CASES)
def test_days_of_a_delisting_and_of_a_rename_equal_their_backtests(
    name: str, traded: Traded
) -> None:
    ledger, results = traded(name)
    facts = pl.concat(result.tables["session_events"] for result in results).filter(
        pl.col("kind") == "corporate_action_applied"
    )
    assert {"symbol_change", "delisting"} <= set(facts["detail"].str.json_path_match("$.action"))
    assert {"renamed", "delisted"} <= set(ledger.table("session_orders")["reason"].drop_nulls())
    assert "delisting" in set(together(results, "trades")["exit_reason"])
    closing = results[-1].closing.portfolio
    ended = [
        position["quantity"]
        for symbol, position in zip(closing.symbols, closing.positions, strict=True)
        if symbol in {"BBB", "CCC"}
    ]
    assert not any(ended)


def test_a_chain_of_sessions_over_a_rename_is_one_long_backtest(
    traded: Traded, tmp_path: Path
) -> None:
    chosen = CASES["brackets with bad luck"]
    ledger, results = traded("brackets with bad luck")
    whole = whole_backtest(tmp_path / "other", BARS, chosen, LIVES, watched=WATCHED)
    assert_same_course(results, whole)
    final = {
        row["order_id"]: (row["status"], row["reason"], row["parent_id"])
        for row in ledger.table("session_orders").iter_rows(named=True)
    }
    assert final == {
        row["order_id"]: (row["status"], row["reason"], row["parent_id"])
        for row in whole.orders.iter_rows(named=True)
    }
    assert {"symbol_change", "delisting"} <= set(whole.position_actions["kind"])


@pytest.mark.parametrize("filed_under", ["CCC", "DDD"])
def test_a_split_on_the_day_of_a_rename_is_booked_once_whichever_name_it_is_filed_under(
    filed_under: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    split = pl.DataFrame(
        {"symbol": [filed_under], "date": [RENAMED_ON], "kind": ["split"], "value": [2.0]},
        schema=ACTIONS.schema,
    )
    monkeypatch.setattr("session.days.ACTIONS", pl.concat([ACTIONS, split]))
    results = run_days(
        fresh_ledger(tmp_path),
        CASES["brackets"],
        lived(market(SEED), split=2.0),
        lives=LIVES,
        watched=WATCHED,
    )
    assert {"maker", "taker"} <= set(together(results, "fills")["liquidity"])


def test_a_symbol_that_falls_silent_is_given_up_in_the_session_too(tmp_path: Path) -> None:
    bars = BARS.filter((pl.col("symbol") != "AAA") | (pl.col("session_date") < SILENT_FROM))
    chosen = rules("signal", presume_delisted_after_sessions=1)
    results = run_days(fresh_ledger(tmp_path), chosen, bars, lives=LIVES, watched=WATCHED)
    assert "presumed_delisted" in set(together(results, "trades")["exit_reason"])


@pytest.mark.parametrize(
    ("ratio", "filed_under"), [(1.0, "CCC"), (2.0, "CCC"), (2.0, "DDD"), (0.3, "DDD")]
)
def test_a_broker_outside_has_renamed_overnight_and_the_session_goes_on_under_the_new_symbol(
    ratio: float, filed_under: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The broker has canceled the bracket and shows the shares under their new name, split where
    they split on that day: the books agree, and the bracket is placed again there.
    """
    split = pl.DataFrame(
        {"symbol": [filed_under], "date": [RENAMED_ON], "kind": ["split"], "value": [ratio]},
        schema=ACTIONS.schema,
    )
    monkeypatch.setattr("session.days.ACTIONS", pl.concat([ACTIONS, split]))
    chosen, ledger = CASES["brackets"], fresh_ledger(tmp_path)
    bars = lived(market(SEED), split=ratio)
    for day in DAYS:
        plan = plan_of(day, ledger, bars, chosen, watched=WATCHED, lives=LIVES)
        if day == RENAMED_ON:
            break
        replay_day(plan, bars, ledger)
    broker = simulated_broker(plan, ledger)
    held = {position.symbol: position.quantity for position in broker.positions()}["CCC"]
    row = plan.opening.portfolio.positions[plan.symbols.index("CCC")]
    levels = {float(row["stop_level"]) / ratio, float(row["take_level"]) / ratio}
    bracket = [order.client_order_id for order in broker.orders() if order.symbol == "CCC"]
    assert len(bracket) == 2
    for name in bracket:
        broker.cancel(CancelOrder(name))
    broker.rename(plan.symbols.index("CCC"), plan.symbols.index("DDD"))
    exchange = RemoteExchange(broker, plan)
    exchange.split_over_night(ACTIONS)
    exchange.split("DDD", ratio, float(row["last_price"]))
    exchange.mail.extend(broker.updates())
    result = run_session(
        plan,
        ledger,
        RemoteBroker(exchange, Fuse()),
        RemoteStream(day_bars(plan, bars), exchange),
        exchange.clock,
    )
    events = result.tables["session_events"]
    assert events.filter(pl.col("kind") == "books_reconciled")["detail"].str.json_path_match(
        "$.differences"
    ).to_list() == ["[]"]
    assert result.state == "completed"
    placed = result.orders.filter(pl.col("symbol") == "DDD").sort("timestamp").head(2)
    assert set(placed["kind"]) == {"stop", "limit"}
    kept = float(int(abs(held) * ratio + 1e-9))
    assert set(placed["quantity"]) == {kept}
    assert sorted(placed["stop_price"].fill_null(placed["limit_price"])) == pytest.approx(
        sorted(levels), abs=0.011
    )
    assert "books_differed" not in set(events["kind"])
    assert result.broker_cash == broker._cash + result.receivables.unbooked
    assert placed["parent_id"].str.contains("-CCC-").all()
    theirs = {position.symbol: position.quantity for position in broker.positions()}
    mine = dict(result.tables["session_positions"].select("symbol", "quantity").iter_rows())
    assert (mine.get("DDD", 0.0), mine.get("CCC", 0.0)) == (
        theirs.get("DDD", 0.0),
        theirs.get("CCC", 0.0),
    )
    assert "CCC" not in theirs
