"""A lake in an S3-compatible object store: `s3://bucket/prefix`.

A put is atomic there; what a rename does on a disk, a conditional put does here. Credentials and
region come from the `AWS_*` environment and are read by the clients themselves, so they pass
through no object of ours, no log and no error. Another server than Amazon's is named by the setting
`lake.endpoint` or by `AWS_ENDPOINT_URL`.
"""

import io
import os
import shutil
import tempfile
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager, nullcontext
from datetime import timedelta
from pathlib import Path
from typing import IO, Any, TypeVar, cast

import polars as pl
import tenacity
from polars.io.plugins import register_io_source

from harmony_pipeline.errors import ConfigError, DataError, Superseded
from harmony_pipeline.lake.leases import Lease, lease, runs
from harmony_pipeline.lake.manifest import parsed
from harmony_pipeline.lake.store import (
    FileFacts,
    FileVersion,
    LockHandle,
    not_parquet,
    schema_of_bytes,
    with_added,
)

_FILES_AT_ONCE = 16
_ATTEMPTS = 6
_LARGEST_PUT = 5 * 2**30  # of one conditional put
_REQUESTS_AT_ONCE = 16
_RETRIES: Any = {
    "max_retries": 4,
    "retry_timeout": timedelta(seconds=30),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=3),
        "base": 2,
    },
}
_TIMEOUTS: Any = {"connect_timeout": timedelta(seconds=5), "timeout": timedelta(minutes=10)}

Item = TypeVar("Item")
Answer = TypeVar("Answer")


class _ReplacedMeanwhile(Exception):
    """An object was replaced while it was read."""


