"""Requests to a crypto exchange through ccxt, with retries: public endpoints only, no key is read
or sent.

ccxt itself waits between requests so that the exchange's weight limit is kept; this module decides
which failures are retried. An answer that is no JSON is one of them: ccxt would hand its text on as
if it were data.
"""

import difflib
import re
from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.source_settings import CryptoSettings
from harmony_pipeline.market.sources.retry import (
    NoAnswer,
    RetryPolicy,
    describe,
    retry_after_seconds,
)

# not there, no longer there, not from this country: ccxt calls them "not available", as it does a
# server that is down
_FINAL = {404, 410, 451}

Answer = TypeVar("Answer")


class CryptoClient:
    """`ask(lambda exchange: exchange.fetch_time(), "its clock")` returns what the exchange answers.
    Raises DataError in one line.
    """

    def __init__(self, settings: CryptoSettings, retry: RetryPolicy) -> None:
        self.settings = settings
        self._retry = retry
        self._exchange: Any = None

    @property
    def retries(self) -> int:
        """Requests that were repeated so far."""
        return self._retry.retries

    def ask(self, question: Callable[[Any], Answer], about: str) -> Answer:
        """The answer to the first attempt that gets one."""
        exchange = self.exchange
        import ccxt

        def once() -> Answer:
            exchange.last_http_response = exchange.last_json_response = (
                exchange.last_response_headers
            ) = None
            try:
                answer = question(exchange)
            except ccxt.BaseError as error:
                if _is_final(error):
                    raise DataError(
                        f"{self.settings.exchange} refuses {about}: {describe(error)}"
                    ) from error
                raise NoAnswer(describe(error), self._named_wait()) from error
            except Exception as error:  # ccxt fails in its own code on text where it expects data
                raise self._no_json() or error from error
            page = self._no_json()
            if page is not None:
                raise page
            return answer

        return self._retry.call(once, f"{self.settings.exchange} for {about}")

    @property
    def exchange(self) -> Any:
        """The ccxt exchange, built when first asked for. Raises ConfigError when there is none."""
        if self._exchange is None:
            self._exchange = self._build()
        return self._exchange

    def _build(self) -> Any:
        try:
            import ccxt
        except ImportError as error:
            raise ConfigError(
                f"market.source is 'crypto', which needs ccxt ({error}): pip install"
                " 'harmony-pipeline[crypto]'"
            ) from error
        name = self.settings.exchange
        if name not in ccxt.exchanges:
            near = difflib.get_close_matches(name, ccxt.exchanges, n=3) or ["binance", "kraken"]
            raise ConfigError(
                f"market.crypto.exchange is '{name}', which ccxt does not know: did you mean"
                f" {' or '.join(near)}?"
            )
        # Of Binance's three market lists only the spot one is fetched: the others are other hosts,
        # and other instruments under similar names.
        options = {"defaultType": "spot"} | (
            {"fetchMarkets": {"types": ["spot"]}} if name.startswith("binance") else {}
        )
        # ccxt has a class an exchange, and a list of their names instead of a table of the classes.
        exchange = getattr(ccxt, name)(
            {
                "enableRateLimit": True,
                "timeout": int(self.settings.timeout_seconds * 1000),
                "options": options,
            }
        )
        if exchange.has.get("fetchOHLCV") is not True:
            raise ConfigError(
                f"market.crypto.exchange is '{name}', which gives no candles: choose another, such"
                " as binance or kraken"
            )
        # read in `ask`
        exchange.enableLastHttpResponse = exchange.enableLastJsonResponse = (
            exchange.enableLastResponseHeaders
        ) = True
        if self.settings.rate_limit_seconds is not None:
            exchange.rateLimit = self.settings.rate_limit_seconds * 1000
        if self.settings.base_url:
            exchange.urls["api"] = _redirect(
                exchange.urls["api"], self.settings.base_url.rstrip("/")
            )
        return exchange

    def _no_json(self) -> NoAnswer | None:
        """The failure that a page without JSON is; None when there was JSON, or no request at
        all.
        """
        text = self._exchange.last_http_response
        if not isinstance(text, str) or self._exchange.last_json_response is not None:
            return None
        return NoAnswer(f"no JSON but: {text[:200]}", self._named_wait())

    def _named_wait(self) -> float | None:
        headers: Mapping[str, str] | None = self._exchange.last_response_headers
        return retry_after_seconds(headers.get("Retry-After")) if headers else None


def _is_final(error: Exception) -> bool:
    """Whether another attempt cannot help: anything but ccxt's network trouble, limits and
    outages.
    """
    import ccxt
    import requests

    cause = error.__context__
    answer = cause.response if isinstance(cause, requests.exceptions.RequestException) else None
    return not isinstance(error, ccxt.OperationFailed) or (
        answer is not None and answer.status_code in _FINAL
    )


def _redirect(urls: Any, base_url: str) -> Any:
    """Every address in `urls` (texts in mappings) on another host; paths stay."""
    if isinstance(urls, Mapping):
        return {name: _redirect(each, base_url) for name, each in urls.items()}
    return re.sub(r"^\w+://[^/]+", base_url, urls) if isinstance(urls, str) else urls
