"""Signals of all strategies of a session, each made by itself from the same bars.

What one of them raises, or that it does not answer (session/member_workers.py), concerns that one
alone: where several share the account it is stopped and the others go on. A session of one strategy
has nobody to go on, so there what it raises is raised, and it is waited for.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

from harmony_pipeline.execution.events import Event, StrategyStopped, slot_name
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.live_signals import LiveSignals
from harmony_pipeline.session.machine_fills import MachineFills
from harmony_pipeline.session.member_workers import Deadline, MemberHangs, MemberWorker
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.stream import Batch, SessionBar
from harmony_pipeline.session.watch_list import WatchChange, WatchList
from harmony_pipeline.strategies.events import Quote

Rows = dict[str, dict[str, Any]]
"""Signals by symbol, or by slot."""


@dataclass(frozen=True)
class Signals:
    """Rows of `LiveSignals.update` by slot, why strategies could not say theirs (those that are
    `hung` gave no answer), and what scans that came due changed.
    """

    rows: dict[str, dict[str, Any]] = field(default_factory=dict)
    failures: dict[str, str] = field(default_factory=dict)
    hung: set[str] = field(default_factory=set)
    changes: list[WatchChange] = field(default_factory=list)


class StrategySignals:
    """Folds features and strategies over the day, batch by batch. One owner. `stop` names those
    that are not asked any more. `patience`: strategies of a portfolio run in threads of their own,
    and each has so long for a moment; None: one after the other, as long as it takes.
    """

    def __init__(
        self,
        plan: SessionPlan,
        ledger: Ledger,
        *,
        in_process: bool,
        patience: Callable[[], Deadline] | None = None,
    ) -> None:
        idle = {member.name for member in plan.members if member.stopped}
        self._signals = {
            name: LiveSignals(own) for name, own in plan.by_strategy.items() if name not in idle
        }
        self._patience = patience
        self._workers: dict[str, MemberWorker[Rows]] = {}
        self._hung: dict[str, StrategyStopped] = {}  # as it was written
        self._chosen = {member.name: member.symbols for member in plan.members}
        self._watch = WatchList(plan)
        self._fills = MachineFills(ledger, plan.session_id, in_process=in_process)
        self.hears_fills = any(each.hears_fills for each in self._signals.values())

    def stop(self, strategy: str) -> None:
        """Ask the strategy no more."""
        self._signals.pop(strategy, None)
        worker = self._workers.pop(strategy, None)
        if worker is not None:
            worker.close()

    def close(self) -> None:
        """End the threads."""
        for name in list(self._workers):
            self._workers.pop(name).close()

    @property
    def chosen(self) -> frozenset[str] | None:
        """The symbols that may be entered now; None: all."""
        return self._watch.chosen

    @property
    def is_last_choice(self) -> bool:
        """Whether no scan of the day is left."""
        return self._watch.is_final

    def expect_hung(self, events: Iterable[Event]) -> None:
        """Strategies that hung when these events were written are not asked again from then on:
        whether they would answer now depends on the machine.
        """
        stopped = [event for event in events if isinstance(event, StrategyStopped) and event.hung]
        self._hung = {event.strategy: event for event in stopped}

    def update(self, batch: Batch) -> Signals:
        """Signals of the batch; a machine with `on_fill` hears first what was filled of its own
        orders.
        """
        found = Signals()
        found.changes.extend(self._watch.hear(batch))
        heard = self._fills.with_bars(batch.start) if self.hears_fills else []
        asked: dict[str | None, Callable[[], Rows]] = {}
        for name, signals in self._signals.items():
            fills = [fill for whose, fill in heard if whose == name] if signals.hears_fills else []
            asked[name] = partial(signals.update, batch, fills)
        for name in [each for each in asked if each in self._hung]:
            if self._hung[str(name)].happened_at <= batch.start:
                found.failures[str(name)] = self._hung[str(name)].reason
                found.hung.add(str(name))
                del asked[name]
        for name, answer in self._answers(asked):
            if name is None:
                found.rows.update(self._of_member(name, answer()))
                continue
            try:
                found.rows.update(self._of_member(name, answer()))
            except MemberHangs:
                found.failures[name] = _silent(batch)
                found.hung.add(name)
            except Exception as error:  # whatever a strategy does, the others go on
                found.failures[name] = f"{type(error).__name__}: {error}"
        return found

    def _answers(
        self, asked: Mapping[str | None, Callable[[], Rows]]
    ) -> Iterator[tuple[str | None, Callable[[], Rows]]]:
        """What gives each strategy's answer, in the order of the plan; all are asked before the
        first is waited for.
        """
        if self._patience is None or None in asked:
            yield from asked.items()
            return
        for name, question in asked.items():
            assert name is not None
            if name not in self._workers:
                self._workers[name] = MemberWorker(name)
            self._workers[name].ask(question)
        deadline = self._patience()
        for name in asked:
            yield name, partial(self._workers[str(name)].answer, deadline)

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


def _silent(batch: Batch) -> str:
    return f"it hangs: no answer to the bars of {batch.start:%H:%M} within session.strategy_seconds"
