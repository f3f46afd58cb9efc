"""What can go wrong between Harmony and Alpaca, on real connections: busy, broken, silent, cut,
killed, refused.
"""

import logging
import traceback
from collections import Counter
from datetime import UTC, datetime, timedelta
from functools import cache

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market.alpaca.alpaca_world import (
    END,
    START,
    as_received,
    market,
    minutes,
    serving,
    source_of,
    symbols,
)
from polars.testing import assert_frame_equal

from harmony_pipeline.errors import ConfigError, DataError, HarmonyError
from harmony_pipeline.exchange.local_server import RESET, Fault
from harmony_pipeline.market.source_settings import RetrySettings
from harmony_pipeline.market.sources.alpaca.client import RateLimiter
from harmony_pipeline.market.sources.base import SOURCE_BAR_ORDER
from harmony_pipeline.testing.servers.alpaca import (
    BROKEN,
    ENVIRONMENT,
    GATEWAY_TIMEOUT,
    KEYS,
    UNAVAILABLE,
    limited,
)

pytestmark = pytest.mark.network

BARS = "/v2/stocks/bars"
ONE_DAY = (START, START + timedelta(days=1))
PAGE = 60
TROUBLE = {
    "busy": limited(),
    "broken": BROKEN,
    "unavailable": UNAVAILABLE,
    "late gateway": GATEWAY_TIMEOUT,
    "html for data": Fault(status=200, body="<html>maintenance</html>"),
    "reset": RESET,
    "cut in the head": Fault(cut_after_bytes=0),
    "cut in the body": Fault(cut_after_bytes=900),
}


class FakeTime:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.seconds = 1_700_000_000.0
        self.slept: list[float] = []

    def __call__(self) -> float:
        return self.seconds

    def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.seconds += seconds


@cache
def mornings() -> pl.DataFrame:
    """Two hours of each session, for few and quick pages."""
    return minutes().filter(pl.col("timestamp").dt.hour().is_between(15, 16))


@pytest.fixture(scope="module")
def server():
    with serving(mornings(), page_rows=PAGE) as running:
        yield running


@pytest.fixture(autouse=True)
def _fresh(server):
    server.faults.clear()
    server.seen.clear()


@pytest.fixture(scope="module")
def day() -> pl.DataFrame:
    """What one day should be."""
    return as_received(mornings().filter(pl.col("timestamp").is_between(*ONE_DAY, closed="left")))


# --- asked again ----------------------------------------------------------------------------------


@given(troubles=st.lists(st.one_of(st.none(), st.sampled_from(sorted(TROUBLE))), max_size=14))
@settings(max_examples=15)
def test_after_any_troubles_the_bars_are_the_same_and_each_page_was_answered_once(
    server, day, troubles
):
    kept = [None if name is None else TROUBLE[name] for name in troubles]
    for at in range(4, len(kept)):
        if all(kept[at - 5 : at + 1]):  # six failures in a row would use the attempts up
            kept[at] = None
    server.faults.clear()
    server.seen.clear()
    server.faults.add(*kept, path=BARS)
    assert_frame_equal(source_of(server).bars(symbols(), *ONE_DAY, "1Min"), day, check_exact=True)
    answered = [each.query.get("page_token") for each in server.asked(BARS) if each.fault is None]
    assert len(answered) == len(set(answered))


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE)
def test_every_trouble_alone_is_asked_again_and_counted(server, day, trouble):
    server.faults.add(trouble, path=BARS, after=1)
    source = source_of(server)
    answer = source.read_bars(symbols(), *ONE_DAY, "1Min")
    assert_frame_equal(answer.rows, day, check_exact=True)
    assert answer.retries == 1
    assert source.read_bars(symbols(), *ONE_DAY, "1Min").retries == 0


def test_a_silent_server_is_asked_again_after_the_time_limit(server, day):
    server.faults.add(Fault(delay_seconds=60), path=BARS, after=1)
    assert_frame_equal(
        source_of(server, read_timeout_seconds=0.5).bars(symbols(), *ONE_DAY, "1Min"),
        day,
        check_exact=True,
    )


@pytest.mark.parametrize("trouble", TROUBLE.values(), ids=TROUBLE)
def test_trouble_without_end_is_given_up_in_one_line_after_the_attempts(server, trouble):
    server.faults.add(*[trouble] * 50, path=BARS)
    with pytest.raises(DataError, match="no answer after 6 attempt") as given_up:
        source_of(server).bars(symbols(), *ONE_DAY, "1Min")
    assert "\n" not in str(given_up.value)
    assert len(server.asked(BARS)) == 6


