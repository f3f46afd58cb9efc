"""The grid on which the bars of a market start.

Vendors cut a day in two ways. On the `clock` an hour begins when the exchange's clock shows a whole
hour, so New York's first regular hour is stamped 09:00 and holds 09:30 to 10:00 (Lean, Alpaca). On
the `session` grid each stretch of trading is cut from its own start: 09:30, 10:30, ... 15:30, where
the last bar ends at the close (Yahoo, TradingView), 09:15 in Mumbai, after lunch from 12:30 in
Tokyo. A number of minutes is a clock grid that starts that long after midnight.

A *slot* is the expected start of a bar on the grid.

Both grids are the same where the length of a bar divides every start of a stretch: minutes always,
half hours in New York.
"""

from dataclasses import dataclass
from typing import Literal

from harmony_pipeline.errors import ConfigError

AUTO, CLOCK_GRID, SESSION_GRID = "auto", "clock", "session"
_DAY_MINUTES = 1440


@dataclass(frozen=True)
class BarGrid:
    """`kind` is clock or session. `offset_minutes` moves a clock grid on from midnight."""

    kind: Literal["clock", "session"] = "clock"
    offset_minutes: int = 0

    @staticmethod
    def of(value: str | int) -> "BarGrid":
        """From `clock`, `session` or minutes after midnight. Raises ConfigError for
        other values.
        """
        text = str(value).strip()
        if text == CLOCK_GRID:
            return BarGrid()
        if text == SESSION_GRID:
            return BarGrid("session")
        if not text.isdigit() or int(text) >= _DAY_MINUTES:
            raise ConfigError(
                f"market.grid is '{value}': use auto, clock, session, or minutes after midnight"
            )
        return BarGrid("clock", int(text))

    @property
    def from_session(self) -> bool:
        """Whether each stretch of a session has a grid of its own."""
        return self.kind == SESSION_GRID

    @property
    def text(self) -> str:
        """The text from which `of` makes this grid."""
        return str(self.offset_minutes) if self.offset_minutes else self.kind

    def describe(self, timeframe: str) -> str:
        """`the 1Hour grid that starts with each part of the session`."""
        if self.from_session:
            return f"the {timeframe} grid that starts with each stretch of the session"
        moved = f", {self.offset_minutes} minutes after midnight" if self.offset_minutes else ""
        return f"the {timeframe} grid of the exchange's clock{moved}"


CLOCK = BarGrid()
