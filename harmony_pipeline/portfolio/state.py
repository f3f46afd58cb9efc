"""Where a backtest or a session stands: the portfolio and the orders that work. Everything the next
bar needs, and nothing else.

`restore(save(state))` continues to the same bits, and a run cut in two at any timestamp equals the
run in one piece.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.arrays import IntArray
from harmony_pipeline.execution.exchange import ExchangeState
from harmony_pipeline.market.listings import CHANGE, DELISTING
from harmony_pipeline.market.lives import LISTING, ended_symbols
from harmony_pipeline.portfolio.kernel_types import (
    BEFORE_EVERYTHING,
    DELISTED,
    NO_MODEL,
    NO_REASON,
    ORDER_OPEN,
    RENAMED,
)
from harmony_pipeline.portfolio.portfolio_state import PortfolioState

_EPOCH = date(1970, 1, 1)


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
        """A state of its own that also knows these symbols and models; what it held is the same,
        under its new index.
        """
        names = tuple(sorted({*self.symbols, *symbols}))
        known = (*self.portfolio.models, *sorted(set(models) - set(self.portfolio.models)))
        grown = TradingState(PortfolioState.opening(names, 0.0), ExchangeState.empty(names))
        where = (
            np.searchsorted(np.array(names), np.array(self.symbols))
            if self.symbols
            else np.zeros(0, np.int64)
        )
        grown.portfolio.positions[where] = self.portfolio.positions
        grown.portfolio.account[:] = self.portfolio.account
        grown.exchange.orders[where] = self.exchange.orders
        _rename_entry_symbols(grown, where)
        grown.exchange.orders["symbol"] = np.arange(len(names))[:, None]
        return TradingState(
            PortfolioState(names, grown.portfolio.positions, grown.portfolio.account, known),
            grown.exchange,
        )

    def busy_rows(self) -> list[int]:
        """Rows with a position, an entry on its way, or a working order."""
        positions = self.portfolio.positions
        works = (self.exchange.orders["status"] == ORDER_OPEN).any(axis=1)
        busy = (positions["quantity"] != 0.0) | (positions["entry_working"] == 1) | works
        return [int(row) for row in np.flatnonzero(busy)]

    def renamed(self, names: Mapping[str, str]) -> "TradingState":
        """A state of its own of the symbols in `names`, under the names that they have there. What
        refers to a symbol that is not in `names` must not be open.
        """
        order = sorted(names, key=names.__getitem__)
        rows = np.array([self.symbols.index(name) for name in order], np.int64)
        where = np.zeros(max(1, len(self.symbols)), np.int64)
        where[rows] = np.arange(len(rows))
        after = tuple(names[name] for name in order)
        empty = ExchangeState.empty(after)
        orders = self.exchange.orders[rows].copy()
        orders["symbol"] = np.arange(len(after))[:, None]
        portfolio = PortfolioState(
            after,
            self.portfolio.positions[rows].copy(),
            self.portfolio.account.copy(),
            self.portfolio.models,
        )
        moved = TradingState(portfolio, ExchangeState(after, orders, empty.keys))
        _rename_entry_symbols(moved, where)
        return moved

    def only(self, rows: IntArray) -> "TradingState":
        """A state of its own with those symbols and the ones under which their positions were
        opened.
        """
        held = self.portfolio.positions["side"][rows] != 0
        working = self.exchange.orders["status"][rows] == ORDER_OPEN
        parents = (
            self.portfolio.positions["entry_symbol"][rows][held],
            self.exchange.orders["entry_symbol"][rows][working],
        )
        kept = np.unique(np.concatenate([rows, *parents]))
        names = tuple(self.symbols[row] for row in kept)
        where = np.zeros(len(self.symbols), np.int64)
        where[kept] = np.arange(len(kept))
        orders = self.exchange.orders[kept].copy()
        orders["symbol"] = np.arange(len(names))[:, None]
        portfolio = PortfolioState(
            names,
            self.portfolio.positions[kept].copy(),
            self.portfolio.account.copy(),
            self.portfolio.models,
        )
        cut = TradingState(portfolio, ExchangeState(names, orders, ExchangeState.empty(names).keys))
        _rename_entry_symbols(cut, where)
        return cut

    def booked_until(self, first: date) -> date:
        """The last day whose delistings and changes of symbol are behind a run that begins on
        `first`: nothing is left for them to happen to.
        """
        seen = int(self.portfolio.account["date"][0])
        known = _EPOCH + timedelta(days=seen) if seen > BEFORE_EVERYTHING else date.min
        idle = not (
            self.portfolio.positions["side"].any()
            or (self.exchange.orders["status"] == ORDER_OPEN).any()
        )
        return max(known, first - timedelta(days=1)) if idle else known

    def mark_ended(self, events: pl.DataFrame) -> None:
        """Note under which of the symbols nothing trades any more, by events of market/lives.py
        that are behind.
        """
        codes = {DELISTING: DELISTED, CHANGE: RENAMED, LISTING: NO_REASON}
        rows = {symbol: row for row, symbol in enumerate(self.symbols)}
        for symbol, kind in ended_symbols(events).items():
            if symbol in rows:
                self.portfolio.positions["gone"][rows[symbol]] = codes[kind]

    def pruned(self) -> "TradingState":
        """A state of its own without what only its driver knew: tickets, and models that neither a
        position nor a working order carries.
        """
        copy = self.copy()
        positions, orders = copy.portfolio.positions, copy.exchange.orders
        orders[orders["status"] != ORDER_OPEN] = np.zeros((), orders.dtype)
        orders["model"][orders["status"] != ORDER_OPEN] = NO_MODEL
        orders["ticket"] = 0
        fields = (positions["model"], positions["pending_model"], orders["model"])
        carried = {int(index) for field in fields for index in field.reshape(-1).tolist()} - {
            NO_MODEL
        }
        used = sorted(carried, key=copy.portfolio.models.__getitem__)
        # the last entry serves NO_MODEL = -1
        renamed = np.full(len(copy.portfolio.models) + 1, NO_MODEL, dtype=np.int64)
        renamed[used] = np.arange(len(used))
        for field in fields:
            field[...] = renamed[field]
        portfolio = PortfolioState(
            copy.symbols,
            positions,
            copy.portfolio.account,
            tuple(copy.portfolio.models[index] for index in used),
        )
        return TradingState(portfolio, copy.exchange)

    def to_dict(self) -> dict[str, Any]:
        """Everything, as lists and numbers that JSON carries exactly."""
        return {"portfolio": self.portfolio.to_dict(), "exchange": self.exchange.to_dict()}

    @staticmethod
    def from_dict(saved: Mapping[str, Any]) -> "TradingState":
        """The inverse of `to_dict`."""
        return TradingState(
            PortfolioState.from_dict(saved["portfolio"]), ExchangeState.from_dict(saved["exchange"])
        )


def _rename_entry_symbols(state: TradingState, where: IntArray) -> None:
    """Give the symbols that positions and working orders were opened under their new indices; 0
    where nothing is open.
    """
    if not len(where):
        return
    positions, orders = state.portfolio.positions, state.exchange.orders
    positions["entry_symbol"] = np.where(
        positions["side"] != 0, where[positions["entry_symbol"]], 0
    )
    orders["entry_symbol"] = np.where(
        orders["status"] == ORDER_OPEN, where[orders["entry_symbol"]], 0
    )
