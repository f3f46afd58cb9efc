"""The links of Markdown pages, and where each leads: to a heading, a file of the repository, or
nowhere.

A page is named by its path in the repository. Links are those of GitHub: relative to the page, with
anchors as GitHub makes them of headings. The site rewrites them (`site_pages.py`), so both work.
"""

import posixpath
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

ROOT = Path(__file__).resolve().parent.parent
_FENCE = re.compile(r"^ *(`{3,}|~{3,}).*?^ *\1[`~]*[ \t]*$", re.MULTILINE | re.DOTALL)
_CODE = re.compile(r"(`+)(?!`).+?(?<!`)\1(?!`)", re.DOTALL)
_LINK = re.compile(r"(?<!\\)\]\(<?(?P<target>[^)\s>]+)>?(?: +\"[^\"]*\")?\)")
_IMAGE = re.compile(r"<img[^>]* src=\"(?P<target>[^\"]+)\"")
_HEADING = re.compile(r"^(#{1,6}) +(.+?) *#*$", re.MULTILINE)
_OUTSIDE = re.compile(r"^[a-z][a-z0-9+.-]*:", re.IGNORECASE)


class Link(NamedTuple):
    """One link of a page: where its target stands in the text, and what it names. file: a path in
    the repository; anchor: "" without one.
    """

    start: int
    end: int
    target: str
    file: str
    anchor: str


def without_code(text: str) -> str:
    """The text with code blanked out, so that places stay where they are."""
    blanked = _FENCE.sub(lambda found: _blank(found.group()), text)
    return _CODE.sub(lambda found: _blank(found.group()), blanked)


def links_of(page: str, text: str) -> Iterator[Link]:
    """The links of a page that stay in the repository."""
    prose = without_code(text)
    for pattern in (_LINK, _IMAGE):
        for found in pattern.finditer(prose):
            target = found["target"]
            if _OUTSIDE.match(target):
                continue
            path, _, anchor = target.partition("#")
            file = posixpath.normpath(posixpath.join(posixpath.dirname(page), path))
            yield Link(*found.span("target"), target, file if path else page, anchor)


def anchors_of(text: str) -> list[str]:
    """The anchors that GitHub gives the headings of a page, in order."""
    taken: dict[str, int] = {}
    anchors = []
    for _, heading in _HEADING.findall(_FENCE.sub(lambda found: _blank(found.group()), text)):
        plain = re.sub(r"\[([^\]]*)\]\([^)]*\)", r"\1", heading)
        slug = re.sub(r"[^\w\- ]", "", plain.replace("`", "").lower()).replace(" ", "-")
        count = taken.get(slug, 0)
        taken[slug] = count + 1
        anchors.append(f"{slug}-{count}" if count else slug)
    return anchors


def dead_links(page: str, text: str) -> list[str]:
    """One line for each link of the page that leads nowhere."""
    found = []
    for link in links_of(page, text):
        place = ROOT / link.file
        line = f"{page}:{text.count(chr(10), 0, link.start) + 1}: {link.target}"
        if not place.exists():
            found.append(f"{line}: there is no {link.file}")
        elif link.anchor and place.suffix == ".md" and link.anchor not in _anchors(place):
            found.append(f"{line}: {link.file} has no heading with this anchor")
    return found


@cache
def _anchors(place: Path) -> frozenset[str]:
    return frozenset(anchors_of(place.read_text(encoding="utf-8")))


def _blank(text: str) -> str:
    return re.sub(r"[^\n]", " ", text)
