"""Several strategies on one account at the exchange, through alpaca-py: what the replayed session
of the same day does, and never an order that Alpaca would take for a wash trade.
"""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

import polars as pl
import pytest
from exchange.exchange_world import venue
from session.days import fresh_ledger

from harmony_pipeline.exchange.refusals import Refused
from harmony_pipeline.execution.events import PositionAdopted, StrategyStopped
from harmony_pipeline.portfolio.kernel_types import MONEY
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.schemas import CORPORATE_ACTIONS
from harmony_pipeline.session import crossing_orders, order_manager
from harmony_pipeline.session.day_backtest import backtest_day
from harmony_pipeline.session.day_plan import plan_portfolio_day
from harmony_pipeline.session.divergence import compare
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.opening import opening_of
from harmony_pipeline.session.plan import MemberPlan, SessionPlan
from harmony_pipeline.session.replay import replay_day
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.session_replay import replay_session
from harmony_pipeline.testing.crashes import Crash, CrashingLedger, Fuse
from harmony_pipeline.testing.stepped_day import (
    CALENDAR,
    DAY,
    FEATURES,
    OPEN,
    SYMBOLS,
    Contrarian,
    Happening,
    SteppedWorld,
    trading_rules,
)

RULES = trading_rules(max_position=0.4, max_gross_exposure=3.0, max_net_exposure=3.0)
COLUMNS = ["order_id", "strategy", "timestamp", "side", "quantity", "price", "fee", "liquidity"]


class Trend(Contrarian):
    """With the last two bars."""

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        return super().signals(features).with_columns(side=-pl.col("side"))


def members(exits: tuple[str, str, str], horizon: int) -> tuple[MemberPlan, ...]:
    own = [replace(RULES, barriers=one == "barriers", horizon=horizon) for one in exits]
    return (
        MemberPlan("slow", Contrarian(0.006), own[0]),
        MemberPlan("fast", Contrarian(0.002), own[1]),
        MemberPlan("against", Trend(0.009), own[2]),
    )


def planner(
    exits: tuple[str, str, str] = ("barriers",) * 3, horizon: int = 500
) -> Callable[[Ledger, TradingRules], SessionPlan]:
    """Brackets that end positions, without a vertical barrier within the day."""

    def plan(ledger: Ledger, chosen: TradingRules) -> SessionPlan:
        return plan_portfolio_day(
            DAY, opening_of(ledger, "paper", DAY, chosen.initial_cash), SYMBOLS,
            portfolio="together", members=members(exits, horizon), weights=(0.4, 0.3, 0.3),
            feature_set=FEATURES, feature_states={}, calendar=CALENDAR, timeframe="1Min",
            actions=CORPORATE_ACTIONS.empty(),
        )  # fmt: skip

    return plan


def fills_of(result: SessionResult) -> pl.DataFrame:
    return result.fills.select(COLUMNS).sort(COLUMNS)


def kinds(result: SessionResult) -> list[str]:
    return result.tables["session_events"]["kind"].to_list()


def test_a_day_at_the_exchange_is_the_replayed_day_and_the_backtest(tmp_path: Path) -> None:
    plan = planner()
    with SteppedWorld(5, tmp_path, minutes=40, rules=RULES, plan=plan) as world:
        here, there = fresh_ledger(tmp_path / "a"), fresh_ledger(tmp_path / "b")
        replayed = replay_day(plan(here, RULES), world.bars, here)
        assert compare(replayed, backtest_day(plan(here, RULES), world.bars)).equal
        result = world.session(there)
        assert world.differences(result) == []
    assert fills_of(result).equals(fills_of(replayed))
    assert result.fills["strategy"].n_unique() == 3
    for name in ("session_positions", "session_equity"):
        ours = result.tables[name].drop("session_id")
        assert ours.equals(replayed.tables[name].drop("session_id")), name
    assert result.trades.equals(replayed.trades)
    orders = result.orders.select("order_id", "strategy", "status", "quantity")
    assert orders.equals(replayed.orders.select(orders.columns))
    # somebody held what another one held, and the broker counted both as one position
    shared = result.fills.group_by("symbol").agg(pl.col("strategy").n_unique())
    assert shared["strategy"].max() > 1  # type: ignore[operator]
    again = replay_session(plan(there, RULES), world.bars, there, tmp_path / "again.sqlite")
    assert again.equal, again.summary()


def test_fees_of_every_strategy_may_be_booked_later(tmp_path: Path) -> None:
    free = {"fee_per_share": 0.0, "sell_fee_bps": 0.0}
    unpaid = replace(RULES, costs=RULES.costs.model_copy(update=free))
    with SteppedWorld(
        5, tmp_path, minutes=40, rules=RULES, plan=planner(), exchange_rules=unpaid
    ) as world:
        result = world.session(fresh_ledger(tmp_path / "a"))
        more = world.exchange.venue.books.cash - result.broker_cash
    fees = result.fills.group_by("strategy").agg(pl.col("fee").sum())
    assert fees.filter(pl.col("fee") > 0).height == 3
    assert more == round(fees["fee"].sum() * MONEY) == result.receivables.uncharged
    assert "books_differed" not in kinds(result)


