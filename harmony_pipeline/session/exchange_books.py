"""A session's books against the exchange's own ledger, order by order, to the cent.

`reconcile` asks a broker for totals. An exchange whose ledger can be read (`GET /control/ledger` of
`harmony exchange`) tells more: every posting names its order, so each order's shares, money and fee
are compared one by one, and the cash of both in whole money units.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from harmony_pipeline.execution.brokers.alpaca.orders import parted
from harmony_pipeline.portfolio.kernel_types import MONEY
from harmony_pipeline.session.result import SessionResult

_UNIT = 1 / MONEY
_SHARES = 1e-9


@dataclass
class OrderBooks:
    """What one order did: signed shares, and what it cost in dollars, fee apart; coins that are
    withheld as a fee count among the shares, and in dollars as the fee.
    """

    shares: float = 0.0
    value: float = 0.0
    fee: float = 0.0

    def agrees(self, other: "OrderBooks") -> bool:
        """Whether both are the same to a ten-thousandth of a dollar for each of its executions."""
        return (
            abs(self.shares - other.shares) <= _SHARES
            and abs(self.value - other.value) < 0.005
            and abs(self.fee - other.fee) < 0.005
        )

    def __str__(self) -> str:
        return f"{self.shares:g} shares for {self.value:.2f}, fee {self.fee:.2f}"


@dataclass(frozen=True)
class ExchangeComparison:
    """What was compared; `differences` are sentences."""

    orders: int
    cash: float
    differences: tuple[str, ...] = field(default=())


def compare_with_exchange(
    session: SessionResult, ledger: Mapping[str, Any], orders: Iterable[Mapping[str, Any]]
) -> ExchangeComparison:
    """The session against `ledger`, the answer of `/control/ledger`, and `orders`, the exchange's
    orders as Alpaca shows them (legs in `legs` or beside them).
    """
    shown = {order["id"]: order for order in _flat(orders)}
    theirs = _of_postings(ledger["postings"])
    names = _names(shown.values())
    ours = _of_fills(session)
    differences = _duplicates(shown.values())
    known: dict[str, OrderBooks] = {}
    for identity, books in theirs.items():
        if identity not in names:
            differences.append(f"the exchange booked {books} for an order that it does not show")
        else:
            known[names[identity]] = books
    for name in sorted({*ours, *known}):
        here, there = ours.get(name, OrderBooks()), known.get(name, OrderBooks())
        if not here.agrees(there):
            differences.append(f"order {name}: session {here}; exchange {there}")
    cash = session.broker_cash
    exact = int(Decimal(ledger["cash"]) * int(MONEY))
    if abs(cash - exact) * _UNIT >= 0.005:
        differences.append(f"cash: session {cash * _UNIT:.4f}, exchange {exact * _UNIT:.4f}")
    differences += _positions(session, ledger["positions"])
    if not ledger["balanced"]:
        differences.append("the exchange's double entry does not sum to zero")
    return ExchangeComparison(len(shown), cash * _UNIT, tuple(differences))


def _flat(orders: Iterable[Mapping[str, Any]]) -> Iterable[Mapping[str, Any]]:
    for order in orders:
        yield order
        yield from _flat(order.get("legs") or ())


def _names(orders: Iterable[Mapping[str, Any]]) -> dict[str, str]:
    """Our name of each of the exchange's ids. Both legs of a position travel as one order whose
    name is `SHARED+take` of them (`brokers/alpaca/orders.py`).
    """
    names: dict[str, str] = {}
    for order in orders:
        pair = parted(order["client_order_id"])
        names.setdefault(order["id"], pair[0] if pair else order["client_order_id"])
        for leg in (order.get("legs") or ()) if pair else ():
            names[leg["id"]] = pair[1] if pair else ""
    return names


def _duplicates(orders: Iterable[Mapping[str, Any]]) -> list[str]:
    seen: dict[str, str] = {}
    found = []
    for order in orders:
        name = order["client_order_id"]
        if seen.setdefault(name, order["id"]) != order["id"]:
            found.append(f"order {name} is at the exchange twice")
    return found


def _of_postings(postings: Iterable[Mapping[str, Any]]) -> dict[str, OrderBooks]:
    found: dict[str, OrderBooks] = {}
    kept: dict[str, float] = {}  # coins that purchases did not bring
    for row in postings:
        if row["order_id"] is None:
            continue
        books = found.setdefault(row["order_id"], OrderBooks())
        amount = float(Decimal(row["amount"]))
        if row["debit"].startswith("held:"):
            books.shares += amount
        elif row["debit"].startswith("trading:"):
            books.value += amount * _UNIT
        elif row["debit"] == "fees":
            books.fee += amount * _UNIT
        elif row["debit"].startswith("fees:"):
            kept[row["order_id"]] = kept.get(row["order_id"], 0.0) + amount
    for identity, coins in kept.items():
        books = found[identity]
        books.fee += coins * books.value / books.shares
    return found


def _of_fills(session: SessionResult) -> dict[str, OrderBooks]:
    found: dict[str, OrderBooks] = {}
    columns = ("client_order_id", "side", "quantity", "price", "fee")
    for name, side, quantity, price, fee in session.fills.select(columns).iter_rows():
        signed = quantity if side == "buy" else -quantity
        books = found.setdefault(name, OrderBooks())
        books.shares += signed
        books.value += signed * price
        books.fee += fee
    return found


def _positions(session: SessionResult, positions: Mapping[str, Any]) -> list[str]:
    ours = session.shares
    theirs = {symbol: float(shares) for symbol, shares in positions.items()}
    return [
        f"{symbol}: session {ours.get(symbol, 0.0):g}, exchange {theirs.get(symbol, 0.0):g} shares"
        for symbol in sorted({*ours, *theirs})
        if abs(ours.get(symbol, 0.0) - theirs.get(symbol, 0.0)) > _SHARES
    ]
