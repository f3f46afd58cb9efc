"""What commands made without Dagster (`stages/unreported.py`), reported as materialised: the UI
shows it like the rest, without a run.
"""

import dagster as dg

from assets.checks import evaluate_sql, result_of, sql_checks
from assets.groups import ASSETS
from assets.metadata import made_alone
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.unreported import unreported


def report_made(instance: dg.DagsterInstance, pipeline: PipelineContext) -> int:
    """Report everything that was noted, with the checks of its assets; returns how many partitions
    that were.
    """
    with unreported(pipeline.settings.state_root) as found:
        known = [made for made in found if made.asset in ASSETS]
        for made in known:
            instance.report_runless_asset_event(
                dg.AssetMaterialization(
                    made.asset,
                    partition=made.partition,
                    metadata=made_alone(pipeline, made, instance),
                )
            )
        for check in sql_checks() if known else ():
            if check.asset in {made.asset for made in known}:
                result = result_of(evaluate_sql(pipeline, check))
                instance.report_runless_asset_event(
                    dg.AssetCheckEvaluation(
                        asset_key=dg.AssetKey(check.asset),
                        check_name=check.name,
                        passed=result.passed,
                        metadata=result.metadata,
                    )
                )
    return len(known)
