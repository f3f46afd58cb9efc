"""Small random tapes of quotes and trades, and random orders on them."""

from dataclasses import dataclass
from datetime import timedelta
from itertools import pairwise

import numpy as np
import polars as pl
from execution.engine_cases import (
    CALENDAR,
    OPEN,
    micros_of,
    naive_order,
    random_group,
    rules,
)
from execution.naive_matching import Costs
from execution.naive_ticks import NaiveTicks

from harmony_pipeline.execution.matching_engine import EngineSettings, MatchingEngine
from harmony_pipeline.instants import micros

QUOTE_SCHEMA = {
    "symbol": pl.String(),
    "timestamp": pl.Datetime("us", "UTC"),
    "bid": pl.Float64(),
    "bid_size": pl.Float64(),
    "ask": pl.Float64(),
    "ask_size": pl.Float64(),
}
TRADE_SCHEMA = {
    "symbol": pl.String(),
    "timestamp": pl.Datetime("us", "UTC"),
    "price": pl.Float64(),
    "size": pl.Float64(),
    "conditions": pl.String(),
    "suspicious": pl.Boolean(),
}


def quotes_of(*rows):
    """Quotes from (seconds after the open, bid, bid_size, ask, ask_size)."""
    table = [("AAA", OPEN + timedelta(seconds=at), *sides) for at, *sides in rows]
    return pl.DataFrame(table, schema=QUOTE_SCHEMA, orient="row")


def trades_of(*rows):
    """Trades from (seconds after the open, price, size[, conditions])."""
    table = [
        ("AAA", OPEN + timedelta(seconds=at), price, size, *(more or [""]), False)
        for at, price, size, *more in rows
    ]
    return pl.DataFrame(table, schema=TRADE_SCHEMA, orient="row")


def random_tape(rng, count=120):
    """Quotes on a walk of cents, some one-sided, locked or crossed, and trades around them; from
    before the open on.
    """
    quotes, trades, middle, at = [], [], 100.0, -60.0
    for _ in range(count):
        at += float(rng.integers(0, 4))
        middle += rng.integers(-1, 2) * 0.25
        spread = float(rng.choice([0.25, 0.5, 0.0, -0.25], p=[0.6, 0.3, 0.05, 0.05]))
        bid, ask = middle - spread / 2 // 0.25 * 0.25, middle + spread / 2 // 0.25 * 0.25 + 0.25
        sides = [bid, float(rng.integers(0, 9) * 50), ask, float(rng.integers(0, 9) * 50)]
        if rng.random() < 0.06:
            sides[2 * int(rng.integers(2))] = None
        if rng.random() < 0.6:
            quotes.append((at, *sides))
        else:
            price = middle + rng.integers(-2, 3) * 0.25
            condition = str(rng.choice(["", "I", "O", "6"], p=[0.85, 0.09, 0.03, 0.03]))
            trades.append((at, float(price), float(rng.integers(1, 9) * 30), condition))
    return quotes_of(*quotes), trades_of(*trades)


def random_settings(rng):
    return EngineSettings(
        queue=str(rng.choice(["none", "quoted", "pro_rata"])),
        latency=timedelta(milliseconds=int(rng.choice([0, 0, 700, 5000]))),
        auction_wait=timedelta(minutes=5),
    )


@dataclass
class TapeCase:
    """A tape, orders with their cancels, and the rules."""

    quotes: pl.DataFrame
    trades: pl.DataFrame
    settings: EngineSettings
    position: float
    groups: list
    cancels: list


def random_tape_case(seed):
    rng = np.random.default_rng(seed)
    tape, settings = random_tape(rng), random_settings(rng)
    position = float(rng.choice([0.0, 60.0, -60.0]))
    groups, cancels = [], []
    for number in range(int(rng.integers(1, 12))):
        at = OPEN + timedelta(seconds=int(rng.integers(-50, 150)))
        groups.append(random_group(rng, f"o{number}", at))
        if rng.random() < 0.2:
            cancels.append((f"o{number}", at + timedelta(seconds=int(rng.integers(0, 60)))))
    groups.sort(key=lambda group: group[0].submitted_at)
    return TapeCase(*tape, settings, position, groups, cancels)


def run_tape(seed, cuts=()):
    """The engine over a random tape, cut into calls before the ticks `cuts`."""
    case = random_tape_case(seed)
    made = MatchingEngine(["AAA"], rules(), CALENDAR, case.settings, {"AAA": case.position})
    for group in case.groups:
        answers = made.submit(*group)
        assert not any(answers.values()), answers
    for order_id, at in case.cancels:
        assert made.cancel(order_id, at) is None
    columns = made.tick_columns(case.quotes, case.trades)
    edges = [0, *sorted(cut for cut in cuts if cut < len(columns.at)), len(columns.at)]
    for first, stop in pairwise(edges):
        made.run_tick_columns("AAA", columns, first, stop)
    made.advance(OPEN + timedelta(days=5))
    return made, (case.quotes, case.trades), case.position


def naive_tape(case):
    """The ticks as dicts, trades first at one moment; which side a trade hit is told by the quote
    strictly before it.
    """
    ticks = []
    quotes, trades = case.quotes.rows(named=True), case.trades.rows(named=True)
    for order, row in [(1, row) for row in quotes] + [(0, row) for row in trades]:
        at = row["timestamp"]
        close = CALENDAR.session_close(at.date())
        tick = {
            **row,
            "order": order,
            "at": micros(at),
            "kind": "quote" if order else "trade",
            "regular": OPEN <= at < close,
            "until": micros(close if at >= OPEN else OPEN),
        }
        if not order:
            before = [quote for quote in quotes if quote["timestamp"] < at]
            sides = (before[-1]["bid"], before[-1]["ask"]) if before else (None, None)
            middle = None if None in sides else sum(sides) / 2
            tick["hit"] = 0 if middle is None else int(np.sign(middle - row["price"]))
            tick["sets"] = row["conditions"] != "I"
            tick["auction"] = {"O": "open", "6": "close"}.get(row["conditions"])
        ticks.append(tick)
    return sorted(ticks, key=lambda tick: (tick["at"], tick["order"]))


def run_naive_tape(seed):
    case = random_tape_case(seed)
    made = NaiveTicks(Costs(), case.position, case.settings.queue)
    by_id = {}
    for group in case.groups:
        rings = {}
        for one in group:
            order = naive_order(one, case.settings.latency, by_id.get(one.parent_id))
            if one.time_in_force in ("opg", "cls"):
                order.expires += micros_of(case.settings.auction_wait)
            by_id[one.order_id] = order
            made.add(order)
            if one.oco_id:
                order.ring = rings.setdefault(one.oco_id, [])
                order.ring.append(order)
    for order_id, at in case.cancels:
        by_id[order_id].cancel_asked = micros(at)
        by_id[order_id].cancel_at = micros(at + case.settings.latency)
    for tick in naive_tape(case):
        made.tick(tick)
    made.time(micros(OPEN + timedelta(days=5)))
    return made