def test_the_wait_that_alpaca_names_is_kept_and_jitter_comes_on_top(server, monkeypatch):
    """By the clock of the server that names it: this machine's is years behind."""
    time = FakeTime()
    monkeypatch.setattr(server, "clock", lambda: 1_900_000_000.0)
    patient = market(patience=RetrySettings(base_seconds=0.001))
    server.faults.add(
        limited(reset=1_900_000_037.0),
        Fault(status=429, headers={"Retry-After": "11"}),
        path=BARS,
    )
    source_of(server, market_settings=patient, talk={"clock": time, "sleep": time.sleep}).bars(
        symbols(), *ONE_DAY, "1Min"
    )
    first, second = time.slept
    assert 37.0 <= first <= 37.0 + 0.001
    assert 11.0 <= second <= 11.0 + 0.002


def test_the_limit_in_the_head_of_another_error_says_nothing_about_its_end(server):
    time = FakeTime()
    server.faults.add(
        Fault(status=500, body="{}", headers=limited(reset=time.seconds + 37).headers), path=BARS
    )
    source_of(server, talk={"clock": time, "sleep": time.sleep}).bars(symbols(), *ONE_DAY, "1Min")
    assert max(time.slept) < 1.0


def test_waits_grow_and_are_drawn_from_the_whole_range(server):
    def waits() -> list[float]:
        time = FakeTime()
        server.faults.add(*[BROKEN] * 5, path=BARS)
        patient = market(patience=RetrySettings(attempts=6, base_seconds=1.0, cap_seconds=4.0))
        source_of(server, market_settings=patient, talk={"clock": time, "sleep": time.sleep}).bars(
            symbols(), *ONE_DAY, "1Min"
        )
        return time.slept

    drawn = [waits() for _ in range(8)]
    assert drawn[0] != drawn[1]
    assert all(
        0.0 <= wait <= most
        for each in drawn
        for wait, most in zip(each, (1.0, 2.0, 4.0, 4.0, 4.0), strict=True)
    )
    # 24 draws of up to 4: all below 2 once in 16 million runs
    assert max(max(each[2:]) for each in drawn) > 2.0


@given(gaps=st.lists(st.floats(0.0, 90.0), min_size=1, max_size=60), most=st.integers(1, 9))
def test_no_minute_has_more_calls_than_allowed(gaps, most):
    time = FakeTime()
    pace, made = RateLimiter(most, time, time.sleep), []
    for gap in gaps:
        time.seconds += gap
        pace.wait()
        made.append(time.seconds)
    assert all(
        later - earlier >= 60.0 - 1e-6 for earlier, later in zip(made, made[most:], strict=False)
    )


def test_a_clock_that_is_set_back_keeps_nobody_waiting(server):
    """As when the machine's time is corrected: no request waits for the hour to come again."""
    time, slept = FakeTime(), []
    talk = {"clock": time, "sleep": slept.append}
    source = source_of(server, requests_per_minute=8, talk=talk)
    for late in (0.0, 3600.0):
        time.seconds -= late
        for _ in range(8):
            source.bars(symbols(), *ONE_DAY, "1Min")
    assert slept
    assert max(slept) <= 60.0


