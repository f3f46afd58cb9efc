"""Pictures of the Dagster UI that are drawn when a browser asks for them.

A Markdown value of an event holds the address of a picture, `/logs/pictures/ID/png`. Dagster's web
server asks the instance's manager of captured logs for the file behind such an address: this one
keeps the logs as Dagster's own does, and has pictures drawn. So every web server of the instance
shows them, and none needs to be ours.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path
from typing import Any

import dagster as dg

# private, since dagster exports the class for documentation only
from dagster._core.storage.compute_log_manager import CapturedLogContext
from dagster._core.storage.local_compute_log_manager import LocalComputeLogManager

from harmony_pipeline.reports.drawings import Drawing, drawn_file, keep

_PICTURES = "pictures"


class PictureLogs(LocalComputeLogManager):
    """What `dagster.yaml` names for `compute_logs`; `base_dir` is DAGSTER_HOME."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        super().__init__(str(Path(base_dir) / "storage"), inst_data=inst_data)
        self._pictures = Path(base_dir) / _PICTURES

    _capturing = True

    @contextmanager
    def capture_logs(self, log_key: Sequence[str]) -> Iterator[CapturedLogContext]:
        """What a step prints goes into files, too; not so within `printed_only`."""
        if not self._capturing:
            yield CapturedLogContext(log_key)
            return
        with super().capture_logs(log_key) as captured:
            yield captured

    @contextmanager
    def printed_only(self) -> Iterator[None]:
        """Leave what is printed to the terminal of a command: Dagster starts four processes a step
        to copy it from there.
        """
        self._capturing = False
        try:
            yield
        finally:
            self._capturing = True

    @classmethod
    def config_type(cls) -> Any:
        """The fields of `config`; Dagster asks."""
        return {"base_dir": dg.StringSource}

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "PictureLogs":
        """The manager of the home `base_dir`; Dagster calls it."""
        return cls(inst_data=inst_data, **config_value)

    def keep(self, drawing: Drawing) -> str:
        """Keep a drawing; returns the address at which a web server has it drawn."""
        return f"/logs/{_PICTURES}/{keep(drawing, self._pictures)}/png"

    def get_captured_local_path(
        self, log_key: Sequence[str], extension: str, partial: bool = False
    ) -> str:
        """The file of a captured log, or of a picture; nothing lies there for a picture that was
        never kept.
        """
        if len(log_key) == 2 and log_key[0] == _PICTURES and extension == "png":
            found = drawn_file(log_key[1], self._pictures)
            return str(found or self._pictures / "none.png")
        return str(super().get_captured_local_path(log_key, extension, partial))


@contextmanager
def printed_only(instance: dg.DagsterInstance) -> Iterator[None]:
    """What steps of this process print stays on the terminal alone."""
    logs = instance.compute_log_manager
    with logs.printed_only() if isinstance(logs, PictureLogs) else nullcontext():
        yield
