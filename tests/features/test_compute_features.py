"""Frames in, frames out: many symbols, sessions, adjustments, refusals, and no view of the
future.
"""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from features import definitions
from features.feature_markets import EVERY_KIND, SMALL, STANDARD, XNYS, at, random_bars
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from harmony_pipeline.errors import DataError
from harmony_pipeline.features import compute
from harmony_pipeline.features.catalog import FeatureSet, parse_name
from harmony_pipeline.features.compute import compute_features, session_days
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.schemas import FEATURE_STATE, features_table

BARS = random_bars(1)
MOMENT = at("2024-03-07", "17:00")


def features_of(bars, states=None, feature_set=SMALL):
    return compute_features(bars, feature_set, states, XNYS, "15Min")


def test_the_table_is_what_the_lake_keeps():
    result = features_of(BARS)
    assert dict(result.table.schema) == features_table(SMALL.names).dtypes
    assert dict(result.states.schema) == FEATURE_STATE.dtypes
    assert_frame_equal(
        result.table.select("symbol", "timestamp"), BARS.select("symbol", "timestamp")
    )
    assert result.states.equals(
        BARS.group_by("symbol", maintain_order=True)
        .agg(pl.col("timestamp").last())
        .join(result.states, on=["symbol", "timestamp"], maintain_order="left")
    )


def test_columns_are_null_and_never_nan_until_warm():
    table = features_of(BARS).table
    assert (
        table.select(pl.any_horizontal(pl.exclude("symbol", "timestamp").is_nan().any())).item()
        is False
    )
    assert table.filter(pl.col("symbol") == "AA")["rsi_5"].is_null().arg_true().to_list() == [
        0,
        1,
        2,
        3,
        4,
    ]
    assert table["cusum_event"].null_count() == 0


def test_the_summary_counts_what_is_in_the_table():
    result = features_of(BARS)
    summary = result.summary()
    assert (summary["rows"], summary["symbols"], summary["features"]) == (
        BARS.height,
        3,
        len(SMALL.names),
    )
    assert summary["cusum_events"] == result.table.filter(pl.col("cusum_event") != 0).height > 0
    assert summary["warm_fraction"] == pytest.approx(
        result.table.drop_nulls().height / BARS.height, abs=1e-6
    )
    assert features_of(BARS.clear()).summary()["rows"] == 0


def test_a_symbols_features_do_not_depend_on_the_others():
    alone = pl.concat(
        features_of(BARS.filter(pl.col("symbol") == symbol)).table for symbol in ("AA", "BRK", "C")
    )
    assert alone.equals(features_of(BARS).table)


def test_blocks_change_nothing(monkeypatch):
    whole = features_of(BARS)
    monkeypatch.setattr(compute, "BLOCK_BARS", 7)
    small = features_of(BARS)
    assert small.table.equals(whole.table)
    assert small.states.equals(whole.states)


def in_threads(monkeypatch):
    monkeypatch.setattr(compute, "SHARED_ROWS", 1)
    monkeypatch.setattr(compute.pl, "thread_pool_size", lambda: 3)


def test_symbols_in_threads_give_the_same_bits(monkeypatch):
    whole = features_of(BARS)
    in_threads(monkeypatch)
    for _ in range(5):
        shared = features_of(BARS)
        assert shared.table.equals(whole.table)
        assert shared.states.equals(whole.states)


def test_of_several_faults_the_first_row_is_named_whichever_thread_is_first(monkeypatch):
    in_threads(monkeypatch)
    places = [int(BARS["symbol"].search_sorted(name)) + 40 for name in ("BRK", "C")]
    broken = BARS.with_columns(
        high=pl.when(pl.int_range(pl.len()).is_in(places)).then(-1.0).otherwise("high")
    )
    for _ in range(5):
        with pytest.raises(DataError, match=rf"row {places[0]} \(BRK"):
            features_of(broken)


