"""The gate's way back: a model whose sessions leave their backtests is demoted.

A pure function of written divergences and written thresholds, as the gate is. The decision is one
row of `promotions`: rule `session_divergence`, the smallest share of the last sessions, not passed.
"""

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from harmony_pipeline.schemas import PROMOTIONS

RULE = "session_divergence"


def diverges(shares: Sequence[float], sessions: int, maximum: float) -> bool:
    """Whether each of the last `sessions` had a larger share of differing rows than `maximum`;
    fewer sessions are no evidence. `shares` are oldest first.
    """
    latest = shares[-sessions:]
    return len(latest) == sessions and min(latest) > maximum


def demotion(
    model_id: str,
    shares: Sequence[float],
    sessions: int,
    maximum: float,
    decided_at: datetime,
    successor: str | None,
) -> pl.DataFrame:
    """PROMOTIONS: the row that demotes. `successor` trades from now on; None: nothing does."""
    row = {
        "model_id": model_id,
        "decided_at": decided_at,
        "promoted": False,
        "rule": RULE,
        "measure": min(shares[-sessions:]),
        "threshold": maximum,
        "passed": False,
        "previous_model_id": successor,
    }
    return PROMOTIONS.conform(pl.DataFrame([row], schema=PROMOTIONS.dtypes))


def demoted(promotions: pl.DataFrame) -> set[str]:
    """Models that were demoted; they do not come back."""
    return set(promotions.filter(pl.col("rule") == RULE)["model_id"])
