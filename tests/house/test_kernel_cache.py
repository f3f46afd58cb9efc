"""Machine code in the cache is never older than what it was compiled from."""

import importlib
import os
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

import harmony_pipeline
from harmony_pipeline.execution import costs
from harmony_pipeline.kernel import cache_folder, kernel
from harmony_pipeline.kernel_hash import kernel_hash

PACKAGE = Path(harmony_pipeline.__file__).parent
SOURCE = '''
"""A module."""
from numba import njit
import numpy as np

UNIT = 10_000.0
OTHER = 3
TABLE = np.array([1.0, 2.0])

@njit
def outer(value):
    """What it does."""
    return helper(value) * UNIT + TABLE[0]

@njit
def helper(value, least=1.0):  # defined after its caller
    return max(value, least)
'''


def made(source: str, name: str = "harmony_pipeline.made_up") -> ModuleType:
    module = ModuleType(name)
    exec(compile(source, "made_up.py", "exec"), vars(module))
    return module


def hash_of(source: str) -> str:
    return kernel_hash(made(source).outer.py_func)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("10_000.0", "100.0"),
        ("10_000.0", "10_000"),  # a float and an integer compile differently
        ("[1.0, 2.0]", "[1.5, 2.0]"),
        ("max(value, least)", "min(value, least)"),
        ("least=1.0", "least=2.0"),
        ("* UNIT", "+ UNIT"),
    ],
)
def test_an_edit_that_reaches_a_kernel_gives_it_a_new_folder(old: str, new: str) -> None:
    assert old in SOURCE
    assert hash_of(SOURCE.replace(old, new)) != hash_of(SOURCE)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("OTHER = 3", "OTHER = 4"),
        ("What it does.", "What it really does."),
        ("# defined after its caller", "# defined later"),
        ('"""A module."""', '"""A module."""\n\n\n# moved down'),
    ],
)
def test_an_edit_that_reaches_no_kernel_compiles_nothing_again(old: str, new: str) -> None:
    assert old in SOURCE
    assert hash_of(SOURCE.replace(old, new)) == hash_of(SOURCE)


def test_a_constant_of_another_module_counts_however_it_is_read() -> None:
    def found(money: float) -> str:
        constants = made(f"MONEY = {money}", "harmony_pipeline.constants")
        caller = made("def outer(value):\n    return value * constants.MONEY\n")
        caller.constants = constants  # type: ignore[attr-defined]
        return kernel_hash(caller.outer)

    assert found(10_000.0) != found(100.0)
    assert found(100.0) == found(100.0)


def test_the_flags_count() -> None:
    function = made(SOURCE).outer.py_func
    assert kernel_hash(function, ("fastmath", False)) != kernel_hash(function, ("fastmath", True))


def test_a_value_that_no_hash_can_tell_is_refused_by_name() -> None:
    module = made("def outer(value):\n    return value in SEEN\n")
    module.SEEN = {1, 2}  # type: ignore[attr-defined]
    with pytest.raises(TypeError, match="kernel outer reads a set"):
        kernel_hash(module.outer)


def test_a_kernel_is_cached_in_the_folder_of_what_it_is_compiled_from() -> None:
    assert costs.notional(3.0, 2.0) == 3.0 * 2.0 * 10_000.0
    kept = Path(costs.notional.stats.cache_path)
    chosen = ("fastmath", "error_model", "nogil", "_nrt")
    flags = {name: costs.notional.targetoptions[name] for name in chosen}
    assert kept == cache_folder(costs.notional.py_func, flags)
    assert list(kept.glob("costs.notional-*.nbi"))


def test_an_edited_comment_and_another_place_of_the_file_compile_nothing_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HARMONY_KERNEL_CACHE", str(tmp_path / "cache"))
    source = "def triple(value):\n    return 3.0 * value\n"
    hits = []
    for place, text in (("one", source), ("two", "# a comment, and lines below it\n\n" + source)):
        file = tmp_path / place / "strategies.py"
        file.parent.mkdir()
        file.write_text(text, encoding="utf-8")
        module = ModuleType("strategies")
        exec(compile(text, str(file), "exec"), vars(module))
        compiled = kernel(module.triple)
        assert compiled(2.0) == 6.0
        hits.append(sum(compiled.stats.cache_hits.values()))
    assert hits == [0, 1]
    assert len(list((tmp_path / "cache").rglob("*.nbc"))) == 1


