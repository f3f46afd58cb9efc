"""The promotion gate: the rules that a model must pass before it may trade.

It is a pure function of written evidence and written thresholds. A model passes every rule or is
not promoted. A measure that is missing fails its rule. Each rule gives a row, so that it stays
visible why a model traded.

Sharpe rules: Bailey & Lopez de Prado 2012 (probabilistic) and 2014 (deflated by the number of
trials), at the level that the looks at this record have left (models/sequential.py). Length:
Bailey et al. 2014 (what luck reaches with so many trials in so short a time). Overfitting: Bailey
et al. 2017 (PBO). Stability of the forecasts, where the settings ask for it: Lopez de Prado 2018,
ch. 12 (paths), and models/drift.py.
"""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Literal, NamedTuple

import polars as pl

from harmony_pipeline.models.scores import finite_or_none
from harmony_pipeline.models.sequential import look_level
from harmony_pipeline.models.settings import GateSettings
from harmony_pipeline.schemas import PROMOTIONS

STABILITY_RULES = frozenset({"cross_validation_sharpe", "input_drift", "calibration_drift"})
FORECAST_RULES = frozenset(
    {"brier_ratio", "forecast_pvalue", "calibration_error", *STABILITY_RULES}
)
MODEL_RULES = frozenset({"periods", "own_predictions"})
BY_HAND = "by_hand"  # the rule of a decision that a person made
LOOK = "days"  # the rule whose measure tells at how many days a decision looked


Bound = Literal["at least", "at most"]


class RuleText(NamedTuple):
    """On which side of its threshold a rule's measure must be, and what the measure is."""

    bound: Bound
    meaning: str


RULES: dict[str, RuleText] = {
    "trades": RuleText("at least", "closed trades"),
    "periods": RuleText("at least", "walk-forward periods with predictions"),
    LOOK: RuleText("at least", "days of returns, out of sample"),
    "own_predictions": RuleText("at least", "share of predictions by models of this recipe"),
    "deflated_sharpe": RuleText(
        "at least", "probability that the Sharpe ratio beats the luckiest of all trials"
    ),
    "probabilistic_sharpe": RuleText("at least", "probability that the Sharpe ratio is above 0"),
    "monte_carlo_return": RuleText("at least", "return of a resampled, stressed history"),
    "cross_validation_sharpe": RuleText("at least", "Sharpe ratio of a poor cross-validated path"),
    "chance_sharpe": RuleText(
        "at most", "annual Sharpe ratio that luck alone reaches in so many trials"
    ),
    "min_track_record": RuleText("at most", "days needed to tell the Sharpe ratio from 0"),
    "pbo": RuleText("at most", "probability of backtest overfitting"),
    "brier_ratio": RuleText("at most", "Brier score over that of the base rate"),
    "forecast_pvalue": RuleText("at most", "p-value: forecasts no better than the base rate"),
    "calibration_error": RuleText("at most", "forecast probabilities less observed rates"),
    "input_drift": RuleText("at most", "largest population stability index of an input"),
    "calibration_drift": RuleText("at most", "Spiegelhalter's statistic of the newest period"),
    "drawdown_p95": RuleText("at most", "drawdown exceeded in 1 of 20 stressed histories"),
}


def threshold_text(rule: str, threshold: float) -> str:
    """`at least 0.95`; the number alone for the decision of a person, which asks for none."""
    known = RULES.get(rule)
    return f"{known.bound} {threshold:.4g}" if known else f"{threshold:.4g}"


def rule_meaning(rule: str) -> str:
    """What the rule measures; empty for the decision of a person."""
    return RULES[rule].meaning if rule in RULES else ""


@dataclass(frozen=True)
class Evidence:
    """Measures, all out of sample; None or NaN: could not be measured."""

    trades: int | None  # closed
    periods: int | None  # walk-forward periods with predictions
    days: int | None  # of returns
    # share of the predictions behind these measures that models of the candidate's recipe made
    own_predictions: float | None
    # probability that the Sharpe ratio beats the best of all trials by chance
    deflated_sharpe: float | None
    probabilistic_sharpe: float | None  # the same against zero, as if this had been the only trial
    # annual Sharpe ratio that luck alone is expected to reach with so many trials in so many days
    chance_sharpe: float | None
    min_track_record: float | None  # days that are needed to tell the Sharpe ratio from zero
    pbo: float | None  # probability of backtest overfitting
    brier_ratio: float | None  # Brier score over the base rate's
    forecast_pvalue: float | None  # day-block test that the forecasts beat the base rate
    calibration_error: float | None
    # the quantile asked for of the annual Sharpe ratios of the cross-validation's paths
    cross_validation_sharpe: float | None
    # largest stability index of an input that is beyond chance, 0 without one
    input_drift: float | None
    # Spiegelhalter's normal statistic of the newest period; its sign does not matter
    calibration_drift: float | None
    monte_carlo_return: float | None  # the quantile asked for of the stressed final return
    # 95 % quantile of the stressed maximum drawdown, as a fraction lost; its sign does not matter
    drawdown_p95: float | None


@dataclass(frozen=True)
class Rule:
    """One measure and the side of the threshold on which it must be. The threshold
    itself passes.
    """

    name: str
    bound: Bound
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


