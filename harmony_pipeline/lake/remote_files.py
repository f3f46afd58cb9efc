"""Objects as files: a seekable reader pinned to one version of an object, and the file system
through which DuckDB reads a lake in an object store.

DuckDB 2 has no `httpfs` here, so it is handed these files under the same `s3://` names that the
views use.
"""

import io
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any

from fsspec import AbstractFileSystem

TAIL_BYTES = 65_536  # one request brings size, version and most footers


class PinnedFile(io.RawIOBase):
    """One version of an object; reading on after it was replaced raises obstore's
    PreconditionError. Raises FileNotFoundError when there is none.
    """

    def __init__(self, store: Any, name: str) -> None:
        import obstore

        super().__init__()
        answer = obstore.get(store, name, options={"range": {"suffix": TAIL_BYTES}})
        self._tail = bytes(answer.bytes())
        self.size = int(answer.meta["size"])
        self.tag = str(answer.meta["e_tag"])
        self.modified = answer.meta["last_modified"]
        self._store, self._name, self._at = store, name, 0

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """Where the next read begins."""
        return self._at

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        """Move there."""
        self._at = max(
            0, offset + {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self.size}[whence]
        )
        return self._at

    def read(self, size: int | None = -1) -> bytes:
        """The next bytes, from one request at most."""
        end = self.size if size is None or size < 0 else min(self.size, self._at + size)
        start, self._at = self._at, max(self._at, end)
        return self._bytes(start, end)

    def readinto(self, buffer: Any) -> int:
        """The next bytes into a buffer."""
        found = self.read(len(buffer))
        buffer[: len(found)] = found
        return len(found)

    def readall(self) -> bytes:
        """Everything that is left."""
        return self.read()

    def _bytes(self, start: int, end: int) -> bytes:
        import obstore

        if start >= end:
            return b""
        kept_from = self.size - len(self._tail)
        if start >= kept_from:
            return self._tail[start - kept_from : end - kept_from]
        return bytes(
            obstore.get(
                self._store, self._name, options={"range": (start, end), "if_match": self.tag}
            ).bytes()
        )


class ObjectFileSystem(AbstractFileSystem):  # type: ignore[misc]
    """Read-only, and only what DuckDB asks for: list, find, open."""

    protocol = "s3"
    cachable = False

    def __init__(self, store: Any, root: str) -> None:
        super().__init__()
        self._objects, self._root = store, root.removeprefix("s3://").strip("/")

    def _name(self, path: str) -> str:
        return str(self._strip_protocol(path)).removeprefix(self._root).strip("/")

    def _path(self, name: str) -> str:
        return f"{self._root}/{name}"

    def info(self, path: str, **_options: Any) -> dict[str, Any]:
        """Size and kind."""
        import obstore

        meta = obstore.head(self._objects, self._name(path))
        return {
            "name": self._path(meta["path"]),
            "size": meta["size"],
            "type": "file",
            "LastModified": meta["last_modified"],
        }

    def modified(self, path: str) -> Any:
        """When it was written."""
        return self.info(path)["LastModified"]

    def exists(self, path: str, **_options: Any) -> bool:
        """Whether there is such an object."""
        try:
            self.info(path)
        except FileNotFoundError:
            return False
        return True

    def glob(self, path: str, **_options: Any) -> list[str]:
        """Objects whose name matches, segment by segment; one listing below the part that has no
        wildcard.
        """
        import obstore

        wanted = self._name(path).split("/")
        fixed = wanted[
            : next(
                (at for at, part in enumerate(wanted) if set(part) & set("*?[")), len(wanted) - 1
            )
        ]
        names = (
            entry["path"]
            for batch in obstore.list(self._objects, prefix="/".join(fixed) or None)
            for entry in batch
        )
        return sorted(self._path(name) for name in names if _matches(name.split("/"), wanted))

    def open(self, path: str, mode: str = "rb", **_options: Any) -> PinnedFile:
        """A pinned reader."""
        if mode not in {"rb", "r"}:
            raise PermissionError("SQL only reads the lake")
        return PinnedFile(self._objects, self._name(path))


def _matches(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    return len(parts) == len(wanted) and all(
        fnmatchcase(part, pattern) for part, pattern in zip(parts, wanted, strict=True)
    )
