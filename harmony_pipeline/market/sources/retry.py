"""How often and how long a source asks again when a supplier is busy, broken or silent.

The law: only what is safe to repeat is called here (questions, never orders), and the number of attempts and the time spent are bounded. The wait before
attempt n is drawn evenly from 0 to min(cap, base * 2^(n-1)) seconds: "full jitter", which spreads the callers of a supplier that comes back (Brooker,
"Exponential Backoff And Jitter", AWS Architecture Blog, 2015). A supplier that names a wait (Retry-After) gets it in full, with the jitter on top.

>>> patience = Patience(PatienceSettings(attempts=5))
>>> patience.call(lambda: client.get_bars("AAPL"), retry_on=(TimeoutError, ConnectionError), asking="Alpaca for AAPL")
"""

import random
import time
from collections.abc import Callable
from typing import TypeVar

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.settings import PatienceSettings

Answer = TypeVar("Answer")
Worth = type[Exception] | tuple[type[Exception], ...] | Callable[[Exception], bool]

_SENTENCE_LENGTH = 200  # of a supplier's own words; an HTML error page would drown the line


class OutOfPatience(DataError):
    """A supplier did not answer in the attempts or the time allowed; `__cause__` is its last error."""

    def __init__(self, asking: str, attempts: int, seconds: float, last: Exception) -> None:
        """`asking` ends the sentence "asking ...", such as "Yahoo for AAPL"."""
        self.attempts, self.seconds = attempts, seconds
        super().__init__(
            f"asking {asking}: no answer after {attempts} attempt(s) in {seconds:.0f} s ({said(last)}); "
            "run the same command later, which goes on where this stopped, or raise market.patience.attempts"
        )


class RetryPolicy:
    """Calls a function until it answers. Safe to share between threads; `sleep`, `clock` (both seconds) and `seed` are for tests."""

    def __init__(
        self,
        settings: PatienceSettings | None = None,
        seed: int | None = None,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """A `seed` of None draws from the system, so that two processes never wait in step."""
        self.settings = settings or PatienceSettings()
        self._chance = random.Random(seed)
        self._sleep, self._clock = sleep, clock

    def call(self, ask: Callable[[], Answer], retry_on: Worth, asking: str = "a supplier", wanted: Callable[[Exception], float | None] | None = None) -> Answer:
        """What `ask()` returns, at the first attempt that raises nothing.

        `retry_on` are the exceptions worth another attempt, as classes or as a question to the exception; any other is raised as it is. `wanted` reads from
        an exception the seconds that the supplier asked to wait (its Retry-After), if any. Raises OutOfPatience, a DataError with a whole sentence, when the
        attempts are used up, or when the next wait would end after `limit_seconds`.
        """
        began = self._clock()
        for attempt in range(1, self.settings.attempts + 1):
            try:
                return ask()
            except Exception as error:
                if not _is_worth(error, retry_on):
                    raise
                wait = self.wait_after(attempt, wanted(error) if wanted else None)
                spent = self._clock() - began
                if attempt == self.settings.attempts or spent + wait > self.settings.limit_seconds:
                    raise OutOfPatience(asking, attempt, spent, error) from error
            self._sleep(wait)
        raise AssertionError("unreachable: the last attempt returns or raises")

    def wait_after(self, attempt: int, wanted_seconds: float | None = None) -> float:
        """Seconds to wait after failed attempt number `attempt` (from 1)."""
        ceiling = min(self.settings.cap_seconds, self.settings.base_seconds * 2.0 ** (attempt - 1))
        return max(0.0, wanted_seconds or 0.0) + self._chance.uniform(0.0, ceiling)


def said(error: Exception) -> str:
    """A supplier's error in one short line."""
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) <= _SENTENCE_LENGTH else f"{text[:_SENTENCE_LENGTH]}..."


def retry_after_seconds(value: str | None, now: float | None = None) -> float | None:
    """Seconds in an HTTP `Retry-After` header: a number, or a date (RFC 9110, 10.2.3) counted from `now` (Unix seconds); None when it says neither."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        from email.utils import parsedate_to_datetime

        try:
            moment = parsedate_to_datetime(value).timestamp()
        except ValueError:
            return None
        return max(0.0, moment - (time.time() if now is None else now))


def _is_worth(error: Exception, retry_on: Worth) -> bool:
    if isinstance(retry_on, (type, tuple)):
        return isinstance(error, retry_on)
    return retry_on(error)
