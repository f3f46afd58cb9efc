"""The clock of an exchange as a parameter of a strategy: a time zone by name, checked when the
strategy is built.
"""

from typing import Annotated
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from pydantic import AfterValidator


def _check_zone(zone: str) -> str:
    try:
        ZoneInfo(zone)
    except (ZoneInfoNotFoundError, ValueError):
        raise ValueError(f"'{zone}' is no time zone; write it like America/New_York") from None
    return zone


ZoneName = Annotated[str, AfterValidator(_check_zone)]
