"""The stream as a law: whatever is cut, lost, repeated, late or corrected, the last version of each
minute is Alpaca's own.
"""

import logging
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from market.alpaca.alpaca_world import ENVIRONMENT, market, serving, source_of
from polars.testing import assert_frame_equal

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.exchange.local_server import RESET
from harmony_pipeline.market.source_settings import AlpacaSourceSettings, RetrySettings
from harmony_pipeline.market.sources.alpaca.minutes import Minutes, Voice
from harmony_pipeline.market.sources.alpaca.stream import AlpacaBarStream, _Connected
from harmony_pipeline.market.sources.base import SOURCE_BAR_DTYPES
from harmony_pipeline.testing.servers.alpaca import BROKEN, KEYS, AlpacaServer

OPEN = datetime(2023, 1, 4, 15, 0, tzinfo=UTC)
NAMES = ("AAPL", "MSFT")
MINUTE = timedelta(minutes=1)
network = pytest.mark.network


def bar(name: str, minute: int, version: int = 0, trades: float | None = None) -> pl.DataFrame:
    """One bar; every version of it counts one more trade."""
    close = 100.0 + minute + version / 8
    row = {
        "symbol": name, "timeframe": "1Min", "timestamp": OPEN + minute * MINUTE,
        "open": 100.0 + minute, "high": close + 1, "low": 99.0, "close": close,
        "volume": 500.0 + version, "trade_count": 10.0 + version if trades is None else trades,
        "vwap": close - 0.25, "source": "alpaca", "origin": "iex raw",
        "row": None, "defect": None,
    }  # fmt: skip
    return pl.DataFrame([row], schema=SOURCE_BAR_DTYPES)


def empty() -> pl.DataFrame:
    return pl.DataFrame(schema=SOURCE_BAR_DTYPES)


def last_versions(frames: list[pl.DataFrame]) -> pl.DataFrame:
    """What a listener believes in the end."""
    return (
        pl.concat([empty(), *frames])
        .unique(("symbol", "timestamp"), keep="last", maintain_order=True)
        .sort("symbol", "timestamp")
    )


# --- the law, without a socket --------------------------------------------------------------------


class Told:
    """Alpaca's truth, a stream that may be cut, and a REST answer that may lag one step behind."""

    def __init__(self, *, lagging: bool) -> None:
        self.truth: dict[tuple[str, int], int] = {}
        self.before = dict(self.truth)
        self.now = OPEN
        self.connected, self.lagging, self.sent = True, lagging, []
        settings = AlpacaSourceSettings(stream_lookback_minutes=60)
        self.stream = AlpacaBarStream(
            settings, RetrySettings(), KEYS, NAMES, "iex raw", self.answer, lambda: self.now
        )
        self.frames: list[pl.DataFrame] = []
        self.stream._take(_Connected())

    def answer(self, symbols, start, end) -> pl.DataFrame:
        """REST: after a break it may not know the last thing yet; once a later minute has been
        heard, it does.
        """
        known = self.before if self.lagging and not self.settled else self.truth
        self.settled = True
        bars = [bar(name, minute, version) for (name, minute), version in known.items()]
        return pl.concat([empty(), *bars]).filter(
            pl.col("symbol").is_in(list(symbols))
            & pl.col("timestamp").is_between(start, end, closed="left")
        )

    settled = True

    def say(self, kind: str, name: str, minute: int) -> None:
        """A new version of a minute; it is heard when the stream is up."""
        self.before = dict(self.truth)
        self.truth[name, minute] = self.truth.get((name, minute), -1) + 1
        self.now = max(self.now, OPEN + (minute + 1) * MINUTE)
        self.sent.append((kind, bar(name, minute, self.truth[name, minute])))
        if self.connected:
            self.add(self.sent[-1])

    def add(self, message: tuple[str, pl.DataFrame]) -> None:
        self.stream._minutes.add(message[1], Voice.FIRST if message[0] == "b" else Voice.CORRECTED)
        self.stream._fill_again()
        self.frames.extend(self.stream._minutes.over())

    def reconnect(self) -> None:
        if not self.connected:
            self.connected, self.settled = True, False
            self.stream._take(_Connected())
            self.frames.extend(self.stream._minutes.over())


STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("bar"), st.sampled_from(NAMES)),
        st.tuples(st.just("correct"), st.integers(0, 99)),
        st.tuples(st.just("repeat"), st.integers(0, 99)),
        st.tuples(st.sampled_from(["cut", "reconnect", "quiet"]), st.none()),
    ),
    max_size=40,
)


LOST = [("cut", None), ("bar", "AAPL"), ("correct", 0), ("correct", 0), ("reconnect", None)]


@example(steps=[*LOST, ("repeat", 0)], lagging=False)
@example(steps=[*LOST, ("repeat", 1)], lagging=False)
@given(steps=STEPS, lagging=st.booleans())
@settings(max_examples=40)
def test_any_interleaving_of_breaks_repeats_and_corrections_ends_with_alpacas_own_bars(
    steps, lagging
):
    told, next_minute = Told(lagging=lagging), dict.fromkeys(NAMES, 0)
    for what, which in steps:
        if what == "bar":
            told.say("b", which, next_minute[which])
            next_minute[which] += 1
        elif what == "correct" and told.truth:
            told.say("u", *sorted(told.truth)[which % len(told.truth)])
        elif what == "repeat" and told.sent and told.connected:
            told.add(told.sent[which % len(told.sent)])
        elif what == "cut":
            told.connected = False
        elif what == "reconnect":
            told.reconnect()
        elif what == "quiet":
            told.frames.extend(told.stream._minutes.quiet())
    told.reconnect()
    for name in NAMES:  # a later minute ends for everyone
        told.say("b", name, max(next_minute.values()))
    told.frames.extend(told.stream._minutes.quiet())
    truth = pl.concat([empty(), *(bar(*key, version) for key, version in told.truth.items())]).sort(
        "symbol", "timestamp"
    )
    assert_frame_equal(last_versions(told.frames), truth, check_exact=True)
    assert all(frame["timestamp"].n_unique() == 1 for frame in told.frames)
    versions = pl.concat([empty(), *told.frames]).drop("row", "defect")
    assert not versions.is_duplicated().any(), "nothing is handed out twice"


def test_a_minute_waits_for_its_other_symbols_until_a_later_one_begins_or_it_is_quiet():
    minutes = Minutes()
    minutes.add(bar("AAPL", 0), Voice.FIRST)
    assert minutes.over() == []
    minutes.add(bar("MSFT", 0), Voice.FIRST)
    minutes.add(bar("AAPL", 1), Voice.FIRST)
    (whole,) = minutes.over()
    assert whole["symbol"].to_list() == ["AAPL", "MSFT"]
    assert [frame["symbol"].to_list() for frame in minutes.quiet()] == [["AAPL"]]
    assert not minutes.waiting


def test_a_stale_first_bar_and_a_correction_that_counts_fewer_trades_say_nothing():
    minutes = Minutes()
    minutes.add(bar("AAPL", 0, 2), Voice.ASKED)
    minutes.add(bar("AAPL", 0, 0), Voice.FIRST)
    minutes.add(bar("AAPL", 0, 1), Voice.CORRECTED)
    assert last_versions(minutes.quiet()).equals(bar("AAPL", 0, 2))
    minutes.add(bar("AAPL", 0, 3), Voice.CORRECTED)
    minutes.add(bar("AAPL", 0, 1, trades=9.0), Voice.ASKED)
    assert last_versions(minutes.quiet()).equals(bar("AAPL", 0, 1, trades=9.0))


def test_what_was_heard_days_ago_is_forgotten():
    minutes = Minutes()
    minutes.add(bar("AAPL", 0), Voice.FIRST)
    minutes.add(bar("AAPL", 2_000), Voice.FIRST)
    assert minutes._heard.height == 1


# --- over real connections ------------------------------------------------------------------------


def until(met: Callable[[], object], seconds: float = 8.0) -> None:
    deadline = time.monotonic() + seconds
    while not met():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.005)


