"""Coins as Alpaca trades them: pairs such as BTC/USD, with fees taken from what is received.

- A pair's name holds a slash, which no share's does. Positions bear it without one (`BTCUSD`).
- A purchase is paid in full and brings the coins less the fee; a sale brings the currency less the
  fee. So what is held after a purchase is less than what was ordered.

Sources: Alpaca's pages on crypto trading and on crypto fees.
"""

from decimal import ROUND_CEILING, Decimal

_SLASH = "/"
_QUOTES = ("USDT", "USDC", "USD", "BTC")
"""Currencies against which Alpaca trades coins; a longer one before one that ends as it does."""
QUANTITY_STEP = 1e-9
"""The finest quantity of a coin at Alpaca."""
_BPS = 10_000


def is_pair(symbol: str) -> bool:
    """Whether a symbol is a pair of a coin and a currency."""
    return _SLASH in symbol


def base_of(symbol: str) -> str:
    """The coin of a pair: BTC of BTC/USD."""
    return symbol.partition(_SLASH)[0]


def quote_of(symbol: str) -> str:
    """The currency of a pair: USD of BTC/USD."""
    return symbol.partition(_SLASH)[2]


def position_name(symbol: str) -> str:
    """A symbol as positions are named: BTCUSD of BTC/USD, a share's own."""
    return symbol.replace(_SLASH, "")


def pair_of(name: str) -> str:
    """The pair that a position's name is of: BTC/USD of BTCUSD; a name that is none stays."""
    for quote in _QUOTES:
        base = name.removesuffix(quote)
        if not is_pair(name) and base and base != name:
            return f"{base}{_SLASH}{quote}"
    return name


def withheld(quantity: Decimal, fee_bps: float, step: Decimal) -> Decimal:
    """Coins that a purchase of `quantity` does not bring: the fee, up to the next `step`."""
    fee = quantity * Decimal(repr(float(fee_bps))) / _BPS
    return (fee / step).to_integral_value(ROUND_CEILING) * step
