"""Serves the monitor from a thread of its own, on loopback unless another address is asked for."""

import asyncio
import ipaddress
import socket
import threading
import time
from typing import Self

import uvicorn

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.exchange.prompt_server import PromptServer
from harmony_pipeline.monitor.application import Monitor, application, wait_until
from harmony_pipeline.monitor.event_stream import PAUSE_SECONDS

_START_SECONDS, _STOP_SECONDS = 10.0, 5.0
_LOOPBACK = ["127.0.0.1", "localhost", "[::1]"]


class MonitorServer:
    """`with MonitorServer(monitor) as server: ... server.url`. Port 0 is one of the system's
    choice. Raises ConfigError for an address that cannot be listened on.
    """

    def __init__(self, monitor: Monitor, host: str = "127.0.0.1", port: int = 0) -> None:
        self._monitor, self._host, self._port = monitor, host, port
        config = uvicorn.Config(
            application(monitor, allowed_hosts(host)),
            loop="asyncio",
            http="h11",
            lifespan="off",
            log_config=None,
            access_log=False,
            proxy_headers=False,
            server_header=False,
        )
        self._server = PromptServer(config)
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    def __enter__(self) -> Self:
        try:
            family = socket.AF_INET6 if ":" in self._host else socket.AF_INET
            listener = socket.create_server((self._host, self._port), family=family)
        except OSError as error:
            raise ConfigError(
                f"the monitor cannot listen on {self._host}:{self._port} ({error.strerror}): choose"
                " another with --host and --port"
            ) from None
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._port = listener.getsockname()[1]
        if self._monitor.follower is not None:
            self._monitor.follower.start()
        self._thread = threading.Thread(
            target=self._run, args=(listener,), name="monitor-server", daemon=True
        )
        self._thread.start()
        if not wait_until(lambda: self._server.started, _START_SECONDS):
            raise ConfigError("the monitor's server did not start")
        return self

    def __exit__(self, *_error: object) -> None:
        self._monitor.hub.closed = True
        time.sleep(2 * PAUSE_SECONDS)  # streams end by themselves
        self._server.should_exit = self._server.force_exit = True
        if self._loop is not None and self._thread is not None and self._thread.is_alive():
            self._loop.call_soon_threadsafe(self._server.stopped.set)
        if self._thread is not None:
            self._thread.join(timeout=_STOP_SECONDS)
        if self._monitor.follower is not None:
            self._monitor.follower.stop()

    def _run(self, listener: socket.socket) -> None:
        async def serve() -> None:
            self._loop = asyncio.get_running_loop()
            await self._server.serve(sockets=[listener])

        with listener, asyncio.Runner() as runner:
            runner.run(serve())

    @property
    def url(self) -> str:
        """The page."""
        host = f"[{self._host}]" if ":" in self._host else self._host
        return f"http://{host}:{self._port}/"


def is_loopback(host: str) -> bool:
    """Whether only this machine can reach it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def allowed_hosts(host: str) -> list[str]:
    """Names that a request may ask for: a page elsewhere whose name points here gets nothing."""
    if is_loopback(host):
        return _LOOPBACK
    if host in {"0.0.0.0", "::"}:  # noqa: S104 - asked for by whoever typed it
        return ["*"]
    return [*_LOOPBACK, host]
