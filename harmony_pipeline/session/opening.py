"""What a session opens with: the closing state of the account's session before it, cut down to what
still matters, with the cash that the broker paid otherwise than it was booked. Without one before,
the initial cash and nothing else.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import numpy as np

from harmony_pipeline.errors import DataError
from harmony_pipeline.portfolio.kernel_types import ORDER_OPEN
from harmony_pipeline.portfolio.sleeves import Sleeves, moved_state, symbol_of
from harmony_pipeline.portfolio.state import TradingState
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.receivables import Receivables

_DAY = 86_400_000_000  # microseconds


@dataclass(frozen=True)
class Opening:
    """What a day starts with, cut down to the symbols that matter: those held, those with a
    working order, and those that may not be entered yet. owners: the strategies of a portfolio,
    whose slots `state` has; none: one strategy had the account, and it has symbols.
    """

    account: str
    state: TradingState
    previous_session_id: str | None
    owners: tuple[str, ...] = ()

    @property
    def held(self) -> tuple[str, ...]:
        """Symbols that the session must see, whatever is chosen today."""
        names = self.state.symbols
        return tuple(sorted({*map(symbol_of, names)})) if self.owners else names

    def state_of(self, sleeves: Sleeves) -> TradingState:
        """The state as a session of these strategies takes it over: each keeps what it has. Raises
        DataError where one that is not there holds something.
        """
        if self.owners == sleeves.strategies:
            return self.state
        return moved_state(self.state, self.owners, sleeves)

    def symbols(self, watched: Iterable[str]) -> tuple[str, ...]:
        """Everything that the session needs bars of."""
        return tuple(sorted({*self.held, *watched}))


def opening_of(ledger: Ledger, account: str, day: date, initial_cash: float) -> Opening:
    """The closing state of the account's latest session before `day`. Raises DataError when that
    one never ended.
    """
    previous = ledger.previous_session(account, day)
    if previous is None:
        return Opening(account, TradingState.opening([], initial_cash), None)
    snapshot = ledger.snapshot(previous.session_id)
    if snapshot is None:
        raise DataError(
            f"session {previous.session_id} has no closing state, so {day} cannot open: run it"
            " again"
        )
    state = restricted(TradingState.from_dict(snapshot.body["trading"]))
    paid = Receivables.restored(snapshot.body.get("receivables")).unbooked
    for name in ("cash", "equity"):
        state.portfolio.account[name] += paid
    return Opening(
        account,
        state,
        previous.session_id,
        tuple(snapshot.body.get("strategies", ())),
    )


def restricted(state: TradingState) -> TradingState:
    """A state of its own with only the symbols that are held, have a working order or may not be
    entered for a while yet, so that states do not grow with every symbol ever watched.
    """
    state = state.pruned()
    positions = state.portfolio.positions
    tomorrow = (int(state.portfolio.account["date"][0]) + 1) * _DAY
    busy = (
        (positions["quantity"] != 0.0)
        | (positions["entry_working"] == 1)
        | (positions["paused_until"] > tomorrow)
        | (positions["own_paused_until"] > tomorrow)
        | (positions["intent_until"] > tomorrow)
        | (state.exchange.orders["status"] == ORDER_OPEN).any(axis=1)
    )
    return state.only(np.flatnonzero(busy))
