"""Z-score momentum: by hand, against its twin, and never a stop that loosens."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from strategies.naive_strategies import trailing

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.strategies.registry import build_strategy
from harmony_pipeline.strategies.settings import StrategySettings
from harmony_pipeline.strategies.z_score_momentum import (
    Followed,
    Trail,
    ZScoreMomentum,
    follow,
    follow_bar,
)

START = datetime(2024, 3, 4, 14, 30, tzinfo=UTC)
RULE = Trail(entry_z=1.5, exit_z=0.0, full_z=3.0, trail_ranges=2.0, maximum_bars=0)


def sides(z, price, ranges=0.01, **changes):
    starts = np.array([0, len(z)])
    found = follow(
        starts,
        np.array(z, float),
        np.array(price, float),
        np.full(len(z), ranges),
        RULE._replace(**changes),
    )
    return found[0].tolist(), found[1].tolist()


def test_it_enters_at_the_level_with_the_strength_of_the_move_and_keeps_both():
    assert sides([1.4, 1.5, 2.9, 0.1], [100, 100, 101, 101]) == ([0, 1, 1, 1], [0.0, 0.5, 0.5, 0.5])
    assert sides([-4.5, -1.0], [100, 99]) == ([-1, -1], [1.0, 1.0])


def test_the_stop_follows_the_best_close_and_blocks_its_side_until_the_move_has_calmed():
    price = [100, 110, 107.8, 108, 109, 109, 109]  # 110 * (1 - 2 * 0.01) = 107.8
    assert sides([2, 2, 2, 2, 1, 2, 2], price)[0] == [1, 1, 0, 0, 0, 1, 1]
    assert sides([-2, -2, -2], [100, 90, 91.8])[0] == [-1, -1, 0]


def test_a_wider_range_does_not_loosen_the_stop():
    held = Followed(0, 0.0, 0.0, 0.0, 0, 0)
    held = follow_bar(held, 2.0, 100.0, 0.01, RULE)
    assert held.stop == 98.0
    assert follow_bar(held, 2.0, 100.0, 0.05, RULE).stop == 98.0


def test_it_leaves_when_the_move_has_turned_or_is_too_old():
    assert sides([2, 1, -0.1, 1], [100, 101, 101, 101])[0] == [1, 1, 0, 0]
    assert sides([2, 1, 1, 1], [100] * 4, maximum_bars=2)[0] == [1, 1, 0, 0]
    assert sides([2, -2], [100, 101])[0] == [1, -1], "it may turn at once"


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 12), st.floats(0.5, 4.0))
def test_the_kernel_is_its_twin(seed, longest, trail):
    generator = np.random.default_rng(seed)
    z = np.cumsum(generator.normal(0.0, 0.8, 120)) * 0.7
    price = 50.0 * np.exp(np.cumsum(generator.normal(0.0, 0.01, 120)))
    ranges = generator.uniform(0.002, 0.02, 120)
    rule = Trail(1.2, 0.1, 2.0, trail, longest)
    side, strength = follow(np.array([0, 120]), z, price, ranges, rule)
    assert list(zip(side.tolist(), strength.tolist(), strict=True)) == trailing(
        z.tolist(), price.tolist(), ranges.tolist(), 1.2, 0.1, 2.0, trail, longest
    )


def frame(**columns):
    count = len(next(iter(columns.values())))
    stamps = [START + i * timedelta(hours=1) for i in range(count)]
    filler = {"session": ["regular"] * count, "adjustment_factor": [1.0] * count}
    rows = {"symbol": ["A"] * count, "timestamp": stamps, **filler, **columns}
    return pl.DataFrame(rows, schema_overrides={"timestamp": pl.Datetime("us", "UTC")})


def test_the_z_score_is_the_past_return_over_what_a_random_walk_would_have():
    rule = ZScoreMomentum(window=4, volatility_window=9, entry_z=1.5, full_z=3.0)
    # 0.06 / (0.02 * sqrt(4)) = 1.5
    rows = frame(
        close=[100.0] * 4, momentum_4=[0.0599, 0.06, 0.06, None],
        volatility_9=[0.02, 0.02, 0.0, 0.02], natr_14=[1.0] * 4,
    )  # fmt: skip
    assert rule.signals(rows).select("side", "strength").rows() == [(0, 0.0), (1, 0.5), (1, 0.5)]


def test_a_split_is_no_fall():
    rule = ZScoreMomentum(window=4, volatility_window=9)
    rows = frame(
        close=[100.0, 50.0], momentum_4=[0.1, 0.1], volatility_9=[0.02] * 2, natr_14=[1.0] * 2
    ).with_columns(adjustment_factor=pl.Series([1.0, 2.0]))
    assert rule.signals(rows)["side"].to_list() == [1, 1]


@pytest.mark.parametrize("parameters", [{"exit_z": 2.0}, {"entry_z": 4.0}, {"trail_ranges": 0.0}])
def test_levels_that_cannot_be_are_refused(parameters):
    use = "harmony_pipeline.strategies.z_score_momentum:ZScoreMomentum"
    with pytest.raises(ConfigError, match=next(iter(parameters))):
        build_strategy(StrategySettings(use=use, parameters=parameters))
