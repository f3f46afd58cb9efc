"""Rules that compare a bar with what came before it.

Each rule is a function of (state, bar). Only `remember` (and `remember_scale` of price_scale.py)
changes the state. No rule uses a later bar: the two late rules report at a later bar about an
earlier one. Prices on another scale are the subject of price_scale.py.

Bad prints. A price is a bad print when it departs by more than `max_bar_return` from the previous
regular close *and* from the bar's own close, while those two agree within a quarter of it and no
split explains it. A high alone must depart by half as much again. IBM's open of 159.58 on
2002-12-23, between closes of 79.82 and 80.46, is one. A bar that *closes* far away is kept, since
only later bars could separate an error from a crash: AIG lost 61 % on 2008-09-15.

Jumps. A jump is the open of a regular bar over the last regular close, in today's shares. The first
match counts: ticker_reuse, wrong_unit, split_like_jump. News differ from a split by a wide bar and
a turnover far above any bar before (AAPL 2000-09-29, AIG 2008-09-16).
"""

import math

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.validation.catalog import NUMBER
from harmony_pipeline.market.validation.judged_bar import JudgedBar, Limits
from harmony_pipeline.market.validation.price_scale import UNIT, power_of_ten, wrong_scale
from harmony_pipeline.market.validation.symbol_state import (
    BARS,
    CLOSE,
    CLOSE_DAY,
    CLOSE_SESSION,
    CLOSE_STAMP,
    FROZEN,
    IDLE_BARS,
    LARGEST_VOLUME,
    LAST_DAY,
    LAST_STAMP,
    RUN,
    SAME_CLOSE,
    SAME_HIGH,
    SAME_LOW,
    SAME_OPEN,
    SAME_VOLUME,
    SCALE_BARS,
    SEEN,
    SESSION_DAY,
    SPIKE_BASE,
    SPIKE_CLOSE,
    SPIKE_STAMP,
    SPLITS,
    UNIT_BARS,
    UNIT_BASE,
    UNIT_RATIO,
    UNIT_STAMP,
    remember_return,
    remember_volume,
    return_z,
    volume_level_change,
    volume_z,
)

BAD_PRINT, TICKER_REUSE, WRONG_UNIT, SPLIT_LIKE = (
    NUMBER["bad_print"],
    NUMBER["ticker_reuse"],
    NUMBER["wrong_unit"],
    NUMBER["split_like_jump"],
)
OUTLIER, VOLUME_SPIKE, STALE = NUMBER["outlier"], NUMBER["volume_spike"], NUMBER["stale_repeat"]
WRONG_SCALE, FROZEN_PRICES = NUMBER["wrong_scale"], NUMBER["frozen_prices"]
ZERO_VOLUME, SPIKE_REVERSAL, CHANGED_UNIT = (
    NUMBER["zero_volume"],
    NUMBER["spike_reversal"],
    NUMBER["changed_unit"],
)
# of max_bar_return: two closes nearer than this agree. Half would have taken AIG's real low of 1.25
# on 2008-09-16 (close -23 %)
_AGREEMENT = 0.25
# times max_bar_return for a high alone: small stocks do run up 60 % and fade within a day
_SPIKE = 1.5
_CAME_BACK = 0.25  # of a spike that may be left when it counts as taken back
# how far a level of volume, which is never the same twice, may be from a power of ten
_VOLUME_UNIT = 1.6
_STAYED = 2.0  # and how far the level may wander while a changed unit is being watched
# a symbol of which more bars than this part have no volume has a feed without volumes, which has
# one note
_OFTEN_IDLE = 0.5
_RETURN_FLOOR, _VOLUME_FLOOR = 1e-6, 0.25
# New shares per old one in the splits that companies do declare; reverse ones are the same upside
# down.
_SPLIT_RATIOS = (
    1.5,
    2.0,
    2.5,
    3.0,
    4.0,
    5.0,
    6.0,
    7.0,
    8.0,
    10.0,
    12.0,
    15.0,
    20.0,
    25.0,
    30.0,
    40.0,
    50.0,
)
_SMALLEST_SPLIT_JUMP = 1.4  # below every ratio by more than its tolerance


