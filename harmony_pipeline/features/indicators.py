"""The table of indicators: kernel, formula, source, warm-up and unit of each.

It imports no kernel, since numba loads slowly: a kernel is named `module:function` and imported on
first use. docs/features.md is written from this table.
"""

from collections.abc import Callable
from dataclasses import dataclass

from harmony_pipeline.features.kernel_inputs import (
    lag_state_size,
    sums_state_size,
    window_state_size,
)

CUSUM_EVENT = "cusum_event"
CUSUM_VOLATILITY_BARS = 20
LONGEST_WINDOW = 10_000

Kernel = Callable[..., None]
"""`(bars, state, parameters, values)`, with a row of values for each column that it reads between
`bars` and `state`."""


@dataclass(frozen=True)
class Indicator:
    """One kind of column.

    `kernel` is `module:function` in this package, or the compiled function itself (an indicator of
    the user). `state_size` gives the length of its state for its parameters, `reads` the names of
    the columns whose values it needs on the same bar. `warm_up` is the number of bars of a symbol
    with which it is first known, as arithmetic of the parameters, or words where it depends on the
    bars. Raise `version` when the values or the state change.
    """

    kind: str
    parameters: tuple[str, ...]
    kernel: str | Kernel
    state_size: Callable[..., int]
    note: str
    source: str = ""
    warm_up: str = ""
    unit: str = ""
    reads: Callable[..., tuple[str, ...]] = lambda *_: ()
    smallest: int = 2
    version: int = 1

    @property
    def pattern(self) -> str:
        """The form of its column names: `rsi_N`."""
        return "_".join((self.kind, *self.parameters))


def _numbers(count: int) -> Callable[..., int]:
    """A state of `count` numbers for any parameters."""
    return lambda *_: count


def _two_sums(length: int) -> int:
    return sums_state_size(length, length)


_N, _FS, _FSG = ("N",), ("F", "S"), ("F", "S", "G")
_WILDER = "Wilder, New Concepts in Technical Trading Systems, 1978"
_APPEL = "Appel, Technical Analysis: Power Tools for Active Investors, 2005"
_MURPHY = "Murphy, Technical Analysis of the Financial Markets, 1999"

