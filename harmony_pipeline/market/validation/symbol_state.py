"""The state that the rules keep of a symbol: a flat vector of floats, stored in the lake between
periods.

The state after a bar is a function of the state before it and of the bar. A cut of time or of the
symbols anywhere changes no bit. Prices in the state are in the shares of the last day seen, and a
split converts them on its day. NaN means "no value yet".

Returns and volumes are rolling windows of the last RETURNS regular bars and of the largest bar of
each of the last SESSIONS sessions. Their median and median absolute deviation (MAD) are computed
only for a bar that moved enough to be judged.
    robust z = (x - median) / max(1.4826 MAD, floor)
Source: Hampel (1974). The factor 1.4826 makes the MAD of a normal law its standard deviation.

Corporate actions are the forward factor of `market/adjustments.py` as a fold over bars, bit for
bit. An action counts from the first bar of its ex-date on. Actions of one date multiply, dividends
before splits, so that cash is per share before the split. The previous close is the last regular
one, in the shares of that morning.
"""

import math
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.frames import format_columns
from harmony_pipeline.kernel import kernel
from harmony_pipeline.schemas import CORPORATE_ACTIONS

SEEN, LAST_DAY, LAST_STAMP = 0, 1, 2  # 1.0 once a bar was accepted; its session day and start
# the last regular close, when, and which session of the calendar
CLOSE, CLOSE_DAY, CLOSE_STAMP, CLOSE_SESSION = 3, 4, 5, 6
FACTOR, SPLITS = 7, 8  # forward adjustment factor; splits since the last regular close, multiplied
# how often the last five values came in a row
RUN, SAME_OPEN, SAME_HIGH, SAME_LOW, SAME_CLOSE, SAME_VOLUME = 9, 10, 11, 12, 13, 14
# close before an outlier and its own, while the next bar is awaited
SPIKE_BASE, SPIKE_CLOSE, SPIKE_STAMP = 15, 16, 17
# a jump by a power of ten that is being watched
UNIT_BASE, UNIT_RATIO, UNIT_BARS, UNIT_STAMP = 18, 19, 20, 21
SESSION_VOLUME, SESSION_DAY = 22, 23  # largest regular bar of the running session
RETURN_COUNT, SESSION_COUNT = 24, 25  # values ever added to each window
BARS, IDLE_BARS = 26, 27  # accepted, and those of them without volume
LARGEST_VOLUME = 108  # of the window of sessions; 0.0 while too few are known
FROZEN = 109  # how often the last four prices came in a row, whatever the volume
# the last close that was refused for its scale, and how many were so in a row
SCALE_CLOSE, SCALE_BARS = 110, 111
RETURNS, SESSIONS = 60, 20
RETURN_WINDOW, SESSION_WINDOW = 28, 88
WIDTH = 112
FEWEST_RETURNS, FEWEST_SESSIONS = 30, 5  # a window of fewer values is not used
_NORMAL = 1.4826

# Corporate actions: kinds, and what came of applying one.
DIVIDEND, SPLIT, OTHER = 0, 1, 2
APPLIED, UNKNOWN_KIND, NOT_ABOVE_ZERO, NO_CLOSE, NOT_BELOW_CLOSE = 0, 1, 2, 3, 4

# Rows of the two matrices, one column an action, sorted by symbol, date and kind.
# whole numbers; the judge fills PROBLEM and the row at which it arose
DAY, KIND, PROBLEM, ROW = 0, 1, 2, 3
VALUE, USED_CLOSE = 0, 1  # numbers; the judge fills the close that it used


def empty_states(symbols: int) -> FloatArray:
    """The states of symbols that were never seen: one row each."""
    states = np.full((symbols, WIDTH), np.nan)
    counts = (
        SEEN,
        RUN,
        UNIT_BARS,
        RETURN_COUNT,
        SESSION_COUNT,
        BARS,
        IDLE_BARS,
        FROZEN,
        SCALE_BARS,
    )
    for element in (*counts, SESSION_VOLUME, LARGEST_VOLUME):
        states[:, element] = 0.0
    states[:, FACTOR] = states[:, SPLITS] = 1.0
    return states


@kernel
def remember_return(state: FloatArray, ratio: float) -> None:
    """Add a regular bar's price relative, exp(log return), to its window.

    Logarithms are taken only of the few windows that are evaluated.
    """
    count = int(state[RETURN_COUNT])
    state[RETURN_WINDOW + count % RETURNS] = ratio
    state[RETURN_COUNT] = count + 1.0


