"""The promotion gate: the rules that a model must pass before it may trade.

It is a pure function of written evidence and written thresholds. A model passes every rule or is
not promoted. A measure that is missing fails its rule. Each rule gives a row, so that it stays
visible why a model traded.

Sharpe rules: Bailey & Lopez de Prado 2012 (probabilistic) and 2014 (deflated by the number of
trials). Overfitting: Bailey et al. 2017 (PBO).
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import polars as pl

from harmony_pipeline.models.scores import finite_or_none
from harmony_pipeline.models.settings import GateSettings
from harmony_pipeline.schemas import PROMOTIONS


@dataclass(frozen=True)
class Evidence:
    """Measures, all out of sample; None or NaN: could not be measured."""

    trades: int | None  # closed
    periods: int | None  # walk-forward periods with predictions
    # probability that the Sharpe ratio beats the best of all trials by chance
    deflated_sharpe: float | None
    probabilistic_sharpe: float | None  # the same against zero, as if this had been the only trial
    pbo: float | None  # probability of backtest overfitting
    brier_ratio: float | None  # Brier score over the base rate's
    forecast_pvalue: float | None  # day-block test that the forecasts beat the base rate
    calibration_error: float | None
    monte_carlo_p05_return: float | None  # 5 % quantile of the stressed final return
    # 95 % quantile of the stressed maximum drawdown, as a fraction lost; its sign does not matter
    drawdown_p95: float | None


@dataclass(frozen=True)
class Rule:
    """One measure and the side of the threshold on which it must be. The threshold
    itself passes.
    """

    name: str
    bound: Literal["at least", "at most"]
    threshold: float
    measure: float | None

    @property
    def passed(self) -> bool:
        """Whether the measure is known and on the right side."""
        if self.measure is None:
            return False
        return (
            self.measure >= self.threshold
            if self.bound == "at least"
            else self.measure <= self.threshold
        )

    @property
    def sentence(self) -> str:
        """`deflated_sharpe 0.41 is under 0.95`."""
        if self.measure is None:
            return f"{self.name} could not be measured; it must be {self.bound} {self.threshold:g}"
        if self.passed:
            return f"{self.name} {self.measure:.4g} is {self.bound} {self.threshold:g}"
        return (
            f"{self.name} {self.measure:.4g} is {'under' if self.bound == 'at least' else 'over'}"
            f" {self.threshold:g}"
        )


@dataclass(frozen=True)
class Decision:
    """The decision of the gate.

    rules: PROMOTIONS, one row a rule. reasons: one sentence a broken rule, empty when promoted.
    """

    promoted: bool
    rules: pl.DataFrame
    reasons: list[str]


def rules_of(evidence: Evidence, settings: GateSettings) -> list[Rule]:
    """Every rule with its measure."""
    drawdown = finite_or_none(evidence.drawdown_p95)
    return [
        Rule("trades", "at least", settings.minimum_trades, finite_or_none(evidence.trades)),
        Rule("periods", "at least", settings.minimum_periods, finite_or_none(evidence.periods)),
        Rule(
            "deflated_sharpe",
            "at least",
            settings.minimum_deflated_sharpe,
            finite_or_none(evidence.deflated_sharpe),
        ),
        Rule(
            "probabilistic_sharpe",
            "at least",
            settings.minimum_probabilistic_sharpe,
            finite_or_none(evidence.probabilistic_sharpe),
        ),
        Rule("pbo", "at most", settings.maximum_pbo, finite_or_none(evidence.pbo)),
        Rule(
            "brier_ratio",
            "at most",
            settings.maximum_brier_ratio,
            finite_or_none(evidence.brier_ratio),
        ),
        Rule(
            "forecast_pvalue",
            "at most",
            settings.maximum_forecast_pvalue,
            finite_or_none(evidence.forecast_pvalue),
        ),
        Rule(
            "calibration_error",
            "at most",
            settings.maximum_calibration_error,
            finite_or_none(evidence.calibration_error),
        ),
        Rule(
            "monte_carlo_p05_return",
            "at least",
            settings.minimum_monte_carlo_p05_return,
            finite_or_none(evidence.monte_carlo_p05_return),
        ),
        Rule(
            "drawdown_p95",
            "at most",
            settings.maximum_drawdown_p95,
            None if drawdown is None else abs(drawdown),
        ),
    ]


def decide(
    evidence: Evidence,
    settings: GateSettings,
    model_id: str,
    previous_model_id: str | None,
    decided_at: datetime,
) -> Decision:
    """Apply every rule to the evidence. A refusal is a value with reasons, never an exception."""
    rules = rules_of(evidence, settings)
    promoted = all(rule.passed for rule in rules)
    rows = pl.DataFrame(
        [
            {"model_id": model_id, "decided_at": decided_at, "promoted": promoted,
            "rule": rule.name, "measure": rule.measure,
             "threshold": float(rule.threshold), "passed": rule.passed,
             "previous_model_id": previous_model_id}
            for rule in rules
        ],
        schema=PROMOTIONS.dtypes,
    )  # fmt: skip
    return Decision(
        promoted, PROMOTIONS.conform(rows), [rule.sentence for rule in rules if not rule.passed]
    )
