"""The control addresses of the exchange: move it, read its ledger, commit faults.

    POST /control/step {"events": 2}        POST /control/speed {"speed": 60}
    GET  /control/status                    GET  /control/ledger
    POST /control/faults {"kind": "lost_answer", "method": "POST", "path": "/v2/orders"}
    DELETE /control/faults                  nothing that has not happened yet will

A step with `"hold_bars": true` tells what has happened to orders, and keeps the bars that did it
until the next step (`{"events": 0}` sends them and moves nothing).

Kinds of faults, with their fields (`times` is 1 where it is not given):

    status           the answer is `status` (429, 500, 503, 504; `performed`: after acceptance)
    lost_answer      the request is carried out, and the connection is reset without an answer
    reset            the connection is reset before anything is done
    delay            the answer comes `seconds` late
    lose, duplicate, reorder, delay_update       the next order updates (`stream`: "data": bars)
    freeze, thaw     a stream stands and says nothing (`stream`: "trades" or "data")
    drop             a stream is cut (both, where none is named)
    reject           the next order is rejected after it was accepted
    partial_then_cancel   half of the next order fills at once, the rest is canceled
    trade_by_hand    somebody else buys or sells `quantity` of `symbol`
    pay              `amount` of a corporate action is credited, as the account activity `activity`
    halt, resume     trading of `symbol` stops, goes on
    bad_tick         the next bar of `symbol` is sent with its prices times `factor`, then corrected
    block, unblock   the account may not trade
    refuse_keys, take_keys   the account stream refuses the keys
"""

import json
from collections.abc import Callable, Coroutine
from decimal import Decimal
from typing import Any, Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from harmony_pipeline.exchange.data_messages import DataFaults, status_message
from harmony_pipeline.exchange.data_stream import StreamHub
from harmony_pipeline.exchange.local_server import LOST_ANSWER, RESET, Fault, Faults
from harmony_pipeline.exchange.orders import Json
from harmony_pipeline.exchange.refusals import Refused
from harmony_pipeline.exchange.trade_stream import MessageFaults, TradeStream
from harmony_pipeline.exchange.venue import Venue

_MESSAGES = {"lose": "lose", "duplicate": "duplicate", "reorder": "reorder",
             "delay_update": "delay"}  # fmt: skip
_BODIES: dict[int, str | Json] = {
    429: {"code": 42910000, "message": "rate limit exceeded."},
    500: {"code": 50010000, "message": "internal server error occurred"},
    503: "<html><head><title>503 Service Temporarily Unavailable</title></head></html>",
    504: "<html><head><title>504 Gateway Time-out</title></head></html>",
}


class Controlled(Protocol):
    """What can be controlled: the server, its exchange, its streams and their faults."""

    venue: Venue
    speed: float
    faults: Faults
    trade_stream: TradeStream
    hub: StreamHub
    data_faults: DataFaults
    bar_faults: MessageFaults

    async def advance(self, events: int = 1, *, hold_bars: bool = False) -> bool:
        """Let this many events happen; False once there are none. `hold_bars`: the bars of the last
        one are sent by the next call.
        """

    async def tell(self) -> bool:
        """Send what has happened to orders; whether there was anything."""

    async def drop(self, stream: str | None) -> None:
        """Cut streams."""

    def set_speed(self, speed: float) -> None:
        """Replay at this speed."""

    def move_clock(self) -> None:
        """Bring the clock to the present of a replay."""


def routes(server: Controlled) -> list[Route]:
    """The control routes of a server."""

    async def step(request: Request) -> JSONResponse:
        asked = json.loads(await request.body() or b"{}")
        events, hold_bars = int(asked.get("events", 1)), asked.get("hold_bars") is True
        going = await server.advance(events, hold_bars=hold_bars)
        return JSONResponse({"is_over": not going, **status_of(server)})

    async def speed(request: Request) -> JSONResponse:
        server.move_clock()
        server.set_speed(float(json.loads(await request.body())["speed"]))
        return JSONResponse(status_of(server))

    async def status(_request: Request) -> JSONResponse:
        server.move_clock()
        return JSONResponse(status_of(server))

    async def ledger(_request: Request) -> JSONResponse:
        return JSONResponse(server.venue.books.to_dict())

    async def faults(request: Request) -> JSONResponse:
        try:
            await commit(server, json.loads(await request.body()))
        except (KeyError, ValueError, TypeError) as error:
            return JSONResponse({"message": f"no such fault: {error}"}, 422)
        except Refused as refused:
            return JSONResponse(refused.body, refused.status)
        return JSONResponse(status_of(server))

    async def clear(_request: Request) -> JSONResponse:
        await clear_faults(server)
        return JSONResponse(status_of(server))

    return [
        Route("/control/step", step, methods=["POST"]),
        Route("/control/speed", speed, methods=["POST"]),
        Route("/control/status", status),
        Route("/control/ledger", ledger),
        Route("/control/faults", faults, methods=["POST"]),
        Route("/control/faults", clear, methods=["DELETE"]),
    ]


