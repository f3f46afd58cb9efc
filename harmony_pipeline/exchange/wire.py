"""How Alpaca writes things: JSON rows of bars, ticks, corporate actions, assets and sessions, made
from frames in Harmony's columns.

Written from Alpaca's documentation and apart from `market/sources/alpaca/translate.py`, so that a
misunderstanding in one shows against the other.
"""

import base64
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import Any
from uuid import NAMESPACE_DNS, uuid5
from zoneinfo import ZoneInfo

import polars as pl

NEW_YORK = ZoneInfo("America/New_York")
Json = dict[str, Any]

CHANNELS = {
    "t": "trades",
    "q": "quotes",
    "b": "bars",
    "u": "updatedBars",
    "d": "dailyBars",
    "s": "statuses",
    "l": "lulds",
    "c": "corrections",
    "x": "cancelErrors",
}


def bar_rows(bars: pl.DataFrame) -> list[Json]:
    """Bars as {t, o, h, l, c, v, n, vw}, `t` a datetime at the bar's start; `n` and `vw` are absent
    where they are null.
    """
    columns = {
        "t": "timestamp",
        "o": "open",
        "h": "high",
        "l": "low",
        "c": "close",
        "v": "volume",
        "n": "trade_count",
        "vw": "vwap",
    }
    rows = bars.select(pl.col(ours).alias(theirs) for theirs, ours in columns.items()).to_dicts()
    return [
        {
            name: _whole(value) if name in {"v", "n"} else value
            for name, value in row.items()
            if value is not None
        }
        for row in rows
    ]


def quote_rows(quotes: pl.DataFrame, lot_shares: float = 100.0) -> list[Json]:
    """Quotes as {t, ax, ap, as, bx, bp, bs, c, z}; sizes in lots, an absent side is price 0."""
    return [
        {
            "t": row["timestamp"],
            "ax": "V",
            "ap": row["ask"] or 0,
            "as": (row["ask_size"] or 0) / lot_shares,
            "bx": "V",
            "bp": row["bid"] or 0,
            "bs": (row["bid_size"] or 0) / lot_shares,
            "c": _codes(row["conditions"]) or ["R"],
            "z": "C",
        }
        for row in quotes.to_dicts()
    ]


def trade_rows(trades: pl.DataFrame) -> list[Json]:
    """Trades as {t, x, p, s, c, i, z}, and `u` where one is suspicious."""
    return [
        {
            "t": row["timestamp"],
            "x": row["exchange"],
            "p": row["price"],
            "s": _whole(row["size"]),
            "c": _codes(row["conditions"]),
            "i": int(row["trade_id"]),
            "z": "C",
        }
        | ({"u": "canceled"} if row["suspicious"] else {})
        for row in trades.to_dicts()
    ]


def action_rows(actions: pl.DataFrame, days_to_payment: int = 20) -> dict[str, list[Json]]:
    """CORPORATE_ACTIONS as Alpaca groups them; cash is processed on its payment, a split on its
    ex-date.
    """
    groups: dict[str, list[Json]] = {
        "forward_splits": [],
        "reverse_splits": [],
        "cash_dividends": [],
    }
    for row in actions.sort("date", "symbol", "kind").to_dicts():
        shared = {
            "id": str(uuid5(NAMESPACE_DNS, f"{row['symbol']} {row['date']} {row['kind']}")),
            "symbol": row["symbol"],
            "ex_date": str(row["date"]),
        }
        if row["kind"] == "dividend":
            paid = str(row["date"] + timedelta(days=days_to_payment))
            groups["cash_dividends"].append(
                {
                    **shared,
                    "cusip": "000000000",
                    "rate": row["value"],
                    "special": False,
                    "foreign": False,
                    "process_date": paid,
                    "payable_date": paid,
                }
            )
        else:
            ratio = Fraction(row["value"]).limit_denominator(100_000)
            name, cusips = (
                ("forward_splits", {"cusip": "000000000"})
                if ratio > 1
                else ("reverse_splits", {"old_cusip": "000000000", "new_cusip": "000000001"})
            )
            groups[name].append(
                {
                    **shared,
                    **cusips,
                    "new_rate": ratio.numerator,
                    "old_rate": ratio.denominator,
                    "process_date": shared["ex_date"],
                }
            )
    return groups


