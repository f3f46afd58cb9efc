"""Market data by REST as Alpaca gives it: pages of bars, trades and quotes, and the latest ones.

Bars are those of the replay (longer ones are given as the minute at their start); the newest bar of
a frame above one minute is still running. Trades and quotes are two a minute, at its open and its
close, since the replay knows no others. Symbols without data are absent. `limit` counts over all
symbols.
"""

from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Any

import polars as pl

from harmony_pipeline.exchange import wire
from harmony_pipeline.exchange.orders import Json
from harmony_pipeline.exchange.refusals import Refused
from harmony_pipeline.exchange.venue import Venue
from harmony_pipeline.market.simulation.resample import resample_session_bars

_MOST_ROWS, _USUAL_ROWS = 10_000, 1_000
_LONGER = frozenset({"5Min", "15Min", "30Min", "1Hour", "1Day"})
_BARS = (
    "symbol", "timestamp", "open", "high", "low", "close", "volume", "trade_count", "vwap",
)  # fmt: skip


def bars_page(venue: Venue, query: Mapping[str, str]) -> Json:
    """GET /v2/stocks/bars."""
    return _page(query, "bars", _bars(venue, query), wire.bar_rows, venue.now)


def trades_page(venue: Venue, query: Mapping[str, str]) -> Json:
    """GET /v2/stocks/trades."""
    return _page(query, "trades", _prints(venue), _trade_rows, venue.now)


def quotes_page(venue: Venue, query: Mapping[str, str]) -> Json:
    """GET /v2/stocks/quotes."""
    return _page(query, "quotes", _prints(venue), _quote_rows, venue.now)


def pair_trades_page(venue: Venue, query: Mapping[str, str]) -> Json:
    """GET /v1beta3/crypto/us/trades."""
    return _page(query, "trades", _prints(venue), _pair_trade_rows, venue.now)


def pair_quotes_page(venue: Venue, query: Mapping[str, str]) -> Json:
    """GET /v1beta3/crypto/us/quotes."""
    return _page(query, "quotes", _prints(venue), _pair_quote_rows, venue.now)


def latest(venue: Venue, kind: str, query: Mapping[str, str]) -> Json:
    """GET /v2/stocks/{bars,trades,quotes}/latest."""
    frames: dict[str, tuple[pl.DataFrame, Callable[[pl.DataFrame], list[Json]]]] = {
        "bars": (_minutes(venue), wire.bar_rows),
        "trades": (_prints(venue), _pair_trade_rows if venue.market.is_crypto else _trade_rows),
        "quotes": (_prints(venue), _pair_quote_rows if venue.market.is_crypto else _quote_rows),
    }
    frame, rows = frames[kind]
    wanted = frame.filter(pl.col("symbol").is_in(_symbols(query)))
    last = wanted.group_by("symbol", maintain_order=True).last()
    return {kind: {part["symbol"][0]: rows(part)[0] for part in last.partition_by("symbol")}}


def _minutes(venue: Venue) -> pl.DataFrame:
    """Minutes that have ended."""
    frame = venue.market.ended(venue.next_event)
    columns = {"trade_count": pl.lit(1), "vwap": pl.col("close")}
    missing = {name: expr for name, expr in columns.items() if name not in frame.columns}
    return frame.with_columns(**missing)


def _bars(venue: Venue, query: Mapping[str, str]) -> pl.DataFrame:
    timeframe = query.get("timeframe", "")
    if query.get("adjustment", "raw") != "raw":
        raise Refused(400, None, f"invalid adjustment: {query['adjustment']}")
    minutes = _minutes(venue)
    if timeframe in {"1Min", venue.market.timeframe}:
        return minutes
    if timeframe not in _LONGER or venue.market.timeframe != "1Min":
        raise Refused(400, None, f"invalid timeframe: {timeframe}")
    base = minutes.select(_BARS).with_columns(timeframe=pl.lit("1Min")).sort("symbol", "timestamp")
    frame = resample_session_bars(base, venue.market.calendar, "1Min", timeframe)
    if timeframe == "1Day":
        stamps = {each: wire.daily_stamp(each) for each in frame["timestamp"].unique().to_list()}
        kind = pl.Datetime("us", "UTC")
        frame = frame.with_columns(pl.col("timestamp").replace_strict(stamps, return_dtype=kind))
    return frame


