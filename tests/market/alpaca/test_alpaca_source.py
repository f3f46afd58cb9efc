"""Alpaca as a source, over real connections to a server that speaks its protocol: the contract,
pages, ends, feeds.
"""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from market.alpaca.alpaca_world import (
    END,
    NOW,
    START,
    as_received,
    every_size,
    market,
    minutes,
    serving,
    source_of,
    symbols,
)
from market.simulated_worlds import world
from polars.testing import assert_frame_equal

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.exchange import wire
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.sources.registry import build_source
from harmony_pipeline.testing.source_contract import SourceContract

pytestmark = pytest.mark.network

OPEN = datetime(2023, 1, 4, 14, 30, tzinfo=UTC)
TEN_MINUTES_LATER = OPEN + timedelta(minutes=10)


@pytest.fixture(scope="module")
def playing():
    """A server that stays the same, and plays the last hours to whoever listens."""
    tape, names = world(), symbols()[:3]
    actions = world(
        start=date(2018, 1, 2), end=date(2023, 1, 9), timeframe="1Day"
    ).corporate_actions(None)
    ticks = {
        "trades": (
            tape.trades(names, OPEN, TEN_MINUTES_LATER).with_columns(
                trade_id=pl.int_range(pl.len()).cast(pl.String)
            )
        ),
        "quotes": tape.quotes(names, OPEN, TEN_MINUTES_LATER),
    }
    with serving(page_rows=2_000, actions=wire.action_rows(actions), **ticks) as server:
        server.play(
            minutes().filter(pl.col("timestamp") >= END - timedelta(hours=5)), moves_now=False
        )
        yield server


class TestAlpacaSourceContract(SourceContract):
    timeframe, start, end = "1Min", START, END
    tick_start, tick_end = OPEN, TEN_MINUTES_LATER

    @property
    def symbols(self):
        return symbols()[:3]

    @pytest.fixture
    def source(self, playing):
        return source_of(playing, page_rows=2_000, market_settings=market(start=date(2018, 1, 1)))


def test_the_registry_builds_it_without_asking_anything(tmp_path):
    source = build_source(market(), tmp_path)
    assert source.identity == "alpaca iex raw"


# --- pages ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["1Min", "15Min", "1Hour", "1Day"])
def test_bars_of_every_size_are_those_of_the_supplier(size):
    with serving(every_size(), page_rows=1_500) as server:
        bars = source_of(server).bars(None, START, END, size)
    expected = every_size().filter(
        (pl.col("timeframe") == size) & pl.col("timestamp").is_between(START, END, closed="left")
    )
    assert bars.height > 5
    assert_frame_equal(bars, as_received(expected), check_exact=True)


def test_every_page_is_fetched_once():
    with serving(page_rows=777) as server:
        bars = source_of(server).bars(symbols(), START, END, "1Min")
        asked = [each.query.get("page_token") for each in server.asked("/v2/stocks/bars")]
    assert len(asked) == len(set(asked)) == bars.height // 777 + 1
    assert asked[0] is None


def test_a_request_is_about_one_page():
    with serving() as server:
        source = source_of(server, page_rows=5_000)
        for each in source.requests(symbols(), START, END, "1Min"):
            source.bars(each.symbols, each.start, each.end, "1Min")
        pages, pieces = (
            len(server.asked("/v2/stocks/bars")),
            len(source.requests(symbols(), START, END, "1Min")),
        )
    assert pieces <= pages <= pieces + 1


@pytest.mark.parametrize("size", ["1Min", "15Min", "1Day"])
def test_requests_name_their_symbols_and_fit_a_page(size):
    with serving() as server:
        source = source_of(server)
        pieces = source.requests(None, START, START + timedelta(days=200), size)
    assert all(each.symbols for each in pieces)
    most = {"1Min": 960, "15Min": 64, "1Day": 1}[size]
    sessions = Calendar.of("XNYS").sessions
    assert (
        max(
            len(each.symbols) * most * len(sessions(each.start.date(), each.end.date()))
            for each in pieces
        )
        <= 10_000 * 1.3
    )


def test_questions_say_feed_adjustment_and_that_symbols_are_not_mapped():
    with serving() as server:
        source_of(server).bars(symbols()[:2], START, END, "1Min")
        query = server.asked("/v2/stocks/bars")[0].query
    assert {name: query[name] for name in ("symbols", "feed", "adjustment", "asof", "timeframe",
    "limit")} == {
        "symbols": ",".join(symbols()[:2]), "feed": "iex", "adjustment": "raw", "asof": "-",
        "timeframe": "1Min", "limit": "10000",
    }  # fmt: skip
    assert query["start"] == "2023-01-04T00:00:00Z"
    assert query["end"] == "2023-01-05T23:59:59.999999Z"


def test_a_symbol_without_bars_is_absent_and_nothing_else_changes():
    with serving() as server:
        source = source_of(server)
        both = source.bars([symbols()[0], "QUIET"], START, END, "1Min")
        assert_frame_equal(both, source.bars([symbols()[0]], START, END, "1Min"), check_exact=True)


