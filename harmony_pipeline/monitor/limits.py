"""How much of each risk limit is in use: what is used, the limit, and both as a fraction."""

from collections.abc import Iterable
from dataclasses import dataclass

from harmony_pipeline.monitor.changes import Row
from harmony_pipeline.monitor.positions import Position
from harmony_pipeline.risk.settings import RiskSettings


@dataclass(frozen=True)
class Account:
    """The account at a bar's close, in the currency. base: equity when the session began; drawdown:
    from the peak, zero or negative.
    """

    equity: float
    cash: float
    gross: float
    net: float
    drawdown: float
    base: float


def limits_in_use(
    risk: RiskSettings, account: Account, held: Iterable[Position], refused: dict[str, int]
) -> dict[str, Row]:
    """A row for each limit that is on: `used` and `limit` in the same unit, `share` of it, whether
    it is a `fraction` of equity, and how many orders it refused or shrank.
    """
    values: dict[str, float] = {}  # strategies hold a symbol on one side, and their sum counts
    for position in held:
        values[position.symbol] = values.get(position.symbol, 0.0) + (position.value or 0.0)
    equity = account.equity or 1.0
    largest = max(map(abs, values.values()), default=0.0)
    lost = max(0.0, 1.0 - account.equity / account.base) if account.base else 0.0
    used: dict[str, tuple[float, float | None, bool]] = {
        "max_gross_exposure": (account.gross / equity, risk.max_gross_exposure, True),
        "max_net_exposure": (abs(account.net) / equity, risk.max_net_exposure, True),
        "max_position": (largest / equity, risk.max_position, True),
        "max_open_positions": (len(values), risk.max_open_positions, False),
        "max_daily_loss": (lost, risk.max_daily_loss, True),
        "max_drawdown": (-account.drawdown, risk.max_drawdown, True),
        "cash_buffer": _cash(account, risk),
    }
    return {
        name: {
            "name": name,
            "used": amount,
            "limit": limit,
            "share": min(amount / limit, 9.99) if limit else None,
            "fraction": fraction,
            "orders": refused.get(name, 0),
        }
        for name, (amount, limit, fraction) in used.items()
        if limit is not None
    }


def _cash(account: Account, risk: RiskSettings) -> tuple[float, float | None, bool]:
    """Equity that is not cash, of the part that may be spent."""
    if risk.cash_buffer is None:
        return 0.0, None, True
    spent = 1.0 - account.cash / account.equity if account.equity else 0.0
    return max(0.0, spent), 1.0 - risk.cash_buffer, True