def asset_rows(symbols: Sequence[str], inactive: Sequence[str] = ()) -> list[Json]:
    """US equities that can be traded, and some that cannot any more."""
    return [
        {
            "id": str(uuid5(NAMESPACE_DNS, symbol)),
            "class": "us_equity",
            "exchange": "NYSE",
            "symbol": symbol,
            "name": f"{symbol} Common Stock",
            "status": "inactive" if symbol in inactive else "active",
            **dict.fromkeys(
                ("tradable", "marginable", "shortable", "easy_to_borrow", "fractionable"),
                symbol not in inactive,
            ),
            "attributes": [],
        }
        for symbol in [*symbols, *inactive]
    ]


def pair_row(symbol: str, minimum: str, quantity_step: str, price_step: str) -> Json:
    """A pair of a coin and a currency that can be traded."""
    return {
        "id": str(uuid5(NAMESPACE_DNS, symbol)),
        "class": "crypto",
        "exchange": "CRYPTO",
        "symbol": symbol,
        "name": f"{symbol} pair",
        "status": "active",
        "tradable": True,
        "marginable": False,
        "shortable": False,
        "easy_to_borrow": False,
        "fractionable": True,
        "min_order_size": minimum,
        "min_trade_increment": quantity_step,
        "price_increment": price_step,
        "attributes": [],
    }


def day_rows(schedule: pl.DataFrame) -> list[Json]:
    """Rows of `Calendar.schedule` as /v2/calendar writes them: New York times, with a colon in two
    and without in the others.
    """

    def local(moment: datetime, form: str) -> str:
        return moment.astimezone(NEW_YORK).strftime(form)

    return [
        {
            "date": str(row["date"]),
            "open": local(row["open"], "%H:%M"),
            "close": local(row["close"], "%H:%M"),
            "session_open": local(row["pre_open"], "%H%M"),
            "session_close": local(row["post_close"], "%H%M"),
            "settlement_date": str(row["date"] + timedelta(days=1)),
        }
        for row in schedule.to_dicts()
    ]


def clock_row(schedule: pl.DataFrame, now: datetime) -> Json:
    """/v2/clock at `now`: New York's offset and nine digits, as Alpaca writes it."""

    def local(moment: datetime) -> str:
        return moment.astimezone(NEW_YORK).isoformat(timespec="seconds")

    row = {
        "next_open": schedule.filter(pl.col("open") > now)["open"].min(),
        "next_close": schedule.filter(pl.col("close") > now)["close"].min(),
    }
    digits = f".{now.microsecond:06d}789"
    stamp = local(now)
    open_now = schedule.filter((pl.col("open") <= now) & (pl.col("close") > now)).height > 0
    return {
        "timestamp": f"{stamp[:19]}{digits}{stamp[19:]}",
        "is_open": open_now,
        **{name: local(moment) for name, moment in row.items() if isinstance(moment, datetime)},
    }


def daily_stamp(session: datetime) -> datetime:
    """Midnight UTC of a session date as Alpaca stamps the day: New York's midnight."""
    day = session.astimezone(UTC).date()
    return datetime(day.year, day.month, day.day, tzinfo=NEW_YORK).astimezone(UTC)


def rfc3339(moment: datetime) -> str:
    """UTC with `Z`, and only as many digits as needed, as Go's RFC3339Nano writes it."""
    text = moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%S.%f").rstrip("0").rstrip(".")
    return f"{text}Z"


def page_token(symbol: str, moment: datetime, number: int) -> str:
    """Where the next page goes on: after the `number`-th row of this symbol and time."""
    return base64.urlsafe_b64encode(f"{symbol}|{moment.isoformat()}|{number}".encode()).decode()


def read_token(token: str) -> tuple[str, datetime, int]:
    """The place that a page token names. Raises ValueError for a text that is none."""
    symbol, moment, number = base64.urlsafe_b64decode(token.encode()).decode().split("|")
    return symbol, datetime.fromisoformat(moment), int(number)


def within(row: Mapping[str, Any], first: date, last: date) -> bool:
    """Whether an action was processed in `first <= day <= last`."""
    return first <= date.fromisoformat(row["process_date"]) <= last


def _whole(value: float | None) -> float | int | None:
    return int(value) if value is not None and value == int(value) else value


def _codes(text: str | None) -> list[str]:
    return text.split(",") if text else []
