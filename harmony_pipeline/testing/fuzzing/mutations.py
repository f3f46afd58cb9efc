"""What is done to sound files: to their bytes, their lines and cells, their names, their packing,
and to the settings.

Each mutation takes a random generator and a sample and gives another sample; it is named by what it
does.
"""

import csv
import gzip
import io
import random
import zipfile
import zlib
from collections.abc import Callable
from dataclasses import replace

import pyarrow as pa
import pyarrow.parquet as pq

from harmony_pipeline.testing.fuzzing.sample import FOLDER, Sample
from harmony_pipeline.testing.fuzzing.tokens import CELLS, HEADERS, NAMES, TOKENS

Mutation = Callable[[random.Random, Sample], Sample]
_MOST_UNPACKED = 32 << 20  # a member larger than this is left as it is


def _on_one(change: Callable[[random.Random, bytes], bytes]) -> Mutation:
    """The mutation that changes the bytes of one file."""

    def mutate(rng: random.Random, sample: Sample) -> Sample:
        if not sample.files:
            return sample
        name = rng.choice(sorted(sample.files))
        return sample.with_files(sample.files | {name: change(rng, sample.files[name])})

    return mutate


def _on_text(change: Callable[[random.Random, bytes], bytes]) -> Mutation:
    """The mutation that changes the text of one file, within its packing."""

    def change_text(rng: random.Random, data: bytes) -> bytes:
        if data[:4] == b"PAR1":
            return data
        if data[:2] == b"\x1f\x8b":
            return _repack_gzip(rng, data, change)
        if data[:4] == b"PK\x03\x04":
            return _repack_zip(rng, data, change)
        return change(rng, data)

    return _on_one(change_text)


def _repack_gzip(
    rng: random.Random, data: bytes, change: Callable[[random.Random, bytes], bytes]
) -> bytes:
    try:
        return gzip.compress(change(rng, gzip.decompress(data)), 1, mtime=0)
    except (OSError, EOFError, zlib.error):
        return data


def _repack_zip(
    rng: random.Random, data: bytes, change: Callable[[random.Random, bytes], bytes]
) -> bytes:
    buffer = io.BytesIO()
    try:
        with (
            zipfile.ZipFile(io.BytesIO(data)) as source,
            zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as target,
        ):
            members = [member for member in source.infolist() if member.file_size < _MOST_UNPACKED]
            chosen = rng.randrange(max(len(members), 1))
            for at, member in enumerate(members):
                text = source.read(member)
                target.writestr(member.filename, change(rng, text) if at == chosen else text)
    except (
        zipfile.BadZipFile,
        OSError,
        EOFError,
        ValueError,
        NotImplementedError,
        RuntimeError,
        zlib.error,
    ):
        return data
    return buffer.getvalue()


# --- bytes ----------------------------------------------------------------------------------------


def _flip(rng: random.Random, data: bytes) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice((1, 1, 3, 20))):
        if out:
            out[rng.randrange(len(out))] = rng.randrange(256)
    return bytes(out)


def _cut(rng: random.Random, data: bytes) -> bytes:
    return data[: rng.randrange(len(data) + 1)]


def _behead(rng: random.Random, data: bytes) -> bytes:
    return data[rng.randrange(len(data) + 1) :]


