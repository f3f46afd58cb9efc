"""What every test of this folder must leave behind: no thread that still speaks to an exchange."""

import threading
import time
from collections.abc import Iterator

import pytest

_STREAMS = ("alpaca updates", "live bars")
_SECONDS = 5.0


@pytest.fixture(autouse=True)
def no_stream_is_left() -> Iterator[None]:
    """A stream that reconnects for ever draws from `random`, which other tests count on."""
    yield
    until = time.monotonic() + _SECONDS
    while (left := _streams()) and time.monotonic() < until:
        time.sleep(0.02)
    assert not left, f"close the broker: {', '.join(left)}"


def _streams() -> list[str]:
    return [each.name for each in threading.enumerate() if each.name in _STREAMS]
