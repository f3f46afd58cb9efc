"""Objects as files: a seekable reader pinned to one version of an object, and the file system
through which DuckDB reads a lake in an object store.

DuckDB 2 has no `httpfs` here, so it is handed these files under the same `s3://` names that the
views use.
"""

import io
from collections.abc import Sequence
from fnmatch import fnmatchcase
from typing import Any, NamedTuple

from fsspec import AbstractFileSystem

TAIL_BYTES = 65_536  # one request brings size, version and most footers
_KEPT_OBJECTS = 256  # small ones of one connection: 16 MB at most


class Version(NamedTuple):
    """What one request tells of an object as it is now: its last bytes, size, tag, and time."""

    tail: bytes
    size: int
    tag: str
    modified: Any

    @classmethod
    def of(cls, store: Any, name: str) -> "Version":
        """Raises FileNotFoundError when there is no object of that name."""
        import obstore

        answer = obstore.get(store, name, options={"range": {"suffix": TAIL_BYTES}})
        meta, tail = answer.meta, bytes(answer.bytes())
        return cls(tail, int(meta["size"]), str(meta["e_tag"]), meta["last_modified"])


class PinnedFile(io.RawIOBase):
    """One version of an object, the present one unless one is given; reading on after it was
    replaced raises obstore's PreconditionError. Raises FileNotFoundError when there is none.
    """

    def __init__(self, store: Any, name: str, version: Version | None = None) -> None:
        super().__init__()
        self.version = Version.of(store, name) if version is None else version
        self._tail, self.size, self.tag, self.modified = self.version
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
    """Read-only, and only what DuckDB asks for: list, open, size and time.

    DuckDB binds a query several times. Each time it lists the objects, opens them, and asks for the
    size and the time of each. Both are those of the version that was opened: a newer one must not
    lend them to the bytes of an older one. A listing tells the version of each object, so a small
    one that was fetched whole is not fetched again until a listing names another version. Of a
    large one the present version is opened each time: more of it has to be there to be read.
    """

    protocol = "s3"
    cachable = False

    def __init__(self, store: Any, root: str) -> None:
        super().__init__()
        self._objects, self._root = store, root.removeprefix("s3://").strip("/")
        self._listed: dict[str, str | None] = {}  # the tag of each object in its last listing
        self._kept: dict[str, Version] = {}
        self._opened: dict[str, tuple[int, Any]] = {}  # size and time of what was opened last

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

    def size(self, path: str) -> int:
        """Bytes of the version that was opened last, else of the present one."""
        opened = self._opened.get(self._name(path))
        return int(self.info(path)["size"]) if opened is None else opened[0]

    def modified(self, path: str) -> Any:
        """When the version that was opened last, else the present one, was written."""
        opened = self._opened.get(self._name(path))
        return self.info(path)["LastModified"] if opened is None else opened[1]

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
        found = {
            entry["path"]: entry["e_tag"]
            for batch in obstore.list(self._objects, prefix="/".join(fixed) or None)
            for entry in batch
        }
        self._listed |= found
        return sorted(self._path(name) for name in found if _matches(name.split("/"), wanted))

    def open(self, path: str, mode: str = "rb", **_options: Any) -> PinnedFile:
        """A pinned reader."""
        if mode not in {"rb", "r"}:
            raise PermissionError("SQL only reads the lake")
        name = self._name(path)
        kept = self._kept.get(name)
        if kept is not None and kept.tag != self._listed.get(name):
            kept = None
        file = PinnedFile(self._objects, name, kept)
        self._opened[name] = file.size, file.modified
        is_whole = file.size <= TAIL_BYTES
        if is_whole and (name in self._kept or len(self._kept) < _KEPT_OBJECTS):
            self._kept[name] = file.version
        return file


def _matches(parts: Sequence[str], wanted: Sequence[str]) -> bool:
    return len(parts) == len(wanted) and all(
        fnmatchcase(part, pattern) for part, pattern in zip(parts, wanted, strict=True)
    )
