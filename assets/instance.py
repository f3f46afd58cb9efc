"""The Dagster instance inside the project's state folder, initialised once before anything uses it
at the same time.

Two processes that open a fresh DAGSTER_HOME together can corrupt it; a lock file makes the second
wait until the first has made every table.
"""

import os
from pathlib import Path

import dagster as dg
from filelock import FileLock

from assets.sqlite_storage import EVENT_BATCH
from harmony_pipeline.config import Settings
from harmony_pipeline.files import write_text

_DAGSTER_YAML = """# Written by Harmony; edit assets/instance.py instead.
telemetry: {enabled: false}
nux: {enabled: false}
storage:
  custom:
    {module: assets.sqlite_storage, class: SqliteStorage, config: {base_dir: {env: DAGSTER_HOME}}}
compute_logs:
  {module: assets.picture_logs, class: PictureLogs, config: {base_dir: {env: DAGSTER_HOME}}}
run_monitoring: {enabled: true, max_runtime_seconds: 7200, cancel_timeout_seconds: 60}
concurrency: {runs: {max_concurrent_runs: 4}, pools: {granularity: op, default_limit: 1}}
"""


def dagster_home(settings: Settings) -> Path:
    """Folder of runs, events and schedules."""
    return settings.state_root / "dagster"


def open_instance(settings: Settings) -> dg.DagsterInstance:
    """The instance of this market, with DAGSTER_HOME pointing at it from now on."""
    home = dagster_home(settings)
    home.mkdir(parents=True, exist_ok=True)
    os.environ["DAGSTER_HOME"] = str(home)
    os.environ["DAGSTER_DISABLE_TELEMETRY"] = "1"
    os.environ.setdefault(*EVENT_BATCH)
    with FileLock(home / ".init.lock"):
        configuration = home / "dagster.yaml"
        if not configuration.exists() or configuration.read_text() != _DAGSTER_YAML:
            write_text(configuration, _DAGSTER_YAML)
        instance = dg.DagsterInstance.get()
        instance.get_runs(limit=1)
        instance.all_asset_keys()
        instance.all_instigator_state()
    return instance
