"""Strategies that know what they may not, each in its own way, and twins that do not."""

import time
from datetime import date

import numpy as np
import polars as pl

_SEEN: list[pl.DataFrame] = []


class _OnReturns:
    def required_features(self):
        return ("log_return",)

    def signals(self, features):
        known = features.filter(pl.col("log_return").is_finite()).sort("symbol", "timestamp")
        side = self.value(known).sign().fill_null(0).cast(pl.Int8)
        return known.select("symbol", "timestamp", side=side, strength=pl.lit(1.0))

    def value(self, known):
        raise NotImplementedError


class LastReturn(_OnReturns):
    """Clean: the bar's own return."""

    def value(self, known):
        return known["log_return"]


class NextReturn(_OnReturns):
    def value(self, known):
        return known.select(pl.col("log_return").shift(-1).over("symbol")).to_series()


class WholeScale(_OnReturns):
    """Above or below the mean of the whole frame."""

    def value(self, known):
        return known.select(pl.col("log_return") - pl.col("log_return").mean()).to_series()


class LastRow(_OnReturns):
    """Goes where the last row of the frame went."""

    def value(self, known):
        last = known.sort("timestamp", "symbol")["log_return"][-1]
        return pl.Series(np.full(known.height, last))


class _Remembered(_OnReturns):
    """The next return of whatever it was ever shown."""

    def seen(self):
        raise NotImplementedError

    def value(self, known):
        self.seen().append(known)
        every = pl.concat(self.seen()).unique(
            ["symbol", "timestamp"], keep="first", maintain_order=True
        )
        ahead = every.sort("symbol", "timestamp").select(
            "symbol", "timestamp", ahead=pl.col("log_return").shift(-1).over("symbol")
        )
        joined = known.join(ahead, on=["symbol", "timestamp"], how="left", maintain_order="left")
        return joined["ahead"]


class KeptInTheClass(_Remembered):
    kept: list[pl.DataFrame] = []  # noqa: RUF012  (the leak)

    def seen(self):
        return self.kept


class KeptInTheModule(_Remembered):
    def seen(self):
        return _SEEN


class Clock(_OnReturns):
    """Takes the side of the moment at which it is asked."""

    def value(self, known):
        draw = np.random.default_rng(time.perf_counter_ns())
        return pl.Series(draw.normal(size=known.height))


class ReadsTheFile(_OnReturns):
    """The next return, looked up in a file of bars."""

    file = ""

    def value(self, known):
        bars = pl.read_parquet(ReadsTheFile.file).sort("symbol", "timestamp")
        ahead = bars.select(
            "symbol",
            "timestamp",
            ahead=(pl.col("close").shift(-1) / pl.col("close")).over("symbol"),
        )
        joined = known.join(ahead, on=["symbol", "timestamp"], how="left", maintain_order="left")
        return joined["ahead"] - 1.0


class KnowsTheDay(_OnReturns):
    """Short on a day of which it was known afterwards what it was."""

    def value(self, known):
        worst = pl.col("timestamp").dt.date() == date(2024, 2, 7)
        return known.select(pl.when(worst).then(-1).otherwise("log_return")).to_series()


class Weekday(_OnReturns):
    """Clean: another side on each day of the week, in some weeks of some months."""

    def value(self, known):
        stamp = pl.col("timestamp")
        days = stamp.dt.weekday() + stamp.dt.month() + stamp.dt.day() + stamp.dt.ordinal_day()
        return known.select(days % 3 - 1).to_series()
