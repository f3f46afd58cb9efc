"""Foreign text in Harmony's own messages.

Cells, column names and file names come from outside. They may be very long and may hold control
characters that a terminal executes. Every message passes them through `excerpt` (one value) or
`escape` (a whole line) before it is printed or stored.
"""

import re
from collections.abc import Iterable
from datetime import datetime

CELL, NAME, LINE = 80, 40, 200  # characters shown of a cell, of a name, of any other text
_MESSAGE = 4_000  # characters of a whole message
CONTROL = r"[\x00-\x1f\x7f-\x9f\u200e\u200f\u202a-\u202e\u2028\u2029\u2066-\u2069\ufeff]"
_CONTROL_PATTERN = re.compile(CONTROL)
_PASSWORD_IN_VALUE = re.compile(r":.*@|password\s*=", re.IGNORECASE | re.DOTALL)


def escape(text: str) -> str:
    """`text` with control characters and line breaks written as their escapes."""
    return _CONTROL_PATTERN.sub(lambda found: found[0].encode("unicode_escape").decode(), text)


def excerpt(text: object, most: int = CELL) -> str:
    """The first `most` characters of `text`, escaped, with the full length if it was cut."""
    whole = str(text)
    more = f"... ({len(whole):,} characters)" if len(whole) > most else ""
    return escape(whole[:most]) + more


def listing(names: Iterable[str], most: int = 12) -> str:
    """Names in quotes, each cut to a readable length, at most `most` of them."""
    whole = list(names)
    shown = ", ".join(f"'{excerpt(name, NAME)}'" for name in whole[:most])
    return f"{shown}, ... ({len(whole)} in all)" if len(whole) > most else shown or "none"


def printable(text: object, limit: int = LINE) -> str:
    r"""A longer excerpt, for what is no cell: the first `limit` characters of `text`, escaped.

    >>> printable("a\x1b[31mb")
    'a\\x1b[31mb'
    """
    return excerpt(text, limit)


def message(text: str) -> str:
    """A whole message for a terminal: escaped except for line breaks, and limited in length."""
    lines = (escape(line) for line in text[:_MESSAGE].split("\n"))
    return "\n".join(lines) + ("..." if len(text) > _MESSAGE else "")


def holds_password(text: str) -> bool:
    """Whether an address, written in whatever way, seems to have a password inside: what follows a
    colon after the scheme and comes before an @, or a parameter of that name.
    """
    return bool(_PASSWORD_IN_VALUE.search(text.partition("://")[2] or text))


def one_line(text: str) -> str:
    """`text` with each line break and its surrounding spaces as a single space."""
    return " ".join(text.split())


def duration(milliseconds: float) -> str:
    """`40 ms`, `9.0 s`, `15 min` or `1.5 h`."""
    for limit, length, unit in ((1e3, 1.0, "ms"), (90e3, 1e3, "s"), (5_400e3, 60e3, "min")):
        if milliseconds < limit:
            return f"{milliseconds / length:.{1 if unit == 's' else 0}f} {unit}"
    return f"{milliseconds / 3_600e3:,.1f} h"


def clock_time(moment: datetime) -> str:
    """`2024-03-05 15:30`, or `2024-03-05 15:30:05` between two minutes."""
    return f"{moment:%Y-%m-%d %H:%M:%S}" if moment.second else f"{moment:%Y-%m-%d %H:%M}"