def status_of(server: Controlled) -> Json:
    """Where the exchange stands."""
    venue = server.venue
    return {
        "now": venue.now.isoformat(),
        "next_event": venue.next_event,
        "events": venue.market.events,
        "is_over": venue.is_over,
        "speed": server.speed,
        "orders": len(venue.orders),
        "updates": len(venue.updates),
        "updates_sent": server.trade_stream.sent,
        "executions": sum(order.fills for order in venue.orders.values()),
        "trade_listeners": server.trade_stream.listeners,
        "data_listeners": len(server.hub.listeners),
        "symbols": list(venue.market.symbols),
    }


async def commit(server: Controlled, asked: Json) -> None:
    """Commit one fault. Raises KeyError, ValueError or Refused for what is none."""
    kind, times = str(asked["kind"]), int(asked.get("times", 1))
    if kind in _MESSAGES:
        is_data = asked.get("stream", "trades") == "data"
        stream = server.bar_faults if is_data else server.trade_stream.faults
        stream.script.extend([_MESSAGES[kind]] * times)  # type: ignore[list-item]
    elif kind in {"status", "lost_answer", "reset", "delay"}:
        fault = _of_answers(kind, asked)
        server.faults.add(
            *[fault] * times, path=asked.get("path", "/v2/"), method=asked.get("method")
        )
    else:
        await _COMMITTED[kind](server, asked)
        server.venue.commit()
        await server.tell()


def _of_answers(kind: str, asked: Json) -> Fault:
    if kind == "status":
        status = int(asked["status"])
        headers = {} if status != 429 else {"Retry-After": str(asked.get("retry_after", 1))}
        return Fault(
            status=status,
            body=asked.get("body", _BODIES.get(status, "")),
            headers=headers,
            performed=asked.get("performed") is True,
        )
    if kind == "delay":
        return Fault(delay_seconds=float(asked["seconds"]))
    return LOST_ANSWER if kind == "lost_answer" else RESET


async def clear_faults(server: Controlled) -> None:
    """Forget what has not happened; what was held back comes, what was frozen speaks again."""
    server.faults.clear()
    server.data_faults.clear()
    server.bar_faults.clear()
    server.trade_stream.faults.clear()
    server.trade_stream.refusing = False
    server.venue.tricks.clear()
    server.venue.blocked = False
    server.venue.halted.clear()
    server.venue.commit()
    await server.trade_stream.publish_late()


async def _freeze(server: Controlled, asked: Json) -> None:
    frozen = asked["kind"] == "freeze"
    if asked.get("stream", "trades") == "trades":
        server.trade_stream.faults.frozen = frozen
    else:
        server.bar_faults.frozen = frozen


async def _drop(server: Controlled, asked: Json) -> None:
    await server.drop(asked.get("stream"))


async def _trick(server: Controlled, asked: Json) -> None:
    server.venue.tricks += [asked["kind"]] * int(asked.get("times", 1))


async def _trade_by_hand(server: Controlled, asked: Json) -> None:
    server.venue.trade_by_hand(asked["symbol"], asked["side"], Decimal(str(asked["quantity"])))


async def _pay(server: Controlled, asked: Json) -> None:
    amount = Decimal(str(asked["amount"]))
    server.venue.pay(str(asked["activity"]), str(asked["symbol"]), amount)


async def _halt(server: Controlled, asked: Json) -> None:
    symbol, halted = asked["symbol"], asked["kind"] == "halt"
    if symbol not in server.venue.market.symbols:
        raise ValueError(f"{symbol} is not traded here")
    server.venue.halt(symbol, halted=halted)
    await server.hub.publish([status_message(symbol, server.venue.now, halted=halted)])


async def _bad_tick(server: Controlled, asked: Json) -> None:
    server.data_faults.bad_ticks[asked["symbol"]] = float(asked.get("factor", 10.0))


async def _block(server: Controlled, asked: Json) -> None:
    server.venue.blocked = asked["kind"] == "block"


async def _refuse_keys(server: Controlled, asked: Json) -> None:
    server.trade_stream.refusing = asked["kind"] == "refuse_keys"


_COMMITTED: dict[str, Callable[[Controlled, Json], Coroutine[Any, Any, None]]] = {
    "freeze": _freeze, "thaw": _freeze, "drop": _drop, "reject": _trick,
    "partial_then_cancel": _trick, "trade_by_hand": _trade_by_hand, "pay": _pay, "halt": _halt,
    "resume": _halt, "bad_tick": _bad_tick, "block": _block, "unblock": _block,
    "refuse_keys": _refuse_keys, "take_keys": _refuse_keys,
}  # fmt: skip