def _double(value: float) -> float:
    return 2.0 * value


def test_a_kernel_whose_argument_type_has_moved_is_compiled_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """numba keeps the types of arguments by module and name; reading one that is gone raised."""
    monkeypatch.setenv("HARMONY_KERNEL_CACHE", str(tmp_path))
    assert kernel(_double)(4.0) == 8.0
    (index,) = tmp_path.rglob("*.nbi")
    with index.open("rb") as file:
        version = pickle.load(file)
    index.write_bytes(pickle.dumps(version) + b"charmony_pipeline.no_such_module\nMarketBars\n.")
    again = kernel(_double)
    assert again(4.0) == 8.0
    assert kernel(_double)(4.0) == 8.0
    assert list(tmp_path.rglob("*.nbi")) == [index]


def test_an_edited_constant_is_used_by_the_next_process(tmp_path: Path) -> None:
    """`MONEY` stands in a file without a kernel: before, `notional` went on with the old one."""
    copy = tmp_path / PACKAGE.name
    shutil.copytree(PACKAGE, copy, ignore=shutil.ignore_patterns("__pycache__"))
    records = copy / "portfolio" / "kernel_types.py"

    def notional() -> str:
        code = "from harmony_pipeline.execution.costs import notional; print(notional(3.0, 2.0))"
        chosen = {"PYTHONPATH": str(tmp_path), "HARMONY_KERNEL_CACHE": str(tmp_path / "cache")}
        environment = {**os.environ, **chosen, "PYTHONDONTWRITEBYTECODE": "1"}
        command = [sys.executable, "-c", code]
        done = subprocess.run(
            command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True
        )
        return done.stdout.strip()

    assert notional() == "60000"
    text = records.read_text(encoding="utf-8")
    records.write_text(text.replace("MONEY = 10_000.0", "MONEY = 100_000.0"), encoding="utf-8")
    assert notional() == "600000"


RULES = """
import numpy as np
from harmony_pipeline.kernel import kernel

@kernel
def mean(values):
    total = 0.0
    for value in values:
        total += value
    return total / values.size

@kernel
def copied(values):
    made = np.empty(values.size)
    made[:] = values
    return made

@kernel
def hash_of(text):
    return hash(text)

@kernel
def highest_mean(values):
    return max(mean(values), np.min(values))
"""
FROM_THE_CACHE = """
import sys
import numpy as np
import kept_rules as rules

values = np.array([1.0, 2.0, 6.0])
assert rules.mean(values) == 3.0
assert rules.copied(values).tolist() == values.tolist()
assert not {"numba.np.arraymath", "scipy.linalg"} & set(sys.modules), "it is ready to compile"
assert rules.hash_of("harmony") == hash("harmony")
loaded = [rules.mean, rules.copied, rules.hash_of]
assert [sum(each.stats.cache_hits.values()) for each in loaded] == [1, 1, 1]
assert rules.highest_mean(values) == 3.0, "a kernel that calls one from the cache is compiled"
assert sum(rules.highest_mean.stats.cache_misses.values()) == 1
"""


def test_kernels_from_the_cache_run_without_what_compiles_and_are_compiled_into_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Hashes of texts are the hardest: they need a secret of each process."""
    monkeypatch.setenv("HARMONY_KERNEL_CACHE", str(tmp_path / "cache"))
    (tmp_path / "kept_rules.py").write_text(RULES, encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    rules = importlib.import_module("kept_rules")
    monkeypatch.delitem(sys.modules, "kept_rules")
    rules.mean(np.ones(2))
    rules.copied(np.ones(2))
    rules.hash_of("a")
    path = os.pathsep.join([str(tmp_path), str(PACKAGE.parent)])
    command = [sys.executable, "-c", FROM_THE_CACHE]
    done = subprocess.run(
        command, env={**os.environ, "PYTHONPATH": path}, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr


def test_kernels_are_compiled_with_the_flags() -> None:
    options = costs.notional.targetoptions
    assert (options["fastmath"], options["error_model"], options["nogil"]) == (False, "numpy", True)


def test_kernels_of_a_users_module_call_each_other() -> None:
    theirs = made(SOURCE, "my_features")
    edited = made(SOURCE.replace("max(value, least)", "min(value, least)"), "my_features")
    assert kernel_hash(theirs.outer.py_func) != kernel_hash(edited.outer.py_func)
