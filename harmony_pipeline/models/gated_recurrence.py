"""The compiled forward pass of the recurrent network: one row at a time, in one order of
operations, so that a row alone has the same bits as among others.

A gated recurrent unit (Cho et al. 2014, "Learning phrase representations using RNN encoder-decoder
for statistical machine translation", EMNLP) with reset gate r, update gate z and candidate c:

    r = sigmoid(x R + h U_r + b_r)     z = sigmoid(x Z + h U_z + b_z)
    c = tanh(x C + r * (h U_c) + b_c)  h' = (1 - z) c + z h
"""

import math
from typing import NamedTuple

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.kernel import kernel


class Weights(NamedTuple):
    """All weights, float64. The gates stand side by side in the order r, z, c: H hidden units make
    3 H columns.

    past: [channels, 3 H] of a past bar. row: [inputs, 3 H] of the event's own inputs. hidden:
    [H, 3 H]. bias: [3 H]. skip: [inputs], straight from the inputs to the margin. out: [H + 1], the
    last is the intercept.
    """

    past: FloatArray
    row: FloatArray
    hidden: FloatArray
    bias: FloatArray
    skip: FloatArray
    out: FloatArray


@kernel
def recurrent_margins(past: FloatArray, row: FloatArray, weights: Weights) -> FloatArray:
    """Log-odds [rows] of past [rows, steps, channels], the oldest step first, and row [rows,
    inputs].
    """
    rows, steps, channels = past.shape
    inputs, units = row.shape[1], weights.hidden.shape[0]
    margin = np.empty(rows)
    state, gates, recalled = np.empty(units), np.empty(3 * units), np.empty(3 * units)
    for i in range(rows):
        state[:] = 0.0
        for step in range(steps + 1):
            for g in range(3 * units):
                total = weights.bias[g]
                if step < steps:
                    for j in range(channels):
                        total += past[i, step, j] * weights.past[j, g]
                else:
                    for j in range(inputs):
                        total += row[i, j] * weights.row[j, g]
                gates[g] = total
                total = 0.0
                for k in range(units):
                    total += state[k] * weights.hidden[k, g]
                recalled[g] = total
            for k in range(units):
                reset = 1.0 / (1.0 + math.exp(-(gates[k] + recalled[k])))
                keep = 1.0 / (1.0 + math.exp(-(gates[units + k] + recalled[units + k])))
                candidate = math.tanh(gates[2 * units + k] + reset * recalled[2 * units + k])
                state[k] = (1.0 - keep) * candidate + keep * state[k]
        total = weights.out[units]
        for k in range(units):
            total += state[k] * weights.out[k]
        for j in range(inputs):
            total += row[i, j] * weights.skip[j]
        margin[i] = total
    return margin
