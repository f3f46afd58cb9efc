"""Bars of a threshold on a grid of seconds: against a fold written out by hand, never known before
their last trade, and nothing lost.
"""

from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from ticks.tapes import at, tapes, trades

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.ticks.bars import BarKind, trade_bars
from harmony_pipeline.market.ticks.threshold_bars import threshold_bars

NYSE = Calendar.of("XNYS")
SECOND = BarKind.of("1Sec")
kinds = st.sampled_from([BarKind.of(text) for text in ("3Tick", "300Volume", "2500.5Dollar")])
lengths = st.sampled_from(["1Sec", "5Sec", "1Min"])


def seconds_of(tape, length="1Sec"):
    return trade_bars(tape, BarKind.of(length), NYSE).filter(pl.col("open").is_not_null())


def by_hand(short, kind):
    """Rows of (symbol, stamp, end, open, high, low, close, volume, trades, complete)."""
    found = []
    for (symbol,), mine in short.sort("symbol", "timestamp").group_by(
        ["symbol"], maintain_order=True
    ):
        parts = NYSE.parts(mine["timestamp"]).rows(named=True)
        held, total = [], 0.0
        for place, row in enumerate(mine.rows(named=True)):
            part = parts[place]
            held.append(row)
            total += {
                "tick": row["trade_count"],
                "volume": row["volume"],
                "dollar": (row["vwap"] or 0.0) * row["volume"],
            }[kind.kind]
            last = place + 1 == len(parts) or parts[place + 1]["part_start"] != part["part_start"]
            if total < kind.size and not last:
                continue
            whole = total >= kind.size
            length = timedelta(seconds=BarKind.of(row["timeframe"]).seconds)
            found.append(
                (
                    symbol,
                    row["timestamp"] if whole else part["part_end"] - length,
                    row["end_timestamp"] if whole else part["part_end"],
                    held[0]["open"],
                    max(each["high"] for each in held),
                    min(each["low"] for each in held),
                    row["close"],
                    sum(each["volume"] for each in held),
                    sum(each["trade_count"] for each in held),
                    whole,
                )
            )
            held, total = [], 0.0
    return found


@given(tapes(), kinds, lengths)
def test_they_are_those_of_the_fold_by_hand(tape, kind, length):
    short = seconds_of(tape, length)
    made = threshold_bars(short, kind, NYSE)
    columns = ("symbol", "timestamp", "end_timestamp", "open", "high", "low", "close", "volume",
               "trade_count", "complete")  # fmt: skip
    found, expected = made.select(columns).rows(), by_hand(short, kind)
    assert [row[:3] + row[9:] for row in found] == [row[:3] + row[9:] for row in expected]
    assert [row[3:9] for row in found] == [pytest.approx(row[3:9]) for row in expected]
    assert made.columns == short.columns


@given(tapes(), kinds)
def test_a_bar_is_known_after_its_last_trade_and_the_next_opens_after_that(tape, kind):
    made = threshold_bars(seconds_of(tape), kind, NYSE)
    for _, mine in made.group_by("symbol"):
        known = mine["timestamp"] + timedelta(seconds=1)
        assert (known == mine["end_timestamp"]).all()
        assert mine["timestamp"].is_sorted()
        assert mine["timestamp"].n_unique() == mine.height


@given(tapes(), kinds)
def test_shares_and_trades_are_conserved(tape, kind):
    short = seconds_of(tape)
    made = threshold_bars(short, kind, NYSE)
    for name in ("volume", "trade_count"):
        assert made[name].sum() == pytest.approx(short[name].sum())


@given(tapes(), kinds)
def test_a_session_alone_gives_the_bars_that_it_has_among_others(tape, kind):
    whole = threshold_bars(seconds_of(tape), kind, NYSE)
    dates = NYSE.parts(tape["timestamp"])["session_date"]
    parts = [
        threshold_bars(seconds_of(tape.filter(dates == day)), kind, NYSE)
        for day in dates.drop_nulls().unique().sort().to_list()
    ]
    joined = pl.concat([whole.clear(), *parts]).sort("symbol", "timestamp", maintain_order=True)
    assert joined.rows() == whole.rows()


def test_a_bar_ends_with_the_second_that_reaches_the_threshold_and_with_the_session():
    tape = trades(
        (at(0.2), 10.0, 60.0), (at(0.9), 10.5, 60.0), (at(3.5), 11.0, 10.0), (at(9.0), 9.0, 100.0),
        (at(20.0), 12.0, 5.0),
    )  # fmt: skip
    made = threshold_bars(seconds_of(tape), BarKind.of("100Volume"), NYSE)
    assert made.select(
        "timestamp", "open", "high", "low", "close", "volume", "complete"
    ).rows() == [
        (at(0), 10.0, 10.5, 10.0, 10.5, 120.0, True),
        (at(9), 11.0, 11.0, 9.0, 9.0, 110.0, True),
        (made["end_timestamp"][2] - timedelta(seconds=1), 12.0, 12.0, 12.0, 12.0, 5.0, False),
    ]
    assert made["end_timestamp"][2] == NYSE.session_close(at(0).date())
    assert made["vwap"][0] == pytest.approx(10.25)


def test_no_bars_give_no_bars_and_a_length_of_time_is_no_threshold():
    nothing = seconds_of(trades((at(0), 10.0, 1.0))).clear()
    assert threshold_bars(nothing, BarKind.of("5Tick"), NYSE).is_empty()
    with pytest.raises(ConfigError, match="threshold"):
        threshold_bars(nothing, SECOND, NYSE)
