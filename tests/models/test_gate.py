"""The gate passes what passes every rule, and in doubt refuses."""

import dataclasses
from datetime import UTC, datetime

import polars as pl
import pytest

from harmony_pipeline.models.gate import (
    BY_HAND,
    FORECAST_RULES,
    RULES,
    STABILITY_RULES,
    Candidate,
    Evidence,
    decide,
    look_threshold,
    past_looks,
    rule_meaning,
    threshold_text,
)
from harmony_pipeline.models.settings import GateSettings
from harmony_pipeline.schemas import PROMOTIONS

NOW = datetime(2024, 7, 1, 12, tzinfo=UTC)
CANDIDATE = Candidate("gbm-h8-2024-04-aa", "gbm-h8-2024-01-bb", "mine", "recipe")
GOOD = Evidence(
    trades=400, periods=5, days=400, own_predictions=1.0, deflated_sharpe=0.98,
    probabilistic_sharpe=0.99, chance_sharpe=0.8, min_track_record=200.0, pbo=0.1,
    brier_ratio=0.98, forecast_pvalue=0.01, calibration_error=0.02,
    cross_validation_sharpe=0.7, input_drift=0.1, calibration_drift=-1.2,
    monte_carlo_return=0.03, drawdown_p95=0.12,
)  # fmt: skip
# 400 days may have spent 400 / (400 + 252) of 5 %
EVERY_RULE = GateSettings(
    minimum_cross_validation_sharpe=0.2, maximum_input_drift=0.25, maximum_calibration_drift=2.58
)
FIRST_LOOK = 1.0 - 0.05 * 400 / 652
# rule, the threshold itself (which passes), just beyond it, how people are told
TRUTH = [
    ("trades", 100, 99, "trades 99 is under 100"),
    ("periods", 3, 2, "periods 2 is under 3"),
    ("days", 252, 251, "days 251 is under 252"),
    ("own_predictions", 1.0, 0.999, "own_predictions 0.999 is under 1"),
    ("deflated_sharpe", FIRST_LOOK, 0.41, "deflated_sharpe 0.41 is under 0.969325"),
    ("probabilistic_sharpe", FIRST_LOOK, 0.95, "probabilistic_sharpe 0.95 is under 0.969325"),
    ("chance_sharpe", 2.0, 2.1, "chance_sharpe 2.1 is over 2"),
    ("min_track_record", 400.0, 401.0, "min_track_record 401 is over 400"),
    ("pbo", 0.5, 0.51, "pbo 0.51 is over 0.5"),
    ("brier_ratio", 1.0, 1.002, "brier_ratio 1.002 is over 1"),
    ("forecast_pvalue", 0.05, 0.2, "forecast_pvalue 0.2 is over 0.05"),
    ("calibration_error", 0.05, 0.08, "calibration_error 0.08 is over 0.05"),
    ("cross_validation_sharpe", 0.2, 0.19, "cross_validation_sharpe 0.19 is under 0.2"),
    ("input_drift", 0.25, 0.26, "input_drift 0.26 is over 0.25"),
    ("calibration_drift", 2.58, 2.6, "calibration_drift 2.6 is over 2.58"),
    ("monte_carlo_return", 0.0, -0.01, "monte_carlo_return -0.01 is under 0"),
    ("drawdown_p95", 0.3, 0.31, "drawdown_p95 0.31 is over 0.3"),
]


def decision_on(**changes):
    return decide(dataclasses.replace(GOOD, **changes), EVERY_RULE, CANDIDATE, NOW)


def test_good_evidence_is_promoted_with_one_row_a_rule():
    decision = decision_on()
    assert decision.promoted
    assert decision.reasons == []
    assert decision.rules.schema == pl.Schema(PROMOTIONS.dtypes)
    assert sorted(decision.rules["rule"]) == sorted(rule for rule, *_ in TRUTH)
    assert decision.rules["passed"].all()
    assert decision.rules["promoted"].all()
    who = ("model_id", "previous_model_id", "strategy", "recipe", "decided_at")
    assert decision.rules.select(who).unique().rows() == [
        ("gbm-h8-2024-04-aa", "gbm-h8-2024-01-bb", "mine", "recipe", NOW)
    ]


def test_the_table_knows_every_piece_of_evidence():
    assert [rule for rule, *_ in TRUTH] == [field.name for field in dataclasses.fields(Evidence)]


@pytest.mark.parametrize(
    ("rule", "threshold", "beyond", "sentence"), TRUTH, ids=[rule for rule, *_ in TRUTH]
)
def test_the_threshold_passes_and_one_broken_rule_refuses(rule, threshold, beyond, sentence):
    assert decision_on(**{rule: threshold}).promoted
    refused = decision_on(**{rule: beyond})
    assert not refused.promoted
    assert refused.reasons == [sentence]
    broken = refused.rules.filter(~pl.col("passed"))
    assert broken["rule"].to_list() == [rule]
    assert broken["measure"].to_list() == [beyond]
    assert broken["threshold"].to_list() == pytest.approx([threshold])
    assert not refused.rules["promoted"].any()


def test_a_threshold_is_written_with_its_side():
    for rule, threshold, _, sentence in TRUTH:
        side = "at least" if " is under " in sentence else "at most"
        assert threshold_text(rule, threshold) == f"{side} {threshold:.4g}"
    assert threshold_text(BY_HAND, 0.0) == "0"


