"""A lake as a source: the contract, the versions, the pace, and how much it reads."""

import itertools
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.market.periods import periods_between
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.source_settings import ReplaySettings, SimulatedSourceSettings
from harmony_pipeline.market.sources import replay
from harmony_pipeline.market.sources.base import SOURCE_BAR_DTYPES, SOURCE_BAR_ORDER
from harmony_pipeline.market.sources.registry import build_source
from harmony_pipeline.market.sources.replay import ReplaySource
from harmony_pipeline.market.sources.simulated import SimulatedSource
from harmony_pipeline.schemas import CORPORATE_ACTIONS, RAW_BARS
from harmony_pipeline.testing.source_contract import SourceContract

START, END = date(2024, 1, 22), date(2024, 2, 9)
FIRST, LAST = datetime(2024, 1, 22, tzinfo=UTC), datetime(2024, 2, 9, tzinfo=UTC)
LEARNED = datetime(2024, 3, 1, tzinfo=UTC)
MARKET = MarketSettings(
    start=START,
    end=END,
    timeframe="1Hour",
    simulated=SimulatedSourceSettings(symbols=3, low_float_symbols=2),
)
PRICES = ("open", "high", "low", "close", "vwap")


def simulated():
    return SimulatedSource(MARKET.simulated, MARKET)


def kept(root, rows, size="month"):
    """A lake that holds `rows`, cut into periods of `size`."""
    lake = Lake(root).open()
    for period in periods_between(START, END, size, "America/New_York"):
        lake.write(
            "raw_bars",
            period.key,
            rows.filter(pl.col("timestamp").is_between(period.start, period.end, closed="left")),
        )
    universe = simulated().universe()
    names = universe["symbol"].unique().sort()
    lake.write(
        "corporate_actions",
        "all",
        pl.DataFrame(
            [(name, START, "split", 2.0) for name in names],
            schema=CORPORATE_ACTIONS.dtypes,
            orient="row",
        ),
    )
    lake.write("universe", "all", universe)
    return lake


@pytest.fixture(scope="module")
def market_rows():
    return simulated().bars(None, FIRST, LAST, "1Hour").with_columns(ingested_at=pl.lit(LEARNED))


@pytest.fixture(scope="module")
def lake(tmp_path_factory, market_rows):
    return kept(tmp_path_factory.mktemp("replay"), market_rows)


class TestReplayIsASource(SourceContract):
    timeframe, start, end = "1Hour", FIRST, LAST
    symbols = tuple(simulated().universe()["symbol"].unique().sort()[:3])
    lacks = dict.fromkeys(
        ("quotes", "trades"),
        "a session replays bars; ticks of the lake are read with SQL (docs/ticks.md)",
    )

    @pytest.fixture
    def source(self, lake):
        return ReplaySource(lake, "1Hour")


def as_latest(rows):
    return rows.select(*SOURCE_BAR_DTYPES).drop("source", "origin")


def test_the_lake_is_told_as_it_was_received(lake, market_rows):
    told = ReplaySource(lake, "1Hour").bars(None, FIRST, LAST, "1Hour")
    assert_frame_equal(
        as_latest(told), as_latest(market_rows.sort(SOURCE_BAR_ORDER)), check_exact=True
    )
    assert told["origin"].unique().to_list() == [f"simulated: seed {MARKET.simulated.seed}"]


def test_the_stream_is_the_bars_in_time_order(lake, monkeypatch):
    source = ReplaySource(lake, "1Hour")
    whole = source.bars(None, FIRST, LAST, "1Hour").sort("timestamp", "symbol")
    for rows_at_once in (1, 300, 10**9):
        monkeypatch.setattr(replay, "_ROWS_AT_ONCE", rows_at_once)
        assert_frame_equal(pl.concat(source.stream(None)), whole, check_exact=True)


def test_the_stream_holds_no_more_than_a_day_at_a_time_when_told_so(lake, monkeypatch):
    monkeypatch.setattr(replay, "_ROWS_AT_ONCE", 1)
    read = []
    told = ReplaySource._latest
    monkeypatch.setattr(
        ReplaySource, "_latest", lambda self, rows: read.append(told(self, rows)) or read[-1]
    )
    assert sum(1 for _ in ReplaySource(lake, "1Hour").stream(None)) > 100
    assert len(read) >= 18
    assert max(each["timestamp"].dt.date().n_unique() for each in read if each.height) == 1


def test_only_partitions_that_can_hold_the_range_are_opened(lake, monkeypatch):
    opened = []
    scan = Lake.scan
    monkeypatch.setattr(
        Lake,
        "scan",
        lambda self, table, keys=None: opened.append(list(keys)) or scan(self, table, keys),
    )
    ReplaySource(lake, "1Hour").bars(None, FIRST, datetime(2024, 1, 25, tzinfo=UTC), "1Hour")
    assert opened == [["2024-01"]]


@given(st.data())
def test_no_row_is_lost_by_the_choice_of_partitions(data):
    size = data.draw(st.sampled_from(["day", "week", "month", "quarter", "year"]))
    zone = data.draw(st.sampled_from(["America/New_York", "Asia/Tokyo", "UTC"]))
    day = data.draw(st.dates(date(1999, 1, 1), date(2030, 1, 1)))
    period = periods_between(day, day + timedelta(days=1), size, zone)[0]
    moment = period.start + (period.end - period.start) * data.draw(st.floats(0, 0.999999))
    assert replay._may_hold(period.key, moment, moment + timedelta(microseconds=1))


