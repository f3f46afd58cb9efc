"""The matching engine once more, in plain Python, written from the rules of docs/matching.md: one
object an order, one bar at a time, no arrays and no shortcuts.
"""

import math
from dataclasses import dataclass, field

NEVER = 2**62
FINAL = {"filled", "canceled", "expired", "rejected", "replaced"}


@dataclass
class Costs:
    """Half spread in bps, impact coefficient, participation; the tick is a cent, a lot one share."""

    half_spread_bps: float = 0.0
    impact: float = 0.0
    participation: float = 1.0


@dataclass(eq=False)
class Order:
    """One order; `side` +1 or -1."""

    id: str
    side: int
    quantity: float
    kind: str
    force: str
    submitted: int
    active_from: int
    expires: int
    auction: int
    limit: float = 0.0
    stop: float = 0.0
    trail_amount: float = 0.0
    trail_percent: float = 0.0
    reduce_only: bool = False
    extended: bool = False
    parent: "Order | None" = None
    whole_parent: bool = False
    ring: list = field(default_factory=list)
    replaces: "Order | None" = None
    volatility: float = 0.0
    # state
    status: str = ""
    held: bool = False
    remaining: float = 0.0
    filled: float = 0.0
    filled_before: float = 0.0
    triggered: bool = False
    rested: bool = False
    mark: float = 0.0
    cancel_asked: int = NEVER
    cancel_at: int = NEVER
    stage: str = "before"  # where in the current bar it began to work
    begun: float = 0.0
    spent: bool = False
    told: bool = False
    obstacle: str = ""
    replaced_by: "Order | None" = None
    children: list = field(default_factory=list)

    def __post_init__(self):
        self.remaining = self.quantity

    @property
    def working(self):
        return (
            self.status in ("accepted", "partially_filled", "cancel_requested", "replace_requested")
            and not self.held
        )

    @property
    def waits_for_stop(self):
        return self.kind in ("stop", "stop_limit", "trailing_stop") and not self.triggered

    @property
    def is_limit(self):
        return self.kind == "limit" or (self.kind == "stop_limit" and self.triggered)

    def level(self):
        if self.kind != "trailing_stop":
            return self.stop
        distance = self.trail_amount + self.mark * self.trail_percent / 100.0
        return math.floor((self.mark + self.side * distance) * 100 + 0.5) / 100

    def watch(self, price):
        if self.kind == "trailing_stop" and not self.triggered:
            better = max if self.side < 0 else min
            self.mark = price if self.mark == 0.0 else better(self.mark, price)


@dataclass
class Bar:
    at: int
    end: int
    open: float
    high: float
    low: float
    close: float
    volume: float
    regular: bool = True
    halted: bool = False
    lower_band: float = -math.inf
    upper_band: float = math.inf