def _insert(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + rng.choice(TOKENS) * rng.choice((1, 1, 1, 2, 50)) + data[at:]


def _delete(rng: random.Random, data: bytes) -> bytes:
    at = rng.randrange(len(data) + 1)
    return data[:at] + data[at + rng.randint(1, 30) :]


def _duplicate(rng: random.Random, data: bytes) -> bytes:
    at, other = rng.randrange(len(data) + 1), rng.randrange(len(data) + 1)
    return data[:at] + data[other : other + rng.choice((4, 60, 400))] + data[at:]


def _encode(rng: random.Random, data: bytes) -> bytes:
    return data.decode("utf-8", errors="replace").encode(
        rng.choice(("utf-16", "utf-16-le", "utf-16-be", "utf-8-sig", "cp1252", "utf-32")),
        errors="replace",
    )


def _line_ends(rng: random.Random, data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n").replace(
        b"\n", rng.choice((b"\r\n", b"\r", b"\r\r\n", b"\n\n", b"\x0b", "\u2028".encode()))
    )


def _separator(rng: random.Random, data: bytes) -> bytes:
    return data.replace(
        rng.choice((b",", b";", b"\t")), rng.choice((b";", b"\t", b"|", b", ", b" ", b",,"))
    )


def _quote(rng: random.Random, data: bytes) -> bytes:
    lines = data.split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = b",".join(b'"' + cell + b'"' for cell in lines[at].split(b","))
    return b"\n".join(lines)


# --- lines and cells ------------------------------------------------------------------------------


def _lines(rng: random.Random, data: bytes) -> bytes:
    """Shuffle, repeat or remove rows, or put the header among them."""
    header, *rows = data.split(b"\n")
    if not rows:
        return data
    kind = rng.randrange(6)
    if kind == 0:
        rng.shuffle(rows)
    elif kind == 1:
        rows += rng.choices(rows, k=rng.randint(1, 5))
    elif kind == 2:
        del rows[rng.randrange(len(rows)) :][: rng.randint(1, 9)]
    elif kind == 3:
        rows.insert(rng.randrange(len(rows)), header)
    elif kind == 4:
        rows.insert(rng.randrange(len(rows)), b"# a remark, with a comma")
    else:
        rows.reverse()
    return b"\n".join([header, *rows])


def _delimiter(header: bytes) -> bytes:
    return max((b",", b";", b"\t", b"|"), key=header.count)


def _cell(rng: random.Random, data: bytes) -> bytes:
    """Another value in one cell, or in several of a column."""
    lines = data.split(b"\n")
    sign = _delimiter(lines[0])
    column, value = rng.randrange(lines[0].count(sign) + 1), rng.choice(CELLS)
    share = rng.choice((0.0, 0.0, 0.2, 1.0))
    chosen = {rng.randrange(len(lines))} | {
        at for at in range(1, len(lines)) if rng.random() < share
    }
    for at in chosen - {0}:
        cells = lines[at].split(sign)
        if column < len(cells):
            cells[column] = value if rng.random() < 0.8 else cells[column] + value
            lines[at] = sign.join(cells)
    return b"\n".join(lines)


def _scale(rng: random.Random, data: bytes) -> bytes:
    """One number of some rows times a power of ten, its sign turned, or with more digits."""
    lines = data.split(b"\n")
    sign = _delimiter(lines[0])
    column = rng.randrange(lines[0].count(sign) + 1)
    change = rng.choice((b"00", b"e5", b"e-9", b".5", b"e300", b"%", b"000000000"))
    for at in range(1, len(lines)):
        cells = lines[at].split(sign)
        if column < len(cells) and rng.random() < 0.3:
            cells[column] += change
            lines[at] = sign.join(cells)
    return b"\n".join(lines)


def _header(rng: random.Random, data: bytes) -> bytes:
    """Names renamed, doubled, missing or in another order."""
    lines = data.split(b"\n")
    sign = _delimiter(lines[0])
    names = lines[0].split(sign)
    kind, at = rng.randrange(6), rng.randrange(len(names))
    if kind == 0:
        names[at] = rng.choice(HEADERS)
    elif kind == 1:
        names[at] = rng.choice(names)
    elif kind == 2:
        del names[at]
    elif kind == 3:
        names.insert(at, rng.choice(HEADERS))
    elif kind == 4:
        rng.shuffle(names)
    else:
        return b"\n".join(lines[1:])
    return b"\n".join([sign.join(names), *lines[1:]])


def _columns(rng: random.Random, data: bytes) -> bytes:
    """Add many columns."""
    lines = data.split(b"\n")
    sign, count = _delimiter(lines[0]), rng.choice((3, 200, 2000))
    extra = sign + sign.join(b"x%d" % at for at in range(count))
    return b"\n".join(
        [lines[0] + extra, *(line + sign * rng.choice((0, count)) for line in lines[1:])]
    )


def _long(rng: random.Random, data: bytes) -> bytes:
    """A file of megabytes: one line, one cell, or the rows many times over."""
    kind = rng.randrange(4)
    if kind == 0:
        return data + rng.choice((b"9", b"a", b",", b'"', b"\n")) * rng.choice((1 << 20, 3 << 20))
    if kind == 1:
        return rng.choice((b"9", b"a", b",", b'"')) * (2 << 20) + data
    if kind == 2:
        at = rng.randrange(len(data) + 1)
        return data[:at] + b"0" * (2 << 20) + data[at:]
    header, _, rows = data.partition(b"\n")
    return header + b"\n" + rows * min(4000, (4 << 20) // max(len(rows), 1) + 1)


# --- packing --------------------------------------------------------------------------------------


def _bomb(rng: random.Random, data: bytes) -> bytes:
    """Packed text that unpacks to far more than its size."""
    return gzip.compress(
        data + rng.choice((b"\n", b"0", b"\x00")) * rng.choice((8 << 20, 24 << 20)), 1, mtime=0
    )


def _pack(rng: random.Random, data: bytes) -> bytes:
    kind = rng.randrange(3)
    if kind == 0:
        return gzip.compress(data, 1, mtime=0)
    if kind == 1:
        return gzip.compress(data, 1, mtime=0) + gzip.compress(data, 1, mtime=0)
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name in rng.sample(NAMES, k=3):
            archive.writestr(name, data)
    return buffer.getvalue()


# --- Parquet --------------------------------------------------------------------------------------


def _footer(rng: random.Random, data: bytes) -> bytes:
    """Bytes of the footer, its length or the magic changed."""
    out = bytearray(data)
    if len(out) < 20:
        return data
    length = min(int.from_bytes(out[-8:-4], "little"), len(out) - 8)
    for _ in range(rng.randint(1, 4)):
        out[rng.randrange(max(len(out) - 8 - length, 0), len(out))] = rng.randrange(256)
    return bytes(out)


def _page(rng: random.Random, data: bytes) -> bytes:
    """Bytes of the pages changed, the footer as it was."""
    out = bytearray(data)
    length = int.from_bytes(out[-8:-4], "little") if len(out) > 8 else 0
    end = len(out) - 8 - length
    for _ in range(rng.randint(1, 6)):
        if end > 5:
            out[rng.randrange(4, end)] = rng.randrange(256)
    return bytes(out)


_TYPES = (
    pa.string(), pa.float32(), pa.float64(), pa.int64(), pa.int8(), pa.bool_(), pa.binary(),
    pa.decimal128(38, 9),
    pa.date32(), pa.timestamp("s"), pa.timestamp("ns", "Asia/Tokyo"), pa.time64("us"),
    pa.duration("us"), pa.large_string(), pa.null(),
    pa.list_(pa.float64()), pa.float16(), pa.uint8(),
)  # fmt: skip


def _retype(rng: random.Random, data: bytes) -> bytes:
    """A column of another type, nulls in it, renamed, doubled or taken out."""
    try:
        table = pq.read_table(io.BytesIO(data))
        at = rng.randrange(table.num_columns)
        column, kind = table.column(at), rng.randrange(5)
        if kind == 0:
            dtype = rng.choice(_TYPES)
            table = table.set_column(at, table.column_names[at], _as_type(rng, column, dtype))
        elif kind == 1:
            values = [None if rng.random() < 0.5 else value for value in column.to_pylist()]
            table = table.set_column(at, table.column_names[at], pa.array(values, column.type))
        elif kind == 2:
            table = table.append_column(rng.choice(table.column_names), rng.choice(table.columns))
        elif kind == 3:
            table = table.remove_column(at)
        else:
            names = list(table.column_names)
            names[at] = rng.choice(HEADERS).decode("utf-8", errors="replace")
            table = table.rename_columns(names)
        buffer = io.BytesIO()
        pq.write_table(table, buffer)
    except (pa.ArrowException, OSError, ValueError, TypeError, OverflowError):
        return data
    return buffer.getvalue()


def _as_type(rng: random.Random, column: pa.ChunkedArray, dtype: pa.DataType) -> pa.ChunkedArray:
    try:
        return column.cast(dtype, safe=False)
    except pa.ArrowException:
        return pa.chunked_array([pa.array([None] * len(column), dtype)])


def _on_parquet(change: Callable[[random.Random, bytes], bytes]) -> Mutation:
    def mutate(rng: random.Random, sample: Sample) -> Sample:
        names = sorted(name for name, data in sample.files.items() if data[:4] == b"PAR1")
        if not names:
            return sample
        name = rng.choice(names)
        return sample.with_files(sample.files | {name: change(rng, sample.files[name])})

    return mutate


# --- files and settings ---------------------------------------------------------------------------


def _rename(rng: random.Random, sample: Sample) -> Sample:
    if not sample.files:
        return sample
    name = rng.choice(sorted(sample.files))
    other = f"{FOLDER}/{rng.choice(NAMES)}"
    rest = {key: data for key, data in sample.files.items() if key != name}
    return sample.with_files(rest | {other: sample.files[name]})


def _copy(rng: random.Random, sample: Sample) -> Sample:
    """One file a second time under another name."""
    if not sample.files:
        return sample
    name = rng.choice(sorted(sample.files))
    return sample.with_files(
        sample.files | {f"{FOLDER}/more/{rng.choice(NAMES)}": sample.files[name]}
    )


def _split(rng: random.Random, sample: Sample) -> Sample:
    """Rows of a text file moved into another one."""
    names = sorted(
        name
        for name, data in sample.files.items()
        if data[:4] not in (b"PAR1", b"PK\x03\x04") and data[:2] != b"\x1f\x8b"
    )
    if not names:
        return sample
    name = rng.choice(names)
    header, *rows = sample.files[name].split(b"\n")
    at = rng.randrange(len(rows) + 1)
    stem, dot, suffix = name.rpartition("/")[2].partition(".")
    other = f"{FOLDER}/{stem}_{rng.randrange(9)}{dot}{suffix}"
    return sample.with_files(
        sample.files
        | {
            name: b"\n".join([header, *rows[:at]]),
            other: b"\n".join([header, *rows[at:]]),
        }
    )


def _lose(rng: random.Random, sample: Sample) -> Sample:
    """Remove one file."""
    names = sorted(sample.files)
    return sample.with_files(
        {name: sample.files[name] for name in names if name != rng.choice(names)}
    )


def _settings(rng: random.Random, sample: Sample) -> Sample:
    """Another zone, stamp, timeframe, calendar, format or mapping of columns."""
    choices: dict[str, tuple[object, ...]] = {
        "timezone": (
            "UTC",
            "America/New_York",
            "Asia/Kolkata",
            "Europe/London",
            "Mars/Olympus",
            "",
            "US/Eastern",
            "Australia/Lord_Howe",
        ),
        "wall_clock": (True,),
        "stamp": ("start", "end", "auto"),
        "timestamp_format": (
            "%Y-%m-%d",
            "%d/%m/%Y",
            "%s",
            "%Y%m%d %H%M%S",
            "%",
            "",
            "%Q%Q",
            "%H",
            "%Y-%m-%dT%H:%M:%S%z",
        ),
        "price_scale": (1.0, 1e-9, 0.01, 1e-300),
        "decimal": (".", ","),
        "symbol_from_filename": ("(.*)", "([A-Z]+)", "(", "x", "(a)?b"),
        "max_text_megabytes": (1,),
        "columns": (
            {"close": "open"},
            {"volume": "nothing"},
            {"clock": "volume"},
            {"symbol": "close"},
            {"timestamp": "volume"},
            {"strange": "open"},
        ),
    }
    if rng.random() < 0.4:
        markets: dict[str, tuple[object, ...]] = {
            "timeframe": ("1Min", "5Min", "30Min", "1Hour", "1Day", "1Week"),
            "calendar": ("XNYS", "24/7", "FX", "XBOM", "CMES", "XTKS"),
            "symbols": (["AAPL"], ["AAA", "NONE"]),
            "extended_hours": (False, True),
        }
        key = rng.choice(sorted(markets))
        return replace(sample, market=sample.market | {key: rng.choice(markets[key])})
    key = rng.choice(sorted(choices))
    return replace(sample, reading=sample.reading | {key: rng.choice(choices[key])})


def _cell_csv(rng: random.Random, data: bytes) -> bytes:
    """One cell, written by a CSV writer, so that a quoted value stays one."""
    try:
        rows = list(
            csv.reader(io.StringIO(data.decode("utf-8", errors="replace").replace("\x00", "")))
        )
    except csv.Error:  # a field of megabytes
        return data
    filled = [row for row in rows[1:] if row]
    if not filled:
        return data
    row = rng.choice(filled)
    row[rng.randrange(len(row))] = rng.choice(CELLS).decode("utf-8", errors="replace")
    out = io.StringIO()
    csv.writer(out, lineterminator="\n").writerows(rows)
    return out.getvalue().encode(errors="replace")


MUTATIONS: dict[str, tuple[int, Mutation]] = {
    "flip": (3, _on_one(_flip)),
    "cut": (2, _on_one(_cut)),
    "behead": (1, _on_one(_behead)),
    "insert raw": (2, _on_one(_insert)),
    "delete raw": (2, _on_one(_delete)),
    "duplicate raw": (1, _on_one(_duplicate)),
    "insert": (6, _on_text(_insert)),
    "delete": (3, _on_text(_delete)),
    "duplicate": (3, _on_text(_duplicate)),
    "cut text": (2, _on_text(_cut)),
    "encode": (1, _on_text(_encode)),
    "line ends": (2, _on_text(_line_ends)),
    "separator": (1, _on_text(_separator)),
    "quoted": (2, _on_text(_quote)),
    "lines": (6, _on_text(_lines)),
    "cell": (12, _on_text(_cell)),
    "cell by a writer": (4, _on_text(_cell_csv)),
    "scale": (4, _on_text(_scale)),
    "header": (5, _on_text(_header)),
    "columns": (1, _on_text(_columns)),
    "long": (1, _on_text(_long)),
    "bomb": (1, _on_one(_bomb)),
    "pack": (1, _on_one(_pack)),
    "footer": (8, _on_parquet(_footer)),
    "page": (8, _on_parquet(_page)),
    "retyped": (10, _on_parquet(_retype)),
    "rename": (3, _rename),
    "copy": (2, _copy),
    "split": (2, _split),
    "lose": (1, _lose),
    "settings": (5, _settings),
}


def mutate(rng: random.Random, sample: Sample) -> tuple[Sample, tuple[str, ...]]:
    """The sample after one to five mutations, and their names."""
    names = list(MUTATIONS)
    weights = [weight for weight, _ in MUTATIONS.values()]
    done = []
    for name in rng.choices(names, weights, k=rng.choice((1, 1, 1, 2, 3, 5))):
        changed = MUTATIONS[name][1](rng, sample)
        if changed is not sample:
            sample = changed
            done.append(name)
    return sample, tuple(done)