@kernel
def remember_volume(state: FloatArray, day: float, volume: float) -> None:
    """Update the largest regular bar of the running session. A new session adds the old one's to
    the window.
    """
    if state[SESSION_DAY] != day:
        if state[SESSION_VOLUME] > 0.0:
            count = int(state[SESSION_COUNT])
            state[SESSION_WINDOW + count % SESSIONS] = state[SESSION_VOLUME]
            state[SESSION_COUNT] = count + 1.0
            if count + 1 >= FEWEST_SESSIONS:
                state[LARGEST_VOLUME] = state[
                    SESSION_WINDOW : SESSION_WINDOW + filled_count(count + 1.0, SESSIONS)
                ].max()
        state[SESSION_DAY] = day
        state[SESSION_VOLUME] = 0.0
    state[SESSION_VOLUME] = max(state[SESSION_VOLUME], volume)


@kernel
def filled_count(count: float, size: int) -> int:
    """How many elements of a window hold a value."""
    return min(int(count), size)


@kernel
def robust_scale(values: FloatArray, floor: float) -> tuple[float, float]:
    """(median, max(1.4826 MAD, floor))."""
    middle = np.median(values)
    return middle, max(_NORMAL * np.median(np.abs(values - middle)), floor)


@kernel
def return_z(state: FloatArray, value: float, floor: float) -> float:
    """Robust z of a log return; 0 while the window has too few."""
    count = filled_count(state[RETURN_COUNT], RETURNS)
    if count < FEWEST_RETURNS:
        return 0.0
    middle, scale = robust_scale(np.log(state[RETURN_WINDOW : RETURN_WINDOW + count]), floor)
    return (value - middle) / scale


@kernel
def volume_z(state: FloatArray, volume: float, floor: float) -> float:
    """Robust z of log volume against the log of the largest bar of each session before."""
    count = filled_count(state[SESSION_COUNT], SESSIONS)
    middle, scale = robust_scale(np.log(state[SESSION_WINDOW : SESSION_WINDOW + count]), floor)
    return (math.log(volume) - middle) / scale


@kernel
def usual_volume(state: FloatArray) -> float:
    """Median of the largest bars of earlier sessions; without one the running session's; 0.0
    without any.
    """
    count = filled_count(state[SESSION_COUNT], SESSIONS)
    return (
        float(np.median(state[SESSION_WINDOW : SESSION_WINDOW + count]))
        if count
        else float(state[SESSION_VOLUME])
    )


@kernel
def volume_level_change(state: FloatArray) -> float:
    """Median of the newest five sessions' largest volumes over that of the fifteen before; 1 if the
    two ranges are not far apart.

    Call it when a session was just added to the window. It differs from 1 at one session only, the
    fifth after the change.
    """
    count = int(state[SESSION_COUNT])
    if count < SESSIONS:
        return 1.0
    new, old = np.empty(5), np.empty(SESSIONS - 5)
    for back in range(SESSIONS):
        value = state[SESSION_WINDOW + (count - 1 - back) % SESSIONS]
        if back < 5:
            new[back] = value
        else:
            old[back - 5] = value
    if new.min() > 10.0 * old.max() or old.min() > 10.0 * new.max():
        return float(np.median(new) / np.median(old))
    return 1.0


@kernel
def apply_split(state: FloatArray, value: float) -> None:
    """Convert the state to the shares after a split of `value` new shares per old one."""
    state[SPLITS] *= value
    state[SPIKE_BASE] /= value
    state[SPIKE_CLOSE] /= value
    state[UNIT_BASE] /= value
    state[SCALE_CLOSE] /= value
    state[SESSION_VOLUME] *= value
    state[LARGEST_VOLUME] *= value
    for place in range(SESSION_WINDOW, SESSION_WINDOW + SESSIONS):
        state[place] *= value


# --- corporate actions ---------------------------------------------------------------------------


class Actions(NamedTuple):
    """Actions of a batch: those of segment i are `begin[i]` to `begin[i + 1]`. `frame` has the same
    order.
    """

    begin: IntArray
    whole: IntArray
    real: FloatArray
    frame: pl.DataFrame


def pack_actions(actions: pl.DataFrame, symbols: pl.Series) -> Actions:
    """The actions of `symbols`, whose positions are the segments, as arrays."""
    if not actions.height:
        return Actions(
            np.zeros(symbols.len() + 1, np.int64),
            np.empty((4, 0), np.int64),
            np.empty((2, 0)),
            actions,
        )
    segments = pl.DataFrame({"symbol": symbols, "segment": np.arange(symbols.len())})
    mine = (
        actions.select(list(CORPORATE_ACTIONS.columns))
        .join(segments, on="symbol", how="inner")
        .sort("segment", "date", "kind", "value", maintain_order=True)
        .with_columns(
            day=pl.col("date").cast(pl.Int32).cast(pl.Int64),
            number=pl.col("kind").replace_strict(
                {"dividend": DIVIDEND, "split": SPLIT}, default=OTHER, return_dtype=pl.Int64
            ),
            problem=pl.lit(APPLIED, pl.Int64),
            at=pl.lit(-1, pl.Int64),
            close=pl.lit(math.nan),
        )
    )
    begin = np.searchsorted(mine["segment"].to_numpy(), np.arange(symbols.len() + 1)).astype(
        np.int64
    )
    # Copies, since the judge writes into them and Polars may hand out its own memory.
    whole = np.array(
        mine.select("day", "number", "problem", "at").to_numpy().T, np.int64, order="C"
    )
    real = np.array(
        mine.select(pl.col("value").cast(pl.Float64), "close").to_numpy().T, np.float64, order="C"
    )
    return Actions(begin, whole, real, mine)


