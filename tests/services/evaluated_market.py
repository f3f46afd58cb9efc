"""A small market, its backtests made in this process without Dagster, and the comparison with those
that other processes made.
"""

import shutil
from pathlib import Path
from typing import NamedTuple

import pytest

from assets.chain import run_stages
from assets.groups import EVALUATE, RESEARCH, made_together
from harmony_pipeline.config import load_settings
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.testing.compare_lakes import compare

DAY = "2024-02-29"
TABLES = (
    "orders", "order_events", "fills", "trades", "position_actions", "equity", "backtests",
    "trials", "trial_returns", "monte_carlo", "overfitting", "regime_stability",
)  # fmt: skip
MARKET = """
[paths]
lake = "{lake}"
state = "{state}"
[market]
timeframe = "30Min"
start = 2024-01-02
end = 2024-03-01
[market.simulated]
symbols = 3
low_float_symbols = 1
[market.partitions]
retraining_period = "month"
[monte_carlo]
paths = 100
[scanner]
minimum_absolute_gap = 0.0
minimum_premarket_volume = 0.0
require_premarket = false
[session]
strategy = "rsi_momentum"
"""


class Markets(NamedTuple):
    """Lakes that no test changes."""

    researched: Path
    """Bars, features, labels and models: what others evaluate in a copy."""
    evaluated: Path
    """The same with the backtests and what shakes them, made in this process."""

    def copy_researched(self, folder: Path) -> None:
        """Put the lake and the state of the research into `folder`."""
        for name in ("lake", "state"):
            shutil.copytree(self.researched.parent / name, folder / name)


@pytest.fixture(scope="session")
def markets(tmp_path_factory: pytest.TempPathFactory) -> Markets:
    """The market, made once: all that differs is who evaluates it."""
    folder = tmp_path_factory.mktemp("researched")
    run_stages(_in(folder), last=RESEARCH)
    found = Markets(folder / "lake", tmp_path_factory.mktemp("evaluated") / "lake")
    found.copy_researched(found.evaluated.parent)
    alone = _in(found.evaluated.parent)
    for assets in made_together(EVALUATE.own):
        assets[0].make(alone, alone.settings.backtest_names)
    return found


def _in(folder: Path) -> PipelineContext:
    file = folder / "market.toml"
    file.write_text(MARKET.format(lake="lake", state="state"))
    return PipelineContext(load_settings(file, {}))


def same_tables(one: Path, other: Path) -> None:
    """Every value of the evaluated tables is the same, bit for bit."""
    found = {each.table: each for each in compare(Lake(one), Lake(other), TABLES)}
    assert list(found) == sorted(TABLES)
    assert [each.differences for each in found.values()] == [()] * len(TABLES)
    assert sum(each.values for each in found.values()) > 10_000
