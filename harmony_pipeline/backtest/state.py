"""Where a backtest or a session stands: the portfolio and the orders that work. Everything the next bar needs, and nothing else.

The law: `restore(save(state))` continues to the same bits, and a run cut in two at any timestamp equals the run in one piece.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from harmony_pipeline.backtest.portfolio import PortfolioState
from harmony_pipeline.execution.exchange import ExchangeState
from harmony_pipeline.execution.records import NO_MODEL, OPEN


@dataclass(frozen=True)
class TradingState:
    """Both halves over the same symbols, in the same order (sorted by name)."""

    portfolio: PortfolioState
    exchange: ExchangeState

    @property
    def symbols(self) -> tuple[str, ...]:
        """Index -> name, sorted."""
        return self.portfolio.symbols

    @staticmethod
    def opening(symbols: Sequence[str], initial_cash: float) -> "TradingState":
        """Cash, no position, no order."""
        names = sorted(set(symbols))
        return TradingState(PortfolioState.opening(names, initial_cash), ExchangeState.empty(names))

    def copy(self) -> "TradingState":
        """A state of its own."""
        return TradingState(self.portfolio.copy(), self.exchange.copy())

    def extended(self, symbols: Sequence[str], models: Sequence[str]) -> "TradingState":
        """A state of its own that also knows these symbols and models; what it held is the same, under its new index."""
        names = tuple(sorted({*self.symbols, *symbols}))
        known = (*self.portfolio.models, *sorted(set(models) - set(self.portfolio.models)))
        grown = TradingState(PortfolioState.opening(names, 0.0), ExchangeState.empty(names))
        where = np.searchsorted(np.array(names), np.array(self.symbols)) if self.symbols else np.zeros(0, np.int64)
        grown.portfolio.positions[where] = self.portfolio.positions
        grown.portfolio.account[:] = self.portfolio.account
        grown.exchange.orders[where] = self.exchange.orders
        grown.exchange.orders["symbol"] = np.arange(len(names))[:, None]
        return TradingState(PortfolioState(names, grown.portfolio.positions, grown.portfolio.account, known), grown.exchange)

    def pruned(self) -> "TradingState":
        """A state of its own without what only its driver knew: tickets, and models that neither a position nor a working order carries."""
        copy = self.copy()
        positions, orders = copy.portfolio.positions, copy.exchange.orders
        orders[orders["status"] != OPEN] = np.zeros((), orders.dtype)
        orders["model"][orders["status"] != OPEN] = NO_MODEL
        orders["ticket"] = 0
        fields = (positions["model"], positions["pending_model"], orders["model"])
        carried = {int(index) for field in fields for index in field.reshape(-1).tolist()} - {NO_MODEL}
        used = sorted(carried, key=copy.portfolio.models.__getitem__)
        renamed = np.full(len(copy.portfolio.models) + 1, NO_MODEL, dtype=np.int64)  # the last entry serves NO_MODEL = -1
        renamed[used] = np.arange(len(used))
        for field in fields:
            field[...] = renamed[field]
        portfolio = PortfolioState(copy.symbols, positions, copy.portfolio.account, tuple(copy.portfolio.models[index] for index in used))
        return TradingState(portfolio, copy.exchange)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as lists and numbers that JSON carries exactly."""
        return {"portfolio": self.portfolio.to_dict(), "exchange": self.exchange.to_dict()}

    @staticmethod
    def from_dict(saved: Mapping[str, Any]) -> "TradingState":
        """The inverse of `to_dict`."""
        return TradingState(PortfolioState.from_dict(saved["portfolio"]), ExchangeState.from_dict(saved["exchange"]))
