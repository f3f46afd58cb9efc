"""Trend pullback: regime, signal and probability by hand, and one decision of the three."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.strategies.registry import build_strategy
from harmony_pipeline.strategies.settings import StrategySettings
from harmony_pipeline.strategies.traded_signals import Gatekeeper, gate
from harmony_pipeline.strategies.trend_pullback import TrendPullback

START = datetime(2024, 3, 4, 14, 30, tzinfo=UTC)
TIME = pl.Datetime("us", "UTC")
RULE = TrendPullback(adx_low=10.0, adx_high=30.0, pullback=40.0, minimum_score=0.5)


def rows(**columns):
    count = len(next(iter(columns.values())))
    stamps = [START + i * timedelta(hours=1) for i in range(count)]
    return pl.DataFrame(
        {"symbol": ["A"] * count, "timestamp": stamps, **columns},
        schema_overrides={"timestamp": TIME},
    )


def signals(trend, adx, rsi, rule=RULE):
    frame = rows(sma_ratio_35_140=trend, adx_14=adx, rsi_5=rsi, volatility_20=[0.01] * len(trend))
    return rule.signals(frame)


def test_weakness_in_an_uptrend_is_bought_and_strength_in_a_downtrend_is_sold():
    found = signals([0.02, 0.02, -0.02, -0.02, 0.0], [30.0] * 5, [20.0, 80.0, 80.0, 20.0, 20.0])
    assert found["side"].to_list() == [1, 0, -1, 0, 0]


def test_no_trend_or_no_pullback_is_no_candidate():
    assert signals([0.02] * 3, [10.0, 30.0, 10.1], [20.0, 40.0, 39.9])["side"].to_list() == [
        0,
        0,
        1,
    ]


def test_the_strength_is_the_weighted_mean_of_regime_and_signal():
    # regime (20 - 10) / 20 = 0.5; signal (40 - 10) / 40 = 0.75
    assert signals([0.02], [20.0], [10.0])["strength"].to_list() == [0.625]
    heavy = RULE.model_copy(update={"regime_weight": 3.0})
    assert signals([0.02], [20.0], [10.0], heavy)["strength"].to_list() == [0.5625]
    assert signals([-0.02], [20.0], [90.0])["strength"].to_list() == [0.625], "shorts are mirrored"


def predictions(*probabilities):
    return rows(probability=list(probabilities), model_id=["m"] * len(probabilities))


def test_regime_signal_and_probability_are_one_decision():
    proposed = rows(
        side=pl.Series([1, -1, 1, 1, 0], dtype=pl.Int8), strength=[0.625, 0.625, 0.1, 0.625, 0.9]
    )
    decided = gate(RULE, proposed, predictions(0.6, 0.5, 0.52, 0.49, 0.9), 0.5)
    # (2 * 0.625 + 2 * 0.6) / 4 = 0.6125; (2 * 0.1 + 2 * 0.52) / 4 = 0.31 is too weak; 0.49 is vetoed
    assert decided["side"].to_list() == [1, -1, 0, 0, 0]
    assert decided["strength"].to_list()[:2] == pytest.approx([0.6125, 0.5625])
    assert decided["strength"].is_between(0.0, 1.0).all()
    assert isinstance(RULE, Gatekeeper)


def test_without_a_prediction_nothing_is_taken_however_good_the_rest():
    proposed = rows(side=pl.Series([1], dtype=pl.Int8), strength=[1.0])
    assert gate(RULE, proposed, predictions(0.9).clear(), 0.5)["side"].to_list() == [0]


def test_a_strategy_without_a_decision_of_its_own_is_filtered_alone():
    from harmony_pipeline.strategies.meta import MetaLabelled

    proposed = rows(side=pl.Series([1, 1], dtype=pl.Int8), strength=[0.3, 0.3])
    found = gate(MetaLabelled(), proposed, predictions(0.6, 0.4), 0.5)
    assert found.select("side", "strength").rows() == [(1, 0.3), (0, 0.3)]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"fast": 200}, "fast"),
        ({"adx_low": 50.0}, "adx_low"),
        ({"regime_weight": 0.0, "signal_weight": 0.0}, "must not both be 0"),
    ],
)
def test_parameters_that_cannot_be_are_refused(parameters, words):
    use = "harmony_pipeline.strategies.trend_pullback:TrendPullback"
    with pytest.raises(ConfigError, match=words):
        build_strategy(StrategySettings(use=use, parameters=parameters))
