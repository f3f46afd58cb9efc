"""`Broker` over an account at Alpaca, or at anything that speaks like it.

What is asked goes out by REST, what happened comes by the account stream. The stream is believed
but not relied on: after each new connection, whenever a total says that an execution is missing,
and every few seconds while an order works, orders and executions are read by REST. The same thing
heard twice is one fact (`facts.py`).

    broker = AlpacaBroker(AlpacaSettings(trading_url=server.url), Keys("KEY", "SECRET"))
    broker.submit(SubmitOrder(terms)); broker.updates()

A request whose answer is lost is looked up by its client order id and is never sent under another.
Times are the exchange's own.
"""

import re
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from datetime import date, datetime, timedelta
from decimal import Decimal
from itertools import islice

import msgspec

from harmony_pipeline.errors import (
    BrokerContradiction,
    BrokerRejected,
    BrokerUnavailable,
    ConfigError,
)
from harmony_pipeline.execution.brokers.alpaca import activities
from harmony_pipeline.execution.brokers.alpaca import facts as translation
from harmony_pipeline.execution.brokers.alpaca import orders as requests
from harmony_pipeline.execution.brokers.alpaca.client import Json, Refusal, TradingRest
from harmony_pipeline.execution.brokers.alpaca.clock import VenueClock
from harmony_pipeline.execution.brokers.alpaca.facts import FactBook, Fees, moment_of
from harmony_pipeline.execution.brokers.alpaca.keys import KEY, SECRET, Keys
from harmony_pipeline.execution.brokers.alpaca.settings import AlpacaSettings
from harmony_pipeline.execution.brokers.alpaca.stream import (
    Connected,
    Disconnected,
    Refused,
    UpdateStream,
)
from harmony_pipeline.execution.brokers.base import (
    BrokerAccount,
    BrokerOrder,
    BrokerPosition,
    CashActivity,
)
from harmony_pipeline.execution.closing_auction import ClosingHours
from harmony_pipeline.execution.coins import is_pair, pair_of
from harmony_pipeline.execution.events import (
    AnyOrderFact,
    CancelOrder,
    OrderHeld,
    OrderPartiallyFilled,
    ReplaceOrder,
    SubmitOrder,
)

Reference = Callable[[str, datetime], float | None]
"""(symbol, moment) -> the middle of the quote that stood then, None where it is not known."""
_MADE_BY_ALPACA = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")
_CONNECT_SECONDS = 10.0
_ACTIVITY_PAGE = 100
_PAPER_ACCOUNT = "PA"
_LONGEST_LIFE = timedelta(days=92)  # Alpaca ends what is good till canceled after 90
_LOOK_UPS = 3  # of an order whose answer was lost


