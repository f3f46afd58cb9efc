"""Columns of a sector by the sectors that were known on each day: against a plain definition, cut
anywhere, one moment at a time, period by period, and blind to the future.
"""

import math
import statistics
from datetime import date, timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from features.feature_markets import XNYS, at, heard, random_bars
from features.test_cross_section import by_moment, same
from features.test_incremental_features import KEYS, STARTS
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.features import catalog
from harmony_pipeline.features.catalog import FeatureSet, Indicator, Peers
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.features.incremental import PeriodSectors, chains_of, update_features
from harmony_pipeline.features.live import LiveFeatures
from harmony_pipeline.features.settings import FeatureSettings
from harmony_pipeline.features.state import state_frame
from harmony_pipeline.kernel import kernel
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.sectors import Sectors
from harmony_pipeline.robustness.look_ahead import KnownTable, truncation_differences
from harmony_pipeline.schemas import features_table

SYMBOLS = ("AA", "BRK", "C", "DE", "F")
COMPARED = ("momentum_3", "volume_z_4")
NAMES = (
    *(f"sector_relative_{name}" for name in COMPARED),
    "cross_rank_momentum_3", "market_return", "beta_6", "rsi_5",
)  # fmt: skip
KNOWN = FeatureSet.of(NAMES, 1.0, Peers(None, sectors_as_known=True))
BARS = random_bars(17, SYMBOLS, missing=0.3)  # 26 February to 15 March 2024, a Friday
UNIVERSE = pl.DataFrame(
    [
        (date(2023, 1, 5), "AA", "metals"), (date(2024, 3, 5), "AA", "banks"),
        (date(2024, 3, 12), "AA", "metals"),
        (date(2024, 3, 4), "BRK", "banks"),  # a Monday; not known before it
        (date(2020, 1, 1), "C", "banks"), (date(2024, 3, 1), "C", None),  # which says nothing
        (date(2024, 3, 7), "C", "banks"),  # nor does this
        (date(2024, 3, 9), "DE", "metals"),  # a Saturday: counts from Monday
        # of F nothing is known; of G there is no bar
        (date(2024, 2, 1), "G", "metals"), (date(2030, 1, 1), "BRK", "metals"),
    ],
    schema={"date": pl.Date, "symbol": pl.String, "sector": pl.String},
    orient="row",
)  # fmt: skip
SECTORS = Sectors.of_table(UNIVERSE)


def computed(bars, states=None, sectors=SECTORS, feature_set=KNOWN):
    return compute_features(bars, feature_set, states, XNYS, "15Min", None, sectors)


def sector_on(symbol, day, universe=UNIVERSE):
    """The plain definition: the last row that states a sector, of those known on the day."""
    rows = universe.filter(
        (pl.col("symbol") == symbol) & (pl.col("date") <= day) & pl.col("sector").is_not_null()
    ).sort("date")
    return rows["sector"][-1] if rows.height else None


# --- definition -----------------------------------------------------------------------------------


def test_a_column_of_a_sector_is_its_plain_definition_on_every_day():
    alone = computed(BARS, feature_set=FeatureSet.of(COMPARED)).table
    table = computed(BARS).table
    days = dict(
        zip(BARS["timestamp"], XNYS.with_session(BARS, "15Min")["session_date"], strict=True)
    )
    sectors = {
        (symbol, day): sector_on(symbol, day) for symbol in SYMBOLS for day in set(days.values())
    }
    seen = {symbol: set() for symbol in SYMBOLS}
    for compared in COMPARED:
        values = by_moment(alone, compared)
        column = table.select("symbol", "timestamp", f"sector_relative_{compared}")
        for symbol, moment, found in column.iter_rows():
            day = days[moment]
            mine = sectors[symbol, day]
            if mine is None or symbol not in values[moment]:
                assert found is None, (symbol, moment)
                continue
            mates = [v for other, v in values[moment].items() if sectors[other, day] == mine]
            expected = values[moment][symbol] - statistics.mean(mates)
            assert found == pytest.approx(expected, rel=1e-9, abs=1e-12), (symbol, moment)
            seen[symbol].add(mine)
    assert seen == {
        "AA": {"metals", "banks"}, "BRK": {"banks"}, "C": {"banks"}, "DE": {"metals"}, "F": set(),
    }  # fmt: skip


