"""A function fits a screen: 60 lines with its docstring. Only kernels may be longer, and say why."""

import ast
from functools import cache
from pathlib import Path

from house.statements import statements_of

ROOT = Path(__file__).resolve().parents[2]
FOLDERS = ("harmony_pipeline", "assets", "resources")
MOST = 60
REASON = "Over 60 lines because "  # how the sentence in a long kernel's docstring begins
KERNELS = {"kernel", "kernel_without_allocation", "inlined_kernel"}

Function = ast.FunctionDef | ast.AsyncFunctionDef


@cache
def long_functions() -> list[tuple[str, Function]]:
    return [
        (f"{path.relative_to(ROOT)}:{function.lineno} {function.name}", function)
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        for function in long_functions_of(path.read_text())
    ]


def long_functions_of(source: str) -> list[Function]:
    return [
        node
        for node in statements_of(ast.parse(source))
        if isinstance(node, Function) and length(node) > MOST
    ]


def length(function: Function) -> int:
    """Lines from `def` to the end; decorators stand above it and do not count."""
    return function.end_lineno - function.lineno + 1


def is_kernel(function: Function) -> bool:
    return any(ast.unparse(decorator) in KERNELS for decorator in function.decorator_list)


def gives_a_reason(function: Function) -> bool:
    return REASON in " ".join((ast.get_docstring(function) or "").split())


def test_only_kernels_are_longer_than_a_screen():
    others = [place for place, function in long_functions() if not is_kernel(function)]
    assert not others, f"split into parts that have a name: {others}"


def test_a_kernel_longer_than_a_screen_says_why():
    silent = [
        place
        for place, function in long_functions()
        if is_kernel(function) and not gives_a_reason(function)
    ]
    assert not silent, f"add a sentence '{REASON}...' to the docstring: {silent}"


def function_of_lines(count: int, *, decorator: str = "", docstring: str = "Sums.") -> str:
    body = [f'    """{docstring}"""', *["    total += 1"] * (count - 2)]
    return "\n".join([*([decorator] if decorator else []), "def add(total):", *body])


def test_the_measure_counts_the_docstring_and_not_the_decorators():
    assert not long_functions_of(function_of_lines(MOST, decorator="@kernel"))
    assert [length(found) for found in long_functions_of(function_of_lines(MOST + 1))] == [MOST + 1]


def test_a_kernel_is_known_by_its_decorator_and_its_reason_by_its_words():
    (plain,) = long_functions_of(function_of_lines(80))
    (silent,) = long_functions_of(function_of_lines(80, decorator="@inlined_kernel"))
    (sound,) = long_functions_of(
        function_of_lines(80, decorator="@kernel", docstring=f"Sums.\n\n    {REASON}it is one sum.")
    )
    assert not is_kernel(plain)
    assert is_kernel(silent)
    assert not gives_a_reason(silent)
    assert is_kernel(sound)
    assert gives_a_reason(sound)
