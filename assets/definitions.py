"""The composition root that Dagster loads: `build_definitions(settings, overrides)`.

`defs` is built when Dagster asks for it, from the file named by HARMONY_CONFIG or harmony.toml, so importing this module opens nothing.
"""

import warnings
from collections.abc import Mapping

import dagster as dg

from assets.automation import build_automation
from assets.backtests import backtest_assets
from assets.boundary import with_boundary
from assets.checks import build_checks
from assets.live import live_assets
from assets.market import market_assets
from assets.models import model_assets
from assets.partitions import build_partitions
from assets.promotion import promotion_assets
from assets.research import research_assets
from assets.scanner import scanner_assets
from assets.ticks import tick_assets
from assets.upkeep import upkeep_assets
from harmony_pipeline.config import Settings, load_settings
from harmony_pipeline.stages.workspace import Workspace
from resources.workspace import build_resources


def build_definitions(settings: Settings, overrides: Mapping[str, object] | None = None) -> dg.Definitions:
    """The whole graph of one market; `overrides` replace resources by name."""
    with warnings.catch_warnings():
        # backfill policies and partitioned checks are marked as beta or preview; both are used knowingly, at a pinned version
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return _graph(settings, overrides)


def _graph(settings: Settings, overrides: Mapping[str, object] | None) -> dg.Definitions:
    resources = build_resources(settings, overrides)
    work = resources["work"]
    assert isinstance(work, Workspace)
    partitions = build_partitions(work)
    automation = build_automation(work)
    assets = [
        *market_assets(partitions),
        *tick_assets(partitions),
        *research_assets(partitions),
        *model_assets(partitions),
        *backtest_assets(partitions),
        *promotion_assets(),
        *scanner_assets(partitions),
        *live_assets(partitions),
        *upkeep_assets(),
    ]
    return dg.Definitions(
        assets=with_boundary(assets, work),
        asset_checks=with_boundary(build_checks(partitions), work),
        jobs=automation.jobs,
        schedules=automation.schedules,
        sensors=automation.sensors,
        resources=resources,
        executor=dg.in_process_executor,
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What `workspace.yaml` loads."""
    return build_definitions(load_settings())
