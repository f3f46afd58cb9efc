"""How Dagster runs the graph: which executor makes the assets, and where runs and events are kept.
Nothing of it changes what is made.
"""

from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator

from harmony_pipeline.settings_base import FrozenSettings
from harmony_pipeline.text import holds_password

EXECUTORS = ("in_process", "multiprocess", "celery")


class DagsterSettings(FrozenSettings):
    """The engine under the graph."""

    executor: str = Field(
        "in_process",
        description="what makes the assets of a run: in_process, multiprocess (a process a step),"
        " celery (workers on any machine: harmony service worker), or an import path"
        " module:executor",
    )
    storage: str = Field(
        "",
        description="URL of the PostgreSQL database that keeps runs and events, like"
        " postgresql://user@host/database; empty: SQLite in the state folder",
    )
    concurrent_runs: int = Field(
        4,
        ge=1,
        description="runs at the same time; into so many a command cuts a range of partitions that"
        " do not follow from each other, where the executor is not in_process",
    )
    processes: int = Field(
        0,
        ge=0,
        description="steps at the same time, of a run with multiprocess and of one worker; 0: one a"
        " core",
    )
    broker: str = Field(
        "redis://127.0.0.1:6379/1",
        description="URL of the Redis through which Celery's workers are given steps",
    )
    queue: str = Field(
        "harmony",
        pattern=r"^[A-Za-z0-9_.-]+$",
        description="Celery queue of this market; sessions have one of their own, QUEUE-session",
    )
    redeliver_seconds: int = Field(
        3600,
        ge=1,
        description="a step that a worker took and did not end within this time is given to another"
        " one: longer than the longest step",
    )
    max_runtime_seconds: int = Field(
        7200,
        ge=1,
        description="the daemon ends a run that takes longer; sessions may take 26 hours",
    )

    @field_validator("executor")
    @classmethod
    def _is_known(cls, text: str) -> str:
        if text not in EXECUTORS and ":" not in text:
            raise ValueError(
                f"'{text}' is no executor: choose of {', '.join(EXECUTORS)}, or name one of your"
                " own as module:executor"
            )
        return text

    @field_validator("storage", "broker")
    @classmethod
    def _is_url_without_password(cls, text: str, info: ValidationInfo) -> str:
        is_storage = info.field_name == "storage"
        wanted = ("postgresql",) if is_storage else ("redis", "rediss")
        like = "postgresql://user@host/database" if is_storage else "redis://host:6379/1"
        if holds_password(text):
            raise ValueError(
                "the URL holds a password: give it in PGPASSWORD or ~/.pgpass, or in REDIS_PASSWORD"
            )
        try:
            parts = urlsplit(text)
            _ = parts.port  # read when it is asked for
        except ValueError:
            raise ValueError(f"the URL cannot be read: write it like {like}") from None
        if text and parts.scheme not in wanted:
            raise ValueError(f"write it like {like}")
        if not text and not is_storage:
            raise ValueError(f"the broker is empty: write it like {like}")
        return text
