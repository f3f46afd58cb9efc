"""Files written whole: put down beside their target, flushed and renamed.

A name holds the old content or the new one, whatever is killed. A durable file survives a power
cut, too.
"""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Event

_FLUSH_SECONDS, _FLUSH_BYTES = 0.01, 1 << 24


def write_text(path: Path, text: str, *, durable: bool = True) -> None:
    """Replace a file by a text in UTF-8."""
    write_bytes(path, text.encode(), durable=durable)


def write_bytes(path: Path | str, content: bytes, *, durable: bool = True) -> None:
    """Replace a file by `content`; folders are made."""
    handle, temporary = _open_beside(path)
    try:
        with open(handle, "wb") as file:
            file.write(content)
        publish(temporary, path, durable=durable)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


@contextmanager
def replacing(path: Path, *, durable: bool = True) -> Iterator[Path]:
    """A fresh file to fill, which takes the place of `path` when the block ends well; folders are
    made.
    """
    temporary = temporary_beside(path)
    try:
        yield temporary
        publish(temporary, path, durable=durable)
    finally:
        temporary.unlink(missing_ok=True)


def temporary_beside(path: Path) -> Path:
    """A fresh hidden file in the folder of `path`, so that a rename stays within one file
    system.
    """
    handle, temporary = _open_beside(path)
    os.close(handle)
    return Path(temporary)


def _open_beside(path: Path | str) -> tuple[int, str]:
    folder = os.path.dirname(path)
    # a new lake makes a hundred of them, and `mkstemp` takes most of that time
    temporary = f"{folder or os.curdir}/.{os.urandom(8).hex()}.tmp"
    try:
        return _make(temporary), temporary
    except FileNotFoundError:
        os.makedirs(folder, exist_ok=True)
        return _make(temporary), temporary


def _make(file: str) -> int:
    return os.open(file, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)


def publish(temporary: Path | str, path: Path | str, *, durable: bool = True) -> None:
    """Give a finished temporary file its name: its bytes on disk first, then the name, then the
    name on disk.
    """
    if durable:
        flush(temporary)
    os.chmod(temporary, 0o644)
    try:
        os.replace(temporary, path)
    except OSError as error:  # named for the file that was asked for, not for the one beside it
        raise OSError(error.errno, error.strerror, str(path)) from None
    if durable:
        flush(os.path.dirname(path) or os.curdir)


def flush(path: Path | str) -> None:
    """Have the bytes of a file, or the names in a folder, on disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextmanager
def flushing(path: Path | str) -> Iterator[None]:
    """Have what the block writes to a file on disk soon after, so that `publish` has to wait for
    its last bytes alone.

    Raises the OSError of a flush that failed: the system tells it once, and a later flush of the
    same bytes succeeds.
    """
    done = Event()

    def flush_until_done() -> None:
        flushed = 0
        while not done.wait(_FLUSH_SECONDS):
            size = os.stat(path).st_size
            if size - flushed >= _FLUSH_BYTES:
                flush(path)
                flushed = size

    with ThreadPoolExecutor(1, thread_name_prefix="flush") as pool:
        flusher = pool.submit(flush_until_done)
        try:
            yield
        finally:
            done.set()
    flusher.result()


def cache_root(subject: str) -> Path:
    """Where `subject` is kept from one command to the next, and can be made again when it is lost:
    below the folder HARMONY_KERNEL_CACHE, by default ~/.cache/harmony.
    """
    chosen = os.environ.get("HARMONY_KERNEL_CACHE")
    return (Path(chosen) if chosen else Path.home() / ".cache" / "harmony") / subject
