"""The model over any strategy: candidates are the primary's sides, on events or on its entries."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.strategies.base import remembers_the_market, uses_bars
from harmony_pipeline.strategies.meta import MetaOver
from harmony_pipeline.strategies.registry import SHIPPED, build_strategy
from harmony_pipeline.strategies.settings import StrategySettings

START = datetime(2024, 3, 4, 14, 30, tzinfo=UTC)
RSI = "harmony_pipeline.strategies.rsi:RsiMomentum"


def sides(candidates, rsi, event):
    stamps = [START + i * timedelta(hours=1) for i in range(len(rsi))]
    frame = pl.DataFrame(
        {
            "symbol": "A",
            "timestamp": stamps,
            "rsi_14": rsi,
            "cusum_event": event,
            "volatility_20": 0.01,
        },
        schema_overrides={"timestamp": pl.Datetime("us", "UTC")},
    )
    return MetaOver(primary=RSI, candidates=candidates).signals(frame)["side"].to_list()


def test_on_events_the_primarys_side_counts_not_the_events():
    assert sides("events", [70.0, 70.0, 30.0, 50.0], [1.0, 0.0, 1.0, -1.0]) == [1, 0, -1, 0]


def test_entries_are_the_bars_on_which_the_side_changes():
    rsi = [50.0, 70.0, 70.0, 30.0, 50.0, 30.0]
    assert sides("entries", rsi, [0.0] * 6) == [0, 1, 0, -1, 0, -1]


def test_rows_that_lack_the_event_or_the_primarys_feature_are_absent():
    assert sides("events", [None, 70.0, 70.0], [1.0, None, 1.0]) == [1]


@pytest.mark.parametrize("use", [use for use in SHIPPED if "MetaOver" not in use])
def test_it_goes_over_every_shipped_strategy_and_has_its_abilities(use):
    primary = build_strategy(StrategySettings(use=use))
    over = build_strategy(
        StrategySettings(
            use="harmony_pipeline.strategies.meta:MetaOver", parameters={"primary": use}
        )
    )
    assert set(primary.required_features()) <= set(over.required_features())
    assert uses_bars(over) == uses_bars(primary)
    assert remembers_the_market(over) == remembers_the_market(primary)


def test_a_primary_that_is_none_is_refused():
    with pytest.raises(ConfigError, match="no module nowhere"):
        MetaOver(primary="nowhere:Thing").required_features()
