"""The exchange's time: `/v2/clock`, and every stamp that is heard. The wall clock is not asked, so
a session runs at whatever speed a replay has.
"""

import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

from harmony_pipeline.errors import BrokerRejected, BrokerUnavailable
from harmony_pipeline.execution.brokers.alpaca.facts import moment_of

_START = datetime(1970, 1, 1, tzinfo=UTC)


class VenueClock:
    """`now` never goes back, and is at most `refresh_seconds` of real time old where somebody
    answers. `ask` gives the JSON of `/v2/clock`.
    """

    def __init__(self, ask: Callable[[], Any], refresh_seconds: float) -> None:
        self._ask, self._refresh = ask, refresh_seconds
        self._now, self._read_at = _START, 0.0
        self.read()

    def now(self) -> datetime:
        """The exchange's time, UTC."""
        if time.monotonic() - self._read_at > self._refresh:
            try:
                self.read()
            except (BrokerUnavailable, BrokerRejected):
                # stamps go on, and streams that are silent become stale
                self._read_at = time.monotonic()
        return self._now

    def read(self) -> Any:
        """Ask now; the whole answer. Raises BrokerUnavailable or BrokerRejected."""
        row = self._ask()
        self._read_at = time.monotonic()
        self.hear(moment_of(row["timestamp"]))
        return row

    def hear(self, moment: datetime | None) -> None:
        """A stamp of the exchange; an earlier one changes nothing."""
        if moment is not None:
            self._now = max(self._now, moment.astimezone(UTC))
