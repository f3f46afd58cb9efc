"""Shared ground of the tests: hypothesis without deadlines, the real data folder when it is there,
one tiny market a session.
"""

import atexit
import gc
import os
from collections.abc import Iterator
from pathlib import Path

# Workers share the cores: more threads than cores would only wait for each other.
if "PYTEST_XDIST_WORKER" in os.environ:
    _workers = int(os.environ.get("PYTEST_XDIST_WORKER_COUNT", "1"))
    os.environ.setdefault("POLARS_MAX_THREADS", str(max(1, (os.cpu_count() or 1) // _workers)))

import pytest
from forked_processes import ForkServer
from hypothesis import HealthCheck, settings
from hypothesis.internal.conjecture import providers
from hypothesis.internal.constants_ast import Constants

from harmony_pipeline.cli.invocation import remember_options

os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
os.environ.setdefault("POLARS_ENGINE_AFFINITY", "in-memory")
for name in [
    name
    for name in os.environ
    if name.startswith("HARMONY_") and name not in ("HARMONY_DATA", "HARMONY_KERNEL_CACHE")
]:
    del os.environ[name]
gc.disable()  # until the tests are collected, of which it would take a quarter of the time


def _end_worker(process: int) -> None:
    """Leave a worker's objects to the system: Python would take four seconds to take them apart."""
    if os.getpid() == process:
        os._exit(0)


if "PYTEST_XDIST_WORKER" in os.environ:  # all has been told; others' clean-up comes before
    atexit.register(_end_worker, os.getpid())


def _in_memory() -> str | None:
    """A folder of files in memory where there is room for those of the tests: they make some
    hundred thousand files, and wait for a disk at each commit. A killed process leaves the same
    files in both.
    """
    folder, needed = "/dev/shm", 4 * 2**30
    if not os.access(folder, os.W_OK):
        return None
    found = os.statvfs(folder)
    has_room = found.f_bavail * found.f_frsize >= needed
    return folder if has_room and not found.f_flag & os.ST_NOEXEC else None


if folder := _in_memory():
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", folder)

settings.register_profile(
    "harmony",
    deadline=None,
    max_examples=9,
    derandomize=True,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)
settings.register_profile(
    "explore",
    settings.get_profile("harmony"),
    max_examples=1_000,
    derandomize=False,
    print_blob=True,
)
_profile = os.environ.get("HYPOTHESIS_PROFILE", "harmony")
settings.load_profile(_profile)
if _profile == "harmony":
    # hypothesis draws some values from the constants of whatever local modules are loaded: without
    # them a law sees the same examples alone, in the suite, and in each worker, and none of the
    # modules is read for them
    _no_constants = Constants()
    providers._get_local_constants = lambda: _no_constants

REPOSITORY = Path(__file__).resolve().parent.parent


def pytest_make_parametrize_id(config: pytest.Config, val: object, argname: str) -> str | None:
    """Name bytes by their number: packed data holds the time of day, and each worker must collect
    the same names.
    """
    return f"{len(val)} bytes" if isinstance(val, bytes) else None


_SECONDS = {"chain", "graph", "cli", "stages", "lake", "session", "market", "backtest", "ticks"}
_SECONDS |= {
    "execution",
    "api",
    "reports",
    "models",
    "robustness",
    "servers",
    "tables",
    "sql",
    "house",
    "services",
}


# files with a test of three seconds and more
_LONGEST = {
    name: place
    for place, name in enumerate(
        (
            "test_all_services", "test_multiprocess", "test_demo", "test_killed",
            "test_chain_in_an_object_store", "test_whole_chain", "test_guides", "test_scaffold",
            "test_alpaca_crashes", "test_seconds", "test_user_project", "test_session_day",
            "test_portfolio_day", "test_gate_on_simulated_markets", "test_example_markets",
            "test_kernel_cache", "test_entries_at_closes", "test_model_stage", "test_killed_run",
            "test_examples",
        )
    )
}  # fmt: skip


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Whole folders whose tests build lakes, run chains or start processes are slow. The longest
    tests come first, so that no worker waits for one at the end.
    """
    for item in items:
        if _SECONDS & set(item.path.relative_to(REPOSITORY / "tests").parts):
            item.add_marker(pytest.mark.slow)
    items.sort(key=lambda item: _LONGEST.get(item.path.stem, len(_LONGEST)))


def pytest_collection_finish(session: pytest.Session) -> None:
    """What was imported and collected stays until the end: the garbage collector need not walk it
    again and again. It comes less often too, a twentieth of the time of the tests.
    """
    gc.freeze()
    gc.set_threshold(10_000, 10, 10)
    gc.enable()


def pytest_unconfigure(config: pytest.Config) -> None:
    """What looks at the end of the process for objects that were left has to see all of them. A
    worker ends at once, and pytest would walk them five times before.
    """
    if "PYTEST_XDIST_WORKER" not in os.environ:
        gc.unfreeze()


@pytest.fixture(scope="session")
def market_data() -> Path:
    """The folder of real market data; tests that need it skip where it is not."""
    folder = Path(os.environ.get("HARMONY_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "DATA.md").exists():
        pytest.skip("no real market data here: set HARMONY_DATA")
    return folder


@pytest.fixture(scope="session")
def fork_server() -> Iterator[ForkServer]:
    """Where processes of tests come from that are not about how a process starts."""
    with ForkServer() as server:
        yield server


@pytest.fixture(autouse=True)
def environment_as_before() -> Iterator[None]:
    """Commands tell their children of the settings file by the environment; the next test is none
    of them.
    """
    before = os.environ._data.copy()  # as the system has them: 8,000 tests decode nothing
    yield
    if os.environ._data != before:
        for name in os.environ._data.keys() - before.keys():
            del os.environ[os.fsdecode(name)]
        os.environ.update({os.fsdecode(name): os.fsdecode(value) for name, value in before.items()})


@pytest.fixture(autouse=True)
def no_options_of_another_command() -> Iterator[None]:
    """Messages name commands with the options of the latest one; each test begins without any."""
    remember_options(None, None)
    yield
    remember_options(None, None)
