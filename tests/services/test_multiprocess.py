"""A backfill whose steps are processes of their own, cut into runs side by side, makes the tables of
one process, bit for bit.
"""

from pathlib import Path

import pytest
from services.evaluated_market import MARKET, Markets, same_tables
from services.service_processes import PATIENCE, Services

pytestmark = pytest.mark.slow


def test_processes_make_the_tables_of_one_process(tmp_path: Path, markets: Markets) -> None:
    file = tmp_path / "market.toml"
    file.write_text(
        MARKET.format(lake="lake", state="state")
        + '[dagster]\nexecutor = "multiprocess"\nprocesses = 2\nconcurrent_runs = 2\n'
    )
    markets.copy_researched(tmp_path)
    with Services(file) as services:
        services.start("backfill", "backfill", "evaluate")
        assert services.processes["backfill"].wait(PATIENCE) == 0, services.said("backfill")
        said = services.said("backfill")
    assert "made backtest, parameter_sensitivity, monte_carlo, overfitting" in said
    assert "DEBUG" not in said
    assert "nothing made: backtest of meta_labelled" in said  # the results came back
    same_tables(tmp_path / "lake", markets.evaluated)
    assert not list((tmp_path / "state" / "dagster" / "results").iterdir())