@kernel
def is_bad_print(state: FloatArray, limit: float, bar: JudgedBar) -> bool:
    """Whether neither the previous regular close nor the bar's own close supports a price."""
    if not (bar.high > (1.0 + limit) * bar.close or bar.low < (1.0 - limit) * bar.close):
        return False
    then = state[CLOSE]
    if math.isnan(then):
        return False
    now = then / state[SPLITS]
    if (
        abs(bar.close / then - 1.0) > limit * _AGREEMENT
        and abs(bar.close / now - 1.0) > limit * _AGREEMENT
    ):
        return False
    return (
        _is_far(bar.open, limit, 1.0, then, now, bar.close)
        or _is_far(bar.high, limit, _SPIKE, then, now, bar.close)
        or _is_far(bar.low, limit, 1.0, then, now, bar.close)
    )


@kernel
def _is_far(
    price: float, limit: float, upward: float, then: float, now: float, close: float
) -> bool:
    """Whether a price is beyond the limit against all three references."""
    up, down = 1.0 + upward * limit, 1.0 - limit
    return (
        (price / then > up or price / then < down)
        and (price / now > up or price / now < down)
        and (price / close > up or price / close < down)
    )


@kernel
def split_near(jump: float, tolerance: float) -> float:
    """New shares per old one of the split that a price jump resembles; 0 when none is near."""
    if 1.0 / _SMALLEST_SPLIT_JUMP < jump < _SMALLEST_SPLIT_JUMP:
        return 0.0
    for ratio in _SPLIT_RATIOS:
        if abs(jump * ratio - 1.0) <= tolerance:
            return ratio
        if abs(jump / ratio - 1.0) <= tolerance:
            return 1.0 / ratio
    return 0.0


@kernel
def price_relative(state: FloatArray, bar: JudgedBar) -> float:
    """A regular bar's close over the last close; NaN for the first bar.

    The first bar of a session is compared with its own open, so that overnight moves stay out.
    """
    if not bar.daily and state[CLOSE_DAY] != bar.day:
        return bar.close / bar.open
    return float(bar.close * state[SPLITS] / state[CLOSE])


@kernel
def spread_z(state: FloatArray, bar: JudgedBar, ratio: float) -> float:
    """Robust z of the logarithm of a price relative.

    The return of a daily bar after an absence spans all its sessions. The deviation of a random
    walk grows with the square root of their number, so z is divided by it.
    """
    sessions = max(bar.session - state[CLOSE_SESSION], 1.0) if bar.daily else 1.0
    return return_z(state, math.log(ratio), _RETURN_FLOOR) / math.sqrt(sessions)


@kernel
def is_outlier(state: FloatArray, limits: Limits, bar: JudgedBar, ratio: float) -> bool:
    """Whether a move is large and far outside the moves before."""
    return (ratio >= limits.outlier_up or ratio <= limits.outlier_down) and abs(
        spread_z(state, bar, ratio)
    ) >= limits.outlier_z


@kernel
def judge_by_history(
    state: FloatArray, limits: Limits, active: int, bar: JudgedBar, evidence: FloatArray
) -> int:
    """Bits of the `active` rules that the bar breaks.

    Row n of `evidence` receives the measure and the reference of rule n.
    """
    broken = 0
    if active >> BAD_PRINT & 1 and is_bad_print(state, limits.max_bar_return, bar):
        broken |= 1 << BAD_PRINT
        evidence[BAD_PRINT, 1] = state[CLOSE]
        evidence[BAD_PRINT, 0] = max(bar.high / bar.close, bar.close / bar.low)
    if active >> WRONG_SCALE & 1:
        scale, beside = wrong_scale(state, limits, bar)
        if scale != 0.0:
            broken |= 1 << WRONG_SCALE
            evidence[WRONG_SCALE, 0], evidence[WRONG_SCALE, 1] = scale, beside
    if (
        active >> ZERO_VOLUME & 1
        and bar.volume == 0.0
        and state[BARS] > 0.0
        and state[IDLE_BARS] <= _OFTEN_IDLE * state[BARS]
    ):
        broken |= 1 << ZERO_VOLUME
    run, frozen, flat = _repeat_count(state, bar), _frozen_count(state, bar), bar.high == bar.low
    if active >> STALE & 1 and run >= (limits.stale_flat_bars if flat else limits.stale_bars):
        broken |= 1 << STALE
        evidence[STALE, 0] = run
    elif active >> FROZEN_PRICES & 1 and frozen >= (
        limits.frozen_flat_bars if flat else limits.frozen_bars
    ):
        broken |= 1 << FROZEN_PRICES
        evidence[FROZEN_PRICES, 0] = frozen
    if bar.regular and not math.isnan(state[CLOSE]):
        jumped = _jump_rules(state, limits, active, bar, evidence)
        broken |= jumped | _level_rules(state, limits, active, bar, jumped != 0, evidence)
    return broken


