"""Random small markets and random orders for the matching engine, and both ways to run them."""

from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from itertools import pairwise

import msgspec
import numpy as np
import polars as pl
from execution.naive_matching import NEVER, Bar, Costs, NaiveEngine, Order

from harmony_pipeline.execution.matching_engine import EngineSettings, MatchingEngine
from harmony_pipeline.execution.order_types import OrderTicket, bracket
from harmony_pipeline.execution.session_times import SessionTimes
from harmony_pipeline.execution.settings import CostSettings, ExecutionNoiseSettings
from harmony_pipeline.instants import micros
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.settings import BacktestSettings
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.strategies.settings import StrategySettings

CALENDAR = Calendar.of("XNYS")
SESSIONS = SessionTimes.of(CALENDAR)
OPEN = datetime(2024, 7, 1, 13, 30, tzinfo=UTC)  # a Monday; the third of July is a half-day
FREE = {"half_spread_bps": 0.0, "impact_coefficient": 0.0, "sell_fee_bps": 0.0}


def rules(noise=None, symbols=("AAA",), **costs):
    return TradingRules.of(
        RiskSettings(),
        CostSettings(**{**FREE, "max_participation": 1.0, **costs}),
        ExecutionNoiseSettings(**(noise or {})),
        LabelSettings(),
        StrategySettings(use="tests:none"),
        BacktestSettings(),
    ).records(list(symbols))


def engine(settings=None, position=0.0, noise=None, **costs):
    return MatchingEngine(["AAA"], rules(noise, **costs), CALENDAR, settings, {"AAA": position})


def ticket(name, side=1, quantity=100.0, kind="market", force="day", at=OPEN, **more):
    return OrderTicket(
        order_id=name,
        symbol="AAA",
        side=side,
        quantity=float(quantity),
        submitted_at=at,
        kind=kind,
        time_in_force=force,
        **more,
    )


def bars(*rows, start=OPEN, minutes=30, **columns):
    """Bars from (open, high, low, close[, volume]) one after the other."""
    table = pl.DataFrame(
        [(*row, 1e6)[:5] for row in rows],
        schema=dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64()),
        orient="row",
    )
    stamps = [start + timedelta(minutes=minutes * number) for number in range(len(rows))]
    return table.with_columns(
        pl.Series("symbol", ["AAA"] * len(rows)),
        pl.Series("timestamp", stamps, pl.Datetime("us", "UTC")),
        *(pl.Series(name, values) for name, values in columns.items()),
    )


def story(made, order_id):
    """(event, quantity, price) of one order."""
    frame = made.lifecycle().filter(pl.col("order_id") == order_id)
    return [
        (event, quantity, price)
        for event, quantity, price in frame.select("event", "quantity", "price").rows()
        if event not in ("intent", "submitted", "accepted")
    ]


@dataclass
class Case:
    """Bars, orders with the time at which they are handed over, requests, and the rules."""

    frame: pl.DataFrame
    tickets: list = field(default_factory=list)  # groups of tickets
    cancels: list = field(default_factory=list)  # (order id, time)
    replaces: list = field(default_factory=list)  # (order id, new id, time, changes)
    costs: dict = field(default_factory=dict)
    settings: EngineSettings = field(default_factory=EngineSettings)
    position: float = 0.0

    @property
    def end(self):
        return self.frame["timestamp"][-1] + timedelta(days=30)


def random_frame(rng):
    """Half-hour bars of three sessions with late trading; some are missing, halted or banded."""
    rows, price = [], 100.0
    for day in (date(2024, 7, 1), date(2024, 7, 2), date(2024, 7, 3)):
        stamp = CALENDAR.session_open(day) - timedelta(minutes=60)
        stop = CALENDAR.session_close(day) + timedelta(minutes=60)
        while stamp < stop:
            opened = price + rng.integers(-3, 4) * (rng.random() < 0.4) * 0.5
            points = opened + rng.integers(-8, 9, 4) * 0.25
            high, low = max(opened, *points), min(opened, *points)
            close = float(points[0])
            volume = float(rng.integers(0, 400))
            rows.append((stamp, opened, float(high), float(low), close, volume))
            price = close + (100.0 - close) * 0.1 // 0.25 * 0.25
            price = round(price * 4) / 4
            stamp += timedelta(minutes=30)
    kept = [row for row in rows if rng.random() > 0.1]
    frame = pl.DataFrame(
        kept,
        schema={
            "timestamp": pl.Datetime("us", "UTC"),
            "open": pl.Float64(),
            "high": pl.Float64(),
            "low": pl.Float64(),
            "close": pl.Float64(),
            "volume": pl.Float64(),
        },
        orient="row",
    )
    halted = rng.random(len(kept)) < 0.08
    banded = rng.random(len(kept)) < 0.1
    upper = np.where(banded, np.ceil(frame["high"].to_numpy()), np.inf)
    lower = np.where(banded, np.floor(frame["low"].to_numpy()), -np.inf)
    return CALENDAR.with_session(
        frame.with_columns(
            pl.lit("AAA").alias("symbol"),
            pl.Series("halted", halted),
            pl.Series("upper_band", upper),
            pl.Series("lower_band", lower),
        ),
        "30Min",
    )