@pytest.mark.parametrize(
    ("exits", "horizon", "seed"),
    [(("signal", "barriers", "signal"), 6, 4), (("signal", "barriers", "barriers"), 3, 3)],
)
def test_strategies_that_cross_wait_for_each_other_and_are_never_refused(
    exits: tuple[str, str, str], horizon: int, seed: int, tmp_path: Path, monkeypatch: Any
) -> None:
    """One leaves what another one enters at the same moment; without the rule it is refused."""
    plan = planner(exits, horizon)

    def session(name: str) -> SessionResult:
        folder = tmp_path / name
        folder.mkdir()
        ledger = fresh_ledger(folder)
        with SteppedWorld(seed, folder, minutes=36, rules=RULES, plan=plan) as world:
            result = world.session(ledger)
            assert world.differences(result) == []
        again = replay_session(plan(ledger, RULES), world.bars, ledger, folder / "again.sqlite")
        assert again.equal, again.summary()
        return result

    result = session("with the rule")
    assert crossings(result) > 0
    assert result.fills["strategy"].n_unique() > 1
    assert "rejected" not in kinds(result)
    for module in (crossing_orders, order_manager):
        monkeypatch.setattr(module, "crossing_orders", lambda *_: [])
    events = session("without").tables["session_events"]
    rejected = events.filter(pl.col("kind") == "rejected")["detail"]
    assert rejected.len() > 0
    assert rejected.str.contains("potential wash trade").all()


def crossings(result: SessionResult) -> int:
    """Entries that were decided at a moment at which another strategy left the other way."""
    kept = result.orders.filter(pl.col("status") != "refused").with_columns(
        role=pl.col("order_id").str.split("-").list.last()
    )
    exits = kept.filter(pl.col("role") == "exit")
    entries = kept.filter(pl.col("role") == "entry")
    both = entries.join(exits, on=["symbol", "timestamp"], suffix="_exit").filter(
        (pl.col("strategy") != pl.col("strategy_exit")) & (pl.col("side") != pl.col("side_exit"))
    )
    return both.height


def test_what_the_rule_keeps_from_alpaca_is_refused_there() -> None:
    """The exchange answers as ALPACA does: an open exit and an entry of the other side are a wash
    trade; what a bracket holds is no hindrance, since its legs are a complex order.
    """
    made = venue()

    def order(name: str, side: str, quantity: int, **more: Any) -> dict[str, Any]:
        usual = {"symbol": "AAPL", "type": "market", "time_in_force": "day"}
        return {**usual, "client_order_id": name, "side": side, "qty": str(quantity), **more}

    made.submit(order("one-entry", "buy", 20))
    made.submit(order("two-entry", "buy", 10))
    made.advance()
    assert made.books.shares("AAPL") == 30
    legs = {"take_profit": {"limit_price": "110"}, "stop_loss": {"stop_price": "90"}}
    made.submit(order("one-legs", "sell", 20, type="limit", time_in_force="gtc",
                      order_class="oco", **legs))  # fmt: skip
    made.submit(order("three-entry", "buy", 5))  # beside the bracket of another
    made.cancel(made.named("three-entry").id)
    made.submit(order("two-exit", "sell", 10))
    with pytest.raises(Refused, match="potential wash trade detected"):
        made.submit(order("three-again", "buy", 5))
    with pytest.raises(Refused, match="insufficient qty available"):
        made.submit(order("too-much", "sell", 1))  # the bracket holds the rest


