"""What a broker is to Harmony: the seam that the simulated exchange and a real account fit through.

The broker is believed. It says what happened through `updates()`, in facts of
`execution/events.py`; what an order became is judged by `execution/lifecycle.py` alone. An
implementation is one file that passes `harmony_pipeline.testing.broker_contract.BrokerContract`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any, Literal, Protocol, runtime_checkable

from harmony_pipeline.arrays import BoolArray
from harmony_pipeline.execution.closing_auction import ClosingHours
from harmony_pipeline.execution.events import AnyOrderFact, CancelOrder, ReplaceOrder, SubmitOrder
from harmony_pipeline.execution.exchange import ExchangeState
from harmony_pipeline.execution.lifecycle import Status
from harmony_pipeline.portfolio.kernel_types import Record

Day = date


@dataclass(frozen=True)
class BrokerOrder:
    """One order as the broker sees it now; quantities in shares, the broker's own running total."""

    client_order_id: str
    symbol: str
    side: str
    quantity: float
    filled_quantity: float
    status: Status
    broker_order_id: str | None = None
    average_price: float | None = None


@dataclass(frozen=True)
class BrokerPosition:
    """Signed shares at the broker, and their average price where it tells."""

    symbol: str
    quantity: float
    average_price: float | None = None


@dataclass(frozen=True)
class BrokerAccount:
    """Money at the broker, in the account's currency; None: it does not keep any."""

    cash: float | None
    equity: float | None


@dataclass(frozen=True)
class CashActivity:
    """Cash that the broker moved for corporate actions, or took as a fee. `name`: its own word for
    it; `amount`: received, below zero: taken, in the account's currency; `date`: when it was
    booked. `kind`: `split` is cash in lieu of a part of a share, `payout` of shares that are no
    more, `fee` what executions cost, `other` what nobody owes, such as a tax or interest.
    `traded_on`: the day whose executions a fee is for, where the broker names it.
    """

    activity_id: str
    kind: Literal["dividend", "split", "payout", "fee", "other"]
    name: str
    symbol: str | None
    date: date
    amount: float
    traded_on: Day | None = None


class Broker(Protocol):
    """An account at an exchange.

    Obligations:

    - Identity: `client_order_id` is the only name used. A second `submit` under a known one places
      nothing and is no error; it answers with the order that exists.
    - Errors: only families of `harmony_pipeline.errors` leave. BrokerUnavailable: what became of
      the request is unknown (timeout, reset, 5xx), the caller looks the order up before anything
      else. BrokerRejected: no, and again no (funds, unknown symbol, unknown order).
      BrokerContradiction: what it says cannot be.
    - Races: to cancel what is already filled, canceled or expired is no error; the truth comes with
      `updates()` or `order()`.
    - Facts: `updates()` gives each fact at least once, in the order in which it was learned;
      repeated ones have the same `execution_id`. After a lost connection, and in a new process, the
      implementation fetches what it missed: nothing that happened is left out for good.
    - Threads: all methods are called by one thread and return within seconds. An implementation
      that listens to a socket owns its threads, only queues in them, and ends them in `close`.
      Orders passed in are frozen; what is returned belongs to the caller.
    """

    name: str

    def submit(self, command: SubmitOrder) -> BrokerOrder:
        """Place the order, and `command.other` with it (one cancels the other): both or none."""

    def cancel(self, command: CancelOrder) -> None:
        """Ask for the order to be taken back. Raises BrokerRejected when there is no such order."""

    def replace(self, command: ReplaceOrder) -> BrokerOrder:
        """Exchange an open order for one with other terms under its own new id. Raises
        BrokerRejected when it is not open any more.
        """

    def order(self, client_order_id: str) -> BrokerOrder | None:
        """The order, or None when the broker never heard of it. Raises BrokerUnavailable when it
        cannot say.
        """

    def orders(self, open_only: bool = True) -> Sequence[BrokerOrder]:
        """Every order that is known, or those that still work, in order of client order id.
        Complete: an implementation pages until the end.
        """

    def positions(self) -> Sequence[BrokerPosition]:
        """Every position that is not zero, by symbol, whoever opened it."""

    def account(self) -> BrokerAccount:
        """Money, and whether trading is blocked."""

    def updates(self) -> Sequence[AnyOrderFact]:
        """Facts learned since the last call; empty when there are none. Does not wait."""

    def is_streaming(self) -> bool:
        """Whether order news would reach us now. No order may leave while this is False."""

    def close(self) -> None:
        """End threads and connections; working orders go on working."""


@runtime_checkable
class Rereads(Protocol):
    """A broker whose news can be asked for beside its stream."""

    def reread(self) -> None:
        """The next `updates` reads every order and execution anew."""


@runtime_checkable
class CountsRequests(Protocol):
    """A broker that says how many requests its answers took."""

    def requests_sent(self) -> int:
        """Requests that the calling thread has sent so far, repeated ones too."""


@runtime_checkable
class TellsCashActivities(Protocol):
    """A broker that tells which cash it moved for corporate actions and fees. Of one that does not,
    payments are recognised by its cash alone, and fees are taken with their executions.
    """

    def cash_activities(self, since: date) -> Sequence[CashActivity]:
        """Those booked on that day or later, every page of them; what was taken back is left out.
        Raises BrokerUnavailable when it cannot say.
        """


@runtime_checkable
class TakesClosingOrders(Protocol):
    """A broker of an exchange with closing auctions. An order with the time in force `cls` trades
    in the next auction alone, or not at all: it is never sent on as another order.
    """

    def closing_hours(self) -> ClosingHours | None:
        """When it takes them; None where it does not for every symbol of the session."""


@runtime_checkable
class BarDriven(Protocol):
    """The other half of an exchange that lives in this process: whoever drives it shows it each
    regular bar, in the order of execution/exchange.py.
    """

    def works(self) -> BoolArray:
        """By symbol, whether an order works: the bars of the others change nothing."""

    def match_open(self, bar: Record) -> None:
        """Market orders meet the open of the symbol's bar."""

    def match_range(self, bar: Record) -> None:
        """Bracket legs meet the bar."""

    def awaits_close(self) -> BoolArray:
        """By symbol, whether an entry waits for the close of a bar (time in force `cls`)."""

    def match_close(self, bar: Record) -> None:
        """Such an entry meets the close of the symbol's bar, after opens and ranges of all."""

    def split(self, ratio: float, bar: Record) -> None:
        """Before the bar's open: shares and working orders of its symbol become `ratio` times as
        many.
        """

    def dividend(self, symbol: int, value: float, share: float = 0.0) -> None:
        """Cash of `value` a share held, which is `share` of the last price."""

    def finance(self, amount: int) -> None:
        """Interest received, less what borrowed shares and a debit cost, in money units."""

    def pay_out(self, symbol: int, price: float) -> None:
        """The security trades no longer: its shares become cash at `price`."""

    def rename(self, old: int, new: int) -> None:
        """The shares of `old` are held under `new` from now on; no order works for either."""

    @property
    def exchange(self) -> ExchangeState:
        """The orders that work now: part of the state that the next session opens with."""

    def checkpoint(self) -> dict[str, Any]:
        """Everything it would lose with this process, as JSON can carry it."""

    def restore(self, saved: Mapping[str, Any]) -> None:
        """Be what `checkpoint` saw; facts not fetched by then come again."""