def test_a_change_counts_from_the_first_bar_of_its_day_before_the_open_too():
    bars = random_bars(5, ("A", "B"), missing=0.0)
    change = date(2024, 3, 5)
    universe = UNIVERSE.clear().vstack(
        pl.DataFrame(
            [(date(2024, 1, 1), "A", "x"), (date(2024, 1, 1), "B", "y"), (change, "B", "x")],
            schema=UNIVERSE.schema,
            orient="row",
        )
    )
    table = computed(bars, sectors=Sectors.of_table(universe)).table
    first = XNYS.schedule(change, date(2024, 3, 6))["open"][0] - timedelta(hours=1)
    moved = table.filter(symbol="A").drop_nulls("sector_relative_momentum_3")
    moved = moved.with_columns(apart=pl.col("sector_relative_momentum_3") != 0.0)
    assert not moved.filter(pl.col("timestamp") < first)["apart"].any()
    assert moved.filter(pl.col("timestamp") == first)["apart"].item()


@pytest.mark.parametrize(
    ("calendar", "timeframe", "step"),
    [("XNYS", "1Day", 86_400), ("CMES", "1Hour", 3_600), ("24/7", "1Hour", 3_600)],
)
def test_days_are_those_of_sessions_in_any_market(calendar, timeframe, step):
    """Daily bars, sessions that begin the evening before, and no close at all: research, which cuts
    rows at changes, and a session, which asks for each bar's day.
    """
    exchange = Calendar.of(calendar)
    every = pl.datetime_range(
        at("2024-02-20"), at("2024-03-20"), timedelta(seconds=step), time_unit="us", eager=True
    )
    inside = exchange.with_session(pl.DataFrame({"symbol": "A", "timestamp": every}), timeframe)
    stamps = inside.drop_nulls("session_date")["timestamp"]
    rng, frames = np.random.default_rng(8), []
    for symbol in ("A", "B", "C"):
        close = 50.0 * np.exp(np.cumsum(rng.normal(0.0, 0.01, len(stamps))))
        frames.append(
            pl.DataFrame({"symbol": symbol, "timestamp": stamps, "close": close}).with_columns(
                session=pl.lit("regular"), open="close", high="close", low="close", volume=1.0,
                adjustment_factor=1.0,
            )
        )  # fmt: skip
    bars = pl.concat(frames)
    days = [date(2024, 3, day) for day in range(1, 16)]
    rows = [(days[0] - timedelta(days=90), each, "x") for each in "ABC"]
    rows += [(day, "B", "xy"[number % 2]) for number, day in enumerate(days)]
    universe = pl.DataFrame(rows, schema=UNIVERSE.schema, orient="row")
    chosen = FeatureSet.of(["sector_relative_log_return"], peers=Peers(sectors_as_known=True))
    known = Sectors.of_table(universe)
    whole = compute_features(bars, chosen, None, exchange, timeframe, None, known).table
    dated = exchange.with_session(bars, timeframe)
    alone = compute_features(bars, FeatureSet.of(["log_return"]), None, exchange, timeframe).table
    values, live, checked = (
        by_moment(alone, "log_return"),
        LiveFeatures(chosen, None, None, known),
        0,
    )
    for _, moment in dated.sort("timestamp", "symbol").group_by("timestamp", maintain_order=True):
        found = live.update_moment(
            moment.select(
                "symbol", "timestamp", "open", "high", "low", "close", "volume", "session_date",
                pl.lit(value=True), "adjustment_factor",
            ).rows()
        )  # fmt: skip
        stamp = moment["timestamp"][0]
        at_once = whole.filter(pl.col("timestamp") == stamp)["sector_relative_log_return"]
        assert np.array_equal(found[:, 0], at_once.fill_null(math.nan).to_numpy(), equal_nan=True)
        day = moment["session_date"][0]
        together = sector_on("B", day, universe) == "x"
        for symbol, value in values[stamp].items():
            mates = "ABC" if together else "AC" if symbol != "B" else "B"
            right = value - statistics.mean(values[stamp][each] for each in mates)
            mine = at_once[moment["symbol"].to_list().index(symbol)]
            assert mine == pytest.approx(right, rel=1e-9, abs=1e-12)
            checked += 1
    assert checked > 30


def test_sectors_that_never_change_have_the_bits_of_those_of_the_settings():
    named = {"AA": "metals", "C": "banks", "DE": "metals"}
    fixed = FeatureSet.of(NAMES, 1.0, Peers(None, named))
    rows = [(date(2020, 1, 1), symbol, sector) for symbol, sector in named.items()]
    universe = pl.DataFrame(rows, schema=UNIVERSE.schema, orient="row")
    same_bits = computed(BARS, sectors=Sectors.of_table(universe)).table
    assert same(same_bits, computed(BARS, None, None, fixed).table)
    assert not same(same_bits, computed(BARS).table)


