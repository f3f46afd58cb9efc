"""Corporate actions inside the judging loop: the forward factor of `market/adjustments.py` as a fold over bars.

As there, bit for bit: an action counts from the first bar of its ex-date on, actions of one date multiply (dividends
before splits, so that cash is per share as it stood), and the previous close is the last regular one, in the shares of that morning.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.frames import formatted
from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.validation.symbol_state import CLOSE, FACTOR, LAST_DAY, SEEN, SPLITS, apply_split
from harmony_pipeline.schemas import CORPORATE_ACTIONS

DIVIDEND, SPLIT, OTHER = 0, 1, 2
APPLIED, UNKNOWN_KIND, NOT_ABOVE_ZERO, NO_CLOSE, NOT_BELOW_CLOSE = 0, 1, 2, 3, 4


# Rows of the two matrices, one column an action, sorted by symbol, date and kind.
DAY, KIND, PROBLEM, ROW = 0, 1, 2, 3  # whole numbers; the judge fills PROBLEM and the row at which it arose
VALUE, USED_CLOSE = 0, 1  # numbers; the judge fills the close that it used


class Actions(NamedTuple):
    """Actions of a batch: those of segment i are `begin[i]` to `begin[i + 1]`; `frame` has the same ones in the same order."""

    begin: IntArray
    whole: IntArray
    real: FloatArray
    frame: pl.DataFrame


def packed(actions: pl.DataFrame, symbols: pl.Series) -> Actions:
    """The actions of `symbols`, whose places are the segments."""
    if not actions.height:
        return Actions(np.zeros(symbols.len() + 1, np.int64), np.empty((4, 0), np.int64), np.empty((2, 0)), actions)
    segments = pl.DataFrame({"symbol": symbols, "segment": np.arange(symbols.len())})
    mine = (
        actions.select(list(CORPORATE_ACTIONS.columns))
        .join(segments, on="symbol", how="inner")
        .sort("segment", "date", "kind", "value", maintain_order=True)
        .with_columns(
            day=pl.col("date").cast(pl.Int32).cast(pl.Int64),
            number=pl.col("kind").replace_strict({"dividend": DIVIDEND, "split": SPLIT}, default=OTHER, return_dtype=pl.Int64),
            problem=pl.lit(APPLIED, pl.Int64),
            at=pl.lit(-1, pl.Int64),
            close=pl.lit(math.nan),
        )
    )
    begin = np.searchsorted(mine["segment"].to_numpy(), np.arange(symbols.len() + 1)).astype(np.int64)
    # Copies, since the judge writes into them and Polars may hand out its own memory.
    whole = np.array(mine.select("day", "number", "problem", "at").to_numpy().T, np.int64, order="C")
    real = np.array(mine.select(pl.col("value").cast(pl.Float64), "close").to_numpy().T, np.float64, order="C")
    return Actions(begin, whole, real, mine)


def fitted(actions: pl.DataFrame, symbols: Sequence[str]) -> tuple[pl.DataFrame, list[str]]:
    """The actions under the symbols of the bars, and what had to be said about them.

    An action whose symbol differs from one symbol of the bars by its letters' case alone is that symbol's. Of splits of one symbol and date that
    contradict each other the first in order of `value` counts; they are never multiplied.
    """
    known, strange = set(symbols), actions.filter(~pl.col("symbol").is_in(list(symbols)))
    letters: dict[str, list[str]] = {}
    for symbol in known:
        letters.setdefault(symbol.upper(), []).append(symbol)
    there = strange["symbol"].unique().to_list()
    meant = {found: letters[found.upper()][0] for found in sorted(there) if len(letters.get(found.upper(), ())) == 1}
    told = [f"the corporate actions of {found} are taken for {symbol}, which the bars write in other letters" for found, symbol in meant.items()]
    renamed = actions.with_columns(pl.col("symbol").replace(meant)) if meant else actions
    renamed = renamed.unique(["symbol", "date", "kind", "value"], keep="first", maintain_order=True)
    ordered = renamed.sort("symbol", "date", "kind", "value", maintain_order=True)
    split = pl.col("kind") == "split"
    again = (split & (pl.struct("symbol", "date", "kind") == pl.struct("symbol", "date", "kind").shift())).fill_null(value=False)
    both = ordered.with_columns(again=again, kept=pl.col("value").first().over("symbol", "date", "kind"))
    told += [
        f"two splits of {symbol} on {day}, {kept:g} and {value:g}: {kept:g} is applied; correct the corporate actions"
        for symbol, day, value, kept in both.filter("again").select("symbol", "date", "value", "kept").iter_rows()
    ]
    return both.filter(~pl.col("again")).select(actions.columns), told


def problems(actions: Actions) -> pl.DataFrame:
    """The actions that were due and could not be applied: a sentence (note) and the place of the row at which that was known (place)."""
    if not actions.whole[PROBLEM].any():
        return pl.DataFrame(schema={"note": pl.String(), "place": pl.Int64()})
    label = formatted("{} of {} on {} ({})", "kind", "symbol", "date", "value")
    told = actions.frame.with_columns(problem=pl.Series(actions.whole[PROBLEM]), close=pl.Series(actions.real[USED_CLOSE])).select(
        pl.when(pl.col("problem") == UNKNOWN_KIND)
        .then(formatted("{} is not applied: its kind is neither split nor dividend", label))
        .when(pl.col("problem") == NOT_ABOVE_ZERO)
        .then(formatted("{} is not applied: its value is not above 0; correct the corporate actions", label))
        .when(pl.col("problem") == NO_CLOSE)
        .then(formatted("{} is not applied: no regular close before it is known", label))
        .when(pl.col("problem") == NOT_BELOW_CLOSE)
        .then(formatted("{} is not applied: it is not below the previous close {}; correct the corporate actions", label, "close"))
        .alias("note"),
        place=pl.Series(actions.whole[ROW]),
    )
    return told.drop_nulls("note")


@kernel
def first_due(whole: IntArray, begin: int, end: int, state: FloatArray) -> int:
    """The first action of a symbol after the last day seen; all of them wait while the symbol was never seen."""
    return skip_until(whole, begin, end, int(state[LAST_DAY])) if state[SEEN] != 0.0 else begin


@kernel
def skip_until(whole: IntArray, at: int, end: int, day: int) -> int:
    """Past every action on or before `day`, uncounted: a symbol's first bar is the base of its factor."""
    while at < end and whole[DAY, at] <= day:
        at += 1
    return at


@kernel
def apply_until(whole: IntArray, real: FloatArray, at: int, end: int, state: FloatArray, day: int, row: int) -> int:
    """Move the factor, and what is remembered in old shares, over every action on or before `day`."""
    while at < end and whole[DAY, at] <= day:
        date, multiplier, splits = whole[DAY, at], 1.0, 1.0
        while at < end and whole[DAY, at] == date:
            value = real[VALUE, at]
            whole[ROW, at] = row
            if whole[KIND, at] == OTHER:
                whole[PROBLEM, at] = UNKNOWN_KIND
            elif not value > 0.0:
                whole[PROBLEM, at] = NOT_ABOVE_ZERO
            elif whole[KIND, at] == SPLIT:
                multiplier *= value
                splits *= value
            else:
                close = state[CLOSE] / state[SPLITS]
                real[USED_CLOSE, at] = close
                if math.isnan(close):
                    whole[PROBLEM, at] = NO_CLOSE
                elif value >= close:
                    whole[PROBLEM, at] = NOT_BELOW_CLOSE
                else:
                    multiplier *= close / (close - value)
            at += 1
        state[FACTOR] *= multiplier
        if splits != 1.0:
            apply_split(state, splits)
        state[LAST_DAY] = float(date)
    return at
