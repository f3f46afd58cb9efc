"""The bars and the fees of a live session at Alpaca."""

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from decimal import Decimal

import polars as pl

from harmony_pipeline.errors import BrokerUnavailable, ConfigError, DataError
from harmony_pipeline.execution.brokers.alpaca.broker import Reference
from harmony_pipeline.execution.brokers.alpaca.clock import VenueClock
from harmony_pipeline.execution.brokers.alpaca.facts import Charge, Fees
from harmony_pipeline.execution.brokers.alpaca.keys import Keys
from harmony_pipeline.execution.brokers.alpaca.settings import AlpacaSettings
from harmony_pipeline.execution.coins import is_pair, withheld
from harmony_pipeline.execution.costs import fee, notional
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.source_settings import AlpacaSourceSettings, RetrySettings
from harmony_pipeline.market.sources.alpaca.client import (
    COIN_QUOTES,
    KEY,
    SECRET,
    AlpacaClient,
    Room,
)
from harmony_pipeline.market.sources.alpaca.longer import Longer
from harmony_pipeline.market.sources.alpaca.source import AlpacaSource
from harmony_pipeline.market.sources.alpaca.stream import AlpacaBarStream
from harmony_pipeline.market.timeframes import TIMEFRAME_MINUTES
from harmony_pipeline.portfolio.kernel_types import MONEY, Record
from harmony_pipeline.session.live_bars import LiveBars
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.quote_frames import QuoteFrames
from harmony_pipeline.session.watch_list import quoted_first

_MINUTE = timedelta(minutes=1)
_RECONNECTS = 20  # in a row, before a day is given up: minutes, longer than any slot is held


def alpaca_bars(
    settings: AlpacaSettings,
    keys: Keys,
    market: MarketSettings,
    plan: SessionPlan,
    clock: VenueClock,
    factors: Mapping[str, float] | None = None,
    until: datetime | None = None,
) -> LiveBars:
    """Bars of the plan's day and symbols, from the day's first on. `until`: the last one ends
    then; None: at the close.
    """
    own = _source_settings(settings)
    waits = {
        "base_seconds": settings.reconnect_seconds,
        "cap_seconds": settings.longest_reconnect_seconds,
        "attempts": _RECONNECTS,
    }
    source = _source(own, keys, market, clock)

    def fetch(symbols: Sequence[str], start: datetime, _end: datetime) -> pl.DataFrame:
        """Minutes from `start` to the exchange's present, which is asked for."""
        with contextlib.suppress(BrokerUnavailable):
            clock.read()
        return source.bars(symbols, start, clock.now() + _MINUTE, "1Min")

    calendar, size = plan.calendar, _whole_minutes(plan.timeframe)
    first = calendar.schedule(plan.date, calendar.next_session(plan.date))["pre_open"][0]
    assert isinstance(first, datetime)
    stream = AlpacaBarStream(
        own,
        market.patience.model_copy(update=waits),
        (keys.key, keys.secret),
        sorted(plan.symbols),
        source.origin,
        fetch,
        clock.now,
        None if size == 1 else Longer(calendar, plan.timeframe),
        since=first,
    )
    bars = LiveBars(
        stream.frames,
        calendar,
        plan.timeframe,
        clock,
        until or calendar.session_close(plan.date),
        timedelta(minutes=size + 1),
        factors,
        settings.quiet_seconds,
        close=stream.close,
        hear_only=stream.hear_only,
    )
    if plan.hears_quotes:
        queue = bars.hear_quotes(plan.symbols, conflates=plan.conflates_quotes)
        stream.take_quotes, stream.quoted = QuoteFrames(queue).take, quoted_first(plan)
    return bars


def _whole_minutes(timeframe: str) -> int:
    """A bar's length. Raises ConfigError for seconds."""
    if timeframe not in TIMEFRAME_MINUTES:
        raise ConfigError(
            f"market.timeframe is {timeframe}: Alpaca's stream has minutes and longer bars made of"
            " them, so a session there needs 1Min or longer; replays take any bars"
        )
    return TIMEFRAME_MINUTES[timeframe]


def _source_settings(settings: AlpacaSettings) -> AlpacaSourceSettings:
    """The addresses of a session as those of a source of bars."""
    return AlpacaSourceSettings(
        feed=settings.feed,
        data_url=settings.data_url,
        trading_url=settings.trading_url,
        stream_url=settings.data_stream_url,
        stream_gather_seconds=settings.gather_seconds,
        requests_per_minute=settings.requests_per_minute,
        read_timeout_seconds=settings.timeout_seconds,
    )


def _source(
    settings: AlpacaSourceSettings, keys: Keys, market: MarketSettings, clock: VenueClock
) -> AlpacaSource:
    environment = {KEY: keys.key, SECRET: keys.secret}
    client = AlpacaClient(settings, market.patience, environment=environment)
    return AlpacaSource(settings, market, client=client, now=clock.now)


def quote_before(settings: AlpacaSettings, keys: Keys) -> Reference:
    """The middle of the last quote at a moment, asked for by REST, once; None where there is none,
    or nobody answers.
    """
    environment = {KEY: keys.key, SECRET: keys.secret}
    once = RetrySettings(attempts=1)
    client = AlpacaClient(_source_settings(settings), once, environment=environment)

    def middle(symbol: str, moment: datetime) -> float | None:
        asked = {
            "symbols": symbol,
            "start": (moment - _MINUTE).isoformat(),
            "end": moment.isoformat(),
            "limit": 1,
            "sort": "desc",
        }
        room: Room = "coins" if is_pair(symbol) else "data"
        path = COIN_QUOTES if is_pair(symbol) else "/stocks/quotes"
        if room == "data":
            asked["feed"] = settings.feed
        try:
            rows = client.page(room, path, asked)["quotes"].get(symbol) or []
        except (DataError, ConfigError, KeyError, AttributeError):
            return None
        quote = rows[0] if rows else {}
        bid, ask = (float(quote.get(name) or 0.0) for name in ("bp", "ap"))
        return (bid + ask) / 2.0 if bid > 0.0 and ask > 0.0 else None

    return middle


def _of_coins(rules: Record, quantity: float, price: float, rested: bool) -> Charge:
    """The coins that a purchase does not bring, and what they would have cost: what is paid for all
    less what is paid for those that came.
    """
    ordered = Decimal(repr(quantity))
    bps = float(rules["maker_fee_bps" if rested else "fee_bps"])
    kept = withheld(ordered, bps, Decimal(repr(float(rules["lot_size"]))))
    worth = notional(price, quantity) - notional(price, float(ordered - kept))
    return Charge(worth / MONEY, float(kept))


def fees_of(plan: SessionPlan) -> Fees:
    """What the plan's rules say that an execution costs: Alpaca books its fees at the day's end
    only, and a session's cash has to have them at once.
    """
    rules = plan.rules.records(plan.slots, plan.date)  # the first are of the symbols, in order
    rows = {symbol: row for row, symbol in enumerate(plan.symbols)}

    def fees(symbol: str, side: str, quantity: float, price: float, rested: bool) -> Charge:
        if symbol not in rows:
            return Charge(0.0)
        record = rules[rows[symbol]]
        if side == "buy" and is_pair(symbol):
            return _of_coins(record, quantity, price, rested)
        sign = 1 if side == "buy" else -1
        return Charge(float(fee(record, sign, price, quantity, rested) / MONEY))

    return fees
