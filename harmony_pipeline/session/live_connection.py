"""What a live session trades on: a broker, bars as they end, and the time of both."""

from dataclasses import dataclass

from harmony_pipeline.execution.brokers.base import Broker
from harmony_pipeline.session.clock import Clock
from harmony_pipeline.session.stream import BarStream


@dataclass(frozen=True)
class LiveConnection:
    """What a broker's factory hands to the session: the seam for a real venue. `session.broker =
    "module:factory"`, called as factory(settings, plan).
    """

    broker: Broker
    stream: BarStream
    clock: Clock
