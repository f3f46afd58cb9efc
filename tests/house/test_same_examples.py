"""A law sees the same examples whichever modules are loaded."""

import importlib
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st


def examples() -> list[int]:
    found: list[int] = []

    @settings(max_examples=150, derandomize=True, database=None)
    @given(st.integers())
    def law(number: int) -> None:
        found.append(number)

    law()
    return found


def test_a_module_with_constants_changes_no_example(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = examples()
    numbers = range(10**9, 10**9 + 400)
    (tmp_path / "module_of_constants.py").write_text(f"NUMBERS = {list(numbers)}\n")
    monkeypatch.syspath_prepend(tmp_path)
    importlib.import_module("module_of_constants")
    assert examples() == before
