"""HTML without a template engine: a page, sections, tables, tiles.

The law: every text that comes from data goes through `text`, and a page needs nothing but itself (styles and pictures are inside, no network,
no script). Readable on a phone: one column, tables scroll inside their own frame.
"""

import html
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime
from typing import Any

import polars as pl

STYLE = """
:root { color-scheme: light; --ink: #1f2933; --muted: #667380; --line: #e3e7ea; --paper: #ffffff; --tint: #f5f7f8; --accent: #0072B2; --loss: #b94a00; }
* { box-sizing: border-box; }
body { margin: 0; background: var(--tint); color: var(--ink); font: 16px/1.55 system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
main { max-width: 860px; margin: 0 auto; padding: 32px 20px 56px; }
header p, .note { color: var(--muted); margin: 4px 0; }
h1 { font-size: 1.75rem; line-height: 1.2; margin: 0; letter-spacing: -0.01em; overflow-wrap: anywhere; }
h2 { font-size: 1.15rem; margin: 0 0 10px; }
h3 { font-size: 0.95rem; margin: 18px 0 6px; }
section { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 18px 20px; margin: 18px 0; }
section > p { margin: 0 0 12px; }
img { display: block; width: calc(100% + 24px); height: auto; margin: 4px -12px 8px; }
a { color: var(--accent); }
code { font: 0.86em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.tiles { display: grid; grid-template-columns: repeat(4, 1fr); gap: 10px; margin: 18px 0; }
.tile { background: var(--paper); border: 1px solid var(--line); border-radius: 10px; padding: 12px 14px; }
.tile span { display: block; color: var(--muted); font-size: 0.82rem; line-height: 1.35; }
.tile strong { display: block; font-size: 1.4rem; line-height: 1.3; font-variant-numeric: tabular-nums; }
.scroll { overflow-x: auto; margin: 0 -4px; padding: 0 4px; }
table { border-collapse: collapse; width: 100%; font-size: 0.9rem; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; color: var(--muted); font-size: 0.8rem; }
th, td { padding: 6px 18px 6px 0; border-bottom: 1px solid var(--line); vertical-align: top; }
tr > :last-child { padding-right: 0; }
tbody tr:last-child > * { border-bottom: 0; }
.number { text-align: right; }
td.number { white-space: nowrap; }
td:first-child { min-width: 6.5em; }
.moment { white-space: nowrap; }
.note { font-size: 0.9rem; }
table + .note, .scroll + .note { margin-top: 12px; }
.quiet { color: var(--muted); }
.good { color: var(--accent); font-weight: 600; white-space: nowrap; }
.bad { color: var(--loss); font-weight: 600; white-space: nowrap; }
.verdict { border-left: 4px solid var(--line); padding: 4px 0 4px 12px; margin: 0 0 12px; }
.verdict.good { border-color: var(--accent); white-space: normal; }
.verdict.bad { border-color: var(--loss); white-space: normal; }
details { margin: 10px 0 0; }
summary { cursor: pointer; color: var(--accent); }
footer { color: var(--muted); font-size: 0.82rem; margin-top: 28px; }
@media (max-width: 620px) { .tiles { grid-template-columns: 1fr 1fr; } th, td { padding-right: 12px; } main { padding: 20px 12px 40px; } section { padding: 14px; } h1 { font-size: 1.4rem; } }
@media print { body { background: #fff; } section, .tile { break-inside: avoid; } }
"""

DASH = "–"


@dataclass(frozen=True)
class Html:
    """Text that is already markup; anything else is escaped when it is put on a page."""

    markup: str


def text(value: object) -> str:
    """`value` safe inside a page; a dash for nothing."""
    if isinstance(value, Html):
        return value.markup
    return DASH if value is None else html.escape(str(value), quote=True)