def _prints(venue: Venue) -> pl.DataFrame:
    """A price at the open and at the close of each minute: symbol, timestamp, price, size."""
    opens = venue.market.begun(venue.next_event).select(
        "symbol", "timestamp", price="open", size="volume"
    )
    closes = venue.market.ended(venue.next_event).select(
        "symbol", timestamp=pl.col("bar_end") - pl.duration(microseconds=1), price="close",
        size="volume",
    )  # fmt: skip
    return pl.concat([opens, closes]).sort("timestamp", "symbol")


def _trade_rows(frame: pl.DataFrame) -> list[Json]:
    return [
        {
            "t": wire.rfc3339(row["timestamp"]), "x": "V", "p": row["price"],
            "s": max(1, int(row["size"] // 2)), "c": ["@"],
            "i": int(row["timestamp"].timestamp() * 1_000_000), "z": "C",
        }
        for row in frame.iter_rows(named=True)
    ]  # fmt: skip


def _quote_rows(frame: pl.DataFrame) -> list[Json]:
    return [
        {
            "t": wire.rfc3339(row["timestamp"]), "ax": "V", "ap": row["price"], "as": 1, "bx": "V",
            "bp": row["price"], "bs": 1, "c": ["R"], "z": "C",
        }
        for row in frame.iter_rows(named=True)
    ]  # fmt: skip


def _pair_trade_rows(frame: pl.DataFrame) -> list[Json]:
    return [
        {
            "t": wire.rfc3339(row["timestamp"]), "p": row["price"], "s": row["size"] / 2,
            "i": int(row["timestamp"].timestamp() * 1_000_000), "tks": "B",
        }
        for row in frame.iter_rows(named=True)
    ]  # fmt: skip


def _pair_quote_rows(frame: pl.DataFrame) -> list[Json]:
    return [
        {
            "t": wire.rfc3339(row["timestamp"]), "ap": row["price"], "as": row["size"] / 2,
            "bp": row["price"], "bs": row["size"] / 2,
        }
        for row in frame.iter_rows(named=True)
    ]  # fmt: skip


def _symbols(query: Mapping[str, str]) -> list[str]:
    symbols = [symbol for symbol in query.get("symbols", "").split(",") if symbol]
    if not symbols:
        raise Refused(400, None, "symbols is required")
    return symbols


def _page(
    query: Mapping[str, str],
    kind: str,
    frame: pl.DataFrame,
    rows: Callable[[pl.DataFrame], list[Json]],
    now: datetime,
) -> Json:
    symbols = _symbols(query)
    start = _moment(query, "start", datetime(now.year, now.month, now.day, tzinfo=UTC))
    end = min(_moment(query, "end", now), now)
    text = query.get("limit", str(_USUAL_ROWS))
    if not text.isdigit() or not 1 <= int(text) <= _MOST_ROWS:
        raise Refused(400, None, f"invalid limit: {text}")
    limit = int(text)
    newest_first = query.get("sort") == "desc"
    ordered = (
        frame.filter(pl.col("symbol").is_in(symbols) & pl.col("timestamp").is_between(start, end))
        .sort("symbol", "timestamp", descending=[False, newest_first], maintain_order=True)
        .with_columns(number=pl.int_range(pl.len()).over("symbol", "timestamp"))
    )
    token = query.get("page_token")
    if token:
        ordered = _after(ordered, token, newest_first=newest_first)
    page = ordered.head(limit)
    full = page.height == limit
    following = (
        wire.page_token(*page.select("symbol", "timestamp", "number").row(-1)) if full else None
    )
    groups: dict[str, Any] = {
        part["symbol"][0]: rows(part.drop("number"))
        for part in (page.partition_by("symbol", maintain_order=True) if page.height else [])
    }
    return {kind: groups, "next_page_token": following}


def _after(ordered: pl.DataFrame, token: str, *, newest_first: bool) -> pl.DataFrame:
    try:
        symbol, moment, number = wire.read_token(token)
    except ValueError:
        raise Refused(400, None, "invalid page_token") from None
    same = pl.col("symbol") == symbol
    beyond = pl.col("timestamp") < moment if newest_first else pl.col("timestamp") > moment
    later = beyond | ((pl.col("timestamp") == moment) & (pl.col("number") > number))
    return ordered.filter((pl.col("symbol") > symbol) | (same & later))


def _moment(query: Mapping[str, str], name: str, default: datetime) -> datetime:
    text = query.get(name)
    if not text:
        return default
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        raise Refused(400, None, f"invalid {name}: {text}") from None
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
