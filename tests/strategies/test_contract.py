"""Every shipped strategy keeps the contract."""

import pytest

from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.strategies.base import Stepwise
from harmony_pipeline.strategies.registry import SHIPPED, build_strategy
from harmony_pipeline.strategies.settings import DEFAULT_STRATEGIES, StrategySettings
from harmony_pipeline.testing.strategy_contract import StrategyContract


class TestMovingAverageCrossover(StrategyContract):
    def strategy(self):
        return build_strategy(DEFAULT_STRATEGIES["moving_average_crossover"])


class TestRsiMomentum(StrategyContract):
    def strategy(self):
        return build_strategy(DEFAULT_STRATEGIES["rsi_momentum"])


class TestBollingerReversion(StrategyContract):
    def strategy(self):
        return build_strategy(DEFAULT_STRATEGIES["bollinger_reversion"])


class TestMetaLabelledOnEvents(StrategyContract):
    def strategy(self):
        return build_strategy(DEFAULT_STRATEGIES["meta_labelled"])


class TestMetaLabelledWithTheTrend(StrategyContract):
    def strategy(self):
        return build_strategy(DEFAULT_STRATEGIES["meta_labelled"], {"direction": "trend"})


class TestOpeningRangeBreakout(StrategyContract):
    def strategy(self):
        return build_strategy(
            StrategySettings(use="harmony_pipeline.strategies.breakout:OpeningRangeBreakout")
        )


def kind_of(strategy):
    return type(strategy.machine() if isinstance(strategy, Stepwise) else strategy)


@pytest.mark.parametrize("use", SHIPPED)
def test_every_shipped_strategy_is_under_contract_and_asks_for_features_that_exist(use):
    here = [
        kind
        for kind in globals().values()
        if isinstance(kind, type)
        and issubclass(kind, StrategyContract)
        and kind is not StrategyContract
    ]
    strategy = build_strategy(StrategySettings(use=use))
    assert kind_of(strategy) in {kind_of(kind().strategy()) for kind in here}
    assert set(strategy.required_features()) <= set(
        FeatureSet.of(strategy.required_features()).names
    )
