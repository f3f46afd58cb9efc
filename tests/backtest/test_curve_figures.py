"""The figures of a curve against NumPy, bit for bit."""

import numpy as np
import pytest

from harmony_pipeline.backtest.curve_figures import curve_figures

# around the blocks of NumPy's sum, and where it halves more than once
SIZES = [1, 2, 7, 8, 9, 127, 128, 129, 136, 200, 255, 257, 1000, 4097, 99_991]


@pytest.mark.parametrize("size", SIZES)
def test_means_are_those_of_numpy_to_the_bit(size):
    source = np.random.default_rng(size)
    equity = 1e6 * np.exp(source.standard_normal(size) * 0.1)
    gross = np.where(source.random(size) < 0.4, 0.0, equity * source.random(size))
    drawdown = -source.random(size)
    figures = curve_figures(equity, gross, drawdown)
    assert figures is not None
    assert figures.drawdown == drawdown.min()
    assert figures.equity / size == np.mean(equity)
    assert figures.exposure / size == np.mean(gross / equity)
    assert figures.held == np.count_nonzero(gross)
    assert figures.solvent == size


def test_rows_without_equity_are_not_counted_as_solvent():
    figures = curve_figures(np.array([1.0, 0.0, -2.0]), np.zeros(3), np.zeros(3))
    assert figures is not None
    assert (figures.solvent, figures.held) == (1, 0)
