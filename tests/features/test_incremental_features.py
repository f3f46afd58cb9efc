"""Periods, days and bars continued from saved states: the lake ends up with the bits of one run
over everything.
"""

from datetime import timedelta

import numpy as np
import polars as pl
import pytest
from features.feature_markets import SMALL, XNYS, at, random_bars
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.arrays import read_only
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.features.bar_columns import in_one_piece
from harmony_pipeline.features.bars_hash import LANES, bars_hash, mix
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.features.incremental import update_features
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.schemas import features_table

KEYS = ("w1", "w2", "w3", "w4")
STARTS = (at("2024-02-26"), at("2024-03-04"), at("2024-03-09"), at("2024-03-13"), at("2024-03-16"))
WHOLE = random_bars(21)


class Market:
    """A lake whose bars arrive and are corrected, and the run that keeps its features up to
    date.
    """

    def __init__(self, root, feature_set=SMALL):
        self.lake = Lake(root, {"features": features_table(feature_set.names)}).open()
        self.feature_set = feature_set

    def receive(self, bars):
        """Make the lake's bars equal to `bars`, rewriting only the periods that changed."""
        for key, start, end in zip(KEYS, STARTS, STARTS[1:], strict=False):
            rows = bars.filter(pl.col("timestamp").is_between(start, end, closed="left"))
            if rows.height and not (
                self.lake.has("bars", key)
                and self.lake.read("bars", [key]).equals(self.lake.tables["bars"].conform(rows))
            ):
                self.lake.write("bars", key, rows)
        return self

    def update(self, key):
        result = update_features(self.lake, key, KEYS, self.feature_set, XNYS, "15Min")
        self.lake.write("features", key, result.table, result.made_from)
        self.lake.write("feature_state", key, result.states, result.made_from)
        return result

    def update_all(self):
        return [self.update(key) for key in KEYS if self.lake.has("bars", key)]

    def features(self):
        return self.lake.read("features")


def in_one_go(bars, feature_set=SMALL):
    return compute_features(bars, feature_set, None, XNYS, "15Min")


def assert_whole(market, bars):
    expected = in_one_go(bars, market.feature_set)
    assert market.features().equals(expected.table)
    latest = [key for key in KEYS if market.lake.has("feature_state", key)][-1]
    assert market.lake.read("feature_state", [latest]).equals(expected.states)


@pytest.fixture
def market(tmp_path):
    return Market(tmp_path)


def test_period_by_period_is_the_whole(market):
    results = market.receive(WHOLE).update_all()
    assert_whole(market, WHOLE)
    assert [result.continued_from for result in results] == ["", "w1", "w2", "w3"]
    assert sum(result.computed_bars for result in results) == WHOLE.height


def test_grown_day_by_day_is_the_whole_and_computes_every_bar_once(market):
    days = [STARTS[0] + timedelta(days=number) for number in range(1, 20)]
    computed = 0
    for day in days:
        market.receive(WHOLE.filter(pl.col("timestamp") < day))
        computed += market.update(
            [key for key, start in zip(KEYS, STARTS, strict=False) if start < day][-1]
        ).computed_bars
    assert_whole(market, WHOLE)
    assert computed == WHOLE.height


def test_grown_bar_by_bar_is_the_whole(market):
    moments = WHOLE["timestamp"].unique().sort()
    market.receive(WHOLE.filter(pl.col("timestamp") <= moments[-16])).update_all()
    for moment in moments[-15:]:
        result = market.receive(WHOLE.filter(pl.col("timestamp") <= moment)).update("w4")
        assert (result.continued_from, result.computed_bars) == (
            "w4",
            WHOLE.filter(pl.col("timestamp") == moment).height,
        )
    assert_whole(market, WHOLE)


@given(data=st.data())
@settings(max_examples=8)
def test_random_growth_and_corrections_always_end_as_the_whole(data, tmp_path_factory):
    market, moments = Market(tmp_path_factory.mktemp("lake")), WHOLE["timestamp"].unique().sort()
    bars = WHOLE
    for cut in sorted(data.draw(st.lists(st.integers(1, len(moments)), max_size=3))):
        if data.draw(st.booleans()):
            bars = corrected(bars, data.draw(st.integers(0, WHOLE.height - 1)))
        market.receive(bars.filter(pl.col("timestamp") < moments[cut - 1])).update_all()
    market.receive(bars).update_all()
    assert_whole(market, bars)


