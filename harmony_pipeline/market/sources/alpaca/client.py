"""Talking to Alpaca: keys, time limits, the rate limit, asking again, errors in one line.

The law: one call here is one page, and a page that was read is never asked for again. alpaca-py (0.44) asks again by itself after a 429 or 504, three
seconds apart, and waits for an answer for ever; both are switched off, and `RetryPolicy` decides instead. What Alpaca refuses for good (wrong keys, a feed
that the plan lacks, a symbol that is none) is told at once.

The keys come from the environment alone and appear in no message: errors are made here from the status and Alpaca's own sentence, cut off from the
exceptions that carry the request.
"""

import functools
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.settings import AlpacaSourceSettings, PatienceSettings
from harmony_pipeline.market.sources.retry import OutOfPatience, RetryPolicy, retry_after_seconds, said

if TYPE_CHECKING:
    from alpaca.common.rest import RESTClient

KEY, SECRET = "APCA_API_KEY_ID", "APCA_API_SECRET_KEY"
Room = Literal["data", "actions", "trading"]
Params = Mapping[str, Any]

_BUSY = {408, 425, 429, 500, 502, 503, 504}
_MINUTE = 60.0


class _NoAnswer(Exception):
    """One attempt that is worth another: the sentence to show, and the wait that Alpaca asked for, if any."""

    def __init__(self, sentence: str, wait_seconds: float | None = None) -> None:
        super().__init__(sentence)
        self.wait_seconds = wait_seconds


class RateLimiter:
    """At most `per_minute` calls within any 60 seconds; `wait` sleeps until the next is allowed. Safe to share between threads."""

    def __init__(self, per_minute: int, clock: Callable[[], float], sleep: Callable[[float], None]) -> None:
        self._made: deque[float] = deque(maxlen=per_minute)
        self._clock, self._sleep = clock, sleep
        self._lock = threading.Lock()

    def wait(self) -> None:
        """Return when one more call is allowed, and count it."""
        with self._lock:
            if len(self._made) == self._made.maxlen:
                over = self._made[0] + _MINUTE - self._clock()
                if over > 0.0:
                    self._sleep(over)
            self._made.append(self._clock())


