"""Slices of a parent order: their sizes and times against the definition, and what the matching
engine makes of them.
"""

import math
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import numpy as np
import polars as pl
import pytest
from execution.engine_cases import CALENDAR, OPEN, bars, engine, ticket
from execution.tick_cases import quotes_of, trades_of
from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.errors import DataError
from harmony_pipeline.execution.execution_algorithms import (
    cancel_children,
    execution_of,
    iceberg,
    rest_of,
    twap,
    volume_profile,
    vwap,
)
from harmony_pipeline.execution.matching_engine import EngineSettings

HOUR = timedelta(hours=1)


def profile(*shares, step=timedelta(minutes=30)):
    return pl.DataFrame(
        {"offset": [step * number for number in range(len(shares))], "share": shares},
        schema={"offset": pl.Duration("us"), "share": pl.Float64()},
    )


@given(quantity=st.integers(1, 5000), slices=st.integers(1, 40), lot=st.sampled_from([1, 5, 100]))
def test_a_twap_is_never_a_lot_ahead_nor_behind_its_schedule(quantity, slices, lot):
    parent = ticket("p", quantity=quantity, at=OPEN)
    children = twap(parent, OPEN + 2 * HOUR, slices, float(lot))
    assert sum(child.quantity for child in children) == quantity
    moments = [OPEN + 2 * HOUR * number / slices for number in range(slices)]
    done = {child.submitted_at: child.quantity for child in children}
    assert set(done) <= set(moments)
    total = 0.0
    for number, moment in enumerate(moments[:-1], start=1):
        total += done.get(moment, 0.0)
        exact = Fraction(quantity * number, slices)
        assert total == exact // lot * lot
    assert [child.order_id for child in children] == [
        f"p-{number}" for number in range(1, len(children) + 1)
    ]


@given(
    quantity=st.integers(1, 5000),
    shares=st.lists(st.integers(0, 50), min_size=2, max_size=13).filter(lambda all_: sum(all_) > 0),
)
def test_a_vwap_follows_the_expected_volume(quantity, shares):
    total = sum(shares)
    expected = profile(*(share / total for share in shares))
    parent = ticket("p", quantity=quantity, at=OPEN)
    children = vwap(parent, OPEN + 10 * HOUR, expected, OPEN)
    assert sum(child.quantity for child in children) == quantity
    done = {child.submitted_at: child.quantity for child in children}
    bought = 0.0
    for number in range(len(shares)):
        bought += done.get(OPEN + number * HOUR / 2, 0.0)
        exact = quantity * sum(shares[: number + 1]) / total
        assert exact - 1.001 <= bought <= exact + 0.001 or number == len(shares) - 1
    assert bought == quantity


def test_a_vwap_of_a_part_of_the_day_takes_that_part_of_the_profile():
    parent = ticket("p", quantity=60, at=OPEN + HOUR / 2)
    children = vwap(parent, OPEN + 3 * HOUR / 2, profile(0.5, 0.1, 0.2, 0.2), OPEN)
    assert [(child.submitted_at, child.quantity) for child in children] == [
        (OPEN + HOUR / 2, 20.0),
        (OPEN + HOUR, 40.0),
    ]


def test_a_vwap_by_the_profile_of_the_day_itself_pays_the_day_s_weighted_open():
    rng = np.random.default_rng(3)
    volumes = rng.integers(1, 9, 13) * 1000.0
    opens = 100.0 + rng.integers(-8, 9, 13) * 0.25
    rows = [
        (price, price + 1, price - 1, price, volume)
        for price, volume in zip(opens, volumes, strict=True)
    ]
    made = engine(max_participation=0.1)
    parent = ticket("p", quantity=volumes.sum() / 100, at=OPEN)
    children = vwap(parent, OPEN + 7 * HOUR, profile(*(volumes / volumes.sum())), OPEN)
    assert not any(made.submit(*children).values())
    made.run_bars(bars(*rows), "30Min")
    found = execution_of(
        parent, made.fills(), opens[0], float((opens * volumes).sum() / volumes.sum())
    )
    assert found.filled == parent.quantity
    assert math.isclose(found.against_vwap, 0.0, abs_tol=1e-12)
    assert math.isclose(found.shortfall, found.average_price / opens[0] - 1.0)


