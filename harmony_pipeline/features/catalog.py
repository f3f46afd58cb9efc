"""Every indicator by name, and sets of indicators that are computed together.

To add an indicator, write its kernel, `(bars, state, parameters, values)` as described in
`kernel_inputs.py`, and add one entry to INDICATORS. The hash of a set covers each name, its integer
parameters and its version. Raise the version when the values change, so that saved states and
models of the old definition are not mixed with the new one.

An indicator of the user lies in a module beside the settings file and is named in `features.own`
(`register_own`); its version is the hash of its kernel.

>>> FeatureSet.of(["rsi_14", "sma_ratio_10_40"]).names
('rsi_14', 'sma_ratio_10_40', 'cusum_event')
"""

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from pkgutil import resolve_name
from typing import Any

import numpy as np
import numpy.typing as npt

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.features.kernel_inputs import (
    bar_matrix,
    lag_state_size,
    sums_state_size,
    window_state_size,
)
from harmony_pipeline.hashing import short_hash
from harmony_pipeline.import_paths import import_object
from harmony_pipeline.kernel_hash import kernel_hash

CUSUM_EVENT = "cusum_event"
CUSUM_VOLATILITY_BARS = 20
LONGEST_WINDOW = 10_000
_FOLD_VERSION = 1  # of the layout of the flat vector
_NAME = re.compile(r"(?P<kind>[a-z][a-z_]*?)(?P<parameters>(_\d+)*)")

Kernel = Callable[[FloatArray, FloatArray, FloatArray, FloatArray], None]


@dataclass(frozen=True)
class Indicator:
    """One kind of column. `kernel` is `module:function` in this package, imported on first use,
    since numba loads slowly; an indicator of the user has the compiled function itself.
    """

    kind: str
    parameters: tuple[str, ...]
    kernel: str | Kernel
    state_size: Callable[..., int]
    note: str
    smallest: int = 2
    version: int = 1

    @property
    def pattern(self) -> str:
        """The form of its column names: `rsi_N`."""
        return "_".join((self.kind, *self.parameters))


def _numbers(count: int) -> Callable[..., int]:
    """A state of `count` numbers for any parameters."""
    return lambda *_: count


_N, _FS, _FSG = ("N",), ("F", "S"), ("F", "S", "G")

INDICATORS = (
    Indicator(
        "log_return",
        (),
        "returns:log_return",
        _numbers(0),
        "ln(close / previous close)",
        version=2,
    ),
    Indicator(
        "volatility",
        _N,
        "returns:volatility",
        window_state_size,
        "sample deviation of the last N log returns, per bar",
        version=2,
    ),
    Indicator(
        "momentum",
        _N,
        "returns:momentum",
        lag_state_size,
        "ln(close / close N bars ago)",
        smallest=1,
        version=2,
    ),
    Indicator(
        "roc",
        _N,
        "returns:roc",
        lag_state_size,
        "close / close N bars ago - 1",
        smallest=1,
        version=2,
    ),
    Indicator("sma", _N, "averages:sma", window_state_size, "mean of the last N closes", version=2),
    Indicator("ema", _N, "averages:ema", _numbers(2), "exponential average, alpha 2 / (N + 1)"),
    Indicator(
        "sma_ratio", _FS, "averages:sma_ratio", window_state_size, "sma_F / sma_S - 1", version=2
    ),
    Indicator("ema_ratio", _FS, "averages:ema_ratio", _numbers(4), "ema_F / ema_S - 1"),
    Indicator(
        "macd", _FSG, "averages:macd", _numbers(6), "MACD histogram: (ema_F - ema_S) - its ema_G"
    ),
    Indicator(
        "bollinger_z",
        _N,
        "averages:bollinger_z",
        window_state_size,
        "(close - mean) / sample deviation of N closes",
        version=2,
    ),
    Indicator("rsi", _N, "wilder:rsi", _numbers(5), "Wilder's relative strength index, 0 to 100"),
    Indicator(
        "atr", _N, "wilder:atr", _numbers(3), "Wilder's average true range, adjusted price units"
    ),
    Indicator("natr", _N, "wilder:natr", _numbers(3), "average true range in percent of the close"),
    Indicator("adx", _N, "wilder:adx", _numbers(7), "Wilder's average directional index, 0 to 100"),
    Indicator(
        "range_position",
        _N,
        "stochastic:range_position",
        lambda n: sums_state_size(n, n),
        "(close - low_N) / (high_N - low_N), 0 to 1",
        version=2,
    ),
    Indicator(
        "volume_z",
        _N,
        "volume:volume_z",
        window_state_size,
        "(volume - mean) / sample deviation of N volumes",
        version=2,
    ),
    Indicator(
        "volume_ratio",
        _N,
        "volume:volume_ratio",
        window_state_size,
        "volume / mean of N volumes",
        version=2,
    ),
    Indicator(
        "signed_volume",
        _N,
        "volume:signed_volume",
        lambda n: sums_state_size(n, n),
        "sum of sign(return) * volume / sum of volume over N bars",
        version=2,
    ),
    Indicator(
        "vwap_distance",
        (),
        "sessions:vwap_distance",
        _numbers(3),
        "close / VWAP since the session began - 1",
    ),
    Indicator(
        "gap",
        (),
        "sessions:gap",
        _numbers(4),
        "ln(first open of the session / last close of the one before)",
    ),
)
_BY_KIND = {indicator.kind: indicator for indicator in INDICATORS}
_CUSUM = Indicator(
    CUSUM_EVENT,
    (),
    "cusum:cusum_event",
    _numbers(2 + window_state_size(CUSUM_VOLATILITY_BARS)),
    "CUSUM event on a regular bar: -1, 0, 1",
    version=2,
)