class AlpacaBroker:
    """One account. Opens the stream; raises ConfigError for wrong keys, for a live account that the
    settings do not name twice, and BrokerUnavailable when nobody answers. `fees` estimates what
    Alpaca books at the end of the day only; `reference` tells the price of a symbol just before a
    moment, which is what a market order's slippage is counted from. `is_ours` tells by its name
    whether an order that ended before we came may be of this system; the others are left out.
    """

    name = "alpaca"

    def __init__(
        self,
        settings: AlpacaSettings,
        keys: Keys,
        fees: Fees | None = None,
        reference: Reference | None = None,
        is_ours: Callable[[str], bool] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._settings, self._sleep, self._reference = settings, sleep, reference
        self._is_ours = is_ours or _is_no_uuid
        self.rest = TradingRest(settings, keys)
        _refuse_live(settings, self.rest.get("/account"))
        self.clock = VenueClock(lambda: self.rest.get("/clock"), settings.clock_seconds)
        self._book = FactBook(fees)
        self._facts: deque[AnyOrderFact] = deque()
        self._names: dict[str, str] = {}  # Alpaca's id -> our name
        self._ids: dict[str, str] = {}
        self._latest: dict[str, Json] = {}  # the newest version of each order by id
        self._since = self.clock.now() - timedelta(days=settings.lookback_days)
        self._read_after = 0  # the connection after which REST was read last
        self._has_gap = False
        self._heard_then: int | None = None  # updates heard when a reading found what none told
        self._read_at = 0.0
        self.stream = UpdateStream(settings, keys)
        if not self.stream.wait_until_up(_CONNECT_SECONDS):
            refused = any(isinstance(item, Refused) for item in self.stream.take())
            self.stream.close()
            if refused:
                raise _stream_refuses(settings)
            raise BrokerUnavailable(
                f"the order stream at {settings.order_stream} does not answer: look at"
                " alpaca.trading_stream_url"
            )

    # --- what is asked ----------------------------------------------------------------------------

    def submit(self, command: SubmitOrder) -> BrokerOrder:
        """Place the order, both legs of a bracket as one OCO; see `Broker.submit`."""
        terms = command.order
        known = self._known(terms.client_order_id)
        if known is not None:
            return self._shown(known)
        # coins trade around the clock, and the clock is that of shares
        at_once = terms.time_in_force == "ioc" and not is_pair(terms.symbol)
        is_open = not at_once or self._is_market_open()
        body = requests.body_of(
            command, is_open=is_open, is_short=terms.role == "entry" and terms.side == "sell"
        )
        order = self._send(body)
        self._learn(order)
        requests.check_accepted(body, order)
        return self._shown(self._latest[self._ids[terms.client_order_id]])

    def cancel(self, command: CancelOrder) -> None:
        """Ask for the order to be taken back; that it is too late for that is no error."""
        order = self._find(command.client_order_id)
        if order is None:
            raise BrokerRejected(f"Alpaca has no order {command.client_order_id}")
        try:
            self.rest.once("DELETE", f"/orders/{order['id']}")
        except Refusal as refusal:
            if refusal.status == 422:  # filled, canceled, or about to be: updates tell which
                self._has_gap = True
                return
            raise

    def replace(self, command: ReplaceOrder) -> BrokerOrder:
        """Exchange an open order; the old one may still be filled before it is exchanged."""
        known = self._known(command.new_client_order_id)
        if known is not None:
            return self._shown(known)
        old = self._find(command.client_order_id)
        if old is None:
            raise BrokerRejected(f"Alpaca has no order {command.client_order_id}")
        body = requests.replacement_of(command)
        try:
            new = self.rest.once("PATCH", f"/orders/{old['id']}", body)
        except BrokerUnavailable:
            found = self._look_up(command.new_client_order_id)
            if found is None:
                raise
            new = found
        self._learn(new)
        self._has_gap = True
        return self._shown(new)

    def order(self, client_order_id: str) -> BrokerOrder | None:
        """The order as Alpaca has it now, or None."""
        found = self._find(client_order_id, fresh=True)
        return None if found is None else self._shown(found)

    def orders(self, open_only: bool = True) -> list[BrokerOrder]:
        """Orders by our names, every page of them, legs too."""
        shown = {
            self._names[order["id"]]: self._shown(order)
            for order in self._list("open" if open_only else "all")
            if not open_only or order["status"] not in translation.ENDED
        }
        return [shown[name] for name in sorted(shown)]

    def positions(self) -> list[BrokerPosition]:
        """Whatever is held, whoever bought it."""
        found = [
            BrokerPosition(
                _symbol_of(row),
                _signed(row),
                float(Decimal(str(row["avg_entry_price"]))),
            )
            for row in self.rest.get("/positions")
        ]
        return sorted(found, key=lambda position: position.symbol)

    def account(self) -> BrokerAccount:
        """Money now."""
        row = self.rest.get("/account")
        return BrokerAccount(float(Decimal(row["cash"])), float(Decimal(row["equity"])))

    def cash_activities(self, since: date) -> list[CashActivity]:
        """Dividends, cash in lieu and the like; see `activities.py`."""
        return activities.cash_activities(self.rest, since)

    def trading_blocked(self) -> str | None:
        """Why the account may not trade, or None."""
        row = self.rest.get("/account")
        for name in ("account_blocked", "trading_blocked", "trade_suspended_by_user"):
            if row.get(name):
                return f"Alpaca says {name} of account {row.get('account_number')}"
        return None if row.get("status") == "ACTIVE" else f"the account is {row.get('status')}"

    # --- what happened ----------------------------------------------------------------------------

    def updates(self) -> list[AnyOrderFact]:
        """Facts since the last call, from the stream and, where it may lack something, by REST.
        Raises ConfigError when the stream refuses the keys.
        """
        heard = self.stream.heard  # those are taken now; one that comes later is told
        for item in self.stream.take():
            if isinstance(item, Refused):
                raise _stream_refuses(self._settings)
            if not isinstance(item, Connected | Disconnected):
                self._take(item)
        connection = self.stream.connections
        if self.stream.is_up and self._read_after != connection:
            if self._read_quietly():
                self._read_after = connection
        elif self._has_gap or self._book.incomplete():
            self._read_quietly()
        elif self._is_due():
            self._poll(heard)
        facts = [self._with_reference(fact) for fact in self._facts]
        self._facts.clear()
        return facts

    def _with_reference(self, fact: AnyOrderFact) -> AnyOrderFact:
        """An execution of a market or stop order, with the price before costs where somebody knows
        it: a stop's is its own, or the quote that stood behind it.
        """
        if self._reference is None or not isinstance(fact, OrderPartiallyFilled):
            return fact
        order = self._latest[self._ids[fact.client_order_id]]
        if order["type"] not in {"market", "stop", "stop_limit"}:
            return fact
        if order.get("time_in_force") == "cls":  # the auction's price is everybody's
            return fact
        price = self._reference(fact.symbol, fact.happened_at)
        if price is None:
            return fact
        if order["type"] != "market":
            worse = min if order["side"] == "sell" else max
            price = worse(price, float(Decimal(str(order["stop_price"]))))
        return msgspec.structs.replace(
            fact, reference_price=price, slippage=abs(fact.price - price)
        )

    def reread(self) -> None:
        """The next `updates` reads every order and execution by REST."""
        self._has_gap = True

    def closing_hours(self) -> ClosingHours:
        """Shares have a closing auction, which Alpaca calls `cls`; an order in coins is refused."""
        return requests.CLOSING_HOURS

    def requests_sent(self) -> int:
        """Requests that the calling thread has sent so far, repeated ones too."""
        return self.rest.sent

    def is_streaming(self) -> bool:
        """Whether the stream stands and nothing that it missed is unread."""
        return self.stream.is_up and self._read_after == self.stream.connections

    def close(self) -> None:
        """End the stream; working orders go on working."""
        self.stream.close()

    # --- sending ----------------------------------------------------------------------------------

    def _send(self, body: Json) -> Json:
        """POST, once. A lost answer and "must be unique" are looked up."""
        name = body["client_order_id"]
        try:
            order: Json = self.rest.once("POST", "/orders", body)
        except BrokerUnavailable:
            found = self._look_up(name)
            if found is None:
                raise
            return found
        except Refusal as refusal:
            if refusal.status == 422 and "unique" in refusal.sentence:
                found = self._look_up(name)
                if found is not None:
                    return found
                raise BrokerContradiction(
                    f"Alpaca says that order {name} exists and cannot show it: look at the account"
                ) from refusal
            raise
        return order

    def _look_up(self, name: str) -> Json | None:
        """The order of a name, with its legs; asked for again, since it may be on its way."""
        for attempt in range(1, _LOOK_UPS + 1):
            found = self._fetch(name)
            if found is not None:
                return found
            if attempt < _LOOK_UPS:
                self._sleep(self._settings.wait_seconds * attempt)
        return None

    def _fetch(self, name: str) -> Json | None:
        """GET by client order id. Raises BrokerUnavailable when nobody can say."""
        try:
            order: Json = self.rest.get("/orders:by_client_order_id", {"client_order_id": name})
            if order.get("order_class") in {"oco", "oto", "bracket"}:
                order = self.rest.get(f"/orders/{order['id']}", {"nested": "true"})
        except Refusal as refusal:
            if refusal.status == 404:
                return None
            raise BrokerUnavailable(f"{refusal}: what became of order {name} is unknown") from None
        return order

    def _is_market_open(self) -> bool:
        row = self.clock.read()
        return bool(row["is_open"])

    # --- finding ----------------------------------------------------------------------------------

    def _known(self, name: str) -> Json | None:
        """An order that this process has sent or seen, as it is now."""
        return self._find(name, fresh=True) if name in self._ids else None

    def _find(self, name: str, *, fresh: bool = False) -> Json | None:
        """The order of our name; its id may be known, be Alpaca's by that name, or be a leg of an
        order whose name holds ours.
        """
        order_id = self._ids.get(name)
        if order_id is not None:
            if not fresh:
                return self._latest[order_id]
            found: Json = self.rest.get(f"/orders/{order_id}")
            self._latest[order_id] = found
            return found
        order = self._fetch(name)
        if order is not None:
            self._learn(order)
        else:  # a leg, whose name only its order tells
            for since in (self._since, self.clock.now() - _LONGEST_LIFE):
                for _ in self._list("all", since):
                    pass
                if name in self._ids:
                    break
        order_id = self._ids.get(name)
        return None if order_id is None else self._latest[order_id]

    def _list(self, status: str, since: datetime | None = None) -> Iterator[Json]:
        """Open orders, or all that were placed since a moment, that of `lookback_days` before the
        start where none is given; legs beside their orders.
        """
        params: Json = {"status": status, "nested": "true"}
        if status == "all":
            params["after"] = (since or self._since).isoformat()
        listed = list(self.rest.pages("/orders", params))
        if status == "all":
            ids = {order["id"] for order in listed}
            listed += [
                order
                for order in self.rest.pages("/orders", {"status": "open", "nested": "true"})
                if order["id"] not in ids
            ]
        for order in listed:
            yield from self._learn(order)

    def _learn(self, order: Json) -> list[Json]:
        """Note the names of an order and its legs; all of them, the order first."""
        legs = order.get("legs") or []
        pair = requests.parted(order["client_order_id"])
        for each, name in zip(
            [order, *legs], pair or (order["client_order_id"], None), strict=False
        ):
            if each["id"] not in self._names:
                mine = name if name is not None else each["client_order_id"]
                self._names[each["id"]] = mine
                self._ids[mine] = each["id"]
        for each in (order, *legs):
            if each["id"] not in self._names:
                self._names[each["id"]] = each["client_order_id"]
                self._ids[each["client_order_id"]] = each["id"]
            self._latest[each["id"]] = each
        return [order, *legs]

    def _shown(self, order: Json) -> BrokerOrder:
        return translation.broker_order(order, self._names[order["id"]])

    # --- facts ------------------------------------------------------------------------------------

    def _take(self, update: Json) -> None:
        """One message of the stream; an order that nobody here knows is asked for first."""
        order = update.get("order") or {}
        if not order.get("id"):
            self._has_gap = True
            return
        if order["id"] not in self._names and not self._place(order):
            return
        if not self._is_old(order):
            self._latest[order["id"]] = {**order, "legs": self._latest[order["id"]].get("legs")}
        self.clock.hear(moment_of(order.get("updated_at")))
        name = self._names[order["id"]]
        found = self._book.of_update(update, name, self._successor(order))
        if not found and order["status"] == "replaced":
            self._has_gap = True
        if update["event"] not in {"fill", "partial_fill"} and order["status"] == "rejected":
            self._has_gap = self._has_gap or not found
        self._facts.extend(found)

    def _place(self, order: Json) -> bool:
        """Find our name of an order that the stream tells first; False when it cannot be now."""
        name = order["client_order_id"]
        is_ours = requests.parted(name) is not None or not _MADE_BY_ALPACA.fullmatch(name)
        if is_ours and requests.parted(name) is None:
            self._learn(order)
            return True
        try:
            for _ in self._list("open"):
                pass
            if order["id"] not in self._names:
                self._learn(self.rest.get(f"/orders/{order['id']}", {"nested": "true"}))
        except (BrokerUnavailable, BrokerRejected):
            self._has_gap = True
            return False
        return True

    def _is_old(self, order: Json) -> bool:
        newest = self._latest[order["id"]]
        return str(order.get("updated_at")) < str(newest.get("updated_at"))

    def _successor(self, order: Json) -> str | None:
        """Our name of the order that this one was replaced by."""
        new_id = order.get("replaced_by")
        if new_id is None:
            return None
        if new_id not in self._names:
            try:
                self._learn(self.rest.get(f"/orders/{new_id}"))
            except (BrokerUnavailable, BrokerRejected):
                return None
        return self._names[new_id]

    # --- reading by REST --------------------------------------------------------------------------

    def _is_due(self) -> bool:
        works = any(order["status"] not in translation.ENDED for order in self._latest.values())
        works = works or self._heard_then is not None
        return works and time.monotonic() - self._read_at > self._settings.poll_seconds

    def _poll(self, heard: int) -> None:
        """Read, and open a stream anew that told nothing of what the reading before found: it
        stands and is mute. That a leg is held no update ever tells. `heard`: updates taken so far.
        """
        if self._heard_then == self.stream.heard:
            self.stream.restart()
        self._heard_then = None
        before = len(self._facts)
        if self._read_quietly() and any(
            not isinstance(fact, OrderHeld) for fact in islice(self._facts, before, None)
        ):
            self._heard_then = heard

    def _read_quietly(self) -> bool:
        """Read everything; False when nobody answers, or a question is refused that never was: it
        is tried again, and no order leaves meanwhile.
        """
        try:
            self._read()
        except (BrokerUnavailable, BrokerRejected):
            return False
        return True

    def _read(self) -> None:
        """Compare every order and execution with what was said."""
        first = self._read_at == 0.0
        self._read_at = time.monotonic()
        orders = list(self._list("all"))
        orders += self._unlisted({order["id"] for order in orders})
        fresh = [order for order in orders if not (first and self._is_foreign_and_over(order))]
        for order in fresh:
            self._facts.extend(self._book.begun(order, self._names[order["id"]]))
        self._read_executions({order["id"]: order for order in fresh})
        for order in fresh:
            self._facts.extend(
                self._book.of_order(order, self._names[order["id"]], self._successor(order))
            )
        self._has_gap = False

    def _unlisted(self, listed: set[str]) -> list[Json]:
        """Orders that are known here and were placed before `lookback_days`, as they are now."""
        return [
            order
            if order["status"] in translation.ENDED
            else self._learn(self.rest.get(f"/orders/{order_id}", {"nested": "true"}))[0]
            for order_id, order in list(self._latest.items())
            if order_id not in listed
        ]

    def _is_foreign_and_over(self, order: Json) -> bool:
        """An order of somebody else that ended before we came."""
        return order["status"] in translation.ENDED and not self._is_ours(self._names[order["id"]])

    def _read_executions(self, orders: dict[str, Json]) -> None:
        """Executions that were not said, from the account's activities, oldest first."""
        missing = {order_id for order_id in self._book.incomplete() if order_id in orders}
        found: list[Json] = []
        token: str | None = None
        while missing:
            params: Json = {"page_size": _ACTIVITY_PAGE, "direction": "desc"}
            page = self.rest.get(
                "/account/activities/FILL", params | ({"page_token": token} if token else {})
            )
            found += [row for row in page if row["order_id"] in missing]
            counted = _counted(found)
            missing = {
                each
                for each in missing
                if counted.get(each, Decimal(0)) < Decimal(str(orders[each]["filled_qty"]))
            }
            if len(page) < _ACTIVITY_PAGE:
                break
            token = page[-1]["id"]
        for row in reversed(found):
            order = orders[row["order_id"]]
            self._facts.extend(
                self._book.execution(
                    order, self._names[order["id"]], Decimal(str(row["qty"])),
                    Decimal(str(row["price"])), Decimal(str(row["cum_qty"])),
                    moment_of(row["transaction_time"]),
                )
            )  # fmt: skip


def _counted(rows: Sequence[Json]) -> dict[str, Decimal]:
    """Shares of each order among activities."""
    counted: dict[str, Decimal] = {}
    for row in rows:
        counted[row["order_id"]] = counted.get(row["order_id"], Decimal(0)) + Decimal(
            str(row["qty"])
        )
    return counted


def _signed(row: Json) -> float:
    """Shares of a position, below zero when it is short, whichever way they are written."""
    quantity = abs(float(Decimal(str(row["qty"]))))
    return -quantity if row["side"] == "short" else quantity


def _symbol_of(row: Json) -> str:
    """A position's symbol; those of coins are named without the slash of their pair."""
    name = str(row["symbol"])
    return pair_of(name) if row.get("asset_class") == "crypto" else name


def _is_no_uuid(name: str) -> bool:
    """Whether somebody gave the name; Alpaca's own are UUIDs."""
    return _MADE_BY_ALPACA.fullmatch(name) is None


def _refuse_live(settings: AlpacaSettings, account: Json) -> None:
    """Raises ConfigError for an account with real money that the settings do not name twice."""
    number = str(account.get("account_number", ""))
    if number.startswith(_PAPER_ACCOUNT):
        return
    if not settings.live or settings.live_account != number:
        raise ConfigError(
            f"account {number} at {settings.trading_url} is no paper account, and its orders cost"
            " real money: use paper keys and the paper address, or set both alpaca.live = true and"
            f' alpaca.live_account = "{number}"'
        )


def _stream_refuses(settings: AlpacaSettings) -> ConfigError:
    return ConfigError(
        f"the order stream at {settings.order_stream} refuses the keys: correct {KEY} and {SECRET},"
        " and let alpaca.trading_stream_url be of the same account as alpaca.trading_url"
    )