def test_every_rule_says_what_it_measures():
    assert RULES.keys() == {field.name for field in dataclasses.fields(Evidence)}
    assert all(rule_meaning(rule) for rule in RULES)
    assert rule_meaning(BY_HAND) == ""


@pytest.mark.parametrize("unknown", [None, float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("rule", [rule for rule, *_ in TRUTH])
def test_what_could_not_be_measured_has_failed(rule, unknown):
    refused = decision_on(**{rule: unknown})
    assert not refused.promoted
    # no number of days is enough for a track record when nobody knows how many there are
    assert len(refused.reasons) == (2 if rule == "days" else 1)
    assert refused.reasons[0].startswith(f"{rule} could not be measured")
    assert refused.rules.filter(pl.col("rule") == rule)["measure"].to_list() == [None]


def test_forecasts_that_filter_nothing_are_no_veto():
    bad = dataclasses.replace(GOOD, brier_ratio=1.2, forecast_pvalue=0.9, calibration_error=None)
    asked = decide(bad, EVERY_RULE, Candidate("m"), NOW)
    unasked = decide(bad, EVERY_RULE, Candidate("m", filters=False), NOW)
    assert not asked.promoted
    assert unasked.promoted
    assert set(asked.rules["rule"]) - set(unasked.rules["rule"]) == FORECAST_RULES
    without = dataclasses.replace(bad, periods=None, own_predictions=None)
    assert not decide(without, GateSettings(), Candidate("m", filters=False), NOW).promoted
    no_model = Candidate("m", uses_model=False, filters=False)
    assert decide(without, GateSettings(), no_model, NOW).promoted
    poor = dataclasses.replace(without, probabilistic_sharpe=0.9)
    assert not decide(poor, GateSettings(), no_model, NOW).promoted


def test_no_evidence_at_all_breaks_every_rule():
    refused = decide(Evidence(*[None] * len(TRUTH)), EVERY_RULE, Candidate("m"), NOW)
    assert len(refused.reasons) == len(TRUTH)
    assert refused.rules["previous_model_id"].is_null().all()


def test_a_drawdown_written_as_a_negative_return_is_judged_by_its_size():
    assert not decision_on(drawdown_p95=-0.5).promoted
    assert decision_on(drawdown_p95=-0.12).promoted


def test_a_calibration_that_drifted_is_judged_by_the_size_of_its_statistic():
    assert not decision_on(calibration_drift=-2.6).promoted
    assert decision_on(calibration_drift=-2.5).promoted


def test_the_stability_of_forecasts_is_asked_where_it_has_a_threshold():
    unstable = dataclasses.replace(
        GOOD, cross_validation_sharpe=-3.0, input_drift=9.0, calibration_drift=None
    )
    asked = decide(unstable, EVERY_RULE, CANDIDATE, NOW).rules
    usual = decide(unstable, GateSettings(), CANDIDATE, NOW)
    assert usual.promoted
    assert set(asked["rule"]) - set(usual.rules["rule"]) == STABILITY_RULES
    one = decide(unstable, GateSettings(maximum_input_drift=0.5), CANDIDATE, NOW)
    assert one.reasons == ["input_drift 9 is over 0.5"]


def test_thresholds_come_from_the_settings():
    assert decide(
        dataclasses.replace(GOOD, trades=5), GateSettings(minimum_trades=5), Candidate("m"), NOW
    ).promoted


def test_a_minimum_that_is_no_test_spends_nothing():
    assert look_threshold(0.5, 300, [100], 252) == 0.5
    assert look_threshold(0.0, 300, [100], 252) == 0.0
    assert look_threshold(1.0, 300, [100], 252) == 1.0
    assert look_threshold(0.95, None, [100], 252) == 0.95
    assert look_threshold(0.95, 400, [], 252) == pytest.approx(FIRST_LOOK)
    assert look_threshold(0.95, 400, [252], 252) > FIRST_LOOK


def test_looks_are_those_at_the_same_record():
    def looked(days, **changes):
        candidate = dataclasses.replace(CANDIDATE, **changes)
        return decide(dataclasses.replace(GOOD, days=days), GateSettings(), candidate, NOW).rules

    rows = pl.concat(
        [
            looked(300),
            looked(200),  # could not promote, so that nothing was spent
            looked(350, model_id="a later model"),
            looked(350, model_id="and another"),
            looked(310, recipe="another recipe"),
            looked(320, strategy="another strategy"),
            looked(330, recipe=None),
            looked(None),
        ]
    )
    assert past_looks(rows, CANDIDATE) == [300, 350]
    assert past_looks(rows, dataclasses.replace(CANDIDATE, recipe=None)) == [330]
    assert past_looks(PROMOTIONS.empty(), CANDIDATE) == []


def test_a_look_at_what_earned_the_same_under_another_name_or_recipe_is_a_look_at_this_record():
    def looked(days, **changes):
        candidate = dataclasses.replace(CANDIDATE, **changes)
        return decide(dataclasses.replace(GOOD, days=days), GateSettings(), candidate, NOW).rules

    rows = pl.concat(
        [
            looked(300, trial_id="mine"),
            looked(310, strategy="renamed", trial_id="copy"),
            looked(320, recipe="another seed", trial_id="nearly"),
            looked(330, strategy="another", trial_id="other"),
            looked(340, strategy="older lake"),
            looked(200, strategy="renamed", trial_id="copy"),  # could not promote
        ]
    )
    assert past_looks(rows, CANDIDATE) == [300]
    assert past_looks(rows, CANDIDATE, {"mine", "copy", "nearly"}) == [300, 310, 320]
