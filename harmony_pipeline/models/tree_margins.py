"""Margins of boosted trees, by a kernel over LightGBM's own nodes.

LightGBM's prediction spends most of its time on branches that cannot be foreseen. Here a leaf is
its own child, so that each tree is walked in a fixed number of steps without a branch. The
decisions and the order of the sum are LightGBM's, so the bits are too (a test compares them): `x <=
threshold` goes left; a missing value goes where the node says, or counts as 0.0 where the training
saw none missing. A single row takes the same way as many, and costs 2 us.
"""

import re
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.kernel import inlined_kernel, kernel

Places = npt.NDArray[np.uint32]  # without a sign numba asks of no place whether it is negative

_CATEGORICAL, _DEFAULT_LEFT, _MISSING = 1, 2, 12  # bits of decision_type (LightGBM's tree.h)
_MISSING_IS_ZERO = 4
_ZERO = float(np.float32(1e-35))
_FIELDS = (
    "num_leaves", "num_cat", "is_linear", "split_feature", "threshold", "decision_type",
    "left_child", "right_child", "leaf_value",
)  # fmt: skip
_REALS = ("threshold", "leaf_value")
_LINES = re.compile(rf"^({'|'.join(_FIELDS)})=(.*)$", re.MULTILINE)


class TreeNodes(NamedTuple):
    """The nodes of all trees, one tree behind the other, the inner nodes of each before its leaves.

    roots, steps: [trees], the first node and the greatest depth. inputs, thresholds: [nodes], an
    input up to its threshold goes left. missing_left: [nodes], whether a missing one does. left,
    right: [nodes], a leaf has itself. values: [nodes], log-odds of a leaf.
    """

    roots: Places
    steps: IntArray
    inputs: Places
    thresholds: FloatArray
    missing_left: BoolArray
    left: Places
    right: Places
    values: FloatArray


def nodes_of(text: str) -> TreeNodes:
    """The nodes in LightGBM's text. Raises DataError for trees that Harmony does not grow: with
    categories, linear leaves, or zeros that count as missing.
    """
    said: dict[str, list[str]] = {name: [] for name in _FIELDS}
    for name, values in _LINES.findall(text):
        said[name] += values.split()
    whole = {name: np.array(said[name], dtype=np.int64) for name in _FIELDS if name not in _REALS}
    thresholds, values = (np.array(said[name], dtype=np.float64) for name in _REALS)
    leaves, kinds = whole["num_leaves"], whole["decision_type"]
    if (
        whole["num_cat"].any()
        or whole["is_linear"].any()
        or (kinds & _CATEGORICAL).any()
        or (kinds & _MISSING == _MISSING_IS_ZERO).any()
    ):
        raise DataError(
            "a model of trees with categories, linear leaves or zeros that count as missing, which"
            " Harmony does not grow; materialise the model again"
        )
    sizes = 2 * leaves - 1
    roots = np.cumsum(sizes) - sizes
    count = int(sizes.sum())
    # places of the inner nodes and of the leaves, and for each inner node of its tree's first ones
    inner = np.repeat(roots, leaves - 1) + _counted(leaves - 1)
    outer = np.repeat(roots + leaves - 1, leaves) + _counted(leaves)
    root, leaf = np.repeat(roots, leaves - 1), np.repeat(roots + leaves - 1, leaves - 1)
    left, right = np.arange(count), np.arange(count)
    for children, name in ((left, "left_child"), (right, "right_child")):
        child = whole[name]
        children[inner] = np.where(child >= 0, root + child, leaf - child - 1)
    known_missing = kinds & _MISSING != 0
    return TreeNodes(
        roots.astype(np.uint32),
        _depths(roots, left, right),
        _placed(inner, whole["split_feature"], count).astype(np.uint32),
        _placed(inner, _beside_zero(thresholds), count),
        _placed(inner, np.where(known_missing, kinds & _DEFAULT_LEFT != 0, thresholds >= 0), count),
        left.astype(np.uint32),
        right.astype(np.uint32),
        _placed(outer, values, count),
    )


def _beside_zero(thresholds: FloatArray) -> FloatArray:
    """The same decisions where an input as small as `_ZERO` counts as 0.0, as LightGBM has it."""
    inside = np.abs(thresholds) <= _ZERO
    return np.where(
        inside, np.where(thresholds < 0.0, np.nextafter(-_ZERO, -np.inf), _ZERO), thresholds
    )


def _placed(places: IntArray, values: Any, count: int) -> Any:
    """[count] with `values` at `places` and 0 elsewhere."""
    found = np.zeros(count, values.dtype)
    found[places] = values
    return found


def _counted(sizes: IntArray) -> IntArray:
    """0, 1, .. for each of the sizes."""
    return np.arange(int(sizes.sum())) - np.repeat(np.cumsum(sizes) - sizes, sizes)


def _depths(roots: IntArray, left: IntArray, right: IntArray) -> IntArray:
    """The greatest number of steps from each root to a leaf."""
    depths, depth = np.zeros(roots.size, np.int64), 0
    tree, node = np.arange(roots.size), roots
    while node.size:
        depths[tree] = depth
        inner = left[node] != node
        tree, node, depth = tree[inner], node[inner], depth + 1
        tree, node = np.r_[tree, tree], np.r_[left[node], right[node]]
    return depths


@kernel
def tree_margins(X: FloatArray, nodes: TreeNodes) -> FloatArray:
    """Log-odds [rows] of X [rows, inputs].

    Four rows at a time, since the steps of one wait for each other. The last rows are taken alone.
    """
    rows = X.shape[0]
    margins = np.empty(rows)
    for i in range(0, rows - 3, 4):
        sum_a = sum_b = sum_c = sum_d = 0.0
        for tree in range(nodes.roots.size):
            a = b = c = d = nodes.roots[tree]
            for _ in range(nodes.steps[tree]):
                a = _child(X[i, nodes.inputs[a]], a, nodes)
                b = _child(X[i + 1, nodes.inputs[b]], b, nodes)
                c = _child(X[i + 2, nodes.inputs[c]], c, nodes)
                d = _child(X[i + 3, nodes.inputs[d]], d, nodes)
            sum_a += nodes.values[a]
            sum_b += nodes.values[b]
            sum_c += nodes.values[c]
            sum_d += nodes.values[d]
        margins[i], margins[i + 1], margins[i + 2], margins[i + 3] = sum_a, sum_b, sum_c, sum_d
    for i in range(rows - rows % 4, rows):
        total = 0.0
        for tree in range(nodes.roots.size):
            node = nodes.roots[tree]
            for _ in range(nodes.steps[tree]):
                node = _child(X[i, nodes.inputs[node]], node, nodes)
            total += nodes.values[node]
        margins[i] = total
    return margins


@inlined_kernel
def _child(x: float, node: int, nodes: TreeNodes) -> int:
    """The node after `node` of a row whose input there is `x`."""
    left = (x <= nodes.thresholds[node]) | (np.isnan(x) & nodes.missing_left[node])
    child: int = nodes.left[node] if left else nodes.right[node]
    return child
