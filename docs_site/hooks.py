"""What MkDocs calls while it builds the site (`mkdocs.yml`, `hooks`)."""

import posixpath
from pathlib import Path
from typing import Any

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page

from docs_site.links import ROOT
from docs_site.reference import PAGES, reference_page
from docs_site.site_pages import linked_files, page_of, rewritten, source_page

OWN = ("javascripts/iframe-worker.js", "stylesheets/site.css")


def on_config(config: MkDocsConfig) -> MkDocsConfig:
    """Leave out entries of the navigation whose page does not exist yet, and name pages that it
    forgot under its last heading, so that no page is lost.
    """
    docs = Path(config.docs_dir)
    assert config.nav is not None
    made = {f"api/{page.name}.md" for page in PAGES} | {"changelog.md", "contributing.md"}
    config.nav = _existing(config.nav, lambda page: page in made or (docs / page).exists())
    named = set(_pages(config.nav))
    more = [
        page
        for page in sorted(file.relative_to(docs).as_posix() for file in docs.rglob("*.md"))
        if page not in named
    ]
    if more:
        config.nav.append({"More": more})
    return config


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages that are made, and the site's own script and styles."""
    pages = {f"docs/{file.src_uri}": file.content_string for file in files.documentation_pages()}
    for path in ("CHANGELOG.md", "CONTRIBUTING.md"):
        pages[path] = (ROOT / path).read_text(encoding="utf-8")
        _add(files, config, page_of(path), rewritten(path, pages[path]))
    for path in linked_files(pages):
        _add(files, config, page_of(path), source_page(path), InclusionLevel.NOT_IN_NAV)
    for page in PAGES:
        _add(files, config, f"api/{page.name}.md", reference_page(page))
    for name in OWN:
        files.append(File.generated(config, name, content=(ROOT / "docs_site" / name).read_bytes()))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Lead links into the repository to pages of the site."""
    if page.file.generated_by:
        return markdown
    return rewritten(posixpath.join("docs", page.file.src_uri), markdown)


def _add(
    files: Files,
    config: MkDocsConfig,
    name: str,
    text: str,
    inclusion: InclusionLevel = InclusionLevel.UNDEFINED,
) -> None:
    files.append(File.generated(config, name, content=text, inclusion=inclusion))


def _existing(nav: list[Any], exists: Any) -> list[Any]:
    kept: list[Any] = []
    for entry in nav:
        if isinstance(entry, str):
            kept += [entry] if exists(entry) else []
            continue
        [(title, value)] = entry.items()
        if isinstance(value, list):
            kept.append({title: _existing(value, exists)})
        elif exists(value):
            kept.append(entry)
    return kept


def _pages(nav: list[Any]) -> list[str]:
    found: list[str] = []
    for entry in nav:
        values = [entry] if isinstance(entry, str) else list(entry.values())
        for value in values:
            found += _pages(value) if isinstance(value, list) else [value]
    return found
