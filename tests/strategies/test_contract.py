"""Every shipped strategy keeps the contract."""

import pytest

from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.strategies.base import Stepwise
from harmony_pipeline.strategies.pairs import PairsTrading
from harmony_pipeline.strategies.registry import SHIPPED, build_strategy
from harmony_pipeline.strategies.rule_library import RuleLibrary
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


def shipped(place, **parameters):
    return build_strategy(
        StrategySettings(use=f"harmony_pipeline.strategies.{place}", parameters=parameters)
    )


class TestZScoreMomentum(StrategyContract):
    def strategy(self):
        return shipped("z_score_momentum:ZScoreMomentum", window=2, trail_ranges=1.0)

    def feature(self, name, generator, rows):
        if name.startswith("momentum"):
            return generator.normal(0.0, 0.02, rows)
        return generator.uniform(0.005, 0.02, rows) * (100.0 if name.startswith("natr") else 1.0)


class TestGapMomentum(StrategyContract):
    def strategy(self):
        return shipped("gap_momentum:GapMomentum", minimum_gap=0.001)


class TestTrendPullback(StrategyContract):
    def strategy(self):
        return shipped("trend_pullback:TrendPullback")


class TestMetaOverColumnsOnEvents(StrategyContract):
    def strategy(self):
        return shipped("meta:MetaOver", primary="harmony_pipeline.strategies.rsi:RsiMomentum")


class TestMetaOverEntries(StrategyContract):
    def strategy(self):
        return shipped(
            "meta:MetaOver",
            primary="harmony_pipeline.strategies.rsi:RsiMomentum",
            candidates="entries",
        )


class TestMetaOverAMachine(StrategyContract):
    def strategy(self):
        return shipped(
            "meta:MetaOver",
            primary="harmony_pipeline.strategies.breakout:OpeningRangeBreakout",
            candidates="entries",
        )


def kind_of(strategy):
    return type(strategy.machine() if isinstance(strategy, Stepwise) else strategy)


ELSEWHERE = {PairsTrading, RuleLibrary}  # in files of their own: they need months of bars
NEEDED = {"MetaOver": {"primary": "harmony_pipeline.strategies.rsi:RsiMomentum"}}


@pytest.mark.parametrize("use", SHIPPED)
def test_every_shipped_strategy_is_under_contract_and_asks_for_features_that_exist(use):
    here = [
        kind
        for kind in globals().values()
        if isinstance(kind, type)
        and issubclass(kind, StrategyContract)
        and kind is not StrategyContract
    ]
    parameters = NEEDED.get(use.partition(":")[2], {})
    strategy = build_strategy(StrategySettings(use=use, parameters=parameters))
    assert kind_of(strategy) in {kind_of(kind().strategy()) for kind in here} | ELSEWHERE
    assert set(strategy.required_features()) <= set(
        FeatureSet.of(strategy.required_features()).names
    )