def random_ticket(rng, name, at, quantity=None):
    kind = str(rng.choice(["market", "limit", "stop", "stop_limit", "trailing_stop"]))
    force = str(rng.choice(["day", "gtc", "day", "gtc", "ioc", "fok", "opg", "cls"]))
    if kind not in ("market", "limit"):
        force = str(rng.choice(["day", "gtc"]))
    more = {}
    if kind in ("limit", "stop_limit"):
        more["limit_price"] = 100.0 + rng.integers(-10, 11) * 0.25
    if kind in ("stop", "stop_limit"):
        more["stop_price"] = 100.0 + rng.integers(-10, 11) * 0.25
    if kind == "trailing_stop" and rng.random() < 0.5:
        more["trail_amount"] = rng.integers(1, 9) * 0.25
    elif kind == "trailing_stop":
        more["trail_percent"] = float(rng.integers(1, 4)) / 2
    if kind == "limit" and force in ("day", "gtc") and rng.random() < 0.3:
        more["extended_hours"] = True
    return ticket(
        name,
        int(rng.choice([-1, 1])),
        float(rng.integers(1, 120)) if quantity is None else quantity,
        kind,
        force,
        at,
        reduce_only=bool(rng.random() < 0.2),
        volatility=float(rng.random() * 0.02),
        **more,
    )


def waiting(one, **changes):
    """A ticket that may be part of a group."""
    force = one.time_in_force if one.time_in_force in ("day", "gtc") else "gtc"
    return msgspec.structs.replace(one, time_in_force=force, extended_hours=False, **changes)


def random_group(rng, name, at):
    """A single order, an OCO pair, an OTO chain or a bracket."""
    draw = rng.random()
    if draw < 0.5:
        return [random_ticket(rng, name, at)]
    entry = waiting(random_ticket(rng, name, at))
    if draw < 0.65:
        other = random_ticket(rng, f"{name}b", at, entry.quantity)
        return [waiting(one, oco_id=name) for one in (entry, other)]
    if draw < 0.8:
        word = str(rng.choice(["done", "filled"]))
        child = random_ticket(rng, f"{name}b", at)
        grandchild = random_ticket(rng, f"{name}c", at)
        return [
            entry,
            waiting(child, parent_id=name, after_parent=word),
            waiting(grandchild, parent_id=f"{name}b"),
        ]
    middle = 100.0 + rng.integers(-6, 7) * 0.25
    above, below = middle + rng.integers(1, 8) * 0.25, middle - rng.integers(1, 8) * 0.25
    take, stop = (above, below) if entry.side > 0 else (below, above)
    behind = stop - entry.side * 0.25 if rng.random() < 0.3 else None
    return list(bracket(entry, take, stop, behind))


