"""`harmony doctor --repair` from Alpaca over a real connection: only what is absent is asked for,
and a repair that broke off goes on.
"""

from datetime import timedelta

import polars as pl
import pytest
from market.alpaca.alpaca_world import NOW, minutes, symbols

from harmony_pipeline.config import load_settings
from harmony_pipeline.errors import HarmonyError
from harmony_pipeline.stages import gaps, ingest, market
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.repair import repair
from harmony_pipeline.testing.servers.alpaca import BROKEN, ENVIRONMENT, AlpacaServer

pytestmark = pytest.mark.network
PAGES = "/v2/stocks/bars"


def market_of_venue(folder, server):
    folder.mkdir(exist_ok=True)
    (folder / "harmony.toml").write_text(f"""[paths]
lake = "lake"
state = "state"
[market]
source = "alpaca"
timeframe = "1Min"
symbols = {symbols()}
start = 2023-01-03
end = 2023-01-07
[market.alpaca]
data_url = "{server.url}"
trading_url = "{server.url}"
requests_per_minute = 100000
[market.patience]
attempts = 2
base_seconds = 0.001
cap_seconds = 0.01
""")
    return PipelineContext(load_settings(folder / "harmony.toml"))


def ingested(folder, server):
    pipeline = market_of_venue(folder, server)
    periods = pipeline.trading_periods()
    market.corporate_actions(pipeline)
    ingest.raw_bars(pipeline, periods)
    market.bars(pipeline, periods)
    market.daily_summary(pipeline, periods)
    gaps.gaps(pipeline, periods)
    return pipeline


@pytest.fixture
def lost():
    """Rows that the venue first does not tell: a morning of one symbol, an hour of another, a day
    of a third.
    """
    first, second, third = symbols()[:3]
    stamp, symbol = pl.col("timestamp"), pl.col("symbol")
    day = minutes()["timestamp"].dt.date().unique().sort()
    open_ = pl.lit(day[1]).cast(pl.Datetime("us", "UTC")) + timedelta(hours=14, minutes=30)
    return (
        ((symbol == first) & stamp.is_between(open_, open_ + timedelta(hours=2), closed="left"))
        | (
            (symbol == second)
            & stamp.is_between(
                open_ + timedelta(hours=1), open_ + timedelta(hours=2), closed="left"
            )
        )
        | (
            (symbol == third) & ((stamp - timedelta(hours=9)).dt.date() == day[2])
        )  # a session in winter: 09:00 to 01:00 UTC, before the open and after the close too
    )


def test_a_repair_asks_for_what_is_absent_and_makes_the_lake_of_a_whole_ingest(
    tmp_path, monkeypatch, lost
):
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with AlpacaServer(minutes().filter(~lost), NOW) as server:
        ingested(tmp_path / "damaged", server)
    with AlpacaServer(minutes(), NOW) as server:
        whole = ingested(tmp_path / "whole", server)
        seen = len(server.seen)
        pipeline = market_of_venue(tmp_path / "damaged", server)
        missing = pipeline.lake.read("gaps")["bars"].sum() - whole.lake.read("gaps")["bars"].sum()
        assert missing > 500
        # the second page fails for longer than anyone's patience
        server.faults.add(*[BROKEN] * 8, path=PAGES, after=1)
        with pytest.raises(HarmonyError):
            repair(pipeline)
        asked = [
            each.query
            for each in server.seen[seen:]
            if each.path.startswith(PAGES) and each.fault is None
        ]
        assert len(asked) == 1
        server.faults.clear()
        done = repair(pipeline)
        again = [
            each.query
            for each in server.seen[seen:]
            if each.path.startswith(PAGES) and each.fault is None
        ][1:]
        assert asked[0] not in again
        assert done.mended >= missing
        for table in ("bars", "daily_summary", "gaps"):
            assert pipeline.lake.read(table).equals(whole.lake.read(table)), table
        assert repair(pipeline).added == 0  # what is still absent, the venue does not have