def test_columns_in_several_chunks_are_read_alike():
    pieces = pl.concat([BARS.head(101), BARS.slice(101, 7), BARS.slice(108)], rechunk=False)
    assert pieces.n_chunks() > BARS.n_chunks() > 1
    assert features_of(pieces).table.equals(features_of(BARS).table)


@given(cut=st.integers(0, BARS.height))
@settings(max_examples=10)
def test_nothing_after_a_moment_moves_what_was_known_at_it(cut):
    moment = BARS["timestamp"].sort()[min(cut, BARS.height - 1)]
    later = pl.col("timestamp") > moment
    wild = pl.int_range(pl.len()) % 5 + 1.5
    disturbed = BARS.with_columns(
        pl.when(later).then(pl.col(name) * wild).otherwise(pl.col(name))
        for name in ("open", "high", "low", "close", "volume", "adjustment_factor")
    )
    removed = BARS.filter(~later)
    known = features_of(BARS).table.filter(~later)
    assert features_of(disturbed).table.filter(~later).equals(known)
    assert features_of(removed).table.equals(known)


def test_a_frame_cut_by_time_and_continued_is_the_whole():
    whole = features_of(BARS)
    before = features_of(BARS.filter(pl.col("timestamp") < MOMENT))
    after = features_of(BARS.filter(pl.col("timestamp") >= MOMENT), before.states)
    assert pl.concat([before.table, after.table]).sort("symbol", "timestamp").equals(whole.table)
    assert after.states.equals(whole.states)


def test_a_symbol_without_new_bars_keeps_its_state():
    before = features_of(BARS)
    later = BARS.filter(pl.col("symbol") == "C").with_columns(
        pl.col("timestamp") + timedelta(days=28)
    )
    after = features_of(later, before.states)
    assert after.states.filter(pl.col("symbol") != "C").equals(
        before.states.filter(pl.col("symbol") != "C")
    )
    assert after.table["symbol"].unique().to_list() == ["C"]


def test_bars_that_the_state_already_counts_are_refused():
    states = features_of(BARS).states
    with pytest.raises(
        DataError, match=r"AA: bar 2024-02-26 .* is not after the saved feature state of 2024-03-15"
    ):
        features_of(BARS, states)


def adjusted_twins():
    """The same market quoted with and without a 4-for-1 split and a dividend of about 2 %."""
    plain = random_bars(3, symbols=("A",), missing=0.0, actions=False)
    factor = (
        pl.when(pl.col("timestamp") < at("2024-03-05"))
        .then(1.0)
        .when(pl.col("timestamp") < at("2024-03-12"))
        .then(4.0)
        .otherwise(4.08)
    )
    quoted = plain.with_columns(factor.alias("adjustment_factor")).with_columns(
        *(pl.col(name) / pl.col("adjustment_factor") for name in ("open", "high", "low", "close")),
        volume=pl.col("volume") * pl.col("adjustment_factor"),
    )
    return plain, quoted


def test_features_do_not_jump_at_a_split_or_a_dividend():
    plain, quoted = adjusted_twins()
    expected, found = features_of(plain).table, features_of(quoted).table
    assert_frame_equal(
        found.drop("cusum_event"), expected.drop("cusum_event"), rel_tol=1e-9, abs_tol=1e-9
    )
    assert found["log_return"].abs().max() < 0.2 < quoted["close"].log().diff().abs().max()


def test_session_days_are_those_of_the_calendar():
    stamps = random_bars(
        4, symbols=("A",), first=date(2024, 6, 28), last=date(2024, 7, 12), missing=0.0
    ).select("timestamp")
    expected = XNYS.with_session(stamps, "15Min").with_columns(
        days=session_days(stamps["timestamp"], XNYS, "15Min")
    )
    inside = expected.filter(pl.col("session_date").is_not_null())
    assert inside.height > 200
    assert (inside["session_date"].to_physical() == inside["days"]).all()


