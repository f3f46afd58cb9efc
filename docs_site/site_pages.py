"""Pages of the site that are no files of `docs/`: the changelog, files and folders of the
repository to which a page links, and the reference made of docstrings.
"""

import ast
import json
import posixpath
import re
from pathlib import Path

from docs_site.links import ROOT, links_of

_LANGUAGES = {".py": "python", ".toml": "toml", ".sql": "sql", ".sh": "bash", ".json": "json"}
_PROJECT = {
    "README.md": "index.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
}


def page_of(path: str) -> str:
    """The page of the site that shows a path of the repository."""
    if path in _PROJECT:
        return _PROJECT[path]
    if path.startswith("docs/"):
        return path.removeprefix("docs/")
    return f"source/{path}.md"


def rewritten(path: str, text: str) -> str:
    """The text of a Markdown file of the repository with its links leading to pages of the site."""
    here = posixpath.dirname(page_of(path))
    parts, end = [], 0
    for link in sorted(links_of(path, text)):
        if link.file == path or not (ROOT / link.file).exists():
            continue
        target = posixpath.relpath(page_of(link.file), here or ".")
        anchor = f"#{link.anchor}" if link.anchor and link.file.endswith(".md") else ""
        parts += [text[end : link.start], target + anchor]
        end = link.end
    return "".join([*parts, text[end:]])


def linked_files(pages: dict[str, str]) -> list[str]:
    """Files and folders of the repository, outside `docs/`, to which some page leads, directly or
    by a folder. pages: text by path.
    """
    found: set[str] = set()
    for page, text in pages.items():
        found |= {link.file for link in links_of(page, text)}
    outside = {
        path
        for path in found
        if not path.startswith("docs/") and path not in _PROJECT and (ROOT / path).exists()
    }
    for folder in [path for path in outside if (ROOT / path).is_dir()]:
        outside |= {f"{folder}/{name}" for name in _shown_in(folder)}
    return sorted(outside)


def source_page(path: str) -> str:
    """A page that shows a file as it stands, a notebook by its cells, or what a folder holds."""
    place = ROOT / path
    head = f"---\nsearch:\n  exclude: true\ntitle: {place.name}\n---\n\n"
    if place.is_dir():
        return head + _folder_page(path)
    if place.suffix == ".md":
        return head + rewritten(path, place.read_text(encoding="utf-8"))
    if place.suffix == ".ipynb":
        return head + notebook_page(place)
    text = place.read_text(encoding="utf-8")
    return f"{head}# {place.name}\n\n`{path}`\n\n{_fenced(text, _LANGUAGES.get(place.suffix, ''))}"


def notebook_page(place: Path) -> str:
    """The cells of a notebook, with the outputs that stand in it."""
    parts = []
    for cell in json.loads(place.read_text(encoding="utf-8"))["cells"]:
        text = "".join(cell["source"])
        parts.append(text if cell["cell_type"] == "markdown" else _fenced(text, "python"))
        parts += [_output(one) for one in cell.get("outputs", ())]
    return "\n\n".join(part for part in parts if part) + "\n"


def _output(output: dict[str, object]) -> str:
    data = output.get("data", {})
    assert isinstance(data, dict)
    if "text/html" in data:
        return "".join(data["text/html"])
    text = data.get("text/plain", output.get("text", ""))
    return _fenced("".join(text), "text") if text else ""


def _shown_in(folder: str) -> list[str]:
    kinds = {".md", ".ipynb", *_LANGUAGES}
    return sorted(
        one.name
        for one in (ROOT / folder).iterdir()
        if one.is_file() and one.suffix in kinds and not one.name.startswith("__init__")
    )


def _folder_page(path: str) -> str:
    rows = [f"- [{name}]({name}.md){_about(ROOT / path / name)}" for name in _shown_in(path)]
    here = posixpath.basename(path)
    listed = "\n".join(row.replace("](", f"]({here}/") for row in rows)
    return f"# {here}\n\nThe folder `{path}/` of the repository.\n\n{listed}\n"


def _about(place: Path) -> str:
    """What the head of a file says it is, in a sentence; nothing where it says nothing."""
    text = place.read_text(encoding="utf-8")
    if place.suffix == ".py":
        said = ast.get_docstring(ast.parse(text)) or ""
    else:
        lines = [line for line in text.splitlines() if not line.startswith("#!")]
        comment = []
        for line in lines:
            if not line.startswith("#"):
                break
            comment.append(line.lstrip("# "))
        said = " ".join(comment)
    first = re.split(r"(?<=[.:]) |\n\n", " ".join(said.split()))[0].rstrip(":.")
    return f": {first}" if first and "](" not in first else ""


def _fenced(text: str, language: str) -> str:
    longest = max((len(one) for one in re.findall(r"`{3,}", text)), default=2)
    fence = "`" * max(3, longest + 1)
    return f"{fence}{language}\n{text.rstrip()}\n{fence}"
