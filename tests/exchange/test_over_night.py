"""A position that is held over night at the exchange: its bracket works on, and the session of the
next day takes both over.
"""

from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from session.days import fresh_ledger

from harmony_pipeline.exchange.local_server import Fault
from harmony_pipeline.execution.events import (
    BooksDiffered,
    BooksReconciled,
    Event,
    OrderIntended,
)
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.schemas import CORPORATE_ACTIONS
from harmony_pipeline.session.day_plan import plan_day, states_before
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.opening import opening_of
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.session_replay import replay_session
from harmony_pipeline.testing.crashes import Crash, Fuse
from harmony_pipeline.testing.stepped_day import (
    CALENDAR,
    DAY,
    FEATURES,
    OPEN,
    SYMBOLS,
    Contrarian,
    SteppedWorld,
    day_of,
    trading_rules,
)

NEXT = date(2024, 3, 6)
EVENING = 23  # the last minutes of the first day
RULES = replace(trading_rules(), horizon=500)


def two_days(later: int = 1) -> pl.DataFrame:
    """The second one opens a tenth lower, beyond the stops."""
    close = CALENDAR.session_close(DAY)
    first = day_of(5, EVENING, start=close - timedelta(minutes=EVENING))
    lower = [(pl.col(name) * 0.9).round(2) for name in ("open", "high", "low", "close")]
    return pl.concat([first, day_of(6, 6, start=OPEN + timedelta(days=later)).with_columns(lower)])


@dataclass
class Nights:
    """Sessions of one account over one market."""

    bars: pl.DataFrame
    ledger: Ledger

    def plan_of(self, day: date, chosen: TradingRules = RULES) -> SessionPlan:
        start = datetime.combine(day, CALENDAR.session_open(day).timetz())
        states = states_before(start, self.bars, FEATURES, None, CALENDAR, "1Min")
        return plan_day(
            day, opening_of(self.ledger, "paper", day, chosen.initial_cash), SYMBOLS,
            strategy_name="contrarian", strategy=Contrarian(0.001), rules=chosen,
            feature_set=FEATURES, feature_states=states, calendar=CALENDAR, timeframe="1Min",
            actions=CORPORATE_ACTIONS.empty(),
        )  # fmt: skip

    def trade(self, world: SteppedWorld, day: date, **more: Any) -> SessionResult:
        world.plan = lambda _book, chosen: self.plan_of(day, chosen)
        return world.session(self.ledger, **more)

    def events(self, result: SessionResult, *kinds: type[Event]) -> list[Event]:
        return [
            each for _, each in self.ledger.events(result.session_id) if isinstance(each, kinds)
        ]


def late_session(
    folder: Path, later: int = 1, point: int | None = None, refused: int | None = None
) -> tuple[Nights, SessionResult, dict[str, float], int, int]:
    """The session of a day begins two minutes late, when its brackets are filled; its process dies
    at a step. The session, what is held at the exchange, steps and deaths.
    """
    folder.mkdir()
    nights, day = Nights(two_days(later), fresh_ledger(folder)), DAY + timedelta(days=later)
    with SteppedWorld(5, folder, rules=RULES, market=nights.bars) as world:
        first = nights.trade(world, DAY)
        assert first.shares
        world.exchange.step(4)
        if refused is not None:
            body = {"code": 42210000, "message": "invalid query"}
            world.exchange.faults.add(
                Fault(status=422, body=body), path="/v2/orders", after=refused
            )
        steps, deaths = Fuse(point or 10**9), 0
        fuse = steps
        while True:
            try:
                second = nights.trade(world, day, fuse=fuse, lookback_days=1)
                break
            except Crash:
                fuse, deaths = Fuse(), deaths + 1
        plan, mine = nights.plan_of(day), nights.bars.filter(pl.col("session_date") == day)
        again = replay_session(plan, mine, nights.ledger, folder / "again.sqlite")
        assert again.equal, again.summary()
        held = {name: float(shares) for name, shares in world.exchange.venue.books.holdings()}
        assert second.broker_cash == world.exchange.venue.books.cash
    return nights, second, held, steps.steps, deaths


