"""How big a trade wants to be."""

import math

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from harmony_pipeline.risk.sizing import kelly_size, volatility_target_size, wanted_size

SOUND = st.floats(1e-4, 0.2)
RULES = {
    "horizon": 16,
    "target_trade_volatility": 0.004,
    "kelly_fraction": 0.25,
    "profit_take": 2.0,
    "stop_loss": 1.0,
}


def test_one_deviation_over_the_horizon_costs_the_target():
    size = volatility_target_size(100_000.0, 0.01, 16, 1.0, 0.004)
    assert size == pytest.approx(10_000.0)
    assert size * 0.01 * math.sqrt(16) == pytest.approx(0.004 * 100_000.0)


@given(volatility=SOUND, factor=st.floats(1.01, 9.0))
def test_more_volatility_means_less_size_and_strength_scales_it(volatility, factor):
    assert volatility_target_size(1e5, volatility * factor, 8, 1.0, 0.004) < volatility_target_size(
        1e5, volatility, 8, 1.0, 0.004
    )
    assert volatility_target_size(1e5, volatility, 8, 0.5, 0.004) == pytest.approx(
        volatility_target_size(1e5, volatility, 8, 1.0, 0.004) / 2
    )


@given(p=st.floats(0.0, 1.0), gain=st.floats(0.2, 5.0), loss=st.floats(0.2, 5.0))
@example(p=math.nextafter(1.0, 0.0), gain=5.0, loss=0.2)
@example(p=math.nextafter(1.0, 0.0), gain=0.25, loss=0.25)
def test_full_kelly_is_the_bet_that_maximises_expected_growth(p, gain, loss):
    """Grid search over the fraction of equity put at risk, for a bet that wins gain / loss times
    its stake.
    """
    # size times the distance to the stop
    staked = kelly_size(1.0, 0.01, 4, p, 1.0, gain, loss) * loss * 0.01 * 2.0
    odds = gain / loss
    if staked == 0.0:
        assert p * odds <= (1 - p) + 1e-9
        return
    growth = lambda f: p * math.log1p(f * odds) + (1 - p) * (math.log1p(-f) if f < 1 else -math.inf)  # noqa: E731
    if staked < 1:  # p within a rounding of 1 stakes all
        assert all(
            growth(staked) >= growth(min(max(staked * wiggle, 0.0), 0.999)) - 1e-12
            for wiggle in (0.5, 0.9, 0.99, 1.01, 1.1, 2.0)
        )


def test_without_edge_the_cap_is_zero_and_without_a_model_there_is_no_cap():
    assert wanted_size.py_func(RULES, 1e5, 0.01, 1.0, 1 / 3) == pytest.approx(0.0, abs=1e-9)
    assert wanted_size.py_func(RULES, 1e5, 0.01, 1.0, 0.2) == 0.0
    assert wanted_size.py_func(RULES, 1e5, 0.01, 1.0, math.nan) == pytest.approx(10_000.0)


@given(p=st.floats(0.0, 1.0), strength=st.floats(0.01, 1.0), volatility=SOUND)
def test_a_model_can_only_make_a_trade_smaller(p, strength, volatility):
    assert wanted_size.py_func(RULES, 1e5, volatility, strength, p) <= wanted_size.py_func(
        RULES, 1e5, volatility, strength, math.nan
    )