class ObjectStore:
    """Objects below one prefix of one bucket."""

    def __init__(self, url: str, endpoint: str | None = None) -> None:
        scheme, _, rest = url.rstrip("/").partition("://")
        bucket, _, prefix = rest.partition("/")
        if scheme != "s3" or not bucket or "@" in rest:
            raise ConfigError(
                "paths.lake: a lake in an object store is written s3://bucket/prefix, with the"
                " credentials in AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
            )
        try:
            from obstore.store import S3Store
        except ImportError:
            raise ConfigError(
                f"paths.lake: {url} needs the object store client: pip install"
                ' "harmony-pipeline[s3]"'
            ) from None
        self.root = f"s3://{rest}"
        place = (
            endpoint or os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
        )
        self.storage_options = {
            "aws_region": (
                os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION") or "us-east-1"
            )
        }
        if place:
            self.storage_options["aws_endpoint_url"] = place
            self.storage_options["aws_allow_http"] = (
                "true" if place.startswith("http://") else "false"
            )
        # "multipart" is the copy that succeeds only if the target is absent: what keeps a late
        # writer from overwriting history
        config = {"aws_copy_if_not_exists": "multipart", **self.storage_options}
        self._objects: Any = S3Store(
            bucket,
            prefix=prefix or None,
            config=cast("Any", config),
            retry_config=_RETRIES,
            client_options=_TIMEOUTS,
        )
        self._scratch = tempfile.mkdtemp(prefix="harmony-lake-")
        weakref.finalize(self, shutil.rmtree, self._scratch, ignore_errors=True)

    def address(self, name: str) -> str:
        """Its URL."""
        return f"{self.root}/{name}"

    def map_parallel(
        self, function: Callable[[Item], Answer], items: Sequence[Item]
    ) -> list[Answer]:
        """`function` of every item, with many requests under way."""
        if len(items) < 2:
            return [function(item) for item in items]
        with ThreadPoolExecutor(_REQUESTS_AT_ONCE) as pool:
            return list(pool.map(function, items))

    def files(self, folder: str, *, hidden: bool = False) -> list[FileFacts]:
        """Every object below `folder`; nothing is ever half put, so none is hidden."""
        import obstore

        found = [
            FileFacts(entry["path"], entry["size"], entry["last_modified"].timestamp())
            for batch in _request(
                lambda: list(obstore.list(self._objects, prefix=folder or None)), self.root
            )
            for entry in batch
        ]
        return sorted(found, key=lambda one: one.name)

    def exists(self, name: str) -> bool:
        """Whether there is such an object."""
        return self._tag(name) is not None

    def footer(self, name: str) -> dict[str, str] | None:
        """Key-value pairs of a footer, by one request."""
        tail = self._tail(name)
        try:
            return None if tail is None else pl.read_parquet_metadata(io.BytesIO(tail))
        except pl.exceptions.PolarsError as error:
            raise not_parquet(self.address(name), error) from None

    def schema(self, name: str) -> pl.Schema | None:
        """Columns of a file; None when there is none."""
        tail = self._tail(name)
        return None if tail is None else schema_of_bytes(tail)

    def open(self, version: FileVersion) -> IO[bytes]:
        """The object in a nameless local file, fetched by one request: one version, however long it
        is read.
        """
        import obstore

        for name in (version.name, version.kept):
            if name is None:
                continue
            answer = _request(lambda name=name: obstore.get(self._objects, name), self.root)  # type: ignore[misc]
            file = tempfile.TemporaryFile(dir=self._scratch)  # noqa: SIM115 - the caller closes it
            for chunk in answer.stream(min_chunk_size=8 * 2**20):
                file.write(chunk)
            file.seek(0)
            if (
                version.kept is None
                or (parsed(pl.read_parquet_metadata(file)) or {}).get("known_since")
                == version.known_since
            ):
                file.seek(0)
                return cast("IO[bytes]", file)
            file.close()
        raise FileNotFoundError(version.name)

    def open_lazy(self, name: str) -> IO[bytes]:
        """A pinned reader."""
        from harmony_pipeline.lake.remote_files import PinnedFile

        return cast("IO[bytes]", _request(lambda: PinnedFile(self._objects, name), self.root))

    def scan(
        self, versions: Sequence[FileVersion], schema: pl.Schema, added: Mapping[str, Any]
    ) -> pl.LazyFrame:
        """Lazy rows: filters and columns are handed to the read, and a read during which an object
        was replaced is done again.
        """
        first = with_added(self.schema(self._now(versions[0])), added)

        def rows(
            with_columns: list[str] | None,
            predicate: pl.Expr | None,
            n_rows: int | None,
            _batch: int | None,
        ) -> Iterator[pl.DataFrame]:
            left = n_rows
            for start in range(0, len(versions), _FILES_AT_ONCE):
                part = versions[start : start + _FILES_AT_ONCE]
                if left is None:
                    yield self._collected(
                        part, first, lambda frame: _chosen(frame, with_columns, predicate)
                    )
                    continue
                most = left
                frame = self._collected(part, first, lambda frame: frame.head(most))  # noqa: B023 - called at once
                left -= frame.height
                yield _chosen(frame.lazy(), with_columns, predicate).collect(engine="in-memory")
                if left == 0:
                    return

        return register_io_source(rows, schema=first if first is not None else schema)

    def _collected(
        self,
        versions: Sequence[FileVersion],
        schema: pl.Schema | None,
        choose: Callable[[pl.LazyFrame], pl.LazyFrame],
    ) -> pl.DataFrame:
        """Rows of these versions; a read during which one was replaced is done again."""
        reading = tenacity.Retrying(
            retry=tenacity.retry_if_exception_type(_ReplacedMeanwhile),
            stop=tenacity.stop_after_attempt(_ATTEMPTS),
            wait=tenacity.wait_exponential(0.02),
        )
        try:
            return reading(self._collected_once, versions, schema, choose)
        except tenacity.RetryError:
            raise DataError(
                f"{self.address(versions[0].name)} is replaced faster than it can be read; try"
                " again when its writers are done"
            ) from None

    def _collected_once(
        self,
        versions: Sequence[FileVersion],
        schema: pl.Schema | None,
        choose: Callable[[pl.LazyFrame], pl.LazyFrame],
    ) -> pl.DataFrame:
        names = self.map_parallel(self._now, versions)
        tags = self.map_parallel(self._tag, names)
        frame = pl.scan_parquet(
            [self.address(name) for name in names],
            schema=schema,
            hive_partitioning=False,
            missing_columns="insert",
            extra_columns="ignore",
            storage_options=self.storage_options,
            credential_provider=None,
        )
        try:
            found = choose(frame).collect(engine="in-memory")
        except BaseException as error:
            if self.map_parallel(self._tag, names) == tags or not (
                isinstance(error, Exception) or type(error).__name__ == "PanicException"
            ):
                raise
            raise _ReplacedMeanwhile from None
        if self.map_parallel(self._tag, names) != tags or names != self.map_parallel(
            self._now, versions
        ):
            raise _ReplacedMeanwhile
        return found

    def _now(self, version: FileVersion) -> str:
        """The name that holds this version at this moment."""
        if version.kept is None:
            return version.name
        manifest = parsed(self.footer(version.name) or {}) or {}
        return version.name if manifest.get("known_since") == version.known_since else version.kept

    def remember(self, name: str, rows: pl.DataFrame | None, manifest: Mapping[str, Any]) -> None:
        """Nothing is remembered: whether an object is still the same takes a request."""

    def recent(self, version: FileVersion) -> None:
        """Nothing is remembered."""

    def scratch(self, name: str) -> Path:
        """A local file; the put makes it an object."""
        handle, temporary = tempfile.mkstemp(suffix=Path(name).suffix, dir=self._scratch)
        os.close(handle)
        return Path(temporary)

    def filling(self, temporary: Path) -> AbstractContextManager[None]:
        """The local file need not survive."""
        return nullcontext()

    def publish(self, temporary: Path, name: str, lock: LockHandle | None) -> None:
        """One put; under a lock it succeeds only over the object that was there when the lock was
        taken.
        """
        import obstore
        from obstore.exceptions import AlreadyExistsError, PreconditionError

        if temporary.stat().st_size > _LARGEST_PUT:
            raise DataError(
                f"{name} is larger than the 5 GiB of one put: choose a shorter trading_period"
            )
        if not isinstance(lock, Lease):
            _request(lambda: obstore.put(self._objects, name, temporary), self.root)
            return
        lock.check()
        mode: Any = "create" if lock.expected is None else {"e_tag": lock.expected}
        try:
            lock.expected = str(
                _request(
                    lambda: obstore.put(
                        self._objects, name, temporary, mode=mode, use_multipart=False
                    ),
                    self.root,
                )["e_tag"]
            )
        except (AlreadyExistsError, PreconditionError):
            # refused by our own success, whose answer was lost
            if self.footer(name) == pl.read_parquet_metadata(temporary):
                lock.expected = self._tag(name)
                return
            raise Superseded(
                f"{lock.what} was written by somebody else meanwhile; nothing was published: run it"
                " again"
            ) from None

    def write_bytes(self, name: str, content: bytes) -> None:
        """A plain put."""
        import obstore

        _request(lambda: obstore.put(self._objects, name, content), self.root)

    def text(self, name: str) -> str | None:
        """Its text."""
        import obstore

        try:
            return bytes(
                _request(lambda: obstore.get(self._objects, name).bytes(), self.root)
            ).decode()
        except FileNotFoundError:
            return None

    def keep(self, name: str, kept: str) -> None:
        """A copy made by the store, only if the target is absent: history is written once."""
        import obstore
        from obstore.exceptions import AlreadyExistsError

        try:
            _request(lambda: obstore.copy(self._objects, name, kept, overwrite=False), self.root)
        except AlreadyExistsError:
            return

    def remove(self, name: str) -> None:
        """Remove an object."""
        import obstore

        try:
            _request(lambda: obstore.delete(self._objects, name), self.root)
        except FileNotFoundError:
            return

    def lock(
        self, table: str, partition: str, name: str, timeout_seconds: float
    ) -> AbstractContextManager[LockHandle]:
        """The lease of a partition."""
        return lease(
            self._objects,
            f"_locks/{table}/{partition}.lock",
            f"{table} {partition}",
            name,
            timeout_seconds,
        )

    def locked(self, table: str, partition: str) -> bool:
        """Whether its lease runs."""
        return runs(self._objects, f"_locks/{table}/{partition}.lock")

    def file_system(self) -> Any:
        """What DuckDB reads through."""
        from harmony_pipeline.lake.remote_files import ObjectFileSystem

        return ObjectFileSystem(self._objects, self.root)

    def _tag(self, name: str) -> str | None:
        import obstore

        try:
            return str(_request(lambda: obstore.head(self._objects, name), self.root)["e_tag"])
        except FileNotFoundError:
            return None

    def _tail(self, name: str) -> bytes | None:
        """The end of an object, long enough to hold its Parquet footer."""
        from harmony_pipeline.lake.remote_files import PinnedFile

        try:
            file = _request(lambda: PinnedFile(self._objects, name), self.root)
        except FileNotFoundError:
            return None
        file.seek(max(0, file.size - 8))
        length = int.from_bytes(file.read(4), "little") + 8
        file.seek(max(0, file.size - max(length, 12)))
        return bytes(file.read())


def _chosen(
    frame: pl.LazyFrame, columns: list[str] | None, predicate: pl.Expr | None
) -> pl.LazyFrame:
    frame = frame if predicate is None else frame.filter(predicate)
    return frame if columns is None else frame.select(columns)


def _request(send: Callable[[], Answer], root: str) -> Answer:
    """The answer of the store; its refusals become one line that says what to mend, and never what
    was sent.
    """
    from obstore import exceptions

    try:
        return send()
    except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError):
        raise ConfigError(
            f"{root} refuses these credentials: check AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY and"
            " the bucket's policy"
        ) from None
    except exceptions.GenericError as error:
        reason = str(error).split("\n", 1)[0].split(": Error performing", 1)[0]
        raise DataError(
            f"{root} does not answer ({reason[:120]}): check the network, AWS_ENDPOINT_URL and"
            " AWS_REGION"
        ) from None
