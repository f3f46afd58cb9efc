"""Requests to Alpaca's trading interface through alpaca-py's client: time limits, the rate limit,
retries of questions alone, errors as families of `harmony_pipeline.errors`.

alpaca-py (0.44) repeats every request by itself after 429 and 504, orders too, and waits for an
answer for ever. Both are switched off here. A question (GET) is asked again after silence; what
changes something is sent once, and whoever sent it looks it up (`broker.py`).
"""

import functools
import json
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harmony_pipeline.errors import BrokerRejected, BrokerUnavailable, ConfigError
from harmony_pipeline.execution.brokers.alpaca.keys import KEY, SECRET, Keys
from harmony_pipeline.execution.brokers.alpaca.settings import AlpacaSettings
from harmony_pipeline.market.sources.alpaca.client import (
    NO_JSON,
    RateLimiter,
    read_environment_once,
)
from harmony_pipeline.market.sources.retry import answered_at, retry_after_seconds
from harmony_pipeline.text import one_line, printable

Json = dict[str, Any]
_UNKNOWN = frozenset({408, 500, 502, 503, 504})
_LONGEST_WAIT = 60.0
_PAGE = 500


class Refusal(BrokerRejected):
    """Alpaca's no: the HTTP status, its code where it has one, and its own sentence."""

    def __init__(self, status: int, code: int | None, sentence: str) -> None:
        super().__init__(f"Alpaca: {sentence} ({status}{f', {code}' if code else ''})")
        self.status, self.code, self.sentence = status, code, sentence


class TradingRest:
    """One account's REST interface as plain JSON. Threads may share one: one request at a time."""

    def __init__(
        self,
        settings: AlpacaSettings,
        keys: Keys,
        *,
        clock: Callable[[], float] = time.time,
        steady: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        from alpaca.trading.client import TradingClient

        self._settings, self._keys = settings, keys
        self._clock, self._sleep = clock, sleep
        self._limiter = RateLimiter(settings.requests_per_minute, steady, sleep)
        client = TradingClient(
            keys.key, keys.secret, raw_data=True, url_override=settings.trading_url
        )
        limit = settings.timeout_seconds
        client._session.request = functools.partial(  # type: ignore[method-assign]
            client._session.request, timeout=(limit, limit)
        )
        client._retry, client._retry_codes = 0, []
        read_environment_once(client._session, settings.trading_url)
        self._client = client
        self._lock = threading.Lock()
        self._sent = threading.local()

    @property
    def sent(self) -> int:
        """Requests that the calling thread has sent so far."""
        count: int = vars(self._sent).get("count", 0)
        return count

    def get(self, path: str, params: Mapping[str, Any] | None = None) -> Any:
        """Ask, again after silence. Raises Refusal, ConfigError (keys) or BrokerUnavailable."""
        for attempt in range(1, self._settings.attempts + 1):
            try:
                return self.once("GET", path, dict(params or {}))
            except BrokerUnavailable:
                if attempt == self._settings.attempts:
                    raise
                self._sleep(self._settings.wait_seconds * attempt)
        raise AssertionError

    def once(self, method: str, path: str, body: Any = None) -> Any:
        """Send a request once; again only after 429, which says that nothing was done. Raises
        Refusal, ConfigError (keys) or BrokerUnavailable (nobody knows what became of it).
        """
        for _ in range(self._settings.attempts):
            answer, wait = self._attempt(method, path, body)
            if wait is None:
                return answer
            self._sleep(min(wait, _LONGEST_WAIT))
        raise BrokerUnavailable(
            f"Alpaca's rate limit is used up ({method} {path}): others trade with these keys, or"
            " alpaca.requests_per_minute is too high"
        )

    def pages(self, path: str, params: Mapping[str, Any]) -> Iterator[Json]:
        """Every order of a list, oldest first, page after page by the time of submission."""
        after: str | None = params.get("after")
        seen: set[str] = set()
        while True:
            asked = {**params, "limit": _PAGE, "direction": "asc"}
            page = self.get(path, {**asked, **({"after": after} if after else {})})
            fresh = [order for order in page if order["id"] not in seen]
            yield from fresh
            if len(page) < _PAGE or not fresh:
                return
            seen |= {order["id"] for order in fresh}
            after = page[-1]["submitted_at"]

    # --- one attempt ------------------------------------------------------------------------------

    def _attempt(self, method: str, path: str, body: Any) -> tuple[Any, float | None]:
        """(answer, None), or (None, seconds to wait) after 429."""
        import requests
        from alpaca.common.exceptions import APIError

        self._limiter.wait()
        self._sent.count = self.sent + 1
        try:
            with self._lock:
                return self._client._request(method, path, body), None
        except APIError as error:
            response = error.response
            headers = {} if response is None else response.headers
            status, text = int(error.status_code or 0), str(error)
        except requests.exceptions.JSONDecodeError:
            status, text, headers = 0, NO_JSON, {}
        except requests.exceptions.RequestException as error:
            status, text, headers = 0, type(error).__name__, {}
        if status == 429:  # outside of `except`: the library's error holds the request, so the keys
            return None, self._wait(headers)
        raise self._failure(status, text, method, path)

    def _wait(self, headers: Mapping[str, str]) -> float:
        """Seconds until the limit is over, as far as the answer tells."""
        now = answered_at(headers, self._clock())
        named = retry_after_seconds(headers.get("Retry-After"), now)
        if named is not None:
            return named
        try:
            return max(0.0, float(headers["X-RateLimit-Reset"]) - now)
        except (KeyError, ValueError):
            return self._settings.wait_seconds

    def _failure(self, status: int, text: str, method: str, path: str) -> Exception:
        code, sentence = _read(self._keys.hidden(text))
        if status == 0 or status in _UNKNOWN or status >= 500:
            return BrokerUnavailable(
                f"Alpaca gave no usable answer to {method} {path} ({status or sentence}): what"
                " became of it is unknown"
            )
        if status == 403 and sentence == NO_JSON:  # of what stands before Alpaca, and not its word
            return BrokerUnavailable(
                f"something before Alpaca refused {method} {path} (403, no JSON): what became of it"
                " is unknown"
            )
        if status == 401 or (status == 403 and code is None) or sentence == "forbidden.":
            return ConfigError(
                f"Alpaca refused the keys at {self._settings.trading_url} ({status}: {sentence}):"
                f" correct {KEY} and {SECRET}; paper keys need the paper address"
            )
        return Refusal(status, code, sentence)


def _read(text: str) -> tuple[int | None, str]:
    """Code and sentence of an error body; it may be HTML, or lack either."""
    try:
        body = json.loads(text)
    except ValueError:
        return None, NO_JSON if text.lstrip().startswith("<") else text[:200]
    if not isinstance(body, dict):
        return None, printable(one_line(str(body)))[:200]
    code = body.get("code")
    sentence = printable(one_line(str(body.get("message", text))))
    return (code if isinstance(code, int) else None), sentence[:400]
