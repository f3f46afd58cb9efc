"""Columns that compare symbols: against plain definitions, cut anywhere, one moment at a time, and
blind to the future.
"""

import math
import statistics
from datetime import timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from features.feature_markets import XNYS, at, heard, random_bars
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.features.catalog import FeatureSet, Peers, parse_name
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.features.live import LiveFeatures
from harmony_pipeline.features.state import state_frame

SYMBOLS = ("AA", "BRK", "C", "DE")
SECTORS = {"AA": "metals", "C": "banks", "DE": "metals"}  # BRK has none
COMPARED = ("momentum_3", "volume_z_4", "vwap_distance")
NAMES = (
    *(
        f"{kind}_{name}"
        for kind in ("cross_rank", "cross_z", "market_relative", "sector_relative")
        for name in COMPARED
    ),
    "market_return", "beta_6", "residual_return_6", "cross_rank_residual_return_6",
    "market_relative_beta_6", "rsi_5", "cusum_event",
)  # fmt: skip
BARS = random_bars(7, SYMBOLS, missing=0.4, last=at("2024-03-08").date())
MEAN = FeatureSet.of(NAMES, 1.0, Peers(None, SECTORS))
BENCHMARK = FeatureSet.of(NAMES, 1.0, Peers("C", SECTORS))


def computed(bars, feature_set, states=None):
    return compute_features(bars, feature_set, states, XNYS, "15Min")


def same(left, right):
    """Bit for bit."""
    return left.columns == right.columns and all(
        np.array_equal(
            left[name].fill_null(math.nan).to_numpy().view(np.int64),
            right[name].fill_null(math.nan).to_numpy().view(np.int64),
        )
        for name in left.columns[2:]
    )


# --- definitions ----------------------------------------------------------------------------------


def by_moment(table, name):
    """{timestamp: {symbol: value}} of the rows where the column is known."""
    found = {}
    for symbol, moment, value in table.select("symbol", "timestamp", name).iter_rows():
        row = found.setdefault(moment, {})
        if value is not None:
            row[symbol] = value
    return found


def rank(values, symbol):
    others = [value for other, value in values.items() if other != symbol]
    mine = values[symbol]
    below = sum(value < mine for value in others) + sum(value == mine for value in others) / 2
    return below / len(others) if others else 0.5


def z_score(values, symbol):
    deviation = statistics.stdev(values.values()) if len(values) > 1 else 0.0
    return (values[symbol] - statistics.mean(values.values())) / deviation if deviation else 0.0


def market_value(values, benchmark):
    chosen = [v for s, v in values.items() if benchmark in (None, s)]
    return statistics.mean(chosen) if chosen else None


def market_distance(values, symbol, benchmark):
    market = market_value(values, benchmark)
    return None if market is None else values[symbol] - market


def sector_distance(values, symbol):
    if symbol not in SECTORS:
        return None
    mates = [v for other, v in values.items() if SECTORS.get(other) == SECTORS[symbol]]
    return values[symbol] - statistics.mean(mates)


def expected(kind, values, symbol, benchmark):
    if symbol not in values:
        return None
    return {
        "cross_rank": lambda: rank(values, symbol),
        "cross_z": lambda: z_score(values, symbol),
        "market_relative": lambda: market_distance(values, symbol, benchmark),
        "sector_relative": lambda: sector_distance(values, symbol),
    }[kind]()


@pytest.mark.parametrize("feature_set", [MEAN, BENCHMARK], ids=["mean", "benchmark"])
def test_every_comparison_is_its_plain_definition(feature_set):
    alone = computed(BARS, FeatureSet.of(COMPARED)).table
    table = computed(BARS, feature_set).table
    for compared in COMPARED:
        values = by_moment(alone, compared)
        for kind in ("cross_rank", "cross_z", "market_relative", "sector_relative"):
            known = table.select("symbol", "timestamp", f"{kind}_{compared}").iter_rows()
            for symbol, moment, found in known:
                right = expected(kind, values[moment], symbol, feature_set.peers.benchmark)
                assert (found is None) == (right is None), (kind, compared, symbol, moment)
                if right is not None:
                    assert found == pytest.approx(right, rel=1e-9, abs=1e-12)