def test_a_session_that_dies_anywhere_ends_in_the_same_books(tmp_path: Path) -> None:
    plan = planner(("signal", "barriers", "barriers"), horizon=6)

    def world(name: str) -> SteppedWorld:
        (tmp_path / name).mkdir()
        return SteppedWorld(3, tmp_path / name, minutes=32, rules=RULES, plan=plan)

    whole = Fuse()
    with world("whole") as there, CrashingLedger(tmp_path / "whole.sqlite", whole) as ledger:
        expected = there.session(ledger, whole)
        assert there.differences(expected) == []
    for point in (whole.steps // 3, whole.steps // 2, 4 * whole.steps // 5):
        path, fuse = tmp_path / f"{point}.sqlite", Fuse(point)
        with world(str(point)) as there:
            with pytest.raises(Crash), CrashingLedger(path, fuse) as ledger:
                there.session(ledger, fuse)
            with Ledger(path) as ledger:
                found = there.session(ledger)
            assert there.differences(found) == []
        assert fills_of(found).equals(fills_of(expected))
        assert found.shares == expected.shares


def test_shares_that_somebody_else_traded_are_given_to_strategies_and_the_sum_is_right(
    tmp_path: Path,
) -> None:
    """Bought: the first strategy's. Sold: out of what the last one holds, then of the one before."""
    hands = [
        Happening(24, 2, {"kind": "trade_by_hand", "symbol": name, "side": side, "quantity": count})
        for name, side, count in (("AAA", "buy", 7), ("BBB", "sell", 5), ("CCC", "sell", 9_000))
    ]
    plan, ledger = planner(), fresh_ledger(tmp_path)
    with SteppedWorld(5, tmp_path, minutes=30, rules=RULES, plan=plan, happenings=hands) as world:
        result = world.session(ledger)
        assert world.differences(result) == []
        venue = world.exchange.venue
        there = {name: float(shares) for name, shares in venue.books.holdings() if shares}
    assert result.shares == there
    adopted = [
        event for _, event in ledger.events(result.session_id) if isinstance(event, PositionAdopted)
    ]
    assert {event.strategy for event in adopted} <= {"slow", "fast", "against"}
    assert len({event.symbol for event in adopted}) > 1
    for event in adopted:  # never over zero, but for the first one
        assert event.quantity_before * event.quantity_after >= 0.0 or event.strategy == "slow"
    again = replay_session(plan(ledger, RULES), world.bars, ledger, tmp_path / "again.sqlite")
    assert again.equal, again.summary()


class Failing(Contrarian):
    """Raises, or does not come back, at the bars of a certain minute."""

    def __init__(self, threshold: float, release: threading.Event | None) -> None:
        super().__init__(threshold)
        self._release, self._asked = release, list[datetime]()

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        if features["timestamp"].max() >= FAILS_AT:  # type: ignore[operator]
            self._asked.append(FAILS_AT)
            if self._release is None:
                raise ZeroDivisionError("a strategy with a fault")
            self._release.wait(30.0)
        return super().signals(features)


FAILS_AT = OPEN + timedelta(minutes=23)


def test_a_strategy_that_hangs_is_stopped_like_one_that_raises_and_the_others_go_on(
    tmp_path: Path,
) -> None:
    """Orders, fills and equity are those of the day on which it raises; what was recorded is
    replayed, and continued after a crash, without asking it again.
    """
    release = threading.Event()
    plain = planner(("signal", "barriers", "barriers"), horizon=6)

    def day(name: str, gate: threading.Event | None, point: int = 0) -> "Lived":
        folder = tmp_path / name
        folder.mkdir()
        failing = Failing(0.002, gate)

        def plan(ledger: Ledger, chosen: TradingRules) -> SessionPlan:
            found = plain(ledger, chosen)
            first, second, third = found.members
            return replace(found, members=(first, replace(second, strategy=failing), third))

        path, fuse = folder / "ledger.sqlite", Fuse()
        with SteppedWorld(
            3, folder, minutes=32, rules=RULES, plan=plan, strategy_seconds=2.0
        ) as world:
            if point:
                dies = Fuse(point)
                with pytest.raises(Crash), CrashingLedger(path, dies) as broken:
                    world.session(broken, dies)
            ledger = CrashingLedger(path, fuse)
            result = world.session(ledger, fuse)
            assert world.differences(result) == []
        return Lived(result, ledger, plan(ledger, RULES), world.bars, failing, fuse.steps)

    expected, hung = day("raises", None), day("hangs", release)
    session_id = hung.result.session_id
    [stopped] = [
        event for _, event in hung.ledger.events(session_id) if isinstance(event, StrategyStopped)
    ]
    assert (stopped.strategy, stopped.hung, stopped.happened_at) == ("fast", True, FAILS_AT)
    assert "no answer to the bars of 14:53" in stopped.reason
    assert fills_of(hung.result).equals(fills_of(expected.result))
    after = hung.result.fills.filter(pl.col("timestamp") > FAILS_AT)
    assert "slow" in set(after["strategy"])
    equity, there = (
        each.result.tables["session_equity"].drop("session_id") for each in (hung, expected)
    )
    assert equity.equals(there)
    again = replay_session(hung.plan, hung.bars, hung.ledger, tmp_path / "again.sqlite")
    assert again.equal, again.summary()
    assert hung.failing._asked == [FAILS_AT]
    crashed = day("crashes", release, point=hung.steps - 20)
    assert crashed.failing._asked == [FAILS_AT]
    assert fills_of(crashed.result).equals(fills_of(expected.result))
    release.set()
    for lived in (expected, hung, crashed):
        lived.ledger.close()


class Lived(NamedTuple):
    """A day, and what it left."""

    result: SessionResult
    ledger: Ledger
    plan: SessionPlan
    bars: pl.DataFrame
    failing: Failing
    steps: int
