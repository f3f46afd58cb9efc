"""Files of bars in the form of four vendors, for markets without recorded data: a coin below a
cent, Bombay's half hours, futures whose sessions begin the evening before, spot gold.

The prices are invented: seeded random walks on the market's own tick, in its own sessions. Nothing
in them is predictable, so a promotion gate that lets a model pass on them is wrong. The same seed
gives the same bytes.

    python -m harmony_pipeline.testing.vendor_files            # all, into .harmony/generated
    python -m harmony_pipeline.testing.vendor_files nse_half_hours --folder bars --end 2023-02-01
"""

import argparse
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from pathlib import Path

import numpy as np
import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.steps import decimals_of, tick_fraction

FOLDER = Path(".harmony/generated")
_STEPS = 8  # prices drawn inside a bar, for its high and low
_SEED = 20_260


@dataclass(frozen=True)
class Walk:
    """One symbol's random walk.

    volatility: deviation of a bar's log return; gap: that of the step between two sessions; volume:
    median of a bar, in steps of `lot`.
    """

    name: str
    price: float
    tick: float
    volatility: float
    gap: float
    volume: float
    lot: float = 1.0


@dataclass(frozen=True)
class Market:
    """One folder of files: `file` makes the name of a symbol's file, `write` its text."""

    calendar: str
    minutes: int
    first: date
    end: date
    walks: tuple[Walk, ...]
    file: Callable[[str], str]
    write: Callable[[pl.DataFrame, Walk], pl.DataFrame]


def generate(
    name: str, folder: Path, first: date | None = None, end: date | None = None
) -> list[Path]:
    """Write the files of a market into `folder`/`name`, for `first <= session date < end`; returns
    their paths.
    """
    market = MARKETS[name]
    starts = bar_starts(market, first or market.first, end or market.end)
    target = folder / name
    target.mkdir(parents=True, exist_ok=True)
    paths = []
    for number, walk in enumerate(market.walks):
        path = target / market.file(walk.name)
        market.write(simulate_walk(walk, starts, _SEED + number), walk).write_csv(path)
        paths.append(path)
    return paths


def bar_starts(market: Market, first: date, end: date) -> pl.DataFrame:
    """timestamp, opens (first bar of its session): every bar of the market's sessions, cut from
    each session's open.
    """
    sessions = Calendar.of(market.calendar).schedule(first, end)
    step = timedelta(minutes=market.minutes)
    starts = pl.datetime_ranges("open", "close", interval=step, closed="left")
    bars = sessions.select(starts.alias("timestamp"), "open").explode("timestamp")
    return bars.select("timestamp", opens=pl.col("timestamp") == pl.col("open"))


def simulate_walk(walk: Walk, starts: pl.DataFrame, seed: int) -> pl.DataFrame:
    """timestamp, open, high, low, close, volume: bars whose volatility clusters, on the tick, never
    below one tick.
    """
    chance, bars = np.random.default_rng(seed), starts.height
    mood = np.empty(bars)
    shocks, level = chance.normal(0.0, 0.05, bars), 0.0
    for at, shock in enumerate(shocks):
        level = 0.99 * level + shock
        mood[at] = level
    scale = walk.volatility * np.exp(mood)
    steps = chance.normal(size=(bars, _STEPS)) * (scale / np.sqrt(_STEPS))[:, None]
    between = np.where(starts["opens"].to_numpy(), chance.normal(0.0, walk.gap, bars), 0.0)
    between[0] = 0.0
    # so that the price itself is a fair game
    drift = 0.5 * (scale**2 + np.where(between != 0.0, walk.gap**2, 0.0))
    ends = np.log(walk.price) + np.cumsum(steps.sum(axis=1) + between - drift)
    opens = np.concatenate([[np.log(walk.price)], ends[:-1]]) + between
    path = opens[:, None] + np.cumsum(steps, axis=1)
    prices = np.column_stack(
        [
            opens,
            np.maximum(opens, path.max(axis=1)),
            np.minimum(opens, path.min(axis=1)),
            path[:, -1],
        ]
    )
    tick = tick_fraction(walk.tick)
    ticks = np.maximum(np.rint(np.exp(prices) * tick.denominator / tick.numerator), 1.0)
    priced = ticks * tick.numerator / tick.denominator
    busy = np.exp(chance.normal(0.0, 0.5, bars) + 0.6 * np.abs(steps.sum(axis=1)) / scale - 0.5)
    volume = np.maximum(np.rint(walk.volume * busy / walk.lot), 1.0) * walk.lot
    columns = dict(zip(("open", "high", "low", "close"), priced.T, strict=True))
    return pl.DataFrame(
        {
            "timestamp": starts["timestamp"],
            **{name: np.ascontiguousarray(values) for name, values in columns.items()},
            "volume": volume,
        }
    )


def _prices(bars: pl.DataFrame, walk: Walk) -> list[pl.Series]:
    """Prices with all decimals of the tick, as vendors write them: 0.00001000, not 1e-05."""
    decimals = decimals_of(walk.tick)
    return [
        pl.Series(name, [f"{value:.{decimals}f}" for value in bars[name].to_list()])
        for name in ("open", "high", "low", "close")
    ]


