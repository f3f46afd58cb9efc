"""The trading rule once more, in plain loops over dictionaries: slow, obvious, and without a line
of the library's.
"""

import math

from market.naive_grid import barriers

SESSIONS = {  # 2024: regular open and close, UTC "HH:MM"; the 3rd was a half-day, the 4th a holiday
    "2024-07-01": ("13:30", "20:00"),
    "2024-07-02": ("13:30", "20:00"),
    "2024-07-03": ("13:30", "17:00"),
    "2024-07-05": ("13:30", "20:00"),
    "2024-07-08": ("13:30", "20:00"),
    "2024-07-09": ("13:30", "20:00"),
}
MINUTE = 60_000_000


def label(
    own, at, side, volatility, horizon, multiples, minimum_bps, *,
    sessions=0, closes=False, entry_price="open",
):  # fmt: skip
    """Outcome of an event on bar `at` of one symbol's regular bars `own` (dicts with t, end, open,
    high, low, close, factor). `sessions`: so many end the trade and `horizon` only scales its
    barriers; needs `day` in the bars. `multiples`: those of profit and stop. `entry_price`: which
    price of the next bar is the entry; of a close the trade begins with the bar after it, and its
    `born` is that bar.
    """
    names = ("entry", "end", "entry_price", "upper", "lower", "touched", "return", "born")
    found = dict.fromkeys(names)
    if at + 1 >= len(own):
        return found
    entry = own[at + 1]
    profit_take, stop_loss = multiples
    take_distance = max(profit_take * volatility * math.sqrt(horizon), minimum_bps / 10000)
    stop_distance = max(stop_loss * volatility * math.sqrt(horizon), minimum_bps / 10000)
    price, late = entry[entry_price], entry_price == "close"
    if side == 1:
        upper, lower = barriers(price, price * (1 + take_distance), price * (1 - stop_distance))
    else:
        upper, lower = barriers(price, price * (1 + stop_distance), price * (1 - take_distance))
    found.update(entry=at + 1, entry_price=price, upper=upper, lower=lower)
    if at + 1 + late < len(own):
        found["born"] = at + 1 + late

    def settle(position, touched, exit_price):
        growth = exit_price * own[position]["factor"] / (price * entry["factor"]) - 1
        found.update(
            {"end": position, "touched": touched, "return": growth if side == 1 else -growth}
        )
        return found

    def leave_at_next_open(position, touched):
        if position + 1 >= len(own):
            return found
        return settle(position + 1, touched, own[position + 1]["open"])

    first = at + 2 if late else at + 1
    days, position = {entry["day"]} if sessions else set(), first - 1
    while True:
        position += 1
        number = position - first + 1
        if position >= len(own):
            return found
        bar = own[position]
        up, down = (
            upper * (entry["factor"] / bar["factor"]),
            lower * (entry["factor"] / bar["factor"]),
        )
        if sessions:
            days.add(bar["day"])
        last = len(days) > sessions if sessions else number == horizon
        if closes:
            if bar["close"] >= up:
                return leave_at_next_open(position, "upper")
            if bar["close"] <= down:
                return leave_at_next_open(position, "lower")
            if last:
                return leave_at_next_open(position, "vertical")
            continue
        if position > at + 1 and bar["open"] >= up:
            return settle(position, "upper", bar["open"])
        if position > at + 1 and bar["open"] <= down:
            return settle(position, "lower", bar["open"])
        hits_up, hits_down = bar["high"] >= up, bar["low"] <= down
        if hits_up and hits_down:
            return settle(position, "lower", down) if side == 1 else settle(position, "upper", up)
        if hits_up:
            return settle(position, "upper", up)
        if hits_down:
            return settle(position, "lower", down)
        if last:
            return leave_at_next_open(position, "vertical")


def uniqueness(labels, bars):
    """Mean over each life of 1 / (labels alive), from a full labels x bars matrix. `labels` are
    (entry, end) positions, None = none.
    """
    alive = [
        [
            entry is not None and entry <= bar <= (bars - 1 if end is None else end)
            for bar in range(bars)
        ]
        for entry, end in labels
    ]
    counts = [sum(row[bar] for row in alive) for bar in range(bars)]
    weights = []
    for (_, end), row in zip(labels, alive, strict=True):
        shares = [1 / counts[bar] for bar in range(bars) if row[bar]]
        weights.append(sum(shares) / len(shares) if end is not None and shares else None)
    return weights
