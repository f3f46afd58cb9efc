"""Cash, positions and open round trips of an account, as a run or a session keeps them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmony_pipeline.portfolio.kernel_types import (
    ACCOUNT,
    ACCOUNT_ADDED,
    BEFORE_EVERYTHING,
    MONEY,
    NO_MODEL,
    OWN_LIMITS_REMEMBER,
    POSITION,
    POSITION_ADDED,
    Records,
    copy_records,
    records,
    records_from_lists,
    records_to_lists,
)


@dataclass(frozen=True)
class PortfolioState:
    """One POSITION record a symbol and the ACCOUNT; `models` names the model index that positions
    carry. The arrays are changed in place by the kernels.
    """

    symbols: tuple[str, ...]
    positions: Records
    account: Records
    models: tuple[str, ...] = ()

    @staticmethod
    def opening(symbols: Sequence[str], initial_cash: float) -> "PortfolioState":
        """Cash and nothing else."""
        positions, account = records(len(symbols), POSITION), records(1, ACCOUNT)
        positions["last_date"] = BEFORE_EVERYTHING
        positions["model"] = positions["pending_model"] = NO_MODEL
        cash = round(initial_cash * MONEY)
        for name in ("cash", "equity", "peak", "day_equity"):
            account[name] = cash
        account["date"] = BEFORE_EVERYTHING
        return PortfolioState(tuple(symbols), positions, account)

    def copy(self) -> "PortfolioState":
        """A state of its own."""
        positions, account = copy_records(self.positions), copy_records(self.account)
        return PortfolioState(self.symbols, positions, account, self.models)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as lists that JSON carries exactly; what only a strategy's own limits
        remember shows where there is any of it, so that other states keep their text.
        """
        positions = records_to_lists(self.positions)
        for name in OWN_LIMITS_REMEMBER:
            if not any(positions[name]):
                del positions[name]
        return {
            "symbols": list(self.symbols),
            "models": list(self.models),
            "positions": positions,
            "account": records_to_lists(self.account),
        }

    @staticmethod
    def from_dict(saved: Mapping[str, Any]) -> "PortfolioState":
        """The inverse of `to_dict`."""
        symbols = tuple(saved["symbols"])
        # A state saved before securities had lives: whatever is held was opened under its own
        # symbol.
        added = {
            "entry_symbol": np.arange(len(symbols)),
            "last_factor": saved["positions"]["entry_factor"],
            "silent": 0,
            "gone": 0,
            **POSITION_ADDED,
        }
        positions = records_from_lists(saved["positions"], POSITION, (len(symbols),), added)
        account = records_from_lists(
            saved["account"], ACCOUNT, (1,), dict.fromkeys(ACCOUNT_ADDED, 0)
        )
        return PortfolioState(symbols, positions, account, tuple(saved["models"]))
