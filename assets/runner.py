"""Materialise assets in this process, so that what the command makes shows in the Dagster UI
without the cost of new processes.

A range is one run. `chain` is the main job: the whole graph from raw bars to replayed sessions, one
run a group of assets that share their partitions.
"""

import logging
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import dagster as dg

# private, since dagster exports no name for a failed blocking check
from dagster._core.errors import DagsterAssetCheckFailedError

from assets.chain import REPLAYED, chain
from assets.definitions import build_definitions
from assets.fan_out import Part
from assets.groups import ASSETS, JOBS, SESSION, op_name
from assets.instance import open_instance
from assets.outside_runner import OutsideRunner
from assets.picture_logs import printed_only
from assets.reporting import report_made
from assets.run_origin import runs_belong_to
from assets.sqlite_storage import open_databases
from harmony_pipeline.config import Settings
from harmony_pipeline.error_messages import root_cause
from harmony_pipeline.errors import ConfigError, HarmonyError, NotReady
from harmony_pipeline.partition_ranges import DatedPartition, chosen_partitions
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.suggestions import unknown_name

# by asset, those of its `options` that differ from the defaults
Options = Mapping[str, Mapping[str, bool]]


@dataclass(frozen=True)
class Runner:
    """One market's graph on its instance, ready to materialise."""

    settings: Settings
    pipeline: PipelineContext
    definitions: dg.Definitions
    instance: dg.DagsterInstance
    results: dict[str, StageResult] = field(default_factory=dict)
    """What each asset that was made here had to show last."""

    @staticmethod
    def of(
        settings: Settings,
        progress: Callable[[str, int, int], None] | None = None,
        *,
        again: bool = False,
    ) -> "Runner":
        """The runner of these settings; `progress` is told how long stages move on. `again` makes
        also what is unchanged.
        """
        results: dict[str, StageResult] = {}
        pipeline = PipelineContext(
            settings,
            **({"progress": progress} if progress else {}),
            record=results.__setitem__,
            again=again,
        )
        definitions = build_definitions(settings, {"pipeline": pipeline})
        instance = open_instance(settings)
        report_made(instance, pipeline)
        return Runner(settings, pipeline, definitions, instance, results)

    def partition_keys(self, asset: str) -> list[str]:
        """Every partition key of an asset, in order; empty when it is not partitioned."""
        definition = self.definitions.resolve_asset_graph().get(dg.AssetKey(asset)).partitions_def
        return list(definition.get_partition_keys()) if definition else []

    def chosen(self, asset: str, first: str | None, last: str | None, name: str = "") -> list[str]:
        """Keys of the partitions of `asset` in a range; raises ConfigError, which calls it `name`,
        for a range that holds none.
        """
        definition = self.definitions.resolve_asset_graph().get(dg.AssetKey(asset)).partitions_def
        slots = [DatedPartition(key) for key in self.partition_keys(asset)]
        if isinstance(definition, dg.TimeWindowPartitionsDefinition):
            windows = [definition.time_window_for_partition_key(slot.key) for slot in slots]
            slots = [
                DatedPartition(slot.key, window.start.date(), window.end.date())
                for slot, window in zip(slots, windows, strict=True)
            ]
        return chosen_partitions(slots, first, last, name or asset)

    def materialize(
        self,
        assets: Sequence[str],
        first: str | None = None,
        last: str | None = None,
        options: Options | None = None,
    ) -> None:
        """Materialise `assets` for the partitions first..last (both included) in one run. Raises
        the stage's own error.
        """
        logging.getLogger("dagster").setLevel(logging.ERROR)
        run_config = {
            # the terminal stays quiet, the run's log is whole
            "loggers": {"console": {"config": {"log_level": "CRITICAL"}}},
            "ops": {
                op_name(ASSETS[asset]): {"config": dict(chosen)}
                for asset, chosen in (options or {}).items()
            },
        }
        # what was known before is looked at here: the settings of other processes have no as_of
        if self.settings.dagster.executor == "in_process" or self.settings.as_of is not None:
            self._materialize_here(assets, Part(tuple(assets), first, last or first), run_config)
        else:
            keys = self._between(assets, first, last or first)
            self.results.update(OutsideRunner(self, run_config).materialize(assets, keys))

    def _materialize_here(
        self, assets: Sequence[str], part: Part, run_config: Mapping[str, Any]
    ) -> None:
        """One run in this process."""
        run_id = str(uuid.uuid4())
        try:
            job = self.job_of(assets)
            with (
                runs_belong_to(self.instance, job.name),
                open_databases(self.instance),
                printed_only(self.instance),
            ):
                job.execute_in_process(
                    instance=self.instance,
                    asset_selection=[dg.AssetKey(name) for name in assets],
                    tags=part.tags,
                    run_config=run_config,
                    raise_on_error=True,
                    run_id=run_id,
                )
        except DagsterAssetCheckFailedError:
            raise HarmonyError("; ".join(self.failed_checks(run_id))) from None
        except (dg.DagsterError, dg.Failure) as error:
            cause = root_cause(error)
            if cause is error:
                raise
            raise cause from None

    def _between(self, assets: Sequence[str], first: str | None, last: str | None) -> list[str]:
        """The partition keys first..last of the assets that have partitions."""
        keys = next(
            (found for name in reversed(assets) if (found := self.partition_keys(name))), []
        )
        if first is None or last is None:
            return []
        return keys[keys.index(first) : keys.index(last) + 1]

    def run_job(
        self,
        name: str,
        first: str | None = None,
        last: str | None = None,
        options: Options | None = None,
    ) -> None:
        """Materialise the assets of a job of the graph for the partitions first..last in one run;
        `options` are those of single assets.
        """
        self.materialize(JOBS[name].assets, first, last, options)

    def sense(self, sensor: str) -> tuple[list[str], str]:
        """Evaluate a sensor, as the daemon does: partition keys of the runs that it asks for, and
        why it asks for none.
        """
        repository = self.definitions.get_repository_def()
        context = dg.build_sensor_context(instance=self.instance, repository_def=repository)
        found = repository.get_sensor_def(sensor).evaluate_tick(context)
        keys = [str(each.partition_key) for each in found.run_requests or ()]
        return keys, found.skip_message or ""

    def job_of(self, assets: Sequence[str]) -> dg.JobDefinition:
        """The smallest named job that holds these assets, so that the run stands under it in the
        UI; else the job of all assets.
        """
        name = next((job.name for job in JOBS.values() if set(assets) <= set(job.assets)), None)
        return (
            self.definitions.resolve_job_def(name)
            if name
            else self.definitions.resolve_implicit_global_asset_job_def()
        )

    def facts_of(self, asset: str) -> dict[str, Any]:
        """What the asset had to show when it was last made here, by name; nothing when it was
        not.
        """
        result = self.results.get(asset)
        if result is None:
            return {}
        counts = {f"rows in {table}": number for table, number in result.rows.items()}
        notes = {"notes": "\n".join(f"- {note}" for note in result.notes)} if result.notes else {}
        return {**counts, **result.facts, **notes}

    def refuse_nothing(self, asset: str) -> None:
        """Raises NotReady with the reason when the asset had nothing to make: for commands whose
        result it is.
        """
        result = self.results.get(asset)
        if result is not None and result.nothing:
            raise NotReady(result.nothing)

    def made(self, assets: Sequence[str]) -> list[str]:
        """Those of `assets` that had something to make. Raises NotReady with the reasons when none
        of them had.
        """
        made = [name for name in assets if name in self.results and not self.results[name].nothing]
        if not made:
            raise NotReady(
                "; ".join(
                    dict.fromkeys(
                        self.results[name].nothing for name in assets if name in self.results
                    )
                )
            )
        return made

    def failed_checks(self, run_id: str) -> list[str]:
        """What the blocking checks of a run found, a sentence each."""
        sentences = []
        for record in self.instance.all_logs(run_id):
            event = record.dagster_event
            if event is None or event.event_type != dg.DagsterEventType.ASSET_CHECK_EVALUATION:
                continue
            found = event.asset_check_evaluation_data
            if not found.passed and found.blocking:
                rows = found.metadata.get("first rows")
                first = (
                    first_row(str(rows.value))
                    if rows
                    else ", ".join(
                        f"{name} {value.value}" for name, value in found.metadata.items()
                    )
                )
                count = found.metadata.get("offending rows")
                sentences.append(
                    f"blocking check {found.check_name} of {found.asset_key.to_user_string()}"
                    f" failed, so nothing after it was made; first of {count.value if count else 1}"
                    f" findings: {first}"
                )
        return sentences

    def backfill(
        self, asset: str, first: str | None, last: str | None
    ) -> tuple[list[str], list[str]]:
        """Materialise one asset (or a job's assets) over a range in one run; returns (assets,
        partition keys).
        """
        assets = self._named(asset)
        if not self.partition_keys(assets[-1]):
            if first is not None or last is not None:
                raise ConfigError(f"{asset} is not partitioned: leave --from and --to out")
            self.materialize(assets)
            return assets, []
        chosen = self.chosen(assets[-1], first, last, asset)
        self.materialize(assets, chosen[0], chosen[-1])
        return assets, chosen

    def _named(self, name: str) -> list[str]:
        if name in JOBS:
            return list(JOBS[name].assets)
        if name not in ASSETS:
            raise ConfigError(unknown_name("asset", name, [*sorted(ASSETS), *JOBS]))
        return [asset.name for asset in ASSETS.values() if asset.stage == ASSETS[name].stage]

    def view_of(self, asset: str) -> str:
        """The view that shows what an asset made."""
        return ASSETS[asset].view or asset

    def chain(self, announce: Callable[[str], None]) -> None:
        """The main job: bars, research, walk-forward, backtests, robustness, gate, scanner,
        replayed sessions.
        """
        with open_databases(self.instance):
            for step in chain(self.pipeline):
                announce(step.job.title)
                if step.job is SESSION:
                    days = self.partition_keys("paper_session")
                    self._replay_stretches(stretches(step.keys, days))
                else:
                    first, last = (step.keys[0], step.keys[-1]) if step.keys else (None, None)
                    self.materialize([asset.name for asset in step.job.own], first, last)

    def _replay_stretches(self, runs: Sequence[tuple[str, str]]) -> None:
        """Replay each stretch of days by a run of its own, so that the days without bars between
        them are left alone.
        """
        parts: dict[str, dict[str, StageResult]] = {}
        for first, last in runs:
            self.replay(first, last)
            for asset in SESSION.assets:
                if asset in self.results:
                    parts.setdefault(asset, {}).update(self.results[asset].parts)
        if len(runs) > 1:
            self.results.update(
                {asset: StageResult.of(found) for asset, found in parts.items() if found}
            )

    def replay(self, first: str, last: str) -> None:
        """Sessions of historical days through the simulated exchange, in this process, promoted
        model or not.
        """
        missing = [
            day
            for day in self.partition_keys("scan_candidates")
            if first <= day <= last and not self.pipeline.lake.has("scan_selections", day)
        ]
        if missing and self.settings.session.watch == "scanner":
            self.run_job("daily_scan", missing[0], missing[-1])
        self._sessions(first, last, REPLAYED)

    def trade(self, day: str) -> None:
        """The paper session of a day with the promoted model, in this process."""
        self._sessions(day, day, REPLAYED | {"require_promoted": True})

    def _sessions(self, first: str, last: str, options: Mapping[str, bool]) -> None:
        self.run_job("paper_session", first, last, {"paper_session": options})


def stretches(chosen: Sequence[str], keys: Sequence[str]) -> list[tuple[str, str]]:
    """(first, last) of every unbroken stretch of `chosen` within `keys`; both in order."""
    place = {key: at for at, key in enumerate(keys)}
    found: list[tuple[str, str]] = []
    for key in chosen:
        if found and place[key] == place[found[-1][1]] + 1:
            found[-1] = (found[-1][0], key)
        else:
            found.append((key, key))
    return found


def first_row(markdown: str) -> str:
    """The first row of a Markdown table as `name value, name value`."""
    lines = [
        [cell.strip() for cell in line.strip().strip("|").split("|")]
        for line in markdown.splitlines()
        if line.strip().startswith("|")
    ]
    if len(lines) < 3:
        return markdown
    return ", ".join(
        f"{name} {value}"
        for name, value in zip(lines[0], lines[2], strict=False)
        if value not in ("", "null")
    )
