"""uvicorn's server, which ends as soon as it is told to. By itself it looks ten times a second, and
waits a tenth of a second for its connections; tests start hundreds of servers.
"""

import asyncio
import socket

import uvicorn

_LOOKS, _PAUSE_SECONDS = 20, 0.005  # how long connections may take to end


class PromptServer(uvicorn.Server):
    """Ends when `stopped` is set in its loop and `should_exit` is true."""

    def __init__(self, config: uvicorn.Config) -> None:
        super().__init__(config)
        self.stopped = asyncio.Event()

    async def main_loop(self) -> None:
        """Wait for the end; once a second, the date of the answers is renewed."""
        while not await self.on_tick(0):
            try:
                await asyncio.wait_for(self.stopped.wait(), 1.0)
            except TimeoutError:
                continue

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """Take nothing more, and end the connections: those whose clients do not let go, too."""
        for server in self.servers:
            server.close()
        for each in sockets or []:
            each.close()
        await asyncio.sleep(0)  # for those that were just taken
        for connection in list(self.server_state.connections):
            connection.shutdown()
        for _ in range(_LOOKS):
            if not self.server_state.connections and not self.server_state.tasks:
                break
            await asyncio.sleep(_PAUSE_SECONDS)
        for connection in list(self.server_state.connections):
            connection.transport.abort()
        await asyncio.sleep(0)  # an aborted one is closed in the next round of the loop