@kernel
def _repeat_count(state: FloatArray, bar: JudgedBar) -> float:
    """How many bars in a row had these five values, this bar included."""
    return (
        state[RUN] + 1.0 if _same_prices(state, bar) and state[SAME_VOLUME] == bar.volume else 1.0
    )


@kernel
def _frozen_count(state: FloatArray, bar: JudgedBar) -> float:
    """How many bars in a row had these four prices, this bar included."""
    return state[FROZEN] + 1.0 if _same_prices(state, bar) else 1.0


@kernel
def _same_prices(state: FloatArray, bar: JudgedBar) -> bool:
    return bool(
        state[SAME_OPEN] == bar.open
        and state[SAME_HIGH] == bar.high
        and state[SAME_LOW] == bar.low
        and state[SAME_CLOSE] == bar.close
    )


@kernel
def _jump_rules(
    state: FloatArray, limits: Limits, active: int, bar: JudgedBar, evidence: FloatArray
) -> int:
    previous = state[CLOSE] / state[SPLITS]
    jump = bar.open / previous
    absent = bar.session - state[CLOSE_SESSION] - 1.0
    elsewhere = jump >= limits.reuse_price_factor or jump * limits.reuse_price_factor <= 1.0
    if (absent >= limits.reuse_sessions and elsewhere) or absent >= limits.reuse_sessions_alone:
        evidence[TICKER_REUSE, 0], evidence[TICKER_REUSE, 1] = absent, previous
        return active & 1 << TICKER_REUSE
    unit = power_of_ten(jump, UNIT)
    taken_back = state[UNIT_BARS] > 0.0 and unit * state[UNIT_RATIO] == 1.0
    if (
        (unit > 50.0 or 0.0 < unit < 0.05)
        and power_of_ten(bar.close / previous, UNIT) == unit
        and not taken_back
    ):
        evidence[WRONG_UNIT, 0], evidence[WRONG_UNIT, 1] = unit, previous
        return active & 1 << WRONG_UNIT
    unit = power_of_ten(bar.vwap / bar.close, UNIT) if bar.vwap > 0.0 else 0.0
    if unit != 0.0:
        evidence[WRONG_UNIT, 0], evidence[WRONG_UNIT, 1] = unit, math.nan
        return active & 1 << WRONG_UNIT
    split = split_near(jump, limits.split_tolerance) if state[CLOSE_DAY] != bar.day else 0.0
    if split != 0.0 and math.log(bar.high / bar.low) <= limits.split_calm:
        before = state[LARGEST_VOLUME] * state[CLOSE] / state[SPLITS]
        if before == 0.0 or bar.volume * bar.open <= limits.split_turnover * before:
            evidence[SPLIT_LIKE, 0], evidence[SPLIT_LIKE, 1] = split, previous
            return active & 1 << SPLIT_LIKE
    return 0


@kernel
def _level_rules(
    state: FloatArray,
    limits: Limits,
    active: int,
    bar: JudgedBar,
    jumped: bool,
    evidence: FloatArray,
) -> int:
    broken = 0
    moved = price_relative(state, bar)
    if active >> OUTLIER & 1 and not jumped and is_outlier(state, limits, bar, moved):
        broken |= 1 << OUTLIER
        evidence[OUTLIER, 0], evidence[OUTLIER, 1] = spread_z(state, bar, moved), math.log(moved)
    if not math.isnan(state[SPIKE_STAMP]) and active >> SPIKE_REVERSAL & 1:
        spike = math.log(state[SPIKE_CLOSE] / state[SPIKE_BASE])
        if abs(math.log(bar.close / state[SPIKE_BASE])) <= _CAME_BACK * abs(spike):
            broken |= 1 << SPIKE_REVERSAL
            evidence[SPIKE_REVERSAL, 0], evidence[SPIKE_REVERSAL, 1] = spike, state[SPIKE_STAMP]
    if active >> VOLUME_SPIKE & 1:
        largest = state[LARGEST_VOLUME]
        if largest > 0.0 and bar.volume >= limits.volume_spike_ratio * largest:
            far = volume_z(state, bar.volume, _VOLUME_FLOOR)
            if far >= limits.volume_spike_z:
                broken |= 1 << VOLUME_SPIKE
                evidence[VOLUME_SPIKE, 0], evidence[VOLUME_SPIKE, 1] = far, largest
    if (
        active >> CHANGED_UNIT & 1
        and state[UNIT_BARS] + 1.0 == limits.unit_bars
        and _stays_at_level(state, bar)
    ):
        broken |= 1 << CHANGED_UNIT
        evidence[CHANGED_UNIT, 0], evidence[CHANGED_UNIT, 1] = state[UNIT_RATIO], state[UNIT_STAMP]
    return broken


