"""One bar of one symbol through all kernels of a round, in one call of compiled code.

Python looks at every array that it hands to compiled code, which takes longer than a kernel takes
for one bar. Here Python hands over five arrays a bar, and the kernels are called by their
addresses, as in `symbol_fold.py`.
"""

from collections.abc import Callable
from functools import partial

import numpy as np

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.features.catalog import FeatureSet, compiled_calls
from harmony_pipeline.features.kernel_inputs import ROWS
from harmony_pipeline.features.returns import fill_log_returns
from harmony_pipeline.features.symbol_fold import address_alone, can_be_steps, places_of
from harmony_pipeline.kernel import call_kernel, kernel_without_allocation, machine_code

Fold = Callable[[], object]
Binding = Callable[[FloatArray, FloatArray, FloatArray], Fold]
"""`(bar, columns, state)` of a symbol: [ROWS, 1], [outputs and hidden columns, 1], its vector."""


@kernel_without_allocation
def fold_bar(
    steps: IntArray,
    numbers: FloatArray,
    begins: bool,
    bar: FloatArray,
    columns: FloatArray,
    state: FloatArray,
) -> None:
    """Fold a bar into the state, and write the rows of `columns`. `begins`: the log return first.

    `steps` has a row for each kernel: its address, how many columns it reads, the rows of two, the
    row that it writes, and the bounds of its part of the state and of `numbers`, its parameters.
    """
    if begins:
        fill_log_returns(bar, state[:1])
    for s in range(steps.shape[0]):
        address, reads, written = steps[s, 0], steps[s, 1], columns[steps[s, 4]]
        own, given = state[steps[s, 5] : steps[s, 6]], numbers[steps[s, 7] : steps[s, 8]]
        if reads == 0:
            call_kernel(address, (bar, own, given, written))
        elif reads == 1:
            call_kernel(address, (bar, columns[steps[s, 2]], own, given, written))
        else:
            first, second = columns[steps[s, 2]], columns[steps[s, 3]]
            call_kernel(address, (bar, first, second, own, given, written))


def bar_fold(feature_set: FeatureSet, number: int) -> Binding:
    """The folds of a round. It is bound to the arrays of a symbol once, and the result is called
    for every bar.
    """
    if not can_be_steps(feature_set):
        return partial(_one_by_one, feature_set, number)
    columns = [
        each
        for each in feature_set.computed
        if each.round == number and not each.indicator.across and not each.indicator.given
    ]
    row = {name: place for place, name in enumerate((*feature_set.names, *feature_set.hidden))}
    places = places_of(columns, row)
    steps = np.column_stack(
        [
            np.array([address_alone(column) for column in columns], np.int64),
            places.read_count,
            np.maximum(places.reads, 0),
            places.writes,
            places.states,
            places.numbers,
        ]
    )
    code = machine_code(
        fold_bar, steps, places.parameters, True, np.empty((ROWS, 1)), np.empty((1, 1)), np.empty(1)
    )
    return partial(partial, code, steps, places.parameters, number == 0)


def _one_by_one(
    feature_set: FeatureSet,
    number: int,
    bar: FloatArray,
    columns: FloatArray,
    state: FloatArray,
) -> Fold:
    """Of a set with a column that reads many others: a call of each kernel."""
    values, hidden = np.split(columns, [len(feature_set.names)])
    kernels = compiled_calls(feature_set, number)
    given = feature_set.calls(state, bar, values, hidden, number)
    calls = [partial(kernel, *each) for kernel, (_, each) in zip(kernels, given, strict=True)]
    kept = calls if number == 0 else calls[1:]  # the log return is there since the first round

    def fold() -> None:
        for call in kept:
            call()

    return fold
