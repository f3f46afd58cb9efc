"""The gate of a session's orders: what may leave now, and why not.

The strictest of what streams, books and broker allow holds. In doubt nothing leaves; a session that
is REDUCING lets exits out alone.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from harmony_pipeline.execution.events import RiskState
from harmony_pipeline.session.freshness import stricter


@dataclass
class OrderGate:
    """What the session knows against sending orders. Changed by the order manager alone."""

    streams: RiskState = "ACTIVE"
    streams_reason: str = ""
    closing: bool = False
    differences: list[str] = field(default_factory=list)  # of our books from the broker's
    halted_symbols: dict[str, str] = field(default_factory=dict)  # symbol -> why it is not entered
    ended_strategies: dict[str, str] = field(default_factory=dict)  # -> why it trades no more
    cash_doubted: bool = False

    def risk_state(self, is_streaming: bool) -> RiskState:
        """The strictest of what streams, books and broker allow."""
        halted = self.differences or not is_streaming
        closing: RiskState = "REDUCING" if self.closing or self.cash_doubted else "ACTIVE"
        return stricter(self.streams, closing, "HALTED" if halted else "ACTIVE")

    def refusal(
        self, role: str, symbol: str, strategy: str | None, is_streaming: bool
    ) -> str | None:
        """Why an order of that role, symbol and strategy may not leave now, or None."""
        state = self.risk_state(is_streaming)
        if state == "HALTED":
            return f"halted: {self._why(is_streaming)}"
        if state == "REDUCING" and role == "entry":
            return "flatten" if self.closing else f"reducing: {self._why(is_streaming)}"
        if role == "entry" and symbol in self.halted_symbols:
            return f"{symbol} is halted: {self.halted_symbols[symbol]}"
        if role == "entry" and strategy in self.ended_strategies:
            return f"{strategy} is stopped: {self.ended_strategies[strategy]}"
        return None

    def _why(self, is_streaming: bool) -> str:
        if self.differences:
            return "the books are not reconciled"
        if is_streaming and self.streams == "ACTIVE" and self.cash_doubted:
            return "the broker's cash differs from the ledger's"
        return self.streams_reason if is_streaming else "the order stream is down"

    def checkpoint(self) -> dict[str, Any]:
        """What a snapshot keeps: the streams are judged anew after a restart."""
        return {
            "differences": list(self.differences),
            "closing": self.closing,
            "halted_symbols": dict(self.halted_symbols),
            "cash_doubted": self.cash_doubted,
            "ended_strategies": dict(self.ended_strategies),
        }

    def restore(self, saved: Mapping[str, Any]) -> None:
        """The inverse of `checkpoint`."""
        self.differences, self.closing = list(saved["differences"]), bool(saved["closing"])
        # snapshots of earlier code have none of these
        self.halted_symbols = dict(saved.get("halted_symbols", {}))
        self.cash_doubted = bool(saved.get("cash_doubted", False))
        self.ended_strategies = dict(saved.get("ended_strategies", {}))
