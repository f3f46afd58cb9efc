"""A daily market whose sessions enter at closes: from the settings to the divergence."""

from datetime import date

import polars as pl
import pytest

from harmony_pipeline.config import Settings
from harmony_pipeline.stages import live
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.preparation import prepare
from harmony_pipeline.testing.tiny import tiny_settings

NAMES = ("rsi_momentum", "bollinger_reversion")


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("closes")
    settings = tiny_settings(folder, timeframe="1Day", end=date(2024, 6, 1))
    values = settings.model_dump() | {"file": settings.file}
    values["labels"]["entry"] = "close"
    values["strategies"]["meta_labelled"]["enabled"] = False
    values["strategies"]["bollinger_reversion"]["bracket"]["entry"] = "open"
    values["session"] |= {"strategy": "rsi_momentum", "watch": "universe"}
    values["portfolios"] = {"mix": {"strategies": NAMES}}
    made = PipelineContext(Settings.model_validate(values))
    prepare(made)
    return made


@pytest.mark.parametrize("portfolio", ["", "mix"])
def test_replayed_days_are_their_backtests(pipeline, portfolio):
    values = pipeline.settings.model_dump() | {"file": pipeline.settings.file}
    values["session"]["portfolio"] = portfolio
    trading = PipelineContext(Settings.model_validate(values))
    days = trading.sessions()[-25 if portfolio else -12 :]
    made = live.paper_session(trading, days, require_promoted=False, own_process=False)
    assert not made.nothing
    compared = live.divergence(trading, days)
    keys = [day.isoformat() for day in days]
    assert {compared.facts[key] for key in keys} == {"none"}
    orders = trading.lake.read("session_orders", keys)
    entries = orders.filter(pl.col("parent_id").is_null() & (pl.col("status") != "refused"))
    forces = {"cls", "ioc"} if portfolio else {"cls"}
    assert set(entries["time_in_force"]) == forces
    fills = trading.lake.read("session_fills", keys).join(entries, on="order_id")
    bars = trading.lake.read("bars").select("symbol", "timestamp", "close")
    at_closes = fills.filter(pl.col("time_in_force") == "cls")
    found = at_closes.join(bars, on=["symbol", "timestamp"])
    assert found.height > 3
    assert found["reference_price"].equals(found["close"])
