"""Whether the first bytes of a text are those of a table of bars, rather than of a note."""

from harmony_pipeline.market.sources.columns import names_prices
from harmony_pipeline.market.sources.text_forms import find_delimiter, from_column_names
from harmony_pipeline.market.sources.vendors.nameless_tables import find_layout

SNIFFED = 16_384  # bytes that are looked at


def looks_like_bars(head: bytes) -> bool:
    """Whether a text that begins so has columns named like prices, or rows of a known form."""
    encoding = "utf-16" if head[:2] in {b"\xff\xfe", b"\xfe\xff"} else "utf-8-sig"
    text = head[: len(head) // 2 * 2].decode(encoding, errors="replace")
    whole = text.splitlines()[: -1 if len(head) == SNIFFED else None]
    lines = from_column_names([line for line in whole if line.strip()])
    if not lines[0]:
        return False
    delimiter = find_delimiter(lines[0])
    named = names_prices(lines[0].split(delimiter))
    return named or find_layout(lines, delimiter) is not None
