"""The account, positions and trades of a session's portfolio as rows with names."""

from collections.abc import Sequence
from typing import Any

from harmony_pipeline.portfolio.kernel_types import MONEY, REASON_NAMES, Record, Records

Owners = Sequence[tuple[str | None, str]]  # of each position: the strategy (None: one) and symbol


def equity_row(account: Record) -> dict[str, Any]:
    """The ACCOUNT record at this moment, in money units."""
    equity, peak = int(account["equity"]), int(account["peak"])
    return {
        "equity": equity,
        "cash": int(account["cash"]),
        "gross": int(account["gross_value"]),
        "net": int(account["net_value"]),
        "drawdown": equity / peak - 1.0,
    }


def position_rows(owners: Owners, positions: Records) -> list[dict[str, Any]]:
    """What is held: the columns of `session_positions`; levels as raw prices of the entry bar."""
    rows = []
    for (strategy, symbol), position in zip(owners, positions, strict=True):
        if position["quantity"] != 0.0:
            protected = bool(position["legs_working"])
            rows.append(
                {
                    "strategy": strategy,
                    "symbol": symbol,
                    "quantity": float(position["quantity"]),
                    "entry_price": float(position["entry_price"]),
                    "last_price": float(position["last_price"]),
                    "stop_price": float(position["stop_level"]) if protected else None,
                    "take_profit_price": float(position["take_level"]) if protected else None,
                }
            )
    return rows


def trade_row(owners: Owners, trade: Record) -> dict[str, Any]:
    """A TRADE record by its names; times in microseconds since 1970, money in currency."""
    strategy, symbol = owners[trade["symbol"]]
    return {
        "strategy": strategy,
        "symbol": symbol,
        "side": "long" if trade["side"] > 0 else "short",
        "quantity": float(trade["quantity"]),
        "entry_timestamp": int(trade["entry_bar"]),
        "entry_price": float(trade["entry_price"]),
        "exit_timestamp": int(trade["exit_bar"]),
        "exit_price": float(trade["exit_price"]),
        "exit_reason": REASON_NAMES[trade["exit_reason"]],
        "fees": int(trade["fees"]) / MONEY,
        "pnl": int(trade["pnl"]) / MONEY,
        "entry_value": int(trade["entry_value"]) / MONEY,
    }


def shares_by_symbol(owners: Owners, positions: Records) -> dict[str, float]:
    """Signed shares by symbol, of positions that are `owners`' (strategy, symbol)."""
    held: dict[str, float] = {}
    for (_, symbol), position in zip(owners, positions, strict=True):
        if position["quantity"] != 0.0:
            held[symbol] = held.get(symbol, 0.0) + float(position["quantity"])
    return held
