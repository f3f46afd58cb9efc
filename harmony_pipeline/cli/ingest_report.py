"""What an ingest received and what became of it, and what the reading of headlines brought."""

from collections.abc import Mapping
from typing import Any

from harmony_pipeline.cli.scan_report import report_console
from harmony_pipeline.text import message


def print_ingest(raw: Mapping[str, Any], bars: Mapping[str, Any]) -> None:
    """What an ingest received and what became of it, and what both stages remarked on; given what
    `raw_bars` and `bars` had to show.
    """
    console = report_console()
    console.print(_received(raw))
    kept, refused = bars.get("rows in bars", 0), bars.get("rows in quarantine", 0)
    console.print(
        f"{raw.get('rows in raw_bars', 0):,} raw rows in these periods: {kept:,} bars, {refused:,}"
        f" in quarantine, {bars.get('rows in warnings', 0):,} warnings"
    )
    for note in (*str(raw.get("notes", "")).splitlines(), *str(bars.get("notes", "")).splitlines()):
        console.print(message(note), soft_wrap=True, markup=False)


def print_news(news: Mapping[str, Any]) -> None:
    """What the reading of headlines brought, given what `news` had to show; nothing where it was
    not made.
    """
    if "rows received" not in news:
        return
    console = report_console()
    console.print(
        f"{news['rows received']:,} rows of news received: {news['new headlines']:,} new headlines,"
        f" {news['repeats and rows known before']:,} repeated or known before,"
        f" {news['quarantined']:,} in quarantine"
    )
    for note in str(news.get("notes", "")).splitlines():
        console.print(message(note), soft_wrap=True, markup=False)


def _received(raw: Mapping[str, Any]) -> str:
    """Where every received row went, and what was not received; only what there is is named."""
    count = {name: raw.get(name) or 0 for name in _RECEIVED}
    parts = [f"{count['new rows']:,} new"]
    if count["of these corrections"]:
        parts[0] += f" ({count['of these corrections']:,} of them corrections)"
    parts += [f"{count[name]:,} {told}" for name, told in _RECEIVED.items() if told and count[name]]
    text = f"{count['rows received']:,} rows received: {', '.join(parts)}"
    if count["rows withdrawn"]:
        text += f"; {count['rows withdrawn']:,} that were given before withdrawn"
    if count["rows outside the range"]:
        text += f"; {count['rows outside the range']:,} more rows lie outside the market's range"
    return text


_RECEIVED = {
    "rows received": "",
    "new rows": "",
    "of these corrections": "",
    "rows given twice": "given twice",
    "rows known before": "known before",
    "rows withdrawn": "",
    "rows outside the range": "",
}
