"""Materialising by runs whose steps leave this process: waves of runs, what they had to show, and
why one failed.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import dagster as dg

from assets.fan_out import Part, Wave, waves
from assets.groups import ASSETS, op_name
from assets.outside_runs import (
    OutsideRun,
    create,
    drive,
    require_workers,
    settings_for_children,
    start_fork_server,
)
from assets.result_files import join_results, take_results
from assets.step_context import run_tags
from harmony_pipeline.config import Settings
from harmony_pipeline.errors import HarmonyError
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.result import StageResult

_INTERRUPTED = dg.DagsterExecutionInterruptedError.__name__


class Graph(Protocol):
    """What is needed of a `Runner`."""

    @property
    def settings(self) -> Settings:
        """The settings of the market."""

    @property
    def pipeline(self) -> PipelineContext:
        """The market."""

    @property
    def instance(self) -> dg.DagsterInstance:
        """Where runs are kept."""

    @property
    def definitions(self) -> dg.Definitions:
        """The graph."""

    def job_of(self, assets: Sequence[str]) -> dg.JobDefinition:
        """The job that a run of these assets stands under."""

    def failed_checks(self, run_id: str) -> list[str]:
        """What the blocking checks of a run found, a sentence each."""


@dataclass(frozen=True)
class OutsideRunner:
    """Makes assets of a graph by runs outside this process."""

    graph: Graph
    run_config: Mapping[str, Any]

    def materialize(self, assets: Sequence[str], keys: Sequence[str]) -> dict[str, StageResult]:
        """Make the assets for these partitions; what each had to show. Raises HarmonyError with
        the sentence of the first run that failed.
        """
        settings = self.graph.settings
        planned = list(waves(assets, keys, settings.dagster.concurrent_runs))
        found: dict[str, StageResult] = {}
        with settings_for_children(settings):
            if any(wave.is_cut for wave in planned):
                start_fork_server(makes_steps=self._makes_steps)
            require_workers(settings, assets)
            for wave in planned:
                found.update(self._make(wave))
        self.graph.pipeline.forget_grid()
        return found

    @property
    def _makes_steps(self) -> bool:
        """Whether steps are processes of this machine, and come from the same fork server."""
        return self.graph.settings.dagster.executor == "multiprocess"

    def _make(self, wave: Wave) -> dict[str, StageResult]:
        checks = self._checks(wave.parts[0].assets)
        by_part = checks[True] if wave.is_cut else None
        results = self._run([self._created(part, by_part) for part in wave.parts])
        if wave.is_cut and checks[False]:
            self._run([self._created(Part(()), checks[False], wave.parts[0].assets)])
        return results

    def _checks(self, assets: Sequence[str]) -> dict[bool, frozenset[dg.AssetCheckKey]]:
        """The checks of these assets: those that look at the partitions of a run, and those that
        ask the whole lake.
        """
        graph = self.graph.definitions.resolve_asset_graph()
        keys = {
            key for name in assets for key in graph.get_check_keys_for_assets({dg.AssetKey(name)})
        }
        partitioned = {key for key in keys if graph.get(key).partitions_def is not None}
        return {True: frozenset(partitioned), False: frozenset(keys - partitioned)}

    def _created(
        self,
        part: Part,
        checks: frozenset[dg.AssetCheckKey] | None,
        checked: Sequence[str] = (),
    ) -> OutsideRun:
        job = self.graph.job_of(part.assets or checked)
        ops = {op_name(ASSETS[name]) for name in part.assets}
        chosen = {name: value for name, value in self.run_config["ops"].items() if name in ops}
        return create(
            self.graph.instance,
            job.name,
            part,
            checks,
            {**self.run_config, "ops": chosen},
            {**part.tags, **run_tags(self.graph.pipeline)},
        )

    def _run(self, runs: Sequence[OutsideRun]) -> dict[str, StageResult]:
        """Execute runs side by side; what each asset had to show. Raises HarmonyError,
        and DagsterExecutionInterruptedError after a signal.
        """
        drive(self.graph.instance, runs, makes_steps=self._makes_steps)
        told: dict[str, list[StageResult]] = {}
        for each in runs:
            for asset, result in take_results(self.graph.settings, each.run.run_id).items():
                told.setdefault(asset, []).append(result)
        for each in runs:
            self._refuse_failure(each.run.run_id)
        joined = {asset: join_results(results) for asset, results in told.items()}
        return {asset: joined[asset] for asset in ASSETS if asset in joined}

    def _refuse_failure(self, run_id: str) -> None:
        record = self.graph.instance.get_run_by_id(run_id)
        if record is not None and record.status == dg.DagsterRunStatus.SUCCESS:
            return
        sentences = [*self._failures(run_id), *self.graph.failed_checks(run_id)]
        if any(_INTERRUPTED in one for one in sentences):
            # a signal came to this process: Dagster ended the run and raised nothing
            raise dg.DagsterExecutionInterruptedError
        raise HarmonyError(
            "; ".join(dict.fromkeys(sentences))
            or f"run {run_id} ended without success: its log is in harmony ui"
        )

    def _failures(self, run_id: str) -> list[str]:
        """Why steps of the run failed, in their own words."""
        kinds = {dg.DagsterEventType.STEP_FAILURE, dg.DagsterEventType.RUN_FAILURE}
        sentences = []
        for entry in self.graph.instance.all_logs(run_id, of_type=kinds):
            event = entry.dagster_event
            if event is None:
                continue
            if event.event_type == dg.DagsterEventType.STEP_FAILURE:
                data = event.step_failure_data
                said = data.user_failure_data.description if data.user_failure_data else None
                sentences.append(said or (data.error.message if data.error else ""))
            elif not sentences and event.job_failure_data.error:
                sentences.append(event.job_failure_data.error.message)
        return [one.strip() for one in sentences if one]
