"""Files whose pages are the memory of the columns are read by Polars, PyArrow and DuckDB as what was
written, bit for bit; a writer that is killed, or finds the disk full, leaves what was there.
"""

import signal
import struct
import subprocess
import sys
import time
from datetime import UTC, datetime, timedelta

import duckdb
import numpy as np
import polars as pl
import pyarrow.parquet as pq
from hypothesis import given
from hypothesis import strategies as st
from lake.lake_rows import many_bars

from harmony_pipeline.frames import streamed
from harmony_pipeline.lake import sql, streaming, thrift
from harmony_pipeline.lake.lake import Lake, content_hash
from harmony_pipeline.lake.plain_file import PlainFile, is_plain
from harmony_pipeline.schemas import FEATURES, features_table

SCHEMA = {
    "symbol": pl.String(),
    "timestamp": pl.Datetime("us", "UTC"),
    "tag": pl.String(),
    "x": pl.Float64(),
    "y": pl.Float64(),
}
TABLE = features_table(("rsi_14", "gap"))
MOMENTS = st.integers(-(2**51), 2**51).map(
    lambda microseconds: datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=microseconds)
)
NUMBERS = st.floats(allow_nan=True, allow_infinity=True, width=64) | st.sampled_from([-0.0, 5e-324])
ROWS = st.lists(
    st.tuples(
        st.sampled_from(["", "A", "BRK.B", "Ünïcode", "a long text that no view holds"]),
        st.none() | MOMENTS,
        st.none() | st.sampled_from(["x", "y", "z" * 40]) | st.text(max_size=3),
        st.none() | NUMBERS,
        NUMBERS,
    ),
    max_size=60,
)


def features(symbols: int = 5, minutes: int = 60) -> pl.DataFrame:
    rows = many_bars(symbols, minutes).select("symbol", "timestamp")
    numbers = np.random.default_rng(5).random((2, rows.height))
    return rows.with_columns(rsi_14=numbers[0], gap=numbers[1])


