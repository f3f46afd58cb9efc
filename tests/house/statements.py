"""The statements of a module, without the expressions in them, which are most of its tree."""

import ast
from collections.abc import Iterator


def statements_of(tree: ast.AST) -> Iterator[ast.stmt]:
    """Every statement, however deep inside others. Expressions hold none."""
    for name, value in ast.iter_fields(tree):
        if name in ("body", "orelse", "finalbody", "handlers", "cases"):
            for inner in value:
                if isinstance(inner, ast.stmt):
                    yield inner
                yield from statements_of(inner)
