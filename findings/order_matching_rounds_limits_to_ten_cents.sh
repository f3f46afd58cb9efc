#!/bin/sh
# order-matching 0.12.0 (a simulated exchange for agents), LimitOrder(price=...): what becomes of a price with cents.
# Guess: prices are kept as they are given; a buyer pays his limit at the most.
# Seen: price_number_of_digits is 1 unless it is set on each order, and a price is rounded to it without a word: 100.15 and 100.16 are both 100.2. So a buy at
# 100.15 trades with a sell at 100.16, and at 100.2, above both; a sell at 0.63 trades with a bid of 0.58, at 0.6. Bids of 0.62 and 0.58 are one
# level, in the order in which they came.
# Why it matters: shares that trade in cents have ten cents of a tick, spreads vanish and agents are filled beyond their limits.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'order-matching[polars]==0.12.0' 'polars==2.1.0' 'pandera==0.35.0' 'numpy==2.4.6'
LOGURU_LEVEL=ERROR "$work/venv/bin/python" -W ignore - <<'PY'
from datetime import datetime

from order_matching.enums import Side
from order_matching.matching_engine import MatchingEngine
from order_matching.order import LimitOrder
from order_matching.orders import Orders


def trades(*orders, **digits):
    engine, now = MatchingEngine(seed=1), datetime(2024, 1, 2, 9, 30, 59)
    engine.place(
        Orders(
            [
                LimitOrder(side=side, price=price, size=5, timestamp=now.replace(second=n), order_id=str(n), trader_id=str(n), **digits)
                for n, (side, price) in enumerate(orders)
            ]
        )
    )
    return [(trade.book_order_id, trade.price) for trade in engine.match(now).trades]


crossed = (Side.SELL, 100.16), (Side.BUY, 100.15)
levels = (Side.BUY, 0.58), (Side.BUY, 0.62), (Side.SELL, 0.63)
print("sell at 100.16, buy at 100.15:", trades(*crossed), "with two digits:", trades(*crossed, price_number_of_digits=2))
print("bids 0.58 and 0.62, sell at 0.63:", trades(*levels), "with two digits:", trades(*levels, price_number_of_digits=2))
assert trades(*crossed) == [("0", 100.2)] and trades(*crossed, price_number_of_digits=2) == []
assert trades(*levels) == [("0", 0.6)] and trades(*levels, price_number_of_digits=2) == []
PY
