"""The folder of trained models, and the model that may trade.

    ROOT/MODEL_ID/card.json        description
    ROOT/MODEL_ID/model.txt        fitted bytes (or the forecaster's own file)
    ROOT/MODEL_ID/manifest.json    hash of each file
    ROOT/promoted.json             the promoted model, and every earlier one

A model is whole or absent: it is written aside, flushed, and renamed. An existing model is never
changed, since its id is a hash of its content. A model whose files do not match their hashes is not
loaded. The promoted pointer also holds the hash of the artifact, so a session trades exactly the
model that the gate approved.
"""

import json
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from harmony_pipeline.errors import DataError, NotReady
from harmony_pipeline.files import flush, write_bytes
from harmony_pipeline.hashing import short_hash
from harmony_pipeline.models.base import to_json
from harmony_pipeline.models.trained import TrainedModel

MANIFEST = "manifest.json"
PROMOTED = "promoted.json"


@dataclass(frozen=True)
class Promotion:
    """One entry of the promoted pointer."""

    model_id: str
    decided_at: datetime
    artifact_hash: str


class ModelRegistry:
    """Trained models below `root`, which is STATE/models. Any number of readers; of concurrent
    writers the first wins.

    For a look back `behind` is the registry of the present. Its models can be read, its promotions
    count up to `until`, and nothing is written there.
    """

    def __init__(
        self, root: Path, behind: Path | None = None, until: datetime | None = None
    ) -> None:
        self.root = root
        self.behind = behind
        self.until = until

    def path(self, model_id: str) -> Path:
        """Folder of a model, whether or not it exists."""
        own = self.root / model_id
        return own if self.behind is None or own.exists() else self.behind / model_id

    def save(self, trained: TrainedModel) -> Path:
        """Save a model. A second save changes nothing. A damaged copy is moved aside
        and replaced.
        """
        files = trained.files()
        folder = self.root / trained.model_id
        if folder.exists() and self._is_sound(trained.model_id):
            return folder
        self.root.mkdir(parents=True, exist_ok=True)
        aside = Path(tempfile.mkdtemp(prefix=f".{trained.model_id}.", suffix=".tmp", dir=self.root))
        try:
            for name, content in files.items():
                write_bytes(aside / name, content)
            write_bytes(
                aside / MANIFEST, to_json({name: _hash(content) for name, content in files.items()})
            )
            aside.chmod(0o755)
            flush(aside)
            self._publish(aside, trained.model_id)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
        return folder

    def _publish(self, aside: Path, model_id: str) -> None:
        folder = self.root / model_id
        if folder.exists() and not self._is_sound(model_id):
            folder.rename(
                Path(tempfile.mkdtemp(prefix=f".{model_id}.", suffix=".damaged", dir=self.root))
                / model_id
            )
        try:
            aside.rename(folder)
        except OSError:
            # otherwise another process has just saved the same model
            if not self._is_sound(model_id):
                raise
        flush(self.root)

    def _is_sound(self, model_id: str) -> bool:
        try:
            self._read(model_id)
        except (DataError, NotReady):
            return False
        return True

    def has(self, model_id: str) -> bool:
        """Whether the folder of the model exists. `load` checks its files."""
        return (self.path(model_id) / MANIFEST).is_file()

    def load(self, model_id: str, artifact_hash: str | None = None) -> TrainedModel:
        """The model, after a check of every file against its hash, and of the whole against a
        pinned `artifact_hash`.

        Raises NotReady when there is no such model and DataError when it is not what was saved.
        """
        files = self._read(model_id)
        found = _artifact_hash(files)
        if artifact_hash is not None and found != artifact_hash:
            raise DataError(
                f"{self.path(model_id)}: the artifact's hash is {found}, pinned was"
                f" {artifact_hash}; materialise and promote it again"
            )
        trained = TrainedModel.from_files(files)
        if trained.model_id != model_id:
            raise DataError(
                f"{self.path(model_id)}: the folder holds the model {trained.model_id}; move it to"
                " that name or materialise the model again"
            )
        return trained

    def _read(self, model_id: str) -> dict[str, bytes]:
        folder = self.path(model_id)
        if not (folder / MANIFEST).is_file():
            raise NotReady(
                f"there is no model {model_id} in {self.root}; make it with: harmony backfill model"
            )
        try:
            hashes: dict[str, str] = json.loads((folder / MANIFEST).read_bytes())
            files = {name: (folder / name).read_bytes() for name in hashes}
        except (OSError, ValueError) as error:
            raise DataError(
                f"{folder}: cannot be read ({error}); materialise the model again"
            ) from None
        for name, content in files.items():
            if _hash(content) != hashes[name]:
                raise DataError(
                    f"{folder / name}: the file does not match its hash in {MANIFEST}; materialise"
                    " the model again"
                )
        return files

    def artifact_hash(self, model_id: str) -> str:
        """Hash of all files of a model, which a session pins."""
        return _artifact_hash(self._read(model_id))

    def promote(self, model_id: str, decided_at: datetime) -> Promotion:
        """Make this the model that trades. A repeated promotion changes nothing.

        Raises NotReady or DataError when it cannot be loaded.
        """
        history = self.history()
        new = Promotion(model_id, decided_at, _artifact_hash(self.load(model_id).files()))
        if history and (history[-1].model_id, history[-1].artifact_hash) == (
            new.model_id,
            new.artifact_hash,
        ):
            return history[-1]
        self._point_at((*history, new))
        return new

    def demote(self, model_id: str, decided_at: datetime, successor: str | None) -> None:
        """Let `successor` trade instead of this model, or nothing when it is None. When another
        model trades already, nothing changes.
        """
        history = self.history()
        if not history or history[-1].model_id != model_id:
            return
        if successor is not None:
            self.promote(successor, decided_at)
        else:
            self._point_at((*history, Promotion("", decided_at, "")))

    def _point_at(self, history: Sequence[Promotion]) -> None:
        entries = [
            {
                "model_id": one.model_id,
                "decided_at": one.decided_at.isoformat(),
                "artifact_hash": one.artifact_hash,
            }
            for one in history
        ]
        write_bytes(self.root / PROMOTED, to_json({**entries[-1], "history": entries}))

    def history(self) -> list[Promotion]:
        """Every promotion, oldest first; one without a model says that nothing trades. Raises
        DataError when the pointer cannot be read.
        """
        own = self._promotions(self.root / PROMOTED)
        if self.behind is None or own:
            return own
        return [
            one
            for one in self._promotions(self.behind / PROMOTED)
            if self.until is None or one.decided_at <= self.until
        ]

    def _promotions(self, path: Path) -> list[Promotion]:
        if not path.exists():
            return []
        try:
            entries: list[dict[str, Any]] = json.loads(path.read_bytes())["history"]
            return [
                Promotion(
                    one["model_id"], datetime.fromisoformat(one["decided_at"]), one["artifact_hash"]
                )
                for one in entries
            ]
        except (KeyError, TypeError, ValueError) as error:
            raise DataError(
                f"{path}: not a promotion record ({error!r}); restore it, or delete it and have the"
                " gate decide again"
            ) from None

    def promoted(self) -> str | None:
        """Id of the model that may trade; None before the first promotion, and when the last one
        was demoted without a successor.
        """
        history = self.history()
        return (history[-1].model_id or None) if history else None

    def load_promoted(self) -> TrainedModel:
        """The model that may trade, exactly as the gate approved it. Raises NotReady when none was
        promoted.
        """
        history = self.history()
        if not history:
            raise NotReady(
                "no model has been promoted; put the newest before the gate with: harmony backfill"
                " promoted_model"
            )
        if not history[-1].model_id:
            raise NotReady(
                f"model {history[-2].model_id} was demoted, and none before it may trade: see why"
                " in the table promotions, and promote a newer one with: harmony backfill"
                " promoted_model"
            )
        return self.load(history[-1].model_id, history[-1].artifact_hash)


def _hash(content: bytes) -> str:
    return short_hash(content, 16)


def _artifact_hash(files: Mapping[str, bytes]) -> str:
    return _hash(to_json({name: _hash(content) for name, content in files.items()}))
