"""Frames of Alpaca's market-data stream (msgpack arrays of messages) as quotes, and what else was
in them.

A frame of nothing but quotes, which nearly all are, is decoded at once into typed records. In any
other frame each message is looked at by itself, so that one that cannot be read takes no other
with it.
"""

from datetime import UTC, datetime
from typing import Any, Protocol

import msgspec

from harmony_pipeline.strategies.events import Quote

NOTHING = b"\x90"
"""An array without messages."""


class QuoteSink(Protocol):
    """Where quotes go: `session/quotes.py`."""

    def put(self, quotes: list[Quote]) -> None:
        """Quotes that came together."""

    def refuse(self, symbol: str) -> None:
        """Count a quote that could not be read."""


class _Message(msgspec.Struct, tag_field="T", tag="q", gc=False):
    """A quote as Alpaca sends it; exchanges, conditions and tape are left out."""

    S: str
    t: datetime
    bp: float
    bs: float
    ap: float
    as_: float = msgspec.field(name="as")


_frame = msgspec.msgpack.Decoder(list[_Message])
_message = msgspec.msgpack.Decoder(_Message)


class QuoteFrames:
    """Takes the quotes out of frames, into a queue."""

    def __init__(self, sink: QuoteSink) -> None:
        self._sink = sink

    def take(self, frame: bytes) -> bytes:
        """The frame without its quotes, which are in the queue now. It may wait for room there."""
        try:
            messages = _frame.decode(frame)
        except msgspec.DecodeError:
            return self._take_each(frame)
        self._sink.put([Quote(m.S, m.t, m.bp, m.bs, m.ap, m.as_) for m in messages])
        return NOTHING

    def _take_each(self, frame: bytes) -> bytes:
        import msgpack

        found, rest = [], []
        for each in msgpack.unpackb(frame):
            if not isinstance(each, dict) or each.get("T") != "q":
                rest.append(each)
                continue
            quote = _quote(msgpack.packb(each))
            if quote is None:
                self._sink.refuse(str(each.get("S")))
            else:
                found.append(quote)
        if found:
            self._sink.put(found)
        packed: bytes = msgpack.packb(rest) if rest else NOTHING
        return packed


def _quote(packed: bytes) -> Quote | None:
    """The quote of one message; None where it cannot be read."""
    try:
        m = _message.decode(packed)
    except msgspec.DecodeError:
        return None
    return Quote(m.S, m.t, m.bp, m.bs, m.ap, m.as_)


def frame_of(quotes: list[Quote]) -> bytes:
    """A frame of these quotes, as Alpaca sends it (for servers that speak its protocol)."""
    rows: list[dict[str, Any]] = [
        {
            "T": "q", "S": quote.symbol, "t": quote.timestamp.astimezone(UTC), "ax": "V",
            "ap": quote.ask, "as": quote.ask_size, "bx": "V", "bp": quote.bid,
            "bs": quote.bid_size, "c": ["R"], "z": "C",
        }
        for quote in quotes
    ]  # fmt: skip
    import msgpack

    packed: bytes = msgpack.packb(rows, datetime=True)
    return packed
