"""Makes examples/complete_backtest.ipynb from examples/complete_backtest.py, so that they cannot
differ: `python -m tests.example_notebook`.

The docstring becomes text, the imports and the class a cell each, and `main` a cell a paragraph.
"""

import ast
import json
import textwrap
from pathlib import Path

FOLDER = Path(__file__).resolve().parent.parent / "examples"
SCRIPT, NOTEBOOK = FOLDER / "complete_backtest.py", FOLDER / "complete_backtest.ipynb"


def cells_of(script: str) -> list[tuple[str, str]]:
    """(kind, text) of every cell."""
    tree = ast.parse(script)
    docstring = ast.get_docstring(tree) or ""
    about = docstring.split("\n\n")
    cells = [("markdown", "\n\n".join(part for part in about if not part.startswith("    ")))]
    lines = script.splitlines()
    imports = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    cells.append(("code", "\n".join(lines[imports[0].lineno - 1 : imports[-1].end_lineno])))
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            cells.append(("code", "\n".join(lines[node.lineno - 1 : node.end_lineno])))
        if isinstance(node, ast.FunctionDef) and node.name == "main":
            folder = ast.get_source_segment(script, node.args.defaults[0])
            end = node.body[-1].end_lineno
            body = textwrap.dedent("\n".join(lines[node.body[1].lineno - 1 : end]))
            paragraphs = body.split("\n\n")
            paragraphs[0] = f"folder = {folder}\n{paragraphs[0]}"
            cells += [("code", part.replace("return ", "page = ")) for part in paragraphs]
    cells.append(("code", "h.show(page)\nbacktest"))
    return cells


def notebook(script: str) -> str:
    """The notebook as JSON, without outputs."""
    made = []
    for number, (kind, text) in enumerate(cells_of(script)):
        cell = {
            "cell_type": kind,
            "id": f"cell-{number}",
            "metadata": {},
            "source": text.splitlines(keepends=True),
        }
        if kind == "code":
            cell |= {"execution_count": None, "outputs": []}
        made.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {
        "cells": made,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(whole, indent=1) + "\n"


if __name__ == "__main__":
    NOTEBOOK.write_text(notebook(SCRIPT.read_text()))
    print(f"wrote {NOTEBOOK}")
