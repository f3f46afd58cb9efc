"""Requests to Yahoo through yfinance's own session, cookies and crumb, with retries.

Charts are requested through `yfinance.data.YfData`, the layer that all of yfinance goes through,
and not through `Ticker.history`. That one drops and mends rows, keeps *any* answer about the past
for the life of the process (an error page as well, so that asking again is of no use), and makes
30-minute bars of 15-minute ones.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit, urlunsplit

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.source_settings import YahooSettings
from harmony_pipeline.market.sources.retry import NoAnswer, RetryPolicy, retry_after_seconds
from harmony_pipeline.text import one_line, printable

# 401: a crumb that went stale; 999: Yahoo's own "request denied" of busy addresses
_BUSY = {401, 408, 425, 429, 500, 502, 503, 504, 999}
_HOST = "https://query2.finance.yahoo.com"
_SUMMARY_MODULES = "assetProfile,defaultKeyStatistics,price,quoteType"


class YahooClient:
    """Answers of the chart and summary endpoints as parsed JSON. Raises DataError in one line."""

    def __init__(self, settings: YahooSettings, retry: RetryPolicy) -> None:
        self.settings = settings
        self._retry = retry
        self._data: Any = None

    @property
    def retries(self) -> int:
        """Requests that were repeated so far."""
        return self._retry.retries

    def chart(
        self, symbol: str, interval: str, start: datetime, end: datetime, *, extended: bool
    ) -> Mapping[str, Any] | None:
        """`chart.result[0]` for `start <= stamp < end` with splits and dividends of that range;
        None when Yahoo has nothing there.
        """
        params = {
            "period1": int(start.timestamp()),
            "period2": int(end.timestamp()),
            "interval": interval,
            "includePrePost": "true" if extended else "false",
            "events": "div,splits",
        }
        answer = self._ask(f"/v8/finance/chart/{quote(symbol, safe='')}", params, "chart", symbol)
        found: Mapping[str, Any] | None = (answer.get("result") or [None])[0]
        if found is None:
            _raise_unless_absent(answer.get("error") or {}, symbol)
        return found

    def summary(self, symbol: str) -> Mapping[str, Any] | None:
        """Profile, key statistics and price of a symbol; None when Yahoo does not know it."""
        answer = self._ask(
            f"/v10/finance/quoteSummary/{quote(symbol, safe='')}",
            {"modules": _SUMMARY_MODULES, "formatted": "false"},
            "quoteSummary",
            symbol,
        )
        found: Mapping[str, Any] | None = (answer.get("result") or [None])[0]
        if found is None:
            _raise_unless_absent(answer.get("error") or {}, symbol)
        return found

    def _ask(
        self, path: str, params: Mapping[str, Any], envelope: str, symbol: str
    ) -> Mapping[str, Any]:
        """The object under `envelope`, from the first attempt that gives one."""
        data = self._session()
        from yfinance.exceptions import YFRateLimitError

        def once() -> Mapping[str, Any]:
            response = data.get(
                f"{_HOST}{path}", params=dict(params), timeout=self.settings.timeout_seconds
            )
            return _unwrap(response, envelope)

        # curl_cffi's and requests' failures are OSErrors both: refused, reset, cut short, timed
        # out.
        return self._retry.call(once, f"Yahoo for {symbol}", (YFRateLimitError, OSError, NoAnswer))

    def _session(self) -> Any:
        if self._data is None:
            try:
                # Private, since no public function makes the session that yfinance itself uses:
                # curl_cffi's with the TLS of a browser, which Yahoo blocks less, or else that of
                # requests. It is needed here to send it to `base_url`.
                from yfinance._http import new_session
                from yfinance.data import YfData
            except ImportError as error:
                raise ConfigError(
                    f"market.source is 'yahoo', which needs yfinance ({error}): pip install"
                    " 'harmony-pipeline[yahoo]'"
                ) from error

            session = new_session()
            if self.settings.base_url:
                session.request = _redirect(session.request, self.settings.base_url)
            # YfData is one object a process by its metaclass; type.__call__ makes another, so that
            # no two sources share cookies.
            self._data = type.__call__(YfData, session)
        return self._data


def _redirect(request: Callable[..., Any], base_url: str) -> Callable[..., Any]:
    """`request` with every address of Yahoo's hosts taken to another host; path and query stay."""
    base = urlsplit(base_url)

    def elsewhere(method: str, url: str, **rest: Any) -> Any:
        parts = urlsplit(url)
        return request(
            method=method,
            url=urlunsplit(
                (base.scheme, base.netloc, f"{base.path.rstrip('/')}{parts.path}", parts.query, "")
            ),
            **rest,
        )

    return elsewhere


def _unwrap(response: Any, envelope: str) -> Mapping[str, Any]:
    """The object under `envelope`; an answer that is busy, or no JSON, is worth another attempt."""
    status = int(response.status_code)
    wait = retry_after_seconds(response.headers.get("Retry-After"))
    if status in _BUSY:
        raise NoAnswer(f"HTTP {status} {response.text[:200]}", wait)
    try:
        body = response.json()
        found: Mapping[str, Any] = body[envelope]
    except (ValueError, KeyError, TypeError):
        raise NoAnswer(f"HTTP {status} and no {envelope}: {response.text[:200]}", wait) from None
    return found


def _raise_unless_absent(error: Mapping[str, Any], symbol: str) -> None:
    """Yahoo's word for an unknown symbol, or for a range in which it did not trade, is an empty
    answer; anything else an error.
    """
    code, text = str(error.get("code")), str(error.get("description"))
    if code in {"Not Found", "None"} or "doesn't exist for startDate" in text:
        return
    raise DataError(f"Yahoo refuses {symbol}: {code}: {printable(one_line(text))}")
