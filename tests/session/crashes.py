"""Processes that die: a ledger and brokers that raise at the k-th thing they do, before or after
having done it.
"""

import shutil
import sqlite3
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path
from typing import Any, Self

import polars as pl

from harmony_pipeline.errors import BrokerUnavailable
from harmony_pipeline.execution.brokers.base import BrokerAccount, BrokerOrder, BrokerPosition
from harmony_pipeline.execution.brokers.simulated import SimulatedBroker
from harmony_pipeline.execution.events import AnyOrderFact, CancelOrder, ReplaceOrder, SubmitOrder
from harmony_pipeline.instants import micros
from harmony_pipeline.portfolio.kernel_types import BAR, Record, records
from harmony_pipeline.session.clock import ReplayClock
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.ledger_rows import Execution
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.stream import Batch, Quiet, ReplayStream, SessionBar
from harmony_pipeline.testing.crashes import Crash, CrashingLedger, Fuse

__all__ = ["Crash", "CrashingLedger", "Fuse"]


class RemoteExchange:
    """A broker's computer: it goes on whatever happens to the session. Driven by the market, not by
    the session.
    """

    def __init__(self, broker: SimulatedBroker, plan: SessionPlan) -> None:
        self.broker = broker
        self._plan = plan
        self._seen: set[int] = set()
        self._rows: dict[int, list[tuple[Record, SessionBar]]] = {}
        self.mail: list[AnyOrderFact] = []
        # the world's: it does not start again with us
        self.clock = ReplayClock(plan.calendar.session_open(plan.date))

    def copied(self) -> Self:
        """Another exchange that has come as far: neither hears of what happens at the other. What
        the plan is made of does not change, and is shared.
        """
        return deepcopy(self, {id(self._plan): self._plan})

    def see(self, batch: Batch) -> None:
        """The market moves: once for each batch, however often the stream is read."""
        if micros(batch.start) in self._seen:
            return
        self._seen.add(micros(batch.start))
        for row, _ in self.rows(batch):
            self.broker.match_open(row)
            self.broker.match_range(row)
        self.mail.extend(self.broker.updates())

    def split(self, symbol: str, ratio: float, last_price: float) -> None:
        """Over night. What is left of a share is paid at the last price: nobody knows the open."""
        count = len(self._plan.symbols)
        for first in range(0, len(self._plan.slots), count):
            row = records(1, BAR)[0]
            row["symbol"] = first + self._plan.symbols.index(symbol)
            row["at"] = row["end"] = micros(self.clock.now())
            row["open"] = last_price / ratio
            self.broker.split(ratio, row)
        self.mail.extend(self.broker.updates())

    def split_over_night(self, actions: pl.DataFrame) -> None:
        """The splits of the plan's day."""
        positions = self._plan.opening.portfolio.positions
        for symbol, ratio in actions.filter(date=self._plan.date, kind="split")[
            ["symbol", "value"]
        ].rows():
            last = float(positions[self._plan.symbols.index(symbol)]["last_price"])
            self.split(symbol, ratio, last)

    def rows(self, batch: Batch) -> list[tuple[Record, SessionBar]]:
        """The regular bars of a batch as records, once for each strategy; the same ones, however
        often they are asked for.
        """
        if micros(batch.start) not in self._rows:
            count = len(self._plan.symbols)
            self._rows[micros(batch.start)] = [
                (self._row(bar, first), bar)
                for first in range(0, len(self._plan.slots), count)
                for bar in batch.bars
                if bar.session == "regular"
            ]
        return self._rows[micros(batch.start)]

    def _row(self, bar: SessionBar, first: int) -> Record:
        row = records(1, BAR)[0]
        row["at"], row["end"] = micros(bar.start), micros(bar.end)
        row["symbol"] = first + self._plan.symbols.index(bar.symbol)
        for name in ("open", "high", "low", "close", "volume", "factor"):
            row[name] = getattr(bar, name)
        return row


class RemoteBroker:
    """A client of the remote exchange: a new one after each crash. It repeats, after a reconnect,
    everything that it ever told.
    """

    name = "remote"

    def __init__(self, exchange: RemoteExchange, fuse: Fuse) -> None:
        self._exchange = exchange
        self._fuse = fuse
        self._told = 0
        self.streaming = True

    def submit(self, command: SubmitOrder) -> BrokerOrder:
        self._fuse.burn()
        answer = self._exchange.broker.submit(command)
        self._exchange.mail.extend(self._exchange.broker.updates())
        self._fuse.burn()
        return answer

    def cancel(self, command: CancelOrder) -> None:
        self._fuse.burn()
        self._exchange.broker.cancel(command)
        self._exchange.mail.extend(self._exchange.broker.updates())
        self._fuse.burn()

    def replace(self, command: ReplaceOrder) -> BrokerOrder:
        return self._exchange.broker.replace(command)

    def order(self, client_order_id: str) -> BrokerOrder | None:
        self._fuse.burn()
        return self._exchange.broker.order(client_order_id)

    def orders(self, open_only: bool = True) -> list[BrokerOrder]:
        return self._exchange.broker.orders(open_only)

    def positions(self) -> list[BrokerPosition]:
        return self._exchange.broker.positions()

    def account(self) -> BrokerAccount:
        return self._exchange.broker.account()

    def updates(self) -> list[AnyOrderFact]:
        self._fuse.burn()
        new, self._told = self._exchange.mail[self._told :], len(self._exchange.mail)
        return new

    def is_streaming(self) -> bool:
        return self.streaming

    def close(self) -> None:
        pass


def copy_of(ledger: Path, path: Path) -> Path:
    """A closed ledger at another place, as it stands."""
    return Path(shutil.copyfile(ledger, path))


class FullDisk(Ledger):
    """Cannot write the fill with number `fill`."""

    def __init__(self, path: Path, fill: int) -> None:
        super().__init__(path)
        self.fills_left = fill

    def record_fill(self, session_id: str, fill: Execution) -> bool:
        self.fills_left -= 1
        if not self.fills_left:
            raise sqlite3.OperationalError("database or disk is full")
        return super().record_fill(session_id, fill)


class FlakyBroker(RemoteBroker):
    """Loses the answer of every third request, and every sixth request itself."""

    calls = 0

    def submit(self, command: SubmitOrder) -> BrokerOrder:
        FlakyBroker.calls += 1
        if FlakyBroker.calls % 6 == 0:
            raise BrokerUnavailable("connection reset before the request was sent")
        answer = super().submit(command)
        if FlakyBroker.calls % 3 == 0:
            raise BrokerUnavailable("no answer within 10 s")
        return answer


class RemoteStream:
    """The market as both hear it: the exchange first, then, after a quiet moment in which fills
    arrive, the session.
    """

    def __init__(self, frame: Any, exchange: RemoteExchange) -> None:
        self._inner = ReplayStream(frame, exchange.clock)
        self._exchange = exchange

    def moments(self) -> Iterator[Batch | Quiet]:
        for batch in self._inner.moments():
            self._exchange.see(batch)
            yield Quiet(batch.end)
            yield batch
