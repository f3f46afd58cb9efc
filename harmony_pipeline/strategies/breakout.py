"""Opening-range breakout, as a state machine: enter on the first close outside the range of the
session's first bars.

Crabel, Day Trading with Short Term Price Patterns and Opening Range Breakout (1990), in its plain
form: one entry a day, exit when a close crosses the other end of the range or when the day is
nearly over. The levels last one session, so raw prices need no adjustment.
"""

from collections.abc import Sequence
from datetime import date, time
from functools import cached_property
from typing import Self
from zoneinfo import ZoneInfo

import msgspec
from pydantic import Field, PrivateAttr, model_validator

from harmony_pipeline.settings_base import FrozenSettings
from harmony_pipeline.strategies.events import Bar, Enter, Leave, TradeIntent
from harmony_pipeline.strategies.exchange_clock import ZoneName


class OpeningRange(msgspec.Struct):
    """The state of one symbol's day."""

    day: date
    bars: int = 0
    high: float = float("-inf")
    low: float = float("inf")
    side: int = 0
    traded: bool = False


class OpeningRangeBreakout(FrozenSettings):
    """The machine receives bars in time order. Extended hours neither set the range
    nor break it.
    """

    range_bars: int = Field(default=2, ge=1, description="regular bars that set the range")
    last_entry: time = Field(
        default=time(15, 0), description="exchange time; a bar that starts later opens nothing"
    )
    exit_at: time = Field(
        default=time(15, 30),
        description="exchange time; a bar that starts then or later closes everything",
    )
    zone: ZoneName = Field(default="America/New_York", description="the exchange's clock")
    _days: dict[str, OpeningRange] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if self.last_entry >= self.exit_at:
            raise ValueError(
                f"last_entry ({self.last_entry}) must be before exit_at ({self.exit_at})"
            )
        return self

    def required_features(self) -> tuple[str, ...]:
        """None: it reads only bars."""
        return ()

    def on_bar(self, bar: Bar) -> Sequence[TradeIntent]:
        """Widen the range while it forms, then enter or leave by the close."""
        clock = bar.timestamp.astimezone(self._zone_info)
        day = self._days.get(bar.symbol)
        overnight: Sequence[TradeIntent] = ()
        if day is None or day.day != clock.date():
            # a half-day has no bar at exit_at
            overnight = (Leave(bar.symbol, "new day"),) if day is not None and day.side else ()
            day = self._days[bar.symbol] = OpeningRange(clock.date())
        if bar.session != "regular":
            return overnight
        if day.bars < self.range_bars:
            day.bars, day.high, day.low = (
                day.bars + 1,
                max(day.high, bar.high),
                min(day.low, bar.low),
            )
            return overnight
        return (*overnight, *self._decide(day, bar, clock.time()))

    @cached_property
    def _zone_info(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    def _decide(self, day: OpeningRange, bar: Bar, clock: time) -> Sequence[TradeIntent]:
        if day.side:
            failed = bar.close < day.low if day.side > 0 else bar.close > day.high
            if failed or clock >= self.exit_at:
                day.side = 0
                return (Leave(bar.symbol, "range failed" if failed else "end of day"),)
        elif not day.traded and clock <= self.last_entry and not day.low <= bar.close <= day.high:
            day.side, day.traded = (1 if bar.close > day.high else -1), True
            return (Enter(bar.symbol, 1 if day.side > 0 else -1, reason="left the opening range"),)
        return ()
