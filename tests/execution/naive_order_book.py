"""A limit order book written for reading: lists and dictionaries, the best price by max and min.

It answers as the compiled one does: (status, remaining quantity, fills), a fill being (maker id,
price, quantity, what the maker has open after it).
"""

from harmony_pipeline.execution import order_book as codes

SPAN = 2**26


class NaiveBook:
    def __init__(self):
        self.queues = {codes.BUY: {}, codes.SELL: {}}  # price -> order ids, first come first
        self.orders = {}  # id -> [side, price, open quantity]

    def best(self, side):
        prices = self.queues[side]
        return (max(prices) if side == codes.BUY else min(prices)) if prices else None

    def apply(self, kind, side, order_id, price, quantity):
        if kind == codes.CANCEL:
            return self.cancel(order_id)
        if kind == codes.MODIFY:
            return self.modify(order_id, price, quantity)
        if not codes.ADD <= kind <= codes.FILL_OR_KILL:
            return codes.INVALID_KIND, 0, []
        if side not in (codes.BUY, codes.SELL):
            return codes.INVALID_SIDE, 0, []
        if not 1 <= quantity <= 2**62:
            return codes.INVALID_QUANTITY, 0, []
        if order_id in self.orders:
            return codes.DUPLICATE_ORDER, 0, []
        if kind == codes.ADD:
            return self.add(side, order_id, price, quantity)
        if kind == codes.FILL_OR_KILL and self.offered(side, price) < quantity:
            return codes.EXPIRED, quantity, []
        left, fills = self.match(side, None if kind == codes.MARKET else price, quantity)
        assert kind in (codes.MARKET, codes.IMMEDIATE_OR_CANCEL) or left == 0
        return (codes.EXPIRED if left else codes.FILLED), left, fills

    def add(self, side, order_id, price, quantity):
        if self.too_far(price):
            return codes.PRICE_OUT_OF_RANGE, 0, []
        left, fills = self.match(side, price, quantity)
        if left:
            self.rest(side, order_id, price, left)
        return (codes.RESTING if left else codes.FILLED), left, fills

    def cancel(self, order_id):
        if order_id not in self.orders:
            return codes.UNKNOWN_ORDER, 0, []
        return codes.CANCELED, self.remove(order_id)[2], []

    def modify(self, order_id, price, quantity):
        if order_id not in self.orders:
            return codes.UNKNOWN_ORDER, 0, []
        if not 1 <= quantity <= 2**62:
            return codes.INVALID_QUANTITY, 0, []
        side, old_price, old_quantity = self.orders[order_id]
        if price == old_price and quantity <= old_quantity:
            self.orders[order_id][2] = quantity
            return codes.RESTING, quantity, []
        if self.too_far(price):
            return codes.PRICE_OUT_OF_RANGE, 0, []
        self.remove(order_id)
        return self.add(side, order_id, price, quantity)

    def rest(self, side, order_id, price, quantity):
        self.orders[order_id] = [side, price, quantity]
        self.queues[side].setdefault(price, []).append(order_id)

    def remove(self, order_id):
        order = self.orders.pop(order_id)
        queue = self.queues[order[0]][order[1]]
        queue.remove(order_id)
        if not queue:
            del self.queues[order[0]][order[1]]
        return order

    def match(self, side, limit, quantity):
        fills = []
        while quantity:
            price = self.best(-side)
            if price is None or (limit is not None and side * price > side * limit):
                break
            maker = self.queues[-side][price][0]
            order = self.orders[maker]
            traded = min(quantity, order[2])
            quantity -= traded
            order[2] -= traded
            fills.append((maker, price, traded, order[2]))
            if not order[2]:
                self.remove(maker)
        return quantity, fills

    def offered(self, side, limit):
        return sum(
            self.orders[order_id][2]
            for price, queue in self.queues[-side].items()
            if side * price <= side * limit
            for order_id in queue
        )

    def too_far(self, price):
        prices = [price, *self.queues[codes.BUY], *self.queues[codes.SELL]]
        return max(prices) - min(prices) >= SPAN or not -(2**62) < price < 2**62
