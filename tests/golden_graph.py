"""The shape of the graph as text: `make golden` rewrites tests/graph/golden_graph.txt after an
intended change.
"""

from pathlib import Path

import dagster as dg

from assets.definitions import build_definitions
from assets.groups import ASSETS, JOBS
from harmony_pipeline.config import load_settings

GOLDEN = Path(__file__).parent / "graph" / "golden_graph.txt"


def graph_text() -> str:
    definitions = build_definitions(
        load_settings(Path(__file__).parent.parent / "harmony.toml", {})
    )
    graph = definitions.resolve_asset_graph()
    lines = []
    for name in ASSETS:
        node = graph.get(dg.AssetKey(name))
        lines.append(f"asset {name}")
        lines.append(f"  group: {node.group_name}")
        lines.append(f"  partitions: {_partitions(node.partitions_def)}")
        lines.append(
            "  depends on:"
            f" {', '.join(sorted(parent.to_user_string() for parent in node.parent_keys)) or '-'}"
        )
        checks = sorted(
            (
                check.name,
                graph.get(check).blocking if hasattr(graph.get(check), "blocking") else False,
            )
            for check in node.check_keys
        )
        lines += [f"  check: {name}" for name, _blocking in checks]
    repository = definitions.get_repository_def()
    lines += [
        f"job {job.name}: {', '.join(_in_order(job))}"
        for job in (repository.get_job(name) for name in JOBS)
    ]
    lines += [
        f"schedule {schedule.name}: {schedule.cron_schedule} {schedule.execution_timezone}"
        for schedule in sorted(repository.schedule_defs, key=lambda one: one.name)
    ]
    lines += [
        f"sensor {sensor.name}"
        for sensor in sorted(repository.sensor_defs, key=lambda one: one.name)
    ]
    return "\n".join(lines) + "\n"


def _in_order(job: dg.JobDefinition) -> list[str]:
    """Assets that the job makes, in the order of the list."""
    made = {key.to_user_string() for key in job.asset_layer.selected_asset_keys}
    return [name for name in ASSETS if name in made]


def _partitions(definition: dg.PartitionsDefinition | None) -> str:
    if definition is None:
        return "none"
    keys = list(definition.get_partition_keys())
    return f"{len(keys)} from {keys[0]} to {keys[-1]}"


if __name__ == "__main__":
    GOLDEN.write_text(graph_text())
    print(f"wrote {GOLDEN.name}")
