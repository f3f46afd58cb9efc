"""Every recorded dataset imports with at most a column mapping (examples/datasets), its accounting
closes, and its known defects are named.
"""

import os
from pathlib import Path

import polars as pl
import pytest

from harmony_pipeline.config import load_settings
from harmony_pipeline.stages import ingest, market
from harmony_pipeline.stages.context import PipelineContext

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "datasets"
ROWS = {
    "crypto_minute": 16_312,
    "fx_hourly": 37_313,
    "gap_events": 394,
    "lean_quote_bars": 11_928,
    "lean_trade_bars": 10_846,
    "premarket_gappers": 5_810,
    "smallcap_daily": 65_402,
    "universe_closes": 42_478,
    "us_equity_daily": 49_005,
    "us_equity_hourly": 165_094,
    "us_equity_minute_2018": 544_580,
    "us_equity_minute_2021": 401_409,
    "us_equity_minute_2025": 1_109_847,
}


def imported(name: str, folder: Path, data: Path) -> tuple[PipelineContext, dict[str, object]]:
    """The dataset in a lake of its own, and what the ingest said."""
    environment = {
        **os.environ,
        "HARMONY_DATA": str(data),
        "HARMONY__PATHS__LAKE": f'"{folder}/lake"',
        "HARMONY__PATHS__STATE": f'"{folder}/state"',
    }
    pipeline = PipelineContext(load_settings(EXAMPLES / f"{name}.toml", environment))
    told = ingest.raw_bars(pipeline, pipeline.trading_periods()).facts
    market.corporate_actions(pipeline)
    market.bars(pipeline, pipeline.trading_periods())
    return pipeline, told


# What DATA.md says is wrong with each, as the report names it: (table, rule, symbol, exchange
# date).
KNOWN_DEFECTS = {
    "us_equity_hourly": {("quarantine", "bad_print", "IBM", "2002-12-23")},
    "us_equity_daily": {
        ("quarantine", "bad_print", "IBM", "2002-12-23"),
        ("quality_warnings", "split_like_jump", "GOOG", "2014-04-03"),
        ("quality_warnings", "ticker_reuse", "BNO", "2010-06-02"),
        ("quality_warnings", "ticker_reuse", "EEM", "2003-04-11"),
        ("quality_warnings", "ticker_reuse", "AAA", "2020-09-09"),
    },
    "us_equity_minute_2021": {
        ("quarantine", "conflicting_duplicate", "SPY", "2023-01-24"),
        ("quality_warnings", "zero_volume", "SPY", "2021-11-26"),
        ("quality_warnings", "zero_volume", "XOM", "2022-11-25"),
        ("quality_warnings", "zero_volume", "SPY", "2023-07-03"),
    },
}


def named(pipeline: PipelineContext) -> set[tuple[str, str, str, str]]:
    """Everything that the report names."""
    found: set[tuple[str, str, str, str]] = set()
    for table in ("quarantine", "quality_warnings"):
        day = pl.col("timestamp").dt.convert_time_zone("UTC").dt.date().cast(pl.String)
        found |= {
            (table, rule, symbol, on)
            for rule, symbol, on in (
                pipeline.lake.read(table).select("rule", "symbol", day).iter_rows()
            )
        }
    return found


def test_there_is_an_example_for_each():
    assert {path.stem for path in EXAMPLES.glob("*.toml")} == set(ROWS)


@pytest.mark.parametrize("name", sorted(ROWS))
def test_it_imports_and_every_row_is_accounted_for(name, tmp_path, market_data):
    pipeline, told = imported(name, tmp_path, market_data)
    raw, bars, quarantine = (
        pipeline.lake.scan(table).select(pl.len()).collect().item()
        for table in ("raw_bars", "bars", "quarantine")
    )
    assert told["rows received"] == ROWS[name]
    assert told["rows received"] == bars + quarantine + told["rows known before (merged)"]
    assert raw == bars + quarantine
    assert bars > 0.95 * raw
    assert KNOWN_DEFECTS.get(name, set()) <= named(pipeline)
