"""The lengths of bars that a market may have."""

from collections.abc import Iterable
from typing import Literal

from harmony_pipeline.errors import ConfigError

Timeframe = Literal[
    "1Sec", "5Sec", "10Sec", "15Sec", "30Sec", "1Min", "5Min", "15Min", "30Min", "1Hour", "1Day",
    "1Week",
]  # fmt: skip

TIMEFRAME_SECONDS: dict[str, int] = {
    "1Sec": 1,
    "5Sec": 5,
    "10Sec": 10,
    "15Sec": 15,
    "30Sec": 30,
    "1Min": 60,
    "5Min": 300,
    "15Min": 900,
    "30Min": 1800,
    "1Hour": 3600,
    "1Day": 86_400,
    "1Week": 604_800,
}
TIMEFRAME_MINUTES: dict[str, int] = {
    name: seconds // 60 for name, seconds in TIMEFRAME_SECONDS.items() if seconds >= 60
}
"""the lengths that vendors have bars of; shorter ones come from files or are made of trades"""
# stamped midnight UTC of their first session date, known at the close of their last
LONG_TIMEFRAMES = ("1Day", "1Week")


def check_timeframe(timeframe: str, known: Iterable[str] = TIMEFRAME_SECONDS) -> None:
    """Raises ConfigError for a timeframe that is not one of `known`."""
    if timeframe not in known:
        raise ConfigError(f"the timeframe is '{timeframe}': use one of {', '.join(known)}")