def test_no_symbols_and_no_time_ask_nothing():
    with serving() as server:
        source = source_of(server)
        assert source.bars([], START, END, "1Min").height == 0
        assert source.bars(symbols(), END, START, "1Min").height == 0
        assert source.requests([], START, END, "1Min") == []
        assert not server.asked("/v2/stocks/bars")


# --- ends -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("size", ["1Min", "15Min", "1Hour"])
def test_the_bar_in_progress_is_never_handed_out(size):
    now = datetime(2023, 1, 5, 16, 7, 30, tzinfo=UTC)
    with serving(every_size(), now=now) as server:
        source = source_of(server)
        minutes_each = {"1Min": 1, "15Min": 15, "1Hour": 60}[size]
        last = source.bars(symbols(), START, END, size)["timestamp"].max()
        assert (
            last + timedelta(minutes=minutes_each)
            <= now
            < last + timedelta(minutes=2 * minutes_each)
        )
        server.now = last + timedelta(minutes=2 * minutes_each)
        assert source.bars(symbols(), START, END, size)["timestamp"].max() == last + timedelta(
            minutes=minutes_each
        )


def test_a_daily_bar_comes_after_its_close_and_is_stamped_midnight_utc():
    with serving(every_size(), now=datetime(2023, 1, 5, 20, 59, tzinfo=UTC)) as server:
        source = source_of(server)
        assert source.bars(symbols(), START, END, "1Day")["timestamp"].unique().to_list() == [
            datetime(2023, 1, 4, tzinfo=UTC)
        ]
        server.now = datetime(2023, 1, 5, 21, 0, tzinfo=UTC)
        assert source.bars(symbols(), START, END, "1Day")["timestamp"].max() == datetime(
            2023, 1, 5, tzinfo=UTC
        )


def test_a_daily_range_is_one_of_session_dates():
    with serving(every_size()) as server:
        bars = source_of(server).bars(
            symbols(), START + timedelta(hours=3), START + timedelta(hours=27), "1Day"
        )
    assert bars["timestamp"].unique().to_list() == [datetime(2023, 1, 5, tzinfo=UTC)]


# --- feeds ----------------------------------------------------------------------------------------


def test_recent_sip_data_without_a_plan_is_one_clear_line_and_the_delay_is_the_cure():
    now = datetime(2023, 1, 5, 16, 0, tzinfo=UTC)
    with serving(now=now) as server:
        with pytest.raises(ConfigError, match="sip_delay_minutes = 15") as refused:
            source_of(server, feed="sip").bars(symbols(), START, END, "1Min")
        assert "\n" not in str(refused.value)
        assert len(server.asked("/v2/stocks/bars")) == 1
        delayed = source_of(server, feed="sip", sip_delay_minutes=16)
        bars = delayed.bars(symbols(), START, END, "1Min")
        assert delayed.identity == "alpaca sip raw"
    assert bars["timestamp"].max() == now - timedelta(minutes=17)
    assert bars["origin"].unique().to_list() == ["sip raw"]


def test_a_symbol_that_cannot_be_one_is_named():
    with serving() as server, pytest.raises(DataError, match="BAD SYMBOL"):
        source_of(server).bars(["BAD SYMBOL"], START, END, "1Min")


def test_a_timeframe_that_harmony_lacks_is_refused_before_anything_is_asked():
    with serving() as server:
        with pytest.raises(DataError, match="2Min"):
            source_of(server).bars(symbols(), START, END, "2Min")
        assert not server.seen


# --- what there is --------------------------------------------------------------------------------


def test_its_calendar_agrees_with_ours_also_on_half_days_and_over_a_change_of_clocks():
    with serving() as server:
        source = source_of(server)
        for first, end in (
            (date(2023, 3, 6), date(2023, 3, 20)),
            (date(2023, 11, 20), date(2023, 11, 28)),
            (date(2023, 7, 3), date(2023, 7, 4)),
        ):
            assert_frame_equal(
                source.calendar(first, end), Calendar.of("XNYS").schedule(first, end)
            )
        assert source.calendar(date(2023, 7, 3), date(2023, 7, 3)).height == 0


def test_its_clock_is_read_to_the_microsecond():
    with serving(now=NOW + timedelta(microseconds=123_456)) as server:
        clock = source_of(server).clock()
    assert clock.timestamp == NOW + timedelta(microseconds=123_456)
    assert clock.is_open
    assert clock.next_close == datetime(2023, 2, 1, 21, 0, tzinfo=UTC)
    assert clock.next_open == datetime(2023, 2, 2, 14, 30, tzinfo=UTC)


def test_it_looks_at_itself_and_says_what_does_not_agree():
    with serving() as server:
        source = source_of(server)
        assert (
            source.self_check() == "keys accepted, clocks agree, 42 sessions ahead agree with XNYS"
        )
        with pytest.raises(DataError, match=r"differ on 2023-0\d-\d\d"):
            source_of(server, market_settings=market(calendar="XLON")).self_check()
        source._now = lambda: server.now + timedelta(seconds=30)
        with pytest.raises(DataError, match="30 s apart"):
            source.self_check()
