"""What `make cover` leaves out are compiled kernels and nothing else, and it fails under its share."""

import ast
import re
import tomllib
from pathlib import Path

from coverage.python import PythonParser

ROOT = Path(__file__).resolve().parents[2]
COVERAGE = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["coverage"]
KERNELS = {"kernel", "kernel_without_allocation", "inlined_kernel"}
PATTERNS = COVERAGE["report"]["exclude_also"]


def excluded_lines(source: str) -> set[int]:
    """Lines of functions that the rule leaves out, as coverage itself finds them."""
    parser = PythonParser(text=source, exclude=PATTERNS[0])
    parser.parse_source()
    return parser.excluded


def kernel_decorators(source: str) -> set[int]:
    """Lines of the decorators that compile a function."""
    return {
        decorator.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.FunctionDef)
        for decorator in node.decorator_list
        if ast.unparse(decorator) in KERNELS
    }


def test_kernels_are_left_out_and_nothing_else():
    left_out = 0
    for folder in COVERAGE["run"]["source"]:
        for path in sorted((ROOT / folder).rglob("*.py")):
            source = path.read_text(encoding="utf-8")
            if "@kernel" not in source and "@inlined_kernel" not in source:
                continue
            matched = {
                source.count("\n", 0, found.end()) + 1
                for found in re.finditer(PATTERNS[0], source, re.MULTILINE)
            }
            assert matched == kernel_decorators(source), path
            left_out += len(matched)
    assert left_out > 300


def test_a_plain_function_beside_a_kernel_is_measured():
    source = "@kernel\ndef fast(x):\n    return x\n\n\ndef plain(x):\n    return x\n"
    assert excluded_lines(source) == {1, 2, 3}


def test_the_share_is_ninety_and_the_command_measures_processes_of_its_own():
    assert COVERAGE["report"]["fail_under"] == 90
    assert "subprocess" in COVERAGE["run"]["patch"]
    command = re.search(r"^cover:.*\n\t(.*)", (ROOT / "Makefile").read_text(), re.MULTILINE)[1]
    assert "--cov" in command
    assert "-m" not in command.replace("-m pytest", ""), "the whole suite"