class NaiveEngine:
    """`events`: (order id, event, time, quantity, price) in the order in which they happened."""

    def __init__(
        self, costs, position=0.0, path="pessimistic", resting="touch", refuse_halted=False
    ):
        self.costs, self.position, self.path, self.resting = costs, position, path, resting
        self.refuse_halted = refuse_halted
        self.orders, self.pending, self.events, self.halted = [], [], [], False

    def add(self, *orders):
        for order in orders:
            self.pending.append(order)
            if order.parent is not None:
                order.parent.children.append(order)
        self.pending.sort(key=lambda order: order.submitted)  # stable

    def note(self, order, event, at, quantity=None, price=None, status=None):
        self.events.append((order.id, event, at, quantity, price))
        order.status = status or order.status

    # --- time ---

    def when(self, order):
        if order.status == "submitted":
            return order.active_from
        asked = NEVER if order.status == "cancel_requested" else order.cancel_asked
        return min(order.expires, asked, order.cancel_at)

    def advance(self, until):
        now = 0
        while True:
            live = [order for order in self.orders if order.status not in FINAL]
            moments = [(self.when(order), number) for number, order in enumerate(live)]
            first = min(moments, default=(NEVER, 0))
            new = self.pending and self.pending[0].submitted < first[0]
            moment = self.pending[0].submitted if new else first[0]
            if moment > until:
                return
            now = max(now, moment)
            order = self.pending.pop(0) if new else live[first[1]]
            if new:
                self.orders.append(order)
                self.note(order, "intent", now, order.quantity)
                self.note(order, "submitted", now, order.quantity, status="submitted")
                if order.cancel_asked == -1:
                    self.note(order, "canceled", now, status="canceled")
                old = order.replaces
                if old is not None and old.status in ("held", "accepted", "partially_filled"):
                    self.note(old, "replace_requested", now, status="replace_requested")
            elif order.status == "submitted":
                self.accept(order, now)
            elif order.expires <= now:
                at = now - 1 if order.force == "opg" else now
                self.note(order, "expired", at, status="expired")
            elif order.cancel_asked <= now and order.status != "cancel_requested":
                self.note(order, "cancel_requested", now, status="cancel_requested")
            else:
                self.note(order, "canceled", now, status="canceled")
            self.settle(now, "before", 0.0)

    def accept(self, order, now):
        old = order.replaces
        if old is not None:
            left = order.quantity - old.filled
            if old.status != "replace_requested" or left <= 0:
                if old.status not in FINAL and old.status != "submitted":
                    status = old.status
                    if status == "replace_requested":
                        status = "partially_filled" if old.filled else "accepted"
                    self.note(old, "replace_rejected", now, status=status)
                self.note(order, "rejected", now, status="rejected")
                return
            if left != order.quantity:
                order.quantity = order.remaining = left
                self.note(order, "adjusted", now, left)
            order.filled_before = old.filled + old.filled_before
            order.mark, order.reduce_only, order.parent = old.mark, old.reduce_only, old.parent
            order.whole_parent, order.children = old.whole_parent, old.children
            old.replaced_by = order
            for child in order.children:
                child.parent = order
            if old.ring:
                old.ring[old.ring.index(old)] = order
                order.ring = old.ring
                old.ring = []
            self.note(old, "replaced", now, status="replaced")
        if self.halted and self.refuse_halted:
            self.note(order, "rejected", now, status="rejected")
            return
        if order.expires <= now:
            self.note(order, "rejected", now, status="rejected")
            return
        parent = order.parent
        while parent is not None and parent.status == "replaced":
            parent = parent.replaced_by
        if parent is None:
            self.note(order, "accepted", now, order.quantity, status="accepted")
        elif parent.status not in FINAL:
            order.held = True
            self.note(order, "held", now, order.quantity, status="held")
        else:
            self.release(order, parent, now, "before", 0.0)

    # --- groups ---

    def settle(self, at, stage, price):
        again = True
        while again:
            again = False
            for order in list(self.orders):
                if order.status in FINAL and not order.told:
                    order.told = again = True
                    if order.status in ("filled", "canceled", "rejected"):
                        self.end_ring(order, at)
                    if order.status != "replaced":
                        for child in order.children:
                            if child.held and child.status not in FINAL:
                                self.release(child, order, at, stage, price)
            if self.turned:
                self.turned = False
                for order in self.orders:
                    useless = -order.side * self.position <= 0
                    if order.reduce_only and useless and order.working:
                        self.note(order, "canceled", at, status="canceled")
                        again = True

    turned = False

    def end_ring(self, order, at):
        start = order.ring.index(order) if order.ring else 0
        for other in order.ring[start + 1 :] + order.ring[:start]:
            if other.status == "":
                other.cancel_asked = -1
            elif other.status not in FINAL:
                self.note(other, "canceled", at, status="canceled")

    def release(self, order, parent, at, stage, price):
        filled = parent.filled + parent.filled_before
        if filled <= 0 or (order.whole_parent and parent.status != "filled"):
            self.note(order, "canceled", at, status="canceled")
            return
        order.held = False
        asked = order.status in ("cancel_requested", "replace_requested")
        self.note(order, "accepted", at, order.quantity, status=None if asked else "accepted")
        if filled < order.quantity:
            order.quantity = order.remaining = filled
            self.note(order, "adjusted", at, filled)
        order.stage, order.begun = stage, price
        if price > 0:
            order.watch(price)

    # --- bars ---

    def bar(self, bar):
        self.advance(bar.at)
        self.halted = bar.halted
        self.given = {1: 0.0, -1: 0.0}
        for order in self.orders:
            order.stage, order.spent = "before", False
        if bar.halted:
            self.give_up(bar)
        else:
            self.open(bar)
            if self.path == "pessimistic" and self.position != 0:
                low_first = self.position > 0
            else:
                low_first = bar.close >= bar.open
            ends = [bar.low, bar.high] if low_first else [bar.high, bar.low]
            points = [bar.open, *ends, bar.close]
            downs = [low_first, not low_first, low_first]
            for start, target, down in zip(points, points[1:], downs, strict=False):
                self.leg(bar, start, target, down)
            self.close(bar)
            for order in self.orders:
                if order.working and self.in_session(order, bar):
                    order.rested = True
        self.settle(bar.at, "after", bar.close)
        self.advance(bar.end)

    def in_session(self, order, bar):
        return order.active_from <= bar.at and (bar.regular or order.extended)

    def meets(self, order, bar):
        return (
            order.working
            and not order.spent
            and order.force not in ("opg", "cls")
            and self.in_session(order, bar)
        )

    def in_auction(self, order, bar):
        if not order.working or not bar.regular or order.active_from > bar.at:
            return False
        if order.force == "opg":
            return bar.at <= order.auction < bar.end
        return order.force == "cls" and bar.at < order.auction <= bar.end

    def open(self, bar):
        price = bar.open
        for order in list(self.orders):
            opg = order.force == "opg" and self.in_auction(order, bar)
            market = not order.waits_for_stop and not order.is_limit
            if (opg or self.meets(order, bar)) and order.stage == "before" and market:
                self.execute(order, bar, price, opg, "open")
        for order in list(self.orders):
            if self.meets(order, bar) and order.stage == "before" and order.waits_for_stop:
                if order.mark == 0.0:
                    order.watch(price)
                if (price >= order.level()) if order.side > 0 else (price <= order.level()):
                    self.trigger(order, bar, price, "open")
                else:
                    order.watch(price)
        for order in list(self.orders):
            opg = order.force == "opg" and self.in_auction(order, bar)
            limit = order.is_limit and self.reached(
                order, price, order.rested and self.resting == "through"
            )
            if (opg or self.meets(order, bar)) and order.stage == "before" and limit:
                self.execute(order, bar, price, order.rested or opg, "open")
        self.give_up(bar)

    def give_up(self, bar):
        for order in list(self.orders):
            if not order.working:
                continue
            if order.force in ("ioc", "fok") and self.in_session(order, bar):
                self.note(order, "canceled", bar.at, status="canceled")
            elif order.force == "opg" and self.in_auction(order, bar):
                self.note(order, "expired", bar.at, status="expired")
        self.settle(bar.at, "open", bar.open)

    def reached(self, order, price, passed):
        gain = (order.limit - price) * order.side
        return gain > 0 if passed else gain >= 0

    def leg(self, bar, start, target, down):
        while True:
            found = []
            for number, order in enumerate(self.orders):
                if not self.meets(order, bar) or order.stage in ("inside", "after"):
                    continue
                stops_here = (order.side < 0) == down
                if order.waits_for_stop and stops_here:
                    level = order.level()
                    if (target <= level) if down else (target >= level):
                        bound = start if order.kind == "trailing_stop" else bar.open
                        price = min(level, bound) if down else max(level, bound)
                        found.append((price, 0, number, order))
                elif (
                    order.is_limit
                    and not stops_here
                    and self.reached(order, target, self.resting == "through")
                ):
                    price = min(order.limit, bar.open) if down else max(order.limit, bar.open)
                    found.append((price, 1, number, order))
            if not found:
                break
            price, is_limit, _, order = min(
                found, key=lambda entry: (-entry[0] if down else entry[0], entry[1], entry[2])
            )
            if is_limit:
                self.execute(order, bar, price, True, "inside")
            else:
                self.trigger(order, bar, price, "inside")
            self.new_stops(bar)
        for order in self.orders:
            if self.meets(order, bar) and order.stage not in ("inside", "after"):
                order.watch(target)

    def new_stops(self, bar):
        again = True
        while again:
            again = False
            for order in list(self.orders):
                if self.meets(order, bar) and order.waits_for_stop and order.stage == "inside":
                    level = order.level()
                    if order.side < 0 and bar.low <= level:
                        self.trigger(order, bar, min(level, order.begun), "inside")
                        again = True
                    elif order.side > 0 and bar.high >= level:
                        self.trigger(order, bar, max(level, order.begun), "inside")
                        again = True

    def close(self, bar):
        for order in list(self.orders):
            if self.meets(order, bar) and order.stage == "inside":
                order.watch(bar.close)
                if order.is_limit and self.reached(order, bar.close, self.resting == "through"):
                    self.execute(order, bar, order.limit, True, "after")
        for order in list(self.orders):
            if order.force == "cls" and self.in_auction(order, bar):
                if order.kind == "market" or self.reached(order, bar.close, False):
                    self.execute(order, bar, bar.close, True, "after")
                if order.working:
                    self.note(order, "expired", order.auction, status="expired")
                    self.settle(bar.at, "after", bar.close)

    def trigger(self, order, bar, price, stage):
        order.triggered, order.rested = True, False
        self.note(order, "triggered", bar.at, order.remaining, price)
        if order.kind == "stop_limit" and not self.reached(order, price, False):
            order.stage, order.begun = stage, price
        else:
            self.execute(order, bar, price, False, stage)

    def execute(self, order, bar, reference, exact, stage):
        order.spent = True
        side = order.side
        band = bar.upper_band if side > 0 else bar.lower_band
        if (reference - band) * side >= 0:
            return
        room = math.inf
        if order.reduce_only:
            room = max(-side * self.position, 0.0)
        allowed = math.floor(
            max(self.costs.participation * bar.volume - self.given[side], 0.0) + 1e-9
        )
        quantity = min(order.remaining, room, allowed)
        if order.force == "fok" and quantity < order.remaining:
            quantity = 0.0
        if quantity > 0:
            price = self.price(order, reference, quantity, bar, exact)
            self.given[side] += quantity
            self.book(order, quantity, price, bar.at)
        elif room <= 0:
            self.note(order, "canceled", bar.at, status="canceled")
        self.settle(bar.at, stage, reference)

    def price(self, order, reference, quantity, bar, exact):
        side, price = order.side, reference
        if not exact:
            share = quantity / bar.volume
            move = self.costs.half_spread_bps / 1e4
            move += self.costs.impact * order.volatility * math.sqrt(share)
            price = reference * (1 + side * move)
        cents = math.ceil(price * 100 - 1e-6) if side > 0 else math.floor(price * 100 + 1e-6)
        price = cents / 100
        if not exact and order.is_limit:
            price = min(price, order.limit) if side > 0 else max(price, order.limit)
        return min(price, bar.upper_band) if side > 0 else max(price, bar.lower_band)

    def book(self, order, quantity, price, at):
        before = self.position
        order.remaining -= quantity
        order.filled += quantity
        self.position += order.side * quantity
        self.turned = self.turned or (before != 0 and before * self.position <= 0)
        if order.remaining <= 0:
            self.note(order, "filled", at, quantity, price, status="filled")
            return
        asked = order.status in ("cancel_requested", "replace_requested")
        self.note(
            order,
            "partially_filled",
            at,
            quantity,
            price,
            status=None if asked else "partially_filled",
        )
        start = order.ring.index(order) if order.ring else 0
        for other in order.ring[start + 1 :] + order.ring[:start]:
            if other.status not in FINAL and other.remaining > order.remaining:
                other.remaining = order.remaining
                other.quantity = other.filled + order.remaining
                if other.status:
                    self.note(other, "adjusted", at, other.quantity)
