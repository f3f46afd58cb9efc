"""Alpaca's bar stream as frames: connected, cut, connected again, with what was missed asked for by
REST.

From the moment of the call no minute is lost. Alpaca replays nothing after a break, and alpaca-py
reconnects silently, so subscriptions are watched: whenever one is confirmed, the minutes since the
last one heard of (and `stream_lookback_minutes` more, for corrections that were missed) are asked
for, and again when the next minute ends, since the answer may lag behind the stream. `minutes.py`
keeps every version to one.

What Alpaca refuses (keys, plan, number of symbols) alpaca-py retries for ever, or returns from, in
silence; here it ends the stream with one line.
"""

import asyncio
import contextlib
import queue
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl
from alpaca.data.live.crypto import CryptoDataStream
from alpaca.data.live.stock import StockDataStream
from alpaca.data.live.websocket import DataStream

from harmony_pipeline.errors import ConfigError, DataError, HarmonyError
from harmony_pipeline.market.source_settings import AlpacaSourceSettings, RetrySettings
from harmony_pipeline.market.sources.alpaca.longer import Longer, floor_to
from harmony_pipeline.market.sources.alpaca.minutes import Minutes, Voice
from harmony_pipeline.market.sources.alpaca.translate import bars_of_messages

LIVE_URL = "wss://stream.data.alpaca.markets/v2"
COINS_URL = "wss://stream.data.alpaca.markets/v1beta3/crypto/us"

_MINUTE = timedelta(minutes=1)
_JOIN_SECONDS = 10.0
_NO_MESSAGES = b"\x90"  # an empty array in msgpack
_QUOTES_COME = b"\x91\x82\xa1T\xa1q\xa1S\xa0"  # [{"T": "q", "S": ""}]: no symbol's handler
_SPEAK_SECONDS = 1.0
_PATIENT = 3  # times stream_gather_seconds between the end of a longer bar and its handing out
_FINAL = {
    "auth failed": "the stream refuses the keys: correct APCA_API_KEY_ID and APCA_API_SECRET_KEY",
    "insufficient subscription": (
        'the plan does not allow the stream of this feed: set market.alpaca.feed = "iex"'
    ),
    "symbol limit exceeded": (
        "the plan allows fewer symbols in a stream, and none was subscribed: name fewer in"
        " market.symbols"
    ),
}


@dataclass(frozen=True)
class _Connected:
    """A subscription was confirmed."""


@dataclass(frozen=True)
class _Trouble:
    """Alpaca's own word for what went wrong, or the connection's."""

    text: str


@dataclass(frozen=True)
class _Ended:
    """Nothing will come any more."""


TakeQuotes = Callable[[bytes], bytes]
"""Takes the quotes out of a frame and returns the rest. It may wait for room, and raise
DataError."""


class _FrameSocket:
    """A connection that says when a frame was dealt with. Frames reach alpaca-py without their
    quotes, where somebody takes those.
    """

    def __init__(
        self,
        socket: Any,
        end_frame: Callable[[], None],
        take: TakeQuotes | None,
        tell: Callable[[Any], None],
    ) -> None:
        self._socket, self._end_frame, self._take, self._tell = socket, end_frame, take, tell
        self._spoke_at = time.monotonic()

    def __getattr__(self, name: str) -> Any:
        return getattr(self._socket, name)

    async def recv(self) -> bytes:
        """The next frame that holds anything else; once a second one that says that quotes come,
        since alpaca-py takes a connection that tells it nothing for dead.
        """
        self._end_frame()  # alpaca-py asks for the next one when it has told all of the last
        while True:
            frame: bytes = await self._socket.recv()
            if self._take is None:
                return frame
            try:
                rest = self._take(frame)
            except HarmonyError as error:
                self._tell(error)
                raise
            if rest != _NO_MESSAGES:
                return rest
            if time.monotonic() - self._spoke_at >= _SPEAK_SECONDS:
                self._spoke_at = time.monotonic()
                return _QUOTES_COME


