"""Machines that hear their fills, on an account that they share with other strategies.

The order of events is that of event_driver.py. At one moment the books are met first, then each
machine hears the fills of its own slots, then each hears its bars, in order of strategies and
symbols, then all decide. A machine hears nothing of the others' orders.
"""

import heapq
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from harmony_pipeline.arrays import read_only
from harmony_pipeline.backtest.event_driver import SignalsSaid, SteppedBooks, fill_of, heard_rows
from harmony_pipeline.backtest.input_arrays import NEVER
from harmony_pipeline.backtest.run_books import Logs
from harmony_pipeline.backtest.runs import Run
from harmony_pipeline.portfolio.kernel_types import Records
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.sleeves import rank_of, symbol_of
from harmony_pipeline.strategies.events import Bar
from harmony_pipeline.strategies.machines import MachineRun, StateMachine


@dataclass(frozen=True)
class MachineInputs:
    """A machine of an account, made anew for each run, and what it hears: `bars` and `features` as
    `run_machine_backtest` takes them.
    """

    make: Callable[[], StateMachine]
    bars: pl.DataFrame
    features: pl.DataFrame


class HeardMachine:
    """One machine of a run. `rank`: its place among the strategies."""

    def __init__(self, inputs: MachineInputs, name: str, rank: int) -> None:
        machine = inputs.make()
        self.rank, self._needed = rank, machine.required_features()
        heard = heard_rows(inputs.bars, inputs.features, self._needed)
        self.run = MachineRun(machine, name, heard.names)
        self.said = SignalsSaid(heard)

    def events(self) -> Iterator[tuple[int, int, Bar, int]]:
        """(moment, rank, bar, row of its signal) in order of time."""
        rows = zip(
            self.said.moments(), self.said.bars(self._needed), self.said.order.tolist(), strict=True
        )
        return ((at, self.rank, bar, row) for at, bar, row in rows)


def simulate_machines(
    run: Run, rules: TradingRules, machines: Sequence[HeardMachine], first_rows: Sequence[int]
) -> Logs:
    """Run all bars. first_rows: of each machine, the place of its first signal among the run's."""
    side, strength = np.array(run.signals.side), np.array(run.signals.strength)
    views = read_only(side.view()), read_only(strength.view())
    signals = run.signals._replace(side=views[0], strength=views[1])
    books = SteppedBooks(replace(run, signals=signals), rules)
    of_rank = {machine.rank: machine for machine in machines}
    first = {machine.rank: row for machine, row in zip(machines, first_rows, strict=True)}
    slots = run.state.symbols

    def hear(reports: Records) -> None:
        for report in reports:
            slot = slots[report["symbol"]]
            machine = of_rank.get(rank_of(slot))
            if machine is not None:
                machine.run.hear_fill(fill_of(report, symbol_of(slot)))

    now = -1
    events = heapq.merge(*(machine.events() for machine in machines), key=lambda one: one[:2])
    for at, rank, bar, row in events:
        if at != now:
            books.meet(at, hear)
            now = at
        machine, place = of_rank[rank], first[rank] + row
        held, strength[place] = machine.run.handle_bar(bar)
        selected = machine.said.selected
        side[place] = 0 if selected is not None and not selected[row] else held
    books.meet(NEVER - 1, hear)
    books.run_until(NEVER)
    return books.finish()
