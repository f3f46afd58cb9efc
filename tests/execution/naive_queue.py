"""A resting order on a tape of quotes and trades, event by event, in plain Python."""

import math


def side_hit(quotes, when, price):
    """1 where a trade hit the bid, -1 the offer, 0 where the quote before it does not tell."""
    before = [quote for quote in quotes if quote[0] < when]
    if not before:
        return 0
    _, bid, _, ask, _ = before[-1]
    if bid is None or ask is None:
        return 0
    middle = 0.5 * (bid + ask)
    return 1 if price < middle else -1 if price > middle else 0


def rest(order, quotes, trades, rule):
    """(status, ahead at arrival, ahead at the end, [(trade number, quantity, through)]).

    `order` is (arrival, until, side, price, quantity), a quote (time, bid, bid size, ask, ask
    size), a trade (time, price, size).
    """
    arrival, until, side, price, quantity = order
    own, other = (1, 3) if side > 0 else (3, 1)

    def worse(left, right):  # is `left` further from the other side than `right`?
        return left < right if side > 0 else left > right

    seen = [quote for quote in quotes if quote[0] < arrival]
    ahead, quoted = math.inf, None
    if seen:
        last = seen[-1]
        if last[other] is not None and not worse(price, last[other]):
            return "marketable", None, None, []
        if last[own] is None or worse(last[own], price):
            ahead, quoted = 0.0, 0.0
        elif last[own] == price:
            ahead = quoted = last[own + 1]
    at_arrival = ahead
    events = [
        (when, 0, number) for number, (when, *_) in enumerate(trades) if arrival < when < until
    ]
    events += [
        (quote[0], 1, number) for number, quote in enumerate(quotes) if arrival <= quote[0] < until
    ]
    remaining, fills = quantity, []
    for when, kind, number in sorted(events):
        if remaining == 0:
            break
        if kind == 0:
            _, traded, size = trades[number]
            if worse(traded, price):
                ahead, available, through = 0.0, size, True
            elif traded == price and side_hit(quotes, when, traded) == side:
                taken = min(ahead, size)
                available, through = size - taken, False
                ahead -= taken
                if quoted is not None:
                    quoted = max(quoted - taken, 0.0)
            else:
                continue
            if available > 0:
                fills.append((number, min(available, remaining), through))
                remaining -= min(available, remaining)
            continue
        best, size = quotes[number][own], quotes[number][own + 1]
        if best is not None and worse(price, best):
            quoted = None
            continue
        now = size if best == price else 0.0
        if ahead == math.inf and now > 0:
            ahead = now
        elif rule != "none":
            if rule == "pro_rata" and quoted and now < quoted and ahead != math.inf:
                ahead *= now / quoted
            ahead = min(ahead, now)
        quoted = now
    status = (
        "filled" if remaining == 0 else "unfilled" if remaining == quantity else "partly_filled"
    )
    return status, at_arrival, ahead, fills