class _Reporting(DataStream):
    """alpaca-py's streams, which tell what they otherwise write to a log only.

    Bars are handed over by the frame: on a machine that is busy, a thread may stand still between
    two bars of a frame for longer than a minute is gathered, and the minute would be cut in two.
    So are quotes: one by one, each would become a dictionary and a task of the event loop.
    """

    tell: Callable[[Any], None]
    take_quotes: TakeQuotes | None = None

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._bars: list[dict[str, Any]] = []

    async def keep(self, message: Any) -> None:
        """Hold a bar until its frame is told whole."""
        self._bars.append(message)

    def _end_frame(self) -> None:
        if self._bars:
            self.tell(self._bars)
            self._bars = []

    async def _connect(self) -> None:
        await super()._connect()
        # alpaca-py declares it as None
        self._ws: Any = _FrameSocket(self._ws, self._end_frame, self.take_quotes, self.tell)

    async def _start_ws(self) -> None:
        try:
            await super()._start_ws()
        except Exception as error:
            self.tell(_Trouble(" ".join(str(error).split()) or type(error).__name__))
            raise

    async def _dispatch(self, msg: dict[str, Any]) -> None:
        if msg.get("T") == "subscription":
            self.tell(_Connected())
        elif msg.get("T") == "error":
            self.tell(_Trouble(str(msg.get("msg"))))
        await super()._dispatch(msg)


class _ReportingStream(_Reporting, StockDataStream):
    """Of shares."""


class _ReportingCoinStream(_Reporting, CryptoDataStream):
    """Of pairs of coins."""


