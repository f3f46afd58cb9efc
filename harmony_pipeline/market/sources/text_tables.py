"""The tables in a text file, packed or not, whoever wrote it: unpacked, then read in the form that
its content shows.
"""

from collections.abc import Iterator
from pathlib import Path

from harmony_pipeline.market.sources.delimited_text import TextTable, parse_text
from harmony_pipeline.market.sources.text_forms import text_form
from harmony_pipeline.market.sources.unpacking import TextLimits, unpack_texts
from harmony_pipeline.market.sources.vendors.databento_binary import MAGIC as DBN
from harmony_pipeline.market.sources.vendors.databento_binary import read_bars_of_dbn
from harmony_pipeline.market.sources.vendors.lean import is_named_by_lean, read_lean


def read_text_tables(
    path: Path, origin: str, limits: TextLimits | None = None
) -> Iterator[TextTable]:
    """The tables in a text file: one, or several. An empty file gives a table without columns.
    Raises DataError.
    """
    for text in unpack_texts(path, origin, limits or TextLimits()):
        if text.data.startswith(DBN):
            yield read_bars_of_dbn(text.data, text.origin, text.stem)
            continue
        named_by_lean = is_named_by_lean(text.member)
        form = text_form(text.data, text.origin, named_by_lean=named_by_lean)
        if named_by_lean or form.is_dated_lean:
            yield read_lean(form, path, text.member, text.origin)
        else:
            yield from parse_text(form, text.origin, text.stem)
