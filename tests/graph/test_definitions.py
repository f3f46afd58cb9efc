import warnings

import dagster as dg
import pytest
from golden_graph import GOLDEN, graph_text

from assets.definitions import build_definitions
from assets.runner import Runner
from harmony_pipeline.config import load_settings
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.testing.tiny import tiny_settings


def test_the_graph_has_the_golden_shape():
    assert graph_text() == GOLDEN.read_text(), (
        "the graph changed: if that was intended, run `make golden`"
    )


def test_the_graph_loads_without_a_warning(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warnings.filterwarnings("ignore", category=dg.BetaWarning)
        definitions = build_definitions(tiny_settings(tmp_path))
        dg.Definitions.validate_loadable(definitions)


def test_an_open_market_has_a_running_period(tmp_path):
    from datetime import UTC, datetime

    settings = tiny_settings(tmp_path, end=None)
    definitions = build_definitions(settings)
    keys = (
        definitions.resolve_asset_graph()
        .get(dg.AssetKey("bars"))
        .partitions_def.get_partition_keys()
    )
    assert keys[-1] == datetime.now(UTC).strftime("%Y-%m")


def test_a_range_of_the_graph_is_named_by_keys_or_by_dates_inside_them(tmp_path):
    runner = Runner.of(tiny_settings(tmp_path))
    keys = runner.partition_keys("bars")
    assert runner.chosen("bars", None, None) == keys
    assert runner.chosen("bars", f"{keys[0]}-15", f"{keys[1]}-20") == keys[:2]
    with pytest.raises(ConfigError, match="before the first partition"):
        runner.chosen("bars", "2000-01", None)
    strategies = runner.partition_keys("backtest")
    assert runner.chosen("backtest", strategies[1], strategies[1]) == strategies[1:2]
    with pytest.raises(ConfigError, match="did you mean"):
        runner.chosen("backtest", strategies[1][:-2], None)


def test_an_unknown_asset_is_refused_with_the_valid_ones(tmp_path):
    runner = Runner.of(tiny_settings(tmp_path))
    with pytest.raises(ConfigError, match=r"choose one of.*bars"):
        runner.backfill("barz", None, None)


@pytest.mark.slow
def test_a_backfill_of_three_periods_is_one_run_and_shows_as_materialised(tmp_path):
    runner = Runner.of(tiny_settings(tmp_path))
    assets, keys = runner.backfill("research", "2024-01", "2024-03")
    assert keys == ["2024-01", "2024-02", "2024-03"]
    assert len(runner.instance.get_runs()) == 1
    for asset in assets:
        shown = runner.instance.get_materialized_partitions(dg.AssetKey(asset))
        assert shown == set(keys) or asset in (
            "corporate_actions",
            "universe",
            "listings",
            "instruments",
        )
    checks = runner.definitions.resolve_asset_graph().get(dg.AssetKey("bars")).check_keys
    assert len(checks) >= 3


def test_settings_reach_the_definitions(tmp_path):
    assert load_settings(None, {}).market.source == "simulated"
    assert (
        build_definitions(tiny_settings(tmp_path)).resources["pipeline"].settings.market.timeframe
        == "30Min"
    )
