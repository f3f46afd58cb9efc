"""Prices on another scale than those beside them: 10, 100 or 1000 times, or that part of them.

A price is refused when it is on another scale within 25 %:
    a high or low against both the open and the close, which lie within a factor of 2;
    an open against both the close before and the bar's own close, which lie within a factor of 2;
    a close against the close before, unless the volume explains it (below), the symbol was absent
    for `reuse_sessions`, or `scale_bars` bars in a row were refused at that level. Such a level has
    lasted and is reported as `wrong_unit` and `changed_unit` are.

A split or a new issuer moves the volume the other way: at 1/10 of the price, 10 times the shares.
News bring a volume far above any before. Let v be the bar's volume over the usual one and r the
power of ten. A fall is accepted when v >= 1 / sqrt(r). A rise is accepted when the volume is at
least 3 times the largest bar, or when the bar is the first regular one of a session with v <= 1 /
sqrt(r). Without volumes no move is accepted. Before a symbol's first regular close no close is
refused. At the bar itself no more can be known. The first bars at a level that lasts are lost, at
most `scale_bars` of them, and never a later one.
"""

import math

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.validation.judged_bar import JudgedBar, Limits
from harmony_pipeline.market.validation.symbol_state import (
    CLOSE,
    CLOSE_DAY,
    CLOSE_SESSION,
    LARGEST_VOLUME,
    SAME_CLOSE,
    SCALE_BARS,
    SCALE_CLOSE,
    SPLITS,
    UNIT_BARS,
    UNIT_RATIO,
    usual_volume,
)

UNIT = 1.25  # how far a jump may be from a power of ten
_FAR = 5.0  # a price within this factor of another is of its scale
_BESIDE = 2.0  # and prices within this factor of one another are neighbours
_NEWS = 3.0  # times the largest volume before, from which a rise of the price is believed


@kernel
def power_of_ten(ratio: float, within: float) -> float:
    """The nearest of 10, 100, 1000 and their inverses, when `ratio` is near one; else 0."""
    if not (ratio > 5.0 or ratio < 0.2):
        return 0.0
    for power in (10.0, 100.0, 1000.0, 0.1, 0.01, 0.001):
        if power / within <= ratio <= power * within:
            return power
    return 0.0


@kernel
def wrong_scale(state: FloatArray, limits: Limits, bar: JudgedBar) -> tuple[float, float]:
    """(power of ten of a price's error, the neighbouring price that shows it), or (0.0, nan)."""
    near = state[SAME_CLOSE]
    if not (bar.high > _FAR * bar.low or _differ_by(bar.close, near, _FAR)):
        return 0.0, math.nan
    if not _differ_by(bar.open, bar.close, _BESIDE):
        for price in (bar.high, bar.low):
            if _differ_by(price, bar.open, _FAR) and _differ_by(price, bar.close, _FAR):
                scale = power_of_ten(price / bar.close, UNIT)
                scale = scale if scale != 0.0 else power_of_ten(price / bar.open, UNIT)
                if scale != 0.0:
                    return scale, bar.close
    if math.isnan(near):
        return 0.0, math.nan
    now = near / state[SPLITS]
    if not _differ_by(bar.close, near, _BESIDE) or not _differ_by(bar.close, now, _BESIDE):
        scale = power_of_ten(bar.open / bar.close, UNIT)
        return (
            (scale, bar.close)
            if scale != 0.0 and _differ_by(bar.open, near, _FAR) and _differ_by(bar.open, now, _FAR)
            else (0.0, math.nan)
        )
    scale = power_of_ten(bar.close / now, UNIT)
    if (
        scale == 0.0
        or not _differ_by(bar.close, near, _FAR)
        or _is_known_level(state, limits, bar, scale)
        or _is_explained_by_volume(state, bar, scale)
    ):
        return 0.0, math.nan
    return scale, now


@kernel
def _is_known_level(state: FloatArray, limits: Limits, bar: JudgedBar, scale: float) -> bool:
    """Whether a close on another scale was seen before, has lasted, or follows an absence."""
    if state[SCALE_BARS] >= limits.scale_bars and not _differ_by(
        bar.close, state[SCALE_CLOSE], _BESIDE
    ):
        return True
    if math.isnan(state[CLOSE]):  # a few prints before hours are no level
        return True
    taken_back = state[UNIT_BARS] > 0.0 and scale * state[UNIT_RATIO] == 1.0
    absent = bar.session - state[CLOSE_SESSION] - 1.0
    return (
        taken_back
        or absent >= limits.reuse_sessions
        or not _differ_by(bar.close, state[CLOSE] / state[SPLITS], _FAR)
    )


@kernel
def _is_explained_by_volume(state: FloatArray, bar: JudgedBar, scale: float) -> bool:
    """Whether the volume is that of a split or of news."""
    usual = usual_volume(state)
    if not (bar.volume > 0.0 and usual > 0.0):
        return False
    ratio = bar.volume / usual
    if scale < 1.0:
        return ratio >= 1.0 / math.sqrt(scale)
    if ratio >= _NEWS and bar.volume >= _NEWS * state[LARGEST_VOLUME]:
        return True
    return bar.regular and state[CLOSE_DAY] != bar.day and ratio <= 1.0 / math.sqrt(scale)


@kernel
def _differ_by(price: float, other: float, factor: float) -> bool:
    """Whether one price is more than `factor` times the other."""
    return price > factor * other or price * factor < other


@kernel
def remember_scale(state: FloatArray, close: float) -> None:
    """Count a bar that was refused for its scale: how many in a row at one level."""
    if not _differ_by(close, state[SAME_CLOSE], _FAR):
        return
    again = state[SCALE_BARS] > 0.0 and not _differ_by(close, state[SCALE_CLOSE], _BESIDE)
    state[SCALE_BARS] = state[SCALE_BARS] + 1.0 if again else 1.0
    state[SCALE_CLOSE] = close
