"""Questions to a MetaTrader 5 terminal on this machine, through the MetaTrader5 package, with
reconnection and retries.

The package talks to the terminal's program, which talks to the broker. Its functions return None or
False on an error and keep code and text in `last_error()`. Codes of -10000 and below mean that
terminal and package lost each other: the connection is made anew. -6 is a refused login, for which
no second try helps.

What the terminal does not have on disk it fetches in the background: a first question may get None
("Terminal: Call failed"), no rows, or a part of them, and the next one more. `history` asks until
two answers in a row have as many rows.

Login, password and server come from MT5_LOGIN, MT5_PASSWORD and MT5_SERVER, and from nowhere else.
Without them the terminal's own account is used. Nothing here places orders.
"""

import os
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.source_settings import Mt5Settings
from harmony_pipeline.market.sources.retry import NoAnswer, RetryPolicy
from harmony_pipeline.text import one_line, printable

VARIABLES = ("MT5_LOGIN", "MT5_PASSWORD", "MT5_SERVER")
_AUTHORIZATION, _LOST = -6, -10_000
# call failed, invalid parameters (a range beyond the chart's bars), not found
_NOT_THERE = frozenset({-1, -2, -4})
_ABSENT_ATTEMPTS = 3
_SHORTEST_WAIT, _LONGEST_WAIT = 0.05, 5.0  # seconds


class HistoryNotThere(DataError):
    """The terminal has no bars or ticks of a range, and did not get any while it was asked."""


class Terminal:
    """One connection, made with the first question."""

    def __init__(
        self,
        settings: Mt5Settings,
        retry: RetryPolicy,
        package: Any = None,
        environment: Mapping[str, str] | None = None,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """All but the first two are for tests: what stands in for MetaTrader5, for the process's
        environment and for waiting (seconds).
        """
        self.settings, self._retry = settings, retry
        self._package = package
        self._environment = os.environ if environment is None else environment
        self._sleep = sleep
        self._connected = False

    @property
    def retries(self) -> int:
        """Questions that were repeated so far."""
        return self._retry.retries

    @property
    def server(self) -> str:
        """The broker's server, or whatever account the terminal is logged in to."""
        return self._environment.get("MT5_SERVER") or "the terminal's account"

    @property
    def package(self) -> Any:
        """The MetaTrader5 package. Raises ConfigError where it is not installed."""
        if self._package is None:
            try:
                import MetaTrader5
            except ImportError as error:
                raise ConfigError(
                    "market.source is 'mt5', which needs the MetaTrader5 package and its terminal"
                    f" ({error}): on Windows, pip install 'harmony-pipeline[mt5]'; elsewhere export"
                    ' the history in the terminal and read it with market.source = "files"'
                ) from None
            self._package = MetaTrader5
        return self._package

    def ask(self, question: Callable[[Any], Any], about: str) -> Any:
        """What `question(package)` returns; None and False are failures. Raises DataError in one
        line.
        """
        return self._retry.call(lambda: self._answer(question, about), f"MetaTrader 5 for {about}")

    def history(self, question: Callable[[Any], Any], about: str) -> Any:
        """A structured array, asked until two answers in a row have as many rows. Raises
        HistoryNotThere when the terminal goes on to have none, DataError when it goes on filling.
        """
        asking, known, absent = f"MetaTrader 5 for {about}", None, 0
        for wait in self._waits():
            try:
                rows = self._retry.call(lambda: self._answer(question, about, _NOT_THERE), asking)
            except HistoryNotThere:
                absent += 1
                if absent >= _ABSENT_ATTEMPTS:
                    raise
            else:
                if known == len(rows):
                    return rows
                known = len(rows)
            self._sleep(wait)
        raise DataError(
            f"asking {asking}: its history is still filling after {self.settings.history_attempts}"
            " answers; run the same command later, which goes on where this stopped"
        )

    def _waits(self) -> Iterator[float]:
        """Seconds after each answer: doubling, so that what the terminal has costs nearly none."""
        for number in range(self.settings.history_attempts):
            yield min(_SHORTEST_WAIT * 2**number, _LONGEST_WAIT)

    def close(self) -> None:
        """End the connection; the next question makes another."""
        if self._connected:
            self._connected = False
            self.package.shutdown()

    # --- inside -----------------------------------------------------------------------------------

    def _answer(
        self, question: Callable[[Any], Any], about: str, keep: frozenset[int] = frozenset()
    ) -> Any:
        """One attempt: what the package answers, or the failure that its code means. Codes in
        `keep` raise HistoryNotThere.
        """
        self._connect()
        answer = question(self.package)
        if answer is not None and answer is not False:
            return answer
        code, text = self._failure()
        if code in keep:
            raise HistoryNotThere(f"the terminal has no {about} ({text}, code {code})")
        raise self._meaning(code, text, about)

    def _connect(self) -> None:
        if self._connected:
            return
        package, settings = self.package, self.settings
        path = () if settings.terminal is None else (settings.terminal,)
        limits = {"timeout": int(settings.timeout_seconds * 1000), "portable": settings.portable}
        account = self._account()
        ready = package.initialize(*path, **account, **limits)
        if ready and account and not self._is_logged_in(account["login"]):
            ready = package.login(**account, timeout=limits["timeout"])
        if not ready:
            code, text = self._failure()
            package.shutdown()
            raise self._meaning(code, text, "a connection")
        self._connected = True

    def _is_logged_in(self, login: int) -> bool:
        """Whether a terminal that was running before is in the right account."""
        info = self.package.account_info()
        return info is not None and info.login == login

    def _account(self) -> dict[str, Any]:
        """login, password and server from the environment; empty where none is set. Raises
        ConfigError for a part of them.
        """
        given = [self._environment.get(name, "").strip() for name in VARIABLES]
        if not any(given):
            return {}
        if not all(given):
            missing = [name for name, value in zip(VARIABLES, given, strict=True) if not value]
            raise ConfigError(
                f"{' and '.join(missing)} not set, while others of {', '.join(VARIABLES)} are: set"
                " all three, or none for the account that the terminal is logged in to"
            )
        if not given[0].isdigit():
            raise ConfigError("MT5_LOGIN is no account number: it has digits only")
        return {"login": int(given[0]), "password": given[1], "server": given[2]}

    def _failure(self) -> tuple[int, str]:
        code, text = self.package.last_error()
        return int(code), printable(one_line(str(text)) or "no text")

    def _meaning(self, code: int, text: str, about: str) -> Exception:
        if code == _AUTHORIZATION:
            return ConfigError(
                f"MetaTrader 5 refuses the login ({text}): compare MT5_LOGIN, MT5_PASSWORD and"
                " MT5_SERVER with File, Login to Trade Account in the terminal"
            )
        if code <= _LOST:
            self.close()
            return NoAnswer(
                f"{text}, code {code}: is the terminal running, as this user, with algorithmic"
                " trading allowed?"
            )
        return (
            NoAnswer(f"{text}, code {code}")
            if code in _NOT_THERE
            else DataError(f"MetaTrader 5 refuses {about}: {text}, code {code}")
        )
