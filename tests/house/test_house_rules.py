"""The rules of the house beside `make lint` and `make types`: every package and module says what it
is, and the lock names no host.
"""

import ast
from pathlib import Path

from house.statements import statements_of

ROOT = Path(__file__).resolve().parents[2]
LIBRARY = sorted((ROOT / "harmony_pipeline").rglob("*.py"))


def test_a_package_says_what_belongs_in_it_and_does_nothing_else():
    for path in (one for one in LIBRARY if one.name == "__init__.py"):
        body = ast.parse(path.read_text()).body
        assert isinstance(body[0], ast.Expr), path
        assert all(isinstance(node, (ast.Assign, ast.ImportFrom)) for node in body[1:]), path


def test_every_module_opens_with_what_it_is():
    for path in LIBRARY:
        assert ast.get_docstring(ast.parse(path.read_text())), path


def test_no_asset_module_hides_its_annotations_from_dagster():
    for path in (ROOT / "assets").glob("*.py"):
        imports = [
            node
            for node in statements_of(ast.parse(path.read_text()))
            if isinstance(node, ast.ImportFrom)
        ]
        assert all(node.module != "__future__" for node in imports), path


def test_the_lock_pins_everything_by_hash_and_names_no_host():
    text = (ROOT / "requirements.lock").read_text()
    assert "--hash=sha256:" in text
    assert "://" not in text
    assert "--index-url" not in text
