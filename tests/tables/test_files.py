"""Files are replaced whole, locks name their holder, hashes keep their values."""

import os
import subprocess
import sys

import pytest

from harmony_pipeline.files import replacing, write_text
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
    path.write_text("torn")
    with file_lock(path, ValueError):
        pass


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