@kernel
def _stays_at_level(state: FloatArray, bar: JudgedBar) -> bool:
    """Whether the bar closes on the level of the changed unit that is being followed."""
    level = bar.close / (state[UNIT_BASE] * state[UNIT_RATIO])
    return bool(1.0 / _STAYED <= level <= _STAYED)


@kernel
def remember(
    state: FloatArray,
    limits: Limits,
    active: int,
    bar: JudgedBar,
    reused: bool,
    evidence: FloatArray,
) -> int:
    """Add an accepted bar to the state.

    Returns the bit of CHANGED_UNIT when the finished sessions show another unit of volume.
    """
    broken = 0
    state[RUN], state[FROZEN], state[SCALE_BARS] = (
        _repeat_count(state, bar),
        _frozen_count(state, bar),
        0.0,
    )
    state[SAME_OPEN], state[SAME_HIGH], state[SAME_LOW], state[SAME_CLOSE], state[SAME_VOLUME] = (
        bar.open,
        bar.high,
        bar.low,
        bar.close,
        bar.volume,
    )
    if bar.regular:
        if not math.isnan(state[CLOSE]):
            _watch_unit(state, limits, bar, reused)
            _watch_spike(state, limits, bar)
        new_session = state[SESSION_DAY] != bar.day
        remember_volume(state, float(bar.day), bar.volume)
        if new_session and active >> CHANGED_UNIT & 1:
            change = volume_level_change(state)
            unit = power_of_ten(change, _VOLUME_UNIT)
            if unit > 50.0 or 0.0 < unit < 0.05:
                broken = 1 << CHANGED_UNIT
                evidence[CHANGED_UNIT, 0], evidence[CHANGED_UNIT, 1] = unit, math.nan
        state[CLOSE], state[CLOSE_DAY], state[CLOSE_STAMP], state[CLOSE_SESSION], state[SPLITS] = (
            bar.close,
            bar.day,
            bar.stamp,
            bar.session,
            1.0,
        )
    state[BARS] += 1.0
    state[IDLE_BARS] += bar.volume == 0.0
    state[SEEN], state[LAST_DAY], state[LAST_STAMP] = 1.0, bar.day, bar.stamp
    return broken


@kernel
def _watch_unit(state: FloatArray, limits: Limits, bar: JudgedBar, reused: bool) -> None:
    """Follow a jump by a power of ten while the level stays there, up to `unit_bars`.

    A reused ticker is no changed unit.
    """
    previous = state[CLOSE] / state[SPLITS]
    unit = 0.0 if reused else power_of_ten(bar.open / previous, UNIT)
    if unit != 0.0 and power_of_ten(bar.close / previous, UNIT) == unit:
        taken_back = state[UNIT_BARS] > 0.0 and unit * state[UNIT_RATIO] == 1.0
        state[UNIT_BASE], state[UNIT_RATIO], state[UNIT_BARS], state[UNIT_STAMP] = (
            previous,
            unit,
            0.0 if taken_back else 1.0,
            bar.stamp,
        )
    elif state[UNIT_BARS] > 0.0:
        state[UNIT_BARS] = (
            state[UNIT_BARS] + 1.0
            if _stays_at_level(state, bar) and state[UNIT_BARS] < limits.unit_bars
            else 0.0
        )


@kernel
def _watch_spike(state: FloatArray, limits: Limits, bar: JudgedBar) -> None:
    """Add the return to its window, and keep an outlier until the next regular bar."""
    moved = price_relative(state, bar)
    state[SPIKE_STAMP] = math.nan
    if is_outlier(state, limits, bar, moved):
        base = (
            bar.open
            if not bar.daily and state[CLOSE_DAY] != bar.day
            else state[CLOSE] / state[SPLITS]
        )
        state[SPIKE_BASE], state[SPIKE_CLOSE], state[SPIKE_STAMP] = base, bar.close, bar.stamp
    remember_return(state, moved)
