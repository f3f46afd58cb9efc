"""Differences are found bit for bit, and only in what was known."""

from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.robustness.look_ahead import (
    KnownTable,
    differing_rows,
    outcome_inputs,
    overlapping_labels,
    random_moments,
    same_bar_fills,
    shuffle_differences,
    truncation_differences,
)

START = datetime(2024, 1, 2, tzinfo=UTC)
BAR = timedelta(hours=1)
TIME = pl.Datetime("us", "UTC")
KNOWN = pl.col("timestamp") + BAR


def bars(seed=1, rows=60):
    random = np.random.default_rng(seed)
    stamps = [START + place * BAR for place in range(rows)]
    return pl.concat(
        pl.DataFrame(
            {"symbol": symbol, "timestamp": stamps, "close": random.normal(100.0, 1.0, rows)},
            schema_overrides={"timestamp": TIME},
        )
        for symbol in ("AAA", "BB")
    )


def known_bars(seed=1):
    return {"bars": KnownTable(bars(seed), KNOWN)}


def made(expression):
    return lambda tables: tables["bars"].select(
        "symbol", "timestamp", value=expression.over("symbol")
    )


HONEST = {
    "the bar before": pl.col("close").shift(1),
    "a trailing mean": pl.col("close").rolling_mean(5, min_samples=1),
    "an expanding maximum": pl.col("close").cum_max(),
}
LEAKING = {
    "the next bar": pl.col("close").shift(-1),
    "a centred mean": pl.col("close").rolling_mean(5, center=True, min_samples=1),
    "scaling by the whole series": pl.col("close") - pl.col("close").mean(),
}


@pytest.mark.parametrize("name", HONEST)
@given(seed=st.integers(0, 1000))
def test_what_looks_back_passes_at_any_moment(name, seed):
    tables = known_bars(seed)
    moments = random_moments(tables["bars"].frame["timestamp"], 4, seed)
    make = made(HONEST[name])
    assert truncation_differences(make, tables, KNOWN, moments).is_empty()
    assert shuffle_differences(make, tables, KNOWN, moments, seed).is_empty()


@pytest.mark.parametrize("name", LEAKING)
def test_what_looks_forward_is_found_by_truncation_and_by_shuffling(name):
    tables = known_bars()
    moments = random_moments(tables["bars"].frame["timestamp"], 3, 5)
    found = truncation_differences(made(LEAKING[name]), tables, KNOWN, moments)
    assert set(found["moment"].to_list()) == set(moments)
    assert (found["timestamp"] + BAR <= found["moment"]).all()
    assert found["finding"][0] == "value of what was known then depends on later rows"
    # a mean of everything is the same in any order, to the last bits
    if name != "scaling by the whole series":
        assert shuffle_differences(made(LEAKING[name]), tables, KNOWN, moments, 3).height


def test_a_shuffle_moves_nothing_that_was_known_and_keeps_every_value():
    table = KnownTable(bars(), KNOWN)
    moment = START + 30 * BAR
    moved = table.shuffled_after(moment, 3)
    assert moved.filter(moment >= KNOWN).equals(table.until(moment))
    assert moved.select("symbol", "timestamp").equals(table.frame.select("symbol", "timestamp"))
    assert not moved.equals(table.frame)
    both = (frame.sort("symbol", "close")["close"].to_list() for frame in (moved, table.frame))
    assert next(both) == next(both)


def test_moments_lie_inside_and_follow_the_seed():
    stamps = bars()["timestamp"]
    found = random_moments(stamps, 5, 1)
    assert found == sorted(set(found))
    assert len(found) == 5
    assert found[0] > START
    assert found[-1] < START + 59 * BAR
    assert random_moments(stamps, 5, 1) == found
    assert random_moments(stamps, 5, 2) != found
    assert random_moments(stamps.head(2), 5, 1) == []
    assert truncation_differences(
        made(HONEST["the bar before"]), known_bars(), KNOWN, []
    ).is_empty()


def test_rows_differ_by_the_last_bit_by_a_null_and_by_being_there():
    left = bars().head(4).with_columns(close=pl.Series([1.0, None, float("nan"), 4.0]))
    assert differing_rows(left, left).is_empty()
    bit = left.with_columns(close=pl.Series([np.nextafter(1.0, 2.0), None, float("nan"), 4.0]))
    assert differing_rows(left, bit)["timestamp"].to_list() == [START]
    null = left.with_columns(close=pl.Series([1.0, 0.0, None, 4.0]))
    assert differing_rows(left, null)["columns"].to_list() == ["close", "close"]
    assert differing_rows(left, left.head(3))["columns"].to_list() == ["the row"]


def test_a_label_overlaps_when_it_ends_after_the_test_began_or_never():
    frame = (
        bars()
        .head(4)
        .with_columns(
            end_timestamp=pl.Series([START, START + BAR, START + 2 * BAR, None], dtype=TIME)
        )
    )
    found = overlapping_labels(frame, START + BAR)
    assert found["timestamp"].to_list() == [START + 2 * BAR, START + 3 * BAR]


def test_an_input_that_is_the_outcome_is_found_by_name_and_by_value():
    random = np.random.default_rng(1)
    gain = random.normal(size=200)
    outcomes = pl.DataFrame({"label": (gain > 0.0).astype(np.int8), "return": gain})
    X = np.column_stack(
        [random.normal(size=(200, 2)), np.exp(3.0 * gain), np.where(gain > 0.0, 7.0, 2.0)]
    )
    names = ("rsi_14_sided", "return_sided", "innocent", "quiet")
    found = outcome_inputs(names, X, outcomes)
    assert found["input"].to_list() == ["return_sided", "innocent", "quiet"]
    clean = ("log_return_sided", "first_hour_return", "overnight_return_sided", "label_free")
    assert outcome_inputs(clean, random.normal(size=(200, 4)), outcomes).is_empty()


def test_an_entry_may_fill_when_its_signal_s_bar_is_over_and_not_before():
    orders = pl.DataFrame(
        {"order_id": ["a", "b", "stop"], "parent_id": [None, None, "a"],
         "signal_timestamp": [START] * 3},
        schema_overrides={"signal_timestamp": TIME},
    )  # fmt: skip
    fills = pl.DataFrame(
        {"order_id": ["a", "b", "stop"], "symbol": "AAA", "timestamp": [START + BAR, START, START]},
        schema_overrides={"timestamp": TIME},
    )
    assert same_bar_fills(orders, fills, BAR)["order_id"].to_list() == ["b"]
