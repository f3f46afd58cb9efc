"""Premarket gap momentum ("gap and go"), as a state machine: a stock that opens far above its last
close is bought when it trades through the high that it made before the open.

The rule is that of day traders' handbooks (Aziz, How to Day Trade for a Living, 2015); drift after
large moves on news is documented by Chan, "Stock price reaction to news and no-news", Journal of
Financial Economics 70, 2003. A session that watches the scanner's picks gives
the machine these symbols only; elsewhere `minimum_gap` and `minimum_premarket_volume` select.

    WAITING  --first regular bar, gap large enough-->  WATCHING  (else DONE)
    WATCHING --close above the level-->                HOLDING   (after last_entry: DONE)
    HOLDING  --close below the stop, or exit_at-->     DONE

The gap is that of the first regular open over the last regular close, adjusted for splits and
dividends: what happened after hours belongs to it. The level is the premarket high, or the first
regular bar's high where there was no premarket. The stop begins at the lowest low since the open
and follows the best close at `trail`. Levels last one day, so raw prices need no adjustment.
"""

import math
from collections.abc import Sequence
from datetime import date, datetime, time
from enum import Enum
from functools import cached_property
from typing import Literal, Self
from zoneinfo import ZoneInfo

import msgspec
from pydantic import Field, PrivateAttr, model_validator

from harmony_pipeline.settings_base import FrozenSettings
from harmony_pipeline.strategies.events import Bar, Enter, Intent, Leave, SetTimer, Timer
from harmony_pipeline.strategies.exchange_clock import ZoneName


class Phase(Enum):
    """Where a symbol is in its day."""

    WAITING = "waiting"
    WATCHING = "watching"
    HOLDING = "holding"
    DONE = "done"


class GapDay(msgspec.Struct):
    """The state of one symbol's day."""

    day: date
    previous_close: float  # of the last regular bar before the day, adjusted; NaN: none is known
    phase: Phase = Phase.WAITING
    gap: float = 0.0
    premarket_volume: float = 0.0
    level: float = 0.0
    low: float = float("inf")
    stop: float = 0.0


class GapMomentum(FrozenSettings):
    """The machine receives bars in time order, premarket included, and only ever buys."""

    minimum_gap: float = Field(
        default=0.03, gt=0.0, description="log of the open over the last regular close"
    )
    minimum_premarket_volume: float = Field(
        default=0.0, ge=0.0, description="shares before the open"
    )
    trail: float = Field(
        default=0.04, gt=0.0, lt=1.0, description="fraction of the best close to the stop"
    )
    full_gap: float = Field(default=0.10, gt=0.0, description="gap of the full strength")
    last_entry: time = Field(
        default=time(11, 30), description="exchange time; a bar that starts later opens nothing"
    )
    exit_at: time = Field(default=time(15, 30), description="exchange time; closes everything")
    zone: ZoneName = Field(default="America/New_York", description="the exchange's clock")
    _days: dict[str, GapDay] = PrivateAttr(default_factory=dict)
    _closes: dict[str, float] = PrivateAttr(default_factory=dict)

    @model_validator(mode="after")
    def _check_times(self) -> Self:
        if self.last_entry >= self.exit_at:
            raise ValueError(
                f"last_entry ({self.last_entry}) must be before exit_at ({self.exit_at})"
            )
        return self

    @property
    def memory(self) -> Literal["day", "market"]:
        """The gap is measured from the close of the day before."""
        return "market"

    def required_features(self) -> tuple[str, ...]:
        """None: it reads only bars."""
        return ()

    def on_bar(self, bar: Bar) -> Sequence[Intent]:
        """Move the symbol to its next phase."""
        clock = bar.timestamp.astimezone(self._zone_info)
        day = self._days.get(bar.symbol)
        overnight: Sequence[Intent] = ()
        if day is None or day.day != clock.date():
            if day is not None and day.phase is Phase.HOLDING:  # a half-day ends before exit_at
                overnight = (Leave(bar.symbol, "new day"),)
            previous = self._closes.get(bar.symbol, math.nan)
            day = self._days[bar.symbol] = GapDay(clock.date(), previous)
        if bar.session == "pre":
            day.premarket_volume += bar.volume
            day.level = max(day.level, bar.high)
            return overnight
        if bar.session != "regular":
            return overnight
        self._closes[bar.symbol] = bar.close * bar.adjustment_factor
        day.low = min(day.low, bar.low)
        return (*overnight, *self._on_regular_bar(day, bar, clock))

    def on_timer(self, timer: Timer) -> Sequence[Intent]:
        """`exit_at` has come: leave what is still held, whether or not it trades now."""
        leaving = [symbol for symbol, day in self._days.items() if day.phase is Phase.HOLDING]
        for symbol in leaving:
            self._days[symbol].phase = Phase.DONE
        return tuple(Leave(symbol, "end of day") for symbol in leaving)

    def _on_regular_bar(self, day: GapDay, bar: Bar, clock: datetime) -> Sequence[Intent]:
        if day.phase is Phase.WAITING:
            day.gap = math.log(bar.open * bar.adjustment_factor / day.previous_close)
            chosen = (
                day.gap >= self.minimum_gap
                and day.premarket_volume >= self.minimum_premarket_volume
            )
            day.phase = Phase.WATCHING if chosen else Phase.DONE
            if day.level == 0.0:  # no premarket: the first bar sets the level and cannot break it
                day.level = bar.high
        if day.phase is Phase.WATCHING:
            return self._watch(day, bar, clock)
        if day.phase is Phase.HOLDING:
            day.stop = max(day.stop, bar.close * (1.0 - self.trail))
            if bar.close <= day.stop:
                day.phase = Phase.DONE
                return (Leave(bar.symbol, "stopped"),)
        return ()

    def _watch(self, day: GapDay, bar: Bar, clock: datetime) -> Sequence[Intent]:
        if clock.time() > self.last_entry:
            day.phase = Phase.DONE
        elif bar.close > day.level:
            day.phase = Phase.HOLDING
            day.stop = max(day.low, bar.close * (1.0 - self.trail))
            strength = min(day.gap / self.full_gap, 1.0)
            end = datetime.combine(clock.date(), self.exit_at, self._zone_info)
            return (
                Enter(bar.symbol, 1, strength, "broke the premarket high"),
                SetTimer(end.astimezone(bar.timestamp.tzinfo), f"exit {clock.date()}"),
            )
        return ()

    @cached_property
    def _zone_info(self) -> ZoneInfo:
        return ZoneInfo(self.zone)
