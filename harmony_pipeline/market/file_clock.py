"""The clock of a file's stamps, as the setting `market.files.timezone` names it: a time zone, or
one that is whole hours ahead of a zone all year (see `sources/server_clock.py`).
"""

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.market.sources.server_clock import ServerClock
from harmony_pipeline.text import excerpt

UTC_CLOCK = ServerClock("UTC", "UTC")


def file_clock(text: str) -> ServerClock:
    """The clock that `text` means. Raises ConfigError when it means none."""
    try:
        return ServerClock.of(text)
    except ValueError:
        raise ConfigError(
            f"market.files.timezone is '{excerpt(text)}', which is no time zone: write it like"
            " America/New_York or UTC, or America/New_York+7 for a clock that is 7 hours ahead"
        ) from None
