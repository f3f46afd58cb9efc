"""Names of orders, pure functions of what happened.

An intent is `AAPL-20240305T150000-entry`: symbol, moment of the decision, role. The same intent is
decided by many backtests and by the session of that day, so its order is named within its book: the
backtest, or the account of the session. `order_id` is therefore unique over the lake, and an exit
finds its entry also when an earlier session of the account placed it.

    order   crossover-1f3a9c0e12345678-AAPL-20240305T150000-entry, paper-AAPL-20240305T150000-entry
    fill    the order's id and a number from 1
    trade   book, symbol and decision of the entry
"""

from datetime import datetime

STAMP = "%Y%m%dT%H%M%S"


def intent_name(symbol: str, decided_at: datetime, role: str) -> str:
    """What was decided, whoever decided it."""
    return f"{symbol}-{decided_at.strftime(STAMP)}-{role}"


def order_id(book: str, intent: str) -> str:
    """The order of an intent in one backtest or account."""
    return f"{book}-{intent}"
