"""What the rules that look back are given: a candidate of a bar, and numbers to compare with."""

from typing import NamedTuple


class Limits(NamedTuple):
    """The numbers of QualitySettings that kernels compare with.

    The least log return of an outlier is stored as price relatives, so that most bars need no
    logarithm.
    """

    max_bar_return: float
    outlier_z: float
    outlier_up: float
    outlier_down: float
    volume_spike_z: float
    volume_spike_ratio: float
    stale_bars: float
    stale_flat_bars: float
    split_tolerance: float
    split_calm: float
    split_turnover: float
    reuse_sessions: float
    reuse_price_factor: float
    reuse_sessions_alone: float
    unit_bars: float
    min_price: float
    max_price: float
    max_volume: float
    scale_bars: float
    frozen_bars: float
    frozen_flat_bars: float


class JudgedBar(NamedTuple):
    """One candidate: its values and its position. `day` counts from 1970, `session` is a row of the
    calendar.
    """

    stamp: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    vwap: float
    day: int
    session: int
    regular: bool
    daily: bool
