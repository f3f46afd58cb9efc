"""Small random tapes of quotes and trades, and random orders on them."""

from datetime import timedelta
from itertools import pairwise

import numpy as np
import polars as pl
from execution.engine_cases import CALENDAR, OPEN, random_group, rules

from harmony_pipeline.execution.matching_engine import EngineSettings, MatchingEngine

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


def random_orders(rng, made):
    for number in range(int(rng.integers(1, 12))):
        at = OPEN + timedelta(seconds=int(rng.integers(-50, 150)))
        answers = made.submit(*random_group(rng, f"o{number}", at))
        assert not any(answers.values()), answers
        if rng.random() < 0.2:
            made.cancel(f"o{number}", at + timedelta(seconds=int(rng.integers(0, 60))))


def run_tape(seed, cuts=()):
    """The engine over a random tape, cut into calls before the ticks `cuts`."""
    rng = np.random.default_rng(seed)
    tape = random_tape(rng)
    settings = random_settings(rng)
    position = float(rng.choice([0.0, 60.0, -60.0]))
    made = MatchingEngine(["AAA"], rules(), CALENDAR, settings, {"AAA": position})
    random_orders(rng, made)
    columns = made.tick_columns(*tape)
    edges = [0, *sorted(cut for cut in cuts if cut < len(columns.at)), len(columns.at)]
    for first, stop in pairwise(edges):
        made.run_tick_columns("AAA", columns, first, stop)
    made.advance(OPEN + timedelta(days=5))
    return made, tape, position
