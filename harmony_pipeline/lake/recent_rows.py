"""The rows of small files that this process wrote last, for whoever reads them next.

A stage reads what the stages before it made, often several times, and decoding a small file costs
more than the work on its rows. Rows belong to one file, known by inode, size and times: another
file under its name, whoever wrote it, is read.
"""

import os

import polars as pl

# device, inode, bytes, and when the bytes and the names of a file last changed, in nanoseconds
Identity = tuple[int, int, int, int, int]
_FILE_BYTES, _ALL_BYTES = 1 << 22, 1 << 26  # in memory


def identity_of(state: os.stat_result) -> Identity:
    """Which file this is; another one after its bytes or its name changed."""
    return state.st_dev, state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns


class RecentRows:
    """Rows by path, those of the oldest write first; 64 MB of them at most."""

    def __init__(self) -> None:
        self._kept: dict[str, tuple[Identity, pl.DataFrame, int]] = {}
        self._bytes = 0

    def keep(self, path: str, rows: pl.DataFrame) -> None:
        """Remember the rows of the file that now lies at `path`, if they are few."""
        size = int(rows.estimated_size())
        self._forget(path)
        if size > _FILE_BYTES:
            return
        self._kept[path] = (identity_of(os.stat(path)), _copied(rows), size)
        self._bytes += size
        while self._bytes > _ALL_BYTES:
            self._forget(next(iter(self._kept)))

    def of(self, path: str) -> pl.DataFrame | None:
        """The rows of the file at `path`; None where they are not remembered, or it is another."""
        kept = self._kept.get(path)
        if kept is None:
            return None
        try:
            found = identity_of(os.stat(path))
        except OSError:
            return None
        return kept[1].clone() if found == kept[0] else None

    def _forget(self, path: str) -> None:
        kept = self._kept.pop(path, None)
        self._bytes -= kept[2] if kept else 0


def _copied(rows: pl.DataFrame) -> pl.DataFrame:
    """The rows in memory of their own, in one piece: Polars borrows the memory of arrays of NumPy
    and Arrow, to which their owner may write, and a slice keeps all that it was cut from.
    """
    # one frame alone would not be copied
    return pl.concat([rows, rows.head(1)], rechunk=True).head(rows.height)
