"""Bars of trades as one would write them down without a kernel: lists, one trade after the other.
Judges `market/ticks/kernels.py`.
"""

import math

HIGH_LOW, LAST, VOLUME = 1, 2, 4


def bars_of(trades, kind, threshold):
    """`trades`: (group, stamp, price, size, sets). Returns (bars, open bar or None), a bar being a
    dict.
    """
    done, members = [], []

    def close():
        if members:
            done.append(bar_of(list(members)))
            members.clear()

    for trade in trades:
        if members and members[-1][0] != trade[0]:
            close()
        members.append(trade)
        if kind != "time" and measure(members, kind) >= threshold:
            close()
    return done, (bar_of(members) if members else None)


def measure(members, kind):
    total = 0.0
    for _, _, price, size, sets in members:
        counted = size if sets & VOLUME else 0.0
        total += {"tick": 1.0, "volume": counted, "dollar": price * counted}[kind]
    return total


def bar_of(members):
    ranged = [trade for trade in members if trade[4] & HIGH_LOW]
    firm = [trade for trade in ranged if trade[4] & LAST] or ranged
    volume = notional = priced = 0.0
    for _, _, price, size, sets in members:
        volume += size if sets & VOLUME else 0.0
        if sets & HIGH_LOW:
            notional += price * (size if sets & VOLUME else 0.0)
            priced += size if sets & VOLUME else 0.0
    return {
        "start": members[0][1],
        "latest": members[-1][1],
        "open": firm[0][2] if firm else math.nan,
        "high": max((trade[2] for trade in ranged), default=math.nan),
        "low": min((trade[2] for trade in ranged), default=math.nan),
        "close": firm[-1][2] if firm else math.nan,
        "volume": volume,
        "trades": float(len(members)),
        "notional": notional,
    }
