"""Indicators by name, and sets of them that are computed together.

To add an indicator, write its kernel, `(bars, state, parameters, values)` as described in
`kernel_inputs.py`, and add one entry to a table in `kinds/`. The hash of a set covers each
name, its parameters and its version. Raise the version when the values or the state change, so that
saved states and models of the old definition are not mixed with the new one.

Nothing is computed twice: an indicator that reads others (`macd` its line and its signal,
`cusum_event` the volatility) gets their values, and they are computed once, whether they are
columns of the set or not.

Columns that compare symbols (`comparisons.py`) follow after the folds that they read, and folds
that read them after these: a set is computed in rounds, each of folds symbol by symbol, then of
comparisons moment by moment.

An indicator of the user lies in a module beside the settings file and is named in `features.own`
(`register_own`); its version is the hash of its kernel.

>>> FeatureSet.of(["rsi_14", "sma_ratio_10_40"]).names
('rsi_14', 'sma_ratio_10_40')
>>> [column.name for column in FeatureSet.of(["sma_ratio_10_40"]).computed]
['sma_10', 'sma_40', 'sma_ratio_10_40']
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.features.comparisons import (
    COMPARISONS,
    MARKET,
    NO_PEERS,
    OF_A_COLUMN,
    Peers,
    is_of_a_sector,
    of_column,
)
from harmony_pipeline.features.feature_column import FeatureColumn
from harmony_pipeline.features.indicators import (
    CUSUM_EVENT,
    CUSUM_VOLATILITY_BARS,
    INDICATORS,
    LONGEST_WINDOW,
    Indicator,
    Kernel,
)
from harmony_pipeline.features.joints import Joint, Unit, units_of
from harmony_pipeline.features.kernel_inputs import ROWS, SCRATCH, bar_matrix
from harmony_pipeline.features.news_columns import NEWS
from harmony_pipeline.hashing import short_hash
from harmony_pipeline.import_paths import import_object
from harmony_pipeline.kernel_hash import kernel_hash

__all__ = [
    "CUSUM_EVENT",
    "INDICATORS",
    "FeatureColumn",
    "FeatureSet",
    "Indicator",
    "Peers",
    "parse_name",
]

_TICK_COLUMNS = (  # of tick_columns.py
    "relative_spread", "quote_imbalance", "trade_imbalance", "signed_trades", "tick_kyle_lambda",
)  # fmt: skip
_FOLD_VERSION = 2  # of the layout of the flat vector
_NAME = re.compile(r"(?P<kind>[a-z][a-z_]*?)(?P<parameters>(_\d+)*)")
_BY_KIND = {indicator.kind: indicator for indicator in (*INDICATORS, *MARKET, *NEWS)}


@dataclass(frozen=True)
class FeatureSet:
    """Columns that are computed together. `FeatureSet.of` makes one.

    `names` are the output columns, in order. `computed` are these and what they read, each after
    what it reads. A state is one float64 vector of `state_size` numbers a symbol: the previous
    close, then a slice for each computed column.
    """

    names: tuple[str, ...]
    computed: tuple[FeatureColumn, ...]
    peers: Peers = NO_PEERS

    @staticmethod
    def of(
        names: Sequence[str], cusum_threshold: float = 1.5, peers: Peers = NO_PEERS
    ) -> "FeatureSet":
        """The set of these columns; repeated names count once. Raises ConfigError for an unknown
        name, and for a column of a sector where no symbol has one.
        """
        if not cusum_threshold > 0.0:
            raise ConfigError(
                f"features.cusum_threshold is {cusum_threshold}: it must be above 0 (units of"
                f" volatility_{CUSUM_VOLATILITY_BARS})"
            )
        chosen, computed, start = tuple(dict.fromkeys(names)), list[FeatureColumn](), 1
        every = list(dict.fromkeys(each for asked in chosen for each in _with_reads(asked)))
        _refuse_without_sectors(every, peers)
        known_after = dict[str, int]()
        for name in every:
            indicator, numbers = parse_name(name)
            end = start + indicator.state_size(*numbers)
            threshold = (float(cusum_threshold),) if name == CUSUM_EVENT else ()
            reads = indicator.reads(*numbers)
            column = FeatureColumn(
                name,
                indicator,
                threshold or tuple(map(float, numbers)),
                slice(start, end),
                reads,
                max((known_after[read] for read in reads), default=0),
            )
            computed.append(column)
            # folds that read a comparison come a round later
            known_after[name] = column.round + indicator.across
            start = end
        return FeatureSet(chosen, tuple(computed), peers)

    @cached_property
    def columns(self) -> tuple[FeatureColumn, ...]:
        """The output columns, in order."""
        by_name = {column.name: column for column in self.computed}
        return tuple(by_name[name] for name in self.names)

    @cached_property
    def compares(self) -> bool:
        """Whether a column compares symbols: then the bars of one moment are computed together."""
        return any(column.indicator.across for column in self.computed)

    @cached_property
    def reads_news(self) -> bool:
        """Whether a column is made of headlines: then the totals of news come with the bars."""
        return any(column.indicator.given for column in self.computed)

    @cached_property
    def reads_sectors(self) -> bool:
        """Whether a column compares within sectors as known on each day: then the sectors come with
        the bars. Which they are is no part of the set, as headlines are none.
        """
        return self.peers.sectors_as_known and any(
            is_of_a_sector(column.name) for column in self.computed
        )

    @cached_property
    def rounds(self) -> tuple[tuple[FeatureColumn, ...], ...]:
        """The comparisons of each round, which follow on its folds."""
        last = max((column.round for column in self.computed), default=0)
        return tuple(
            tuple(each for each in self.computed if each.round == number and each.indicator.across)
            for number in range(last + 1)
        )

    @cached_property
    def units(self) -> tuple[tuple[Unit, ...], ...]:
        """The folds of each round as they are computed: joined where they can be (`joints.py`)."""
        folds = [
            each for each in self.computed if not (each.indicator.across or each.indicator.given)
        ]
        return tuple(
            units_of([each for each in folds if each.round == number])
            for number in range(len(self.rounds))
        )

    @cached_property
    def hidden(self) -> tuple[str, ...]:
        """Columns that are computed since others read them, and are no output."""
        return tuple(column.name for column in self.computed if column.name not in self.names)

    @cached_property
    def hash(self) -> str:
        """A hash of names, parameters, order and definitions. Saved states and models of another
        hash do not fit.
        """
        parts: tuple[object, ...] = (
            _FOLD_VERSION,
            self.names,
            [(each.name, each.parameters, each.indicator.version) for each in self.computed],
        )
        if self.compares:
            parts = (*parts, self.peers.parts)
        if self.reads_sectors:
            parts = (*parts, "sectors as known")
        return short_hash(repr(parts), 8)

    @cached_property
    def machine_code(self) -> dict[int, list[Kernel]]:
        """The compiled kernels of each round that was asked for (`compiled_calls`)."""
        return {}

    @cached_property
    def steps(self) -> dict[tuple[str, ...], tuple[Any, ...]]:
        """The set as data of compiled code, by the columns that come with the bars (`steps_of`)."""
        return {}

    @property
    def state_size(self) -> int:
        """Length of a state vector."""
        return int(self.computed[-1].state.stop) if self.computed else 1

    def initial_state(self) -> FloatArray:
        """The state before a symbol's first bar."""
        return np.zeros(self.state_size)

    def fold(
        self, state: FloatArray, arrays: Sequence[npt.NDArray[Any]] | FloatArray
    ) -> tuple[FloatArray, FloatArray]:
        """(new state, values[n, k]) after n more bars of one symbol; `state` is not changed.

        arrays = (open, high, low, close, volume, session_day, regular, start) in time order:
        adjusted prices > 0, adjusted volume >= 0, days since 1970-01-01, 1 on regular bars,
        microseconds since 1970-01-01 UTC. Values are NaN until warm. Any cut of the bars gives the
        same bits. Raises DataError for a set that compares symbols or reads news.
        """
        if self.reads_news:
            raise DataError(
                "this feature set reads news, and a fold has bars alone: use compute_features"
            )
        if self.compares:
            raise DataError(
                f"{self._comparison} compares symbols, and a fold has the bars of one: use"
                " compute_features"
            )
        matrix = bar_matrix(arrays)
        after, values = state.copy(), np.empty((len(self.names), matrix.shape[1]))
        self.fold_into(after, matrix, values, np.empty((len(self.hidden), matrix.shape[1])))
        return after, values.T

    @property
    def _comparison(self) -> str:
        return next(column.name for column in self.computed if column.indicator.across)

    def fold_into(
        self, state: FloatArray, matrix: FloatArray, values: FloatArray, hidden: FloatArray
    ) -> None:
        """The same in place: `state` is updated, row r of `values` (contiguous rows) becomes column
        r, and a row of `hidden` each column that is only read.
        """
        for kernel, arguments in self.calls(state, matrix, values, hidden):
            kernel(*arguments)

    def calls(
        self,
        state: FloatArray,
        matrix: FloatArray,
        values: FloatArray,
        hidden: FloatArray,
        number: int = 0,
        previous: FloatArray | None = None,
    ) -> Iterator[tuple[Kernel, tuple[Any, ...]]]:
        """The kernels of a round of folds with their arguments, in order. `previous`: where the
        log returns begin, if not in the state, which an earlier round has moved on.
        """
        rows = dict(zip((*self.names, *self.hidden), (*values, *hidden), strict=True))
        yield fill_log_returns_kernel(), (matrix, state[:1] if previous is None else previous)
        for unit in self.units[number]:
            if isinstance(unit, Joint):
                yield unit.kernel, _joined_arguments(unit, state, matrix, rows)
                continue
            read = (rows[name] for name in unit.reads)
            given = (matrix, *read, state[unit.state], unit.parameter_array)
            yield unit.kernel, (*given, rows[unit.name])