def write(frame: pl.DataFrame, path, group_rows: int, pieces: int = 1) -> None:
    file = PlainFile(path, frame.schema, group_rows, "symbol")
    for start in range(0, max(frame.height, 1), max(frame.height // pieces, 1)):
        file.append(frame[start : start + max(frame.height // pieces, 1)])
    file.close({"harmony": '{"rows": 1}'})


def bits(frame: pl.DataFrame) -> list[tuple]:
    """The rows with the bytes of each number, which tell -0.0 from 0.0 and find a NaN equal."""
    return [
        tuple(struct.pack("<d", value) if isinstance(value, float) else value for value in row)
        for row in frame.rows()
    ]


@given(ROWS, st.integers(1, 70), st.integers(1, 4), st.integers(0, 9))
def test_every_reader_finds_what_was_written(tmp_path_factory, rows, group_rows, pieces, cut):
    path = tmp_path_factory.mktemp("plain") / "one.parquet"
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row").sort("symbol", maintain_order=True)
    frame = pl.concat([frame[:cut], frame[cut:]], rechunk=False)[cut // 2 :]
    write(frame, path, group_rows, pieces)
    expected = bits(frame)
    assert bits(pl.read_parquet(path)) == expected
    assert pl.read_parquet_schema(path) == frame.schema
    assert bits(pl.from_arrow(pq.read_table(path)).cast(dict(frame.schema))) == expected
    with duckdb.connect() as connection:
        found = streamed(connection.sql("from read_parquet(?)", params=[str(path)]))
    assert bits(found.cast(dict(frame.schema))) == expected
    assert pl.read_parquet_metadata(path)["harmony"] == '{"rows": 1}'


@given(ROWS, st.integers(1, 70))
def test_statistics_are_the_least_and_greatest_of_times_and_texts(
    tmp_path_factory, rows, group_rows
):
    path = tmp_path_factory.mktemp("plain") / "one.parquet"
    frame = pl.DataFrame(rows, schema=SCHEMA, orient="row").sort("symbol", maintain_order=True)
    write(frame, path, group_rows)
    metadata = pq.read_metadata(path)
    assert metadata.num_rows == frame.height
    for number in range(metadata.num_row_groups):
        group = frame[number * group_rows : (number + 1) * group_rows]
        for at, name in enumerate(frame.columns):
            said = metadata.row_group(number).column(at).statistics
            assert said.null_count == group[name].null_count(), name
            if group[name].dtype.is_float():
                assert not said.has_min_max, name
            elif group[name].null_count() < group.height:
                present = group[name].drop_nulls().to_list()
                order = (lambda text: text.encode()) if group[name].dtype == pl.String else None
                assert (said.min, said.max) == (min(present, key=order), max(present, key=order))


def test_a_file_is_the_numbers_and_little_more(tmp_path):
    """Smaller than a quarter more than LZ4 makes of it."""
    rows = many_bars(symbols=40, minutes=2_000).select("symbol", "timestamp")
    numbers = np.random.default_rng(5).random((15, rows.height))
    frame = rows.with_columns(pl.Series(f"x{at}", row) for at, row in enumerate(numbers))
    write(frame, tmp_path / "plain.parquet", 32_768)
    frame.write_parquet(tmp_path / "lz4.parquet", compression="lz4", row_group_size=32_768)
    size = (tmp_path / "plain.parquet").stat().st_size
    assert 128 * frame.height < size < 128.5 * frame.height
    assert size < 1.25 * (tmp_path / "lz4.parquet").stat().st_size


def test_texts_times_and_numbers_alone_are_kept_this_way():
    assert is_plain(FEATURES.dtypes)
    assert not is_plain({**SCHEMA, "day": pl.Date()})
    assert not is_plain({**SCHEMA, "timestamp": pl.Datetime("ms", "UTC")})


def test_a_symbol_and_a_time_read_their_own_row_groups(tmp_path, monkeypatch):
    monkeypatch.setattr(streaming, "ROW_GROUP_ROWS", 60)  # a group a symbol
    lake = Lake(tmp_path / "lake", {"features": TABLE}).open()
    frame = features(symbols=10)
    lake.write("features", "k", frame)
    with sql.connect(lake, names={"features"}) as connection:
        plan = connection.sql(
            "explain analyze select * from features where symbol = 'S00004'"
        ).fetchall()[0][1]
    assert "Row Groups Scanned: 1 / 10" in plan
    last = frame["timestamp"].max()
    for chosen in (pl.col("symbol") == "S00004", pl.col("timestamp") > last - timedelta(minutes=9)):
        assert lake.scan("features", ["k"]).filter(chosen).collect().equals(frame.filter(chosen))


def test_varints_and_signs_are_those_of_the_specification():
    """Thrift's compact protocol: 300 takes two bytes, and signs alternate."""
    assert thrift.varint(0) == b"\x00"
    assert thrift.varint(300) == b"\xac\x02"
    assert [thrift.i32(1, value).content for value in (0, -1, 1, -2)] == [
        b"\x00", b"\x01", b"\x02", b"\x03"
    ]  # fmt: skip
    # a step of 1 and of 20: the second does not fit into the byte of the type
    assert thrift.encoded([thrift.i32(1, 1), thrift.i64(21, 1)]) == b"\x15\x02\x06\x2a\x02\x00"
    many = thrift.i32_list(1, [0] * 20)
    assert many.content == b"\xf5\x14" + b"\x00" * 20


# --- the whole and the half ----------------------------------------------------------------------

WRITER = """
import sys
import numpy as np, polars as pl
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.schemas import features_table

lake = Lake(sys.argv[1], {"features": features_table(("rsi_14", "gap"))})
rows = 400_000
frame = pl.DataFrame({
    "symbol": ["A"] * rows,
    "timestamp": pl.Series(np.arange(rows) * 60_000_000).cast(pl.Datetime("us", "UTC")),
    "rsi_14": np.full(rows, 1.0),
    "gap": np.full(rows, 1.0),
})
"""


def test_a_writer_killed_at_any_moment_leaves_a_whole_partition(tmp_path):
    lake = Lake(tmp_path / "lake", {"features": TABLE}).open()
    endless = WRITER + (
        "value = 0.0\n"
        "while True:\n"
        "    value += 1.0\n"
        "    lake.write('features', 'k', frame.with_columns(rsi_14=pl.lit(value)))\n"
        "    print('written', flush=True)\n"
    )
    for attempt in range(3):
        with subprocess.Popen(
            [sys.executable, "-c", endless, str(tmp_path / "lake")], stdout=subprocess.PIPE
        ) as process:
            assert process.stdout is not None
            process.stdout.readline()
            time.sleep(0.01 + 0.037 * attempt)
            process.send_signal(signal.SIGKILL)
        rows = lake.read("features", ["k"])
        assert rows.height == 400_000
        assert rows["rsi_14"].n_unique() == 1
        manifest = lake.manifest("features", "k")
        assert manifest is not None
        assert manifest["content_hash"] == content_hash(rows)


def test_a_full_disk_leaves_no_part_of_a_file(tmp_path):
    """A limit of the system on the size of a file stands for the disk: the error is told, the old
    rows are there, and no temporary is left.
    """
    lake = Lake(tmp_path / "lake", {"features": TABLE}).open()
    lake.write("features", "k", features())
    limited = WRITER + (
        "import resource, signal\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (4_000_000, 4_000_000))\n"
        "try:\n"
        "    lake.write('features', 'k', frame)\n"
        "except OSError as error:\n"
        "    print(error.strerror)\n"
    )
    said = subprocess.run(
        [sys.executable, "-c", limited, str(tmp_path / "lake")],
        capture_output=True,
        text=True,
        check=True,
    )
    assert said.stdout == "File too large\n"
    assert lake.read("features", ["k"]).equals(features())
    assert not list((tmp_path / "lake").rglob("*.tmp"))
