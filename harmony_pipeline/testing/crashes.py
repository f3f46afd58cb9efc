"""A process that dies: whatever counts its steps on a fuse raises at the k-th of them."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from harmony_pipeline.session.ledger import Ledger


class Crash(BaseException):
    """The process is gone; no handler may catch it."""


class Fuse:
    """Counts the steps of a process, and kills it at number `at`."""

    def __init__(self, at: int | None = None) -> None:
        self.at = at
        self.steps = 0

    def burn(self) -> None:
        """One step."""
        self.steps += 1
        if self.steps == self.at:
            raise Crash


class CrashingLedger(Ledger):
    """Dies before each write and after each commit."""

    def __init__(self, path: Path | str, fuse: Fuse) -> None:
        self.fuse = Fuse()
        super().__init__(path)
        self.fuse = fuse

    def _write(self, name: str, values: Mapping[str, Any]) -> int:
        self.fuse.burn()
        return super()._write(name, values)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """A transaction, and a step after its commit."""
        outermost = not self._open_transaction
        with super().transaction():
            yield
        if outermost:
            self.fuse.burn()
