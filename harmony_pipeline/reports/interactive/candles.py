"""The bars around trades, packed for the page: each symbol's bars once, a trade points into them.

Prices are raw. Of every trade the page may show the bars from a little before its entry to a little
after its exit; of a very long one the end is cut, and the page says so. Trades are known by their
number in the page's list.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

BEFORE, AFTER = 24, 16  # bars shown around a trade
_LONGEST = 300  # bars shown of one trade
_MOST_TRADES = 300  # with candles: the best, the worst and the latest third each
_MOST_SYMBOLS = 30  # with a chart of the whole run
_PRICES = ("open", "high", "low", "close")
Candles = dict[str, list[Any]]


@dataclass(frozen=True)
class PackedCandles:
    """What the page's script draws from.

    bars: by symbol, open, high, low, close, factor and time: seconds on the exchange's clock since
    1970, the first and then the steps. places: by trade number, [first, last, entry, exit, stop,
    take, late] in its symbol's bars (null: not shown, open, no such leg), or null for a trade
    without candles; levels are raw, as they were at the entry, and where `late` is 1 met from the
    bar after it on. days: by symbol, daily candles of the whole run and its trades: their numbers
    and the days of entry and exit, as places in `date`.
    """

    bars: dict[str, Candles]
    places: list[list[float | None] | None]
    days: dict[str, Candles]


def packed_candles(
    trades: pl.DataFrame,
    orders: pl.DataFrame,
    bars: pl.DataFrame,
    session_dates: pl.Series,
    zone: str,
) -> PackedCandles:
    """Candles of chosen trades and of the symbols that traded most.

    trades: in the order of the page's list. orders: of the same backtest. bars: its regular bars,
    sorted by symbol and time; session_dates: the session of each. zone: that of the clock on which
    times are told; UTC for daily and weekly bars.
    """
    numbered = trades.with_row_index("number").with_columns(pl.col("number").cast(pl.Int64))
    with_bars = pl.col("symbol").is_in(trades["symbol"].unique().to_list())
    frames = {
        str(key[0]): frame
        for key, frame in bars.with_columns(session_date=session_dates)
        .filter(with_bars)
        .partition_by("symbol", as_dict=True)
        .items()
    }
    levels = _levels(orders)
    packed: dict[str, Candles] = {}
    places: list[list[float | None] | None] = [None] * trades.height
    for key, mine in _chosen(numbered).partition_by("symbol", as_dict=True).items():
        symbol = str(key[0])
        if symbol in frames:
            packed[symbol], found = _pack(mine, frames[symbol], zone)
            for (number, place), name in zip(found.items(), mine["trade_id"], strict=True):
                places[number] = [*place, *levels.get(name, (None, None, 0))]
    return PackedCandles(dict(sorted(packed.items())), places, _days(numbered, frames))


def _chosen(trades: pl.DataFrame) -> pl.DataFrame:
    """The trades that get candles: all, or the best, the worst and the latest."""
    if trades.height <= _MOST_TRADES:
        return trades
    part = _MOST_TRADES // 3
    closed = trades.drop_nulls("return").sort("return", "trade_id")
    latest = trades.sort("entry_timestamp", "trade_id").tail(part)
    return pl.concat([closed.head(part), closed.tail(part), latest]).unique(
        "trade_id", maintain_order=True
    )


def _pack(
    trades: pl.DataFrame, bars: pl.DataFrame, zone: str
) -> tuple[Candles, dict[int, list[float | None]]]:
    """Only the bars that some trade shows, and [first, last, entry, exit] of each trade in them."""
    stamps = bars["timestamp"]
    entries = np.asarray(stamps.search_sorted(trades["entry_timestamp"]), dtype=np.int64)
    leaves = np.asarray(
        stamps.search_sorted(trades["exit_timestamp"].fill_null(stamps[-1])), dtype=np.int64
    )
    firsts = np.clip(entries - BEFORE, 0, bars.height - 1)
    lasts = np.minimum(np.minimum(leaves + AFTER, firsts + _LONGEST - 1), bars.height - 1)
    shown = np.zeros(bars.height, dtype=np.bool_)
    for first, last in zip(firsts, lasts, strict=True):
        shown[first : last + 1] = True
    at = np.cumsum(shown) - 1
    is_open = trades["exit_timestamp"].is_null().to_numpy()
    places: dict[int, list[float | None]] = {}
    for number, first, last, entry, leave, still in zip(
        trades["number"], firsts, lasts, entries, leaves, is_open, strict=True
    ):
        out = None if still or leave > last else int(at[leave])
        places[number] = [
            int(at[first]), int(at[last]), int(at[entry]) if entry <= last else None, out,
        ]  # fmt: skip
    rows = bars.filter(pl.Series(shown))
    wall = rows["timestamp"].dt.convert_time_zone(zone).dt.replace_time_zone(None).dt.epoch("s")
    return {
        "time": wall.diff().fill_null(wall[0]).to_list(),
        **{name: rows[name].to_list() for name in _PRICES},
        "factor": rows["adjustment_factor"].to_list(),
    }, places


def _levels(orders: pl.DataFrame) -> dict[str, tuple[float | None, float | None, int]]:
    """By trade: the raw prices of its stop and its limit as they were at the entry, and whether it
    was entered at a close.
    """
    late = set(orders.filter(pl.col("time_in_force") == "cls")["order_id"])
    legs = (
        orders.drop_nulls("parent_id")
        .group_by("parent_id")
        .agg(
            stop=pl.col("stop_price").drop_nulls().first(),
            take=pl.col("limit_price").drop_nulls().first(),
        )
    )
    return {
        str(parent).removesuffix("-entry"): (stop, take, int(parent in late))
        for parent, stop, take in legs.iter_rows()
    }


def _days(trades: pl.DataFrame, frames: dict[str, pl.DataFrame]) -> dict[str, Candles]:
    """Daily candles of the symbols that traded most, with every entry and exit."""
    busiest = (
        trades.group_by("symbol").len().sort(["len", "symbol"], descending=[True, False])["symbol"]
    )
    found = {}
    for symbol in sorted(busiest.head(_MOST_SYMBOLS).to_list()):
        if symbol not in frames:
            continue
        days = (
            frames[symbol]
            .group_by("session_date", maintain_order=True)
            .agg(
                pl.col("open").first(), pl.col("high").max(), pl.col("low").min(),
                pl.col("close").last(),
            )
        )  # fmt: skip
        mine = trades.filter(pl.col("symbol") == symbol)
        place_of = frames[symbol].select(
            "timestamp", place=(pl.col("session_date").rle_id()).cast(pl.Int64)
        )
        found[symbol] = {
            "date": [f"{day:%Y-%m-%d}" for day in days["session_date"]],
            **{name: days[name].to_list() for name in _PRICES},
            "trades": mine["number"].to_list(),
            "entries": _places(place_of, mine["entry_timestamp"]),
            "exits": _places(place_of, mine["exit_timestamp"]),
        }
    return found


def _places(known: pl.DataFrame, moments: pl.Series) -> list[int | None]:
    """Place of the day that holds the bar which starts at each moment."""
    asked = moments.alias("timestamp").to_frame()
    return asked.join(known, on="timestamp", how="left", maintain_order="left")["place"].to_list()
