"""What is broken in a file costs its own row, or the file is refused in one line that names it;
memory stays bounded.
"""

import bz2
import gzip
import io
import lzma
import os
import socket
import stat
import tracemalloc
import zipfile
from itertools import product
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from market.files.writing import ALWAYS, FOREVER, HEADER, ROWS, read, source, write
from market.raw_rows import utc

from harmony_pipeline.errors import ConfigError, DataError

CSV = ("\n".join([HEADER, *ROWS]) + "\n").encode()


def minutes(rows: int) -> list[str]:
    return [
        f"2024-01-02T{14 + row // 60}:{row % 60:02d}:00Z,{row + 1}.5,{row + 2},{row + 1},{row + 1}.5,100"
        for row in range(rows)
    ]


def refused(folder: Path, *paths: str, **settings: object) -> str:
    """The one line that a folder's files are refused with."""
    with pytest.raises(DataError) as error:
        read(folder, *paths, **settings)
    text = str(error.value)
    assert "\n" not in text
    assert len(text) < 700
    return text


# --- a row costs at most itself -------------------------------------------------------------------


@pytest.mark.parametrize("rows", [2, 10, 80])
@pytest.mark.parametrize("spoil", ['{0},"{1}', '{0},{1}"x', '"{0},{1}', '{0},{1}"', '{0},"{1}"y'])
def test_a_stray_quote_costs_its_own_line(tmp_path: Path, rows: int, spoil: str) -> None:
    lines = minutes(rows)
    for at in {0, rows // 2, rows - 1}:
        stamp, rest = lines[at].split(",", 1)
        lines[at] = spoil.format(stamp, rest)
    write(tmp_path / "AAA.csv", HEADER, *lines)
    found = read(tmp_path).sort("row")
    good = [row for row in range(rows) if row not in {0, rows // 2, rows - 1}]
    assert found["row"].to_list() == list(range(2, rows + 2))
    assert found.filter(pl.col("defect").is_null())["close"].to_list() == [
        row + 1.5 for row in good
    ]
    assert all("quote" in text for text in found["defect"].drop_nulls())


def test_a_quoted_field_over_several_lines_is_one_row(tmp_path: Path) -> None:
    lines = minutes(4)
    write(
        tmp_path / "AAA.csv",
        f"{HEADER},note",
        f'{lines[0]},"two',
        'lines, ""quoted"""',
        f'{lines[1]},"stray',
        f"{lines[2]},x",
        f"{lines[3]},y",
    )
    found = read(tmp_path).sort("row")
    assert found["row"].to_list() == [2, 4, 5, 6]
    assert found["defect"].is_null().to_list() == [True, False, True, True]


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r", "\r\r\n"])
def test_every_kind_of_line_end_is_a_line_end(tmp_path: Path, ends: str) -> None:
    (tmp_path / "AAA.csv").write_bytes(ends.join([HEADER, *minutes(5)]).encode())
    assert read(tmp_path)["close"].to_list() == [1.5, 2.5, 3.5, 4.5, 5.5]
    (tmp_path / "AAA.csv").write_bytes(
        (HEADER + "\r\n" + "\r".join(minutes(3)) + "\n" + "\r\n".join(minutes(5)[3:])).encode()
    )
    assert read(tmp_path)["row"].to_list() == [2, 3, 4, 5, 6]


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-8-sig"])
def test_text_of_windows_is_read(tmp_path: Path, encoding: str) -> None:
    (tmp_path / "AAA.csv").write_bytes("\r\n".join([HEADER, *minutes(3)]).encode(encoding))
    assert read(tmp_path)["close"].to_list() == [1.5, 2.5, 3.5]


def test_null_bytes_control_characters_and_wrong_bytes_are_quoted_harmlessly(
    tmp_path: Path,
) -> None:
    lines = [line.encode() for line in minutes(4)]
    lines[1] = lines[1].replace(b",2.5,", b",2\x00.5,", 1)
    lines[2] = lines[2].replace(b",3.5,", b",\x1b[31m\x9b3.5\xff,", 1)
    (tmp_path / "AAA.csv").write_bytes(b"\n".join([HEADER.encode(), *lines]))
    found = read(tmp_path).sort("row")
    assert found["defect"].is_null().to_list() == [True, False, False, True]
    assert not any(
        ord(letter) < 32 or 127 <= ord(letter) < 160
        for text in found["defect"].drop_nulls()
        for letter in text
    )


@pytest.mark.parametrize("where", [0, 2])
def test_a_line_of_megabytes_is_one_bad_row_and_shown_short(tmp_path: Path, where: int) -> None:
    lines = minutes(4)
    lines[where] = lines[where] + "9" * 3_000_000
    write(tmp_path / "AAA.csv", HEADER, *lines)
    found = read(tmp_path).sort("row")
    assert found["defect"].is_not_null().to_list() == [row == where for row in range(4)]
    assert max(len(text) for text in found["defect"].drop_nulls()) < 400


def test_a_cell_of_thousands_of_characters_is_quoted_short(tmp_path: Path) -> None:
    write(
        tmp_path / "AAA.csv", HEADER, *minutes(2), f"2024-01-02T15:00:00Z,1,1,1,{'abc' * 20_000},1"
    )
    text = read(tmp_path).sort("row")["defect"][2]
    assert "(60,000 characters)" in text.replace("60000", "60,000")
    assert len(text) < 200


# --- packing --------------------------------------------------------------------------------------


def zipped(members: dict[str, bytes], method: int = zipfile.ZIP_DEFLATED) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", method) as archive:
        for name, data in members.items():
            archive.writestr(name, data)
    return buffer.getvalue()


def encrypted_zip() -> bytes:
    """A zip whose only member is flagged as encrypted."""
    data = bytearray(zipped({"AAA.csv": CSV}, zipfile.ZIP_STORED))
    for at in (6, data.index(b"PK\x01\x02") + 8):
        data[at] |= 1
    return bytes(data)


def test_gzip_inside_a_zip_is_read(tmp_path: Path) -> None:
    (tmp_path / "all.zip").write_bytes(zipped({"AAA.csv.gz": gzip.compress(CSV), "BBB.csv": CSV}))
    assert read(tmp_path).group_by("symbol").len().sort("symbol").rows() == [("AAA", 3), ("BBB", 3)]


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("AAA.csv.gz", gzip.compress(CSV)[:-9], "is not a whole gzip file"),
        ("AAA.csv.gz", gzip.compress(CSV)[:20] + b"\x00" * 30, "is not a whole gzip file"),
        ("AAA.csv.gz", CSV, "is not a whole gzip file"),
        ("AAA.csv.gz", bz2.compress(CSV), "packed by bzip2"),
        ("AAA.csv.gz", lzma.compress(CSV), "packed by xz"),
        ("AAA.csv", b"\x28\xb5\x2f\xfd" + CSV, "is not a whole zstd file"),
        ("AAA.csv.gz", gzip.compress(gzip.compress(CSV)), "packed more than once"),
        ("AAA.zip", zipped({"in.zip": zipped({"AAA.csv": CSV})}), "packed more than once"),
        ("AAA.zip", zipped({"AAA.csv.gz": gzip.compress(CSV)[:-9]}), "is not a whole gzip file"),
        ("AAA.zip", zipped({"AAA.csv": CSV})[:-30], "is not a whole zip file"),
        ("AAA.zip", encrypted_zip(), "needs a password"),
        ("AAA.zip", zipped({}), "nothing in it"),
        ("AAA.zip", zipped({"[Content_Types].xml": b"<x/>", "xl/workbook.xml": b"<x/>"}), "Excel workbook"),
        ("AAA.csv", b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1" + bytes(600), "old Excel workbook"),
        ("AAA.csv", b"\r\n<!DOCTYPE html><html>429</html>", "web page"),
        ("AAA.csv", b"PAR1" + bytes(50), "name it .parquet"),
        ("AAA.csv", b"SQLite format 3\x00" + bytes(50), "SQLite"),
    ],
)  # fmt: skip
def test_a_file_that_is_something_else_is_refused_by_what_it_is(
    tmp_path: Path, name: str, data: bytes, reason: str
) -> None:
    (tmp_path / name).write_bytes(data)
    text = refused(tmp_path)
    assert name in text
    assert reason in text


@pytest.mark.parametrize(
    "pack",
    [
        gzip.compress,
        lambda data: zipped({"AAA.csv": data}),
        lambda data: zipped({"AAA.csv.gz": gzip.compress(data)}),
    ],
)
def test_a_file_that_unpacks_to_far_more_is_refused_before_memory_holds_it(
    tmp_path: Path, pack
) -> None:  # type: ignore[no-untyped-def]
    name = "AAA.csv.gz" if pack is gzip.compress else "AAA.zip"
    (tmp_path / name).write_bytes(pack(CSV + b"," * (120 << 20)))
    tracemalloc.start()
    text = refused(tmp_path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert "unpacks to more than 200 times as many" in text
    assert "market.files.max_unpack_ratio" in text
    assert peak < 90 << 20
    assert "more than 1 MB of text" in refused(tmp_path, max_text_megabytes=1)


def test_a_long_plain_file_is_refused_before_it_is_read(tmp_path: Path) -> None:
    with (tmp_path / "AAA.csv").open("wb") as file:
        file.truncate(3 << 20)
    assert "AAA.csv holds more than 2 MB of text: convert it to Parquet" in refused(
        tmp_path, max_text_megabytes=2
    )


# --- Parquet --------------------------------------------------------------------------------------


def parquet(**columns: object) -> bytes:
    rows = 400
    whole = {
        "timestamp": [1_704_205_800 + 60 * row for row in range(rows)],
        **dict.fromkeys(("open", "high", "low", "close", "volume"), [1.5] * rows),
        **columns,
    }
    buffer = io.BytesIO()
    pq.write_table(
        pa.table(whole), buffer, compression="none", use_dictionary=False, row_group_size=100
    )
    return buffer.getvalue()


WHOLE = parquet()
FOOTER = int.from_bytes(WHOLE[-8:-4], "little")


@pytest.mark.parametrize(
    "data",
    [
        b"", WHOLE[:4], WHOLE[:11], WHOLE[: len(WHOLE) // 2], WHOLE[:-1], WHOLE[:-8],
        b"PAR0" + WHOLE[4:], WHOLE[:-4] + b"PAR0", b"PARE" + WHOLE[4:], WHOLE[:-4] + b"PARE",
        WHOLE[:-8] + b"\xff\xff\xff\xff" + WHOLE[-4:],
        WHOLE[:-8] + b"\x00\x00\x00\x00" + WHOLE[-4:],
        WHOLE[:-8] + b"\xff\xff\xff\x7f" + WHOLE[-4:],
        WHOLE[: -8 - FOOTER] + bytes(FOOTER) + WHOLE[-8:],
        WHOLE[: -8 - FOOTER] + b"\xff" * FOOTER + WHOLE[-8:],
        WHOLE[: 8 - FOOTER] + WHOLE[8 - FOOTER :][::-1][8:] + WHOLE[-8:],
        b"PAR1" + b"\xff" * (len(WHOLE) - 12 - FOOTER) + WHOLE[-8 - FOOTER :],
        b"PAR1" + bytes(len(WHOLE) - 12 - FOOTER) + WHOLE[-8 - FOOTER :],
        CSV, gzip.compress(CSV), b"\x00" * 500, b"PAR1PAR1", b"PAR1" + b"x" * 50 + b"PAR1",
    ],
)  # fmt: skip
def test_every_broken_parquet_file_is_one_line_with_its_name(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "AAA.parquet").write_bytes(data)
    text = refused(tmp_path)
    assert text.startswith("AAA.parquet ")
    assert "again" in text


def test_no_flipped_byte_of_a_parquet_file_is_a_traceback(tmp_path: Path) -> None:
    """Each byte of the footer's edge and many of the pages, turned over: the file is read or
    refused.
    """
    for at in [*range(len(WHOLE) - 8 - FOOTER, len(WHOLE) - 8, 23), *range(4, 400, 31)]:
        data = bytearray(WHOLE)
        data[at] ^= 0xFF
        (tmp_path / "AAA.parquet").write_bytes(data)
        try:
            assert read(tmp_path).height <= 400
        except DataError as error:
            assert "AAA.parquet" in str(error)


@pytest.mark.parametrize(
    ("columns", "reason"),
    [
        ({"open": [[1.0]] * 400}, "'open' of type List"),
        ({"close": [{"x": 1.0}] * 400}, "'close' of type Struct"),
        ({"high": [True] * 400}, "'high' of type Boolean"),
        ({"volume": [b"1"] * 400}, "'volume' of type Binary"),
        ({"timestamp": [True] * 400}, "'timestamp' of type Boolean"),
        ({"timestamp": [[1]] * 400}, "'timestamp' of type List"),
        ({"timestamp": pa.array([1] * 400, pa.duration("us"))}, "'timestamp' of type Duration"),
        ({"symbol": [1.5] * 400}, "'symbol' of type Float64"),
        ({"timestamp": ["soon"] * 400}, "holds no readable time"),
        ({"timestamp": pa.array([2**62] * 400, pa.timestamp("ms"))}, "holds no readable time"),
    ],
)
def test_a_parquet_column_of_a_type_without_meaning_is_named(
    tmp_path: Path, columns: dict[str, object], reason: str
) -> None:
    (tmp_path / "AAA.parquet").write_bytes(parquet(**columns))
    assert reason in refused(tmp_path)


def test_odd_but_meaningful_parquet_types_are_read(tmp_path: Path) -> None:
    prices = pa.array(["1.5"] * 400).dictionary_encode()
    decimals = pa.array([1.5] * 400).cast(pa.decimal128(10, 4))
    (tmp_path / "AAA.parquet").write_bytes(
        parquet(open=prices, high=decimals, low=pa.array([1.5] * 400, pa.float32()))
    )
    found = read(tmp_path)
    assert found.select(pl.col("open", "high", "low").unique()).rows() == [(1.5, 1.5, 1.5)]


def test_a_broken_file_among_sound_ones_is_the_one_that_is_named(tmp_path: Path) -> None:
    (tmp_path / "AAA.parquet").write_bytes(WHOLE)
    (tmp_path / "BBB.parquet").write_bytes(WHOLE[:300])
    assert refused(tmp_path).startswith("BBB.parquet ")
    with pytest.raises(DataError, match=r"^BBB\.parquet "):
        list(source(tmp_path).read_batches(ALWAYS, FOREVER, "1Min", 10))


# --- not plain files ------------------------------------------------------------------------------


def strange(path: Path, kind: str) -> None:
    if kind == "pipe":
        os.mkfifo(path)
    elif kind == "socket":
        os.chdir(path.parent)
        with socket.socket(socket.AF_UNIX) as server:
            server.bind(path.name)
    elif kind == "device":
        path.symlink_to("/dev/zero")
    elif kind == "dangling":
        path.symlink_to("nowhere.csv")
    elif kind == "loop":
        path.symlink_to(path.name)


KINDS = {
    "pipe": "a pipe",
    "socket": "a socket",
    "device": "a device",
    "dangling": "a link that leads nowhere",
    "loop": "a link that leads back to itself",
}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["ZZZ.csv", "ZZZ.parquet"])
def test_what_is_no_plain_file_is_never_opened_and_named(
    tmp_path: Path, kind: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "bars"
    write(folder / "AAA.csv", HEADER, *ROWS)
    strange(folder / name, kind)
    for paths in (("bars",), ("bars/*",)):
        answer = source(tmp_path, *paths).read_bars(None, ALWAYS, FOREVER, "1Min")
        assert answer.rows.height == 3
        assert any(name in note and KINDS[kind] in note for note in answer.notes)
    assert KINDS[kind] in refused(tmp_path, f"bars/{name}")
    (folder / "AAA.csv").unlink()
    for paths in (("bars",), ("bars/Z*",)):
        assert name in refused(tmp_path, *paths)
    for key in ("corporate_actions", "universe", "listings"):
        files = source(tmp_path, "bars", **{key: f"bars/{name}"})
        with pytest.raises(DataError, match=key):
            (
                files.listings()
                if key == "listings"
                else getattr(files, key)(*([None] if key == "corporate_actions" else []))
            )


def test_a_link_to_a_file_is_read_and_a_link_to_a_folder_is_named(tmp_path: Path) -> None:
    write(tmp_path / "far" / "AAA.csv", HEADER, *ROWS)
    (tmp_path / "bars").mkdir()
    (tmp_path / "bars" / "BBB.csv").symlink_to(tmp_path / "far" / "AAA.csv")
    (tmp_path / "bars" / "more").symlink_to(tmp_path / "far")
    answer = source(tmp_path, "bars").read_bars(None, ALWAYS, FOREVER, "1Min")
    assert answer.rows["symbol"].unique().to_list() == ["BBB"]
    assert answer.notes == (
        "more was not read: it is a link to a folder (name that folder in the settings)",
    )


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_what_this_user_may_not_read_is_named(tmp_path: Path) -> None:
    write(tmp_path / "AAA.csv", HEADER, *ROWS)
    shut = write(tmp_path / "shut" / "BBB.csv", HEADER, *ROWS).parent
    shut.chmod(0)
    try:
        answer = source(tmp_path).read_bars(None, ALWAYS, FOREVER, "1Min")
        assert answer.notes == ("shut was not read: it is a folder that this user may not read",)
        assert "shut" in refused(tmp_path, "shut")
    finally:
        shut.chmod(stat.S_IRWXU)


def test_what_the_system_refuses_to_read_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "AAA.csv", HEADER, *ROWS)

    def denied(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(Path, "read_bytes", denied)
    assert (
        refused(tmp_path)
        == "AAA.csv cannot be read (Permission denied): let this user read it, or take it out"
    )


@pytest.mark.parametrize(
    ("paths", "reason"),
    [(("",), "holds an empty path"), (("a\x00b",), "null character"), ((), "is empty")],
)
def test_a_path_that_is_none_is_refused_by_its_setting(
    tmp_path: Path, paths: tuple[str, ...], reason: str
) -> None:
    write(tmp_path / "AAA.csv", HEADER, *ROWS)
    files = source(tmp_path)
    files.settings = files.settings.model_copy(update={"paths": paths})
    with pytest.raises(ConfigError, match=rf"market\.files\.paths.*{reason}"):
        files.bars(None, ALWAYS, FOREVER, "1Min")


def test_an_empty_list_of_symbols_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "AAA.csv", HEADER, *ROWS)
    with pytest.raises(
        ConfigError, match=r"no symbol is asked for, so that market\.files\.paths is not read"
    ):
        source(tmp_path).bars([], ALWAYS, FOREVER, "1Min")


# --- the account ----------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["csv", "parquet", "zip"])
def test_every_file_says_how_many_rows_it_has_and_how_many_lie_inside(
    tmp_path: Path, kind: str
) -> None:
    lines = [
        "2023-11-01,10,11,9,10,1",
        "2023-11-02,10,11,9,10,1",
        "2024-01-10,10,11,9,10,1",
        "soon,10,11,9,10,1",
        "2024-02-01,10,11,9,10,1",
    ]
    path = write(tmp_path / "ABC.csv", HEADER, *lines)
    if kind == "parquet":
        pl.read_csv(path).write_parquet(tmp_path / "ABC.parquet")
    elif kind == "zip":
        (tmp_path / "ABC.zip").write_bytes(
            zipped({"ABC.csv": path.read_bytes(), "DEF.csv": path.read_bytes()})
        )
    if kind != "csv":
        path.unlink()
    files = source(tmp_path)
    ranges = (
        (utc(2024, 1, 1), utc(2024, 2, 1), 2),
        (utc(2023, 1, 1), utc(2024, 1, 1), 2),
        (utc(2020, 1, 1), utc(2021, 1, 1), 0),
    )
    for (start, end, inside), way in product(ranges, ("all", "batches", "one")):
        if way == "batches":
            accounts = [
                account
                for answer in files.read_batches(start, end, "1Day", 1)
                for account in answer.accounts
            ]
        else:
            accounts = files.read_bars(
                ["ABC"] if way == "one" else None, start, end, "1Day"
            ).accounts
        assert [(each.rows, each.inside, each.symbol) for each in accounts][:1] == [
            (5, inside, "ABC")
        ]
        assert len(accounts) == (2 if kind == "zip" else 1)
    account = accounts[0]
    assert (account.first, account.last) == (utc(2023, 11, 1), utc(2024, 2, 1))
    assert (
        account.outside(utc(2024, 1, 1), utc(2024, 2, 1), 2)
        == f"{account.origin} holds rows from 2023-11-01 to 2024-02-01, of which 3 of 5 lie outside"
        " 2024-01-01 to 2024-02-01"
    )
    assert account.outside(utc(2023, 1, 1), utc(2025, 1, 1), 5) is None
