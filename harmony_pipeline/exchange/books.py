"""The exchange's own books: double entry, exact, in whole money units (1/10000 of a dollar).

Every posting has two sides and the sum over all accounts is zero at any time. Money moves between
`cash`, `trading:SYMBOL` (what purchases cost less what sales brought), `fees` and `equity`; shares
between `held:SYMBOL` and `market:SYMBOL`, and fees in coins to `fees:SYMBOL`. Nothing is ever
changed: a mistake is posted back.
"""

from collections.abc import Iterable, Iterator
from decimal import Decimal
from typing import Any

import msgspec

from harmony_pipeline.exchange.orders import plain
from harmony_pipeline.portfolio.kernel_types import MONEY


class Posting(msgspec.Struct, frozen=True):
    """`amount` moves from account `credit` to account `debit`. `unit` is money (whole money units)
    or a symbol (shares, as decimal text).
    """

    number: int
    at: int
    debit: str
    credit: str
    unit: str
    amount: str
    order_id: str | None = None
    execution_id: str | None = None
    note: str = ""


class Books:
    """Postings and the balances that follow from them."""

    def __init__(self, postings: Iterable[Posting] = ()) -> None:
        self.postings: list[Posting] = []
        self._balances: dict[tuple[str, str], Decimal] = {}
        for posting in postings:
            self._add(posting)

    def post(self, at: int, debit: str, credit: str, unit: str, amount: Decimal, **of: Any) -> None:
        """Move an amount; nothing is written for zero."""
        if amount:
            number = len(self.postings) + 1
            self._add(Posting(number, at, debit, credit, unit, str(amount), **of))

    def trade(
        self,
        at: int,
        symbol: str,
        shares: Decimal,
        value: int,
        fee: int,
        withheld: Decimal = Decimal(0),
        **of: Any,
    ) -> None:
        """One execution: signed shares, signed value and fee in money units; `withheld`: the fee in
        coins, taken from those that were bought.
        """
        self.post(at, f"held:{symbol}", f"market:{symbol}", symbol, shares, **of)
        self.post(at, f"trading:{symbol}", "cash", "money", Decimal(value), **of)
        self.post(at, "fees", "cash", "money", Decimal(fee), **of)
        self.post(at, f"fees:{symbol}", f"held:{symbol}", symbol, withheld, **of)

    @property
    def cash(self) -> int:
        """Money units."""
        return int(self.balance("cash", "money"))

    def shares(self, symbol: str) -> Decimal:
        """Signed shares held."""
        return self.balance(f"held:{symbol}", symbol)

    def holdings(self) -> Iterator[tuple[str, Decimal]]:
        """(symbol, signed shares), those that are not zero, by symbol."""
        for (account, unit), amount in sorted(self._balances.items()):
            if account.startswith("held:") and amount:
                yield unit, amount

    def balance(self, account: str, unit: str) -> Decimal:
        """What an account holds of a unit."""
        return self._balances.get((account, unit), Decimal(0))

    def is_balanced(self) -> bool:
        """Whether every unit sums to zero over all accounts."""
        sums: dict[str, Decimal] = {}
        for (_, unit), amount in self._balances.items():
            sums[unit] = sums.get(unit, Decimal(0)) + amount
        return not any(sums.values())

    def to_dict(self) -> dict[str, Any]:
        """Balances and postings, as `/control/ledger` shows them; money in dollars."""
        return {
            "cash": str(Decimal(self.cash) / int(MONEY)),
            "balanced": self.is_balanced(),
            "positions": {symbol: plain(amount) for symbol, amount in self.holdings()},
            "balances": [
                {"account": account, "unit": unit, "amount": str(amount)}
                for (account, unit), amount in sorted(self._balances.items())
            ],
            "postings": [msgspec.to_builtins(posting) for posting in self.postings],
        }

    def _add(self, posting: Posting) -> None:
        self.postings.append(posting)
        for account, sign in ((posting.debit, 1), (posting.credit, -1)):
            key = (account, posting.unit)
            self._balances[key] = self._balances.get(key, Decimal(0)) + sign * Decimal(
                posting.amount
            )
