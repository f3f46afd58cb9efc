"""Makes the notebooks of examples/ from the scripts beside them, so that they cannot differ, and
runs them once for their outputs: `python -m tests.example_notebook`.

The docstring becomes text, the imports, constants and classes a cell each, and `main` a cell a
paragraph.
"""

import ast
import contextlib
import io
import json
import sys
import tempfile
import textwrap
import types
from collections.abc import Iterator
from pathlib import Path
from typing import Any

FOLDER = Path(__file__).resolve().parent.parent / "examples"
SCRIPTS = (FOLDER / "complete_backtest.py", FOLDER / "feature_to_gate.py")
SHOWN = {"complete_backtest": "h.show(page)\nbacktest"}
"""What stands in a last cell of its own."""


def notebook_of(script: Path) -> Path:
    return script.with_suffix(".ipynb")


def cells_of(script: Path) -> list[tuple[str, str]]:
    """(kind, text) of every cell."""
    text = script.read_text()
    tree = ast.parse(text)
    about = (ast.get_docstring(tree) or "").split("\n\n")
    cells = [("markdown", "\n\n".join(part for part in about if not part.startswith("    ")))]
    lines = text.splitlines()
    imports = [node for node in tree.body if isinstance(node, (ast.Import, ast.ImportFrom))]
    cells.append(("code", "\n".join(lines[imports[0].lineno - 1 : imports[-1].end_lineno])))
    constants = [node for node in tree.body if isinstance(node, ast.Assign)]
    if constants:
        cells.append(("code", "\n".join(lines[constants[0].lineno - 1 : constants[-1].end_lineno])))
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            cells.append(("code", "\n".join(lines[node.lineno - 1 : node.end_lineno])))
        if isinstance(node, ast.FunctionDef) and node.name == "main":
            cells += [("code", part) for part in _paragraphs(node, text)]
    if script.stem in SHOWN:
        cells.append(("code", SHOWN[script.stem]))
    return cells


def _paragraphs(main: ast.FunctionDef, text: str) -> Iterator[str]:
    """The body of `main`, a paragraph each; its folder first, and a page where it returns one."""
    folder = ast.get_source_segment(text, main.args.defaults[0])
    body = text.splitlines()[main.body[1].lineno - 1 : main.body[-1].end_lineno]
    for number, part in enumerate(textwrap.dedent("\n".join(body)).split("\n\n")):
        begin = "" if number else f"folder = {folder}\n"
        kept = [line for line in part.splitlines() if line != "return verdict"]
        yield begin + "\n".join(kept).replace("return ", "page = ")


def notebook(cells: list[tuple[str, str]], outputs: list[list[dict[str, Any]]]) -> str:
    """The notebook as JSON; outputs: of each code cell, in order."""
    made, rest = [], iter(outputs)
    for number, (kind, text) in enumerate(cells):
        cell = {
            "cell_type": kind,
            "id": f"cell-{number}",
            "metadata": {},
            "source": text.splitlines(keepends=True),
        }
        if kind == "code":
            cell |= {"execution_count": None, "outputs": next(rest)}
        made.append(cell)
    kernel = {"display_name": "Python 3", "language": "python", "name": "python3"}
    whole = {
        "cells": made,
        "metadata": {"kernelspec": kernel, "language_info": {"name": "python"}},
        "nbformat": 4,
        "nbformat_minor": 5,
    }
    return json.dumps(whole, indent=1, ensure_ascii=False) + "\n"


def run_cells(texts: list[str], name: str) -> list[list[dict[str, Any]]]:
    """What each code cell prints and shows, all in one module."""
    module = sys.modules[name] = types.ModuleType(name)
    found = []
    for text in texts:
        body = ast.parse(text).body
        last = body.pop() if isinstance(body[-1], ast.Expr) else None
        told = io.StringIO()
        with contextlib.redirect_stdout(told):
            exec(compile(ast.Module(body, []), name, "exec"), module.__dict__)
            shown = last and eval(
                compile(ast.Expression(last.value), name, "eval"), module.__dict__
            )
        outputs: list[dict[str, Any]] = []
        if told.getvalue():
            lines = told.getvalue().splitlines(keepends=True)
            outputs.append({"name": "stdout", "output_type": "stream", "text": lines})
        if shown is not None:
            data = {"text/plain": [repr(shown)]}
            if hasattr(shown, "_repr_html_"):
                data["text/html"] = [shown._repr_html_()]
            result = {"execution_count": None, "metadata": {}, "output_type": "execute_result"}
            outputs.append({"data": data, **result})
        found.append(outputs)
    return found


def code_of(cells: list[tuple[str, str]]) -> list[str]:
    return [text for kind, text in cells if kind == "code"]


if __name__ == "__main__":
    import webbrowser

    webbrowser.open = lambda *_: True  # type: ignore[assignment]
    for script in SCRIPTS:
        cells = cells_of(script)
        with tempfile.TemporaryDirectory() as place, contextlib.chdir(place):
            made = run_cells(code_of(cells), "the_notebook")
        notebook_of(script).write_text(notebook(cells, made))
        print(f"wrote {notebook_of(script)}")