class AlpacaBarStream:
    """Minute bars as they end, from now on, or from `since` on. `fetch(symbols, start, end)` asks
    REST; `now` is the present; `symbols` None means every symbol.
    """

    def __init__(
        self,
        settings: AlpacaSourceSettings,
        retry: RetrySettings,
        keys: tuple[str, str],
        symbols: Sequence[str] | None,
        origin: str,
        fetch: Callable[[Sequence[str], datetime, datetime], pl.DataFrame],
        now: Callable[[], datetime],
        longer: Longer | None = None,
        since: datetime | None = None,
    ) -> None:
        self.settings, self.retry, self.symbols, self.origin = settings, retry, symbols, origin
        self._keys, self._fetch, self._now = keys, fetch, now
        self._events: queue.SimpleQueue[Any] = queue.SimpleQueue()
        self._minutes = Minutes()
        self._longer = longer
        self._readings: deque[tuple[float, datetime]] = deque()  # of the clock, by real time
        self._since = floor_to(since or now(), _MINUTE if longer is None else longer.size)
        self._closing = False
        self._refill_after: datetime | None = None
        self._failures = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._task: asyncio.Task[None] | None = None
        self._stream: _Reporting | None = None
        self.take_quotes: TakeQuotes | None = None
        """Takes the quotes out of frames; None: they are not subscribed to."""
        self.quoted: frozenset[str] | None = None
        """Symbols whose quotes are subscribed to; None: all."""
        self._changes = threading.Lock()

    def frames(self) -> Iterator[pl.DataFrame]:
        """One frame a timestamp, oldest first, and a frame with an earlier timestamp for each
        correction. Closing the iterator ends the connection.
        """
        thread = threading.Thread(target=self._listen, name="alpaca stream", daemon=True)
        thread.start()
        try:
            while True:
                events = self._next_events()
                if self._closing:
                    return
                minutes = [] if events else self._minutes.quiet()
                for event in events:
                    self._take(event)
                yield from self._cut([*minutes, *self._minutes.over()])
        finally:
            self._stop(thread)

    def hear_only(self, bars: frozenset[str] | None, quotes: frozenset[str]) -> None:
        """Change what the stream brings, on the connection that stands: bars of these symbols
        (None: of all that it began with) and, where quotes are taken, quotes of these. Another
        thread reads `frames`. While no connection stands, the next one is subscribed so.
        """
        with self._changes:
            if bars is not None and self.symbols is not None:
                gone = sorted(set(self.symbols) - bars)
                self.symbols = sorted(set(self.symbols) & bars)
                self._change("bars", (), gone)
                self._change("updatedBars", (), gone)
            if self.take_quotes is not None:
                before = frozenset(self.symbols or ()) if self.quoted is None else self.quoted
                self.quoted = quotes
                self._change("quotes", sorted(quotes - before), sorted(before - quotes))

    def _change(self, channel: str, more: Sequence[str], gone: Sequence[str]) -> None:
        """Subscribe and unsubscribe. A connection that breaks meanwhile is opened anew with what
        is subscribed then.
        """
        ear = self._stream
        if ear is None:
            return
        with contextlib.suppress(Exception):  # the connection's; the handlers are set all the same
            if more:
                # alpaca-py declares a tuple of one
                ear._subscribe(ear.keep, tuple(more), ear._handlers[channel])  # type: ignore[arg-type]
        known = [symbol for symbol in gone if symbol in ear._handlers[channel]]
        if not known:
            return
        try:
            ear._unsubscribe(channel, known)
        except Exception:  # it broke: nothing of these is asked for on the next one
            for symbol in known:
                ear._handlers[channel].pop(symbol, None)

    def close(self) -> None:
        """End `frames`, which another thread reads."""
        self._closing = True
        self._events.put(_Ended())

    def _cut(self, minutes: Sequence[pl.DataFrame]) -> Sequence[pl.DataFrame]:
        """The minutes, or the longer bars that are over."""
        if self._longer is None:
            return minutes
        # Of every symbol, the bar in progress at the start cannot be known whole: its first minutes
        # were never heard.
        first = self._since + (self._longer.size if self.symbols is None else timedelta())
        for frame in minutes:
            self._longer.add(frame.filter(pl.col("timestamp") >= first))
        return self._longer.over(self._patient_now())

    def _patient_now(self) -> datetime:
        """The present as it was a moment ago: the last minute of a bar comes a moment after its
        end, and is gathered for another. The moment is of real time, since a replay's clock may
        run fast, or stand until what was decided on the bar has come.
        """
        now = time.monotonic()
        self._readings.append((now, self._now()))
        until = now - _PATIENT * self.settings.stream_gather_seconds
        while len(self._readings) > 1 and self._readings[1][0] <= until:
            self._readings.popleft()
        at, present = self._readings[0]
        return present if at <= until else self._since

    # --- taking in --------------------------------------------------------------------------------

    def _next_events(self) -> list[Any]:
        """What has come, with bars of one voice together; nothing when it was quiet while something
        waits.
        """
        try:
            waiting = self._minutes.waiting or (self._longer is not None and self._longer.waiting)
            events = [
                self._events.get(timeout=self.settings.stream_gather_seconds if waiting else None)
            ]
        except queue.Empty:
            return []
        with contextlib.suppress(queue.Empty):
            while True:
                events.append(self._events.get_nowait())
        grouped: list[Any] = []
        for event in _told(events):
            together = (
                isinstance(event, dict)
                and grouped
                and isinstance(grouped[-1], list)
                and grouped[-1][0]["T"] == event["T"]
            )
            if together:
                grouped[-1].append(event)
            else:
                grouped.append([event] if isinstance(event, dict) else event)
        return grouped

    def _take(self, event: Any) -> None:
        if isinstance(event, list):
            self._minutes.add(
                bars_of_messages(event, self.origin),
                Voice.FIRST if event[0]["T"] == "b" else Voice.CORRECTED,
            )
            self._fill_again()
        elif isinstance(event, _Connected):
            self._failures = 0
            self._fill(self._minutes.newest or self._since)
            self._refill_after = self._minutes.newest or self._since - _MINUTE
        elif isinstance(event, _Trouble):
            self._complain(event.text)
        elif isinstance(event, HarmonyError):
            raise event
        else:
            raise DataError("Alpaca's stream ended without a reason: start it again")

    def _complain(self, text: str) -> None:
        """Raise what cannot mend itself; count the rest."""
        for words, sentence in _FINAL.items():
            if words in text:
                raise ConfigError(f"Alpaca: {sentence} ({text})")
        self._failures += 1
        if self._failures >= self.retry.attempts:
            why = "; another connection of these keys is open" if "connection limit" in text else ""
            raise DataError(
                f"Alpaca's stream failed {self._failures} times in a row ({text}{why}): start it"
                " again later, or look at market.alpaca.stream_url"
            )

    # --- asking for what was missed ---------------------------------------------------------------

    def _fill_again(self) -> None:
        """Once, when the first later minute after a break has come: by then the answer knows all
        before it.
        """
        newest, after = self._minutes.newest, self._refill_after
        if after is not None and newest is not None and newest > after:
            self._refill_after = None
            self._fill(after)

    def _fill(self, known_to: datetime) -> None:
        """Ask for what has ended since `known_to`, and for the minutes before it, whose corrections
        may have been missed.
        """
        # of every symbol, those that were heard of
        symbols = self._minutes.symbols if self.symbols is None else self.symbols
        begin = max(
            self._since, known_to - timedelta(minutes=self.settings.stream_lookback_minutes)
        )
        self._minutes.add(self._fetch(symbols, begin, self._now() + _MINUTE), Voice.ASKED)

    # --- the connection ---------------------------------------------------------------------------

    def _listen(self) -> None:
        try:
            asyncio.run(self._connection())
        except asyncio.CancelledError:
            return
        except Exception as error:  # whatever leaves the thread must reach the one who waits
            self._events.put(_Trouble(str(error)))
        self._events.put(_Ended())

    async def _connection(self) -> None:
        self._loop, self._task = asyncio.get_running_loop(), asyncio.current_task()
        coins = self.symbols is not None and any("/" in symbol for symbol in self.symbols)
        usual = COINS_URL if coins else f"{LIVE_URL}/{self.settings.feed}"
        address = self.settings.stream_url or usual
        kind = _ReportingCoinStream if coins else _ReportingStream
        ear = kind(
            *self._keys,
            raw_data=True,
            url_override=address,
            data_timeout=self.settings.stream_silence_seconds,
        )
        self._stream = ear
        ear.tell = self._events.put
        ear._reconnect_min_backoff, ear._reconnect_max_backoff = (
            self.retry.base_seconds,
            self.retry.cap_seconds,
        )
        names = ("*",) if self.symbols is None else tuple(self.symbols)

        ear.take_quotes = self.take_quotes
        if self.take_quotes is not None:
            ear.subscribe_quotes(ear.keep, *(names if self.quoted is None else self.quoted))
        ear.subscribe_bars(ear.keep, *names)
        ear.subscribe_updated_bars(ear.keep, *names)
        try:
            await ear._run_forever()
        finally:
            await ear.close()

    def _stop(self, thread: threading.Thread) -> None:
        """End the connection. A cancellation may be swallowed while a connection opens or closes,
        so it is repeated until the thread has ended.
        """

        def end() -> None:
            if self._stream is not None:
                self._stream._should_run = False
            if self._task is not None:
                self._task.cancel()

        deadline = time.monotonic() + _JOIN_SECONDS
        while thread.is_alive() and time.monotonic() < deadline:
            if self._loop is not None:
                with contextlib.suppress(RuntimeError):  # the loop has ended by itself
                    self._loop.call_soon_threadsafe(end)
            thread.join(timeout=0.1)


def _told(events: Sequence[Any]) -> Iterator[Any]:
    """The events in order, the bars of a frame one by one."""
    for event in events:
        if isinstance(event, list):
            yield from event
        else:
            yield event
