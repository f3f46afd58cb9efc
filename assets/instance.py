"""The Dagster instance inside the project's state folder, initialised once before anything uses it
at the same time.

Two processes that open a fresh DAGSTER_HOME together can corrupt it; a lock file makes the second
wait until the first has made every table.
"""

import json
import os
from pathlib import Path

import dagster as dg
from filelock import FileLock
from sqlalchemy import make_url

from assets.sqlite_storage import EVENT_BATCH
from harmony_pipeline.config import Settings
from harmony_pipeline.dagster_settings import DagsterSettings
from harmony_pipeline.errors import ConfigError, HarmonyError
from harmony_pipeline.files import write_text
from harmony_pipeline.text import one_line

_SQLITE = (
    "custom: {module: assets.sqlite_storage, class: SqliteStorage,"
    " config: {base_dir: {env: DAGSTER_HOME}}}"
)
_CONNECT_SECONDS = 10
_DAGSTER_YAML = """# Written by Harmony; edit [dagster] in the settings, or assets/instance.py.
telemetry: {{enabled: false}}
nux: {{enabled: false}}
python_logs: {{python_log_level: INFO}}
storage: {{{storage}}}
compute_logs:
  {{module: assets.picture_logs, class: PictureLogs, config: {{base_dir: {{env: DAGSTER_HOME}}}}}}
run_monitoring: {{enabled: true, max_runtime_seconds: {most_seconds}, cancel_timeout_seconds: 60}}
concurrency: {{runs: {{max_concurrent_runs: {runs}}}, pools: {{granularity: op, default_limit: 1}}}}
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
        text = _configuration(settings.dagster)
        if not configuration.exists() or configuration.read_text() != text:
            write_text(configuration, text)
        if settings.dagster.storage:
            _require_answer(settings.dagster.storage)
        instance = dg.DagsterInstance.get()
        instance.get_runs(limit=1)
        instance.all_asset_keys()
        instance.all_instigator_state()
    return instance


def _configuration(chosen: DagsterSettings) -> str:
    storage = _SQLITE
    if chosen.storage:
        _require_postgres()
        # psycopg 2 by name: to SQLAlchemy 2.1 a plain postgresql:// means psycopg 3, whose NOTIFY
        # takes no parameter, and so no event would be stored. libpq takes the password from
        # PGPASSWORD or ~/.pgpass.
        url = make_url(chosen.storage).set(drivername="postgresql+psycopg2")
        storage = f"postgres: {{postgres_url: {json.dumps(url.render_as_string())}}}"
    return _DAGSTER_YAML.format(
        storage=storage, most_seconds=chosen.max_runtime_seconds, runs=chosen.concurrent_runs
    )


def _require_postgres() -> None:
    try:
        import dagster_postgres  # noqa: F401
        import psycopg2  # noqa: F401
    except ImportError as error:
        raise ConfigError(
            f"dagster.storage names PostgreSQL, which needs {error.name}: pip install"
            " 'harmony-pipeline[scale]'"
        ) from None


def _require_answer(storage: str) -> None:
    """Ask once: Dagster asks several times, with a warning each, and then tells nothing of it."""
    import psycopg2

    try:
        psycopg2.connect(storage, connect_timeout=_CONNECT_SECONDS).close()
    except psycopg2.Error as error:
        raise HarmonyError(
            f"the database of dagster.storage, {storage}, cannot be opened"
            f" ({one_line(str(error)).strip()}): start PostgreSQL, or correct dagster.storage,"
            " PGPASSWORD or ~/.pgpass"
        ) from None
