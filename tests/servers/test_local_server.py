"""The server that venues' servers are built on: real answers, real faults, in the order they were
scripted.
"""

import asyncio
import gc
import socket
import sys

import pytest
import requests
import websockets
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from harmony_pipeline.exchange.local_server import RESET, Fault, LocalServer

pytestmark = pytest.mark.network


async def echo(request: Request) -> JSONResponse:
    return JSONResponse({"said": request.query_params["say"], "padding": "x" * 50_000})


async def greet(stream: WebSocket) -> None:
    await stream.accept()
    await stream.send_text("hello")
    await stream.receive_text()


@pytest.fixture
def server():
    with LocalServer([Route("/echo", echo), WebSocketRoute("/ws", greet)]) as running:
        yield running


def say(server: LocalServer, what: str, timeout: float = 5.0) -> requests.Response:
    return requests.get(f"{server.url}/echo", params={"say": what}, timeout=timeout)


def test_an_answer_without_faults_is_the_handlers(server):
    assert say(server, "hi").json()["said"] == "hi"
    assert [each.query for each in server.asked("/echo")] == [{"say": "hi"}]


def test_faults_are_committed_in_order_after_the_requests_let_through(server):
    limited = Fault(status=429, body={"message": "slow down"}, headers={"X-RateLimit-Reset": "12"})
    server.faults.add(
        limited, None, Fault(status=503, body="<html>down</html>"), path="/echo", after=1
    )
    answers = [say(server, str(number)) for number in range(5)]
    assert [each.status_code for each in answers] == [200, 429, 200, 503, 200]
    assert answers[1].headers["X-RateLimit-Reset"] == "12"
    assert answers[1].json() == {"message": "slow down"}
    assert answers[3].headers["content-type"] == "text/html"
    assert server.faults.left == 0


def test_a_fault_of_another_path_waits_for_its_path(server):
    server.faults.add(Fault(status=500), path="/other")
    assert say(server, "hi").status_code == 200
    assert server.faults.left == 1


@pytest.mark.parametrize(
    "fault",
    [RESET, Fault(cut_after_bytes=0), Fault(cut_after_bytes=700), Fault(cut_after_bytes=10**9)],
)
def test_a_cut_answer_breaks_the_connection_and_the_next_one_is_whole(server, fault):
    server.faults.add(fault)
    with pytest.raises(requests.exceptions.RequestException):
        say(server, "cut")
    assert say(server, "whole").json()["said"] == "whole"


def test_a_slow_answer_runs_into_the_timeout_of_the_client(server):
    server.faults.add(Fault(delay_seconds=30))
    with pytest.raises(requests.exceptions.Timeout):
        say(server, "slow", timeout=0.2)


@pytest.mark.timeout(60)
def test_leaving_does_not_wait_for_a_slow_answer():
    with LocalServer([Route("/echo", echo)]) as server:
        server.faults.add(Fault(delay_seconds=3600))
        with pytest.raises(requests.exceptions.Timeout):
            say(server, "slow", timeout=0.2)


def test_open_streams_can_be_dropped_and_refused(server):
    async def listen() -> str:
        async with websockets.connect(f"{server.ws_url}/ws") as stream:
            assert await stream.recv() == "hello"
            assert await asyncio.to_thread(server.drop_streams) == 1
            with pytest.raises(websockets.ConnectionClosedError):
                await stream.recv()
        server.faults.add(RESET, path="/ws")
        with pytest.raises((OSError, websockets.InvalidMessage)):
            await websockets.connect(f"{server.ws_url}/ws")
        async with websockets.connect(f"{server.ws_url}/ws") as stream:
            return str(await stream.recv())

    assert asyncio.run(listen()) == "hello"


def connected_at_the_end(rounds: int) -> socket.socket:
    """A client that connects so many rounds of the loop after its server was told to end."""
    with LocalServer([Route("/echo", echo)]) as server:
        address = ("127.0.0.1", int(server.url.rsplit(":", 1)[1]))

        async def connect() -> socket.socket:
            server._server.should_exit = server._server.force_exit = True
            server._server.stopped.set()
            for _ in range(rounds):
                await asyncio.sleep(0)
            return socket.create_connection(address)

        return server.call(connect())


@pytest.mark.parametrize("rounds", range(3))
def test_who_connects_while_the_server_ends_is_let_go(rounds, monkeypatch):
    """A connection that nobody closes is told of when it is collected, in whatever test that is."""
    told = []
    monkeypatch.setattr(sys, "unraisablehook", lambda one: told.append(str(one.exc_value)))
    with connected_at_the_end(rounds):
        gc.collect()
    assert told == []