def match_symbols(actions: pl.DataFrame, symbols: Sequence[str]) -> tuple[pl.DataFrame, list[str]]:
    """The actions under the symbols of the bars, and notes about what was changed.

    An action whose symbol differs from one symbol of the bars only by upper and lower case belongs
    to that symbol. Of contradictory splits of one symbol and date the first in order of `value`
    counts. They are never multiplied.
    """
    known, strange = set(symbols), actions.filter(~pl.col("symbol").is_in(list(symbols)))
    letters: dict[str, list[str]] = {}
    for symbol in known:
        letters.setdefault(symbol.upper(), []).append(symbol)
    unmatched = sorted(strange["symbol"].unique().to_list())
    matches = {
        found: letters[found.upper()][0]
        for found in unmatched
        if len(letters.get(found.upper(), ())) == 1
    }
    notes = [
        f"the corporate actions of {found} are taken for {symbol}, which the bars write in other"
        " letters"
        for found, symbol in matches.items()
    ]
    renamed = actions.with_columns(pl.col("symbol").replace(matches)) if matches else actions
    renamed = renamed.unique(["symbol", "date", "kind", "value"], keep="first", maintain_order=True)
    ordered = renamed.sort("symbol", "date", "kind", "value", maintain_order=True)
    split = pl.col("kind") == "split"
    again = (
        split & (pl.struct("symbol", "date", "kind") == pl.struct("symbol", "date", "kind").shift())
    ).fill_null(value=False)
    both = ordered.with_columns(
        again=again, kept=pl.col("value").first().over("symbol", "date", "kind")
    )
    notes += [
        f"two splits of {symbol} on {day}, {kept:g} and {value:g}: {kept:g} is applied; correct the"
        " corporate actions"
        for symbol, day, value, kept in (
            both.filter("again").select("symbol", "date", "value", "kept").iter_rows()
        )
    ]
    return both.filter(~pl.col("again")).select(actions.columns), notes


def unapplied_actions(actions: Actions) -> pl.DataFrame:
    """The actions that were due and could not be applied: a sentence (note) and the row where that
    was known (place).
    """
    if not actions.whole[PROBLEM].any():
        return pl.DataFrame(schema={"note": pl.String(), "place": pl.Int64()})
    label = format_columns("{} of {} on {} ({})", "kind", "symbol", "date", "value")
    problems = actions.frame.with_columns(
        problem=pl.Series(actions.whole[PROBLEM]), close=pl.Series(actions.real[USED_CLOSE])
    ).select(
        pl.when(pl.col("problem") == UNKNOWN_KIND)
        .then(format_columns("{} is not applied: its kind is neither split nor dividend", label))
        .when(pl.col("problem") == NOT_ABOVE_ZERO)
        .then(
            format_columns(
                "{} is not applied: its value is not above 0; correct the corporate actions", label
            )
        )
        .when(pl.col("problem") == NO_CLOSE)
        .then(format_columns("{} is not applied: no regular close before it is known", label))
        .when(pl.col("problem") == NOT_BELOW_CLOSE)
        .then(
            format_columns(
                "{} is not applied: it is not below the previous close {}; correct the corporate"
                " actions",
                label,
                "close",
            )
        )
        .alias("note"),
        place=pl.Series(actions.whole[ROW]),
    )
    return problems.drop_nulls("note")


@kernel
def first_due(whole: IntArray, begin: int, end: int, state: FloatArray) -> int:
    """The first action of a symbol after its last day; every action while the symbol was never
    seen.
    """
    return skip_until(whole, begin, end, int(state[LAST_DAY])) if state[SEEN] != 0.0 else begin


@kernel
def skip_until(whole: IntArray, at: int, end: int, day: int) -> int:
    """Skip every action on or before `day`: a symbol's first bar is the base of its factor."""
    while at < end and whole[DAY, at] <= day:
        at += 1
    return at


@kernel
def apply_until(
    whole: IntArray, real: FloatArray, at: int, end: int, state: FloatArray, day: int, row: int
) -> int:
    """Apply every action on or before `day` to the factor and to the state."""
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
