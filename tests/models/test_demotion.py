"""A model whose sessions leave their backtests is demoted; the one before it, or nothing, trades."""

from datetime import UTC, datetime

import pytest

from harmony_pipeline.models.demotion import demoted, demotion, diverges
from harmony_pipeline.schemas import PROMOTIONS

NOW = datetime(2024, 6, 3, tzinfo=UTC)


@pytest.mark.parametrize(
    ("shares", "expected"),
    [
        ([], False),
        ([0.9, 0.9], False),  # too few
        ([0.9, 0.06, 0.9], True),
        ([0.9, 0.05, 0.9], False),  # the threshold itself is allowed
        ([0.0, 0.06, 0.07, 0.08], True),  # only the last ones count
        ([0.06, 0.07, 0.08, 0.0], False),
    ],
)
def test_every_one_of_the_last_sessions_must_diverge(shares: list[float], expected: bool) -> None:
    assert diverges(shares, 3, 0.05) is expected


def test_the_row_names_rule_measure_and_who_trades() -> None:
    row = demotion("m2", [0.9, 0.06, 0.07, 0.08], 3, 0.05, NOW, "m1")
    assert row.schema == PROMOTIONS.empty().schema
    assert row.to_dicts() == [
        {
            "model_id": "m2", "decided_at": NOW, "promoted": False, "rule": "session_divergence",
            "measure": 0.06, "threshold": 0.05, "passed": False, "previous_model_id": "m1",
            "strategy": None, "recipe": None, "trial_id": None, "reason": None,
        }
    ]  # fmt: skip
    assert demoted(row) == {"m2"}
    assert demoted(PROMOTIONS.empty()) == set()
