"""Import paths and parameters: what is right is built, what is wrong is named."""

from dataclasses import dataclass

import polars as pl
import pytest

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.strategies.base import Stepwise, Strategy
from harmony_pipeline.strategies.crossover import MovingAverageCrossover
from harmony_pipeline.strategies.registry import build_strategy, strategy_class
from harmony_pipeline.strategies.settings import DEFAULT_STRATEGIES, StrategySettings

CROSSOVER = DEFAULT_STRATEGIES["moving_average_crossover"]
RSI = DEFAULT_STRATEGIES["rsi_momentum"]


@dataclass(frozen=True)
class Always:
    """A user's own strategy, of no base class."""

    side: int = 1

    def __post_init__(self):
        if self.side not in {-1, 1}:
            raise ValueError("side must be -1 or 1")

    def required_features(self):
        return ()

    def signals(self, features):
        return features.select(
            "symbol",
            "timestamp",
            pl.lit(self.side, pl.Int8).alias("side"),
            pl.lit(1.0).alias("strength"),
        )


NOT_A_CLASS = 3


@pytest.mark.parametrize("name", DEFAULT_STRATEGIES)
def test_every_default_strategy_is_built_with_every_point_of_its_grid(name):
    settings = DEFAULT_STRATEGIES[name]
    assert isinstance(build_strategy(settings), Strategy)
    for parameter, values in settings.grid.items():
        for value in values:
            assert isinstance(build_strategy(settings, {parameter: value}), Strategy)


def test_overrides_go_over_the_settings_parameters():
    assert build_strategy(CROSSOVER, {"fast": 5}) == MovingAverageCrossover(fast=5, slow=40)
    assert build_strategy(CROSSOVER) == MovingAverageCrossover(fast=10, slow=40)


def test_a_class_of_one_s_own_needs_no_base_class():
    assert build_strategy(
        StrategySettings(use=f"{__name__}:Always", parameters={"side": -1})
    ) == Always(-1)


def test_a_state_machine_becomes_a_strategy():
    built = build_strategy(
        StrategySettings(
            use="harmony_pipeline.strategies.breakout:OpeningRangeBreakout",
            parameters={"range_bars": 3},
        )
    )
    assert isinstance(built, Stepwise)
    assert built.machine().range_bars == 3
    assert built.machine() is not built.machine(), "each run starts with an empty memory"


@pytest.mark.parametrize(
    ("use", "words"),
    [
        ("crossover", "write package.module:Name; known are .*MovingAverageCrossover"),
        (
            "harmony_pipeline.strategies.crosover:MovingAverageCrossover",
            "no module .*did you mean harmony_pipeline.strategies.crossover:MovingAverageCrossover",
        ),
        ("harmony_pipeline.strategies.rsi:RsiMomentun", "has no RsiMomentun; did you mean"),
        ("harmony_pipeline.errors:ConfigError", "is no strategy"),
        (f"{__name__}:NOT_A_CLASS", "is no strategy: a class needs"),
        ("nowhere_at_all:Thing", "no module nowhere_at_all; known are"),
    ],
)
def test_a_path_that_leads_nowhere_is_refused_with_the_valid_ones(use, words):
    with pytest.raises(ConfigError, match=words):
        strategy_class(use)


@pytest.mark.parametrize(
    ("settings", "parameters", "words"),
    [
        (CROSSOVER, {"fst": 3}, "no parameter 'fst'; did you mean 'fast'\\? valid: fast, slow"),
        (CROSSOVER, {"fast": 50}, "fast \\(50\\) must be shorter than slow \\(40\\)"),
        (CROSSOVER, {"fast": "many"}, "parameter fast = 'many'"),
        (RSI, {"upper": 30.0}, "lower \\(40.0\\) must not be above upper \\(30.0\\)"),
        (RSI, {"upper": 130.0}, "parameter upper = 130.0"),
        (
            DEFAULT_STRATEGIES["meta_labelled"],
            {"direction": "sideways"},
            "parameter direction = 'sideways': .*'event' or 'trend'",
        ),
        (
            StrategySettings(use="harmony_pipeline.strategies.breakout:OpeningRangeBreakout"),
            {"zone": "Mars"},
            "'Mars' is no time zone",
        ),
        (StrategySettings(use=f"{__name__}:Always"), {"side": 2}, "side must be -1 or 1"),
    ],
)
def test_a_parameter_that_cannot_be_is_refused_by_name(settings, parameters, words):
    with pytest.raises(ConfigError, match=words):
        build_strategy(settings, parameters)
