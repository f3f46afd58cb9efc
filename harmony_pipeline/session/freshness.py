"""Whether what we know is fresh enough to trade on: one small state machine, handed the time.

In doubt it is stricter. A stream that has been silent for longer than it may makes the session
REDUCING (exits only), one that stays silent for twice as long, or an order stream that is down,
makes it HALTED (nothing new leaves). It becomes ACTIVE again only when every stream speaks. Silence
outside trading hours is no fault: `expected` says from when on a stream owes us news.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from harmony_pipeline.execution.events import (
    RiskState,
    RiskStateChanged,
    StreamRecovered,
    StreamStale,
)

ORDER_STREAM, BAR_STREAM, QUOTE_STREAM = "orders", "bars", "quotes"


@dataclass(frozen=True)
class Watch:
    """One stream: when it last spoke, how long it may be silent, and whether we have called it
    stale.
    """

    name: str
    allowed: timedelta
    heard_at: datetime | None = None
    stale: bool = False

    def age(self, now: datetime) -> timedelta:
        """Silence so far; none before its first word or the time from which it is expected."""
        return timedelta() if self.heard_at is None else max(timedelta(), now - self.heard_at)


@dataclass(frozen=True)
class Freshness:
    """State of every stream and what follows from it. Immutable: each method returns the next one
    with the facts it found.
    """

    watches: tuple[Watch, ...]
    state: RiskState = "ACTIVE"
    down: frozenset[str] = frozenset()

    @staticmethod
    def of(bar: timedelta, stale_after_seconds: float, *, quotes: bool = False) -> "Freshness":
        """Bars are due once per bar length, and `stale_after_seconds` may pass after that; quotes,
        where the strategy hears them, within `stale_after_seconds`; order news need not come at
        all, only the line must stand.
        """
        stale_after = timedelta(seconds=stale_after_seconds)
        watches = (Watch(BAR_STREAM, bar + stale_after),)
        return Freshness((*watches, Watch(QUOTE_STREAM, stale_after)) if quotes else watches)

    def heard(self, stream: str, at: datetime) -> "Freshness":
        """The stream spoke."""
        return replace(
            self,
            watches=tuple(
                (
                    replace(watch, heard_at=max(at, watch.heard_at or at))
                    if watch.name == stream
                    else watch
                )
                for watch in self.watches
            ),
        )

    def expect_from(self, at: datetime) -> "Freshness":
        """Silence before `at` does not count (the open, a restart)."""
        return replace(
            self,
            watches=tuple(
                replace(watch, heard_at=max(at, watch.heard_at or at)) for watch in self.watches
            ),
        )

    def line(self, stream: str, is_up: bool) -> "Freshness":
        """A connection that is known to be up or down, whatever was heard on it."""
        return replace(self, down=self.down - {stream} if is_up else self.down | {stream})

    def judge(
        self, now: datetime
    ) -> tuple["Freshness", list[StreamStale | StreamRecovered | RiskStateChanged]]:
        """The state at `now`, with what changed since the last judgement."""
        facts: list[StreamStale | StreamRecovered | RiskStateChanged] = []
        watches = []
        reasons: dict[RiskState, list[str]] = {
            "HALTED": [
                f"the {name.removesuffix('s')} stream is down" for name in sorted(self.down)
            ],
            "REDUCING": [],
        }
        for watch in self.watches:
            age = watch.age(now)
            stale = age > watch.allowed
            if stale and not watch.stale:
                facts.append(
                    StreamStale(
                        happened_at=now,
                        known_at=now,
                        stream=watch.name,
                        age_seconds=age.total_seconds(),
                    )
                )
            if watch.stale and not stale:
                facts.append(StreamRecovered(happened_at=now, known_at=now, stream=watch.name))
            if stale:
                reasons["HALTED" if age > 2 * watch.allowed else "REDUCING"].append(
                    f"no {watch.name} for {age.total_seconds():.0f} s"
                )
            watches.append(replace(watch, stale=stale))
        state: RiskState = (
            "HALTED" if reasons["HALTED"] else "REDUCING" if reasons["REDUCING"] else "ACTIVE"
        )
        if state != self.state:
            reason = "; ".join(reasons["HALTED"] + reasons["REDUCING"]) or "every stream is fresh"
            facts.append(
                RiskStateChanged(
                    happened_at=now, known_at=now, previous=self.state, current=state, reason=reason
                )
            )
        return replace(self, watches=tuple(watches), state=state), facts


def stricter(*states: RiskState) -> RiskState:
    """The strictest of several states."""
    order: tuple[RiskState, ...] = ("ACTIVE", "REDUCING", "HALTED")
    return max(states, key=order.index)
