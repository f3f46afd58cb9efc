"""The guides do what they say: their blocks run in order, in a small market of the reader's own."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from pages.page_blocks import Reader, blocks_of

import harmony_pipeline as h
from harmony_pipeline.features import catalog

pytestmark = pytest.mark.slow
ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = [
    *sorted(path for path in (DOCS / "guides").glob("*.md") if path.name != "index.md"),
    DOCS / "coming-from.md",
]
START = DOCS / "guides" / "index.md"


@pytest.fixture(scope="module")
def market(tmp_path_factory) -> Path:
    """What guides/index.md makes: a folder with settings and the lake that they name."""
    folder = tmp_path_factory.mktemp("guides") / "market"
    folder.mkdir()
    [settings] = [one.text for one in blocks_of(START.read_text()) if one.language == "toml"]
    (folder / "harmony.toml").write_text(settings)
    h.open_lake(folder).prepare()
    return folder


@pytest.fixture
def reader(market, tmp_path, monkeypatch, request) -> Reader:
    folder = tmp_path / "project"
    shutil.copytree(market, folder)
    monkeypatch.setenv("HARMONY_CONFIG", "")
    monkeypatch.setattr(sys, "path", [str(folder), *sys.path])
    monkeypatch.setattr(sys, "dont_write_bytecode", True)
    monkeypatch.setattr(catalog, "_BY_KIND", dict(catalog._BY_KIND))
    monkeypatch.setattr("webbrowser.open", lambda _: None)
    monkeypatch.chdir(folder)
    before = set(sys.modules)
    yield Reader(request.param, folder)
    for name in set(sys.modules) - before:
        if name == "reader" or str(folder) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


@pytest.mark.parametrize("reader", PAGES, ids=lambda page: page.stem, indirect=True)
def test_a_page_does_what_it_says(reader):
    assert reader.follow() >= 2
    if reader.tests:
        found = subprocess.run(
            [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *reader.tests],
            cwd=reader.folder,
            env={**os.environ, "PYTHONPATH": str(ROOT), "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1"},
            capture_output=True,
            text=True,
            check=False,
        )
        assert found.returncode == 0, found.stdout
