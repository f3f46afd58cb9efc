"""`harmony exchange`: starts the simulated exchange, says how to reach it, and serves until it is
interrupted.
"""

import os
import threading
from collections.abc import Mapping
from datetime import date
from pathlib import Path
from typing import Any

import typer

from harmony_pipeline.exchange.server import ExchangeServer
from harmony_pipeline.execution.brokers.alpaca.keys import KEY, SECRET
from harmony_pipeline.session.process_control import stop_on_signals
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.exchange import exchange_over

_CLOCK_SECONDS = 0.1  # of real time
OFFLINE_KEYS = ("PKHARMONYEXCHANGE", "offline-paper-trading")


def serve_exchange(
    settings: Any,
    days: list[date],
    *,
    speed: float | None,
    port: int | None,
    new: bool,
    stop: threading.Event | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, or until `stop` is set. `new`: what an earlier run of these
    days kept is forgotten.
    """
    pipeline = PipelineContext(settings)
    file = settings.state_root / "exchange" / f"{days[0]}-{days[-1]}.sqlite"
    if new:
        for each in (file, *(Path(f"{file}{end}") for end in ("-wal", "-shm"))):
            each.unlink(missing_ok=True)
    keys = _keys(os.environ)
    server = exchange_over(pipeline, days, keys, file=file, speed=speed, port=port)
    stopped = stop or threading.Event()
    with stop_on_signals(lambda _name: stopped.set()), server:
        for line in _lines(server, keys, own=KEY not in os.environ):
            typer.echo(line)
        stopped.wait()
    typer.echo(f"stopped at {server.venue.now:%Y-%m-%d %H:%M} UTC; orders and fills are in {file}")


def _keys(environment: Mapping[str, str]) -> tuple[str, str]:
    """Those of the environment, else two that open nothing else."""
    key, secret = environment.get(KEY), environment.get(SECRET)
    return (key, secret) if key and secret else OFFLINE_KEYS


def _lines(server: ExchangeServer, keys: tuple[str, str], *, own: bool) -> list[str]:
    venue = server.venue
    pace = "stepped by POST /control/step" if not server.speed else f"at {server.speed:g}x"
    shown = [f"export {KEY}={keys[0]} {SECRET}={keys[1]}"] if own else []
    head = (
        f"exchange of {len(venue.market.symbols)} symbols from {venue.now:%Y-%m-%d %H:%M} UTC,"
        f" {pace}, at {server.url} (Ctrl-C ends it)"
    )
    streams = (
        f"export HARMONY_ALPACA__TRADING_STREAM_URL={server.ws_url}/stream"
        f" HARMONY_ALPACA__DATA_STREAM_URL={server.data_stream_url}"
    )
    # a longer bar is over by the exchange's clock: a session that reads it rarely decides too late
    clock = f" HARMONY_ALPACA__CLOCK_SECONDS={_CLOCK_SECONDS:g}" if server.speed > 1.0 else ""
    return [
        head,
        *shown,
        f"export HARMONY_ALPACA__TRADING_URL={server.url} HARMONY_ALPACA__DATA_URL={server.url}",
        streams,
        f"export HARMONY_ALPACA__REQUESTS_PER_MINUTE={server.request_limit * 9 // 10}{clock}",
        f"ledger: {server.url}/control/ledger",
    ]
