"""The broker at Alpaca keeps the contract of every broker, over real connections to the exchange."""

from collections.abc import Iterator

import pytest
from exchange.alpaca_world import HeardBroker, broker_at
from exchange.exchange_world import bars, server

from harmony_pipeline.exchange.server import ExchangeServer
from harmony_pipeline.execution.brokers.base import Broker
from harmony_pipeline.testing.broker_contract import BrokerContract


class TestAlpacaBroker(BrokerContract):
    """The market trades at another price by a minute of that price."""

    @pytest.fixture(autouse=True)
    def _exchange(self) -> Iterator[None]:
        with server(bars([100.0] * 8, symbols=("AAPL",))) as exchange:
            self.exchange: ExchangeServer = exchange
            exchange.step(2)
            yield

    def make(self) -> Broker:
        return broker_at(self.exchange)

    def let_trade(self, broker: Broker, price: float) -> None:
        assert isinstance(broker, HeardBroker)
        self.exchange.call(_reprice(self.exchange, price))
        self.exchange.step(2)


async def _reprice(exchange: ExchangeServer, price: float) -> None:
    """The minutes to come trade at `price`."""
    import polars as pl

    market = exchange.venue.market
    ahead = pl.col("timestamp") >= exchange.venue.now
    at = {"open": price, "close": price, "high": price + 0.05, "low": price - 0.05}
    market.frame = market.frame.with_columns(
        **{name: pl.when(ahead).then(value).otherwise(name) for name, value in at.items()}
    )
