#!/bin/sh
# order-matching 0.12.0 (a simulated exchange for agents), MarketOrder: an order to buy 20 where 8 are offered.
# Guess: the rest is cancelled, or waits and takes the next offer at that offer's price.
# Seen: eight are bought, and the rest of twelve stands in the book as the best bid, at a price of infinity. The next limit order to sell is matched with it, and the trade's
# price is infinite, since a trade is at the price of the order that waited. The rest of a market order to sell trades at 0.
# Why it matters: one large order in a thin book, and every average price, account and reward that comes of the simulation is infinite, or shares are given away.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'order-matching[polars]==0.12.0' 'polars==2.1.0' 'pandera==0.35.0' 'numpy==2.4.6'
LOGURU_LEVEL=ERROR "$work/venv/bin/python" -W ignore - <<'PY'
from datetime import datetime, timedelta

from order_matching.enums import Side
from order_matching.matching_engine import MatchingEngine
from order_matching.order import LimitOrder, MarketOrder
from order_matching.orders import Orders

start = datetime(2024, 1, 2, 9, 30)


def run(taker, maker):
    """An offer of 8, a market order of 20, and a limit order of 10 behind it."""
    engine, seen = MatchingEngine(seed=1), []
    for n, (side, size, limit) in enumerate(((maker, 8, 100.0), (taker, 20, None), (maker, 10, 100.5))):
        fields = {"side": side, "size": size, "timestamp": start + timedelta(seconds=n), "order_id": str(n), "trader_id": str(n)}
        engine.place(Orders([MarketOrder(**fields) if limit is None else LimitOrder(price=limit, **fields)]))
        seen += [(trade.incoming_order_id, trade.size, trade.price) for trade in engine.match(fields["timestamp"]).trades]
    return seen


bought, sold = run(Side.BUY, Side.SELL), run(Side.SELL, Side.BUY)
print("market order to buy 20: (order that came, size, price)", bought)
print("market order to sell 20:", sold)
assert bought == [("1", 8, 100.0), ("2", 10, float("inf"))]
assert sold == [("1", 8, 100.0), ("2", 10, 0)]
PY