class Listening:
    """A listener in a thread, which stops at the frame of minute LAST or at an error."""

    LAST = 50

    def __init__(self, frames: Iterator[pl.DataFrame]) -> None:
        self.frames: list[pl.DataFrame] = []
        self.error: Exception | None = None
        self._thread = threading.Thread(target=self._listen, args=(frames,), daemon=True)
        self._thread.start()

    def _listen(self, frames: Iterator[pl.DataFrame]) -> None:
        try:
            for frame in frames:
                self.frames.append(frame)
                if frame["timestamp"][0] == OPEN + self.LAST * MINUTE:
                    break
        except (ConfigError, DataError) as error:
            self.error = error
        finally:
            frames.close()

    def end(self, seconds: float = 10.0) -> None:
        self._thread.join(seconds)
        assert not self._thread.is_alive(), "the listener did not end"


class Day:
    """A server whose truth grows as its minutes end."""

    def __init__(self, server: AlpacaServer) -> None:
        self.server = server

    def _keep(self, bars: pl.DataFrame) -> None:
        stamp = bars["timestamp"][0].astimezone(UTC)
        kept = self.server.bars.join(bars, on=("symbol", "timestamp"), how="anti")
        self.server.bars = pl.concat([kept, bars])
        self.server.now = max(self.server.now, stamp + timedelta(seconds=61))

    def ends(
        self,
        minute: int,
        version: int = 0,
        kind: str = "b",
        times: int = 1,
        names: tuple[str, ...] = NAMES,
    ) -> None:
        bars = pl.concat([bar(name, minute, version) for name in names])
        self._keep(bars)
        self.server.publish_bars(bars, kind, times)

    def cut(self, *, for_good: bool = False) -> None:
        if for_good:
            self.server.hub.connection_limit = 0
        self.server.drop_streams()
        if for_good:
            until(lambda: not self.server.hub.listeners)

    def heard(self) -> None:
        until(lambda: any(each.wanted["bars"] for each in self.server.hub.listeners))


@contextmanager
def day(**more):
    with serving(
        empty(),
        now=OPEN,
        assets=[],
        **{k: v for k, v in more.items() if k in {"connection_limit", "symbol_limit", "feeds"}},
    ) as server:
        yield Day(server)


def quick(**patience):
    return market(
        patience=RetrySettings(
            **{"attempts": 40, "base_seconds": 0.02, "cap_seconds": 0.05, **patience}
        )
    )


def listening(on: Day, names=NAMES, **settings) -> Listening:
    return Listening(
        source_of(
            on.server, market_settings=settings.pop("market_settings", quick()), **settings
        ).stream(names)
    )


@network
@given(
    steps=st.lists(
        st.sampled_from(["ends", "ends", "corrected", "repeated", "cut", "back"]),
        min_size=3,
        max_size=9,
    )
)
@settings(max_examples=5)
def test_over_a_real_connection_too_the_end_is_what_rest_says(steps):
    with day() as alpaca:
        heard = listening(alpaca)
        alpaca.heard()
        minute, version, up = 0, 0, True
        for step in steps:
            if step == "ends":
                minute, version = minute + 1, 0
                alpaca.ends(minute)
            elif step == "corrected" and minute:
                version += 1
                alpaca.ends(minute, version, "u")
            elif step == "repeated" and minute:
                alpaca.ends(minute, version, "u" if version else "b", times=3)
            elif step == "cut" and up:
                alpaca.cut(for_good=True)
                up = False
            elif step == "back" and not up:
                alpaca.server.hub.connection_limit, up = 1, True
                alpaca.heard()
        alpaca.server.hub.connection_limit = 1
        alpaca.heard()
        alpaca.ends(Listening.LAST)
        heard.end()
        truth = source_of(alpaca.server).bars(NAMES, OPEN, OPEN + timedelta(hours=2), "1Min")
    assert heard.error is None
    assert_frame_equal(last_versions(heard.frames), truth, check_exact=True)