@dataclass(frozen=True)
class Candidate:
    """The model that is judged, and whose evidence it is."""

    model_id: str
    previous_model_id: str | None = None  # the champion
    strategy: str | None = None
    recipe: str | None = None  # of its training
    uses_model: bool = True  # a strategy without one has a record that no forecast shaped
    filters: bool = True  # whether its forecasts filter the strategy's trades from now on
    trial_id: str | None = None  # of the backtest that is judged


def look_threshold(
    minimum: float, days: float | None, looks: Sequence[int], half_days: float
) -> float:
    """The probability that a Sharpe rule asks at this look, so that over all looks a worthless
    strategy passes with at most 1 - `minimum`.

    looks: days of returns at earlier decisions on the same record. A minimum of one half or less is
    no test and stays what it is, as does one of 1.
    """
    if not days or not 0.5 < minimum < 1.0:
        return minimum
    return 1.0 - look_level([*looks, int(days)], 1.0 - minimum, half_days)


def rules_of(evidence: Evidence, settings: GateSettings, looks: Sequence[int] = ()) -> list[Rule]:
    """Every rule that has a threshold, with its measure. looks: days of returns at earlier
    decisions on this record.
    """
    of, days = evidence, finite_or_none(evidence.days)
    drawdown, calibration_drift = (
        None if signed is None else abs(signed)
        for signed in (of.drawdown_p95, of.calibration_drift)
    )
    deflated, probabilistic = (
        look_threshold(minimum, days, looks, settings.spending_half_days)
        for minimum in (settings.minimum_deflated_sharpe, settings.minimum_probabilistic_sharpe)
    )
    asked: dict[str, tuple[float | None, float | None]] = {
        "trades": (settings.minimum_trades, of.trades),
        "periods": (settings.minimum_periods, of.periods),
        LOOK: (settings.minimum_days, of.days),
        "own_predictions": (1.0, of.own_predictions),
        "deflated_sharpe": (deflated, of.deflated_sharpe),
        "probabilistic_sharpe": (probabilistic, of.probabilistic_sharpe),
        "monte_carlo_return": (settings.minimum_monte_carlo_return, of.monte_carlo_return),
        "cross_validation_sharpe": (
            settings.minimum_cross_validation_sharpe,
            of.cross_validation_sharpe,
        ),
        "chance_sharpe": (settings.maximum_chance_sharpe, of.chance_sharpe),
        "min_track_record": (days or 0.0, of.min_track_record),
        "pbo": (settings.maximum_pbo, of.pbo),
        "brier_ratio": (settings.maximum_brier_ratio, of.brier_ratio),
        "forecast_pvalue": (settings.maximum_forecast_pvalue, of.forecast_pvalue),
        "calibration_error": (settings.maximum_calibration_error, of.calibration_error),
        "input_drift": (settings.maximum_input_drift, of.input_drift),
        "calibration_drift": (settings.maximum_calibration_drift, calibration_drift),
        "drawdown_p95": (settings.maximum_drawdown_p95, drawdown),
    }
    return [
        Rule(name, RULES[name].bound, threshold, finite_or_none(measure))
        for name, (threshold, measure) in asked.items()
        if threshold is not None
    ]


def decide(
    evidence: Evidence,
    settings: GateSettings,
    candidate: Candidate,
    decided_at: datetime,
    looks: Sequence[int] = (),
) -> Decision:
    """Apply the rules to the evidence. A refusal is a value with reasons, never an exception.

    Rules about forecasts are asked where forecasts filter trades, those about the model's record
    where a model shaped it: else a forecast could veto a rule that earns by itself.

    looks: days of returns at earlier decisions on this record (`past_looks`).
    """
    unasked = frozenset() if candidate.filters else FORECAST_RULES
    if not candidate.uses_model:
        unasked |= MODEL_RULES
    rules = [rule for rule in rules_of(evidence, settings, looks) if rule.name not in unasked]
    promoted = all(rule.passed for rule in rules)
    rows = pl.DataFrame(
        [
            {"model_id": candidate.model_id, "decided_at": decided_at, "promoted": promoted,
             "rule": rule.name, "measure": rule.measure,
             "threshold": float(rule.threshold), "passed": rule.passed,
             "previous_model_id": candidate.previous_model_id,
             "strategy": candidate.strategy, "recipe": candidate.recipe,
             "trial_id": candidate.trial_id}
            for rule in rules
        ],
        schema=PROMOTIONS.dtypes,
    )  # fmt: skip
    return Decision(
        promoted, PROMOTIONS.conform(rows), [rule.sentence for rule in rules if not rule.passed]
    )


def past_looks(
    promotions: pl.DataFrame, candidate: Candidate, alike: Collection[str] = ()
) -> list[int]:
    """Days of returns at every decision on the candidate's record: its strategy and recipe, and the
    trials that earned the same under another name or recipe (`alike`).

    A decision on fewer days than the gate asks could not promote, whatever the returns were, and
    has spent nothing.
    """
    own = promotions.filter(
        (pl.col("rule") == LOOK)
        & pl.col("passed")
        & (
            (
                pl.col("strategy").eq_missing(candidate.strategy)
                & pl.col("recipe").eq_missing(candidate.recipe)
            )
            | pl.col("trial_id").is_in(list(alike)).fill_null(value=False)
        )
    )
    return sorted({int(days) for days in own["measure"]})