def test_calls_are_spread_over_minutes_when_the_plan_allows_few(server):
    time = FakeTime()
    source_of(server, requests_per_minute=3, talk={"steady": time, "sleep": time.sleep}).bars(
        symbols(), *ONE_DAY, "1Min"
    )
    calls = len(server.seen)
    assert calls > 6
    assert sum(time.slept) == pytest.approx(60.0 * ((calls - 1) // 3), abs=0.1)


# --- killed ---------------------------------------------------------------------------------------


@given(page=st.integers(0, 18), how=st.sampled_from(["reset", "cut in the body", "broken"]))
@settings(max_examples=12)
def test_killed_at_any_page_and_asked_for_the_missing_pieces_the_rows_are_the_same(
    server, page, how
):
    server.faults.clear()
    server.seen.clear()
    impatient = market(patience=RetrySettings(attempts=1))
    source = source_of(server, market_settings=impatient, page_rows=PAGE * 4)
    pieces = source.requests(symbols(), START, END, "1Min")
    server.faults.add(TROUBLE[how], path=BARS, after=page)
    kept: dict[int, pl.DataFrame] = {}
    for _ in range(2):
        source = source_of(server, market_settings=impatient, page_rows=PAGE * 4)
        try:
            for number, piece in enumerate(pieces):
                if number not in kept:
                    kept[number] = source.bars(piece.symbols, piece.start, piece.end, "1Min")
        except DataError:
            continue
    whole = pl.concat(kept.values()).sort(SOURCE_BAR_ORDER, maintain_order=True)
    expected = mornings().filter(pl.col("timestamp").is_between(START, END, closed="left"))
    assert_frame_equal(whole, as_received(expected), check_exact=True)
    assert server.faults.left == 0
    good = Counter(
        (each.query["symbols"], each.query["start"], each.query.get("page_token"))
        for each in server.asked(BARS)
        if each.fault is None
    )
    again = {piece[:2] for piece, times in good.items() if times > 1}
    assert len(again) <= 1, "only pages of the piece that was killed are asked for twice"


# --- refused --------------------------------------------------------------------------------------


def told(error: HarmonyError) -> str:
    return "".join([*traceback.format_exception(error), repr(error), repr(error.args)])


@pytest.mark.parametrize(
    "wrong", [{"APCA_API_SECRET_KEY": "wrongwrongwrong"}, {"APCA_API_KEY_ID": "PKWRONG"}]
)
def test_wrong_keys_are_one_clear_line_after_one_small_question(server, wrong):
    with pytest.raises(ConfigError, match="APCA_API_KEY_ID and APCA_API_SECRET_KEY") as refused:
        source_of(server, environment={**ENVIRONMENT, **wrong}).bars(symbols(), *ONE_DAY, "1Min")
    assert "401" in str(refused.value)
    assert "\n" not in str(refused.value)
    assert [each.path for each in server.seen] == ["/v2/clock"]
    assert not any(value in told(refused.value) for value in (*KEYS, *wrong.values()))


def test_a_forbidden_answer_to_data_is_final_too(server):
    server.faults.add(Fault(status=403, body={"message": "forbidden."}), path=BARS)
    with pytest.raises(ConfigError, match="403: forbidden"):
        source_of(server).bars(symbols(), *ONE_DAY, "1Min")
    assert len(server.asked(BARS)) == 1


@pytest.mark.parametrize("missing", sorted(ENVIRONMENT))
def test_a_missing_key_is_named_before_anything_is_asked(server, missing):
    some = {name: value for name, value in ENVIRONMENT.items() if name != missing}
    with pytest.raises(ConfigError, match=missing):
        source_of(server, environment=some).bars(symbols(), *ONE_DAY, "1Min")
    assert not server.seen


@pytest.mark.parametrize(
    "fault",
    [
        *TROUBLE.values(),
        Fault(status=400, body={"message": f"key {KEYS[0]} with {KEYS[1]}"}),
        Fault(status=403, body=f"<html>{KEYS[1]}</html>"),
        Fault(status=500, body=f"{KEYS[1]}"),
    ],
)
def test_keys_appear_in_no_error_log_or_repr(server, caplog, fault):
    server.faults.add(*[fault] * 10, path=BARS)
    source = source_of(server)
    with caplog.at_level(logging.DEBUG), pytest.raises(HarmonyError) as raised:
        source.bars(symbols(), *ONE_DAY, "1Min")
    everything = [
        told(raised.value),
        caplog.text,
        repr(source),
        repr(source.client),
        repr(source.settings),
    ]
    assert not [text for text in everything for key in KEYS if key in text]


def test_an_answer_that_is_no_page_is_one_clear_line(server):
    server.faults.add(Fault(status=200, body="[]"), path=BARS)
    with pytest.raises(DataError, match="data_url"):
        source_of(server).bars(symbols(), *ONE_DAY, "1Min")


def test_a_page_token_that_turns_in_a_circle_ends(server):
    server.faults.add(
        *[Fault(status=200, body={"bars": {}, "next_page_token": "again"})] * 5, path=BARS
    )
    with pytest.raises(DataError, match="repeats a page"):
        source_of(server).bars(symbols(), *ONE_DAY, "1Min")


def test_bars_that_are_null_are_none(server):
    server.faults.add(Fault(status=200, body={"bars": None, "next_page_token": None}), path=BARS)
    assert (
        source_of(server)
        .bars(symbols(), datetime(2023, 1, 4, tzinfo=UTC), datetime(2023, 1, 5, tzinfo=UTC), "1Min")
        .height
        == 0
    )