@pytest.mark.parametrize("feature_set", [MEAN, BENCHMARK], ids=["mean", "benchmark"])
def test_beta_and_residual_are_those_of_the_last_pairs(feature_set):
    returns = computed(BARS, FeatureSet.of(["log_return"])).table
    market = {
        moment: market_value(values, feature_set.peers.benchmark)
        for moment, values in by_moment(returns, "log_return").items()
    }
    table, known = computed(BARS, feature_set).table, 0
    pairs = {symbol: [] for symbol in SYMBOLS}
    rows = table.join(returns, on=["symbol", "timestamp"], maintain_order="left")
    for row in rows.iter_rows(named=True):
        index = market[row["timestamp"]]
        assert row["market_return"] == (None if index is None else pytest.approx(index, rel=1e-12))
        mine = pairs[row["symbol"]]
        if row["log_return"] is None or index is None:
            assert row["beta_6"] is None
            continue
        mine.append((index, row["log_return"]))
        if len(mine) < 6:
            assert row["beta_6"] is None
            continue
        x, y = np.array(mine[-6:]).T
        beta = np.cov(x, y)[0, 1] / np.var(x, ddof=1) if np.ptp(x) > 0 else 0.0
        assert row["beta_6"] == pytest.approx(beta, rel=1e-7, abs=1e-9)
        assert row["residual_return_6"] == pytest.approx(y.sum() - beta * x.sum(), abs=1e-9)
        known += 1
    assert known > 200


