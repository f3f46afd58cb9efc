"""Alpaca's JSON as frames in Harmony's columns. Pure: nothing here asks, waits or looks at a clock.

What was received is kept. A missing count of trades (`n`) or average price (`vw`) is null, a price
that is missing or no number is null and `defect` says what stood there, and only a row without a
readable time, which could not be kept at all, is refused.

Alpaca stamps daily bars with New York's midnight (04:00Z or 05:00Z); here they carry midnight UTC
of the session date. Its times have up to nine digits; here they are cut to microseconds, and ticks
of one microsecond are numbered in `row` in the order they came, so that no two are the same.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, date, datetime
from typing import Any

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.sources.base import (
    SOURCE_BAR_DTYPES,
    SOURCE_BAR_ORDER,
    SOURCE_QUOTE_DTYPES,
    SOURCE_TRADE_DTYPES,
)
from harmony_pipeline.schemas import CORPORATE_ACTIONS, QUOTE_TICKS, TIME, TRADE_TICKS, UNIVERSE

NAME, ZONE = "alpaca", "America/New_York"
Rows = Sequence[Mapping[str, Any]]
Pages = Iterable[Mapping[str, Any]]

_BAR = {
    "t": pl.String,
    "o": pl.Float64,
    "h": pl.Float64,
    "l": pl.Float64,
    "c": pl.Float64,
    "v": pl.Float64,
    "n": pl.Float64,
    "vw": pl.Float64,
}
_BAR_NAMES = {
    "o": "open",
    "h": "high",
    "l": "low",
    "c": "close",
    "v": "volume",
    "n": "trade_count",
    "vw": "vwap",
}
_MUST = ("open", "high", "low", "close", "volume")
_QUOTE = {
    "t": pl.String,
    "bp": pl.Float64,
    "bs": pl.Float64,
    "ap": pl.Float64,
    "as": pl.Float64,
    "c": pl.List(pl.String),
}
_TRADE = {
    "t": pl.String,
    "p": pl.Float64,
    "s": pl.Float64,
    "x": pl.String,
    "i": pl.Int64,
    "c": pl.List(pl.String),
    "u": pl.String,
}


# --- bars -----------------------------------------------------------------------------------------


def bars_of_pages(pages: Pages, timeframe: str, origin: str) -> pl.DataFrame:
    """Answers of /v2/stocks/bars in SOURCE_BAR_DTYPES, sorted by SOURCE_BAR_ORDER."""
    parts = [
        _bars(symbol, rows, timeframe)
        for page in pages
        for symbol, rows in (page.get("bars") or {}).items()
        if rows
    ]
    return (
        _as_bars(pl.concat(parts), timeframe, origin)
        if parts
        else pl.DataFrame(schema=SOURCE_BAR_DTYPES)
    )


def bars_of_messages(messages: Rows, origin: str) -> pl.DataFrame:
    """Minute bars of the stream (`T` b or u, `t` a msgpack Timestamp) in SOURCE_BAR_DTYPES, sorted
    by SOURCE_BAR_ORDER.
    """
    if not messages:
        return pl.DataFrame(schema=SOURCE_BAR_DTYPES)
    frame = _numbers(messages, {name: dtype for name, dtype in _BAR.items() if name != "t"}).rename(
        _BAR_NAMES
    )
    stamps = [message["t"].to_unix_nano() // 1_000 for message in messages]
    whole = frame.with_columns(
        _defects(messages, frame).alias("defect"),
        symbol=pl.Series([message["S"] for message in messages], dtype=pl.String),
        timestamp=pl.Series(stamps, dtype=pl.Int64).cast(TIME),
    )
    return _as_bars(whole, "1Min", origin)


def _bars(symbol: str, rows: Rows, timeframe: str) -> pl.DataFrame:
    frame = _numbers(rows, _BAR).rename(_BAR_NAMES)
    stamps = _stamps(frame["t"], symbol)
    if timeframe == "1Day":
        stamps = session_midnights(stamps)
    defect = _defects(rows, frame)
    return frame.drop("t").with_columns(
        stamps.alias("timestamp"), defect.alias("defect"), symbol=pl.lit(symbol)
    )


def session_midnights(stamps: pl.Series) -> pl.Series:
    """Midnight UTC of the New York date in which each instant lies."""
    return (
        stamps.dt.convert_time_zone(ZONE)
        .dt.date()
        .cast(pl.Datetime("us"))
        .dt.replace_time_zone("UTC")
        .cast(TIME)
    )


def _as_bars(frame: pl.DataFrame, timeframe: str, origin: str) -> pl.DataFrame:
    whole = frame.with_columns(
        timeframe=pl.lit(timeframe), source=pl.lit(NAME), origin=pl.lit(origin), row=pl.lit(None)
    )
    return whole.select(pl.col(name).cast(dtype) for name, dtype in SOURCE_BAR_DTYPES.items()).sort(
        SOURCE_BAR_ORDER, maintain_order=True
    )


# --- ticks ----------------------------------------------------------------------------------------


def quotes_of_pages(pages: Pages, lot_shares: float, origin: str) -> pl.DataFrame:
    """Answers of /v2/stocks/quotes in SOURCE_QUOTE_DTYPES, sorted by the key of QUOTE_TICKS. Alpaca
    writes an absent side as price 0.
    """
    frame = _ticks(pages, "quotes", _QUOTE)
    sides = [
        pl.when(pl.col(price) > 0.0).then(column * lots).alias(name)
        for price, sizes in (("bp", "bs"), ("ap", "as"))
        for name, column, lots in (
            (_SIDE[price], pl.col(price), 1.0),
            (_SIDE[sizes], pl.col(sizes), lot_shares),
        )
    ]
    return _as_ticks(
        frame.with_columns(*sides, conditions=pl.col("c").list.join(",")),
        SOURCE_QUOTE_DTYPES,
        QUOTE_TICKS.key,
        origin,
    )


_SIDE = {"bp": "bid", "bs": "bid_size", "ap": "ask", "as": "ask_size"}


def trades_of_pages(pages: Pages, origin: str) -> pl.DataFrame:
    """Answers of /v2/stocks/trades in SOURCE_TRADE_DTYPES, sorted by the key of TRADE_TICKS.

    `suspicious` are trades that Alpaca marks (`u`) as canceled, corrected or incorrect.
    """
    frame = _ticks(pages, "trades", _TRADE)
    named = frame.rename({"p": "price", "s": "size", "x": "exchange", "i": "trade_id"})
    marked = named.with_columns(
        conditions=pl.col("c").list.join(","), suspicious=pl.col("u").is_not_null()
    )
    return _as_ticks(marked, SOURCE_TRADE_DTYPES, TRADE_TICKS.key, origin)


def _ticks(pages: Pages, kind: str, schema: Mapping[str, Any]) -> pl.DataFrame:
    """Every tick with symbol, timestamp and row (1 for the first of its microsecond, as they
    came).
    """
    parts = []
    for page in pages:
        for symbol, rows in (page.get(kind) or {}).items():
            if rows:
                frame = _numbers(rows, schema)
                parts.append(
                    frame.with_columns(
                        _stamps(frame["t"], symbol).alias("timestamp"), symbol=pl.lit(symbol)
                    )
                )
    frame = (
        pl.concat(parts)
        if parts
        else pl.DataFrame(schema={**schema, "timestamp": TIME, "symbol": pl.String})
    )
    return frame.with_columns(row=pl.int_range(1, pl.len() + 1).over("symbol", "timestamp"))


def _as_ticks(
    frame: pl.DataFrame, dtypes: Mapping[str, Any], key: Sequence[str], origin: str
) -> pl.DataFrame:
    whole = frame.with_columns(source=pl.lit(NAME), origin=pl.lit(origin))
    return whole.select(pl.col(name).cast(dtype) for name, dtype in dtypes.items()).sort(
        key, maintain_order=True
    )


# --- corporate actions and the universe -----------------------------------------------------------


def corporate_actions_of_pages(pages: Pages, first: date, last: date) -> pl.DataFrame:
    """Splits and cash dividends with `first <= ex-date <= last`, in the columns of
    CORPORATE_ACTIONS.

    A stock dividend of rate r is a split of 1 + r new shares for one. Splits of one ex-date
    multiply, cash of one ex-date adds up. An action that is repeated under its own `id` counts
    once; spin-offs, mergers and rights are no split and no cash, and have no row.
    """
    found: dict[str, dict[str, Any]] = {}
    for page in pages:
        for kind, rows in (page.get("corporate_actions") or {}).items():
            for number, row in enumerate(rows if kind in _VALUE else []):
                found[str(row.get("id") or (kind, number, sorted(row.items())))] = {
                    "kind": kind,
                    **row,
                }
    rows = [
        {
            "symbol": row["symbol"],
            "date": date.fromisoformat(row["ex_date"]),
            "kind": _VALUE[row["kind"]][0],
            "value": _VALUE[row["kind"]][1](row),
        }
        for row in found.values()
    ]
    table = (
        pl.DataFrame(rows, schema=CORPORATE_ACTIONS.dtypes)
        .filter(pl.col("date").is_between(first, last))
        .sort("symbol", "date", "kind", "value")
    )
    merged = table.group_by("symbol", "date", "kind", maintain_order=True).agg(
        value=pl.when(pl.col("kind").first() == "split")
        .then(pl.col("value").product())
        .otherwise(pl.col("value").sum())
    )
    return CORPORATE_ACTIONS.conform(merged)


_VALUE: dict[str, tuple[str, Any]] = {
    "forward_splits": ("split", lambda row: float(row["new_rate"]) / float(row["old_rate"])),
    "reverse_splits": ("split", lambda row: float(row["new_rate"]) / float(row["old_rate"])),
    "stock_dividends": ("split", lambda row: 1.0 + float(row["rate"])),
    "cash_dividends": ("dividend", lambda row: float(row["rate"])),
}


def universe_of_assets(
    assets: Rows, endings: pl.DataFrame, today: date, usable: date
) -> pl.DataFrame:
    """Who is listed, as seen on `today` and dated by `usable`, in the columns of UNIVERSE;
    `endings` (symbol, date) are known ends of listings.

    Alpaca tells that an asset is inactive, not since when: `delisted` is the date of its merger,
    removal or change of name where there is one, and otherwise `today`, the first day on which it
    was seen to be gone. A symbol that is in use again is listed.
    """
    table = pl.DataFrame(
        {
            "symbol": [asset["symbol"] for asset in assets],
            "active": [asset["status"] == "active" for asset in assets],
        },
        schema={"symbol": pl.String, "active": pl.Boolean},
    )
    state = (
        table.group_by("symbol")
        .agg(pl.col("active").any())
        .join(
            endings.group_by("symbol").agg(pl.col("date").max().alias("ended")),
            on="symbol",
            how="left",
        )
    )
    gone = pl.when(~pl.col("active")).then(pl.col("ended").fill_null(today))
    return UNIVERSE.conform(state.select("symbol", date=pl.lit(usable), delisted=gone))


def instruments_of_assets(assets: Rows, today: date) -> pl.DataFrame:
    """Terms of the assets that can be traded, in the columns of `InstrumentSource`. Whole shares:
    fractions take neither shorts nor brackets.
    """
    numbers = {
        "tick_size": "price_increment",
        "lot_size": "min_trade_increment",
        "minimum_quantity": "min_order_size",
    }
    schema = {
        "symbol": pl.String,
        "valid_from": pl.Date,
        "since_ever": pl.Boolean,
        "venue": pl.String,
        **dict.fromkeys(numbers, pl.Float64),
        "shortable": pl.Boolean,
    }
    rows = [
        {
            "symbol": asset["symbol"],
            "valid_from": today,
            "since_ever": False,
            "venue": asset.get("exchange"),
            "shortable": asset.get("shortable"),
        }
        | {
            ours: float(asset[theirs]) if asset.get(theirs) else None
            for ours, theirs in numbers.items()
        }
        for asset in assets
        if asset["status"] == "active"
    ]
    return pl.DataFrame(rows, schema=schema).unique("symbol", keep="first", maintain_order=True)


def endings_of_pages(pages: Pages, last: date) -> pl.DataFrame:
    """(symbol, date) of every merger, removal and change of name up to `last`."""
    rows = [
        {"symbol": row[_ENDED[kind][0]], "date": date.fromisoformat(row[_ENDED[kind][1]])}
        for page in pages
        for kind, rows in (page.get("corporate_actions") or {}).items()
        if kind in _ENDED
        for row in rows
    ]
    return pl.DataFrame(rows, schema={"symbol": pl.String, "date": pl.Date}).filter(
        pl.col("date") <= last
    )


_ENDED = {
    "name_changes": ("old_symbol", "process_date"),
    "worthless_removals": ("symbol", "process_date"),
    "cash_mergers": ("acquiree_symbol", "effective_date"),
    "stock_mergers": ("acquiree_symbol", "effective_date"),
    "stock_and_cash_mergers": ("acquiree_symbol", "effective_date"),
}


# --- calendar and clock ---------------------------------------------------------------------------


def schedule_of_days(days: Rows) -> pl.DataFrame:
    """/v2/calendar in the columns of `Calendar.schedule`: date, pre_open, open, close, post_close
    (UTC); Alpaca writes New York times.
    """
    table = pl.DataFrame(
        {name: [day.get(theirs) for day in days] for name, theirs in _HOURS.items()},
        schema={"date": pl.String, **dict.fromkeys(list(_HOURS)[1:], pl.String)},
    )
    instants = [
        (pl.col("date") + " " + pl.col(name).str.replace(":", "", literal=True))
        .str.to_datetime("%Y-%m-%d %H%M", time_unit="us")
        .dt.replace_time_zone(ZONE)
        .dt.convert_time_zone("UTC")
        .cast(TIME)
        .alias(name)
        for name in list(_HOURS)[1:]
    ]
    return table.select(pl.col("date").str.to_date(), *instants).sort("date")


_HOURS = {
    "date": "date",
    "pre_open": "session_open",
    "open": "open",
    "close": "close",
    "post_close": "session_close",
}


def instant(text: str) -> datetime:
    """An RFC 3339 time with up to nine digits as UTC, cut to microseconds."""
    moment: datetime = _stamps(pl.Series([text]), "the clock")[0]
    return moment.astimezone(UTC)


# --- cells ----------------------------------------------------------------------------------------


def _numbers(rows: Rows, schema: Mapping[str, Any]) -> pl.DataFrame:
    """Rows of JSON under `schema`; a cell of another kind is null. The fast way reads whole pages;
    one odd cell makes its page take the slow one.
    """
    try:
        return pl.from_dicts(rows, schema=dict(schema))
    except (pl.exceptions.PolarsError, TypeError):
        return pl.DataFrame(
            {
                name: [_readable(row.get(name), dtype) for row in rows]
                for name, dtype in schema.items()
            },
            schema=dict(schema),
        )


def _readable(value: Any, dtype: Any) -> Any:
    if dtype == pl.Float64:
        return (
            float(value)
            if isinstance(value, (int, float)) and not isinstance(value, bool)
            else None
        )
    if dtype == pl.Int64:
        return value if isinstance(value, int) and not isinstance(value, bool) else None
    if dtype == pl.String:
        return value if isinstance(value, str) else None
    return [str(each) for each in value] if isinstance(value, list) else None


def _stamps(texts: pl.Series, whose: str) -> pl.Series:
    stamps = texts.str.to_datetime(
        "%+", time_unit="ns", time_zone="UTC", strict=False
    ).dt.cast_time_unit("us")
    if stamps.null_count():
        found = texts.filter(stamps.is_null())[0]
        raise DataError(
            f"Alpaca sent a row of {whose} at the time '{found}', which cannot be read: ask again,"
            " and report it to Alpaca if it stays"
        )
    return stamps


def _defects(rows: Rows, frame: pl.DataFrame) -> pl.Series:
    """`defect` of each row: what stood where a number was expected."""
    bad = frame.select(pl.any_horizontal(pl.col(name).is_null() for name in _MUST).alias("bad"))[
        "bad"
    ]
    if not bad.any():
        return pl.Series("defect", [None] * frame.height, dtype=pl.String)
    theirs = {name: key for key, name in _BAR_NAMES.items()}
    texts: list[str | None] = [None] * frame.height
    for at in bad.arg_true():
        found = [(name, rows[at].get(theirs[name])) for name in _MUST if frame[name][at] is None]
        texts[at] = "; ".join(
            f"{name} is missing" if value is None else f"{name} is '{value}', expected a number"
            for name, value in found
        )
    return pl.Series("defect", texts, dtype=pl.String)
