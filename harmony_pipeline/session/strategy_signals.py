"""Signals of all strategies of a session, each made by itself from the same bars.

What one of them raises concerns that one alone: where several share the account it is stopped and
the others go on. A session of one strategy has nobody to go on, so there it is raised.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from harmony_pipeline.execution.events import slot_name
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.live_signals import LiveSignals
from harmony_pipeline.session.machine_fills import MachineFills
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.stream import Batch, SessionBar
from harmony_pipeline.session.watch_list import WatchChange, WatchList
from harmony_pipeline.strategies.events import Quote


@dataclass(frozen=True)
class Signals:
    """Rows of `LiveSignals.update` by slot, why strategies could not say theirs, and what scans
    that came due changed.
    """

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    changes: list[WatchChange] = field(default_factory=list)


class StrategySignals:
    """Folds features and strategies over the day, batch by batch. One owner. `stop` names those
    that are not asked any more.
    """

    def __init__(self, plan: SessionPlan, ledger: Ledger, *, in_process: bool) -> None:
        idle = {member.name for member in plan.members if member.stopped}
        self._signals = {
            name: LiveSignals(own) for name, own in plan.by_strategy.items() if name not in idle
        }
        self._chosen = {member.name: member.symbols for member in plan.members}
        self._watch = WatchList(plan)
        self._fills = MachineFills(ledger, plan.session_id, in_process=in_process)
        self.hears_fills = any(each.hears_fills for each in self._signals.values())

    def stop(self, strategy: str) -> None:
        """Ask the strategy no more."""
        self._signals.pop(strategy, None)

    def update(self, batch: Batch) -> Signals:
        """Signals of the batch; a machine with `on_fill` hears first what was filled of its own
        orders.
        """
        found = Signals()
        found.changes.extend(self._watch.hear(batch))
        heard = self._fills.with_bars(batch.start) if self.hears_fills else []
        for name, signals in self._signals.items():
            fills = [fill for whose, fill in heard if whose == name] if signals.hears_fills else []
            if name is None:
                found.rows.update(self._of_member(name, signals.update(batch, fills)))
                continue
            try:
                rows = signals.update(batch, fills)
            except Exception as error:  # whatever a strategy does, the others go on
                found.failures[name] = f"{type(error).__name__}: {error}"
                continue
            found.rows.update(self._of_member(name, rows))
        return found

    # --- quotes -----------------------------------------------------------------------------------
    # Only a machine that has the account to itself hears them; a plan of several says so.

    def hear_quotes(self, quotes: Sequence[Quote]) -> Iterator[tuple[Quote, list[str]]]:
        """`LiveSignals.hear_quotes` of the only strategy."""
        alone = self._signals.get(None)
        return iter(()) if alone is None else alone.hear_quotes(quotes)

    def held_now(self, symbol: str) -> tuple[SessionBar, dict[str, Any]] | None:
        """`LiveSignals.held_now` of the only strategy; without a side in a symbol that is not
        watched now.
        """
        found = self._signals[None].held_now(symbol)
        if found is None or self._watch.allows(symbol):
            return found
        return found[0], {**found[1], "side": 0}

    def hear_again(self, quote: Quote, symbol: str, side: int, strength: float) -> None:
        """`LiveSignals.hear_again` of the only strategy."""
        self._signals[None].hear_again(quote, symbol, side, strength)

    def _of_member(
        self, name: str | None, rows: dict[str, dict[str, Any]]
    ) -> dict[str, dict[str, Any]]:
        """Its rows by slot; without a side in symbols that it does not trade now."""
        chosen = None if name is None else self._chosen[name]
        return {
            slot_name(name, symbol): row
            if self._watch.allows(symbol) and (chosen is None or symbol in chosen)
            else {**row, "side": 0}
            for symbol, row in rows.items()
        }