def random_case(seed):
    rng = np.random.default_rng(seed)
    frame = random_frame(rng)
    stamps = frame["timestamp"].to_list()
    first = stamps[0] - timedelta(minutes=10)
    minutes = int((stamps[-1] - first) / timedelta(minutes=1))

    def moment():
        if rng.random() < 0.5:
            return stamps[int(rng.integers(len(stamps)))]
        return first + timedelta(minutes=int(rng.integers(minutes)))

    groups = [
        random_group(rng, f"o{number}", moment()) for number in range(int(rng.integers(1, 14)))
    ]
    groups.sort(key=lambda group: group[0].submitted_at)
    flat = [one for group in groups for one in group]
    cancels, replaces = [], []
    for one in flat:
        later = one.submitted_at + timedelta(minutes=int(rng.integers(0, 600)))
        if rng.random() < 0.12:
            cancels.append((one.order_id, later))
        elif rng.random() < 0.12 and one.kind in ("limit", "stop"):
            name = "limit_price" if one.kind == "limit" else "stop_price"
            changes = {
                "quantity": float(rng.integers(1, 150)),
                name: 100.0 + rng.integers(-10, 11) * 0.25,
            }
            replaces.append((one.order_id, f"{one.order_id}r", later, changes))
    return Case(
        frame,
        groups,
        cancels,
        replaces,
        {
            "half_spread_bps": float(rng.choice([0.0, 2.0])),
            "impact_coefficient": float(rng.choice([0.0, 0.5])),
            "max_participation": float(rng.choice([0.05, 0.3, 1.0])),
        },
        EngineSettings(
            path=str(rng.choice(["pessimistic", "bar_direction"])),
            resting=str(rng.choice(["touch", "through"])),
            halted=str(rng.choice(["hold", "refuse"])),
            latency=timedelta(minutes=int(rng.choice([0, 0, 7, 45]))),
        ),
        float(rng.choice([0.0, 0.0, 50.0, -80.0])),
    )


def hand_over(case, made):
    """Everything that the case asks for, ahead of its time."""
    for group in case.tickets:
        answers = made.submit(*group)
        assert not any(answers.values()), answers
    for order_id, new_id, at, changes in case.replaces:
        assert made.replace(order_id, new_id, at, **changes) is None
    for order_id, at in case.cancels:
        assert made.cancel(order_id, at) is None


def run_engine(case, cuts=()):
    """The engine over the bars, cut into calls before the rows `cuts`."""
    made = MatchingEngine(
        ["AAA"], rules(**case.costs), CALENDAR, case.settings, {"AAA": case.position}
    )
    hand_over(case, made)
    edges = [0, *sorted(cuts), case.frame.height]
    for start, stop in pairwise(edges):
        made.run_bars(case.frame[start:stop])
    made.advance(case.end)
    return made


def naive_order(one, latency, parent=None, replaces=None):
    at = micros(one.submitted_at)
    force, auction, expires = one.time_in_force, NEVER, NEVER
    if force == "day":
        ends = SESSIONS.post_closes if one.extended_hours else SESSIONS.closes
        expires = int(ends[ends > at][0])
    elif force == "opg":
        auction = int(SESSIONS.opens[SESSIONS.opens > at][0])
        expires = auction + 1
    elif force == "cls":
        auction = expires = int(SESSIONS.closes[SESSIONS.closes > at][0])
    return Order(
        one.order_id, one.side, one.quantity, one.kind, force, at,
        at + micros_of(latency), expires, auction, one.limit_price or 0.0, one.stop_price or 0.0,
        one.trail_amount or 0.0, one.trail_percent or 0.0, one.reduce_only, one.extended_hours,
        parent, one.after_parent == "filled", [], replaces, one.volatility,
    )  # fmt: skip


def micros_of(delta):
    return delta // timedelta(microseconds=1)


def run_naive(case):
    costs = Costs(
        case.costs["half_spread_bps"],
        case.costs["impact_coefficient"],
        case.costs["max_participation"],
    )
    settings, latency = case.settings, case.settings.latency
    made = NaiveEngine(
        costs, case.position, settings.path, settings.resting, settings.halted == "refuse"
    )
    by_id, by_ticket = {}, {}
    for group in case.tickets:
        rings = {}
        for one in group:
            order = naive_order(one, latency, by_id.get(one.parent_id))
            by_id[one.order_id], by_ticket[one.order_id] = order, one
            made.add(order)
            if one.oco_id:
                order.ring = rings.setdefault(one.oco_id, [])
                order.ring.append(order)
    for order_id, new_id, at, changes in case.replaces:
        one = msgspec.structs.replace(
            by_ticket[order_id], order_id=new_id, submitted_at=at, **changes
        )
        made.add(naive_order(one, latency, None, by_id[order_id]))
    for order_id, at in case.cancels:
        by_id[order_id].cancel_asked = micros(at)
        by_id[order_id].cancel_at = micros(at + latency)
    for row in case.frame.iter_rows(named=True):
        made.bar(
            Bar(
                micros(row["timestamp"]),
                micros(row["bar_end"]),
                row["open"],
                row["high"],
                row["low"],
                row["close"],
                row["volume"],
                row["session"] == "regular",
                row["halted"],
                row["lower_band"],
                row["upper_band"],
            )
        )
    made.advance(micros(case.end))
    return made
