"""What is asked of a broker and what became of it: one tagged union for session, ledger, brokers
and replay.

Commands are imperative (`SubmitOrder`), facts are in the past tense (`OrderFilled`). All are
frozen. A fact carries two times: `happened_at`, on the exchange's clock, and `known_at`, when this
system learned it, which is never earlier than it could be known. The JSON form is what the ledger
keeps for ever: a field may be added with a default, none is renamed or removed, and
`tests/execution/golden_events.jsonl` holds old lines that must still decode.

>>> decode(encode(OrderCanceled(happened_at=t, known_at=t, client_order_id="s-1", symbol="AAPL")))
"""

from collections.abc import Callable
from datetime import datetime
from typing import Literal

import msgspec

from harmony_pipeline.execution.closing_auction import ClosingHours

Side = Literal["buy", "sell"]
Role = Literal["entry", "exit", "stop", "take"]
OrderKind = Literal["market", "limit", "stop", "stop_limit"]
TimeInForce = Literal["ioc", "day", "gtc", "cls"]
RiskState = Literal["ACTIVE", "REDUCING", "HALTED"]
ReconciliationRule = Literal["take", "cancel", "ask", "adopt", "report"]


class OrderTerms(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that was decided about one order, before anyone else knew of it.

    `order_id` names the intent and is the same in backtest and session; `client_order_id` is its
    name at the broker, a pure function of (session, order_id). Quantity in shares, prices raw.
    `volatility` to `entry_symbol` are for an exchange that is driven by bars; a real one ignores
    them.
    """

    client_order_id: str
    order_id: str
    symbol: str
    role: Role
    side: Side
    quantity: float
    kind: OrderKind = "market"
    limit_price: float | None = None
    stop_price: float | None = None
    time_in_force: TimeInForce = "ioc"
    parent_id: str | None = None
    signal_timestamp: datetime | None = None
    decided_at: datetime
    reason: str | None = None
    model_id: str | None = None
    after_exit: bool = False  # a reversal: only once the symbol's exit is done
    volatility: float = 0.0  # of one bar, known at the signal: what impact is estimated from
    entry_decided_at: datetime | None = None  # decision of the entry that opened the position
    entry_bar: datetime | None = None  # legs: start of the bar in which the entry was filled
    # legs: adjustment factor of that bar; levels move with it through splits and dividends; 0: seen
    # at the next bar
    entry_factor: float = 1.0
    # symbol under which the position was opened, where it has changed since
    entry_symbol: str | None = None
    # what the risk engine answered to an entry: approve, resize, queue, refuse or halt
    verdict: str | None = None
    limit: str | None = None  # the limit that made it smaller than wanted, or refused it
    wanted_quantity: float | None = None  # shares before that; None: no size was asked for
    release_at: datetime | None = None  # a queued entry does not leave before
    strategy: str | None = None  # whose it is, on an account that several share

    @property
    def is_at_close(self) -> bool:
        """Whether the order is for a closing auction."""
        return self.time_in_force == "cls"

    @property
    def slot(self) -> str:
        """The position that it is about: `AAPL`, or `rsi_momentum/AAPL` on a shared account."""
        return slot_name(self.strategy, self.symbol)

    @property
    def entry_slot(self) -> str:
        """The slot of the symbol under which the position was opened."""
        return slot_name(self.strategy, self.entry_symbol or self.symbol)


def slot_name(strategy: str | None, symbol: str) -> str:
    """The name in orders and ids of a position: of a symbol, or of a strategy in a symbol."""
    return symbol if strategy is None else f"{strategy}/{symbol}"


# --- commands -------------------------------------------------------------------------------------


def _tagged(prefix: str) -> Callable[[str], str]:
    """Class name -> JSON tag in snake case, without the word that every name of the family shares:
    OrderCancelRequested -> cancel_requested.
    """

    def tag(name: str) -> str:
        words = "".join(
            f"_{letter.lower()}" if letter.isupper() else letter
            for letter in name.removeprefix(prefix)
        )
        return words.lstrip("_")

    return tag


class SubmitOrder(msgspec.Struct, frozen=True, tag_field="kind", tag=_tagged("")):
    """Place this order. Asking twice with one `client_order_id` must not place two.

    With `other` both legs of a bracket are placed at once and one cancels the other.
    """

    order: OrderTerms
    other: OrderTerms | None = None


class CancelOrder(msgspec.Struct, frozen=True, tag_field="kind", tag=_tagged("")):
    """Take the order back, as far as it is not filled."""

    client_order_id: str
    reason: str | None = None


class ReplaceOrder(msgspec.Struct, frozen=True, tag_field="kind", tag=_tagged("")):
    """Exchange an open order for one with other terms; the new one has its own client order id."""

    client_order_id: str
    new_client_order_id: str
    quantity: float | None = None
    limit_price: float | None = None
    stop_price: float | None = None


Command = SubmitOrder | CancelOrder | ReplaceOrder


# --- facts about an order -------------------------------------------------------------------------


class Fact(msgspec.Struct, frozen=True, kw_only=True, tag_field="kind", tag=_tagged("")):
    """Something that happened."""

    happened_at: datetime
    known_at: datetime


class OrderFact(Fact, frozen=True, kw_only=True, tag=_tagged("Order")):
    """Something that happened to one order."""

    client_order_id: str
    symbol: str


class OrderIntended(OrderFact, frozen=True, kw_only=True, tag="intent"):
    """We decided to place it. Written down before the broker hears of it."""

    order: OrderTerms


class OrderRefused(OrderFact, frozen=True, kw_only=True):
    """Our own risk limits said no; the broker never heard of it."""

    order: OrderTerms
    reason: str


class OrderSubmitted(OrderFact, frozen=True, kw_only=True):
    """The broker took the request without an error."""

    broker_order_id: str | None = None


class OrderOutcomeUnknown(OrderFact, frozen=True, kw_only=True):
    """The request may or may not have arrived: a timeout, a reset, a 5xx. To be looked up by client
    order id.
    """

    reason: str


class OrderAccepted(OrderFact, frozen=True, kw_only=True):
    """It works at the exchange, or is queued for the next session."""

    broker_order_id: str | None = None


class OrderHeld(OrderFact, frozen=True, kw_only=True):
    """A leg of a bracket that waits for its sibling; counts as open."""

    broker_order_id: str | None = None


class OrderPartiallyFilled(OrderFact, frozen=True, kw_only=True):
    """One execution that leaves a remainder. `cumulative_quantity` is the order's total after it,
    by the broker's count.
    """

    execution_id: str
    side: Side
    quantity: float
    price: float
    cumulative_quantity: float
    reference_price: float | None = None  # price before costs, where the venue tells
    fee: float = 0.0
    slippage: float = 0.0
    liquidity: Literal["taker", "maker"] = "taker"
    # coins that a purchase did not bring: they are the fee, whose worth `fee` tells
    withheld: float = 0.0

    @property
    def received(self) -> float:
        """What the execution moved: the quantity, less what was withheld."""
        return self.quantity - self.withheld


class OrderFilled(OrderPartiallyFilled, frozen=True, kw_only=True):
    """The execution that completes it."""


class OrderCancelRequested(OrderFact, frozen=True, kw_only=True):
    """A cancel is on its way; until it is confirmed the order may still fill."""

    reason: str | None = None


class OrderCancelRejected(OrderFact, frozen=True, kw_only=True):
    """The cancel came too late or was refused."""

    reason: str | None = None


class OrderCanceled(OrderFact, frozen=True, kw_only=True):
    """No longer at the exchange; what was filled stays filled."""

    reason: str | None = None


class OrderExpired(OrderFact, frozen=True, kw_only=True):
    """Its time in force ended."""

    reason: str | None = None


class OrderRejected(OrderFact, frozen=True, kw_only=True):
    """The broker or the exchange said no; it may come long after the request was taken."""

    reason: str


class OrderReplaceRequested(OrderFact, frozen=True, kw_only=True):
    """A replacement is on its way; until it is confirmed the old order may still fill."""


class OrderReplaceRejected(OrderFact, frozen=True, kw_only=True):
    """The replacement lost to a fill or was refused; the old order is what it was."""

    reason: str | None = None


class OrderReplaced(OrderFact, frozen=True, kw_only=True):
    """It was exchanged for the order named here."""

    replaced_by: str


class OrderAdjusted(OrderFact, frozen=True, kw_only=True):
    """A split changed what is left of a working order; `quantity` is its new total, what was filled
    before included.
    """

    quantity: float


# --- facts about the session ----------------------------------------------------------------------


class SessionStarted(Fact, frozen=True, kw_only=True):
    """The plan of the day, as it was pinned."""

    session_id: str
    strategy: str
    model_id: str | None
    symbols: tuple[str, ...]
    plan_hash: str
    previous_session_id: str | None = None
    strategies: tuple[str, ...] = ()  # of a portfolio, in order
    closing_hours: ClosingHours | None = None  # of its broker, where it takes closing orders


class SessionEnded(Fact, frozen=True, kw_only=True):
    """`outcome` is completed, stopped or killed."""

    session_id: str
    outcome: str
    reason: str | None = None


class BarsReceived(Fact, frozen=True, kw_only=True):
    """Every bar that starts at one moment has arrived; `happened_at` is that moment."""

    bars: int
    regular_bars: int


class CorporateActionApplied(Fact, frozen=True, kw_only=True):
    """A split, a dividend, a delisting or a change of symbol met a position before the day's first
    trade.
    """

    symbol: str
    action: str
    value: float
    quantity_before: float
    quantity_after: float
    cash: float  # paid to us; negative when we paid
    successor: str | None = None  # the new symbol of a change
    strategy: str | None = None  # whose position, on an account that several share


class QuoteActed(Fact, frozen=True, kw_only=True):
    """A state machine changed what it holds of `symbol` when it heard a quote; `happened_at` is the
    quote's time, `known_at` the moment of the decision that follows.

    What is decided follows from these numbers alone: the side and strength that it holds now, the
    price at which a size is counted, and of the symbol's last bar its start (`signal_timestamp`),
    adjustment factor, volatility and, where a model filters, probability.
    """

    symbol: str
    side: int
    strength: float
    price: float
    signal_timestamp: datetime
    factor: float
    volatility: float
    quoted_symbol: str
    bid: float
    bid_size: float
    ask: float
    ask_size: float
    probability: float | None = None
    model_id: str | None = None


class CandidateRefused(Fact, frozen=True, kw_only=True):
    """The model gave no probability for a bar on which the strategy took a side; `happened_at` is
    that bar's start.
    """

    symbol: str
    model_id: str
    reason: str
    strategy: str | None = None  # on an account that several share


class StrategyStopped(Fact, frozen=True, kw_only=True):
    """A strategy of a portfolio trades no more in this session: `reason` says what it raised;
    `hung`: it gave no answer.
    """

    strategy: str
    reason: str
    hung: bool = False


class SymbolsWatched(Fact, frozen=True, kw_only=True):
    """A scan during the day (`happened_at`) changed which symbols may be entered."""

    started: tuple[str, ...]
    stopped: tuple[str, ...]


class RiskStateChanged(Fact, frozen=True, kw_only=True):
    """May entries leave: ACTIVE yes; REDUCING exits only; HALTED nothing new at all."""

    previous: RiskState
    current: RiskState
    reason: str


class StreamStale(Fact, frozen=True, kw_only=True):
    """A stream has been silent for longer than it may."""

    stream: str
    age_seconds: float


class StreamRecovered(Fact, frozen=True, kw_only=True):
    """A silent stream speaks again."""

    stream: str


class BreakerTripped(Fact, frozen=True, kw_only=True):
    """A loss limit of the portfolio was reached."""

    breaker: str
    measure: float


class BreakerRearmed(Fact, frozen=True, kw_only=True):
    """The drawdown breaker was lifted: its rest was over, or somebody said so in the settings."""

    breaker: str


class KillSwitchPulled(Fact, frozen=True, kw_only=True):
    """Someone put the file KILL into the state folder."""

    reason: str


class SessionOpened(Fact, frozen=True, kw_only=True):
    """The ledger took a session in: what its row says."""

    session_id: str
    date: str
    account: str
    strategy: str
    model_id: str | None
    plan_hash: str
    previous_session_id: str | None = None


class SessionStateSet(Fact, frozen=True, kw_only=True):
    """The session's row says from now on: running, completed, stopped or killed."""

    state: str
    reason: str | None = None


class OrderAdopted(Fact, frozen=True, kw_only=True):
    """An order that worked before the ledger knew it; `state` is all of it, as JSON."""

    client_order_id: str
    symbol: str
    state: str


class EquityMarked(Fact, frozen=True, kw_only=True):
    """The books at the end of a bar (`happened_at`: its start), in 1/10000 of the currency."""

    equity: int
    cash: int
    gross_exposure: int
    net_exposure: int
    drawdown: float


class HeldPosition(msgspec.Struct, frozen=True, kw_only=True):
    """One position, as `session_positions` shows it."""

    symbol: str
    quantity: float
    entry_price: float
    last_price: float | None = None
    stop_price: float | None = None
    take_profit_price: float | None = None
    strategy: str | None = None  # on an account that several share


class PositionsKept(Fact, frozen=True, kw_only=True):
    """Everything that is held when the session ends; replaces what was kept before."""

    positions: tuple[HeldPosition, ...]


class BooksDiffered(Fact, frozen=True, kw_only=True):
    """Ledger and broker disagreed about an order, a fill, a position or cash; `rule` settled it.

    Figures are shares (orders and fills: those filled), or currency.
    """

    subject: str
    key: str
    symbol: str | None
    ledger: float
    broker: float
    rule: ReconciliationRule
    sentence: str


class ActionSettled(Fact, frozen=True, kw_only=True):
    """The broker paid (below zero: took) cash of a corporate action. `booked`: what our books had
    for it, `paid` less that is in the cash that the next session opens with. Without a day nothing
    was booked: a tax, for example. activity: the broker's name of it; None: its cash shows it.
    Action `fees`: what it took for the executions of a day, without a symbol.
    """

    symbol: str | None
    action: str
    date: str | None
    booked: float
    paid: float
    activity: str | None = None


class ActionWrittenOff(Fact, frozen=True, kw_only=True):
    """The broker has not paid (below zero: taken) what a corporate action of `date` owes, and is
    not expected to: the next session opens without it.
    """

    symbol: str
    action: str
    date: str
    amount: float
    days: int


class PositionAdopted(Fact, frozen=True, kw_only=True):
    """Shares that were traded at the broker by somebody else are ours from now on."""

    symbol: str
    quantity_before: float
    quantity_after: float
    price: float
    strategy: str | None = None  # of a portfolio: whose position takes them


class BooksReconciled(Fact, frozen=True, kw_only=True):
    """Ledger and broker were compared; `differences` are sentences, none when they agree."""

    differences: tuple[str, ...] = ()


AnyOrderFact = (
    OrderIntended
    | OrderRefused
    | OrderSubmitted
    | OrderOutcomeUnknown
    | OrderAccepted
    | OrderHeld
    | OrderPartiallyFilled
    | OrderFilled
    | OrderCancelRequested
    | OrderCancelRejected
    | OrderCanceled
    | OrderExpired
    | OrderRejected
    | OrderReplaceRequested
    | OrderReplaceRejected
    | OrderReplaced
    | OrderAdjusted
)
SessionFact = (
    SessionStarted
    | SessionEnded
    | BarsReceived
    | CorporateActionApplied
    | QuoteActed
    | CandidateRefused
    | StrategyStopped
    | SymbolsWatched
    | RiskStateChanged
    | StreamStale
    | StreamRecovered
    | BreakerTripped
    | BreakerRearmed
    | KillSwitchPulled
    | SessionOpened
    | SessionStateSet
    | OrderAdopted
    | EquityMarked
    | PositionsKept
    | BooksDiffered
    | ActionSettled
    | ActionWrittenOff
    | PositionAdopted
    | BooksReconciled
)
Event = Command | AnyOrderFact | SessionFact

_encoder = msgspec.json.Encoder()
_decoder: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def kind_of(event: Event) -> str:
    """The JSON tag of an event, which is also the column `kind` of `session_events`."""
    return str(type(event).__struct_config__.tag)


def encode(event: Event) -> bytes:
    """One line of JSON. Floats come back exactly."""
    return _encoder.encode(event)


def decode(line: bytes | str) -> Event:
    """The event of one line of JSON. Raises msgspec.ValidationError on anything else."""
    return _decoder.decode(line)
