"""A machine with on_fill in a session: it hears what its backtest hears, in the same order, and a
session that dies in the middle of the day gives it the same again.
"""

from datetime import timedelta
from pathlib import Path

import polars as pl
import pytest
from session.crashes import Crash, CrashingLedger, Fuse, RemoteBroker, RemoteExchange, RemoteStream
from session.day_chains import run_days
from session.days import DAYS, fresh_ledger, market, plan_of, rules

from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.session.day_backtest import backtest_day
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.replay import day_bars, replay_day, simulated_broker
from harmony_pipeline.session.result import TABLES, SessionResult
from harmony_pipeline.session.runner import run_session
from harmony_pipeline.strategies.base import Stepwise
from harmony_pipeline.strategies.events import Enter, Leave, SetTimer

BARS = market()
DAY = DAYS[5]  # a half-day: few moments
CASES: dict[str, TradingRules] = {
    "signals": rules("signal"),
    "brackets with bad luck": rules(
        "barriers", reject_probability=0.15, partial_fill_probability=0.3
    ),
    "orders need time": rules("signal", latency_bars=1, late_bar_probability=0.2),
}


class Listener:
    """Goes against the last two bars. A purchase sets a timer of an hour, at which it leaves; after
    a sale it stays away from the symbol for three bars. It writes down all that it hears.
    """

    def __init__(self) -> None:
        self.heard: list[tuple] = []
        self.away: dict[str, int] = {}
        Listener.latest = self

    def required_features(self) -> tuple[str, ...]:
        return ("momentum_2",)

    def on_bar(self, bar):
        self.heard.append(("bar", bar.symbol, bar.timestamp))
        self.away[bar.symbol] = self.away.get(bar.symbol, 0) - 1
        if self.away[bar.symbol] > 0:
            return (Leave(bar.symbol),)
        return (Enter(bar.symbol, -1 if bar.features[0] > 0 else 1, 0.7),)

    def on_fill(self, fill):
        self.heard.append(("fill", fill))
        if fill.side > 0:
            return (SetTimer(fill.timestamp + timedelta(minutes=61), fill.symbol),)
        self.away[fill.symbol] = 3
        return (Leave(fill.symbol),)

    def on_timer(self, timer):
        self.heard.append(("timer", timer))
        return (Leave(timer.name),)


LISTENER = Stepwise(Listener)


@pytest.mark.parametrize("name", CASES)
def test_every_day_equals_its_backtest(name: str, tmp_path: Path) -> None:
    results = run_days(fresh_ledger(tmp_path), CASES[name], BARS, strategy=LISTENER)
    assert sum(result.fills.height > 0 for result in results) >= 5


def test_it_hears_what_its_backtest_hears_in_the_same_order(tmp_path: Path) -> None:
    ledger = fresh_ledger(tmp_path)
    heard = []
    for day in DAYS[:3]:
        plan = plan_of(day, ledger, BARS, CASES["brackets with bad luck"], strategy=LISTENER)
        result = replay_day(plan, BARS, ledger)
        live = Listener.latest.heard
        twin = backtest_day(plan, BARS)
        assert live == Listener.latest.heard
        assert sum(what == "fill" for what, *_ in live) == result.fills.height == twin.fills.height
        heard += live
    assert {what for what, *_ in heard} == {"bar", "fill", "timer"}


def test_without_its_fills_it_would_trade_otherwise(tmp_path: Path) -> None:
    ledger = fresh_ledger(tmp_path)
    plans = [
        plan_of(DAYS[0], ledger, BARS, CASES["signals"], strategy=one)
        for one in (LISTENER, Stepwise(Deaf))
    ]
    found = [backtest_day(plan, BARS) for plan in plans]
    assert not found[0].fills.equals(found[1].fills)


class Deaf:
    """The same rule, without on_fill."""

    def __init__(self) -> None:
        self.rule = Listener()

    def required_features(self) -> tuple[str, ...]:
        return self.rule.required_features()

    def on_bar(self, bar):
        return self.rule.on_bar(bar)


# --- restarts -------------------------------------------------------------------------------------


def same(one: SessionResult, other: SessionResult) -> None:
    for name in TABLES:
        assert one.tables[name].equals(other.tables[name]), name
    assert one.closing.to_dict() == other.closing.to_dict()


def points(count: int, some: int) -> list[int]:
    return sorted({1, count, *range(1, count, max(1, count // some))})


def test_a_session_that_dies_in_the_middle_of_the_day_ends_as_if_it_had_not(tmp_path: Path) -> None:
    whole = Fuse()
    with CrashingLedger(tmp_path / "whole.sqlite", whole) as ledger:
        plan = plan_of(DAY, ledger, BARS, CASES["signals"], strategy=LISTENER)
        expected = replay_day(plan, BARS, ledger)
    heard = Listener.latest.heard
    assert sum(what == "fill" for what, *_ in heard) >= 5
    for point in points(whole.steps, 10):
        path = tmp_path / f"{point}.sqlite"
        with pytest.raises(Crash), CrashingLedger(path, Fuse(point)) as ledger:
            replay_day(plan, BARS, ledger)
        with Ledger(path) as ledger:
            same(replay_day(plan, BARS, ledger), expected)
        if point < whole.steps:  # else it had ended, and nothing was heard again
            assert Listener.latest.heard == heard


def remote(plan, ledger, exchange, broker) -> SessionResult:
    stream = RemoteStream(day_bars(plan, BARS), exchange)
    return run_session(plan, ledger, broker, stream, exchange.clock)


def test_at_a_broker_outside_it_trades_as_in_its_backtest_and_survives_crashes(
    tmp_path: Path,
) -> None:
    whole = Fuse()
    with CrashingLedger(tmp_path / "whole.sqlite", whole) as ledger:
        plan = plan_of(DAY, ledger, BARS, rules("signal"), strategy=LISTENER)
        exchange = RemoteExchange(simulated_broker(plan, ledger), plan)
        expected = remote(plan, ledger, exchange, RemoteBroker(exchange, whole))
    columns = ["order_id", "symbol", "side", "quantity", "price", "fee"]
    twin = backtest_day(plan, BARS)
    assert (
        expected.fills.select(columns)
        .sort(columns)
        .equals(twin.fills.select(columns).sort(columns))
    )
    assert twin.fills.height >= 5
    for point in points(whole.steps, 12):
        path, fuse = tmp_path / f"{point}.sqlite", Fuse(point)
        with Ledger(path) as ledger:
            exchange = RemoteExchange(simulated_broker(plan, ledger), plan)
        with pytest.raises(Crash), CrashingLedger(path, fuse) as ledger:
            remote(plan, ledger, exchange, RemoteBroker(exchange, fuse))
        with Ledger(path) as ledger:
            same(remote(plan, ledger, exchange, RemoteBroker(exchange, Fuse())), expected)


def test_fills_of_a_day_are_in_the_tables_as_they_were_heard(tmp_path: Path) -> None:
    ledger = fresh_ledger(tmp_path)
    plan = plan_of(DAY, ledger, BARS, CASES["signals"], strategy=LISTENER)
    result = replay_day(plan, BARS, ledger)
    heard = [event[1] for event in Listener.latest.heard if event[0] == "fill"]
    told = pl.DataFrame(
        [(one.symbol, one.timestamp, one.quantity, one.price, one.fee) for one in heard],
        schema=["symbol", "timestamp", "quantity", "price", "fee"],
        orient="row",
    ).cast({"timestamp": pl.Datetime("us", "UTC")})
    kept = result.fills.select(told.columns)
    assert told.sort(told.columns).equals(kept.sort(told.columns))
