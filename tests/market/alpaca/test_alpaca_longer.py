"""Longer bars out of streamed minutes: each from the last version of its own minutes, when it is
over.
"""

import time
from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market.alpaca.alpaca_world import minutes as simulated
from market.alpaca.alpaca_world import serving, source_of
from market.alpaca.test_alpaca_stream import (
    NAMES,
    OPEN,
    Day,
    Listening,
    bar,
    empty,
    last_versions,
    quick,
    until,
)
from polars.testing import assert_frame_equal

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.simulation.resample import resample_session_bars
from harmony_pipeline.market.source_settings import AlpacaSourceSettings, RetrySettings
from harmony_pipeline.market.sources.alpaca.longer import Longer
from harmony_pipeline.market.sources.alpaca.stream import AlpacaBarStream
from harmony_pipeline.market.sources.base import SOURCE_BAR_DTYPES

MINUTE = timedelta(minutes=1)
XNYS = Calendar.of("XNYS")


def bars_of(heard: Listening, minute: int):
    """What has been heard of the bar that starts at `minute`."""
    return lambda: last_versions(heard.frames).filter(pl.col("timestamp") == OPEN + minute * MINUTE)


@given(
    order=st.lists(st.tuples(st.integers(0, 59), st.integers(0, 3)), min_size=1, max_size=60),
    size=st.sampled_from(["5Min", "15Min", "1Hour"]),
)
@settings(max_examples=10)
def test_whatever_comes_in_whatever_order_the_last_bars_are_the_sums_of_the_last_minutes(
    order, size
):
    longer, frames, last, now = Longer(XNYS, size), [], {}, OPEN
    for minute, version in order:
        last[minute] = version
        now = max(now, OPEN + (minute + 1) * MINUTE)
        longer.add(bar("AAPL", minute, version))
        frames.extend(longer.over(now))
        assert all(frame["timestamp"].max() + longer.size <= now for frame in frames)
    frames.extend(longer.over(OPEN + timedelta(hours=2)))
    assert not longer.waiting
    whole = pl.concat([bar("AAPL", minute, version) for minute, version in sorted(last.items())])
    assert_frame_equal(
        last_versions(frames),
        resample_session_bars(whole, XNYS, "1Min", size).select(SOURCE_BAR_DTYPES.keys()),
        check_exact=True,
    )
    assert not pl.concat(frames).drop("row", "defect").is_duplicated().any(), (
        "nothing is handed out twice"
    )


def test_a_morning_of_a_market_comes_out_as_its_own_quarter_hours():
    day = (
        simulated()
        .filter(
            pl.col("timestamp").is_between(OPEN - timedelta(hours=1), OPEN + timedelta(hours=1))
        )
        .sort("timestamp", "symbol")
    )
    longer, frames = Longer(XNYS, "15Min"), []
    for minute in day.partition_by("timestamp", maintain_order=True):
        longer.add(minute)
        frames.extend(longer.over(minute["timestamp"][0] + MINUTE))
    frames.extend(longer.over(OPEN + timedelta(days=1)))
    assert_frame_equal(
        pl.concat(frames),
        resample_session_bars(day.sort("symbol", "timestamp"), XNYS, "1Min", "15Min").sort(
            "timestamp", "symbol"
        ),
        check_exact=True,
    )


@pytest.mark.network
def test_a_stream_that_starts_in_the_middle_of_a_bar_has_it_whole():
    with serving(
        pl.concat([bar("AAPL", 0), bar("AAPL", 1), bar("MSFT", 1)]),
        now=OPEN + 2 * MINUTE,
        assets=[],
    ) as server:
        day = Day(server)
        heard = Listening(
            source_of(
                server, market_settings=quick().model_copy(update={"timeframe": "5Min"})
            ).stream(NAMES)
        )
        day.heard()
        for minute in (2, 3, 4, 5):
            day.ends(minute)
        first = bars_of(heard, 0)
        until(lambda: first()["volume"].to_list() == [2_500.0, 2_000.0])
        day.ends(4, 1, "u")
        until(lambda: first()["volume"].to_list() == [2_501.0, 2_001.0])
        for minute in (Listening.LAST, Listening.LAST + 5):
            day.ends(minute)
        heard.end()
        truth = server.bars.filter(pl.col("timestamp") < OPEN + 5 * MINUTE).sort(
            "symbol", "timestamp"
        )
    assert_frame_equal(
        first(),
        resample_session_bars(truth, XNYS, "1Min", "5Min").select(SOURCE_BAR_DTYPES.keys()),
        check_exact=True,
    )


@pytest.mark.network
def test_of_every_symbol_the_bar_in_progress_at_the_start_is_left_out():
    with serving(empty(), now=OPEN + 2 * MINUTE, assets=[]) as server:
        day = Day(server)
        heard = Listening(
            source_of(
                server, market_settings=quick().model_copy(update={"timeframe": "5Min"})
            ).stream(None)
        )
        day.heard()
        for minute in (3, 4, 5, 7, 10, Listening.LAST, Listening.LAST + 5):
            day.ends(minute)
        heard.end()
        truth = server.bars.filter(
            pl.col("timestamp").is_between(OPEN + 5 * MINUTE, OPEN + Listening.LAST * MINUTE)
        ).sort("symbol", "timestamp")
    # Minutes pass here in milliseconds, so a bar may come once before its last minute was gathered:
    # what counts is its last version.
    assert_frame_equal(
        last_versions(heard.frames),
        resample_session_bars(truth, XNYS, "1Min", "5Min").select(SOURCE_BAR_DTYPES.keys()),
        check_exact=True,
    )


def test_daily_bars_are_not_streamed():
    with serving(empty(), assets=[]) as server, pytest.raises(ConfigError, match="1Hour or less"):
        next(
            source_of(
                server, market_settings=quick().model_copy(update={"timeframe": "1Day"})
            ).stream(NAMES)
        )


def test_a_bar_leaves_though_the_exchanges_clock_stands_at_its_end() -> None:
    """A replay waits there for what is decided on the bar: waiting is of real time."""
    stream = AlpacaBarStream(
        AlpacaSourceSettings(stream_gather_seconds=0.001), RetrySettings(), ("key", "secret"),
        ["AAPL"], "test", lambda *_: bar("AAPL", 0).clear(), lambda: OPEN + 15 * MINUTE,
        Longer(XNYS, "15Min"), since=OPEN,
    )  # fmt: skip
    assert stream._cut([bar("AAPL", 0)]) == []  # the clock was read once, just now
    time.sleep(0.004)
    [frame] = stream._cut([])
    assert frame["timestamp"].to_list() == [OPEN]
