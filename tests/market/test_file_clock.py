"""The clock of a file: a zone, or whole hours ahead of one."""

from datetime import timedelta

import pytest

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.market.file_clock import file_clock


@pytest.mark.parametrize(
    ("text", "zone", "hours"),
    [
        ("UTC", "UTC", 0),
        ("America/New_York", "America/New_York", 0),
        ("America/New_York+7", "America/New_York", 7),
        ("Etc/GMT+5", "Etc/GMT+5", 0),
        ("UTC-3", "UTC", -3),
    ],
)
def test_a_clock_is_a_zone_and_hours_ahead_of_it(text, zone, hours):
    clock = file_clock(text)
    assert (clock.zone, clock.ahead) == (zone, timedelta(hours=hours))


@pytest.mark.parametrize("text", ["", "Mars", "America/New_York+", "America/New_York+seven", "+7"])
def test_anything_else_is_refused_with_the_setting(text):
    with pytest.raises(
        ConfigError, match=r"^market\.files\.timezone is '.*', which is no time zone"
    ):
        file_clock(text)
