"""A broken Parquet page is one line: what the reader's Rust code prints about it never reaches
standard error, and nothing else is lost.
"""

import os
import threading
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from market.files.writing import read

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.sources.held_stderr import hold_standard_error

PANIC = (
    "\nthread '<unnamed>' (41) panicked at crates/x.rs:7:9:\nassertion `left == right` failed\n "
    " left: 1\n right: 2\nnote: run with `RUST_BACKTRACE=1`\n"
)
SHORT = "\nthread 'tokio-0' panicked at crates/y.rs:7:9:\nindex out of bounds\n"
TRACED = (
    SHORT
    + "stack backtrace:\n   0: __rustc::rust_begin_unwind\n   1: core::panicking::panic_fmt\nnote:"
    " Some details are omitted\n"
)


def say(text: str) -> None:
    os.write(2, text.encode())


def fail(said: str) -> ValueError:
    with pytest.raises(ValueError, match="broken") as error, hold_standard_error():
        say(said)
        raise ValueError("broken")
    return error.value


@pytest.mark.parametrize(
    "panics", [PANIC, SHORT, TRACED, TRACED + TRACED, SHORT + PANIC, PANIC + SHORT + SHORT]
)
def test_panics_of_a_read_that_failed_become_a_note_and_the_rest_is_passed_on(capfd, panics):
    error = fail(f"one\n{panics}two\n")
    assert capfd.readouterr().err == "one\ntwo\n"
    assert "\n".join(error.__notes__).count("panicked at") == panics.count("panicked at")


def test_nothing_is_kept_back_where_nothing_failed(capfd):
    with hold_standard_error():
        say(PANIC)
    say("after\n")
    assert capfd.readouterr().err == f"{PANIC}after\n"


def test_standard_error_is_put_back_when_the_last_of_several_threads_is_done(capfd):
    inside, leave = threading.Event(), threading.Event()

    def hold() -> None:
        with hold_standard_error():
            inside.set()
            leave.wait(20)

    other = threading.Thread(target=hold)
    other.start()
    inside.wait(20)
    with hold_standard_error():
        fail(PANIC + "within\n")
    leave.set()
    other.join()
    say("after\n")
    assert capfd.readouterr().err == "within\nafter\n"


def test_without_standard_error_the_read_goes_on():
    real = os.dup(2)
    os.close(2)
    try:
        with hold_standard_error():
            done = True
    finally:
        os.dup2(real, 2)
        os.close(real)
    assert done


@pytest.mark.parametrize("dictionary", [True, False])
def test_no_flipped_byte_of_a_page_prints_anything(tmp_path: Path, capfd, dictionary):
    rows = {
        "timestamp": [f"2024-01-02T14:{30 + row}:00Z" for row in range(6)],
        "symbol": ["AAA", "BBB"] * 3,
    }
    prices = {
        name: [10.0 + row % 2 for row in range(6)]
        for name in ("open", "high", "low", "close", "volume")
    }
    path = tmp_path / "bars.parquet"
    pq.write_table(pa.table(rows | prices), path, compression="none", use_dictionary=dictionary)
    sound = path.read_bytes()
    assert read(tmp_path).height == 6
    panics = 0
    for at in range(4, len(sound) - 8 - int.from_bytes(sound[-8:-4], "little")):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 0xFF]) + sound[at + 1 :])
        try:
            read(tmp_path)
        except DataError as error:
            told = any("panicked at" in note for note in getattr(error, "__notes__", []))
            assert told or "cannot be decoded" not in str(error)
            panics += told
        if panics == 2:
            break
    assert panics == 2
    assert capfd.readouterr().err == ""


def test_polars_still_prints_its_panics_by_itself(tmp_path: Path, capfd):
    """When this fails, Polars has changed, and nothing has to be held aside."""
    path = tmp_path / "bars.parquet"
    pq.write_table(pa.table({"a": ["x", "y"] * 3, "b": [1.0] * 6}), path, compression="none")
    sound = path.read_bytes()
    for at in range(4, 80):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 0xFF]) + sound[at + 1 :])
        try:
            pl.read_parquet(path)
        except BaseException as error:
            if type(error).__name__ == "PanicException":
                break
    assert "panicked at" in capfd.readouterr().err
