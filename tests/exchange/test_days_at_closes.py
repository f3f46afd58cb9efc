"""A strategy that enters at closes over days at the exchange, through alpaca-py."""

from collections.abc import Iterator
from datetime import time, timedelta
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest
from exchange.alpaca_world import HeardBroker, settings
from exchange.exchange_world import KEYS
from session import daily_market as days
from session.daily_market import assert_same_positions, whole_backtest
from session.days import fresh_ledger

from harmony_pipeline.exchange.market import ReplayMarket
from harmony_pipeline.exchange.server import ExchangeServer
from harmony_pipeline.exchange.venue import Venue
from harmony_pipeline.execution.brokers.alpaca.keys import Keys
from harmony_pipeline.session.alpaca_bars import fees_of
from harmony_pipeline.session.clock import ReplayClock
from harmony_pipeline.session.day_backtest import backtest_day
from harmony_pipeline.session.divergence import compare
from harmony_pipeline.session.divergence_causes import with_causes
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.replay import day_bars
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.runner import Supervision, run_session
from harmony_pipeline.session.stream import Batch, Quiet, ReplayStream

MINUTE = timedelta(minutes=1)

CHOSEN = days.closing_rules(
    "barriers", half_spread_bps=0.0, impact_coefficient=0.0, profit_take=30.0, stop_loss=30.0,
    horizons_bars=(1,),
)  # fmt: skip
TRADED = days.DAYS[:6]  # before the split
OVER_THE_SPLIT = days.DAYS[3:9]


def minutes_of(daily: pl.DataFrame) -> pl.DataFrame:
    """Minutes that make these days: the first has the open, the last the close, and those between
    the range.
    """
    frames = []
    for minute, (opened, high, low, closed) in (
        (0, ("open",) * 4),
        (60, ("open", "high", "low", "close")),
        (-1, ("close",) * 4),
    ):
        close = pl.col("bar_end") - MINUTE
        first = pl.col("session_date").replace_strict(
            {day: days.CALENDAR.session_open(day) for day in days.DAYS},
            return_dtype=pl.Datetime("us", "UTC"),
        )
        frames.append(
            daily.select(
                "symbol",
                timestamp=close if minute < 0 else first + minute * MINUTE,
                open=opened, high=high, low=low, close=closed, volume=pl.lit(1e6),
            )
        )  # fmt: skip
    return pl.concat(frames).sort("timestamp", "symbol")


class ExchangeDay:
    """A day at the stepped exchange: it opens, the session has a moment, it closes, and the day's
    bar is heard.
    """

    def __init__(
        self, plan: SessionPlan, daily: pl.DataFrame, exchange: ExchangeServer, broker: HeardBroker
    ) -> None:
        frame = day_bars(plan, daily)
        [self._batch] = ReplayStream(frame, ReplayClock(frame["timestamp"][0])).moments()
        self._exchange, self._broker = exchange, broker

    def moments(self) -> Iterator[Batch | Quiet]:
        clock = self._broker.clock
        yield Quiet(clock.now())  # the evening before: nothing is sent yet
        for _ in range(6):
            self._exchange.step(1)
            clock.read()
            yield Quiet(clock.now())
            yield Quiet(clock.now())
        yield self._batch
        yield Quiet(clock.now())


def split_over_night(venue: Venue, symbol: str, ratio: int) -> None:
    """As Alpaca does: shares and open orders are changed, and no update tells of it."""
    more = venue.books.shares(symbol) * (ratio - 1)
    venue.books.post(0, f"held:{symbol}", f"market:{symbol}", symbol, more)
    for order in venue.orders.values():
        if order.symbol == symbol and order.is_open:
            order.qty *= ratio
            for name in ("limit_price", "stop_price"):
                price = getattr(order, name)
                if price is not None:
                    setattr(order, name, (price / ratio).quantize(Decimal("0.01")))