def page(title: str, subtitle: Sequence[object], body: Iterable[str], footer: str = "") -> str:
    """A whole document: header with its lines, the sections, a footer."""
    lines = "".join(f"<p>{text(line)}</p>" for line in subtitle)
    foot = f"<footer>{text(footer)}</footer>" if footer else ""
    return (
        f'<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{text(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n<main>\n<header><h1>{text(title)}</h1>{lines}</header>\n"
        + "\n".join(part for part in body if part)
        + f"\n{foot}</main>\n</body>\n</html>\n"
    )


def section(heading: str, *parts: str, note: str = "") -> str:
    """A titled block; nothing at all when it has no parts."""
    inside = "".join(part for part in parts if part)
    line = f'<p class="note">{text(note)}</p>' if note else ""
    return f"<section><h2>{text(heading)}</h2>{line}{inside}</section>" if inside else ""


def tiles(figures: Iterable[tuple[str, str, str]]) -> str:
    """The few numbers that matter: (name, value, a word beside it)."""
    cells = (f'<div class="tile"><span>{text(name)}</span><strong>{text(value)}</strong><span>{text(aside)}</span></div>' for name, value, aside in figures)
    return f'<div class="tiles">{"".join(cells)}</div>'


Cell = Callable[[Any], object]


def table(headings: Mapping[str, str], rows: Iterable[Mapping[str, Any]], cells: Mapping[str, Cell] | None = None, words: Sequence[str] = ()) -> str:
    """A table of `headings` (column -> what stands above it). `cells` format a column; `words` are columns that read from the left."""
    formats = cells or {}

    def kind(name: str) -> str:
        return "" if name in words else ' class="number"'

    head = "".join(f'<th scope="col"{kind(name)}>{text(heading)}</th>' for name, heading in headings.items())
    body = "".join("<tr>" + "".join(f"<td{kind(name)}>{text(formats.get(name, plain)(row.get(name)))}</td>" for name in headings) + "</tr>" for row in rows)
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>' if body else ""


def frame_table(frame: pl.DataFrame, headings: Mapping[str, str], cells: Mapping[str, Cell] | None = None, words: Sequence[str] = ()) -> str:
    """The same from a frame."""
    return table(headings, frame.iter_rows(named=True), cells, words)


def folded(summary: str, inside: str) -> str:
    """Something for those who want to look closer."""
    return f"<details><summary>{text(summary)}</summary>{inside}</details>" if inside else ""


def verdict(passed: bool, sentence: str) -> str:
    """One sentence that carries the decision."""
    return f'<p class="verdict {"good" if passed else "bad"}">{text(sentence)}</p>'


def mark(passed: bool | None) -> Html:
    """Passed or failed, in words as well as in colour."""
    if passed is None:
        return Html(f'<span class="quiet">{DASH}</span>')
    return Html('<span class="good">✓ passed</span>' if passed else '<span class="bad">✗ failed</span>')


def plain(value: object) -> object:
    """Numbers short, times to the minute, the rest as it is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else DASH
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, date):
        return value.isoformat()
    return value


def fraction(decimals: int = 1) -> Callable[[float | None], str]:
    """A fraction as signed percent."""

    def write(value: float | None) -> str:
        return DASH if value is None or not math.isfinite(value) else f"{value:+.{decimals}%}"

    return write


def share(decimals: int = 1) -> Callable[[float | None], str]:
    """A part of a whole as percent, without a sign."""

    def write(value: float | None) -> str:
        return DASH if value is None or not math.isfinite(value) else f"{value:.{decimals}%}"

    return write


def fixed(decimals: int = 2) -> Callable[[float | None], str]:
    """A number with that many decimals and thousands apart."""

    def write(value: float | None) -> str:
        return DASH if value is None or not math.isfinite(value) else f"{value:,.{decimals}f}"

    return write


def day(value: datetime | date | None) -> str:
    """Only the date."""
    return DASH if value is None else f"{value:%Y-%m-%d}"


def clock(value: datetime | None) -> str:
    """Only the time, UTC."""
    return DASH if value is None else f"{value:%H:%M:%S}"


def words(value: str | None) -> str:
    """A column's or rule's name as words."""
    return DASH if value is None else value.replace("_", " ")
