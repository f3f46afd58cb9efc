"""The fold of up to four symbols over all of their bars, in one call of compiled code.

Python's lock is not needed between the kernels. So threads do not wait for each other, and blocks
can be small enough for the processor's cache. Kernels are called by their addresses: a set of
features is data (`Steps`), and nothing is compiled for it.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray
from harmony_pipeline.features.bar_columns import Sessions, fill_bars
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.feature_column import FeatureColumn
from harmony_pipeline.features.four_symbols import OF_FOUR, SYMBOLS
from harmony_pipeline.features.joints import MEMBERS, Joint, Unit, columns_of
from harmony_pipeline.features.kernel_inputs import ROWS, SCRATCH
from harmony_pipeline.features.returns import fill_log_returns
from harmony_pipeline.features.value_columns import count_nan
from harmony_pipeline.kernel import call_kernel, kernel, kernel_address

MOST_READS = 2
FEWEST = 3  # symbols that are folded together: two take as long one after the other


class Places(NamedTuple):
    """What the kernels of some columns read and write, one row each.

    `reads` [kernels, MOST_READS] and `writes` number the rows of columns: outputs, then hidden
    ones, then what comes with the bars. `states` and `numbers` [kernels, 2] are the first place and
    the one after the last, in the state of a symbol and in `parameters`.
    """

    read_count: IntArray
    reads: IntArray
    writes: IntArray
    states: IntArray
    numbers: IntArray
    parameters: FloatArray


class Joined(NamedTuple):
    """The joints of a set (`joints.py`), by the step at which each begins: the address of its
    kernel (0: none begins here), how many steps it takes, the row of the column that it reads (-1:
    none), and `members` [steps, MEMBERS], the step of each place (-1: none).
    """

    addresses: IntArray
    sizes: IntArray
    reads: IntArray
    members: IntArray


class Steps(NamedTuple):
    """The kernels of a set in order: `alone` and `together` are the addresses of the kernel of one
    symbol and of that of four (0: there is none).
    """

    alone: IntArray
    together: IntArray
    joined: Joined
    places: Places


class Bars(NamedTuple):
    """The columns of `BarColumns` that kernels read."""

    reals: tuple[FloatArray, ...]
    stamps: IntArray
    sessions: Sessions


class Rows(NamedTuple):
    """`values` [outputs, all bars] is written to; `given` [columns, all bars] comes with the bars.
    `hidden` [SYMBOLS, hidden columns, a block] holds those of a block of each symbol.
    """

    values: FloatArray
    given: FloatArray
    hidden: FloatArray


class Room(NamedTuple):
    """Memory of one call: `bars` [SYMBOLS, ROWS * a block], and a row and a state for the place of
    a fourth symbol where there are three.
    """

    bars: FloatArray
    row: FloatArray
    state: FloatArray


def can_be_steps(feature_set: FeatureSet) -> bool:
    """Whether no column reads too many others, as one of the user may."""
    return all(len(column.reads) <= MOST_READS for column in feature_set.computed)


def steps_of(feature_set: FeatureSet, given: tuple[str, ...]) -> Steps:
    """The steps of a set that compares no symbols, kept with it. `given` are the columns that come
    with the bars.
    """
    known = feature_set.steps
    if given not in known:
        known[given] = _made(feature_set, given)
    return Steps(*known[given])


def _made(feature_set: FeatureSet, given: tuple[str, ...]) -> Steps:
    units = feature_set.units[0]
    columns = [column for unit in units for column in columns_of(unit)]
    hidden = [name for name in feature_set.hidden if name not in given]
    row = {name: number for number, name in enumerate((*feature_set.names, *hidden, *given))}
    return Steps(
        np.array([address_alone(column) for column in columns], np.int64),
        np.array([_together(column) for column in columns], np.int64),
        _joined(units, len(columns), row),
        places_of(columns, row),
    )


def _joined(units: Sequence[Unit], steps: int, row: Mapping[str, int]) -> Joined:
    found = Joined(
        np.zeros(steps, np.int64),
        np.ones(steps, np.int64),
        np.full(steps, -1, np.int64),
        np.full((steps, MEMBERS), -1, np.int64),
    )
    begin = 0
    for unit in units:
        if isinstance(unit, Joint):
            found.addresses[begin] = address_of_joint(unit)
            found.sizes[begin] = len(unit.columns)
            found.reads[begin] = row[unit.reads[0]] if unit.reads else -1
            there = [place for place, column in enumerate(unit.places) if column is not None]
            found.members[begin, there] = begin + np.arange(len(there))
        begin += len(columns_of(unit))
    return found


def places_of(columns: Sequence[FeatureColumn], row: Mapping[str, int]) -> Places:
    """The places of these columns, given the row of each by name."""
    reads = np.full((len(columns), MOST_READS), -1, np.int64)
    for place, column in enumerate(columns):
        reads[place, : len(column.reads)] = [row[name] for name in column.reads]
    ends = np.cumsum([0, *(len(column.parameters) for column in columns)]).astype(np.int64)
    numbers = [number for column in columns for number in column.parameters]
    return Places(
        np.array([len(column.reads) for column in columns], np.int64),
        reads,
        np.array([row[column.name] for column in columns], np.int64),
        np.array([(each.state.start, each.state.stop) for each in columns], np.int64).reshape(
            len(columns), 2
        ),
        np.stack([ends[:-1], ends[1:]], axis=1),
        np.array(numbers, np.float64),
    )


def address_alone(column: FeatureColumn) -> int:
    """Where the kernel of one symbol lies."""
    matrix, row = np.empty((ROWS, 1)), np.empty(1)
    return kernel_address(column.kernel, matrix, *[row] * len(column.reads), row, row, row)


def address_of_joint(joint: Joint) -> int:
    """Where the kernel of a joint lies."""
    matrix, row = np.empty((ROWS, 1)), np.empty(1)
    return kernel_address(joint.kernel, matrix, row, *[(row,) * MEMBERS] * 3)


def _together(column: FeatureColumn) -> int:
    named = column.indicator.kernel
    found = OF_FOUR.get(named) if isinstance(named, str) else None
    if found is None:
        return 0
    matrix, row = (np.empty((ROWS, 1)),) * SYMBOLS, (np.empty(1),) * SYMBOLS
    return kernel_address(found, matrix, *[row] * len(column.reads), row, row[0], row)


def room_for(feature_set: FeatureSet, block: int) -> Room:
    """The memory that a call needs for blocks of this many bars."""
    return Room(
        np.empty((SYMBOLS, ROWS * block)), np.empty(block), np.empty(feature_set.state_size)
    )


@kernel
def fold_symbols(
    steps: Steps,
    bars: Bars,
    bounds: IntArray,
    states: FloatArray,
    rows: Rows,
    room: Room,
    forgetful: BoolArray,
    nans: IntArray,
) -> bool:
    """Fold up to four symbols, those with the most bars first; False where a row holds a number
    that kernels cannot read.

    `bounds` [symbols, 2] are the first row and the one after the last, `states` [symbols, state]
    are moved on. `nans` [symbols, blocks, outputs] becomes the number of NaN: of the forgetful
    columns in every block, of the others up to the first block without one.
    """
    block, count = room.row.size, bounds.shape[0]
    starts, stops = bounds[:, 0].copy(), bounds[:, 0].copy()
    watched = np.ones((count, forgetful.size), np.bool_)
    for place in range(nans.shape[1]):
        active = 0
        for k in range(count):
            starts[k] = stops[k]
            stops[k] = min(starts[k] + block, bounds[k, 1])
            if starts[k] < stops[k]:
                active = k + 1
                matrix = matrix_in(room, k, stops[k] - starts[k])
                if fill_bars(matrix, starts[k], bars.reals, bars.stamps, bars.sessions) >= 0:
                    return False
                fill_log_returns(matrix, states[k][:1])
        s = 0
        while s < steps.alone.size:
            if steps.joined.addresses[s] != 0 and active < FEWEST:
                for k in range(active):
                    fold_joint(steps, s, room, rows, states[k], k, starts[k], stops[k])
                s += steps.joined.sizes[s]
                continue
            if steps.together[s] != 0 and active >= FEWEST:
                fold_together(steps, s, room, rows, states, starts, stops, active)
            else:
                for k in range(active):
                    fold_alone(steps, s, room, rows, states[k], k, starts[k], stops[k])
            s += 1
        for k in range(active):
            count_nan(rows.values, starts[k], stops[k], watched[k], nans[k, place])
            for column in range(forgetful.size):
                watched[k, column] = forgetful[column] or nans[k, place, column] > 0
    return True


@kernel
def matrix_in(room: Room, symbol: int, count: int) -> FloatArray:
    """The bars of a block, [ROWS, count]."""
    matrix: FloatArray = room.bars[symbol][: ROWS * count].reshape((ROWS, count))
    return matrix


@kernel
def row_of(rows: Rows, symbol: int, number: int, start: int, stop: int) -> FloatArray:
    """A row of a column, from bar `start` to before `stop`."""
    outputs, hidden = rows.values.shape[0], rows.hidden.shape[1]
    row: FloatArray
    if number < outputs:
        row = rows.values[number][start:stop]
    elif number < outputs + hidden:
        row = rows.hidden[symbol][number - outputs][: stop - start]
    else:
        row = rows.given[number - outputs - hidden][start:stop]
    return row


@kernel
def fold_alone(
    steps: Steps,
    s: int,
    room: Room,
    rows: Rows,
    state: FloatArray,
    symbol: int,
    start: int,
    stop: int,
) -> None:
    """Step s of one symbol over a block."""
    matrix, reads = matrix_in(room, symbol, stop - start), steps.places.reads[s]
    own, numbers = _state_of(steps, s, state), _numbers_of(steps, s)
    written = row_of(rows, symbol, steps.places.writes[s], start, stop)
    if steps.places.read_count[s] == 0:
        call_kernel(steps.alone[s], (matrix, own, numbers, written))
        return
    first = row_of(rows, symbol, reads[0], start, stop)
    if steps.places.read_count[s] == 1:
        call_kernel(steps.alone[s], (matrix, first, own, numbers, written))
        return
    second = row_of(rows, symbol, reads[1], start, stop)
    call_kernel(steps.alone[s], (matrix, first, second, own, numbers, written))


@kernel
def fold_joint(
    steps: Steps,
    s: int,
    room: Room,
    rows: Rows,
    state: FloatArray,
    symbol: int,
    start: int,
    stop: int,
) -> None:
    """The joint that begins with step s, of one symbol over a block."""
    joined, matrix = steps.joined, matrix_in(room, symbol, stop - start)
    read = matrix[SCRATCH]
    if joined.reads[s] >= 0:
        read = row_of(rows, symbol, joined.reads[s], start, stop)
    a, b, c, d = joined.members[s]
    states = (
        _state_of(steps, a, state),
        _state_of(steps, b, state),
        _state_of(steps, c, state),
        _state_of(steps, d, state),
    )
    numbers = (
        _numbers_of(steps, a), _numbers_of(steps, b), _numbers_of(steps, c), _numbers_of(steps, d),
    )  # fmt: skip
    written = (
        _written_by(steps, a, rows, matrix, symbol, start, stop),
        _written_by(steps, b, rows, matrix, symbol, start, stop),
        _written_by(steps, c, rows, matrix, symbol, start, stop),
        _written_by(steps, d, rows, matrix, symbol, start, stop),
    )
    call_kernel(joined.addresses[s], (matrix, read, states, numbers, written))


@kernel
def _state_of(steps: Steps, s: int, state: FloatArray) -> FloatArray:
    """The part of step s; nothing where there is no step."""
    found: FloatArray = state[:0]
    if s >= 0:
        found = state[steps.places.states[s, 0] : steps.places.states[s, 1]]
    return found


@kernel
def _numbers_of(steps: Steps, s: int) -> FloatArray:
    """The parameters of step s; none where there is no step."""
    found: FloatArray = steps.places.parameters[:0]
    if s >= 0:
        found = steps.places.parameters[steps.places.numbers[s, 0] : steps.places.numbers[s, 1]]
    return found


@kernel
def _written_by(
    steps: Steps, s: int, rows: Rows, matrix: FloatArray, symbol: int, start: int, stop: int
) -> FloatArray:
    """The row of step s; one that nobody reads where there is no step."""
    found: FloatArray = matrix[SCRATCH]
    if s >= 0:
        found = row_of(rows, symbol, steps.places.writes[s], start, stop)
    return found


@kernel
def fold_together(
    steps: Steps,
    s: int,
    room: Room,
    rows: Rows,
    states: FloatArray,
    starts: IntArray,
    stops: IntArray,
    active: int,
) -> None:
    """Step s of four symbols over a block. Where there are three, the first is computed again in
    vain.
    """
    begin, end, whole = steps.places.states[s, 0], steps.places.states[s, 1], active == SYMBOLS
    last = SYMBOLS - 1 if whole else 0
    for i in range(begin, end):
        room.state[i] = states[last, i]
    matrices = (
        matrix_in(room, 0, stops[0] - starts[0]),
        matrix_in(room, 1, stops[1] - starts[1]),
        matrix_in(room, 2, stops[2] - starts[2]),
        matrix_in(room, last, stops[last] - starts[last]),
    )
    own = (
        states[0][begin:end],
        states[1][begin:end],
        states[2][begin:end],
        room.state[begin:end],
    )
    numbers = _numbers_of(steps, s)
    written = _rows_of_four(rows, steps.places.writes[s], starts, stops, last)
    if not whole:
        written = (written[0], written[1], written[2], room.row[: stops[0] - starts[0]])
    if steps.places.read_count[s] == 0:
        call_kernel(steps.together[s], (matrices, own, numbers, written))
    else:
        first = _rows_of_four(rows, steps.places.reads[s, 0], starts, stops, last)
        call_kernel(steps.together[s], (matrices, first, own, numbers, written))
    if whole:
        for i in range(begin, end):
            states[last, i] = room.state[i]


@kernel
def _rows_of_four(
    rows: Rows, number: int, starts: IntArray, stops: IntArray, last: int
) -> tuple[FloatArray, FloatArray, FloatArray, FloatArray]:
    return (
        row_of(rows, 0, number, starts[0], stops[0]),
        row_of(rows, 1, number, starts[1], stops[1]),
        row_of(rows, 2, number, starts[2], stops[2]),
        row_of(rows, last, number, starts[last], stops[last]),
    )