def test_a_split_of_what_is_held_through_alpaca_takes_the_course_of_the_backtest(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    doubled = days.ACTIONS.with_columns(
        value=pl.when(pl.col("kind") == "split").then(2.0).otherwise("value")
    )
    monkeypatch.setattr(days, "ACTIONS", doubled)
    monkeypatch.setattr(days, "DAYS", OVER_THE_SPLIT)
    chosen = days.closing_rules(
        half_spread_bps=0.0, impact_coefficient=0.0, profit_take=30.0, stop_loss=30.0
    )
    daily = days.daily_bars(missing=0.0).with_columns(volume=pl.lit(1e6))
    daily = daily.filter(pl.col("session_date") <= OVER_THE_SPLIT[-1])
    ledger = fresh_ledger(tmp_path / "days")
    minutes = minutes_of(daily.filter(pl.col("session_date") >= OVER_THE_SPLIT[0]))
    made = Venue(ReplayMarket(minutes, days.CALENDAR), chosen)
    results = []
    with ExchangeServer(made, KEYS, requests_per_minute=1_000_000) as exchange:
        for day in OVER_THE_SPLIT:
            if day == days.SPLIT_DAY:
                assert made.books.shares("AAA")
                split_over_night(made, "AAA", 2)
            plan = days.plan_of(day, ledger, daily, chosen, threshold=0.0)
            results.append(session(plan, ledger, daily, exchange))
            held = {symbol: float(shares) for symbol, shares in made.books.holdings()}
            assert held == results[-1].shares
    whole = whole_backtest(tmp_path, daily, chosen, threshold=0.0)
    columns = ["order_id", "symbol", "side", "quantity", "price", "fee"]
    found = pl.concat(result.fills for result in results).select(columns).sort(columns)
    assert found.equals(whole.fills.select(columns).sort(columns))
    assert_same_positions(results[-1], whole)
    events = pl.concat(result.tables["session_events"] for result in results)
    assert "books_differed" not in set(events["kind"])
    opened = events.filter(pl.col("kind") == "books_reconciled")["detail"]
    assert set(opened.str.json_path_match("$.differences")) == {"[]"}
    adjusted = events.filter(pl.col("kind") == "adjusted")
    assert set(adjusted["symbol"]) == {"AAA"}


def session(
    plan: SessionPlan, ledger: Ledger, daily: pl.DataFrame, exchange: ExchangeServer
) -> SessionResult:
    """A day's."""
    before = exchange.trade_stream.sent
    broker = HeardBroker(settings(exchange, clock_seconds=1e6), Keys(*KEYS), fees_of(plan))
    broker.exchange, broker.started = exchange, before
    live = Supervision(is_live=True, stale_after_seconds=1e9)
    stream = ExchangeDay(plan, daily, exchange, broker)
    return run_session(plan, ledger, broker, stream, broker.clock, live)


def test_days_through_alpaca_take_the_course_of_the_backtest(tmp_path: Path) -> None:
    daily = days.daily_bars(missing=0.0).with_columns(volume=pl.lit(1e6))
    daily = daily.filter(pl.col("session_date") <= TRADED[-1])
    ledger = fresh_ledger(tmp_path / "days")
    minutes = minutes_of(daily.filter(pl.col("session_date") >= TRADED[0]))
    made = Venue(ReplayMarket(minutes, days.CALENDAR), CHOSEN)
    results, compared = [], []
    with ExchangeServer(made, KEYS, requests_per_minute=1_000_000) as exchange:
        for day in TRADED:
            plan = days.plan_of(day, ledger, daily, CHOSEN, threshold=0.0)
            results.append(session(plan, ledger, daily, exchange))
            twin = backtest_day(plan, daily, working=results[-1].began_with)
            compared.append(compare(results[-1], twin))
            sent = [
                each for each in made.orders.values()
                if each.time_in_force == "cls" and each.status not in {"filled", "canceled"}
            ]  # fmt: skip
            assert not sent  # what was decided waits for its own day
    whole = whole_backtest(tmp_path, daily, CHOSEN, threshold=0.0)
    columns = ["order_id", "symbol", "side", "quantity", "price", "fee"]
    found = pl.concat(result.fills for result in results).select(columns).sort(columns)
    assert found.equals(whole.fills.select(columns).sort(columns))
    entries = [each for each in made.orders.values() if each.time_in_force == "cls"]
    assert len(entries) > 5
    closes = {int(days.CALENDAR.session_close(day).timestamp()) * 10**9 for day in TRADED}
    assert {each.filled_at for each in entries} <= closes
    assert_same_positions(results[-1], whole)
    kinds = {kind for result in results for kind in result.tables["session_events"]["kind"]}
    assert not {"books_differed", "rejected", "refused", "outcome_unknown"} & kinds
    # an execution at 9:30 or 16:00 is of its day's bar, which the backtest stamps with midnight
    for each in compared:
        fills = each.table.filter(pl.col("kind") == "fill")
        assert fills["live"].is_not_null().all()
        assert fills["backtest"].is_not_null().all()
        assert fills["timestamp"].dt.time().unique().to_list() in ([], [time(0)])
        assert with_causes(each.table, {}, {}).is_empty()
    assert sum(each.table.filter(pl.col("kind") == "fill").height for each in compared) == 9
