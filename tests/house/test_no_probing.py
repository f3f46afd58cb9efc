"""No ability is asked for by the name of an attribute: an object declares what it can do."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
REASONS = {
    "cli/boundary.py": (
        "a replaced standard stream may lack reconfigure, and errors of several libraries come here"
    ),
    "execution/lifecycle.py": "events are a union, and some have the field",
    "features/catalog.py": "a user's own indicator may name a function that is not compiled",
    "error_messages.py": "Dagster wraps our errors, and the library does not import Dagster",
    "kernel_hash.py": (
        "numba's dispatchers and named tuples of a user's module are told by their attributes"
    ),
    "session/event_replay.py": "events are a union, and some have the field",
    "session/ledger.py": "events are a union, and some have the field",
    "session/live_signals.py": "a user's own strategy may have a threshold",
    "session/plan.py": "a user's own part of a session may be a model of pydantic or not",
    "session/trader.py": "events are a union, and some have the field",
    "settings_base.py": "an annotation is a class or an alias of typing",
    "stages/context.py": "what is hashed is a model of pydantic or a plain value",
    "strategies/base.py": "a user's own strategy need not inherit",
    "strategies/registry.py": "a user's own strategy need not inherit",
}
"""files that may ask, with the reason: the object comes from a library or from a user"""


PROBES = ("getattr", "hasattr")


def probes(tree: ast.Module) -> list[int]:
    """Lines that ask an object for an attribute by a literal name."""
    return [
        node.lineno
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in PROBES
        and len(node.args) > 1
        and isinstance(node.args[1], ast.Constant)
    ]


def test_nothing_is_probed_without_a_reason():
    package = ROOT / "harmony_pipeline"
    sources = {
        path.relative_to(package).as_posix(): path.read_text() for path in package.rglob("*.py")
    }
    found = {
        name: probes(ast.parse(source))
        for name, source in sorted(sources.items())
        if any(probe in source for probe in PROBES)
    }
    assert found
    assert {name: lines for name, lines in found.items() if lines and name not in REASONS} == {}


@pytest.mark.parametrize(
    ("line", "found"),
    [
        ("getattr(source, 'notes', [])", [1]),
        ("hasattr(source, 'batches')", [1]),
        ("getattr(settings, name)", []),
        ("source.capabilities.quotes", []),
    ],
)
def test_a_probe_is_noticed(line, found):
    assert probes(ast.parse(line)) == found
