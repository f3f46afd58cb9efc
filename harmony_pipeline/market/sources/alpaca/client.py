"""Requests to Alpaca: keys, time limits, the rate limit, retries, errors in one line.

One call here is one page, and a page that was read is never requested again. alpaca-py (0.44)
retries by itself after a 429 or 504, three seconds apart, and waits for an answer for ever; both
are switched off, and `RetryPolicy` decides instead. What Alpaca refuses for good (wrong keys, a
feed that the plan lacks, an unknown symbol) is raised at once.

The keys come from the environment alone and appear in no message: errors are made here from the
status and Alpaca's own sentence, cut off from the exceptions that carry the request.
"""

import functools
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.source_settings import AlpacaSourceSettings, RetrySettings
from harmony_pipeline.market.sources.retry import (
    NoAnswer,
    RetryPolicy,
    answered_at,
    describe,
    retry_after_seconds,
)
from harmony_pipeline.text import one_line, printable

if TYPE_CHECKING:
    from alpaca.common.rest import RESTClient
    from requests import Session

KEY, SECRET = "APCA_API_KEY_ID", "APCA_API_SECRET_KEY"
Room = Literal["data", "coins", "actions", "trading"]
COIN_BARS, COIN_QUOTES = "/crypto/us/bars", "/crypto/us/quotes"
Params = Mapping[str, Any]

_BUSY = {408, 425, 429, 500, 502, 503, 504}
NO_JSON = "an answer that is no JSON"
_MINUTE = 60.0


class RateLimiter:
    """At most `per_minute` calls within any 60 seconds; `wait` sleeps until the next is allowed.
    Threads may share one. `clock`: seconds of a clock that nobody sets, since a wait would be as
    long as that is set back.

    pyrate-limiter (4.5) does not promise that: after a wait it records the moment it meant to wake
    at, not the one at which it did. With 5 calls allowed in 400 ms on a busy machine, 5 calls came
    within 156 ms. Its sleep and clock cannot be replaced in tests, and each limiter starts a
    thread.
    """

    def __init__(
        self, per_minute: int, clock: Callable[[], float], sleep: Callable[[float], None]
    ) -> None:
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


def read_environment_once(session: "Session", url: str) -> None:
    """Let `session` keep the proxies and certificates that the environment names for `url`.

    requests reads them again at every request, which takes a quarter of a short request's time.
    ~/.netrc is not read: the keys go in headers.
    """
    found = session.merge_environment_settings(url, {}, None, None, None)
    session.proxies, session.verify, session.trust_env = found["proxies"], found["verify"], False


