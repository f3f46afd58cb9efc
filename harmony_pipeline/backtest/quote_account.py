"""The account of a machine on quotes: the portfolio of the other backtests, one event at a time.

What it may hold, what an order is answered and what a night costs is decided by the kernels of
portfolio/ and risk/ (backtest/quote_books.py calls them). A position is valued at the middle of the
last quote of regular hours that has two sides. Money is whole money units (1/10000 of the
currency).
"""

from bisect import bisect_right
from collections.abc import Callable, Sequence
from datetime import date, datetime
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.backtest import quote_books
from harmony_pipeline.backtest.logs import APPLICATIONS, TRADES, Curve
from harmony_pipeline.backtest.quote_books import QuoteBooks
from harmony_pipeline.errors import DataError
from harmony_pipeline.execution.matching_engine import Execution
from harmony_pipeline.kernel import machine_code
from harmony_pipeline.portfolio.kernel_types import MONEY, Records
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.state import TradingState
from harmony_pipeline.risk.limits import Verdict
from harmony_pipeline.schemas import REAL, TEXT, TIME

ACCOUNT_COLUMNS = {
    "timestamp": TIME,
    "symbol": TEXT,
    "order_id": TEXT,
    "position": REAL,
    "cash": REAL,
    "fees": REAL,
    "equity": REAL,
}
"""One row a fill, and a last one at the end, without symbol and order: the symbol's shares after
it, the account's cash, all fees so far, cash and positions at their last prices.
"""
VOLATILITY_COLUMNS = ("symbol", "known_at", "volatility")
_BIDS, _ASKS = 0, 1
_NEUTRAL = 1.0  # a volatility where none is known and the size does not depend on it


class Volatilities:
    """What was known of each symbol's volatility (of one bar's log return), and since when."""

    def __init__(self, frame: pl.DataFrame | None) -> None:
        self._known: dict[str, tuple[list[int], list[float]]] = {}
        if frame is None:
            return
        missing = [name for name in VOLATILITY_COLUMNS if name not in frame.columns]
        if missing:
            raise DataError(f"the volatilities lack {', '.join(missing)}")
        rows = frame.select(
            "symbol", pl.col("known_at").cast(TIME).to_physical(), pl.col("volatility").cast(REAL)
        ).filter(pl.col("volatility").is_finite())
        parts = rows.sort("symbol", "known_at").partition_by("symbol", as_dict=True)
        for (symbol,), part in parts.items():
            self._known[symbol] = part["known_at"].to_list(), part["volatility"].to_list()

    def at(self, symbol: str, moment: int) -> float:
        """The last value known at the moment, NaN where there is none."""
        known = self._known.get(symbol)
        if known is None:
            return np.nan
        place = bisect_right(known[0], moment)
        return known[1][place - 1] if place else np.nan


