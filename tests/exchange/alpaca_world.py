"""The broker at the stepped exchange, over real connections; it waits until what was said is heard."""

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from exchange.exchange_world import KEYS, server

from harmony_pipeline.exchange.server import ExchangeServer
from harmony_pipeline.execution.brokers.alpaca.broker import AlpacaBroker
from harmony_pipeline.execution.brokers.alpaca.keys import Keys
from harmony_pipeline.execution.brokers.alpaca.settings import AlpacaSettings
from harmony_pipeline.execution.events import AnyOrderFact

_MOST_SECONDS = 5.0


def settings(exchange: ExchangeServer, **changes: Any) -> AlpacaSettings:
    """Settings for this exchange, with short waits."""
    return AlpacaSettings(
        **{
            "trading_url": exchange.url, "data_url": exchange.url,
            "trading_stream_url": f"{exchange.ws_url}/stream",
            "data_stream_url": f"{exchange.ws_url}/v2/iex",
            "requests_per_minute": 100_000, "timeout_seconds": 1.0, "wait_seconds": 0.01,
            "reconnect_seconds": 0.02, "longest_reconnect_seconds": 0.1, "poll_seconds": 60.0,
            **changes,
        }
    )  # fmt: skip


class HeardBroker(AlpacaBroker):
    """Waits, before it answers for updates, until the stream has brought what was sent on it."""

    exchange: ExchangeServer
    started = 0

    def updates(self) -> list[AnyOrderFact]:
        """Facts since the last call, with all that the exchange has said by now."""
        if self.stream.is_up and not self.exchange.trade_stream.faults.script:
            wait_until(lambda: self.stream.heard >= self.exchange.trade_stream.sent - self.started)
        return super().updates()


def wait_until(condition: Any, seconds: float = _MOST_SECONDS) -> None:
    """Wait for a condition; an AssertionError when it does not come."""
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "it did not happen in time"
        time.sleep(0.002)


def broker_at(exchange: ExchangeServer, **changes: Any) -> HeardBroker:
    """A broker at a running exchange."""
    fees, reference = changes.pop("fees", None), changes.pop("reference", None)
    before = exchange.trade_stream.sent
    made = HeardBroker(settings(exchange, **changes), Keys(*KEYS), fees, reference)
    made.exchange, made.started = exchange, before
    return made


@contextmanager
def at_exchange(
    prices: Sequence[float] | None = None, options: dict[str, Any] | None = None, **changes: Any
) -> Iterator[tuple[ExchangeServer, HeardBroker]]:
    """An exchange with its first minute open, and a broker at it."""
    from exchange.exchange_world import bars

    frame = changes.pop("frame", None)
    if frame is None:
        frame = bars() if prices is None else bars(prices)
    with server(frame, **(options or {})) as exchange:
        exchange.step(1)
        made = broker_at(exchange, **changes)
        try:
            yield exchange, made
        finally:
            made.close()
