"""A table of the obligations that each source fulfils, and of its exemptions with their reasons.

    python -m harmony_pipeline.testing.contract_report [TESTS ...]

Runs every test that a class inherits from `SourceContract` and prints a table of obligations by
sources: pass, FAIL, or a number that stands for the reason of a skip below. A source of the
registry that no test class covers is named as well. Exit code 0 when nothing failed and none is
missing.

The table has the results of this run. Nothing is read from an earlier report.
"""

import contextlib
import io
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest
from rich.console import Console
from rich.table import Table

from harmony_pipeline.market.sources.registry import BUILT_IN
from harmony_pipeline.testing.source_contract import SourceContract

_DEFAULT_TESTS = "tests/market"
_OBLIGATIONS = [name for name in vars(SourceContract) if name.startswith("test_")]


@dataclass(eq=False)  # pytest keeps its plugins in a set
class Outcomes:
    """What became of each obligation: by test class, then by test name, `pass`, `FAIL`, or the
    reason of a skip.
    """

    sources: dict[str, str] = field(default_factory=dict)
    """class -> the source it tests, with the timeframe"""
    kept: dict[str, dict[str, str]] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    """`market.source` of what was tested, by the module the source lives in"""

    # --- pytest calls these by name ---------------------------------------------------------------

    @pytest.hookimpl(trylast=True)
    def pytest_collection_modifyitems(self, items: list[Any]) -> None:
        """Keep the tests that come from the contract."""
        items[:] = [
            item
            for item in items
            if isinstance(item, pytest.Function)
            and item.cls
            and issubclass(item.cls, SourceContract)
            and _name(item) in _OBLIGATIONS
        ]

    @pytest.hookimpl(hookwrapper=True)
    def pytest_runtest_makereport(self, item: Any, call: Any) -> Any:
        """Note the outcome of the test, or of a fixture that failed before or after it."""
        report = (yield).get_result()
        label = f"{item.module.__name__}.{item.cls.__name__}"
        source = item.funcargs.get("source")
        if source is not None:
            self.sources.setdefault(label, f"{source.name} {item.cls.timeframe}")
            self.names.add(_registered_name(type(source)))
        outcomes = self.kept.setdefault(label, {})
        if report.failed:
            outcomes[_name(item)] = "FAIL"
        elif report.skipped:
            outcomes[_name(item)] = report.longrepr[2].removeprefix("Skipped: ")
        elif report.when == "call":
            outcomes.setdefault(_name(item), "pass")


def run(tests: Sequence[str]) -> Outcomes:
    """The contract tests below `tests`, one after the other in this process, without pytest's own
    output. Raises RuntimeError when they cannot be collected.
    """
    outcomes, output = Outcomes(), io.StringIO()
    with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
        code = pytest.main(
            [*tests, "-q", "-n", "0", "-p", "no:cacheprovider", "-p", "no:randomly"],
            plugins=[outcomes],
        )
    if code not in {
        pytest.ExitCode.OK,
        pytest.ExitCode.TESTS_FAILED,
        pytest.ExitCode.NO_TESTS_COLLECTED,
    }:
        raise RuntimeError(
            f"the tests in {', '.join(tests)} could not be run:\n{output.getvalue()}"
        )
    return outcomes


def table_of(outcomes: Outcomes) -> tuple[Table, list[str]]:
    """The table, and the numbered reasons of its skips."""
    labels = sorted(outcomes.kept, key=lambda label: (outcomes.sources.get(label, ""), label))
    reasons: list[str] = []
    table = Table(
        "obligation",
        *(f"{outcomes.sources.get(label, '?')}\n{label.rsplit('.', 1)[1]}" for label in labels),
        title="SourceContract",
    )
    for name in _OBLIGATIONS:
        cells = [_cell(outcomes.kept[label].get(name, "not run"), reasons) for label in labels]
        table.add_row(name.removeprefix("test_").replace("_", " "), *cells)
    return table, reasons


def missing(outcomes: Outcomes) -> list[str]:
    """Sources of the registry that no test class covers."""
    return sorted(set(BUILT_IN) - outcomes.names)


def main(arguments: Sequence[str]) -> int:
    """Print the report; returns the exit code."""
    outcomes = run(list(arguments) or [_DEFAULT_TESTS])
    table, reasons = table_of(outcomes)
    console = Console(width=max(120, 44 + 22 * len(outcomes.kept)))
    console.print(table)
    for number, reason in enumerate(reasons, start=1):
        console.print(f"[{number}] {reason}", markup=False)
    results = [result for kept in outcomes.kept.values() for result in kept.values()]
    failed, absent = results.count("FAIL"), missing(outcomes)
    console.print(
        f"{results.count('pass')} passed, {len(results) - results.count('pass') - failed} skipped"
        f" with a reason, {failed} failed",
        markup=False,
    )
    if absent:
        console.print(f"no contract test: {', '.join(absent)}", markup=False)
    return 1 if failed or absent else 0


def _name(item: Any) -> str:
    return str(item.function.__name__)


def _registered_name(kind: type) -> str:
    """What `market.source` calls a class; its import path when it is not of the registry."""
    path = f"{kind.__module__}:{kind.__qualname__}"
    return next((name for name, known in BUILT_IN.items() if known == path), path)


def _cell(outcome: str, reasons: list[str]) -> str:
    if outcome in {"pass", "FAIL", "not run"}:
        return outcome
    if outcome not in reasons:
        reasons.append(outcome)
    return f"skip {reasons.index(outcome) + 1}"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
