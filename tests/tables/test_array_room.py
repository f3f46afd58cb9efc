"""Room for arrays: large ones lie in blocks that are used again once nothing refers to them."""

import gc
import threading

import numpy as np
import polars as pl
import pyarrow as pa
import pytest

from harmony_pipeline import arrays
from harmony_pipeline.arrays import ArrayRoom

LARGE = 40_000_000


@pytest.fixture(autouse=True)
def own_blocks(monkeypatch):
    """Blocks that no other test has used."""
    monkeypatch.setattr(arrays, "_blocks", arrays._Blocks())


def address(array):
    return array.__array_interface__["data"][0]


def test_arrays_of_a_room_do_not_overlap_and_begin_at_lines_of_the_cache():
    room = ArrayRoom(LARGE)
    cut = [room.empty((3, rows), np.float64) for rows in (1, 1_000, 333_333, 700_001, 7, 90_000)]
    for number, array in enumerate(cut):
        array[:] = number
        assert address(array) % 64 == 0
    assert [set(np.unique(array)) for array in cut] == [{number} for number in range(len(cut))]


def test_a_block_begins_with_a_large_page():
    assert address(ArrayRoom(LARGE).empty(100, np.uint8)) % (1 << 21) == 0


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


def test_no_more_than_a_few_blocks_are_kept(monkeypatch):
    monkeypatch.setattr(arrays, "_MOST_KEPT_BYTES", 30_000_000)
    held = [ArrayRoom(LARGE).empty(8_000_000, np.uint8) for _ in range(9)]
    held.clear()
    gc.collect()
    assert len(arrays._blocks._left) == 2


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
