"""Which columns of one symbol are computed in one loop, by the kernels of `joined_recursions.py`,
and the order in which the columns of a set are computed.

Each column of a joint has the values and the part of the state that it has alone. So which columns
are joined changes no hash of a set.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pkgutil import resolve_name

from harmony_pipeline.features.feature_column import FeatureColumn
from harmony_pipeline.features.indicator import Kernel

MEMBERS = 4
_FEWEST = 2  # one column takes as long by its own kernel


@dataclass(frozen=True)
class Joint:
    """Columns of one symbol that a kernel computes together: MEMBERS places, each of one kind, None
    where there is no such column.
    """

    kernel_path: str
    places: tuple[FeatureColumn | None, ...]

    @cached_property
    def columns(self) -> tuple[FeatureColumn, ...]:
        """Those that are there, each after what it reads."""
        return tuple(column for column in self.places if column is not None)

    @cached_property
    def reads(self) -> tuple[str, ...]:
        """What they read of other columns: one at most."""
        own = {column.name for column in self.columns}
        return tuple(name for column in self.columns for name in column.reads if name not in own)

    @cached_property
    def kernel(self) -> Kernel:
        """The compiled function, `(bars, read, states, parameters, values)`: the column that is
        read, or any row, and a tuple of MEMBERS of each. Where there is no column, state and
        parameters are empty, and a row that nobody reads takes the values.
        """
        found: Kernel = resolve_name(f"{__package__}.{self.kernel_path}")
        return found


Unit = FeatureColumn | Joint


def units_of(columns: Sequence[FeatureColumn]) -> tuple[Unit, ...]:
    """The columns of a round as they are computed: joined where they can be, and each after what it
    reads.
    """
    joint_of = {one.name: joint for joint in joints_of(columns) for one in joint.columns}
    waiting = {id(unit): unit for unit in (joint_of.get(column.name, column) for column in columns)}
    unknown, ordered = {column.name for column in columns}, list[Unit]()
    while waiting:
        unit = next(each for each in waiting.values() if unknown.isdisjoint(each.reads))
        ordered.append(waiting.pop(id(unit)))
        unknown -= {column.name for column in columns_of(unit)}
    return tuple(ordered)


def columns_of(unit: Unit) -> tuple[FeatureColumn, ...]:
    """The columns of a joint, or the one."""
    return unit.columns if isinstance(unit, Joint) else (unit,)


def joints_of(columns: Sequence[FeatureColumn]) -> list[Joint]:
    """The joints of the columns of a round, as full as can be."""
    joints, left = list[Joint](), list(columns)
    for made_of in (_averages, _sums):
        joint = made_of(left)
        while len(joint.columns) >= _FEWEST:
            joints.append(joint)
            taken = {column.name for column in joint.columns}
            left = [column for column in left if column.name not in taken]
            joint = made_of(left)
    return joints


def _averages(columns: Sequence[FeatureColumn]) -> Joint:
    kinds = ("wilder:rsi", "wilder:atr", "wilder:adx", "averages:ema")
    places = tuple(_first(columns, kind) for kind in kinds)
    return Joint("joined_recursions:averages_of_one", places)


def _sums(columns: Sequence[FeatureColumn]) -> Joint:
    """A signal of MACD is joined with the line that it reads."""
    lines = {each.name: each for each in columns if each.indicator.kernel == "averages:macd_line"}
    joinable = [each for each in columns if lines.keys() >= set(each.reads)]
    signal = _first(joinable, "averages:macd_signal")
    line = lines[signal.reads[0]] if signal else next(iter(lines.values()), None)
    rest = (_first(columns, kind) for kind in ("sessions:vwap_distance", "cusum:cusum_event"))
    return Joint("joined_recursions:sums_of_one", (line, signal, *rest))


def _first(columns: Sequence[FeatureColumn], kind: str) -> FeatureColumn | None:
    return next((column for column in columns if column.indicator.kernel == kind), None)
