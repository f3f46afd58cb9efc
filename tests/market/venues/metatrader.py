"""A stand-in for the MetaTrader5 package: its functions, names, types and ways to fail.

As the real one does, it answers None or False on an error and keeps code and text for
`last_error()`; it knows only the last `max_bars` bars of a timeframe; times are the server's wall
clock in seconds (ticks: milliseconds) as if it were UTC; ranges hold both their ends; a history
that is not on disk comes by and by.
"""

from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import numpy as np

RATES = np.dtype(
    [("time", "<i8"), ("open", "<f8"), ("high", "<f8"), ("low", "<f8"), ("close", "<f8"),
     ("tick_volume", "<u8"), ("spread", "<i4"), ("real_volume", "<u8")]
)  # fmt: skip
TICKS = np.dtype(
    [("time", "<i8"), ("bid", "<f8"), ("ask", "<f8"), ("last", "<f8"), ("volume", "<u8"),
     ("time_msc", "<i8"), ("flags", "<u4"), ("volume_real", "<f8")]
)  # fmt: skip
NEW_YORK = ZoneInfo("America/New_York")


def server_reading(moment: datetime, zone: ZoneInfo = NEW_YORK, ahead: int = 7) -> int:
    """Seconds that a server shows, whose clock is `ahead` hours before a zone's."""
    wall = moment.astimezone(zone).replace(tzinfo=UTC) + timedelta(hours=ahead)
    return int(wall.timestamp())


@dataclass
class SymbolInfo:
    name: str
    visible: bool = True
    digits: int = 2
    point: float = 0.01
    trade_tick_size: float = 0.01
    trade_contract_size: float = 100.0
    volume_min: float = 0.01
    volume_step: float = 0.01
    currency_profit: str = "USD"
    time: int = 0


@dataclass
class AccountInfo:
    login: int
    server: str


@dataclass
class Fault:
    """What goes wrong at the next calls of a function; `lost` ends the connection."""

    function: str
    code: int
    text: str
    lost: bool = False


@dataclass
class MetaTrader5:
    """The module. `rates` and `ticks` by (symbol, timeframe) and symbol, sorted by time."""

    symbols: list[SymbolInfo]
    rates: dict[tuple[str, int], Any] = field(default_factory=dict)
    ticks: dict[str, Any] = field(default_factory=dict)
    accounts: dict[int, tuple[str, str]] = field(default_factory=dict)
    logged_in: AccountInfo | None = None
    max_bars: int = 100_000
    filling: list[float | None] = field(default_factory=list)
    """shares of each of the next answers that are there already; None fails"""
    faults: list[Fault] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)
    connected: bool = False
    error: tuple[int, str] = (1, "Success")
    asked: list[tuple[Any, ...]] = field(default_factory=list)

    TIMEFRAME_M1, TIMEFRAME_M5, TIMEFRAME_M15, TIMEFRAME_M30 = 1, 5, 15, 30
    TIMEFRAME_H1, TIMEFRAME_D1 = 16385, 16408
    COPY_TICKS_ALL, COPY_TICKS_INFO, COPY_TICKS_TRADE = -1, 1, 2
    TICK_FLAG_BID, TICK_FLAG_ASK = 2, 4

    def __post_init__(self) -> None:
        """A module keeps its names in its own `vars`, and so does this."""
        for name in dir(type(self)):
            if name.startswith(("TIMEFRAME_", "COPY_", "TICK_")):
                vars(self)[name] = getattr(type(self), name)

    # --- the functions ----------------------------------------------------------------------------

    def initialize(
        self, path=None, *, login=None, password=None, server=None, timeout=60_000, portable=False
    ):
        if self._fails("initialize"):
            return False
        assert isinstance(timeout, int)
        self.connected = True
        if login is not None and self.logged_in is None:
            return self.login(login, password=password, server=server, timeout=timeout)
        return self._done(True) if self.logged_in else self._failed(-6, "Authorization failed")

    def login(self, login, *, password=None, server=None, timeout=60_000):
        if self._fails("login"):
            return False
        if self.accounts.get(login) != (password, server):
            return self._failed(-6, "Terminal: Authorization failed")
        self.logged_in = AccountInfo(login, server)
        return self._done(True)

    def last_error(self):
        return self.error

    def account_info(self):
        return None if self._fails("account_info") else self._done(self.logged_in)

    def shutdown(self):
        self.calls["shutdown"] += 1
        self.connected = False

    def symbols_get(self, group=None):
        if self._fails("symbols_get"):
            return None
        named = [
            each
            for each in self.symbols
            if group is None or group.strip("*").lower() in each.name.lower()
        ]
        return self._done(tuple(named))

    def symbol_info(self, symbol):
        if self._fails("symbol_info"):
            return None
        found = [each for each in self.symbols if each.name == symbol]
        return self._done(found[0]) if found else self._failed(-4, "Terminal: Not found")

    def symbol_select(self, symbol, enable=True):
        info = None if self._fails("symbol_select") else self.symbol_info(symbol)
        if info is None:
            return False
        info.visible = enable
        return self._done(True)

    def copy_rates_range(self, symbol, timeframe, date_from, date_to):
        self.asked.append((symbol, timeframe, date_from, date_to))
        table = self.rates.get((symbol, timeframe), np.empty(0, RATES))
        return self._copy("copy_rates_range", symbol, table[-self.max_bars :], date_from, date_to)

    def copy_ticks_range(self, symbol, date_from, date_to, flags):
        assert flags == self.COPY_TICKS_INFO
        return self._copy(
            "copy_ticks_range", symbol, self.ticks.get(symbol, np.empty(0, TICKS)), date_from,
            date_to
        )  # fmt: skip

    # --- how it answers ---------------------------------------------------------------------------

    def _copy(self, function, symbol, table, date_from, date_to):
        if self._fails(function):
            return None
        if not any(each.name == symbol and each.visible for each in self.symbols):
            return self._failed(-4, "Terminal: Not found")
        assert isinstance(date_from, int) and isinstance(date_to, int)
        if not len(table) or date_to < table["time"][0]:
            # wholly before what there is, or beyond what charts may show
            return self._failed(-1, "Terminal: Call failed")
        rows = table[(table["time"] >= date_from) & (table["time"] <= date_to)]
        share = self.filling.pop(0) if self.filling else 1.0
        if share is None:
            return self._failed(-1, "Terminal: Call failed")
        return self._done(rows[len(rows) - round(len(rows) * share) :].copy())

    def _fails(self, function):
        self.calls[function] += 1
        for fault in self.faults:
            if fault.function == function:
                self.faults.remove(fault)
                self.connected = self.connected and not fault.lost
                self._failed(fault.code, fault.text)
                return True
        if function != "initialize" and not self.connected:
            self._failed(-10004, "No IPC connection")
            return True
        return False

    def _failed(self, code, text):
        self.error = (code, text)
        return None if code != -6 else False

    def _done(self, answer):
        self.error = (1, "Success")
        return answer
