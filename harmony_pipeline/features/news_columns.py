"""The table of columns made of headlines, and what they are folded from.

A fold has bars, not headlines. What it is given beside a bar are two totals of the bar's symbol:
how many headlines were known before the bar's end, and the sum of their scores. Both are whole
numbers (a score counts in millionths), so a difference of two totals is exact, and any cut of the
bars gives the same bits. A headline that becomes known at the very end of a bar belongs to the next
one: whoever decides at the end has not read it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.features.indicator import Indicator
from harmony_pipeline.features.kernel_inputs import lag_state_size
from harmony_pipeline.hashing import hash_of_parts
from harmony_pipeline.instants import micros
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.text_columns import run_starts

HEADLINES, SCORES = "news_total", "news_score_total"
TOTALS = (HEADLINES, SCORES)
"""Columns that no kernel computes: they come with the bars."""
UNIT = 1_000_000  # of a score: totals count in its millionths

_HALF_LIFE = "2^(-1 / N)"


NEWS = (
    Indicator(
        "news_count",
        ("N",),
        "news_kernels:news_count",
        lag_state_size,
        "headlines that became known during the last N bars",
        "definition",
        "N + 1",
        "headlines",
        smallest=1,
        reads=lambda _: (HEADLINES,),
    ),
    Indicator(
        "news_sentiment",
        ("N",),
        "news_kernels:news_sentiment",
        lambda _: 5,
        f"s / (1 + w) with s = {_HALF_LIFE} s + scores of the headlines since the bar before,"
        f" w = {_HALF_LIFE} w + their number",
        "definition; scores: docs/news.md",
        "1",
        "-1 to 1",
        smallest=1,
        reads=lambda _: TOTALS,
    ),
    Indicator(
        "bars_since_news",
        (),
        "news_kernels:bars_since_news",
        lambda: 3,
        "bars since the one in which the last headline became known, 0 there",
        "definition",
        "the first headline after the first bar",
        "bars",
        reads=lambda: (HEADLINES,),
    ),
    Indicator(
        HEADLINES,
        (),
        "",
        lambda: 0,
        "headlines of the symbol that were known before the bar's end, of all time",
        "definition",
        "1",
        "headlines",
        given=True,
    ),
    Indicator(
        SCORES,
        (),
        "",
        lambda: 0,
        "sum of their scores, in millionths",
        "definition; scores: docs/news.md",
        "1",
        "millionths",
        given=True,
    ),
)


@dataclass(frozen=True)
class NewsTotals:
    """Headlines known so far, by symbol. `moments` are microseconds UTC in order, `scores` the sums
    of the scores up to and with each headline, in millionths.
    """

    moments: Mapping[str, IntArray]
    scores: Mapping[str, IntArray]

    @staticmethod
    def of(scored: pl.DataFrame) -> "NewsTotals":
        """Of rows with symbol, known_at and score (null: none, which counts as 0)."""
        rows = scored.select("symbol", "known_at", pl.col("score").fill_null(0.0)).sort(
            "symbol", "known_at", "score"
        )
        starts = run_starts(rows["symbol"])
        names = rows["symbol"].gather(starts[:-1]).to_list()
        stamps = rows["known_at"].dt.epoch("us").to_numpy()
        units = np.rint(rows["score"].to_numpy() * UNIT).astype(np.int64)
        moments, sums = dict[str, IntArray](), dict[str, IntArray]()
        for name, first, last in zip(names, starts[:-1].tolist(), starts[1:].tolist(), strict=True):
            moments[name] = np.array(stamps[first:last], np.int64)
            sums[name] = np.cumsum(units[first:last])
        return NewsTotals(moments, sums)

    def only(self, symbols: Sequence[str]) -> "NewsTotals":
        """Those of these symbols."""
        kept = [symbol for symbol in symbols if symbol in self.moments]
        return NewsTotals(
            {symbol: self.moments[symbol] for symbol in kept},
            {symbol: self.scores[symbol] for symbol in kept},
        )

    def before(self, symbol: str, ends: IntArray) -> tuple[FloatArray, FloatArray]:
        """(headlines, scores) known before each of `ends`, microseconds UTC."""
        moments = self.moments.get(symbol)
        if moments is None:
            return np.zeros(ends.size), np.zeros(ends.size)
        counts = np.searchsorted(moments, ends, side="left")
        sums = np.concatenate([[0], self.scores[symbol]])[counts]
        return counts.astype(np.float64), sums.astype(np.float64)

    def at(self, symbol: str, end: int) -> tuple[float, float]:
        """The same of one bar, which ends at `end`."""
        moments = self.moments.get(symbol)
        count = 0 if moments is None else int(np.searchsorted(moments, end, side="left"))
        return float(count), float(self.scores[symbol][count - 1]) if count else 0.0

    @cached_property
    def hash(self) -> str:
        """Changes with every headline and score."""
        names = sorted(self.moments)
        arrays = (
            array.tobytes() for name in names for array in (self.moments[name], self.scores[name])
        )
        return hash_of_parts([repr(names), *arrays], 8)


def bar_ends(bars: pl.DataFrame, calendar: Calendar, timeframe: str) -> IntArray:
    """When each bar became known, microseconds UTC; of a bar outside every session its start."""
    ends = calendar.with_session(bars.select("symbol", "timestamp"), timeframe)
    moments = ends.select(pl.col("bar_end").fill_null(pl.col("timestamp")).dt.epoch("us"))
    return np.array(moments.to_series().to_numpy(), np.int64)


def end_of(moment: datetime | None, symbol: str) -> int:
    """The end of a live bar in microseconds UTC. Raises DataError where none is given."""
    if moment is None:
        raise DataError(
            f"{symbol}: this feature set reads news, and the bar does not say when it ended: give"
            " `end`"
        )
    return micros(moment)
