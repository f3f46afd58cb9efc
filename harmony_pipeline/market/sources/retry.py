"""How often and how long a supplier is asked again when it is busy, broken or silent.

Only questions are repeated here, never orders. Attempts and time are bounded. The wait after
failure n is drawn evenly from 0 to min(cap, base * 2^(n-1)) seconds: "full jitter", which spreads
the callers of a supplier that comes back (Brooker, "Exponential Backoff And Jitter", AWS
Architecture Blog, 2015). A wait that the supplier names (Retry-After) is kept in full, with the
jitter on top.

>>> policy = RetryPolicy(RetrySettings(attempts=5))
>>> causes = (TimeoutError, NoAnswer)
>>> policy.call(lambda: client.get_bars("AAPL"), "Alpaca for AAPL", retry_on=causes)
"""

import time
from collections.abc import Callable, Mapping
from email.utils import mktime_tz, parsedate_tz
from typing import TypeVar

import tenacity

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.source_settings import RetrySettings
from harmony_pipeline.text import one_line, printable

Answer = TypeVar("Answer")


class NoAnswer(Exception):
    """A failure that another attempt may mend; `retry_after` is the wait in seconds that the
    supplier named.
    """

    def __init__(self, sentence: str, retry_after: float | None = None) -> None:
        super().__init__(sentence)
        self.retry_after = retry_after


class RetriesExhausted(DataError):
    """A supplier did not answer in the attempts or the time allowed; `__cause__` is its last
    error.
    """

    def __init__(self, asking: str, attempts: int, seconds: float, last: BaseException) -> None:
        """`asking` ends the sentence "asking ...", such as "Yahoo for AAPL"."""
        self.attempts, self.seconds = attempts, seconds
        super().__init__(
            f"asking {asking}: no answer after {attempts} attempt(s) in {seconds:.0f} s"
            f" ({describe(last)}); run the same command later, which goes on where this stopped, or"
            " raise market.patience.attempts"
        )


class RetryPolicy:
    """Calls a function until it answers. Threads may share one; `sleep` (seconds) is for tests."""

    def __init__(
        self, settings: RetrySettings | None = None, sleep: Callable[[float], None] = time.sleep
    ) -> None:
        self.settings = settings or RetrySettings()
        self.retries = 0
        """attempts after the first one, over all calls so far"""
        self._sleep = sleep

    def call(
        self,
        ask: Callable[[], Answer],
        asking: str,
        retry_on: type[Exception] | tuple[type[Exception], ...] = NoAnswer,
    ) -> Answer:
        """What `ask()` returns, at the first attempt that raises nothing.

        An exception that is not in `retry_on` is raised as it is. Raises RetriesExhausted when the
        attempts are used up, or when the next wait would end after `limit_seconds`.
        """
        settings = self.settings
        retrying = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(retry_on),
            wait=tenacity.wait_random_exponential(settings.base_seconds, settings.cap_seconds)
            + tenacity.wait_exception(_named_wait),
            stop=tenacity.stop_after_attempt(settings.attempts)
            | tenacity.stop_before_delay(settings.limit_seconds),
            sleep=self._sleep,
            before_sleep=self._count,
            retry_error_callback=lambda state: _give_up(asking, state),
        )
        return retrying(ask)

    def _count(self, state: tenacity.RetryCallState) -> None:
        self.retries += 1


def describe(error: BaseException) -> str:
    """A supplier's error in one short line; an HTML error page would drown the line it stands
    in.
    """
    return printable(one_line(str(error)) or type(error).__name__)


def retry_after_seconds(value: str | None, now: float | None = None) -> float | None:
    """Seconds in an HTTP `Retry-After` header; None when it holds neither a number nor a date.

    A date (RFC 9110, 10.2.3) is counted from `now` (Unix seconds; the present when not given).
    """
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        moment = _moment(value)
        return None if moment is None else max(0.0, moment - (time.time() if now is None else now))


def answered_at(headers: Mapping[str, str], now: float) -> float:
    """When an answer was given by the supplier's own clock, Unix seconds; `now` where it does not
    tell. Waits that it names as a moment are counted from there: the clock of this machine may be
    wrong, or be set meanwhile.
    """
    moment = _moment(headers.get("Date") or "")
    return now if moment is None else moment


def _moment(text: str) -> float | None:
    """Unix seconds of an HTTP date; None of what is none."""
    found = parsedate_tz(text)
    try:
        return None if found is None else float(mktime_tz(found))
    except (ValueError, OverflowError):  # a year with five digits
        return None


def _named_wait(error: BaseException) -> float:
    return (error.retry_after or 0.0) if isinstance(error, NoAnswer) else 0.0


def _give_up(asking: str, state: tenacity.RetryCallState) -> None:
    last = state.outcome.exception() if state.outcome else None
    assert last is not None
    raise RetriesExhausted(
        asking, state.attempt_number, state.seconds_since_start or 0.0, last
    ) from last
