"""A backfill whose steps are processes of their own, cut into runs side by side, makes the tables of
one process, bit for bit.
"""

from pathlib import Path

import pytest
from services.evaluated_market import MARKET, evaluated_here, same_tables
from services.service_processes import PATIENCE, Services

from assets.chain import run_stages
from assets.groups import RESEARCH
from harmony_pipeline.config import load_settings
from harmony_pipeline.stages.context import PipelineContext

pytestmark = pytest.mark.slow


def test_processes_make_the_tables_of_one_process(tmp_path: Path) -> None:
    file = tmp_path / "market.toml"
    file.write_text(
        MARKET.format(lake="lake", state="state")
        + '[dagster]\nexecutor = "multiprocess"\nprocesses = 2\nconcurrent_runs = 2\n'
    )
    run_stages(PipelineContext(load_settings(file, {})), last=RESEARCH)
    with Services(file) as services:
        services.start("backfill", "backfill", "evaluate")
        evaluated_here(tmp_path)
        assert services.processes["backfill"].wait(PATIENCE) == 0, services.said("backfill")
        said = services.said("backfill")
    assert "made backtest, parameter_sensitivity, monte_carlo, overfitting" in said
    assert "DEBUG" not in said
    assert "nothing made: backtest of meta_labelled" in said  # the results came back
    same_tables(tmp_path / "lake", tmp_path / "lake_here")
    assert not list((tmp_path / "state" / "dagster" / "results").iterdir())
