"""A question about one symbol, one hour or one partition reads little: told by what the engines say
they read.
"""

import re

import polars as pl
import pytest
from lake.lake_rows import many_bars

from harmony_pipeline.errors import DataError
from harmony_pipeline.lake import sql, streaming
from harmony_pipeline.lake.lake import Lake

MINUTES = 200


@pytest.fixture(scope="module")
def lake(tmp_path_factory):
    lake = Lake(tmp_path_factory.mktemp("pruned")).open()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(streaming, "ROW_GROUP_ROWS", MINUTES)  # a group a symbol
        for number, key in enumerate(("2024-01", "2024-02", "2024-03")):
            lake.write(
                "bars",
                key,
                many_bars(symbols=10, minutes=MINUTES).with_columns(
                    pl.col("timestamp").dt.offset_by(f"{number}mo")
                ),
            )
    return lake


def plan(lake: Lake, text: str) -> str:
    with sql.connect(lake, names={"bars", "bars_as_of"}) as connection:
        return connection.sql(f"explain analyze {text}").fetchall()[0][1]


def groups(text: str) -> tuple[int, int]:
    found = re.search(r"Row Groups Scanned: (\d+) / (\d+)", text)
    return int(found[1]), int(found[2])


@pytest.mark.parametrize("source", ["bars", "bars_as_of('2100-01-01T00:00Z')"])
def test_a_symbol_reads_its_own_row_groups(lake, source):
    scanned, there = groups(plan(lake, f"select * from {source} where symbol = 'S00004'"))
    assert (scanned, there) == (3, 30)


def test_a_time_reads_the_files_that_hold_it(lake):
    scanned, _there = groups(
        plan(
            lake, "select * from bars where timestamp >= '2024-03-01' and timestamp < '2024-04-01'"
        )
    )
    assert scanned == 10


@pytest.mark.parametrize("source", ["bars", "bars_as_of('2100-01-01T00:00Z')"])
def test_a_partition_opens_its_own_file(lake, source):
    text = plan(lake, f"select symbol, close from {source} where partition = '2024-02'")
    found = re.search(r"Total Files Read: (\d+)", text)
    assert int(found[1]) == 1


def test_polars_does_not_touch_the_other_row_groups(lake, tmp_path):
    """The bytes of all other groups are destroyed: the symbol can still be read, the rest
    cannot.
    """
    from pyarrow.parquet import ParquetFile

    copy = Lake(tmp_path)
    copy.write("bars", "k", lake.read("bars", ["2024-01"]).clear())
    target = copy.path("bars", "k")
    target.write_bytes(lake.path("bars", "2024-01").read_bytes())
    metadata = ParquetFile(target).metadata
    with target.open("r+b") as file:
        for number in (number for number in range(metadata.num_row_groups) if number != 4):
            group = metadata.row_group(number)
            for column in (group.column(at) for at in range(group.num_columns)):
                file.seek(column.dictionary_page_offset or column.data_page_offset)
                file.write(bytes(column.total_compressed_size))
    wanted = pl.col("symbol") == "S00004"
    assert (
        copy.scan("bars")
        .filter(wanted)
        .collect()
        .equals(lake.read("bars", ["2024-01"]).filter(wanted))
    )
    with pytest.raises(DataError, match=r"partition=k/bars\.parquet cannot be read"):
        copy.read("bars")