class AlpacaClient:
    """Pages of Alpaca's REST interfaces as plain JSON. Cheap to build: keys are read, and proven,
    at the first call.

    `clock` gives Unix seconds, `steady` those of a clock that nobody sets; they and `sleep` are for
    tests.
    """

    def __init__(
        self,
        settings: AlpacaSourceSettings,
        retry: RetrySettings | None = None,
        *,
        environment: Mapping[str, str] | None = None,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.settings = settings
        self._environment = os.environ if environment is None else environment
        self._clock = clock
        self._retry = RetryPolicy(retry, sleep)
        self._limiter = RateLimiter(settings.requests_per_minute, steady, sleep)
        self._rooms: dict[str, RESTClient] = {}
        self._proven = False

    @property
    def retries(self) -> int:
        """Requests that were repeated so far."""
        return self._retry.retries

    # --- questions --------------------------------------------------------------------------------

    def page(self, room: Room, path: str, params: Params) -> Any:
        """One answer, as JSON. Raises ConfigError when Alpaca refuses the keys or the plan,
        DataError when it refuses the question or never answers.
        """
        self.prove_keys()
        return self._request(room, path, params)

    def pages(self, room: Room, path: str, params: Params) -> Iterator[Any]:
        """Every page of an answer, each asked for once."""
        token, used = None, set()
        while True:
            answer = self.page(room, path, {**params, **({"page_token": token} if token else {})})
            if not isinstance(answer, dict):
                raise DataError(
                    f"Alpaca answered {path} with no page ({printable(one_line(str(answer)))}):"
                    " look at market.alpaca.data_url"
                )
            yield answer
            token = answer.get("next_page_token")
            if not token:
                return
            if token in used:
                raise DataError(
                    f"Alpaca repeats a page of {path} without end: ask for a shorter range"
                )
            used.add(token)

    def prove_keys(self) -> None:
        """Ask something small, once, so that wrong keys are told before anything large is asked.
        Raises ConfigError.
        """
        if not self._proven:
            self._request("trading", "/clock", {})
            self._proven = True

    def keys(self) -> tuple[str, str]:
        """Key and secret from the environment. Raises ConfigError when one is missing."""
        found = self._environment.get(KEY, ""), self._environment.get(SECRET, "")
        missing = [name for name, value in zip((KEY, SECRET), found, strict=True) if not value]
        if missing:
            raise ConfigError(
                f"Alpaca needs keys, and {' and '.join(missing)} is not in the environment: make"
                " keys at https://app.alpaca.markets and export both"
            )
        return found

    # --- one attempt ------------------------------------------------------------------------------

    def _request(self, room: Room, path: str, params: Params) -> Any:
        return self._retry.call(
            functools.partial(self._attempt, room, path, params), f"Alpaca for {path}"
        )

    def _attempt(self, room: Room, path: str, params: Params) -> Any:
        import requests
        from alpaca.common.exceptions import APIError

        client = self._room(room)
        self._limiter.wait()
        try:
            return client.get(path, dict(params))
        except APIError as error:
            status = int(error.status_code or 0)
            headers = error.response.headers if error.response is not None else {}
            wait = _named_wait(status, headers, answered_at(headers, self._clock()))
            failure = _failure(status, self._hide_keys(_sentence(error)), wait, room, self.settings)
        except requests.exceptions.JSONDecodeError:
            failure = NoAnswer(f"an answer to {path} that is no JSON")
        except requests.exceptions.RequestException as error:
            failure = NoAnswer(self._hide_keys(f"{type(error).__name__}: {describe(error)}"))
        raise failure  # outside of `except`: the library's error holds the request, and so the keys

    def _room(self, room: Room) -> "RESTClient":
        if room not in self._rooms:
            self._rooms[room] = self._build(room)
        return self._rooms[room]

    def _build(self, room: Room) -> "RESTClient":
        from alpaca.data.historical.corporate_actions import CorporateActionsClient
        from alpaca.data.historical.crypto import CryptoHistoricalDataClient
        from alpaca.data.historical.stock import StockHistoricalDataClient
        from alpaca.trading.client import TradingClient

        key, secret = self.keys()
        client: RESTClient
        if room == "trading":
            client = TradingClient(
                key, secret, raw_data=True, url_override=self.settings.trading_url
            )
        elif room == "actions":
            client = CorporateActionsClient(
                key, secret, raw_data=True, url_override=self.settings.data_url
            )
        elif room == "coins":
            client = CryptoHistoricalDataClient(
                key, secret, raw_data=True, url_override=self.settings.data_url
            )
        else:
            client = StockHistoricalDataClient(
                key, secret, raw_data=True, url_override=self.settings.data_url
            )
        limits = (self.settings.connect_timeout_seconds, self.settings.read_timeout_seconds)
        client._session.request = functools.partial(client._session.request, timeout=limits)  # type: ignore[method-assign]
        client._retry, client._retry_codes = 0, []
        read_environment_once(client._session, client._base_url)
        return client

    def _hide_keys(self, text: str) -> str:
        for name in (KEY, SECRET):
            value = self._environment.get(name)
            text = text.replace(value, f"${name}") if value else text
        return text


def _failure(
    status: int, sentence: str, wait: float | None, room: Room, settings: AlpacaSourceSettings
) -> Exception:
    """What an HTTP status means for whoever asked."""
    where = settings.trading_url if room == "trading" else settings.data_url
    if status in _BUSY:
        return NoAnswer(f"{status}: {sentence}", wait)
    if status == 403 and sentence == NO_JSON:  # of what stands before Alpaca, and not its word
        return NoAnswer(f"{status}: {sentence}", wait)
    if status == 403 and "subscription" in sentence:
        return ConfigError(
            f"Alpaca: {sentence} (403): this plan does not allow recent {settings.feed} data; set"
            ' market.alpaca.sip_delay_minutes = 15, or feed = "iex"'
        )
    if status in {401, 403}:
        return ConfigError(
            f"Alpaca refused the keys at {where} ({status}: {sentence}): correct {KEY} and"
            f" {SECRET}; paper keys need the paper trading_url, live keys the live one"
        )
    return DataError(
        f"Alpaca refused the question ({status}: {sentence}): correct market.symbols or the range"
        " asked for"
    )


def _sentence(error: Any) -> str:
    """Alpaca's own words; `APIError.message` cannot be used, since it fails on HTML and on bodies
    without it.
    """
    import json

    text = str(error)
    try:
        body = json.loads(text)
    except ValueError:
        return NO_JSON if text else "no text"
    return printable(one_line(str(body.get("message", text)) if isinstance(body, dict) else text))


def _named_wait(status: int, headers: Mapping[str, str], now: float) -> float | None:
    """Seconds until Alpaca wants to be asked again: Retry-After, else after a 429 X-RateLimit-Reset
    (Unix seconds); either may be missing.

    The limit's headers come with every answer, so after any other status they say nothing about
    when the trouble will be over.
    """
    named = retry_after_seconds(headers.get("Retry-After"), now)
    if named is not None or status != 429:
        return named
    try:
        return max(0.0, float(headers["X-RateLimit-Reset"]) - now)
    except (KeyError, ValueError):
        return None
