"""uvicorn's server, which ends as soon as it is told to. By itself it looks ten times a second, and
waits a tenth of a second for its connections; tests start hundreds of servers.
"""

import asyncio
import socket

import uvicorn

_LOOKS, _PAUSE_SECONDS = 20, 0.005  # how long connections may take to end
_ROUNDS = 3  # of the loop, from a connection that is taken to its being among the connections


class PromptServer(uvicorn.Server):
    """Ends when `stopped` is set in its loop and `should_exit` is true."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stopped = asyncio.Event()

    async def main_loop(self) -> None:
        """Wait for the end; uvicorn looks after its connections once a second."""
        while not await self.on_tick(0):
            try:
                await asyncio.wait_for(self.stopped.wait(), 1.0)
            except TimeoutError:
                continue

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nothing more, and end the connections, those that are being taken, too.

        asyncio forgets a connection, open as it is, whose server is closed while it is being taken
        (Python 3.11.7: `Server._attach` asserts that there are listeners).
        """
        loop = asyncio.get_running_loop()
        for listener in (each for server in self.servers for each in server.sockets):
            loop.remove_reader(listener.fileno())
        for _ in range(_ROUNDS):
            await asyncio.sleep(0)
        for server in self.servers:
            server.close()
        for each in sockets or []:
            each.close()
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for _ in range(_LOOKS):
            if not self.server_state.connections and not self.server_state.tasks:
                break
            await asyncio.sleep(_PAUSE_SECONDS)
