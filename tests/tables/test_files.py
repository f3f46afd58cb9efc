"""Files are replaced whole, locks name their holder, hashes keep their values."""

import errno
import json
import os
import subprocess
import sys
import threading
import time

import pytest

from harmony_pipeline import files
from harmony_pipeline.files import flushing, replacing, write_text
from harmony_pipeline.hashing import hash_of_parts, short_hash
from harmony_pipeline.locks import file_lock, is_locked


def test_a_file_that_is_not_finished_leaves_the_old_one(tmp_path):
    path = tmp_path / "new" / "file.txt"
    write_text(path, "old")
    with pytest.raises(ZeroDivisionError), replacing(path) as temporary:
        temporary.write_text("half")
        raise ZeroDivisionError
    assert path.read_text() == "old"
    assert [one.name for one in path.parent.iterdir()] == ["file.txt"]
    write_text(path, "Größe", durable=False)
    assert path.read_bytes() == "Größe".encode()
    assert path.stat().st_mode & 0o777 == 0o644


def test_a_large_file_goes_to_the_disk_while_it_is_written(tmp_path, monkeypatch):
    path, flushed = tmp_path / "file", []

    def flush(file):
        flushed.append(os.stat(file).st_size)

    monkeypatch.setattr(files, "flush", flush)
    with path.open("wb", buffering=0) as file, flushing(path):
        for size in (1, 2):
            file.write(b"x" * (1 << 24))
            deadline = time.monotonic() + 30
            while len(flushed) < size and time.monotonic() < deadline:
                time.sleep(0.001)
        file.write(b"x")
    assert flushed == [1 << 24, 1 << 25]  # the last byte is left to `publish`


def test_a_flush_that_fails_is_told_though_a_later_one_would_succeed(tmp_path, monkeypatch):
    path, failed = tmp_path / "file", threading.Event()

    def fails(_file):
        failed.set()
        raise OSError(errno.EIO, "Input/output error")

    path.touch()
    monkeypatch.setattr(files, "flush", fails)
    with pytest.raises(OSError, match="Input/output"), flushing(path):
        path.write_bytes(b"x" * (1 << 24))
        assert failed.wait(30)


def test_short_hashes_are_those_of_b2sum():
    assert short_hash("harmony", 8) == "88c2d18a3aff489c"
    assert short_hash(b"harmony", 4) == hash_of_parts(iter(["har", b"mony"]), 4) == "9d4af95a"


def test_a_second_holder_is_refused_with_the_name_of_the_first(tmp_path):
    path = tmp_path / "locks" / "one.lock"
    assert not is_locked(path)
    with file_lock(path, ValueError, verb="run"):
        assert is_locked(path)
        with (
            pytest.raises(ValueError, match=f"`harmony run`, process {os.getpid()} on .* since 20"),
            file_lock(path, ValueError, 0.05),
        ):
            pass
        assert is_locked(path)
    assert not is_locked(path)
    assert path.read_text() == ""
    path.write_text("torn" * 100)
    with file_lock(path, ValueError):
        assert json.loads(path.read_text())["pid"] == os.getpid()


def test_who_only_asks_for_the_holder_keeps_nobody_out(tmp_path):
    path, done = tmp_path / "run.lock", threading.Event()
    path.touch()

    def ask() -> None:
        while not done.is_set():
            is_locked(path)

    asking = threading.Thread(target=ask)
    asking.start()
    try:
        for _ in range(500):
            with file_lock(path, ValueError):
                pass
    finally:
        done.set()
        asking.join()


def test_the_lock_of_a_killed_process_is_free(tmp_path):
    path = tmp_path / "one.lock"
    program = f"""
import os, pathlib, signal
from harmony_pipeline.locks import file_lock
with file_lock(pathlib.Path({str(path)!r}), ValueError):
    os.kill(os.getpid(), signal.SIGKILL)
"""
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == -9
    assert '"pid"' in path.read_text()
    assert not is_locked(path)


def test_a_child_that_was_forked_meanwhile_does_not_hold_the_lock_of_a_killed_process(tmp_path):
    path = tmp_path / "one.lock"
    program = f"""
import os, pathlib, signal, sys
from harmony_pipeline.locks import file_lock
with file_lock(pathlib.Path({str(path)!r}), ValueError):
    if os.fork():
        os.kill(os.getpid(), signal.SIGKILL)
    os.write(1, b"child")  # what it had of the lock is closed by now
    sys.stdin.read()
"""
    parent = subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with parent:
        assert parent.stdout.read(5) == b"child"
        assert parent.wait() == -9
        assert not is_locked(path)  # while the child waits
        with file_lock(path, ValueError):
            parent.stdin.close()  # and now it ends
            assert parent.stdout.read() == b""
            assert is_locked(path)
