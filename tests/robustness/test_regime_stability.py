"""A day belongs to the regime that was known before it began."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest

from harmony_pipeline import schemas
from harmony_pipeline.robustness.regimes import known_regimes, regime_stability

MONDAY = datetime(2024, 1, 8, tzinfo=UTC)


def regimes(trends: list[str | None], close_hour: int = 21) -> pl.DataFrame:
    days = [MONDAY + timedelta(days=i) for i in range(len(trends))]
    return pl.DataFrame(
        {
            "timestamp": days,
            "known_at": [day + timedelta(hours=close_hour) for day in days],
            "trend": trends,
            "volatility": [None if trend is None else "low" for trend in trends],
        },
        schema_overrides={
            "timestamp": schemas.TIME,
            "known_at": schemas.TIME,
            "trend": pl.String,
            "volatility": pl.String,
        },
    )


def returns(values: list[float]) -> pl.DataFrame:
    return pl.DataFrame(
        {"timestamp": [MONDAY + timedelta(days=i) for i in range(len(values))], "return": values},
        schema_overrides={"timestamp": schemas.TIME, "return": pl.Float64},
    )


@pytest.mark.parametrize("close_hour", [6, 21, 24], ids=["Tokyo", "New York", "24/7"])
def test_a_day_has_the_regime_of_the_session_before(close_hour):
    found = known_regimes(returns([0.0] * 4), regimes(["bull", "bear", None, "bull"], close_hour))
    assert found["trend"].to_list() == ["unknown", "bull", "bear", "unknown"]


def test_changing_a_days_own_regime_and_later_ones_moves_nothing():
    before = known_regimes(returns([0.0] * 5), regimes(["bull", "bull", "bear", "bear", "bear"]))
    after = known_regimes(returns([0.0] * 5), regimes(["bull", "bull", "bear", "bear", "bull"]))
    assert before.equals(after)


def test_numbers_are_those_of_the_days_in_the_regime():
    values = [0.5, 0.01, -0.02, 0.03, 0.01]
    table = regime_stability(returns(values), regimes(["bull", "bull", "bear", "bull"]), "mine")
    assert table.schema == pl.Schema(schemas.REGIME_STABILITY.dtypes)
    bull = table.row(by_predicate=pl.col("trend") == "bull", named=True)
    days = np.array([0.01, -0.02, 0.01])
    assert bull["days"] == 3
    assert bull["strategy"] == "mine"
    assert bull["volatility"] == "low"
    assert bull["total_return"] == pytest.approx(np.prod(1 + days) - 1)
    assert bull["sharpe"] == pytest.approx(days.mean() / days.std(ddof=1) * np.sqrt(252))
    assert table.filter(pl.col("trend") == "unknown")["days"].item() == 1


def test_days_and_compounded_return_add_up_over_the_regimes():
    values = np.random.default_rng(0).normal(0, 0.01, 50).tolist()
    trends = [["bull", "bear", None][i % 3] for i in range(50)]
    table = regime_stability(returns(values), regimes(trends), "s", 365)
    assert table["days"].sum() == 50
    assert np.prod(1 + table["total_return"].to_numpy()) == pytest.approx(
        np.prod(1 + np.array(values))
    )


def test_one_day_or_no_movement_has_no_sharpe_and_nothing_gives_no_rows():
    table = regime_stability(returns([0.0, 0.0, 0.0, 0.02]), regimes(["bull", "bull", "bear"]), "s")
    assert table["sharpe"].to_list() == [None, None, None]
    assert regime_stability(returns([]), regimes([]), "s").equals(schemas.REGIME_STABILITY.empty())
    assert regime_stability(returns([0.1, 0.2]), regimes([]), "s")["trend"].to_list() == ["unknown"]