# --- versions -------------------------------------------------------------------------------------

STAMPS = [datetime(2024, 1, 22, 15, tzinfo=UTC) + timedelta(hours=at) for at in range(2)]


@st.composite
def versions(draw):
    """Versions of a few bars, learned at a few instants, in any order."""
    rows = draw(
        st.lists(
            st.tuples(
                st.sampled_from(["A", "B"]),
                st.sampled_from(STAMPS),
                st.integers(0, 3),
                st.integers(1, 4),
                st.integers(0, 3),
            ),
            min_size=1,
            max_size=20,
        )
    )
    return draw(st.permutations(rows))


@given(versions(), st.none() | st.integers(0, 3))
@settings(max_examples=12)
def test_the_version_learned_last_is_told_and_neither_order_nor_row_number_matters(
    tmp_path_factory, rows, as_of
):
    frame = pl.DataFrame(
        [
            {
                "symbol": symbol,
                "timeframe": "1Hour",
                "timestamp": stamp,
                **dict.fromkeys(PRICES, float(price)),
                "volume": 1.0,
            }
            | {"source": "x", "ingested_at": LEARNED + timedelta(days=day), "row": row}
            for symbol, stamp, day, price, row in rows
        ]
    )
    lake = kept(tmp_path_factory.mktemp("versions"), RAW_BARS.conform(frame), "year")
    moment = None if as_of is None else LEARNED + timedelta(days=as_of)
    told = ReplaySource(lake, "1Hour", moment).bars(None, FIRST, LAST, "1Hour")
    expected = {}
    # by hand: the greatest (day learned, price) of what was known
    for symbol, stamp, day, price, _ in rows:
        if as_of is None or day <= as_of:
            expected[symbol, stamp] = max(expected.get((symbol, stamp), (-1, -1)), (day, price))
    assert {
        (symbol, stamp.astimezone(UTC)): close
        for symbol, stamp, close in told.select("symbol", "timestamp", "close").iter_rows()
    } == {key: float(price) for key, (_, price) in expected.items()}
    assert told.height == len(expected)


# --- pace and settings ----------------------------------------------------------------------------


def test_a_speed_of_sixty_tells_a_minute_in_a_second_and_waits_for_no_night(lake):
    slept = []
    frames = list(
        itertools.islice(
            ReplaySource(lake, "1Hour", speed=60.0, sleep=slept.append).stream(None), 40
        )
    )
    stamps = [frame["timestamp"][0] for frame in frames]
    gaps = [after - before for before, after in itertools.pairwise(stamps)]
    assert slept == [min(gap, timedelta(hours=1)).total_seconds() / 60.0 for gap in gaps]
    assert max(gaps) > timedelta(hours=1), "no night was seen"


def test_without_a_speed_nothing_sleeps(lake):
    assert sum(
        frame.height
        for frame in ReplaySource(lake, "1Hour", sleep=lambda _: pytest.fail("slept")).stream(None)
    )


def test_it_is_chosen_by_its_name_in_the_settings(lake):
    market = MARKET.model_copy(
        update={
            "source": "replay",
            "replay": ReplaySettings(lake=lake.root.name, as_of=LEARNED, speed=0.0),
        }
    )
    source = build_source(market, lake.root.parent)
    assert isinstance(source, ReplaySource)
    assert source.bars(None, FIRST, LAST, "1Hour").height
    assert "2024-03-01" in source.identity


def test_a_lake_that_is_not_there_is_one_clear_line(tmp_path):
    market = MARKET.model_copy(
        update={"source": "replay", "replay": ReplaySettings(lake="nowhere")}
    )
    with pytest.raises(ConfigError, match=r"market\.replay\.lake is 'nowhere'"):
        build_source(market, tmp_path)


def test_a_moment_without_a_zone_is_refused(lake):
    with pytest.raises(ConfigError, match="names no time zone"):
        ReplaySource(lake, "1Hour", as_of=datetime(2024, 3, 1))  # noqa: DTZ001


def test_batches_of_whole_symbols_make_up_the_bars(lake):
    source = ReplaySource(lake, "1Hour")
    whole = source.bars(None, FIRST, LAST, "1Hour")
    for rows in (1, 200, 10**9):
        frames = [answer.rows for answer in source.read_batches(FIRST, LAST, "1Hour", rows)]
        assert_frame_equal(pl.concat(frames), whole, check_exact=True)
        assert sum(frame["symbol"].n_unique() for frame in frames) == whole["symbol"].n_unique()
    assert len(list(source.read_batches(FIRST, LAST, "1Hour", 1))) == whole["symbol"].n_unique()


def test_actions_and_universe_are_those_known_then(lake):
    now = datetime.now(UTC)
    assert ReplaySource(lake, "1Hour", now).universe().height
    assert ReplaySource(lake, "1Hour", now - timedelta(days=1)).universe().height == 0


def test_nothing_was_known_before_the_first_row_was_learned(lake):
    source = ReplaySource(lake, "1Hour", LEARNED - timedelta(seconds=1))
    assert source.bars(None, FIRST, LAST, "1Hour").height == 0
    assert list(source.stream(None)) == []