def test_ties_missing_symbols_and_one_symbol_alone():
    start = at("2024-03-05", "14:30")
    closes = {  # by symbol, of three moments in a row
        "A": (10.0, 11.0, 11.0), "B": (20.0, 22.0, None), "C": (5.0, 5.0, None),
        "D": (8.0, 4.0, None), "E": (None, 7.0, None),
    }  # fmt: skip
    rows = [
        (symbol, start + place * timedelta(minutes=15), close)
        for symbol, path in closes.items()
        for place, close in enumerate(path)
        if close is not None
    ]
    bars = pl.DataFrame(
        rows,
        schema={"symbol": pl.String, "timestamp": pl.Datetime("us", "UTC"), "close": pl.Float64},
        orient="row",
    ).with_columns(
        session=pl.lit("regular"),
        open="close",
        high="close",
        low="close",
        volume=1.0,
        adjustment_factor=1.0,
    )
    names = [f"{kind}_roc_1" for kind in ("cross_rank", "cross_z", "market_relative")]
    table = computed(bars, FeatureSet.of(names)).table
    found = {(s, (t - start).seconds // 900): values for s, t, *values in table.iter_rows()}
    # roc: A and B 0.1, C 0, D -0.5; E has no bar before and counts for nothing
    ranks = {symbol: found[symbol, 1][0] for symbol in "ABCDE"}
    assert ranks == {"A": 5 / 6, "B": 5 / 6, "C": 1 / 3, "D": 0.0, "E": None}
    assert found["C", 1][2] == pytest.approx(0.075)
    assert found["A", 2] == [0.5, 0.0, 0.0]  # alone
    assert found["A", 0] == [None, None, None]


def test_a_market_whose_symbols_all_move_alike_deviates_by_exactly_nothing():
    one = random_bars(3, ("A",), missing=0.0, last=at("2024-02-28").date())
    bars = pl.concat([one.with_columns(symbol=pl.lit(name)) for name in ("A", "B", "C")])
    names = ["cross_z_momentum_3", "market_relative_momentum_3", "beta_5", "residual_return_5"]
    table = computed(bars, FeatureSet.of(names)).table.drop_nulls()
    assert table.height > 100
    assert set(table["cross_z_momentum_3"]) == set(table["market_relative_momentum_3"]) == {0.0}
    moving = table.filter(pl.col("beta_5") != 0.0)
    assert moving["beta_5"].to_numpy() == pytest.approx(1.0)
    assert table["residual_return_5"].to_numpy() == pytest.approx(0.0, abs=1e-15)


# --- laws -----------------------------------------------------------------------------------------


@given(data=st.data())
@settings(max_examples=10)
def test_any_cut_between_moments_gives_the_same_bits(data):
    feature_set = data.draw(st.sampled_from([MEAN, BENCHMARK]))
    moments = BARS["timestamp"].unique().sort()
    cuts = sorted(data.draw(st.sets(st.integers(1, len(moments) - 1), max_size=4)))
    edges = [moments[0], *(moments[cut] for cut in cuts), moments[-1] + timedelta(minutes=1)]
    states, pieces = None, []
    for begin, end in pairwise(edges):
        piece = BARS.filter((pl.col("timestamp") >= begin) & (pl.col("timestamp") < end))
        result = computed(piece, feature_set, states)
        states, _ = result.states, pieces.append(result.table)
    whole = computed(BARS, feature_set)
    assert same(pl.concat(pieces).sort("symbol", "timestamp"), whole.table)
    assert states.equals(whole.states)


@pytest.mark.parametrize("feature_set", [MEAN, BENCHMARK], ids=["mean", "benchmark"])
def test_moment_by_moment_gives_the_bits_of_the_whole(feature_set):
    middle = at("2024-03-04")
    before, after = (
        BARS.filter(pl.col("timestamp") < middle),
        BARS.filter(pl.col("timestamp") >= middle),
    )
    saved = computed(before, feature_set).states
    whole = computed(after, feature_set, saved)
    live = LiveFeatures(feature_set, saved)
    assert same(heard(live, after), whole.table)
    assert state_frame(live.snapshot(), feature_set).equals(whole.states)


def test_later_bars_and_bars_of_symbols_that_come_later_change_nothing_before_them():
    moment = at("2024-03-04", "16:00")
    later = pl.col("timestamp") >= moment
    changed = BARS.with_columns(
        pl.when(later).then(pl.col(n) * 1.7).otherwise(n).alias(n)
        for n in ("open", "high", "low", "close", "volume")
    )
    new = random_bars(99, ("ZZ",), last=at("2024-03-08").date()).filter(later)
    known = computed(BARS, MEAN).table.filter(~later)
    assert same(known, computed(pl.concat([changed, new]), MEAN).table.filter(~later))
    assert same(known, computed(BARS.filter(~later), MEAN).table)


def test_comparing_changes_no_other_column_and_the_order_of_symbols_no_value():
    whole = computed(BARS, MEAN).table
    alone = computed(BARS, FeatureSet.of(["rsi_5", "cusum_event"], 1.0)).table
    assert same(whole.select(alone.columns), alone)


def test_many_rows_on_several_threads_and_blocks_are_the_same(monkeypatch):
    from harmony_pipeline.features import compute

    whole = computed(BARS, MEAN).table
    monkeypatch.setattr(compute, "ROUND_BARS", 50)
    monkeypatch.setattr(compute, "SHARED_ROWS", 1)
    monkeypatch.setattr(pl, "thread_pool_size", lambda: 3)
    assert same(computed(BARS, MEAN).table, whole)


# --- names, hashes, refusals ----------------------------------------------------------------------


def test_the_hash_sees_benchmark_and_sectors_where_they_matter():
    names = ["cross_rank_rsi_14", "sector_relative_rsi_14"]
    made = [
        FeatureSet.of(names, 1.5, peers).hash
        for peers in (
            Peers(None, SECTORS), Peers("C", SECTORS), Peers(None, SECTORS | {"BRK": "banks"}),
        )
    ]  # fmt: skip
    assert len(set(made)) == 3
    plain = FeatureSet.of(["rsi_14"])
    assert FeatureSet.of(["rsi_14"], 1.5, Peers("C", SECTORS)).hash == plain.hash
    assert (plain.compares, MEAN.compares, len(plain.rounds), len(MEAN.rounds)) == (
        False, True, 1, 2,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("cross_rank_momentm_20", "did you mean 'momentum_20'"),
        ("cross_rank_momentum", "write it as momentum_N"),
        ("cross_rank_", "unknown feature ''"),
        ("cross_z_cross_rank_rsi_14", "cross_rank_rsi_14 compares symbols itself"),
        ("cross_rank_market_return", "market_return compares symbols itself"),
        ("sector_relative_rsi_14", r"no symbol has a sector.*features\.sectors"),
        ("beta_1", "N of beta_N must be a whole number from 2"),
    ],
)
def test_a_comparison_that_means_nothing_is_refused(name, said):
    with pytest.raises(ConfigError, match=said):
        FeatureSet.of([name])


def test_a_comparison_has_the_numbers_of_the_column_that_it_compares():
    indicator, numbers = parse_name("cross_rank_macd_12_26_9")
    assert (indicator.pattern, numbers) == ("cross_rank_macd_F_S_G", (12, 26, 9))
    assert indicator.reads(*numbers) == ("macd_12_26_9",)


def test_half_a_moment_is_refused():
    moment = at("2024-03-04", "16:00")
    saved = computed(BARS.filter(pl.col("timestamp") <= moment), MEAN).states
    late = BARS.filter((pl.col("symbol") == "AA") & (pl.col("timestamp") > moment))
    ahead = computed(late, MEAN, saved).states
    others = BARS.filter((pl.col("symbol") != "AA") & (pl.col("timestamp") > moment))
    with pytest.raises(DataError, match=r"saved feature state of AA.*from one moment"):
        computed(others, MEAN, ahead)
    bar = ("C", at("2024-03-05", "15:00"), 2.0, 2.0, 2.0, 2.0, 1.0, at("2024-03-05").date(), True)
    live = LiveFeatures(MEAN)
    with pytest.raises(DataError, match="C: this feature set compares symbols"):
        live.update(*bar)
    with pytest.raises(DataError, match="not one bar each of one moment"):
        live.update_moment([bar, bar])
    live.update_moment([bar])
    with pytest.raises(DataError, match="AA: bar 2024-03-05 15:00 is not after"):
        live.update_moment([("AA", *bar[1:])])
    with pytest.raises(DataError, match=r"C: .*impossible"):
        live.update_moment(
            [("AA", at("2024-03-05", "15:15"), *bar[2:]),
             ("C", at("2024-03-05", "15:15"), -1.0, *bar[3:])]
        )  # fmt: skip
    assert live.snapshot().keys() == {"C"}
    with pytest.raises(DataError, match="cross_rank_momentum_3 compares symbols"):
        MEAN.fold(MEAN.initial_state(), np.ones((8, 3)))
