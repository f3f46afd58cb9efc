"""The fills that a machine hears in a session, from the ledger: so a restart gives it the same ones
at the same points.

A machine hears fills as in backtest/event_driver.py: before the bars that they happened with. The
ledger's order of events says with which bars that is. An exchange in this process is shown the bars
first, so its fills stand behind them in the ledger and are heard with them. A broker outside has
filled by the time the bars are finished, so what stands before the bars is heard with them. What it
reports later is heard with the next ones.
"""

from datetime import datetime

from harmony_pipeline.execution import events as ev
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.strategies.events import Fill

Heard = tuple[str | None, Fill]


class MachineFills:
    """Fills of one session by the start of the bars that they are heard with. One owner."""

    def __init__(self, ledger: Ledger, session_id: str, *, in_process: bool) -> None:
        self._ledger, self._session_id, self._in_process = ledger, session_id, in_process
        self._read = 0  # the last event that was read
        self._latest: list[Heard] = []  # since the last bars, or before the next ones
        self._by_start: dict[datetime, list[Heard]] = {}

    def with_bars(self, start: datetime) -> list[Heard]:
        """The fills to be heard before the bars that start then, with the strategies whose orders
        they are of, once the ledger has these bars (and, of an exchange in this process, their
        fills).
        """
        for sequence, event in self._ledger.events(self._session_id, after=self._read):
            self._read = sequence
            if isinstance(event, ev.OrderPartiallyFilled):
                order = self._ledger.order(event.client_order_id)
                whose = None if order is None else order.terms.strategy
                self._latest.append((whose, _fill(event)))
            elif isinstance(event, ev.BarsReceived):
                if self._in_process:
                    self._latest = []
                self._by_start[event.happened_at] = self._latest
                if not self._in_process:
                    self._latest = []
        return self._by_start.pop(start, [])


def _fill(event: ev.OrderPartiallyFilled) -> Fill:
    return Fill(
        event.symbol,
        event.happened_at,
        1 if event.side == "buy" else -1,
        event.received,
        event.price,
        event.fee,
    )