class AlpacaClient:
    """Pages of Alpaca's REST interfaces as plain JSON. Cheap to build: keys are read, and proven, at the first call.

    `clock` gives Unix seconds; it, `sleep` and `seed` are for tests.
    """

    def __init__(
        self,
        settings: AlpacaSourceSettings,
        patience: PatienceSettings | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
        sleep: Callable[[float], None] = time.sleep,
        seed: int | None = None,
    ) -> None:
        self.settings = settings
        self.asked_again = 0
        self._environment = os.environ if environment is None else environment
        self._clock = clock
        self._patience = RetryPolicy(patience, seed, sleep, clock)
        self._pace = RateLimiter(settings.requests_per_minute, clock, sleep)
        self._rooms: dict[str, RESTClient] = {}
        self._proven = False

    # --- questions ----------------------------------------------------------------------------------------------------

    def page(self, room: Room, path: str, params: Params) -> Any:
        """One answer, as JSON. Raises ConfigError when Alpaca refuses the keys or the plan, DataError when it refuses the question or never answers."""
        self.prove_keys()
        return self._asked(room, path, params)

    def pages(self, room: Room, path: str, params: Params) -> Iterator[Any]:
        """Every page of an answer, each asked for once."""
        token, used = None, set()
        while True:
            answer = self.page(room, path, {**params, **({"page_token": token} if token else {})})
            if not isinstance(answer, dict):
                raise DataError(f"Alpaca answered {path} with no page ({said(Exception(str(answer)))}): look at market.alpaca.data_url")
            yield answer
            token = answer.get("next_page_token")
            if not token:
                return
            if token in used:
                raise DataError(f"Alpaca repeats a page of {path} without end: ask for a shorter range")
            used.add(token)

    def prove_keys(self) -> None:
        """Ask something small, once, so that wrong keys are told before anything large is asked. Raises ConfigError."""
        if not self._proven:
            self._asked("trading", "/clock", {})
            self._proven = True

    def keys(self) -> tuple[str, str]:
        """Key and secret from the environment. Raises ConfigError when one is missing."""
        found = self._environment.get(KEY, ""), self._environment.get(SECRET, "")
        missing = [name for name, value in zip((KEY, SECRET), found, strict=True) if not value]
        if missing:
            raise ConfigError(
                f"Alpaca needs keys, and {' and '.join(missing)} is not in the environment: make keys at https://app.alpaca.markets and export both"
            )
        return found

    # --- one attempt --------------------------------------------------------------------------------------------------

    def _asked(self, room: Room, path: str, params: Params) -> Any:
        attempt = functools.partial(self._attempt, room, path, params)
        try:
            return self._patience.call(attempt, _NoAnswer, f"Alpaca for {path}", lambda error: getattr(error, "wait_seconds", None))
        except OutOfPatience as error:
            raise DataError(str(error)) from None

    def _attempt(self, room: Room, path: str, params: Params) -> Any:
        import requests
        from alpaca.common.exceptions import APIError

        client = self._room(room)
        self._pace.wait()
        try:
            return client.get(path, dict(params))
        except APIError as error:
            status = int(error.status_code or 0)
            refusal = _refusal(status, self._clean(_sentence(error)), room, self.settings)
            wait = _wanted_wait(status, getattr(error.response, "headers", {}), self._clock())
        except requests.exceptions.JSONDecodeError:
            refusal, wait = _NoAnswer(f"an answer to {path} that is no JSON"), None
        except requests.exceptions.RequestException as error:
            refusal, wait = _NoAnswer(self._clean(f"{type(error).__name__}: {said(error)}")), None
        if isinstance(refusal, _NoAnswer):
            self.asked_again += 1
            refusal.wait_seconds = wait
        raise refusal from None

    def _room(self, room: Room) -> "RESTClient":
        if room not in self._rooms:
            self._rooms[room] = self._built(room)
        return self._rooms[room]

    def _built(self, room: Room) -> "RESTClient":
        from alpaca.data.historical.corporate_actions import CorporateActionsClient
        from alpaca.data.historical.stock import StockHistoricalDataClient
        from alpaca.trading.client import TradingClient

        key, secret = self.keys()
        client: RESTClient
        if room == "trading":
            client = TradingClient(key, secret, raw_data=True, url_override=self.settings.trading_url)
        elif room == "actions":
            client = CorporateActionsClient(key, secret, raw_data=True, url_override=self.settings.data_url)
        else:
            client = StockHistoricalDataClient(key, secret, raw_data=True, url_override=self.settings.data_url)
        limits = (self.settings.connect_timeout_seconds, self.settings.read_timeout_seconds)
        client._session.request = functools.partial(client._session.request, timeout=limits)  # type: ignore[method-assign]
        client._retry, client._retry_codes = 0, []
        return client

    def _clean(self, text: str) -> str:
        for name in (KEY, SECRET):
            value = self._environment.get(name)
            text = text.replace(value, f"${name}") if value else text
        return text


def _refusal(status: int, sentence: str, room: Room, settings: AlpacaSourceSettings) -> Exception:
    """What an HTTP status means for whoever asked."""
    where = settings.trading_url if room == "trading" else settings.data_url
    if status in _BUSY:
        return _NoAnswer(f"{status}: {sentence}")
    if status == 403 and "subscription" in sentence:
        return ConfigError(
            f'Alpaca: {sentence} (403): this plan does not allow recent {settings.feed} data; set market.alpaca.sip_delay_minutes = 15, or feed = "iex"'
        )
    if status in {401, 403}:
        return ConfigError(
            f"Alpaca refused the keys at {where} ({status}: {sentence}): correct {KEY} and {SECRET}; paper keys need the paper trading_url, live keys the live one"
        )
    return DataError(f"Alpaca refused the question ({status}: {sentence}): correct market.symbols or the range asked for")


def _sentence(error: Any) -> str:
    """Alpaca's own words; `APIError.message` cannot be used, since it fails on HTML and on bodies without it."""
    import json

    text = str(error)
    try:
        body = json.loads(text)
    except ValueError:
        return "an answer that is no JSON" if text else "no text"
    return said(Exception(str(body.get("message", text)))) if isinstance(body, dict) else said(Exception(text))


def _wanted_wait(status: int, headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until Alpaca wants to be asked again: Retry-After, else after a 429 X-RateLimit-Reset (Unix seconds); either may be missing.

    The limit's headers come with every answer, so after any other status they say nothing about when the trouble will be over.
    """
    named = retry_after_seconds(headers.get("Retry-After"), now)
    if named is not None or status != 429:
        return named
    try:
        return max(0.0, float(headers["X-RateLimit-Reset"]) - now)
    except (KeyError, ValueError):
        return None
