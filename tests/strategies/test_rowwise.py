"""Strategies whose signal depends on one bar alone: `sides` is the one definition of it."""

import numpy as np
import polars as pl
import pytest

from harmony_pipeline.errors import DataError
from harmony_pipeline.schemas import TEXT, TIME
from harmony_pipeline.strategies.base import (
    are_sides,
    checked_signals,
    is_rowwise,
    rowwise_signals,
)
from harmony_pipeline.strategies.bollinger import BollingerReversion
from harmony_pipeline.strategies.crossover import MovingAverageCrossover
from harmony_pipeline.strategies.meta import MetaLabelled, MetaOver
from harmony_pipeline.strategies.rsi import RsiMomentum
from harmony_pipeline.strategies.trend_pullback import TrendPullback

ROWWISE = [
    MovingAverageCrossover(), RsiMomentum(), BollingerReversion(), MetaLabelled(),
    MetaLabelled(direction="trend"), TrendPullback(),
]  # fmt: skip


def rows(strategy, count=400):
    generator = np.random.default_rng(4)
    values = {
        name: generator.normal(50.0, 30.0, count) if name[:3] in ("rsi", "adx")
        else np.round(generator.normal(0.0, 2.0, count))
        for name in strategy.required_features()
    }  # fmt: skip
    for column in values.values():
        column[generator.random(count) < 0.05] = np.nan
    stamps = pl.Series("timestamp", np.arange(count) * 60_000_000).cast(TIME)
    frame = pl.DataFrame([pl.Series("symbol", ["A"] * count, dtype=TEXT), stamps])
    return frame.with_columns(pl.Series(n, v, nan_to_null=True) for n, v in values.items())


@pytest.mark.parametrize("strategy", ROWWISE, ids=lambda each: type(each).__name__)
def test_a_moment_of_arrays_says_what_the_frame_says(strategy):
    assert is_rowwise(strategy)
    frame = rows(strategy)
    needed = strategy.required_features()
    whole = strategy.signals(frame)
    assert set(whole["side"].unique()) == {-1, 0, 1}
    known = frame.drop_nulls(needed)
    assert whole.height == known.height < frame.height
    for place in range(0, known.height, 7):
        one = [known[name][place : place + 1].to_numpy() for name in needed]
        side, strength = strategy.sides(*one)
        assert (int(side[0]), strength[0]) == whole.select("side", "strength").row(place)


def test_signals_of_a_subclass_are_not_passed_over():
    class Cautious(RsiMomentum):
        def signals(self, features):
            return super().signals(features).filter(pl.col("side") == 1)

    class Named(RsiMomentum):
        """No rule of its own."""

    assert not is_rowwise(Cautious())
    assert is_rowwise(Named())
    assert not is_rowwise(MetaOver(primary="harmony_pipeline.strategies.rsi:RsiMomentum"))


@pytest.mark.parametrize(
    ("side", "strength", "words"),
    [(2.0, 1.0, "side 2"), (0.5, 1.0, "side 0.5"), (1.0, 1.5, "strength 1.5")],
)
def test_what_is_no_side_is_refused_with_its_bar(side, strength, words):
    class Wrong(RsiMomentum):
        def sides(self, *features):
            return np.full(features[0].size, side), np.full(features[0].size, strength)

        def signals(self, features):
            return rowwise_signals(self, features)

    assert is_rowwise(Wrong())
    with pytest.raises(DataError, match=rf"strategy wrong, A at .*{words}"):
        checked_signals(Wrong(), rows(Wrong()), "wrong")
    assert not are_sides(np.array([side]), np.array([strength]), 1)
    assert not are_sides(np.array([1.0, 0.0]), np.array([1.0, 1.0]), 3)
