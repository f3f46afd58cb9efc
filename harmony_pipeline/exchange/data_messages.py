"""What the market-data stream says of an event: bars as they end, a trade and a quote at each open
and close, halts; and what faults make of it.
"""

from collections.abc import Iterable
from datetime import datetime

from harmony_pipeline.exchange.market import MarketBar
from harmony_pipeline.exchange.orders import Json
from harmony_pipeline.execution.coins import is_pair
from harmony_pipeline.instants import moment

_HALTED, _TRADING = ("H", "Halt"), ("T", "Trading Resumption")


class DataFaults:
    """`bad_ticks`: symbol -> factor on the prices of its next bar, which is corrected a minute
    later; `mute`: symbols of which nothing is told.
    """

    def __init__(self) -> None:
        self.bad_ticks: dict[str, float] = {}
        self.mute: set[str] = set()
        self._to_correct: list[MarketBar] = []

    def clear(self) -> None:
        """Forget what has not happened; corrections still come."""
        self.bad_ticks.clear()
        self.mute.clear()

    def bars(self, bars: Iterable[MarketBar]) -> list[Json]:
        """Corrections of the event before, then these bars, some of them wrong."""
        messages = [bar_message(bar, "u") for bar in self._to_correct]
        self._to_correct = []
        for bar in bars:
            if bar.symbol in self.mute:
                continue
            factor = self.bad_ticks.pop(bar.symbol, None)
            if factor is None:
                messages.append(bar_message(bar, "b"))
                continue
            self._to_correct.append(bar)
            wrong = bar._replace(
                open=bar.open * factor, high=bar.high * factor, low=bar.low * factor,
                close=bar.close * factor, vwap=bar.vwap * factor,
            )  # fmt: skip
            messages.append(bar_message(wrong, "b"))
        return messages


def bar_message(bar: MarketBar, kind: str) -> Json:
    """A minute bar (`b`) or its correction (`u`), stamped with its start."""
    return {
        "T": kind, "S": bar.symbol, "t": moment(bar.at), "o": bar.open, "h": bar.high,
        "l": bar.low, "c": bar.close, "v": _whole(bar.volume), "n": bar.trades, "vw": bar.vwap,
    }  # fmt: skip


def print_messages(bars: Iterable[MarketBar], *, at_open: bool) -> list[Json]:
    """A trade and a quote of each bar at its open or its close."""
    messages: list[Json] = []
    for bar in bars:
        price, at = (bar.open, bar.at) if at_open else (bar.close, bar.end - 1)
        if is_pair(bar.symbol):
            messages += _pair_messages(bar, price, at)
            continue
        when, size = moment(at), max(1, int(bar.volume // 2))
        messages += [
            {"T": "q", "S": bar.symbol, "t": when, "ax": "V", "ap": price, "as": 1, "bx": "V",
             "bp": price, "bs": 1, "c": ["R"], "z": "C"},
            {"T": "t", "S": bar.symbol, "t": when, "i": at, "x": "V", "p": price, "s": size,
             "c": ["@"], "z": "C"},
        ]  # fmt: skip
    return messages


def _pair_messages(bar: MarketBar, price: float, at: int) -> list[Json]:
    """Of a pair: no exchange, tape or conditions; `tks` is the taker's side."""
    when, size = moment(at), bar.volume / 2
    return [
        {"T": "q", "S": bar.symbol, "t": when, "ap": price, "as": size, "bp": price, "bs": size},
        {"T": "t", "S": bar.symbol, "t": when, "i": at, "p": price, "s": size, "tks": "B"},
    ]


def status_message(symbol: str, now: datetime, *, halted: bool) -> Json:
    """A halt or a resumption."""
    code, words = _HALTED if halted else _TRADING
    return {
        "T": "s", "S": symbol, "t": now, "sc": code, "sm": words, "rc": "", "rm": "", "z": "C",
    }  # fmt: skip


def _whole(value: float) -> float | int:
    return int(value) if value == int(value) else value
