"""What a command imports: heavy libraries only where they are used.

Each takes a tenth of a second to two seconds of the processor. Without a clock, this guards what
`benchmarks/startup.py` measures.
"""

import json
import subprocess
import sys

import pytest
from stages.short_markets import daily_rows, short_market

from assets.chain import run_stages
from assets.groups import INGEST

ALWAYS_HEAVY = {
    "alpaca", "arch", "dagster", "exchange_calendars", "lightgbm", "matplotlib", "numba", "pandas",
    "pandera", "plotly", "scipy", "sklearn", "sqlalchemy", "structlog",
}  # fmt: skip
SCRIPT = """
import json, sys
from harmony_pipeline.cli.boundary import run_command
code = run_command(sys.argv[1:])
json.dump([code, sorted({name.split(".")[0] for name in sys.modules})], sys.stderr)
"""


def imported(*arguments: str) -> set[str]:
    """The packages that a command leaves imported, in a process of its own."""
    done = subprocess.run(
        [sys.executable, "-c", SCRIPT, *arguments], capture_output=True, text=True, check=True
    )
    code, packages = json.loads(done.stderr[done.stderr.rindex("[0, [") :])
    assert code == 0
    return set(packages)


@pytest.fixture(scope="module")
def market(tmp_path_factory):
    folder = tmp_path_factory.mktemp("start")
    run_stages(short_market(folder, daily_rows(30)), INGEST)
    return str(folder / "harmony.toml")


@pytest.mark.parametrize("argument", ["--help", "--version"])
def test_a_word_about_the_command_imports_none_of_its_libraries(argument):
    heavy = {*ALWAYS_HEAVY, "duckdb", "numpy", "polars", "pyarrow", "pydantic"}
    assert not imported(argument) & heavy


def test_a_question_to_the_lake_imports_what_answers_it(market):
    asked = ("--config", market, "sql", "select count(*) as n from bars")
    imported(*asked)  # reads the settings, and keeps what such questions need of them
    found = imported(*asked)
    assert {"duckdb", "polars"} <= found
    heavy = {*ALWAYS_HEAVY, "numpy", "pyarrow", "pydantic", "tenacity"}
    assert not found & heavy


def test_a_scan_imports_neither_dagster_nor_what_draws(market):
    found = imported("--config", market, "scan")
    assert {"numba", "polars"} <= found
    brought = {"numba", "scipy", "structlog"}  # by the kernels and the log
    assert not found & ({*ALWAYS_HEAVY, "duckdb", "pyarrow"} - brought)


WRITTEN = """
import sys
import numpy as np
from harmony_pipeline.market.text_columns import name_column
from harmony_pipeline.models.drift import chance_threshold
from harmony_pipeline.robustness.overfitting import superior_ability, superior_trials

assert name_column(np.array([1, 0, -1]), ["A", "a name of more than twelve"]).to_list()[1] == "A"
returns = np.random.default_rng(1).normal(0.001, 0.01, (40, 3))
assert 0.0 <= superior_ability(returns, 20, 1) <= 1.0
assert superior_trials(returns, 20, 1) is not None
assert chance_threshold(returns[:, 0], returns[:, 1], 0.05) > 0.0
assert "scipy.stats" not in sys.modules
print(sorted({name.split(".")[0] for name in sys.modules}))
"""


def test_ids_and_tests_of_trials_import_no_frames_and_no_statistics_of_others():
    """pyarrow's own arrays of texts import pandas, and the bootstrap of arch all of statsmodels.
    The distributions of scipy.stats are a thousand classes.
    """
    done = subprocess.run(
        [sys.executable, "-c", WRITTEN], capture_output=True, text=True, check=True
    )
    found = set(json.loads(done.stdout.replace("'", '"')))
    assert "numba" in found
    assert not found & {"arch", "pandas", "patsy", "sklearn", "statsmodels"}