# --- laws -----------------------------------------------------------------------------------------


@given(data=st.data())
@settings(max_examples=10)
def test_any_cut_between_moments_gives_the_same_bits(data):
    moments = BARS["timestamp"].unique().sort()
    cuts = sorted(data.draw(st.sets(st.integers(1, len(moments) - 1), max_size=4)))
    edges = [moments[0], *(moments[cut] for cut in cuts), moments[-1] + timedelta(minutes=1)]
    states, pieces = None, []
    for begin, end in pairwise(edges):
        piece = BARS.filter((pl.col("timestamp") >= begin) & (pl.col("timestamp") < end))
        # a row of the universe that is dated later is not there yet
        known = Sectors.of_table(UNIVERSE.filter(pl.col("date") <= end.date()))
        result = computed(piece, states, known)
        states, _ = result.states, pieces.append(result.table)
    whole = computed(BARS)
    assert same(pl.concat(pieces).sort("symbol", "timestamp"), whole.table)
    assert states.equals(whole.states)


def test_moment_by_moment_gives_the_bits_of_the_whole():
    middle = at("2024-03-04")
    after = BARS.filter(pl.col("timestamp") >= middle)
    saved = computed(BARS.filter(pl.col("timestamp") < middle)).states
    whole = computed(after, saved)
    live = LiveFeatures(KNOWN, saved, None, SECTORS)
    assert same(heard(live, after), whole.table)
    assert state_frame(live.snapshot(), KNOWN).equals(whole.states)


@kernel
def _summed(bars, x, state, parameters, values):
    for i in range(values.size):
        if not math.isnan(x[i]):
            state[0] += x[i]
        values[i] = state[0]


def test_a_column_of_ones_own_may_read_one_of_a_sector_and_remember_it(monkeypatch):
    """Which is read, and is no column of the set itself."""
    own = Indicator(
        "ahead_so_far", (), _summed, lambda: 1, "sum of what it ran ahead of its sector",
        reads=lambda: ("sector_relative_momentum_3",),
    )  # fmt: skip
    monkeypatch.setitem(catalog._BY_KIND, "ahead_so_far", own)
    chosen = FeatureSet.of(["ahead_so_far"], peers=Peers(sectors_as_known=True))
    assert chosen.reads_sectors
    with pytest.raises(ConfigError, match="no symbol has a sector"):
        FeatureSet.of(["ahead_so_far"])
    whole = computed(BARS, feature_set=chosen)
    read = computed(BARS).table["sector_relative_momentum_3"].fill_null(0.0)
    table = (
        computed(BARS)
        .table.select("symbol", x=read)
        .with_columns(total=pl.col("x").cum_sum().over("symbol"))
    )
    np.testing.assert_allclose(whole.table["ahead_so_far"], table["total"], rtol=1e-9, atol=1e-12)
    moment = at("2024-03-05", "16:00")
    before = computed(BARS.filter(pl.col("timestamp") < moment), feature_set=chosen)
    after = computed(BARS.filter(pl.col("timestamp") >= moment), before.states, feature_set=chosen)
    assert same(pl.concat([before.table, after.table]).sort("symbol", "timestamp"), whole.table)


@given(edge=st.integers(1, BARS["timestamp"].n_unique() - 1), seed=st.integers(0, 50))
@settings(max_examples=10)
def test_whatever_the_universe_says_later_moves_nothing_before(edge, seed):
    moment = BARS["timestamp"].unique().sort()[edge]
    day = XNYS.session_dates(pl.Series([moment]))[0]
    rng = np.random.default_rng(seed)
    later = pl.DataFrame(
        {
            "date": [day + timedelta(days=int(n)) for n in rng.integers(1, 9, 12)],
            "symbol": rng.choice(SYMBOLS, 12),
            "sector": rng.choice(["a new sector", "metals", "utilities"], 12),
        }
    )
    other = pl.concat([UNIVERSE.filter(pl.col("date") <= day), later])
    before = pl.col("timestamp") <= moment
    known = computed(BARS).table.filter(before)
    assert same(known, computed(BARS, sectors=Sectors.of_table(other)).table.filter(before))