def _joined_arguments(
    joint: Joint, state: FloatArray, matrix: FloatArray, rows: Mapping[str, FloatArray]
) -> tuple[Any, ...]:
    """What the kernel of a joint takes."""
    nothing, any_row = np.empty(0), matrix[SCRATCH]
    places = joint.places
    return (
        matrix,
        rows[joint.reads[0]] if joint.reads else any_row,
        tuple(nothing if each is None else state[each.state] for each in places),
        tuple(nothing if each is None else each.parameter_array for each in places),
        tuple(any_row if each is None else rows[each.name] for each in places),
    )


def _with_reads(name: str) -> Iterator[str]:
    """What the column reads, and what that reads, then the column itself."""
    indicator, numbers = parse_name(name)
    for read in indicator.reads(*numbers):
        yield from _with_reads(read)
    yield name


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
    taken = {one.kind for one in (*INDICATORS, *COMPARISONS, *NEWS)}
    if found.kind in taken or found.kind.startswith(tuple(f"{one.kind}_" for one in OF_A_COLUMN)):
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
    for template in OF_A_COLUMN:
        if name.startswith(f"{template.kind}_"):
            return _parse_comparison(template, name)
    match = _NAME.fullmatch(name)
    indicator = _BY_KIND.get(match["kind"]) if match else None
    if match and match["kind"] in _TICK_COLUMNS:
        raise ConfigError(
            f"feature '{name}' is made of quotes and trades, which no session folds: research has"
            " it from open_lake(...).tick_columns(...), and features.names cannot"
        )
    if match is None or indicator is None:
        raise ConfigError(
            f"unknown feature '{name}'{_did_you_mean(name)}; valid are"
            f" {', '.join(i.pattern for i in (*_BY_KIND.values(), *OF_A_COLUMN))}"
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
    if indicator.kind.startswith("macd") and numbers[0] >= numbers[1]:
        raise ConfigError(
            f"feature '{name}': the first average must be the faster one, as in"
            f" {'_'.join(map(str, (indicator.kind, 12, 26, 9)[: len(numbers) + 1]))}"
        )
    return indicator, numbers


def _parse_comparison(template: Indicator, name: str) -> tuple[Indicator, tuple[int, ...]]:
    compared = name.removeprefix(f"{template.kind}_")
    indicator, numbers = parse_name(compared)
    if indicator.across:
        raise ConfigError(
            f"feature '{name}': {compared} compares symbols itself: name a column of one symbol"
        )
    return of_column(template, indicator, compared), numbers


def _refuse_without_sectors(names: Sequence[str], peers: Peers) -> None:
    asked = next(filter(is_of_a_sector, names), None)
    if asked is not None and not (peers.sectors or peers.sectors_as_known):
        raise ConfigError(
            f"feature '{asked}': no symbol has a sector: name them in features.sectors, as"
            ' { AAPL = "technology" }, or take those of the universe with features.sector_source ='
            ' "universe"'
        )


def _did_you_mean(name: str) -> str:
    """A suggestion for the intended name, with the given numbers."""
    kind, numbers = re.sub(r"[\W\d_]+$", "", name.lower()), re.findall(r"\d+", name)
    near = get_close_matches(kind, _BY_KIND, n=1, cutoff=0.6)
    if not near:
        return ""
    parameters = _BY_KIND[near[0]].parameters
    given = numbers if len(numbers) == len(parameters) else parameters
    return f", did you mean '{'_'.join([near[0], *given])}'?"


def compiled_calls(feature_set: FeatureSet, number: int = 0) -> list[Kernel]:
    """The machine code of the kernels of a round of folds, in the order of `FeatureSet.calls`."""
    known = feature_set.machine_code
    if number not in known:
        known[number] = _compile(feature_set, number)
    return known[number]


def _compile(feature_set: FeatureSet, number: int) -> list[Kernel]:
    from harmony_pipeline.kernel import machine_code

    values, hidden = np.empty((len(feature_set.names), 1)), np.empty((len(feature_set.hidden), 1))
    state, matrix = feature_set.initial_state(), np.empty((ROWS, 1))
    calls = feature_set.calls(state, matrix, values, hidden, number)
    return [machine_code(kernel, *arguments) for kernel, arguments in calls]


def fill_log_returns_kernel() -> Kernel:
    """The kernel that begins every fold, `(bars, state[:1])`. It fills row LOG_RETURN for the
    others.
    """
    from harmony_pipeline.features.returns import fill_log_returns

    return fill_log_returns