def corrected(bars, row):
    return bars.with_columns(
        pl.when(pl.int_range(pl.len()) == row)
        .then(pl.col(name) * 1.01)
        .otherwise(pl.col(name))
        .alias(name)
        for name in ("open", "high", "low", "close")
    )


def test_a_correction_in_an_earlier_period_makes_later_ones_fold_again(market):
    market.receive(WHOLE).update_all()
    fixed = corrected(
        WHOLE, WHOLE.with_row_index().filter(pl.col("timestamp") > STARTS[1])["index"][0]
    )
    market.receive(fixed)
    last = market.update("w4")
    assert last.continued_from == "w1"  # the last state that was saved before the correction
    assert last.table.equals(in_one_go(fixed).table.filter(pl.col("timestamp") >= STARTS[3]))
    # w1 and w4 still hold, w2 and w3 are folded again
    assert [market.update(key).continued_from for key in KEYS] == ["w1", "w1", "w2", "w4"]
    assert_whole(market, fixed)


def test_a_correction_inside_the_running_period_makes_it_fold_again_from_the_period_before(market):
    market.receive(WHOLE.filter(pl.col("timestamp") < at("2024-03-15"))).update_all()
    fixed = corrected(
        WHOLE, WHOLE.with_row_index().filter(pl.col("timestamp") > STARTS[3])["index"][0]
    )
    assert market.receive(fixed).update("w4").continued_from == "w3"
    assert_whole(market, fixed)


def test_a_late_bar_inside_what_was_covered_makes_the_period_fold_again(market):
    late = WHOLE.filter((pl.col("symbol") == "BRK") & (pl.col("timestamp") > STARTS[3])).head(1)
    market.receive(WHOLE.join(late, on=["symbol", "timestamp"], how="anti")).update_all()
    assert market.receive(WHOLE).update("w4").continued_from == "w3"
    assert_whole(market, WHOLE)


def test_an_unchanged_period_computes_nothing(market):
    market.receive(WHOLE).update_all()
    again = [market.update(key) for key in KEYS]
    assert [result.computed_bars for result in again] == [0, 0, 0, 0]
    assert_whole(market, WHOLE)


def test_without_saved_states_the_fold_goes_back_to_the_first_bar_and_writes_nothing_else(market):
    result = market.receive(WHOLE).update("w4")
    assert (result.continued_from, result.computed_bars) == ("", WHOLE.height)
    assert market.lake.partitions("features") == market.lake.partitions("feature_state") == ["w4"]
    assert result.table.equals(in_one_go(WHOLE).table.filter(pl.col("timestamp") >= STARTS[3]))
    assert result.summary()["continued_from"] == "the first bar"


def test_a_run_killed_between_features_and_state_is_not_continued(market):
    market.receive(WHOLE.filter(pl.col("timestamp") < at("2024-03-15"))).update_all()
    market.receive(WHOLE)
    half = update_features(market.lake, "w4", KEYS, SMALL, XNYS, "15Min")
    market.lake.write("features", "w4", half.table, half.made_from)
    assert market.update("w4").continued_from == "w3"
    assert_whole(market, WHOLE)


def test_states_of_another_feature_set_are_not_continued(market):
    market.receive(WHOLE).update_all()
    other = Market(market.lake.root, FeatureSet.of(["rsi_5", "sma_9"]))
    assert other.update("w4").continued_from == ""
    other.update_all()
    assert_whole(other, WHOLE)


def test_another_threshold_of_the_event_filter_is_another_feature_set(market):
    market.receive(WHOLE).update_all()
    assert (
        Market(market.lake.root, FeatureSet.of(SMALL.names, cusum_threshold=2.0))
        .update("w3")
        .continued_from
        == ""
    )


