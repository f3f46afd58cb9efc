"""What a page is told: tables of rows under keys, and changes to them.

A change is `{table: {key: row}}`; None instead of a row takes it away. The last word about a key
counts, so changes can be merged: a page that reads slowly gets fewer, not later ones.
"""

from collections.abc import Iterable
from typing import Any

Row = dict[str, Any]
Changes = dict[str, dict[str, Row | None]]

SESSION, WATCH, BARS, ORDERS, FILLS = "session", "watch", "bars", "orders", "fills"
POSITIONS, EQUITY, LIMITS, HEALTH = "positions", "equity", "limits", "health"
SCANNER, EVENTS, LOG = "scanner", "events", "log"

PASSING = frozenset({BARS})
"""Tables that a page keeps for itself: the server forgets their rows when it has sent them."""

MOST_ROWS = {ORDERS: 1_000, FILLS: 1_000, EQUITY: 3_000, SCANNER: 600, EVENTS: 300, LOG: 200}
"""Rows of a table that are kept; the oldest leave first."""


def merge(several: Iterable[Changes]) -> Changes:
    """All of the changes in one, later words over earlier ones."""
    merged: Changes = {}
    for changes in several:
        for table, rows in changes.items():
            kept = merged.setdefault(table, {})
            for key, row in rows.items():
                kept.pop(key, None)  # to the end: the order is that of the last words
                kept[key] = row
    return merged


def milliseconds(micros: int) -> int:
    """The unit of time in a page."""
    return micros // 1000
