"""The table of indicators: kernel, formula, source, warm-up and unit of each.

It imports no kernel, since numba loads slowly: a kernel is named `module:function` and imported on
first use. docs/features.md is written from this table.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass

from harmony_pipeline.features.kernel_inputs import (
    dated_state_size,
    lag_state_size,
    moments_state_size,
    pairs_state_size,
    sums_state_size,
    window_state_size,
)

CUSUM_EVENT = "cusum_event"
CUSUM_VOLATILITY_BARS = 20
LONGEST_WINDOW = 10_000

_ARITHMETIC = re.compile(r"(max|[A-Z]|\d|[-+*/ (),])+")
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
    across: bool = False
    """Whether it compares the symbols of one moment: its kernel is one of `cross_section.py`."""
    given: bool = False
    """Whether no kernel computes it: its values come with the bars (`news_columns.py`)."""

    @property
    def pattern(self) -> str:
        """The form of its column names: `rsi_N`."""
        return "_".join((self.kind, *self.parameters))

    @property
    def stays_known(self) -> bool:
        """Whether it is known on every bar from its warm-up on. An indicator of the user, or one
        that waits for a trade or a session, may be forgotten again.
        """
        return _ARITHMETIC.fullmatch(self.warm_up) is not None


def _numbers(count: int) -> Callable[..., int]:
    """A state of `count` numbers for any parameters."""
    return lambda *_: count


def _two_sums(length: int) -> int:
    return sums_state_size(length, length)


_N, _FS, _FSG, _MN = ("N",), ("F", "S"), ("F", "S", "G"), ("M", "N")
_WILDER = "Wilder, New Concepts in Technical Trading Systems, 1978"
_APPEL = "Appel, Technical Analysis: Power Tools for Active Investors, 2005"
_KAUFMAN = "Kaufman, Smarter Trading, 1995"
_LANE = "Lane, Lane's Stochastics, 1984"
_AFML = "Lopez de Prado, Advances in Financial Machine Learning, 2018"
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
        "lagged_return",
        _N,
        "returns:lagged_return",
        lambda n: lag_state_size(n) + lag_state_size(n + 1),
        "log_return N bars ago",
        "definition",
        "N + 2",
        "log return",
        smallest=1,
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
        f"{_LANE}; TA-Lib STOCHF / 100",
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
TREND = (
    Indicator(
        "trix",
        _N,
        "trend:trix",
        _numbers(6),
        "100 * (e / previous e - 1), e the ema of the ema of the ema of N closes",
        "Hutson, Stocks & Commodities 1:5, 1983; TA-Lib TRIX",
        "3 * N - 1",
        "percent",
    ),
    Indicator(
        "dpo",
        _N,
        "trend:dpo",
        lambda n: lag_state_size(n // 2 + 1),
        "detrended price: (close N // 2 + 1 bars ago) / sma_N - 1",
        _MURPHY,
        "max(N, N // 2 + 2)",
        "fraction",
        reads=lambda *p: (f"sma_{p[0]}",),
    ),
    Indicator(
        "efficiency_ratio",
        _N,
        "trend:efficiency_ratio",
        lambda n: lag_state_size(n) + sums_state_size(n) + 1,
        "|close - close N bars ago| / sum of |close - previous close| of N bars; 0 without a move",
        _KAUFMAN,
        "N + 1",
        "0 to 1",
    ),
    Indicator(
        "kama_ratio",
        _N,
        "trend:kama_ratio",
        _numbers(2),
        "close / KAMA - 1, KAMA moving by (efficiency_ratio_N * (2 / 3 - 2 / 31) + 2 / 31)^2",
        f"{_KAUFMAN}; TA-Lib KAMA",
        "N + 1",
        "fraction",
        reads=lambda *p: (f"efficiency_ratio_{p[0]}",),
    ),
    Indicator(
        "aroon",
        _N,
        "trend:aroon",
        lambda n: dated_state_size(n + 1, n + 1),
        "100 * (bars since the lowest low - bars since the highest high) / N of N + 1 bars",
        "Chande, Stocks & Commodities 13:9, 1995; TA-Lib AROONOSC",
        "N + 1",
        "-100 to 100",
    ),
    Indicator(
        "regression_slope",
        _N,
        "trend:regression_slope",
        lambda n: 1 + pairs_state_size(n),
        "slope per bar of the least-squares line through N closes / their mean",
        "TA-Lib LINEARREG_SLOPE / SMA",
        "N",
        "fraction",
    ),
    Indicator(
        "regression_fit",
        _N,
        "trend:regression_fit",
        lambda n: 1 + pairs_state_size(n),
        "R^2 of the least-squares line through N closes; 0 in a flat window",
        "definition",
        "N",
        "0 to 1",
        smallest=3,
    ),
    Indicator(
        "vortex",
        _N,
        "trend:vortex",
        lambda n: 3 + sums_state_size(n, n),
        "(sum of |high - previous low| - sum of |low - previous high|) / sum of true"
        " ranges of N bars",
        "Botes and Siepman, Stocks & Commodities 28:1, 2010",
        "N + 1",
        "ratio",
    ),
    Indicator(
        "plus_di",
        _N,
        "wilder:plus_di",
        _numbers(7),
        "100 * Wilder's sum of upward moves of N bars / his sum of true ranges",
        f"{_WILDER}; TA-Lib PLUS_DI",
        "N + 1",
        "0 to 100",
    ),
    Indicator(
        "minus_di",
        _N,
        "wilder:minus_di",
        _numbers(7),
        "100 * Wilder's sum of downward moves of N bars / his sum of true ranges",
        f"{_WILDER}; TA-Lib MINUS_DI",
        "N + 1",
        "0 to 100",
    ),
    Indicator(
        "donchian",
        _N,
        "trend:donchian",
        _two_sums,
        "(close - lowest low) / (highest high - lowest low) of the N bars before; beyond"
        " 0 or 1 it breaks out",
        _MURPHY,
        "N + 1",
        "0 to 1 inside",
    ),
    Indicator(
        "keltner",
        _N,
        "trend:keltner",
        _numbers(0),
        "(close - ema_N) / atr_N; 0 without a range",
        _MURPHY,
        "N + 1",
        "true ranges",
        reads=lambda *p: (
            f"ema_{p[0]}",
            f"atr_{p[0]}",
        ),
    ),
)
OSCILLATORS = (
    Indicator(
        "stochastic_k",
        ("N", "K"),
        "oscillators:stochastic_k",
        lambda _, k: window_state_size(k),
        "100 * mean of range_position_N over K bars",
        f"{_LANE}; TA-Lib STOCH",
        "N + K - 1",
        "0 to 100",
        reads=lambda *p: (f"range_position_{p[0]}",),
    ),
    Indicator(
        "stochastic_d",
        ("N", "K", "D"),
        "oscillators:stochastic_d",
        lambda _n, _k, d: window_state_size(d),
        "mean of stochastic_k_N_K over D bars",
        f"{_LANE}; TA-Lib STOCH",
        "N + K + D - 2",
        "0 to 100",
        reads=lambda *p: (f"stochastic_k_{p[0]}_{p[1]}",),
    ),
    Indicator(
        "williams_r",
        _N,
        "oscillators:williams_r",
        _numbers(0),
        "100 * (range_position_N - 1)",
        "Williams, How I Made One Million Dollars, 1979; TA-Lib WILLR",
        "N",
        "-100 to 0",
        reads=lambda *p: (f"range_position_{p[0]}",),
    ),
    Indicator(
        "cci",
        _N,
        "oscillators:cci",
        window_state_size,
        "(typical - mean) / (0.015 * mean absolute distance from the mean) of N typical"
        " prices; 0 in a flat window",
        "Lambert, Commodities, October 1980; TA-Lib CCI",
        "N",
        "mean distances",
    ),
    Indicator(
        "ultimate",
        _FSG,
        "oscillators:ultimate",
        lambda f, s, g: 1 + sums_state_size(f, f, s, s, g, g),
        "100 * (4 a_F + 2 a_S + a_G) / 7, a_N = sum of (close - true low) / sum of true"
        " ranges of N bars",
        "Williams, Stocks & Commodities 3:4, 1985; TA-Lib ULTOSC",
        "max(F, S, G) + 1",
        "0 to 100",
    ),
    Indicator(
        "stochastic_rsi",
        _N,
        "oscillators:stochastic_rsi",
        _two_sums,
        "(rsi_N - its lowest) / (its highest - its lowest) of N bars; 0.5 where they are equal",
        "Chande and Kroll, The New Technical Trader, 1994; TA-Lib STOCHRSI / 100",
        "2 * N",
        "0 to 1",
        reads=lambda *p: (f"rsi_{p[0]}",),
    ),
)
RANGE_VOLATILITY = (
    Indicator(
        "parkinson",
        _N,
        "range_volatility:parkinson",
        sums_state_size,
        "sqrt(mean of ln(high / low)^2 / (4 ln 2)) of N bars",
        "Parkinson, Journal of Business 53, 1980",
        "N",
        "log return",
    ),
    Indicator(
        "garman_klass",
        _N,
        "range_volatility:garman_klass",
        sums_state_size,
        "sqrt(mean of ln(high / low)^2 / 2 - (2 ln 2 - 1) ln(close / open)^2) of N bars",
        "Garman and Klass, Journal of Business 53, 1980",
        "N",
        "log return",
    ),
    Indicator(
        "rogers_satchell",
        _N,
        "range_volatility:rogers_satchell",
        sums_state_size,
        "sqrt(mean of ln(high / close) ln(high / open) + ln(low / close) ln(low / open)) of N bars",
        "Rogers and Satchell, Annals of Applied Probability 1, 1991",
        "N",
        "log return",
    ),
    Indicator(
        "yang_zhang",
        _N,
        "range_volatility:yang_zhang",
        lambda n: window_state_size(n, n) + sums_state_size(n),
        "sqrt(var ln(open / previous close) + k var ln(close / open) + (1 - k)"
        " rogers_satchell_N^2), k = 0.34 / (1.34 + (N + 1) / (N - 1))",
        "Yang and Zhang, Journal of Business 73, 2000",
        "N + 1",
        "log return",
    ),
    Indicator(
        "ewma_volatility",
        _N,
        "range_volatility:ewma_volatility",
        _numbers(2),
        "root of the exponential average (alpha 2 / (N + 1)) of squared log returns,"
        " begun with the mean of N",
        "RiskMetrics Technical Document, 1996",
        "N + 1",
        "log return",
    ),
    Indicator(
        "downside_volatility",
        _N,
        "range_volatility:downside_volatility",
        sums_state_size,
        "root of the mean of min(log return, 0)^2 of N bars",
        "Sortino and van der Meer, Journal of Portfolio Management 17, 1991",
        "N + 1",
        "log return",
    ),
    Indicator(
        "ulcer_index",
        _N,
        "range_volatility:ulcer_index",
        _two_sums,
        "root of the mean over N bars of the squared fall, in percent, below the highest"
        " close of N",
        "Martin and McCann, The Investor's Guide to Fidelity Funds, 1989",
        "2 * N - 1",
        "percent",
    ),
    Indicator(
        "volatility_ratio",
        _FS,
        "range_volatility:volatility_ratio",
        _numbers(0),
        "volatility_F / volatility_S; 1 where the second is 0",
        "definition",
        "max(F, S) + 1",
        "ratio",
        reads=lambda *p: (
            f"volatility_{p[0]}",
            f"volatility_{p[1]}",
        ),
    ),
)
DISTRIBUTION = (
    Indicator(
        "skewness",
        _N,
        "distribution:skewness",
        moments_state_size,
        "m3 / m2^1.5 of the last N log returns; 0 in a flat window",
        "definition (population moments)",
        "N + 1",
        "number",
        smallest=3,
    ),
    Indicator(
        "kurtosis",
        _N,
        "distribution:kurtosis",
        moments_state_size,
        "m4 / m2^2 - 3 of the last N log returns; 0 in a flat window",
        "definition (population moments)",
        "N + 1",
        "number",
        smallest=3,
    ),
    Indicator(
        "autocorrelation",
        _N,
        "distribution:autocorrelation",
        lambda n: 2 + pairs_state_size(n),
        "correlation of N log returns with the one before each; 0 in a flat window",
        "definition",
        "N + 2",
        "-1 to 1",
        smallest=3,
    ),
    Indicator(
        "variance_ratio",
        ("N", "Q"),
        "distribution:variance_ratio",
        lambda n, _: window_state_size(n),
        "sample variance of the last N momentum_Q / (Q * volatility_N^2); 1 without a move",
        "Lo and MacKinlay, Review of Financial Studies 1, 1988",
        "N + Q",
        "ratio",
        reads=lambda *p: (
            f"momentum_{p[1]}",
            f"volatility_{p[0]}",
        ),
    ),
    Indicator(
        "hurst",
        ("N", "Q"),
        "distribution:hurst",
        _numbers(0),
        "0.5 + ln(variance_ratio_N_Q) / (2 ln Q), held within 0 and 1",
        "scaling of the variance with time (Mandelbrot and van Ness, SIAM Review 10, 1968)",
        "N + Q",
        "0 to 1",
        reads=lambda *p: (f"variance_ratio_{p[0]}_{p[1]}",),
    ),
    Indicator(
        "sign_entropy",
        _N,
        "distribution:sign_entropy",
        _two_sums,
        "entropy of the shares of rises, falls and flat bars among N / ln 3",
        f"Shannon, 1948; {_AFML}, 18",
        "N + 1",
        "0 to 1",
    ),
    Indicator(
        "fractional",
        ("D", "N"),
        "distribution:fractional",
        lambda _, n: lag_state_size(n),
        "sum of w_k ln(close k bars ago), k < N, w_0 = 1, w_k = w_(k-1) (k - 1 - D / 100) / k",
        f"{_AFML}, 5.5 (fixed width)",
        "N",
        "log price",
    ),
)
FLOW = (
    Indicator(
        "mfi",
        _N,
        "volume:mfi",
        lambda n: 1 + sums_state_size(n, n),
        "100 * the share of typical * volume on rising bars among N that moved; 50 when"
        " there is none",
        "Quong and Soudack, Stocks & Commodities 7:3, 1989; TA-Lib MFI",
        "N + 1",
        "0 to 100",
    ),
    Indicator(
        "cmf",
        _N,
        "volume:cmf",
        _two_sums,
        "sum of ((close - low) - (high - close)) / (high - low) * volume over N bars /"
        " sum of their volume",
        "Chaikin money flow",
        "N",
        "-1 to 1",
    ),
    Indicator(
        "vwma_ratio",
        _N,
        "volume:vwma_ratio",
        _two_sums,
        "close / volume-weighted mean of N closes - 1; 0 without any trade",
        "definition",
        "N",
        "fraction",
    ),
    Indicator(
        "volume_correlation",
        _N,
        "volume:volume_correlation",
        pairs_state_size,
        "correlation of N log returns with their volumes; 0 where one does not move",
        "Karpoff, Journal of Financial and Quantitative Analysis 22, 1987",
        "N + 1",
        "-1 to 1",
        smallest=3,
    ),
)
LIQUIDITY = (
    Indicator(
        "amihud",
        _N,
        "liquidity:amihud",
        _two_sums,
        "mean of |log return| / (close * volume / 1e6) of those of N bars that traded; 0"
        " when none did",
        "Amihud, Journal of Financial Markets 5, 2002",
        "N + 1",
        "log return per million",
    ),
    Indicator(
        "kyle_lambda",
        _N,
        "liquidity:kyle_lambda",
        lambda n: pairs_state_size(n) + sums_state_size(n),
        "slope of N log returns on sign(log return) * volume, times the mean volume",
        "Kyle, Econometrica 53, 1985, by the sign of the bar",
        "N + 1",
        "log return per mean volume",
        smallest=3,
    ),
    Indicator(
        "roll_spread",
        _N,
        "liquidity:roll_spread",
        lambda n: 2 + pairs_state_size(n),
        "2 sqrt(-covariance of N log returns with the one before each); 0 where it is above 0",
        "Roll, Journal of Finance 39, 1984",
        "N + 2",
        "fraction",
        smallest=3,
    ),
    Indicator(
        "corwin_schultz",
        _N,
        "liquidity:corwin_schultz",
        lambda n: 3 + sums_state_size(n),
        "mean over N bars of the high-low spread of each with the bar before, gaps taken"
        " out, not below 0",
        "Corwin and Schultz, Journal of Finance 67, 2012",
        "N + 1",
        "fraction",
        version=2,
    ),
)
CALENDAR = (
    Indicator(
        "minute_of_session",
        (),
        "sessions:minute_of_session",
        _numbers(4),
        "minutes since the start of the session's first regular bar; -1 before it",
        "definition",
        "1",
        "minutes",
    ),
    Indicator(
        "day_of_week",
        (),
        "sessions:day_of_week",
        _numbers(0),
        "day of the session's date, 0 on Mondays",
        "definition",
        "1",
        "0 to 6",
    ),
    Indicator(
        "session_return",
        (),
        "sessions:session_return",
        _numbers(4),
        "ln(close / open of the session's first regular bar); 0 before it",
        "definition",
        "1",
        "log return",
    ),
    Indicator(
        "first_hour_return",
        (),
        "sessions:first_hour_return",
        _numbers(5),
        "session_return within the first 60 minutes of regular hours, then its last"
        " value there; 0 before",
        "Gao, Han, Li and Zhou, Journal of Financial Economics 129, 2018",
        "1",
        "log return",
    ),
    Indicator(
        "overnight_return",
        (),
        "sessions:overnight_return",
        _numbers(7),
        "ln(open of the first regular bar / last regular close of an earlier session),"
        " from that bar on",
        "definition",
        "the second session's regular open",
        "log return",
    ),
    Indicator(
        "session_range_position",
        (),
        "sessions:session_range_position",
        _numbers(3),
        "(close - low) / (high - low) of the session so far; 0.5 where they are equal",
        "definition",
        "1",
        "0 to 1",
    ),
    Indicator(
        "prior_range_position",
        (),
        "sessions:prior_range_position",
        _numbers(5),
        "(close - low) / (high - low) of the session before; beyond 0 or 1 it is outside",
        "definition",
        "the second session",
        "0 to 1 inside",
    ),
)
LARGER_BARS = (
    Indicator(
        "larger_sma_ratio",
        _MN,
        "larger_bars:larger_sma_ratio",
        lambda _, n: 2 + window_state_size(n),
        "close / mean of the closes of the last N complete bars of M minutes - 1",
        "definition",
        "N complete larger bars",
        "fraction",
    ),
    Indicator(
        "larger_momentum",
        _MN,
        "larger_bars:larger_momentum",
        lambda _, n: 2 + lag_state_size(n + 1),
        "ln(close of the last complete bar of M minutes / close N such bars before)",
        "definition",
        "N + 1 complete larger bars",
        "log return",
    ),
    Indicator(
        "larger_volatility",
        _MN,
        "larger_bars:larger_volatility",
        lambda _, n: 3 + window_state_size(n),
        "sample deviation of the last N log returns of complete bars of M minutes",
        "definition",
        "N + 1 complete larger bars",
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
        f"{_AFML}, 2.5.2.1",
        "1",
        "-1, 0, 1",
        reads=lambda: (f"volatility_{CUSUM_VOLATILITY_BARS}",),
        version=3,
    ),
)
GROUPS = {
    "Returns": RETURNS,
    "Averages": AVERAGES,
    "Trend": (*WILDER[3:], *TREND),
    "Oscillators": (*WILDER[:1], *RANGES, *OSCILLATORS),
    "Volatility": (*WILDER[1:3], *RANGE_VOLATILITY),
    "Distribution and memory": DISTRIBUTION,
    "Volume": (*VOLUME, *FLOW),
    "Liquidity": LIQUIDITY,
    "Session and calendar": (*SESSIONS, *CALENDAR),
    "Larger bars": LARGER_BARS,
    "Events": EVENTS,
}
"""Indicators by the heading under which docs/features.md has them."""
INDICATORS = tuple(indicator for group in GROUPS.values() for indicator in group)