def test_states_and_features_of_other_libraries_are_not_continued(market):
    def made(key, libraries, again=False):
        result = update_features(
            market.lake, key, KEYS, SMALL, XNYS, "15Min", libraries=libraries, again=again
        )
        market.lake.write("features", key, result.table, result.made_from)
        market.lake.write("feature_state", key, result.states, result.made_from)
        return result

    market.receive(WHOLE)
    for key in KEYS:
        made(key, "numba 1")
    assert (made("w4", "numba 1").continued_from, made("w4", "numba 1").computed_bars) == ("w4", 0)
    assert made("w1", "numba 2").computed_bars > 0
    assert made("w4", "numba 2").continued_from == "w1"
    # Features that were spoiled on the disk come right when they are made again, by the state of
    # the period before.
    manifest = market.lake.manifest("features", "w4")["made_from"]
    market.lake.write(
        "features",
        "w4",
        market.lake.read("features", ["w4"]).with_columns(log_return=0.5),
        manifest,
    )
    assert made("w4", "numba 2").computed_bars == 0
    healed = made("w4", "numba 2", again=True)
    assert healed.computed_bars > 0
    assert healed.table.equals(in_one_go(WHOLE).table.filter(pl.col("timestamp") >= STARTS[3]))


def test_a_period_without_bars_passes_states_on(market):
    with_hole = WHOLE.filter(~pl.col("timestamp").is_between(STARTS[1], STARTS[2], closed="left"))
    market.receive(with_hole)
    for key in KEYS:
        market.update(key)
    assert market.lake.read("features", ["w2"]).is_empty()
    assert_whole(market, with_hole)


def test_a_period_that_is_not_of_this_market_is_refused(market):
    with pytest.raises(ConfigError, match=r"'w9' is no trading period.*w1 to w4"):
        market.update("w9")


def test_the_hash_of_bars_sees_rows_and_not_how_the_frame_came_about(tmp_path):
    sliced = (
        pl.concat([WHOLE.tail(5), WHOLE])
        .sample(fraction=1.0, shuffle=True, seed=1)
        .unique()
        .sort("symbol", "timestamp")
    )
    WHOLE.write_parquet(tmp_path / "bars.parquet")
    assert (
        bars_hash(sliced)
        == bars_hash(WHOLE)
        == bars_hash(pl.read_parquet(tmp_path / "bars.parquet"))
    )
    for name, value in (
        ("symbol", pl.lit("AB")),
        ("session", pl.lit("post")),
        ("volume", pl.col("volume") + 1),
        ("adjustment_factor", pl.col("close")),
    ):
        assert bars_hash(WHOLE.with_columns(value.alias(name))) != bars_hash(WHOLE), name
    # no feature reads it
    assert bars_hash(WHOLE.with_columns(vwap=pl.lit(1.0))) == bars_hash(WHOLE)


def test_the_sums_of_the_hash_are_those_of_their_definition():
    """Against the same steps in whole numbers of Python, for lengths around a round of sums."""
    for length in (0, 1, LANES - 1, LANES, LANES + 1, 3 * LANES + 7):
        words = np.random.default_rng(length).integers(0, 2**64, length, np.uint64)
        expected = [0] * LANES
        for place, word in enumerate(words.tolist()):
            mixed = (expected[place % LANES] ^ word) * 0x9E3779B97F4A7C15 % 2**64
            expected[place % LANES] = mixed ^ (mixed >> 29)
        sums = np.zeros(LANES, np.uint64)
        mix(read_only(words), sums)
        assert sums.tolist() == expected


def test_any_changed_number_changes_the_hash():
    """One bit of one number, in every column and in rows of every lane."""
    known = {bars_hash(WHOLE)}
    for name in ("open", "high", "low", "close", "volume", "adjustment_factor"):
        for row in range(0, WHOLE.height, 13):
            numbers = WHOLE[name].to_numpy().copy()
            numbers[row] = np.nextafter(numbers[row], np.inf)
            found = bars_hash(WHOLE.with_columns(pl.Series(name, numbers)))
            assert found not in known
            known.add(found)


def test_bars_of_many_pieces_are_put_into_one_without_a_change():
    cut = pl.concat([WHOLE[:7], WHOLE[7:100], WHOLE[100:]], rechunk=False)
    whole = in_one_piece(cut)
    assert whole.equals(WHOLE)
    assert whole.schema == WHOLE.schema
    assert {whole[name].n_chunks() for name in ("timestamp", "close", "volume")} == {1}
    missing = cut.with_columns(volume=pl.when(pl.col("volume") > 0).then(pl.col("open")))
    assert in_one_piece(missing).equals(missing)