RETURNS = (
    Indicator(
        "log_return",
        (),
        "returns:log_return",
        _numbers(0),
        "ln(close / previous close)",
        "definition",
        "2",
        "log return",
        version=2,
    ),
    Indicator(
        "volatility",
        _N,
        "returns:volatility",
        window_state_size,
        "sample deviation (ddof 1) of the last N log returns, not annualised",
        "definition",
        "N + 1",
        "log return",
        version=2,
    ),
    Indicator(
        "momentum",
        _N,
        "returns:momentum",
        lag_state_size,
        "ln(close / close N bars ago)",
        "definition",
        "N + 1",
        "log return",
        smallest=1,
        version=2,
    ),
    Indicator(
        "roc",
        _N,
        "returns:roc",
        lag_state_size,
        "close / close N bars ago - 1",
        "TA-Lib ROCP",
        "N + 1",
        "fraction",
        smallest=1,
        version=2,
    ),
)
AVERAGES = (
    Indicator(
        "sma",
        _N,
        "averages:sma",
        window_state_size,
        "mean of the last N closes",
        "definition",
        "N",
        "price",
        version=2,
    ),
    Indicator(
        "ema",
        _N,
        "averages:ema",
        _numbers(2),
        "e + 2 / (N + 1) * (close - e), begun with the mean of N closes",
        "TA-Lib EMA",
        "N",
        "price",
    ),
    Indicator(
        "sma_ratio",
        _FS,
        "averages:average_ratio",
        _numbers(0),
        "sma_F / sma_S - 1",
        "definition",
        "max(F, S)",
        "fraction",
        reads=lambda fast, slow: (f"sma_{fast}", f"sma_{slow}"),
        version=3,
    ),
    Indicator(
        "ema_ratio",
        _FS,
        "averages:average_ratio",
        _numbers(0),
        "ema_F / ema_S - 1",
        "definition",
        "max(F, S)",
        "fraction",
        reads=lambda fast, slow: (f"ema_{fast}", f"ema_{slow}"),
        version=2,
    ),
    Indicator(
        "macd_line",
        _FS,
        "averages:macd_line",
        _numbers(4),
        "ema_F - ema_S, both begun on bar S",
        f"{_APPEL}; TA-Lib MACD, first output",
        "S",
        "price",
    ),
    Indicator(
        "macd_signal",
        _FSG,
        "averages:macd_signal",
        _numbers(2),
        "exponential average of macd_line_F_S over G bars, begun with the mean of G",
        f"{_APPEL}; TA-Lib MACD, second output",
        "S + G - 1",
        "price",
        reads=lambda fast, slow, _: (f"macd_line_{fast}_{slow}",),
    ),
    Indicator(
        "macd",
        _FSG,
        "averages:macd",
        _numbers(0),
        "histogram: macd_line_F_S - macd_signal_F_S_G",
        f"{_APPEL}; TA-Lib MACD, third output",
        "S + G - 1",
        "price",
        reads=lambda fast, slow, signal: (
            f"macd_line_{fast}_{slow}",
            f"macd_signal_{fast}_{slow}_{signal}",
        ),
        version=2,
    ),
    Indicator(
        "bollinger_z",
        _N,
        "averages:bollinger_z",
        window_state_size,
        "(close - mean) / sample deviation of the last N closes; 0 in a flat window",
        "Bollinger, Bollinger on Bollinger Bands, 2001",
        "N",
        "deviations",
        version=2,
    ),
)
WILDER = (
    Indicator(
        "rsi",
        _N,
        "wilder:rsi",
        _numbers(5),
        "100 * gain / (gain + loss), Wilder's averages of rises and falls; 50 without a move",
        f"{_WILDER}; TA-Lib RSI",
        "N + 1",
        "0 to 100",
    ),
    Indicator(
        "atr",
        _N,
        "wilder:atr",
        _numbers(3),
        "Wilder's average of max(high, previous close) - min(low, previous close)",
        f"{_WILDER}; TA-Lib ATR",
        "N + 1",
        "price",
    ),
    Indicator(
        "natr",
        _N,
        "wilder:natr",
        _numbers(0),
        "100 * atr_N / close",
        "TA-Lib NATR",
        "N + 1",
        "percent",
        reads=lambda length: (f"atr_{length}",),
        version=2,
    ),
    Indicator(
        "adx",
        _N,
        "wilder:adx",
        _numbers(7),
        "Wilder's average of 100 * |up - down| / (up + down), his sums of outward moves",
        f"{_WILDER}; TA-Lib ADX",
        "2 * N",
        "0 to 100",
    ),
)
RANGES = (
    Indicator(
        "range_position",
        _N,
        "stochastic:range_position",
        _two_sums,
        "(close - lowest low) / (highest high - lowest low) of N bars; 0.5 where they are equal",
        "Lane, Lane's Stochastics, 1984; TA-Lib STOCHF / 100",
        "N",
        "0 to 1",
        version=2,
    ),
)
VOLUME = (
    Indicator(
        "volume_z",
        _N,
        "volume:volume_z",
        window_state_size,
        "(volume - mean) / sample deviation of the last N volumes; 0 in a flat window",
        "definition",
        "N",
        "deviations",
        version=2,
    ),
    Indicator(
        "volume_ratio",
        _N,
        "volume:volume_ratio",
        window_state_size,
        "volume / mean of the last N volumes; 1 without any trade",
        "definition",
        "N",
        "multiple",
        version=2,
    ),
    Indicator(
        "signed_volume",
        _N,
        "volume:signed_volume",
        _two_sums,
        "sum of sign(log return) * volume over N bars / sum of their volume; 0 without any trade",
        "Granville's on-balance volume (1963), bounded",
        "N + 1",
        "-1 to 1",
        version=2,
    ),
)
SESSIONS = (
    Indicator(
        "vwap_distance",
        (),
        "sessions:vwap_distance",
        _numbers(3),
        "close / VWAP - 1, VWAP = sum((high + low + close) / 3 * volume) / sum(volume)"
        " since the session began",
        "definition",
        "the session's first traded bar",
        "fraction",
        version=2,
    ),
    Indicator(
        "gap",
        (),
        "sessions:gap",
        _numbers(4),
        "ln(first open of the session / last close of the session before)",
        "definition",
        "the second session",
        "log return",
    ),
)
EVENTS = (
    Indicator(
        CUSUM_EVENT,
        (),
        "cusum:cusum_event",
        _numbers(2),
        "-1, 0 or 1: the symmetric CUSUM filter at features.cusum_threshold * volatility_20, on"
        " regular bars",
        "Lopez de Prado, Advances in Financial Machine Learning, 2018, 2.5.2.1",
        "1",
        "-1, 0, 1",
        reads=lambda: (f"volatility_{CUSUM_VOLATILITY_BARS}",),
        version=3,
    ),
)
INDICATORS = (*RETURNS, *AVERAGES, *WILDER, *RANGES, *VOLUME, *SESSIONS, *EVENTS)
