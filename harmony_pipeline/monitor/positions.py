"""Positions as fills make them: quantity, average entry price, profit.

The entry price is the average over the shares that opened the position; a fill through zero opens
a new one at its price. Profit is in the currency, before fees; fees are counted apart.
"""

from dataclasses import dataclass

_FLAT = 1e-9  # shares


@dataclass
class Position:
    """Shares held of one symbol (negative: short), of one strategy where several share the account;
    prices raw.
    """

    symbol: str
    quantity: float = 0.0
    entry_price: float = 0.0
    last_price: float | None = None
    realized: float = 0.0
    fees: float = 0.0
    strategy: str | None = None  # whose, on an account that several share

    def fill(self, signed: float, price: float, fee: float) -> None:
        """Trade `signed` shares at `price`."""
        before, after = self.quantity, self.quantity + signed
        self.fees += fee
        closed = min(abs(signed), abs(before)) if signed * before < 0 else 0.0
        self.realized += closed * (price - self.entry_price) * (1.0 if before > 0 else -1.0)
        if abs(after) < _FLAT:
            self.quantity, self.entry_price = 0.0, 0.0
            return
        if before * after <= 0:  # opened, or turned around
            self.entry_price = price
        elif abs(after) > abs(before):
            self.entry_price = (before * self.entry_price + signed * price) / after
        self.quantity = after
        self.last_price = price if self.last_price is None else self.last_price

    def rescale(self, quantity: float) -> None:
        """A split left `quantity` shares of the same worth."""
        if quantity and self.quantity:
            ratio = self.quantity / quantity
            self.entry_price *= ratio
            self.last_price = None if self.last_price is None else self.last_price * ratio
        self.quantity = quantity

    @property
    def unrealized(self) -> float | None:
        """Profit of what is held at the last price."""
        return (
            None
            if self.last_price is None
            else self.quantity * (self.last_price - self.entry_price)
        )

    @property
    def value(self) -> float | None:
        """Worth at the last price; negative for a short position."""
        return None if self.last_price is None else self.quantity * self.last_price
