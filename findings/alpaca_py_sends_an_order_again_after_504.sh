#!/bin/sh
# alpaca-py 0.44.0: an order that is answered with 504 is sent four times, and TradingClient has no parameter that changes it.
# Guess: a POST is sent once, since nobody knows after a 504 whether the order was taken; or the retries send an id along that makes the second a repetition.
# Seen: four POSTs within ten seconds, with equal bodies and no client_order_id in any, so that each may become an order of its own; then an APIError.
# Why it matters: an order that was taken and answered late is doubled. An order needs a client_order_id of its own.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'alpaca-py==0.44.0'
"$work/venv/bin/python" -W ignore - <<'PY'
import inspect
import json
import threading
from http.server import BaseHTTPRequestHandler, HTTPServer

from alpaca.common.exceptions import APIError, RetryException
from alpaca.trading.client import TradingClient
from alpaca.trading.enums import OrderSide, TimeInForce
from alpaca.trading.requests import MarketOrderRequest

received = []


class Gateway(BaseHTTPRequestHandler):
    def do_POST(self):
        received.append(json.loads(self.rfile.read(int(self.headers["Content-Length"]))))
        body = b'{"message": "gateway timeout"}'
        self.send_response(504)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_):
        pass


server = HTTPServer(("127.0.0.1", 0), Gateway)
threading.Thread(target=server.serve_forever, daemon=True).start()
client = TradingClient("key", "secret", paper=True, url_override=f"http://127.0.0.1:{server.server_port}")
order = MarketOrderRequest(symbol="AAPL", qty=1, side=OrderSide.BUY, time_in_force=TimeInForce.DAY)
try:
    client.submit_order(order)
    ended = "no error"
except (APIError, RetryException) as error:
    ended = type(error).__name__
server.shutdown()
print(len(received), "orders sent,", ended)
print(received[0])
print("parameters:", list(inspect.signature(TradingClient).parameters))
assert len(received) == 4, received
assert all(body == received[0] and "client_order_id" not in body for body in received)
assert not any("retry" in name for name in inspect.signature(TradingClient).parameters)
PY