@network
def test_closing_the_stream_ends_its_connection():
    with day() as alpaca:
        frames = source_of(alpaca.server, market_settings=quick()).stream(NAMES)
        threading.Timer(0.3, lambda: (alpaca.heard(), alpaca.ends(0))).start()
        assert next(frames)["symbol"].to_list() == list(NAMES)
        frames.close()
        until(lambda: not alpaca.server.hub.listeners)
        assert not [each for each in threading.enumerate() if each.name == "alpaca stream"]


@network
def test_every_symbol_can_be_listened_to_and_a_break_is_filled_for_those_heard_of():
    with day() as alpaca:
        heard = listening(alpaca, None)
        alpaca.heard()
        alpaca.ends(0)
        until(lambda: heard.frames)
        alpaca.cut(for_good=True)
        alpaca.ends(1)
        alpaca.server.hub.connection_limit = 1
        alpaca.heard()
        alpaca.ends(Listening.LAST)
        heard.end()
    assert [frame["timestamp"][0] for frame in heard.frames] == [
        OPEN,
        OPEN + MINUTE,
        OPEN + Listening.LAST * MINUTE,
    ]


@network
def test_a_mute_connection_is_left_and_what_it_kept_silent_about_is_asked_for():
    with day() as alpaca:
        heard = listening(alpaca, stream_silence_seconds=0.4)
        alpaca.heard()
        alpaca.ends(0)
        until(lambda: heard.frames)
        alpaca._keep(pl.concat([bar(name, 1) for name in NAMES]))
        until(lambda: len(heard.frames) == 2)
        alpaca.heard()
        alpaca.ends(Listening.LAST)
        heard.end()
        assert alpaca.server.hub.connected > 1


@network
@pytest.mark.parametrize(
    ("code", "kind", "words"),
    [
        (402, ConfigError, "APCA_API_KEY_ID"),
        (409, ConfigError, "market.alpaca.feed"),
        (405, ConfigError, "name fewer in market.symbols"),
        (406, DataError, "another connection"),
    ],
)
def test_refusals_that_last_end_the_stream_in_one_clear_line(code, kind, words, caplog):
    with day(symbol_limit=1 if code == 405 else None) as alpaca, caplog.at_level(logging.DEBUG):
        if code != 405:
            alpaca.server.hub.refusals[:] = [code] * 20
        heard = listening(alpaca, market_settings=quick(attempts=3))
        heard.end()
        connections = alpaca.server.hub.connected
    assert isinstance(heard.error, kind)
    assert words in str(heard.error)
    assert "\n" not in str(heard.error)
    assert connections <= 4
    assert not any(value in caplog.text + repr(heard.error) for value in KEYS)


@network
def test_refusals_that_pass_are_waited_out():
    with day() as alpaca:
        alpaca.server.hub.refusals[:] = [406, 404, 406]
        alpaca.server.faults.add(RESET, path="/v2/iex")
        heard = listening(alpaca)
        alpaca.heard()
        alpaca.ends(Listening.LAST)
        heard.end()
    assert heard.error is None
    assert len(heard.frames) == 1


@network
def test_an_address_that_nobody_answers_is_given_up():
    with day() as alpaca:
        heard = listening(
            alpaca, market_settings=quick(attempts=3), stream_url="ws://127.0.0.1:9/v2/iex"
        )
        heard.end()
    assert isinstance(heard.error, DataError)
    assert "market.alpaca.stream_url" in str(heard.error)


@network
def test_a_break_that_cannot_be_filled_is_told_not_hidden():
    with day() as alpaca:
        heard = listening(alpaca, market_settings=quick(attempts=3))
        alpaca.heard()
        alpaca.ends(0)
        until(lambda: heard.frames)
        alpaca.server.faults.add(*[BROKEN] * 20, path="/v2/stocks/bars")
        alpaca.cut()
        heard.end()
    assert isinstance(heard.error, DataError)


def test_a_stream_needs_keys_and_minutes():
    assert set(ENVIRONMENT) == {"APCA_API_KEY_ID", "APCA_API_SECRET_KEY"}
    with serving(empty(), assets=[]) as server, pytest.raises(ConfigError, match="APCA_API_KEY_ID"):
        next(source_of(server, environment={}).stream(NAMES))
