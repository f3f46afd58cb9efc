"""The front page: every report there is, the newest first where time matters."""

from collections.abc import Sequence
from dataclasses import dataclass

from harmony_pipeline.reports.page import Html, page, section, table, text


@dataclass(frozen=True)
class IndexEntry:
    """A link: group (heading it stands under), title, href relative to the index, a line about it."""

    group: str
    title: str
    href: str
    line: str = ""


def index_page(entries: Sequence[IndexEntry], title: str = "Harmony reports") -> str:
    """The page as one string. Groups come in the order of their first entry; entries keep the order given."""
    groups = dict.fromkeys(entry.group for entry in entries)
    parts = []
    for group in groups:
        rows = [{"report": Html(f'<a href="{text(entry.href)}">{text(entry.title)}</a>'), "line": entry.line} for entry in entries if entry.group == group]
        parts.append(section(group, table({"report": "report", "line": ""}, rows, words=("report", "line"))))
    empty = section("Nothing yet", "<p>No report has been made. Make the first with <code>harmony run</code>.</p>")
    return page(title, [f"{len(entries)} reports"], parts or [empty])
