"""Permute, repeat, split and rename the rows of the input files: the lake is the same, from raw
bars to daily summary.
"""

import random
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.config import load_settings
from harmony_pipeline.schemas import BARS, RAW_BARS
from harmony_pipeline.stages import ingest, market
from harmony_pipeline.stages.context import PipelineContext

HEADER = "symbol,timestamp,open,high,low,close,volume"
# Two symbols over two sessions by the hour: a contradiction, an impossible bar, a price that cannot
# be read, a bar at night.
ROWS = [f"{symbol},2024-01-0{day}T{hour}:00:00Z,10,11,9,{close},{1000 + hour}" for symbol,
close in (("AAA", 10.5), ("BBB", 9.5)) for day in (2, 3) for hour in range(15, 21)] + [
    "AAA,2024-01-02T16:00:00Z,10,11,9,10.4,900",
    "AAA,2024-01-03T17:00:00Z,10,8,9,10.5,1000",
    "BBB,2024-01-03T18:00:00Z,10,11,9,abc,1000",
    "BBB,2024-01-03T07:00:00Z,10,11,9,10,1000",
]  # fmt: skip
SETTINGS = (
    '[paths]\nlake = "lake"\nstate = "state"\n[market]\nsource = "files"\ntimeframe ='
    ' "1Hour"\nstart = 2024-01-02\nend = 2024-02-01\n[market.files]\npaths = ["bars"]\n'
)
WHERE_IT_CAME_FROM = ("ingested_at", "origin", "row")


def lake_of(folder: Path, files: dict[str, list[str]]) -> PipelineContext:
    (folder / "bars").mkdir(parents=True)
    for name, rows in files.items():
        (folder / "bars" / name).write_text("\n".join([HEADER, *rows]) + "\n")
    (folder / "harmony.toml").write_text(SETTINGS)
    pipeline = PipelineContext(load_settings(folder / "harmony.toml", {}))
    ingest.raw_bars(pipeline, pipeline.trading_periods())
    market.corporate_actions(pipeline)
    market.bars(pipeline, pipeline.trading_periods())
    market.daily_summary(pipeline, pipeline.trading_periods())
    return pipeline


def tables(pipeline: PipelineContext) -> dict[str, pl.DataFrame]:
    """Everything but the place that a row came from."""
    raw = pipeline.lake.read("raw_bars").drop(WHERE_IT_CAME_FROM)
    quarantine = pipeline.lake.read("quarantine").select("symbol", "timestamp", "rule")
    told = {"raw_bars": raw.sort(raw.columns), "quarantine": quarantine.sort(quarantine.columns)}
    return told | {
        table: pipeline.lake.read(table) for table in ("bars", "daily_summary", "bar_state")
    }


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> dict[str, pl.DataFrame]:
    found = tables(lake_of(tmp_path_factory.mktemp("plain"), {"all.csv": ROWS}))
    assert found["raw_bars"].height == len(ROWS)
    assert set(found["quarantine"]["rule"]) == {
        "conflicting_duplicate",
        "high_below_low",
        "unreadable",
        "outside_session",
    }
    assert found["bars"].schema == BARS.dtypes
    return found


@given(seed=st.integers(0, 2**32), pieces=st.integers(1, 4), repeats=st.integers(0, 10))
@settings(max_examples=12)
def test_permuting_repeating_and_splitting_the_input_files_gives_the_same_lake(
    plain, tmp_path_factory, seed, pieces, repeats
):
    chance = random.Random(seed)
    rows = [*ROWS, *chance.choices(ROWS, k=repeats)]
    chance.shuffle(rows)
    files = {f"{chance.randrange(10**6)}-{at}.csv": rows[at::pieces] for at in range(pieces)}
    pipeline = lake_of(tmp_path_factory.mktemp("cut"), files)
    for table, rows_told in tables(pipeline).items():
        assert rows_told.equals(plain[table]), table
    received = sum(len(each) for each in files.values())
    assert pipeline.lake.read("raw_bars").height == received - repeats == len(ROWS)
    assert set(RAW_BARS.dtypes) >= set(WHERE_IT_CAME_FROM)