class QuoteAccount:
    """Cash, positions, and the limits on them. One owner. `symbols` are sorted."""

    def __init__(
        self,
        symbols: Sequence[str],
        rules: TradingRules,
        day: date,
        curve: Curve,
        volatilities: pl.DataFrame | None = None,
    ) -> None:
        self.symbols = tuple(symbols)
        self.row = {name: row for row, name in enumerate(symbols)}
        self.state = TradingState.opening(symbols, rules.initial_cash)
        self._positions, self._account = (
            self.state.portfolio.positions,
            self.state.portfolio.account,
        )
        self.date, self.fees = 0, 0
        self.middles = [np.nan] * len(symbols)
        self._rules, self._day, self._changes = rules, day, sorted(rules.changes(symbols))
        self._volatilities = Volatilities(volatilities)
        self._sized_by_volatility = not rules.risk.sizing.startswith("fixed_")
        self._multipliers = [float(one) for one in rules.records(symbols, day)["multiplier"]]
        self._rows: list[tuple[datetime, str | None, str | None, float | None, int, int, int]] = []
        records = rules.records(symbols, day)
        self.use(quote_books.quote_books(self._positions, self._account, records, curve))
        one, no = 1, 0.0
        self._restate = machine_code(quote_books.restate, self.books, one)
        self._quote = machine_code(quote_books.take_quote, self.books, one, no, one, one)
        self._fill: Callable[..., int] = machine_code(
            quote_books.take_fill, self.books, one, one, no, no, no, one, True, one, one, one, one,
            one,
        )  # fmt: skip
        self._judge: Callable[..., Verdict] = machine_code(
            quote_books.judge, self.books, one, one, no, no, no, no, one, no, no, True, one, one
        )

    def use(self, books: QuoteBooks) -> None:
        """Go on with these books: other arrays of the same state."""
        self.books = books
        self.places = memoryview(books.at.data)  # its numbers as Python's own
        self._orders = memoryview(books.orders.data)

    @property
    def rules(self) -> Records:
        """The terms of today, one record a symbol."""
        return self.books.rules

    @property
    def cash(self) -> int:
        """Money units."""
        return int(self._account["cash"][0])

    @property
    def equity(self) -> int:
        """Cash and positions at their last prices, in money units."""
        account: Any = self._account[0]
        return int(account["cash"] + account["net_value"])

    @property
    def positions(self) -> dict[str, float]:
        """Signed shares by symbol."""
        return dict(zip(self.symbols, self._positions["quantity"].tolist(), strict=True))

    def held(self, row: int) -> float:
        """Signed shares of the symbol of a row."""
        return float(self._positions[row]["quantity"])

    def terms_of(self, day: date) -> bool:
        """Take the terms that hold on `day`; whether they are others than before."""
        changed = any(self._day < one <= day for one in self._changes)
        self._day = day
        if changed:
            self.books.rules[:] = self._rules.records(self.symbols, day)
            self._multipliers = [float(one) for one in self.books.rules["multiplier"]]
        return changed

    def value(self, row: int, price: float, quantity: float) -> int:
        """Money units of shares of a symbol, as execution/costs.py `notional` has them."""
        return round(price * self._multipliers[row] * quantity * MONEY)

    def set_orders(self, row: int, bought: int, sold: int, *, leaving: bool) -> None:
        """What the symbol's orders at work may buy and sell, in money units, and whether one closes
        its position.
        """
        self._orders[row, _BIDS], self._orders[row, _ASKS] = bought, sold
        self._positions[row]["exit_working"] = leaving
        self._restate(self.books, row)

    def mark(self, row: int, price: float, at: int) -> int:
        """Value a symbol at a quote of regular hours: what the account asks for now, as bits of
        quote_books.py.
        """
        return self._quote(self.books, row, price, at, self.date)

    def judge(
        self,
        row: int,
        side: int,
        price: float,
        quantity: float,
        working: tuple[float, int],
        strength: float,
        at: int,
        *,
        rests: bool,
    ) -> Verdict:
        """The risk engine's answer to an order: `quote_books.judge`."""
        volatility = self._volatilities.at(self.symbols[row], at)
        sized = quantity == 0.0 and self._sized_by_volatility
        if not sized and not volatility > 0.0:
            volatility = _NEUTRAL
        middle = self.middles[row]
        return self._judge(
            self.books, row, side, price, price if np.isnan(middle) else middle, quantity,
            *working, strength, volatility, rests, at, self.date,
        )  # fmt: skip

    def book(
        self, row: int, one: Execution, number: int, decided_at: int, reason: int, at: datetime
    ) -> int:
        """Take in a fill, the `number`-th of its order; the answer is that of `mark`."""
        self.make_room()
        answer = self._fill(
            self.books, row, one.side, one.quantity, one.price, one.reference, one.fee, one.maker,
            number, one.at, self.date, decided_at, reason,
        )  # fmt: skip
        self.fees += one.fee
        symbol = self.symbols[row]
        self._rows.append(
            (at, symbol, one.order_id, self.held(row), self.cash, self.fees, self.equity)
        )
        return answer

    def begin_session(self, day: int) -> None:
        """The nights before the session of `day` (since 1970), and the bases of its limits."""
        self.date = day
        quote_books.begin_session(self.books, day)

    def close(self, at: datetime) -> None:
        """Write down how it stands at the end."""
        self._rows.append((at, None, None, None, self.cash, self.fees, self.equity))

    def table(self) -> pl.DataFrame:
        """ACCOUNT_COLUMNS."""
        rows = pl.DataFrame(
            self._rows,
            schema=ACCOUNT_COLUMNS
            | dict.fromkeys(("cash", "fees", "equity"), pl.Int64())
            | {"timestamp": TIME},
            orient="row",
        )
        # by NumPy, which divides: Polars multiplies by the reciprocal
        return rows.with_columns(
            pl.Series(name, rows[name].to_numpy() / MONEY) for name in ("cash", "fees", "equity")
        )

    def make_room(self) -> None:
        """Room in the logs for one more event."""
        books, at = self.books, self.places
        if at[TRADES] + 2 > len(books.trade_log):
            self.use(books._replace(trade_log=_doubled(books.trade_log)))
        if at[APPLICATIONS] + 2 > len(books.applied_log):
            self.use(self.books._replace(applied_log=_doubled(books.applied_log)))


def _doubled(log: Records) -> Records:
    return np.concatenate([log, np.zeros_like(log)])
