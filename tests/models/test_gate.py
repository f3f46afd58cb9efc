"""The gate passes what passes every rule, and in doubt refuses."""

import dataclasses
from datetime import UTC, datetime

import polars as pl
import pytest

from harmony_pipeline.models.gate import Evidence, decide
from harmony_pipeline.models.settings import GateSettings
from harmony_pipeline.schemas import PROMOTIONS

NOW = datetime(2024, 7, 1, 12, tzinfo=UTC)
GOOD = Evidence(
    trades=400, periods=5, deflated_sharpe=0.97, probabilistic_sharpe=0.99, pbo=0.1,
    brier_ratio=0.98, forecast_pvalue=0.01, calibration_error=0.02,
    monte_carlo_p05_return=0.03, drawdown_p95=0.12,
)  # fmt: skip
# rule, the threshold itself (which passes), just beyond it, how people are told
TRUTH = [
    ("trades", 100, 99, "trades 99 is under 100"),
    ("periods", 3, 2, "periods 2 is under 3"),
    ("deflated_sharpe", 0.95, 0.41, "deflated_sharpe 0.41 is under 0.95"),
    ("probabilistic_sharpe", 0.95, 0.9499, "probabilistic_sharpe 0.9499 is under 0.95"),
    ("pbo", 0.5, 0.51, "pbo 0.51 is over 0.5"),
    ("brier_ratio", 1.0, 1.002, "brier_ratio 1.002 is over 1"),
    ("forecast_pvalue", 0.05, 0.2, "forecast_pvalue 0.2 is over 0.05"),
    ("calibration_error", 0.05, 0.08, "calibration_error 0.08 is over 0.05"),
    ("monte_carlo_p05_return", 0.0, -0.01, "monte_carlo_p05_return -0.01 is under 0"),
    ("drawdown_p95", 0.3, 0.31, "drawdown_p95 0.31 is over 0.3"),
]


def decision_on(**changes):
    return decide(
        dataclasses.replace(GOOD, **changes),
        GateSettings(),
        "gbm-h8-2024-04-aa",
        "gbm-h8-2024-01-bb",
        NOW,
    )


def test_good_evidence_is_promoted_with_one_row_a_rule():
    decision = decision_on()
    assert decision.promoted
    assert decision.reasons == []
    assert decision.rules.schema == pl.Schema(PROMOTIONS.dtypes)
    assert sorted(decision.rules["rule"]) == sorted(rule for rule, *_ in TRUTH)
    assert decision.rules["passed"].all()
    assert decision.rules["promoted"].all()
    assert decision.rules.select("model_id", "previous_model_id", "decided_at").unique().rows() == [
        ("gbm-h8-2024-04-aa", "gbm-h8-2024-01-bb", NOW)
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
    assert broken["threshold"].to_list() == [threshold]
    assert not refused.rules["promoted"].any()


@pytest.mark.parametrize("unknown", [None, float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("rule", [rule for rule, *_ in TRUTH])
def test_what_could_not_be_measured_has_failed(rule, unknown):
    refused = decision_on(**{rule: unknown})
    assert not refused.promoted
    assert len(refused.reasons) == 1
    assert refused.reasons[0].startswith(f"{rule} could not be measured")
    assert refused.rules.filter(pl.col("rule") == rule)["measure"].to_list() == [None]


def test_no_evidence_at_all_breaks_every_rule():
    refused = decide(Evidence(*[None] * len(TRUTH)), GateSettings(), "m", None, NOW)
    assert len(refused.reasons) == len(TRUTH)
    assert refused.rules["previous_model_id"].is_null().all()


def test_a_drawdown_written_as_a_negative_return_is_judged_by_its_size():
    assert not decision_on(drawdown_p95=-0.5).promoted
    assert decision_on(drawdown_p95=-0.12).promoted


def test_thresholds_come_from_the_settings():
    assert decide(
        dataclasses.replace(GOOD, trades=5), GateSettings(minimum_trades=5), "m", None, NOW
    ).promoted