def test_sectors_of_the_future_are_caught_when_they_are_planted():
    opens = XNYS.table.select("date", known_at="pre_open")
    universe = UNIVERSE.drop_nulls().sort("date").join_asof(opens, on="date", strategy="forward")
    ended = pl.col("timestamp") + timedelta(minutes=15)
    tables = {
        "bars": KnownTable(BARS, ended),
        "universe": KnownTable(universe.drop_nulls("known_at"), pl.col("known_at")),
    }
    stamps = BARS["timestamp"].unique().sort()
    moments = [stamps[len(stamps) // 3], stamps[len(stamps) // 2]]

    def honest(tables):
        return computed(tables["bars"], sectors=Sectors.of_table(tables["universe"])).table

    def leaking(tables):  # the sector that a symbol has at the end, for all time
        latest = tables["universe"].sort("date").unique("symbol", keep="last")
        early = latest.with_columns(date=pl.lit(date(2020, 1, 1)))
        return computed(tables["bars"], sectors=Sectors.of_table(early)).table

    assert truncation_differences(honest, tables, ended, moments).is_empty()
    found = truncation_differences(leaking, tables, ended, moments)
    assert found.height > 20
    assert all("sector_relative" in finding for finding in found["finding"])


# --- period by period -----------------------------------------------------------------------------

ENDS = {key: start.date() for key, start in zip(KEYS, STARTS[1:], strict=True)}


class Market:
    """A lake whose bars and sectors arrive, and the run that keeps its features up to date."""

    def __init__(self, root):
        self.lake = Lake(root, {"features": features_table(KNOWN.names)}).open()

    def receive(self, bars):
        for key, (start, end) in zip(KEYS, pairwise(STARTS), strict=True):
            rows = bars.filter(pl.col("timestamp").is_between(start, end, closed="left"))
            if rows.height:
                self.lake.write("bars", key, rows)
        return self

    def chains(self, universe):
        known = PeriodSectors(Sectors.of_table(universe), ENDS)
        return chains_of(self.lake, KEYS, KNOWN, XNYS, "15Min", sectors=known)

    def update(self, key, universe=UNIVERSE):
        known = PeriodSectors(Sectors.of_table(universe), ENDS)
        result = update_features(self.lake, key, KEYS, KNOWN, XNYS, "15Min", sectors=known)
        self.lake.write("features", key, result.table, result.made_from)
        self.lake.write("feature_state", key, result.states, result.made_from)
        return result

    def update_all(self, universe=UNIVERSE):
        return [self.update(key, universe) for key in KEYS if self.lake.has("bars", key)]


def assert_whole(market, bars, universe=UNIVERSE):
    expected = computed(bars, sectors=Sectors.of_table(universe))
    assert market.lake.read("features").equals(expected.table)


def row(day, symbol, sector):
    return pl.DataFrame([(day, symbol, sector)], schema=UNIVERSE.schema, orient="row")


@pytest.fixture
def market(tmp_path):
    return Market(tmp_path)


def test_period_by_period_is_the_whole(market):
    results = market.receive(BARS).update_all()
    assert_whole(market, BARS)
    assert [result.continued_from for result in results] == ["", "w1", "w2", "w3"]
    again = market.update_all()
    assert [result.computed_bars for result in again] == [0, 0, 0, 0]


def test_grown_day_by_day_with_a_growing_universe_computes_every_bar_once(market):
    computed_bars = 0
    for number in range(1, 20):
        day = STARTS[0] + timedelta(days=number)
        market.receive(BARS.filter(pl.col("timestamp") < day))
        known = UNIVERSE.filter(pl.col("date") < day.date())
        key = [key for key, start in zip(KEYS, STARTS, strict=False) if start < day][-1]
        computed_bars += market.update(key, known).computed_bars
    assert_whole(market, BARS)
    assert computed_bars == BARS.height


def test_a_later_row_makes_no_earlier_period_again_and_a_used_one_makes_those_from_it_on(market):
    market.receive(BARS).update_all()
    before = market.chains(UNIVERSE)
    later = pl.concat([UNIVERSE, row(date(2024, 3, 13), "F", "metals")])  # in w4
    changed = market.chains(later)
    assert [key for key in KEYS if changed[key] != before[key]] == ["w4"]
    assert [each.computed_bars > 0 for each in market.update_all(later)] == [
        False, False, False, True,
    ]  # fmt: skip
    assert_whole(market, BARS, later)
    used = UNIVERSE.filter(pl.col("date") != date(2024, 3, 5))  # in w2
    changed = market.chains(used)
    assert [key for key in KEYS if changed[key] != before[key]] == ["w2", "w3", "w4"]
    assert market.update("w4", used).continued_from == "w1"
    market.update_all(used)
    assert_whole(market, BARS, used)


def test_a_row_that_repeats_what_was_known_changes_nothing(market):
    repeated = pl.concat([UNIVERSE, row(date(2024, 3, 6), "AA", "banks")])
    market.receive(BARS)
    assert market.chains(repeated) == market.chains(UNIVERSE)


def test_a_change_in_a_symbol_without_bars_makes_no_period_again(market):
    """A universe names thousands of symbols, a lake some of them."""
    until = at("2024-03-14")
    bars = BARS.filter((pl.col("symbol") != "F") | (pl.col("timestamp") < STARTS[2]))
    market.receive(bars.filter(pl.col("timestamp") < until)).update_all()
    before = market.chains(UNIVERSE)
    others = [row(date(2024, 3, day), "G", sector) for day, sector in ((5, "a"), (12, "b"))]
    stranger = pl.concat([UNIVERSE, *others])
    assert market.chains(stranger) == before
    # F has no bar from w3 on, so that its sector from then on concerns nobody
    gone = pl.concat([stranger, row(date(2024, 3, 13), "F", "metals")])
    assert market.chains(gone) == before
    result = market.receive(bars).update("w4", gone)
    assert result.continued_from == "w4"
    assert_whole(market, bars, gone)
    heard = pl.concat([stranger, row(date(2024, 3, 6), "F", "metals")])
    assert market.chains(heard)["w2"] != before["w2"]


def test_a_row_that_is_dated_back_into_what_was_covered_makes_the_running_period_again(market):
    until = at("2024-03-14")
    grown = BARS.filter(pl.col("timestamp") < until)
    market.receive(grown).update_all()
    market.receive(BARS)
    ahead = pl.concat([UNIVERSE, row(date(2024, 3, 14), "C", "metals")])
    result = market.update("w4", ahead)  # the first day of the new bars: they alone are computed
    assert (result.continued_from, result.computed_bars) == ("w4", BARS.height - grown.height)
    assert_whole(market, BARS, ahead)
    back = pl.concat([ahead, row(date(2024, 3, 13), "F", "metals")])
    assert market.update("w4", back).continued_from == "w3"
    assert_whole(market, BARS, back)


# --- settings, hashes, refusals -------------------------------------------------------------------


def test_the_hash_sees_where_sectors_come_from_and_only_where_a_column_reads_them():
    known, named = Peers(sectors_as_known=True), Peers(sectors={"AA": "metals"})
    of = [FeatureSet.of(["sector_relative_rsi_14"], 1.5, peers).hash for peers in (known, named)]
    assert len(set(of)) == 2
    for names in (["rsi_14"], ["cross_rank_rsi_14", "beta_20"]):
        assert FeatureSet.of(names, peers=known).hash == FeatureSet.of(names).hash
        assert not FeatureSet.of(names, peers=known).reads_sectors


def test_a_set_that_reads_sectors_is_refused_without_them(market):
    with pytest.raises(DataError, match=r"reads sectors.*Sectors\.of_table"):
        computed(BARS, sectors=None)
    with pytest.raises(DataError, match="reads sectors"):
        LiveFeatures(KNOWN)
    with pytest.raises(DataError, match="reads sectors"):
        update_features(market.receive(BARS).lake, "w1", KEYS, KNOWN, XNYS, "15Min")
    with pytest.raises(ConfigError, match=r"features\.sectors.*sector_source"):
        FeatureSet.of(["sector_relative_rsi_14"])


@pytest.mark.parametrize(
    ("chosen", "as_known"),
    [
        ({}, True),
        ({"sectors": {"AA": "metals"}}, False),
        ({"sector_source": "settings"}, False),
        ({"sector_source": "universe"}, True),
    ],
)
def test_sectors_are_those_of_the_settings_where_these_name_some(chosen, as_known):
    assert FeatureSettings(**chosen).sectors_as_known is as_known


def test_names_that_would_not_be_read_are_refused_and_defaults_leave_ids_as_they_were():
    with pytest.raises(ValueError, match=r"does not read these"):
        FeatureSettings(sector_source="universe", sectors={"AA": "metals"})
    assert "sector_source" not in FeatureSettings().model_dump(mode="json")
