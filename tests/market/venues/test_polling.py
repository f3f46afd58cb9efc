"""A stream over a supplier that can only be asked: forward, complete for what comes in time,
nothing twice.
"""

from datetime import UTC, datetime, timedelta
from itertools import islice

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from market.venues.clocks import Hours

from harmony_pipeline.market.sources.polling import poll_bars

BEGIN = datetime(2024, 3, 8, 10, 0, 20, tzinfo=UTC)
SETTLE = 5.0


class Supplier:
    """Minute bars of two symbols, each published so many seconds after its end."""

    def __init__(self, hours, delays):
        self.hours, self.rows = hours, []
        for at, delay in enumerate(delays):
            start = datetime(2024, 3, 8, 9, 58, tzinfo=UTC) + timedelta(minutes=at // 2)
            self.rows.append(("AB"[at % 2], start, start + timedelta(minutes=1, seconds=delay)))

    def ask(self, start, end):
        there = [
            (symbol, stamp)
            for symbol, stamp, published in self.rows
            if start <= stamp < end and published <= self.hours.now()
        ]
        return pl.DataFrame(
            there, schema={"symbol": pl.String, "timestamp": pl.Datetime("us", "UTC")}, orient="row"
        )


def told(hours, supplier, count):
    """Frames until `count` came or the market is over, each with the moment it was heard."""
    stream = poll_bars(supplier.ask, "1Min", SETTLE, hours.now, hours.sleep)
    heard = []
    for frame in islice(stream, count):
        heard.append((hours.now(), frame))
        if frame["timestamp"][0] >= supplier.rows[-1][1]:
            break
    return heard


@given(
    st.lists(
        st.sampled_from([0.0, 2.0, 4.9, 20.0, 64.9, 70.0, 200.0]), min_size=20, max_size=60
    ).map(lambda delays: [*delays, *[0.0] * 20])
)
def test_frames_go_forward_hold_one_timestamp_and_tell_what_was_there_in_time(delays):
    hours = Hours(BEGIN)
    supplier = Supplier(hours, delays)
    heard = told(hours, supplier, 100)
    stamps = [frame["timestamp"].unique().to_list() for _, frame in heard]
    assert all(len(each) == 1 for each in stamps)
    assert stamps == sorted(stamps) and len({each[0] for each in stamps}) == len(stamps)
    said = {
        (symbol, stamp.astimezone(UTC)) for _, frame in heard for symbol, stamp in frame.iter_rows()
    }
    first = BEGIN.replace(second=0)
    in_time = {
        (symbol, stamp)
        for symbol, stamp, published in supplier.rows
        if stamp >= first and published <= stamp + timedelta(minutes=1, seconds=SETTLE)
    }
    assert (
        in_time <= said <= {(symbol, stamp) for symbol, stamp, _ in supplier.rows if stamp >= first}
    )


def test_a_bar_is_heard_right_after_it_settled_and_the_supplier_is_asked_once_a_bar():
    hours = Hours(BEGIN)
    supplier = Supplier(hours, [0.0] * 40)
    heard = told(hours, supplier, 10)
    assert [moment for moment, _ in heard] == [
        frame["timestamp"][0] + timedelta(minutes=1, seconds=SETTLE) for _, frame in heard
    ]
    assert len(hours.slept) == len(heard) == 10
