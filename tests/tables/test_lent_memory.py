"""Memory of a result is used again, and never while anything can still read it."""

import gc
import threading
from collections import deque

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from harmony_pipeline import lent_memory
from harmony_pipeline.lent_memory import ArrayRoom, lend_floats

LARGE = 40_000_000
ROWS, COLUMNS = 4, 1 << 18  # 8 MB
lends = pytest.mark.skipif(not lent_memory._LENDS, reason="only Linux lends memory")


@pytest.fixture(autouse=True)
def nothing_waits(monkeypatch):
    """No memory that another test has used."""
    lent_memory._waiting.clear()


def address(array):
    return array.__array_interface__["data"][0]


def test_arrays_of_a_room_do_not_overlap_and_begin_at_lines_of_the_cache():
    room = ArrayRoom(LARGE)
    cut = [room.empty((3, rows), np.float64) for rows in (1, 1_000, 333_333, 700_001, 7, 90_000)]
    for number, array in enumerate(cut):
        array[:] = number
        assert address(array) % 64 == 0
    assert [set(np.unique(array)) for array in cut] == [{number} for number in range(len(cut))]


@lends
def test_a_block_begins_with_a_large_page():
    assert address(ArrayRoom(LARGE).empty(100, np.uint8)) % (1 << 21) == 0


@lends
def test_memory_is_used_again_when_the_last_array_is_gone():
    first = ArrayRoom(LARGE).empty(6_000_000, np.uint8)
    where, part = address(first), first[5:100]
    del first
    other = ArrayRoom(LARGE).empty(6_000_000, np.uint8)
    assert address(other) != where  # a part of it is still there
    del part
    gc.collect()
    assert address(ArrayRoom(LARGE).empty(6_000_000, np.uint8)) == where


def test_a_column_over_an_array_keeps_its_memory():
    values = ArrayRoom(LARGE).empty(1_000_000, np.int64)
    values[:] = np.arange(1_000_000)
    buffer = pa.py_buffer(values)
    column = pl.from_arrow(pa.Array.from_buffers(pa.int64(), len(values), [None, buffer]))
    del values, buffer
    gc.collect()
    for _ in range(3):
        ArrayRoom(LARGE).empty(1_000_000, np.int64)[:] = -1
    assert column.to_list()[:3] == [0, 1, 2]
    assert (column == pl.Series(np.arange(1_000_000))).all()


@lends
def test_a_matrix_comes_back_when_its_last_reader_is_gone():
    first = lend_floats(ROWS, COLUMNS)
    place, row = address(first), first[2]
    del first
    assert address(lend_floats(ROWS, COLUMNS)) != place  # a row still reads it
    del row
    gc.collect()
    again = lend_floats(ROWS, COLUMNS)
    assert address(again) == place
    again[:] = 1.0
    assert address(lend_floats(ROWS, COLUMNS)) != place


@lends
@pytest.mark.parametrize(("most", "waiting"), [(1, 2), (30_000_000, 2), (45_000_000, 4)])
def test_two_pieces_of_any_size_wait_and_more_while_they_are_small(monkeypatch, most, waiting):
    monkeypatch.setattr(lent_memory, "_MOST_WAITING_BYTES", most)
    monkeypatch.setattr(lent_memory, "_waiting", deque())  # of other tests, larger pieces may wait
    held = [ArrayRoom(LARGE).empty(8_000_000, np.uint8) for _ in range(9)]
    held.clear()
    gc.collect()
    assert len(lent_memory._waiting) == waiting


@lends
def test_much_less_does_not_take_a_large_piece():
    piece = lend_floats(ROWS, 8 * COLUMNS)
    place = address(piece)
    del piece
    gc.collect()
    assert address(lend_floats(ROWS, COLUMNS)) != place
    assert address(lend_floats(ROWS, 8 * COLUMNS)) == place  # it waited on meanwhile


def test_small_arrays_are_left_to_numpy():
    assert lend_floats(2, 3).base is None
    assert lend_floats(0, 0).shape == (0, 0)


def test_threads_never_share_a_block():
    failed = []

    def work(number):
        for _ in range(200):
            array = ArrayRoom(LARGE).empty(2_000, np.int64)
            array[:] = number
            gc.collect(0)
            if not (array == number).all():
                failed.append(number)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
