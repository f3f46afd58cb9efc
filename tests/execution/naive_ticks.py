"""The matching of quotes and trades once more, in plain Python, from the rules of docs/matching.md
and of `queue_position.py`. What follows from a fill is the twin of bars (`naive_matching.py`).
"""

import math

from execution.naive_matching import FINAL, NEVER, NaiveEngine


class NaiveTicks(NaiveEngine):
    """Ticks are dicts: at, kind, the sides or price, size, hit, sets, auction; until, regular."""

    def __init__(self, costs, position, queue):
        super().__init__(costs, position)
        self.queue = queue
        self.quote, self.last, self.hours, self.clock = {}, None, (0, False), 0

    def tick(self, tick):
        self.time(tick["at"])
        self.clock = tick["at"]
        if tick["kind"] == "quote":
            self.on_quote(tick)
        else:
            self.on_trade(tick)
        self.arrivals(tick["at"])

    def time(self, until):
        while True:
            live = [order for order in self.orders if order.status not in FINAL]
            moments = [self.when(order) for order in live]
            moments += [self.pending[0].submitted] if self.pending else []
            moment = min(moments, default=NEVER)
            if moment > until:
                return
            self.advance(moment)
            self.arrivals(moment)

    def since(self, order):
        return max(order.active_from, getattr(order, "released_at", -1))

    def release(self, order, parent, at, stage, price):
        order.released_at = at
        super().release(order, parent, at, stage, price)

    def open_for(self, order, now):
        until, regular = self.hours
        return now < until and (regular or order.extended)

    def arrivals(self, until):
        again = True
        while again:
            again = False
            for order in list(self.orders):
                now = max(self.since(order), self.clock)
                if not order.working or order.rested or now > until:
                    continue
                if order.force in ("opg", "cls"):
                    order.rested = True
                    continue
                if not self.open_for(order, now) or self.offered(order) is None:
                    continue
                order.rested = again = True
                self.arrive(order, now)

    def arrive(self, order, now):
        if order.waits_for_stop:
            price = self.offered(order) if self.last is None else self.last
            order.watch(price)
            if (price - order.level()) * order.side >= 0:
                self.reach(order, now, price)
        else:
            self.take(order, now)
            self.join(order)
        if order.working and order.force in ("ioc", "fok"):
            self.note(order, "canceled", now, status="canceled")
            self.settle(now, "after", 0.0)

    def join(self, order):
        if not order.working or not order.is_limit:
            return
        best, size = self.own_side(order)
        if best is not None and (best - order.limit) * order.side > 0:
            order.ahead, order.quoted = math.inf, None
        elif best == order.limit:
            order.ahead = order.quoted = size
        else:
            order.ahead = order.quoted = 0.0

    def offered(self, order):
        bid, ask = self.quote.get("bid"), self.quote.get("ask")
        if None not in (bid, ask) and bid > ask:
            return None
        return ask if order.side > 0 else bid

    def own_side(self, order):
        side = "bid" if order.side > 0 else "ask"
        return self.quote.get(side), self.quote.get(f"{side}_size", 0.0)

    def take(self, order, now):
        side = "ask" if order.side > 0 else "bid"
        price = self.offered(order)
        if not self.open_for(order, now):
            return
        if price is None or (order.is_limit and (price - order.limit) * order.side > 0):
            return
        quantity = self.some(order, self.quote[f"{side}_size"], now)
        if quantity > 0:
            self.quote[f"{side}_size"] -= quantity
            self.book(order, quantity, price, now)
        self.settle(now, "after", price)

    def some(self, order, offered, now):
        """What may be filled of `offered`; ends an order that has nothing to reduce."""
        room = max(-order.side * self.position, 0.0) if order.reduce_only else math.inf
        if room <= 0:
            self.note(order, "canceled", now, status="canceled")
            return 0.0
        quantity = min(order.remaining, room, max(math.floor(offered + 1e-9), 0))
        return 0.0 if order.force == "fok" and quantity < order.remaining else quantity

    def reach(self, order, now, price):
        order.triggered = True
        self.note(order, "triggered", now, order.remaining, price)
        self.take(order, now)
        if order.kind == "stop_limit":
            self.join(order)

    def on_quote(self, tick):
        self.quote = {
            "bid": tick["bid"],
            "ask": tick["ask"],
            "bid_size": tick["bid_size"] or 0.0,
            "ask_size": tick["ask_size"] or 0.0,
        }
        self.hours = tick["until"], tick["regular"]
        for order in list(self.orders):
            ready = order.working and order.rested and order.force not in ("opg", "cls")
            if not ready or not self.open_for(order, tick["at"]) or order.waits_for_stop:
                continue
            if order.is_limit:
                self.move(order)
            else:
                self.take(order, tick["at"])

    def move(self, order):
        """The place in the queue after a quote of its side."""
        best, size = self.own_side(order)
        if best is not None and (best - order.limit) * order.side > 0:
            order.quoted = None
            return
        quoted = size if best == order.limit else 0.0
        if order.ahead == math.inf and quoted > 0:
            order.ahead = order.quoted = quoted
            return
        if self.queue == "pro_rata" and order.quoted is not None and quoted < order.quoted:
            order.ahead *= quoted / order.quoted if order.ahead < math.inf else 1.0
        if self.queue != "none":
            order.ahead = min(order.ahead, quoted)
        order.quoted = quoted

    def on_trade(self, tick):
        now, price, size = tick["at"], tick["price"], tick["size"]
        self.shared = {1: 0.0, -1: 0.0}
        if tick["auction"]:
            self.on_print(tick)
        if not tick["sets"]:
            return
        self.last = price
        self.shared = {1: 0.0, -1: 0.0}
        for order in list(self.orders):
            ready = order.working and order.rested and order.force not in ("opg", "cls")
            in_time = self.since(order) < now and (tick["regular"] or order.extended)
            if ready and in_time and order.is_limit:
                self.fill_in_queue(order, now, price, size, tick["hit"])
        for order in list(self.orders):
            ready = order.working and order.rested and order.waits_for_stop
            if ready and self.since(order) < now and tick["regular"]:
                if (price - order.level()) * order.side >= 0:
                    self.reach(order, now, price)
                else:
                    order.watch(price)

    def fill_in_queue(self, order, now, price, size, hit):
        gain = (order.limit - price) * order.side
        if gain > 0:
            order.ahead, mine = 0.0, size
        elif gain == 0 and hit == order.side:
            taken = min(order.ahead, size)
            mine = size - taken
            order.ahead -= taken
            if order.quoted is not None:
                order.quoted = max(order.quoted - taken, 0.0)
        else:
            return
        mine = min(mine, order.remaining, size - self.shared[order.side])
        if min(order.remaining, size) <= 0 or (gain == 0 and size - taken <= 0):
            return
        quantity = self.some(order, mine, now)
        if quantity > 0:
            self.shared[order.side] += quantity
            self.book(order, quantity, order.limit, now)
        self.settle(now, "after", order.limit)

    def on_print(self, tick):
        force = {"open": "opg", "close": "cls"}[tick["auction"]]
        for order in list(self.orders):
            good = order.kind == "market" or (order.limit - tick["price"]) * order.side >= 0
            in_time = order.active_from < tick["at"] and tick["at"] >= order.auction
            if not (order.working and order.force == force and good and in_time):
                continue
            room = self.costs.participation * tick["size"] - self.shared[order.side]
            if order.reduce_only and -order.side * self.position <= 0:
                continue
            quantity = self.some(order, room, tick["at"])
            if quantity > 0:
                self.shared[order.side] += quantity
                self.book(order, quantity, tick["price"], tick["at"])
            self.settle(tick["at"], "after", tick["price"])
