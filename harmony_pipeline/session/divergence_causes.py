"""Why a row of a session differs from the backtest of its day, in one word and a sentence.

reject   the broker, or our own gate, refused an order that the backtest placed
timing   both have the order or the fill, at another bar
signal   only one of both decided it
fill     another price or quantity
fee      another fee
data     an equity row whose orders and fills are the same
"""

import json
from collections.abc import Mapping
from typing import Any

_FILLED = ("quantity", "price", "reference_price", "slippage", "liquidity")


def cause_of(row: Mapping[str, Any]) -> str:
    """The cause of a DIVERGENCE row that is not equal."""
    live, tested = _fields(row["live"]), _fields(row["backtest"])
    kind = row["kind"]
    if live is None or tested is None:
        where = "the backtest" if live is None else "the session"
        if kind == "fill":
            return f"timing: only {where} has this fill in this bar"
        if live is not None and live.get("status") in ("refused", "rejected"):
            return f"reject: {live.get('reason')}"
        return f"signal: only {where} decided it"
    names = [name for name in live if live[name] != tested.get(name)]
    shown = ", ".join(f"{name} {live[name]} for {tested.get(name)}" for name in names)
    if kind == "equity":
        return f"data: follows from other prices or fills ({shown})"
    if kind == "fill":
        return f"{'fill' if any(name in _FILLED for name in names) else 'fee'}: {shown}"
    if live.get("status") in ("refused", "rejected"):
        return f"reject: {live.get('reason')}"
    return f"{'timing' if names == ['status'] else 'signal'}: {shown}"


def _fields(text: str | None) -> dict[str, Any] | None:
    return None if text is None else json.loads(text)
