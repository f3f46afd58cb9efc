"""What the exchange knows at a moment: the account, its orders, prices. `Venue` changes it;
`admission.py` and `account_views.py` read it.
"""

from collections.abc import Iterable
from datetime import datetime
from decimal import Decimal

from harmony_pipeline.exchange.books import Books
from harmony_pipeline.exchange.market import ReplayMarket
from harmony_pipeline.exchange.orders import Json, VenueOrder
from harmony_pipeline.instants import moment

CONFIGURATIONS: Json = {
    "dtbp_check": "entry", "fractional_trading": True, "max_margin_multiplier": "4",
    "no_shorting": False, "pdt_check": "entry", "suspend_trade": False,
    "trade_confirm_email": "all", "ptp_no_exception_entry": False,
}  # fmt: skip


class VenueState:
    """One account over one market; times in microseconds UTC."""

    def __init__(self, market: ReplayMarket, multiplier: int, seed: int) -> None:
        self.market, self.multiplier, self.seed = market, multiplier, seed
        self.books = Books()
        self.orders: dict[str, VenueOrder] = {}
        self.marks: dict[str, float] = {}
        self.marked_at: dict[str, int] = {}
        self.volatility: dict[str, float] = {}
        self.entry_prices: dict[str, Decimal] = {}
        self.entry_volatility: dict[str, float] = {}
        self.configurations: Json = {**CONFIGURATIONS}
        self.blocked = False
        self.halted: set[str] = set()
        self._time = market.start
        self._open: dict[str, dict[str, VenueOrder]] = {name: {} for name in market.symbols}

    @property
    def now(self) -> datetime:
        """The exchange's clock."""
        return moment(self._time)

    def working(self, symbol: str) -> Iterable[VenueOrder]:
        """Open orders of a symbol."""
        return list(self._open[symbol].values())