def test_a_profile_is_the_mean_of_past_full_sessions_and_knows_nothing_later():
    days = CALENDAR.sessions(date(2024, 6, 24), date(2024, 7, 9))
    rng = np.random.default_rng(5)
    rows = []
    for day in days:
        start, end = CALENDAR.session_open(day), CALENDAR.session_close(day)
        while start < end:
            rows.append((start, float(rng.integers(1, 100))))
            start += timedelta(minutes=30)
    frame = pl.DataFrame(
        rows, schema={"timestamp": pl.Datetime("us", "UTC"), "volume": pl.Float64()}, orient="row"
    )
    day = date(2024, 7, 8)
    found = volume_profile(frame, CALENDAR, "30Min", day, sessions=4)
    full = [
        date(2024, 6, 28),
        date(2024, 7, 1),
        date(2024, 7, 2),
        date(2024, 7, 5),
    ]  # not the third
    by_day = [
        frame.filter(pl.col("timestamp").dt.date() == one)["volume"].to_numpy() for one in full
    ]
    expected = np.mean([volumes / volumes.sum() for volumes in by_day], axis=0)
    assert np.allclose(found["share"].to_numpy(), expected, rtol=1e-12)
    assert found["offset"].to_list() == [number * HOUR / 2 for number in range(13)]
    assert math.isclose(found["share"].sum(), 1.0)
    changed = frame.with_columns(
        pl.when(pl.col("timestamp") >= datetime(2024, 7, 8, tzinfo=UTC))
        .then(1e9)
        .otherwise("volume")
        .alias("volume")
    )
    assert volume_profile(changed, CALENDAR, "30Min", day, sessions=4).equals(found)
    with pytest.raises(DataError, match="no full session"):
        volume_profile(frame, CALENDAR, "30Min", days[0])


@given(quantity=st.integers(1, 2000), display=st.integers(1, 400))
def test_an_iceberg_shows_no_more_than_its_display(quantity, display):
    children = iceberg(ticket("p", quantity=quantity, kind="limit", limit_price=99.0), display)
    assert sum(child.quantity for child in children) == quantity
    assert all(0 < child.quantity <= display for child in children)
    assert [child.parent_id for child in children] == [
        None,
        *(one.order_id for one in children[:-1]),
    ]


def test_each_slice_of_an_iceberg_joins_the_back_of_the_queue():
    """100 shares in slices of 40 behind 200 that are quoted: each slice waits for what is quoted
    when it comes.
    """
    made = engine()
    parent = ticket(
        "p", quantity=100, kind="limit", limit_price=99.0, at=OPEN + timedelta(seconds=10)
    )
    assert not any(made.submit(*iceberg(parent, 40)).values())
    quotes = quotes_of((5, 99.0, 200.0, 101.0, 500.0), (25, 99.0, 300.0, 101.0, 500.0))
    trades = trades_of((20, 99.0, 240.0), (30, 99.0, 250.0), (40, 99.0, 100.0), (50, 98.0, 15.0))
    made.run_ticks(quotes, trades)
    found = made.fills().select("order_id", "quantity", "price").rows()
    assert found == [("p-1", 40.0, 99.0), ("p-2", 40.0, 99.0), ("p-3", 15.0, 99.0)]
    frame = made.lifecycle().filter(pl.col("event") == "accepted")
    assert frame["order_id"].to_list() == ["p-1", "p-2", "p-3"]


def test_what_slices_leave_is_taken_by_one_order_once_they_cannot_fill_any_more():
    made = engine(EngineSettings(latency=timedelta(minutes=10)))
    parent = ticket("p", quantity=90, kind="limit", limit_price=99.0, at=OPEN - timedelta(hours=1))
    children = twap(parent, OPEN + HOUR, 3)
    assert not any(made.submit(*children).values())
    made.run_bars(bars((98.0, 99.0, 97.5, 98.0), (101.0, 102.0, 100.0, 101.0)), "30Min")
    end = OPEN + HOUR
    cancel_children(made, children, end)
    with pytest.raises(DataError, match="may still fill"):
        rest_of(made, parent, children, end)
    made.advance(end + timedelta(minutes=10))
    rest = rest_of(made, parent, children, end + timedelta(minutes=10))
    filled = sum(made.filled(child.order_id) for child in children)
    assert (rest.quantity, rest.kind) == (90.0 - filled, "market")
    assert made.submit(rest)["p-rest"] is None
    made.run_bars(bars((101.0, 102.0, 100.0, 101.0), start=OPEN + 2 * HOUR), "30Min")
    assert made.position("AAA") == 90.0
    assert rest_of(made, parent, [*children, rest], OPEN + 3 * HOUR) is None
    assert execution_of(parent, made.fills(), 100.0, math.nan).filled == 90.0


def test_what_cannot_be_sliced_is_named():
    parent = ticket("p", quantity=90, at=OPEN)
    for call, message in (
        (lambda: twap(parent, OPEN, 3), "end after the start"),
        (lambda: twap(parent, OPEN + HOUR, 0), "at least one"),
        (lambda: vwap(parent, OPEN + HOUR, profile(0.0, 0.0), OPEN), "expects no volume"),
        (lambda: vwap(parent, OPEN + HOUR, profile(float("nan"), 1.0), OPEN), "expects no volume"),
        (lambda: iceberg(parent, 0.5), "at least a lot"),
        (lambda: twap(ticket("p", quantity=float("nan")), OPEN + HOUR, 3), "can be sliced"),
        (lambda: iceberg(ticket("p", quantity=-5), 5), "can be sliced"),
    ):
        with pytest.raises(DataError, match=message):
            call()
