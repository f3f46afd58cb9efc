"""Worse luck at the exchange: how a backtest would have gone with other costs, later orders,
rejects, late bars and lost bars.

A draw changes the rules and the signals, and the backtest runs again: what a missed entry or a late
exit leads to is worked out by the simulator, not guessed from the list of trades. Each draw has its
own generator, keyed by (seed, number), so more draws are the same ones and some more.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.execution.dropped_bars import without_dropped_bars
from harmony_pipeline.execution.settings import CostSettings
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.robustness.settings import ExecutionStressSettings

_FEES = (
    "half_spread_bps", "fee_bps", "maker_fee_bps", "fee_per_share", "sell_fee_bps", "spread_pips",
)  # fmt: skip


@dataclass(frozen=True)
class ExecutionDraw:
    """One set of circumstances, each uniform between nothing and the worst that the settings
    allow.
    """

    draw: int
    noise_seed: int
    latency_bars: int
    reject_probability: float
    late_bar_probability: float
    dropped_bar_probability: float
    cost_multiple: float

    def rules(self, rules: TradingRules) -> TradingRules:
        """The rules under these circumstances. Published fees of regulators and venues stay."""
        luck = rules.luck.model_copy(
            update={
                "seed": self.noise_seed,
                "latency_bars": rules.luck.latency_bars + self.latency_bars,
                "reject_probability": max(rules.luck.reject_probability, self.reject_probability),
                "late_bar_probability": max(
                    rules.luck.late_bar_probability, self.late_bar_probability
                ),
            }
        )
        return replace(rules, luck=luck, costs=_dearer(rules.costs, self.cost_multiple))

    def signals(self, signals: pl.DataFrame) -> pl.DataFrame:
        """What is still said, where bars were lost."""
        return without_dropped_bars(signals, self.noise_seed, self.dropped_bar_probability)


def execution_draws(settings: ExecutionStressSettings) -> Iterator[ExecutionDraw]:
    """The draws of the settings, in order."""
    for number in range(settings.draws):
        own = np.random.default_rng([settings.seed & (2**64 - 1), number])
        yield ExecutionDraw(
            draw=number,
            noise_seed=int(own.integers(0, 2**63)),
            latency_bars=int(own.integers(0, settings.max_latency_bars + 1)),
            reject_probability=float(own.uniform(0.0, settings.max_reject_probability)),
            late_bar_probability=float(own.uniform(0.0, settings.max_late_bar_probability)),
            dropped_bar_probability=float(own.uniform(0.0, settings.max_dropped_bar_probability)),
            cost_multiple=float(own.uniform(1.0, settings.max_cost_multiple)),
        )


def _dearer(costs: CostSettings, multiple: float) -> CostSettings:
    def scaled(value: float | None) -> float | None:
        # a rebate shrinks as fees grow
        return value and (value * multiple if value > 0.0 else value / multiple)

    symbols = {
        name: own.model_copy(update={"half_spread_bps": scaled(own.half_spread_bps)})
        for name, own in costs.symbols.items()
    }
    fees: Mapping[str, Any] = {name: scaled(vars(costs)[name]) for name in _FEES}
    return costs.model_copy(update={**fees, "symbols": symbols})


def stress_verdict(returns: Sequence[float], planned: float) -> str:
    """What the draws come to, beside the return of the backtest as it was planned."""
    if not returns:
        return "nothing was drawn, so nothing is known"
    values = np.asarray(returns, np.float64)
    losing = float(np.mean(values < 0.0))
    return (
        f"planned {planned:+.1%}; of {values.size} draws the middle one made"
        f" {float(np.median(values)):+.1%}, the worst {float(values.min()):+.1%}, and"
        f" {losing:.0%} lost"
    )
