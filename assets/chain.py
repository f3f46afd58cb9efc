"""The main job from raw bars to replayed sessions: which assets and partitions it makes, and a run
of it without Dagster.
"""

from collections.abc import Iterator
from dataclasses import dataclass

from assets.groups import CHAIN, INGEST, NEWS, SCAN, SESSION, Job, Partitioning, made_together
from harmony_pipeline.log import log_context
from harmony_pipeline.stages import market, news
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.stages.stage_log import log_stage

# options of a session that is a replay in this process
REPLAYED = {"require_promoted": False, "own_process": False}


@dataclass(frozen=True)
class Step:
    """A job of the chain and the keys of the partitions that it makes; no key where its assets have
    no partitions.
    """

    job: Job
    keys: list[str]


def chain(pipeline: PipelineContext) -> Iterator[Step]:
    """Each job when it is due: which days have bars is known after the ingest.

    A lake without a bar ends the chain after the ingest: nothing else could be made. News are left
    out where there is no source of them.
    """
    latest = {
        SCAN.name: pipeline.settings.scanner.run_days,
        SESSION.name: pipeline.settings.session.replay_days,
    }
    for job in CHAIN:
        if job is not INGEST and market.latest_period_with_bars(pipeline) is None:
            return
        if job is NEWS and not news.is_on(pipeline):
            continue
        partitions = job.own[-1].partitions
        keys = _all_keys(pipeline, partitions)
        if job.name in latest:
            keys = keys[max(0, len(keys) - latest[job.name]) :]
        if keys or partitions == "none":
            yield Step(job, keys)


def _all_keys(pipeline: PipelineContext, partitions: Partitioning) -> list[str]:
    match partitions:
        case "none":
            return []
        case "trading":
            return [period.key for period in pipeline.trading_periods()]
        case "retraining":
            return [period.key for period in pipeline.retraining_periods()]
        case "days":
            return [day.isoformat() for day in market.sessions_with_bars(pipeline)]
        case "strategies":
            return list(pipeline.settings.backtest_names)


def run_stages(
    pipeline: PipelineContext, last: Job = SESSION, *, checked: bool = False
) -> dict[str, StageResult]:
    """Run the chain up to the job `last` in this process, without Dagster; returns what each asset
    had to show. `checked`: every check of the graph is evaluated, too, and a blocking one that
    fails raises DataError.
    """
    from assets.checks import evaluate_all

    results: dict[str, StageResult] = {}
    for step in chain(pipeline):
        for assets in made_together(step.job.own):
            options = REPLAYED if assets[0].name == "paper_session" else {}
            with log_context(asset=assets[0].name):
                result = assets[0].make(pipeline, step.keys, **options)
                for asset in assets:
                    log_stage(pipeline, asset.name, result, step.keys)
                    results[asset.name] = result
                if checked:
                    evaluate_all(pipeline, [asset.name for asset in assets], step.keys)
        if step.job is last:
            break
    return results
