"""The composition root that Dagster loads: `build_definitions(settings, overrides)`.

`defs` is built when Dagster asks for it, from the file named by HARMONY_CONFIG or harmony.toml, so
importing this module opens nothing.
"""

import warnings
from collections.abc import Iterator, Mapping
from typing import Any

import dagster as dg

from assets.automation import build_automation
from assets.boundary import boundary
from assets.checks import build_checks
from assets.executors import QUEUE_TAG, build_executor, session_queue
from assets.groups import ASSETS, SESSION, Asset, made_together, op_name
from assets.metadata import materialized
from assets.partitions import Partitions, build_partitions, partition_keys
from assets.step_context import of_run
from harmony_pipeline.config import Settings, load_settings
from harmony_pipeline.stages.context import PipelineContext
from resources.pipeline import build_resources


def build_definitions(
    settings: Settings, overrides: Mapping[str, object] | None = None
) -> dg.Definitions:
    """The whole graph of one market; `overrides` replace resources by name."""
    with warnings.catch_warnings():
        # backfill policies and partitioned checks are marked as beta or preview; both are used
        # knowingly, at a pinned version
        warnings.simplefilter("ignore", dg.BetaWarning)
        warnings.simplefilter("ignore", dg.PreviewWarning)
        return _graph(settings, overrides)


def _graph(settings: Settings, overrides: Mapping[str, object] | None) -> dg.Definitions:
    resources = build_resources(settings, overrides)
    pipeline = resources["pipeline"]
    assert isinstance(pipeline, PipelineContext)
    partitions = build_partitions(pipeline)
    automation = build_automation(pipeline)
    return dg.Definitions(
        assets=[
            _definition(assets, partitions, pipeline) for assets in made_together(ASSETS.values())
        ],
        asset_checks=build_checks(partitions, pipeline),
        jobs=automation.jobs,
        schedules=automation.schedules,
        sensors=automation.sensors,
        resources=resources,
        executor=build_executor(settings.dagster),
    )


def _definition(
    assets: tuple[Asset, ...], partitions: Partitions, pipeline: PipelineContext
) -> dg.AssetsDefinition:
    """The assets of one stage, as Dagster knows them."""
    first = assets[0]

    @dg.multi_asset(
        name=op_name(first),
        specs=[_spec(asset) for asset in assets],
        partitions_def=partitions[first.partitions],
        backfill_policy=None if first.partitions == "none" else dg.BackfillPolicy.single_run(),
        config_schema={
            option: dg.Field(bool, default_value=value) for option, value in first.options.items()
        }
        or None,
        op_tags={QUEUE_TAG: _queue(first, pipeline)},
    )
    @boundary(first.name, pipeline)
    def make(
        context: dg.AssetExecutionContext, pipeline: dg.ResourceParam[PipelineContext]
    ) -> Iterator[dg.MaterializeResult[Any]]:
        mine = of_run(context, pipeline)
        result = first.make(
            mine, partition_keys(context), **(context.op_execution_context.op_config or {})
        )
        yield from materialized(context, mine, result, [asset.name for asset in assets])

    return make


def _queue(asset: Asset, pipeline: PipelineContext) -> str:
    """Celery's queue of an asset: sessions have workers of their own, which have the broker's
    keys.
    """
    chosen = pipeline.settings.dagster
    return session_queue(chosen) if asset in SESSION.own else chosen.queue


def _spec(asset: Asset) -> dg.AssetSpec:
    return dg.AssetSpec(
        asset.name,
        deps=[_dependency(asset, ASSETS[name]) for name in asset.inputs],
        description=asset.description,
        group_name=asset.group,
        kinds={asset.kind} if asset.kind else None,
    )


def _dependency(asset: Asset, upstream: Asset) -> dg.AssetDep:
    """An input that is cut in another way is read whole, as far as it was known: stages choose the
    rows by time.
    """
    differs = upstream.partitions not in ("none", asset.partitions)
    return dg.AssetDep(
        upstream.name, partition_mapping=dg.AllPartitionMapping() if differs else None
    )


@dg.definitions
def defs() -> dg.Definitions:
    """What `workspace.yaml` loads."""
    return build_definitions(load_settings())