@pytest.mark.parametrize("later", [1, 2])
def test_what_was_filled_before_a_session_began_is_no_difference(
    later: int, tmp_path: Path
) -> None:
    """Two days later the orders are older than those that a new process reads."""
    nights, second, held, _, _ = late_session(tmp_path / "one", later)
    assert second.shares == held
    filled = set(second.fills.filter(pl.col("order_id").str.contains("stop|take"))["symbol"])
    assert len(filled) == 3
    assert nights.events(second, BooksDiffered) == []
    assert [each.differences for each in nights.events(second, BooksReconciled)] == [()]
    assert [each for each in nights.events(second, OrderIntended) if each.order.role == "entry"]


@pytest.mark.parametrize("refused", [9, 10])
def test_what_was_filled_before_is_heard_when_the_question_for_it_is_refused_first(
    refused: int, tmp_path: Path
) -> None:
    """The first that is asked after the orders and positions of the start, and the one after it."""
    nights, second, held, _, _ = late_session(tmp_path / "one", refused=refused)
    assert second.shares == held
    assert nights.events(second, BooksDiffered) == []
    assert [each.differences for each in nights.events(second, BooksReconciled)] == [()]


def test_a_process_that_dies_while_it_hears_what_was_filled_before_ends_alike(
    tmp_path: Path,
) -> None:
    _, expected, _, steps, _ = late_session(tmp_path / "whole")
    for point in (6, 10, 14, 18):
        assert point < steps
        nights, found, held, _, deaths = late_session(tmp_path / str(point), point=point)
        assert deaths == 1
        assert found.shares == held == expected.shares
        assert found.fills.drop("session_id").equals(expected.fills.drop("session_id"))
        assert nights.events(found, BooksDiffered) == []
        assert not [e for e in nights.events(found, BooksReconciled) if e.differences]


def test_the_next_session_takes_over_what_works_at_the_exchange(tmp_path: Path) -> None:
    bars, ledger = two_days(), fresh_ledger(tmp_path)

    def plan_of(day: date, book: Ledger, chosen: TradingRules) -> SessionPlan:
        start = datetime.combine(day, CALENDAR.session_open(day).timetz())
        states = states_before(start, bars, FEATURES, None, CALENDAR, "1Min")
        return plan_day(
            day, opening_of(book, "paper", day, chosen.initial_cash), SYMBOLS,
            strategy_name="contrarian", strategy=Contrarian(0.001), rules=chosen,
            feature_set=FEATURES, feature_states=states, calendar=CALENDAR, timeframe="1Min",
            actions=CORPORATE_ACTIONS.empty(),
        )  # fmt: skip

    with SteppedWorld(5, tmp_path, rules=RULES, market=bars) as world:
        results = []
        for number, day in enumerate((DAY, NEXT)):
            world.plan = lambda book, chosen, day=day: plan_of(day, book, chosen)
            plan = plan_of(day, ledger, RULES)
            results.append(world.session(ledger))
            assert int(results[-1].closing.portfolio.account[0]["cash"]) == (
                world.exchange.venue.books.cash
            )
            mine = bars.filter(pl.col("session_date") == day)
            again = replay_session(plan, mine, ledger, tmp_path / f"again{number}.sqlite")
            assert again.equal, again.summary()
        held = dict(world.exchange.venue.books.holdings())
    first, second = results
    assert first.shares
    assert {order.terms.role for order in second.carried} == {"stop", "take"}
    assert second.shares == {symbol: float(shares) for symbol, shares in held.items()}
    # what was long is stopped at the open, at that price, by the bracket of the day before
    long = {symbol for symbol, shares in first.shares.items() if shares > 0}
    opened = second.fills.filter(pl.col("timestamp") == OPEN + timedelta(days=1))
    stopped = opened.filter(pl.col("order_id").str.ends_with("-stop"))
    assert long
    assert set(stopped["symbol"]) == long
    prices = bars.filter(pl.col("timestamp") == OPEN + timedelta(days=1))
    assert dict(stopped.select("symbol", "price").rows()) == {
        symbol: price for symbol, price in prices.select("symbol", "open").rows() if symbol in long
    }
    events = [event for each in results for _, event in ledger.events(each.session_id)]
    assert not [event for event in events if isinstance(event, BooksDiffered)]
    assert not [e for e in events if isinstance(e, BooksReconciled) and e.differences]
