"""The account of a machine on quotes, and what it may post.

Money is whole money units (1/10000 of the currency), as in the bar backtest: a fill moves cash by
the value of its shares (`costs.notional`) and its fee, and by nothing else. Positions are valued at
the middle of the last quote that has two sides.

`judge` applies the limits of `[risk]` that concern an account which posts its own sizes. An order
that would exceed one is refused whole; getting smaller is always allowed.

    allow_short, shortable     no sale of more than is held
    max_position               value of the symbol's position once the order is filled, of equity
    max_gross_exposure         the same over all symbols
    cash_buffer                cash once the order is filled
    max_daily_loss             no new risk for the rest of the session
    max_drawdown               everything is left, and no new risk for good

The orders that rest count as if they were filled: of each symbol the side that adds most to its
position, and every purchase in the cash.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import numpy as np
import polars as pl

from harmony_pipeline.execution.costs import notional
from harmony_pipeline.execution.matching_engine import Execution
from harmony_pipeline.execution.order_types import Refusal
from harmony_pipeline.portfolio.kernel_types import MONEY, Record, Records
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


class Resting(NamedTuple):
    """What rests of an order."""

    symbol: str
    side: int
    price: float
    quantity: float


class QuoteAccount:
    """Cash and positions. One owner."""

    def __init__(self, symbols: Sequence[str], rules: Records, initial_cash: float) -> None:
        self.cash = self._day_equity = self._peak = round(initial_cash * MONEY)
        self.fees = 0
        self.positions: dict[str, float] = dict.fromkeys(symbols, 0.0)
        self.halted = False  # by the drawdown, for good
        self._rules: Mapping[str, Record] = {name: rules[row] for row, name in enumerate(symbols)}
        self._prices = dict.fromkeys(symbols, np.nan)
        self._values = dict.fromkeys(symbols, 0)
        self._stopped = False  # by the loss of the day
        self._rows: list[tuple[datetime, str | None, str | None, float | None, int, int, int]] = []

    @property
    def equity(self) -> int:
        """Cash and positions at their last prices, in money units."""
        return self.cash + sum(self._values.values())

    def begin_session(self) -> None:
        """The equity of now is the base of the loss of the day."""
        self._day_equity, self._stopped = self.equity, False

    def mark(self, symbol: str, price: float) -> bool:
        """Value a symbol's position; whether the drawdown halts the account now."""
        self._prices[symbol] = price
        held = self.positions[symbol]
        if held == 0.0:
            return False
        self._values[symbol] = self._value(symbol, price, held)
        return self._judge_equity()

    def book(self, symbol: str, execution: Execution, at: datetime) -> None:
        """Take in a fill."""
        signed = execution.side * execution.quantity
        self.cash -= self._value(symbol, execution.price, signed) + execution.fee
        self.fees += execution.fee
        held = self.positions[symbol] = self.positions[symbol] + signed
        price = self._prices[symbol]
        self._values[symbol] = self._value(
            symbol, execution.price if np.isnan(price) else price, held
        )
        self._rows.append((at, symbol, execution.order_id, held, self.cash, self.fees, self.equity))

    def close(self, at: datetime) -> None:
        """Write down how it stands at the end."""
        self._rows.append((at, None, None, None, self.cash, self.fees, self.equity))

    def judge(
        self, symbol: str, side: int, price: float, quantity: float, resting: Sequence[Resting]
    ) -> Refusal | None:
        """Why an order must not be posted beside those that rest, or None."""
        held, own = self.positions[symbol], self._rules[symbol]
        after = held + side * quantity
        if abs(after) <= abs(held) and after * held >= 0.0:
            return None
        if self.halted or self._stopped:
            limit = "max_drawdown" if self.halted else "max_daily_loss"
            return Refusal(limit, f"{limit} was exceeded: no order may add to a position")
        if after < 0.0 and not (own["allow_short"] and own["shortable"]):
            limit = "shortable" if own["allow_short"] else "allow_short"
            return Refusal(limit, f"{quantity:g} shares to sell and {held:g} are held")
        equity, value = self.equity, abs(self._value(symbol, price, after))
        others = sum(self._worst_value(name, resting) for name in self.positions if name != symbol)
        for limit, found in (("max_position", value), ("max_gross_exposure", others + value)):
            if found > float(own[limit]) * equity:
                return Refusal(
                    limit,
                    f"{found / MONEY:.2f} once it is filled, of {equity / MONEY:.2f} in all: more"
                    f" than {limit} = {float(own[limit]):g}",
                )
        usable = float(own["usable_cash"])
        left = self.cash - self._value(symbol, price, quantity)
        left -= sum(
            self._value(one.symbol, one.price, one.quantity) for one in resting if one.side > 0
        )
        if side > 0 and usable > 0.0 and left < (1.0 - usable) * equity:
            return Refusal("cash_buffer", f"{left / MONEY:.2f} would be left of the cash")
        return None

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

    def _worst_value(self, symbol: str, resting: Sequence[Resting]) -> int:
        """The largest value of a position, whichever of its orders fill."""
        held, worst = self.positions[symbol], abs(self._values[symbol])
        for one in resting:
            if one.symbol == symbol:
                after = held + one.side * one.quantity
                worst = max(worst, abs(self._value(symbol, one.price, after)))
        return worst

    def _value(self, symbol: str, price: float, quantity: float) -> int:
        return int(notional(price * float(self._rules[symbol]["multiplier"]), quantity))

    def _judge_equity(self) -> bool:
        equity, own = self.equity, next(iter(self._rules.values()))
        self._peak = max(self._peak, equity)
        if equity < self._day_equity * (1.0 - float(own["max_daily_loss"])):
            self._stopped = True
        if not self.halted and equity < self._peak * (1.0 - float(own["max_drawdown"])):
            self.halted = True
            return True
        return False