def test_daily_bars_are_a_session_each_and_round_the_clock_days_are_utc_days():
    daily = pl.Series([at("2024-03-08"), at("2024-03-11")]).cast(pl.Datetime("us", "UTC"))
    assert session_days(daily, XNYS, "1Day").to_list() == [
        (day - date(1970, 1, 1)).days for day in (date(2024, 3, 8), date(2024, 3, 11))
    ]
    midnight = pl.Series([at("2024-03-08", "23:59"), at("2024-03-09")]).cast(
        pl.Datetime("us", "UTC")
    )
    assert np.diff(session_days(midnight, Calendar.of("24/7"), "1Min").to_list()).tolist() == [1]


def test_the_gap_is_known_in_premarket_and_stays_through_after_hours():
    table = features_of(BARS.filter(pl.col("symbol") == "AA")).table.with_columns(
        day=session_days(BARS.filter(pl.col("symbol") == "AA")["timestamp"], XNYS, "15Min")
    )
    per_day = table.group_by("day", maintain_order=True).agg(
        pl.col("gap").n_unique(), missing=pl.col("gap").null_count()
    )
    assert per_day["gap"].to_list() == [1] * per_day.height
    assert (per_day["missing"] > 0).to_list() == [True] + [False] * (per_day.height - 1)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda bars: bars.reverse(), "not after the row before it"),
        (lambda bars: pl.concat([bars.head(1), bars]), r"row 1 \(AA 2024-02-26"),
        (
            lambda bars: bars.with_columns(
                low=pl.when(pl.int_range(pl.len()) == 5).then(0.0).otherwise("low")
            ),
            "row 5 .* not above 0",
        ),
        (
            lambda bars: bars.with_columns(
                close=pl.when(pl.int_range(pl.len()) == 6).then(None).otherwise("close")
            ),
            "row 6 .* quarantine",
        ),
        (
            lambda bars: bars.with_columns(
                open=pl.when(pl.int_range(pl.len()) == 7).then(float("nan")).otherwise("open")
            ),
            "row 7 ",
        ),
        (
            lambda bars: bars.with_columns(
                volume=pl.when(pl.int_range(pl.len()) == 8).then(-1.0).otherwise("volume")
            ),
            "row 8 ",
        ),
        (lambda bars: bars.drop("adjustment_factor"), "lack the column.* adjustment_factor"),
    ],
)
def test_bars_that_kernels_could_not_read_are_refused_with_the_row(change, said):
    with pytest.raises(DataError, match=said):
        features_of(change(BARS))


def test_real_hourly_bars_give_textbook_features(market_data):
    hourly = pl.read_csv(
        market_data / "us_equity_hourly" / "SPY.csv", try_parse_dates=True
    ).with_columns(pl.col("timestamp").cast(pl.Datetime("us", "UTC")))
    bars = hourly.tail(500).with_columns(
        symbol=pl.lit("SPY"),
        adjustment_factor=pl.lit(1.0),
        session=pl.lit("regular"),
        volume=pl.col("volume").cast(pl.Float64),
    )
    names = (*EVERY_KIND, *STANDARD.names)
    table = compute_features(bars, FeatureSet.of(names, 1.0), None, XNYS, "1Hour").table
    arrays = {name: bars[name].to_numpy() for name in ("open", "high", "low", "close", "volume")}
    local = bars["timestamp"].dt.convert_time_zone("America/New_York")
    arrays["day"] = local.dt.date().to_physical().to_numpy()
    arrays["start"] = bars["timestamp"].to_physical().to_numpy()
    arrays["regular"] = np.ones(bars.height)
    for name in dict.fromkeys(names):
        indicator, numbers = parse_name(name)
        expected = getattr(definitions, indicator.kind)(arrays, *numbers)
        np.testing.assert_allclose(
            table[name].to_numpy(), expected, rtol=1e-9, atol=1e-11, err_msg=name
        )


def test_every_kind_moves_on_real_looking_bars():
    spread = features_of(BARS).table.select(pl.col(EVERY_KIND).std()).row(0)
    assert all(value > 0 for value in spread)
