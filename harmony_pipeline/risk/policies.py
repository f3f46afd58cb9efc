"""The learned policy of size that is in force on a day, as trading rules carry it."""

from dataclasses import dataclass
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.risk.bandit import POLICY_ARMS, POLICY_SIGNALS
from harmony_pipeline.risk.policy_kernels import SIGNAL_NAMES

Arm = tuple[float, tuple[float, ...]]  # a multiplier and its weights, by SIGNAL_NAMES


@dataclass(frozen=True)
class SizingPolicies:
    """`rows`: (day from which it is in force, its multipliers), by day. No multipliers: nothing was
    learned until then.
    """

    rows: tuple[tuple[date, tuple[Arm, ...]], ...] = ()

    def __bool__(self) -> bool:
        return bool(self.rows)

    @staticmethod
    def of_table(table: pl.DataFrame) -> "SizingPolicies":
        """The policies of a SIZING_POLICIES frame of one strategy."""
        rows = table.sort("since", "multiplier")
        found: dict[date, list[Arm]] = {}
        for row in rows.iter_rows(named=True):
            arms = found.setdefault(row["since"], [])
            if row["constant"] is not None:
                arms.append((row["multiplier"], tuple(row[name] for name in SIGNAL_NAMES)))
        return SizingPolicies(tuple((since, tuple(arms)) for since, arms in found.items()))

    def changes(self) -> list[date]:
        """The days on which another policy comes into force."""
        return [since for since, _arms in self.rows]

    def kernel_values(self, day: date) -> dict[str, Any]:
        """The fields of the RULES record that come from here, on `day`."""
        known = [arms for since, arms in self.rows if since <= day]
        arms = known[-1] if known else ()
        multipliers, weights = np.zeros(POLICY_ARMS), np.zeros((POLICY_ARMS, POLICY_SIGNALS))
        for place, (multiplier, own) in enumerate(arms):
            multipliers[place], weights[place] = multiplier, own
        return {
            "policy_arms": len(arms),
            "policy_multipliers": multipliers,
            "policy_weights": weights.ravel(),
        }