@dataclass(frozen=True)
class FeatureColumn:
    """One selected column: its indicator, its parameters, and its slice of the state."""

    name: str
    indicator: Indicator
    parameters: tuple[float, ...]
    state: slice

    @cached_property
    def kernel(self) -> Kernel:
        """The compiled function."""
        if not isinstance(self.indicator.kernel, str):
            return self.indicator.kernel
        found: Kernel = resolve_name(f"{__package__}.{self.indicator.kernel}")
        return found

    @cached_property
    def parameter_array(self) -> FloatArray:
        """The parameters as kernels read them."""
        return np.array(self.parameters, np.float64)


@dataclass(frozen=True)
class FeatureSet:
    """Columns that are computed together, `cusum_event` always last. `FeatureSet.of` makes one.

    A state is one float64 vector of `state_size` numbers a symbol: the previous close, then a slice
    for each column.
    """

    columns: tuple[FeatureColumn, ...]

    @staticmethod
    def of(names: Sequence[str], cusum_threshold: float = 1.5) -> "FeatureSet":
        """The set of these columns; repeated names count once. Raises ConfigError for an unknown
        name.
        """
        if not cusum_threshold > 0.0:
            raise ConfigError(
                f"features.cusum_threshold is {cusum_threshold}: it must be above 0 (units of"
                f" volatility_{CUSUM_VOLATILITY_BARS})"
            )
        chosen = [(name, *parse_name(name)) for name in dict.fromkeys(names) if name != CUSUM_EVENT]
        columns, start = [], 1
        for name, indicator, numbers in chosen:
            end = start + indicator.state_size(*numbers)
            columns.append(
                FeatureColumn(name, indicator, tuple(map(float, numbers)), slice(start, end))
            )
            start = end
        columns.append(
            FeatureColumn(
                CUSUM_EVENT,
                _CUSUM,
                (float(cusum_threshold),),
                slice(start, start + _CUSUM.state_size()),
            )
        )
        return FeatureSet(tuple(columns))

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Output columns, in order."""
        return tuple(column.name for column in self.columns)

    @cached_property
    def hash(self) -> str:
        """A hash of names, parameters, order and definitions. Saved states and models of another
        hash do not fit.
        """
        text = repr(
            (
                _FOLD_VERSION,
                [
                    (column.name, column.parameters, column.indicator.version)
                    for column in self.columns
                ],
            )
        )
        return short_hash(text, 8)

    @property
    def state_size(self) -> int:
        """Length of a state vector."""
        return int(self.columns[-1].state.stop)

    def initial_state(self) -> FloatArray:
        """The state before a symbol's first bar."""
        return np.zeros(self.state_size)

    def fold(
        self, state: FloatArray, arrays: Sequence[npt.NDArray[Any]] | FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """(new state, values[n, k]) after n more bars of one symbol; `state` is not changed.

        arrays = (open, high, low, close, volume, session_day, regular) in time order: adjusted
        prices > 0, adjusted volume >= 0, days since 1970-01-01, 1 on regular bars. Values are NaN
        until warm. Any cut of the bars gives the same bits.
        """
        matrix = bar_matrix(arrays)
        after = state.copy()
        values = np.empty((len(self.columns), matrix.shape[1]))
        self.fold_into(after, matrix, values)
        return after, values.T

    def fold_into(self, state: FloatArray, matrix: FloatArray, values: FloatArray) -> None:
        """The same in place: `state` is updated, and row r of `values` (contiguous rows) becomes
        column r.
        """
        fill_log_returns_kernel()(matrix, state[:1])
        for column, row in zip(self.columns, values, strict=True):
            column.kernel(matrix, state[column.state], column.parameter_array, row)


def register_own(path: str) -> Indicator:
    """Make the Indicator at `module:NAME` known by its kind; registering it again replaces it.

    Raises ConfigError when there is none, it is not one, or its kind is taken.
    """
    found = import_object(path, "features.own")
    if not isinstance(found, Indicator):
        raise ConfigError(
            f"features.own = '{path}': is {type(found).__name__} and no"
            " harmony_pipeline.features.catalog.Indicator"
        )
    if _NAME.fullmatch(found.kind) is None or found.kind[-1] == "_":
        raise ConfigError(
            f"features.own = '{path}': kind '{found.kind}' must be lower-case letters and _"
        )
    if found.kind in {one.kind for one in (*INDICATORS, _CUSUM)}:
        raise ConfigError(f"features.own = '{path}': kind '{found.kind}' is taken: choose another")
    from numba.extending import is_jitted  # numba loads slowly

    kernel: Any = found.kernel
    if not is_jitted(kernel):
        raise ConfigError(
            f"features.own = '{path}': its kernel is no compiled function: decorate it with"
            " harmony_pipeline.kernel.kernel"
        )
    own = replace(found, version=int(kernel_hash(kernel.py_func), 16))
    _BY_KIND[own.kind] = own
    return own


def parse_name(name: str) -> tuple[Indicator, tuple[int, ...]]:
    """(indicator, parameters) of a column name: `rsi_14` -> rsi, (14,).

    Raises ConfigError that lists what is valid.
    """
    match = _NAME.fullmatch(name)
    indicator = _BY_KIND.get(match["kind"]) if match else None
    if match is None or indicator is None:
        raise ConfigError(
            f"unknown feature '{name}'{_did_you_mean(name)}; valid are"
            f" {', '.join(i.pattern for i in _BY_KIND.values())}"
        )
    digits = [text for text in match["parameters"].split("_") if text]
    numbers = tuple(int(text) for text in digits)
    if len(numbers) != len(indicator.parameters):
        raise ConfigError(
            f"feature '{name}' has {len(numbers)} number(s): write it as"
            f" {indicator.pattern}{_did_you_mean(name)}"
        )
    for text, number, letter in zip(digits, numbers, indicator.parameters, strict=True):
        if text != str(number) or not indicator.smallest <= number <= LONGEST_WINDOW:
            allowed = (
                f"a whole number from {indicator.smallest} to {LONGEST_WINDOW}, without leading"
                " zeros"
            )
            raise ConfigError(
                f"feature '{name}': {letter} of {indicator.pattern} must be {allowed}"
            )
    if indicator.kind == "macd" and numbers[0] >= numbers[1]:
        raise ConfigError(
            f"feature '{name}': the first average must be the faster one, as in macd_12_26_9"
        )
    return indicator, numbers


def _did_you_mean(name: str) -> str:
    """A suggestion for the intended name, with the given numbers."""
    kind, numbers = re.sub(r"[\W\d_]+$", "", name.lower()), re.findall(r"\d+", name)
    near = get_close_matches(kind, _BY_KIND, n=1, cutoff=0.6)
    if not near:
        return ""
    parameters = _BY_KIND[near[0]].parameters
    given = numbers if len(numbers) == len(parameters) else parameters
    return f", did you mean '{'_'.join([near[0], *given])}'?"


def fill_log_returns_kernel() -> Callable[[FloatArray, FloatArray], None]:
    """The kernel that begins every fold, `(bars, state[:1])`. It fills row LOG_RETURN for the
    others.
    """
    from harmony_pipeline.features.returns import fill_log_returns

    return fill_log_returns