def _kite(bars: pl.DataFrame, walk: Walk) -> pl.DataFrame:
    """Zerodha's historical candles: start of the bar with its offset, `2023-01-02
    09:15:00+05:30`.
    """
    stamp = (
        pl.col("timestamp")
        .dt.convert_time_zone("Asia/Kolkata")
        .dt.strftime("%Y-%m-%d %H:%M:%S%:z")
        .alias("date")
    )
    return bars.select(stamp, *_prices(bars, walk), pl.col("volume").cast(pl.Int64))


def _tradingview(bars: pl.DataFrame, walk: Walk) -> pl.DataFrame:
    """TradingView's export with ISO times: start of the bar on the exchange's clock,
    `2023-01-02T17:00:00-06:00`.
    """
    stamp = (
        pl.col("timestamp")
        .dt.convert_time_zone("America/Chicago")
        .dt.strftime("%Y-%m-%dT%H:%M:%S%:z")
        .alias("time")
    )
    return bars.select(stamp, *_prices(bars, walk), pl.col("volume").cast(pl.Int64).alias("Volume"))


def _ccxt(bars: pl.DataFrame, walk: Walk) -> pl.DataFrame:
    """Candles as ccxt's users keep them: milliseconds since 1970."""
    stamp = pl.col("timestamp").dt.epoch("ms").alias("timestamp")
    return bars.select(stamp, *_prices(bars, walk), pl.col("volume").round(2))


def _broker(bars: pl.DataFrame, walk: Walk) -> pl.DataFrame:
    """A broker's bars of bids as its interface gives them: start of the bar in UTC, and the number
    of its own quotes.
    """
    stamp = pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%SZ").alias("time")
    count = pl.col("volume").cast(pl.Int64).alias("tick_volume")
    return bars.select(stamp, *_prices(bars, walk), count)


MARKETS: Mapping[str, Market] = {
    "sub_cent_coin": Market(
        "24/7",
        60,
        date(2023, 1, 1),
        date(2024, 7, 1),
        (
            Walk("SHIB", 0.00001, 1e-8, 0.005, 0.0, 60_000_000_000.0),
            Walk("FLOKI", 0.0000312, 1e-8, 0.006, 0.0, 25_000_000_000.0),
            Walk("BTC", 16_500.0, 0.01, 0.003, 0.0, 900.0, 1e-5),
        ),
        "{}_USDT-1h.csv".format,
        _ccxt,
    ),
    "nse_half_hours": Market(
        "XBOM",
        30,
        date(2022, 1, 3),
        date(2024, 7, 1),
        (
            Walk("ANANTA", 2450.0, 0.05, 0.0028, 0.008, 180_000.0),
            Walk("BHUMI", 612.5, 0.05, 0.0033, 0.009, 420_000.0),
            Walk("CHANDRA", 88.4, 0.05, 0.0040, 0.011, 2_100_000.0),
            Walk("DHARA", 5120.0, 0.05, 0.0026, 0.007, 60_000.0),
            Walk("ESHA", 1375.0, 0.05, 0.0030, 0.009, 240_000.0),
        ),
        "{}.csv".format,
        _kite,
    ),
    "cme_evening_sessions": Market(
        "CMES",
        60,
        date(2022, 1, 3),
        date(2024, 7, 1),
        (
            Walk("ES1!", 4770.0, 0.25, 0.0016, 0.0012, 48_000.0),
            Walk("NQ1!", 16_320.0, 0.25, 0.0021, 0.0015, 21_000.0),
            Walk("CL1!", 76.0, 0.01, 0.0034, 0.002, 14_000.0),
        ),
        "CME_{}, 60.csv".format,
        _tradingview,
    ),
    "xauusd_hourly": Market(
        "METALS",
        60,
        date(2021, 1, 4),
        date(2024, 7, 1),
        (Walk("XAUUSD", 1905.0, 0.01, 0.0017, 0.0012, 5_200.0),),
        "{}.csv".format,
        _broker,
    ),
}


def main(arguments: Sequence[str]) -> int:
    """Write the requested files and print their paths; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m harmony_pipeline.testing.vendor_files",
        description="bars of invented prices in vendors' own forms",
    )
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"default: {', '.join(MARKETS)}")
    parser.add_argument("--folder", type=Path, default=FOLDER, help=f"default: {FOLDER}")
    parser.add_argument(
        "--first", type=date.fromisoformat, help="first session date, like 2023-01-02"
    )
    parser.add_argument(
        "--end", type=date.fromisoformat, help="first session date that is left out"
    )
    chosen = parser.parse_args(arguments)
    unknown = [name for name in chosen.names if name not in MARKETS]
    if unknown:
        parser.error(f"there is no market {', '.join(unknown)}; choose from {', '.join(MARKETS)}")
    for name in chosen.names or MARKETS:
        for path in generate(name, chosen.folder, chosen.first, chosen.end):
            sys.stdout.write(f"wrote {path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
