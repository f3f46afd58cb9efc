"""The monitor under load: 20 symbols at 20 updates a second, through the real hub and server.

    python benchmarks/monitor.py [--seconds 20] [--symbols 20] [--rate 20] [--pages 3]

Each update changes the price, the bar and the position of a symbol, and carries the moment at which
it was published. Readers of the stream, and a page in Chromium where playwright is installed, say
how old the newest update is that they have. A page that falls behind would get older and older.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import polars as pl

from harmony_pipeline.monitor.access import TokenCheck
from harmony_pipeline.monitor.application import Monitor
from harmony_pipeline.monitor.hub import Hub
from harmony_pipeline.monitor.server import MonitorServer


class NoMarket:
    bar_micros = 1_000_000

    def bars(self, *_: Any) -> pl.DataFrame:
        return pl.DataFrame()

    chart = bars

    def indicators(self) -> tuple[str, ...]:
        return ()

    def trades(self, *_: Any) -> list[Any]:
        return []

    quotes = scan = trades


def judge(name: str, value: float, wanted: float, unit: str, *, least: bool = False) -> bool:
    met = value >= wanted if least else value <= wanted
    bound = "at least" if least else "at most"
    word = "met" if met else "MISSED"
    print(f"{name}: measured {value:.2f} {unit}, wanted {bound} {wanted:g}: {word}")
    return met


class Market:
    """Publishes `rate` rounds a second; a round changes every symbol."""

    def __init__(self, hub: Hub, symbols: int, rate: float) -> None:
        self._hub, self._rate = hub, rate
        self._symbols = [f"S{number:03d}" for number in range(symbols)]
        self.rounds, self.stop = 0, threading.Event()

    def run(self) -> None:
        began = time.monotonic()
        while not self.stop.is_set():
            self._hub.publish(self._round())
            self.rounds += 1
            wait = began + self.rounds / self._rate - time.monotonic()
            if wait > 0:
                time.sleep(wait)

    def _round(self) -> dict[str, dict[str, Any]]:
        now, second = time.time() * 1000, int(time.time()) * 1000
        watch, bars, positions = {}, {}, {}
        for number, symbol in enumerate(self._symbols):
            price = 100 + number + (self.rounds % 40) / 100
            watch[symbol] = {
                "symbol": symbol,
                "last": price,
                "first": 100.0,
                "volume": 1.0 * self.rounds,
                "t": second,
                "sent": now,
            }
            bars[f"{symbol} {second}"] = {
                "symbol": symbol,
                "t": second,
                "o": price,
                "h": price + 0.1,
                "l": price - 0.1,
                "c": price,
                "v": 10.0,
            }
            positions[symbol] = {
                "symbol": symbol,
                "quantity": 100,
                "entry": 100.0,
                "last": price,
                "value": price * 100,
                "profit": (price - 100) * 100,
                "stop": 95.0,
                "take": 110.0,
            }
        health = {
            "running": True,
            "heartbeat_age": 0.1,
            "pid": 1,
            "now": second,
            "bar": 1000,
            "events": self.rounds,
            "sent": now,
        }
        return {"watch": watch, "bars": bars, "positions": positions, "health": {"": health}}


class Reader:
    """One reader of the stream: ages of what it got, messages, bytes."""

    def __init__(self, url: str) -> None:
        self.ages: list[float] = []
        self.size = 0
        self.stop = threading.Event()
        self._answer = urlopen(f"{url}api/stream", timeout=10)
        self.thread = threading.Thread(target=self._read, daemon=True)
        self.thread.start()

    def _read(self) -> None:
        while not self.stop.is_set():
            line = self._answer.readline()
            self.size += len(line)
            if line.startswith(b"data: "):
                found = json.loads(line[6:])
                if "health" in found:
                    self.ages.append(time.time() * 1000 - found["health"][""]["sent"])


def in_chromium(url: str, seconds: float) -> dict[str, float] | None:
    """Ages of the newest update in a real page, milliseconds, and the frames it drew a second."""
    try:
        from playwright.sync_api import sync_playwright
    except ImportError:
        print("no page: playwright is not installed")
        return None
    chromium = os.environ.get("HARMONY_CHROMIUM") or shutil.which("chromium")
    if chromium is None:
        print("no page: there is no chromium on the path")
        return None
    with sync_playwright() as started:
        browser = started.chromium.launch(executable_path=chromium, args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1280, "height": 900})
        page.goto(url)
        page.wait_for_selector("#watch tbody tr")
        page.evaluate(WATCH)
        page.wait_for_timeout(seconds * 1000)
        ages = page.evaluate("window.seen")
        browser.close()
    return {
        "p50": statistics.median(ages), "p99": sorted(ages)[int(len(ages) * 0.99)],
        "updates": len(ages) / seconds,
        "drift": growth(ages),
    }  # fmt: skip


# the page writes each health row on the screen; the time is taken in the frame after that
WATCH = """() => {
  window.seen = [];
  const source = new EventSource("/api/stream");
  source.addEventListener("changes", (event) => {
    const health = JSON.parse(event.data).health;
    const drawn = () => window.seen.push(Date.now() - health[""].sent);
    if (health) requestAnimationFrame(() => setTimeout(drawn, 0));
  });
}"""


SESSION = {
    "session_id": "load", "date": "2024-06-03", "account": "x", "strategy": "load", "model": None,
    "state": "running", "reason": None, "risk_state": "ACTIVE", "breakers": [], "killed": None,
    "replayed": False, "equity": 1e5, "cash": 5e4, "base": 1e5, "drawdown": 0.0, "realized": 0.0,
    "fees": 0.0, "orders": 0, "fills": 0, "symbols": [], "cursor": 0,
}  # fmt: skip


def growth(ages: list[float]) -> float:
    """Median age in the second half less that in the first."""
    half = len(ages) // 2
    return statistics.median(ages[half:]) - statistics.median(ages[:half])


def measure(symbols: int, rate: float, seconds: float, pages: int) -> list[bool]:
    hub = Hub()
    hub.publish({"session": {"": SESSION}})
    monitor = Monitor(
        hub, None, NoMarket(), Path(tempfile.gettempdir()), TokenCheck("benchmark-token")
    )
    market = Market(hub, symbols, rate)
    with MonitorServer(monitor) as server:
        thread = threading.Thread(target=market.run, daemon=True)
        thread.start()
        used, began = time.process_time(), time.monotonic()
        readers = [Reader(server.url) for _ in range(pages)]
        time.sleep(seconds)
        cores = (time.process_time() - used) / (time.monotonic() - began)
        for reader in readers:
            reader.stop.set()
            reader.thread.join(2)
        shown = in_chromium(server.url, seconds)
        market.stop.set()
        thread.join()
    ages = sorted(age for reader in readers for age in reader.ages)
    per_second = min(len(reader.ages) for reader in readers) / seconds
    kilobytes = readers[0].size / seconds / 1000
    print(f"{symbols} symbols, {rate:g} updates a second each, {pages} readers, {seconds:g} s")
    done = [
        judge("messages a second at the slowest reader", per_second, rate * 0.8, "", least=True),
        judge("age of an update at a reader, p50", statistics.median(ages), 100, "ms"),
        judge("age of an update at a reader, p99", ages[int(len(ages) * 0.99)], 250, "ms"),
        judge(
            "growth of that age from the first half to the second",
            max(growth(reader.ages) for reader in readers),
            25,
            "ms",
        ),
        judge("one page's stream", kilobytes, 300, "kB/s"),
        judge("cores: market, hub, server and readers together", cores, 1.0, ""),
    ]
    if shown is not None:
        done += [
            judge("updates a second in the page", shown["updates"], rate * 0.75, "", least=True),
            judge("age of an update on the screen, p50", shown["p50"], 150, "ms"),
            judge("age of an update on the screen, p99", shown["p99"], 500, "ms"),
            judge("growth of that age", shown["drift"], 50, "ms"),
        ]
    return done


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--symbols", type=int, default=20)
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--pages", type=int, default=3)
    chosen = parser.parse_args()
    met = measure(chosen.symbols, chosen.rate, chosen.seconds, chosen.pages)
    raise SystemExit(0 if all(met) else 1)
