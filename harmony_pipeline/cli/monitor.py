"""`harmony monitor`: serves the page about a session until it is interrupted."""

import os
import threading
from typing import Any

import typer

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.monitor.access import TOKEN_VARIABLE, TokenCheck, token_of
from harmony_pipeline.monitor.server import MonitorServer, is_loopback
from harmony_pipeline.session.process_control import stop_on_signals
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.monitor import monitor_over


def serve_monitor(
    settings: Any,
    *,
    session: str | None,
    replay_speed: float | None,
    host: str,
    port: int,
    stop: threading.Event | None = None,
) -> None:
    """Serve until SIGINT or SIGTERM, or until `stop` is set."""
    try:
        token, made = token_of(os.environ)
    except ValueError as error:
        raise ConfigError(str(error)) from None
    monitor = monitor_over(
        PipelineContext(settings), TokenCheck(token), session=session, replay_speed=replay_speed
    )
    stopped = stop or threading.Event()
    with (
        stop_on_signals(lambda _name: stopped.set()),
        MonitorServer(monitor, host, port) as server,
    ):
        typer.echo(f"monitor: {server.url} (Ctrl-C ends it; the session goes on)")
        if made and replay_speed is None:
            typer.echo(
                f"token of the kill switch: {token} (of this run; {TOKEN_VARIABLE} sets one)"
            )
        if not is_loopback(host):
            typer.echo(
                f"anybody who reaches {host} can read this page: put TLS in front of it",
                err=True,
            )
        stopped.wait()
