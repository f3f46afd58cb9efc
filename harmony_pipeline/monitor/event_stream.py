"""Server-sent events: a page connects once and is told what changes; `id:` lets it go on after a
break (WHATWG HTML, 9.2).

Changes that come within a moment of each other are sent together, so a page gets at most
`1 / PAUSE_SECONDS` messages a second however much happens.
"""

import asyncio
import time
from collections.abc import AsyncIterator

import msgspec

from harmony_pipeline.monitor.hub import Hub

PAUSE_SECONDS = 0.05
_SIGN_OF_LIFE_SECONDS = 10.0
RETRY_MILLISECONDS = 1_000


async def event_stream(hub: Hub, last_event_id: str | None) -> AsyncIterator[bytes]:
    """Bytes of the stream, from the change after `last_event_id` on; it ends with the hub."""
    yield f"retry: {RETRY_MILLISECONDS}\n\n".encode()
    number = hub.number_of(last_event_id)
    spoke = time.monotonic()
    while not hub.closed:
        message = hub.after(number)
        if message is not None:
            number = message.number
            kind = "whole" if message.whole else "changes"
            body = msgspec.json.encode(message.tables)
            yield b"event: %s\nid: %s\ndata: %s\n\n" % (
                kind.encode(),
                hub.id_of(message).encode(),
                body,
            )
            spoke = time.monotonic()
        elif time.monotonic() - spoke > _SIGN_OF_LIFE_SECONDS:
            yield b": still here\n\n"
            spoke = time.monotonic()
        await asyncio.sleep(PAUSE_SECONDS)
