"""No page leads nowhere, on GitHub as on the site, and what a page names exists."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml  # type: ignore[import-untyped]

from docs_site.links import ROOT, anchors_of, dead_links, links_of
from docs_site.reference import PAGES
from docs_site.site_pages import page_of, rewritten
from harmony_pipeline.cli.invocation import VERBS

DOCS = sorted((ROOT / "docs").rglob("*.md"))
TEXTS = {
    path.relative_to(ROOT).as_posix(): path.read_text(encoding="utf-8")
    for path in [*DOCS, *sorted(ROOT.glob("*.md")), ROOT / "findings" / "README.md"]
}


PROMISED = {"docs/deployment.md"}
"""Pages that are named before they are written; each is looked at once it is there."""


@pytest.mark.parametrize("page", TEXTS)
def test_every_link_leads_somewhere(page):
    lost = dead_links(page, TEXTS[page])
    assert [line for line in lost if line.rpartition("there is no ")[2] not in PROMISED] == []


def test_a_dead_link_is_found_with_its_line():
    text = "# A\n\n[x](time.md) [y](nosuch.md) [z](gate.md#nosuch) `[code](nosuch.md)`\n![p](images/no.png)\n"
    assert dead_links("docs/a.md", text) == [
        "docs/a.md:3: nosuch.md: there is no docs/nosuch.md",
        "docs/a.md:3: gate.md#nosuch: docs/gate.md has no heading with this anchor",
        "docs/a.md:4: images/no.png: there is no docs/images/no.png",
    ]


def test_anchors_are_those_of_github():
    text = "# A `code`, and: more\n## Same\n## Same\n```\n# no heading\n```\n### [Link](x.md) 1.5\n"
    assert anchors_of(text) == ["a-code-and-more", "same", "same-1", "link-15"]


def test_links_of_the_site_lead_to_pages_of_the_site():
    text = "[a](../harmony.toml) [b](time.md#where-bars-start) [c](../README.md) [d](../examples)"
    assert rewritten("docs/guides/x.md", text.replace("](", "](../")) == (
        "[a](../source/harmony.toml.md) [b](../time.md#where-bars-start) [c](../index.md)"
        " [d](../source/examples.md)"
    )
    assert page_of("docs/guides/feature.md") == "guides/feature.md"
    assert [link.file for link in links_of("docs/guides/x.md", "[t](../time.md)")] == [
        "docs/time.md"
    ]


def test_the_navigation_names_pages_that_exist():
    """A page that it forgets stands under "More"; one that does not exist yet is left out."""
    text = re.sub(r"!!python/\S+", "", (ROOT / "mkdocs.yml").read_text())
    made = {f"api/{page.name}.md" for page in PAGES} | {"changelog.md", "contributing.md"}
    absent = [
        page for page in _pages(yaml.safe_load(text)["nav"])
        if page not in made and not (ROOT / "docs" / page).exists()
    ]  # fmt: skip
    assert {f"docs/{page}" for page in absent} <= PROMISED


def _pages(nav: list) -> Iterator[str]:
    for entry in nav:
        for value in [entry] if isinstance(entry, str) else entry.values():
            yield from _pages(value) if isinstance(value, list) else [value]


def _named(pattern: str) -> list[tuple[str, str]]:
    return [(page, found) for page, text in TEXTS.items() for found in re.findall(pattern, text)]


def test_files_that_a_page_names_exist():
    rooms = ("", "harmony_pipeline/", "docs/", "tests/", "assets/")
    elsewhere = {"scrapers/history.py", "data/models/bars.py"}  # of vendors' libraries
    elsewhere |= {"logs/harmony.jsonl", "sessions/ID.bars.jsonl"}  # of the state folder
    named = _named(r"`((?:[\w-]+/)+[\w.-]+\.(?:py|sql|toml|md|sh|ipynb|jsonl))`")
    assert len(named) > 60
    own = {path.parent.name for path in (ROOT / "harmony_pipeline").rglob("*.py")}
    lost = [
        (page, name)
        for page, name in named
        if name not in elsewhere
        and not any((ROOT / room / name).exists() for room in rooms)
        and not (name.split("/")[0] in own and list((ROOT / "harmony_pipeline").rglob(name)))
    ]
    assert lost == []


def test_commands_that_a_page_names_exist():
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE))
    queries = {path.stem for path in (ROOT / "sql" / "queries").glob("*.sql")}
    lost = [one for one in _named(r"(?:^|`)make ([a-z]+)") if one[1] not in targets]
    verbs = _named(r"`(?:\.venv/bin/)?harmony(?: --[\w-]+ \S+)* ([a-z]+)")
    lost += [one for one in verbs if one[1] not in VERBS]
    lost += [one for one in _named(r"harmony sql ([a-z]+_[a-z_]+)") if one[1] not in queries]
    modules = _named(r"python -m ((?:harmony_pipeline|tests|benchmarks)[\w.]*)")
    lost += [one for one in modules if not (ROOT / one[1].replace(".", "/")).exists()
             and not (ROOT / (one[1].replace(".", "/") + ".py")).exists()]  # fmt: skip
    assert lost == []
    assert len(verbs) > 60


def test_every_example_is_told_of():
    told = TEXTS["docs/examples.md"] + TEXTS["docs/python.md"]
    files = [*(ROOT / "examples").glob("*.toml"), *(ROOT / "examples").glob("*.py")]
    assert [path.name for path in files if path.stem not in told] == []


def test_pictures_are_shown():
    shown = {Path(link.file).name for page, text in TEXTS.items() for link in links_of(page, text)}
    drawn = {path.name for path in (ROOT / "docs" / "images").iterdir()} - {"favicon.svg"}
    assert drawn <= shown
