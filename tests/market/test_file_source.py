"""Files in every usual shape give the same bars; files in an unusual shape are refused, or
reported, in a sentence.
"""

import gzip
import zipfile
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from market.files.writing import ALWAYS, FOREVER, HEADER, NYSE, ROWS, read, source, write
from market.raw_rows import utc

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.source_settings import FileSourceSettings
from harmony_pipeline.market.sources.base import (
    SOURCE_BAR_DTYPES,
    MarketDataSource,
    SourceCapabilities,
)
from harmony_pipeline.market.sources.comments import SKIPPED, TAKEN_OUT
from harmony_pipeline.market.sources.files import FileSource
from harmony_pipeline.market.sources.registry import build_source
from harmony_pipeline.testing.source_contract import SourceContract

# --- the contract, over every packing -------------------------------------------------------------


class FilesContract(SourceContract):
    timeframe, start, end = "1Min", utc(2024, 1, 2), utc(2024, 1, 3)
    symbols = ("AAA", "BBB")
    lacks = dict.fromkeys(
        ("corporate actions", "universe", "quotes", "trades"),
        "this packing holds bars alone; files of the other kinds have tests of their own",
    )


class TestCsvFiles(FilesContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> MarketDataSource:
        for symbol in self.symbols:
            write(tmp_path / "bars" / f"{symbol}.csv", HEADER, *ROWS)
        return source(tmp_path, "bars")


class TestGzippedCsv(FilesContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> MarketDataSource:
        for symbol in self.symbols:
            (tmp_path / f"{symbol}.csv.gz").write_bytes(
                gzip.compress("\n".join([HEADER, *ROWS]).encode())
            )
        return source(tmp_path, "*.csv.gz")


class TestZippedCsv(FilesContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> MarketDataSource:
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
            for symbol in self.symbols:
                archive.writestr(f"{symbol}.csv", "\n".join([HEADER, *ROWS]))
        return source(tmp_path, "all.zip")


class TestOneParquetFileOfManySymbols(FilesContract):
    @pytest.fixture
    def source(self, tmp_path: Path) -> MarketDataSource:
        write(tmp_path / "AAA.csv", HEADER, *ROWS)
        one = read(tmp_path, "AAA.csv").select(
            "timestamp", "open", "high", "low", "close", "volume"
        )
        both = pl.concat([one.with_columns(ticker=pl.lit(symbol)) for symbol in self.symbols])
        both.write_parquet(tmp_path / "bars.parquet")
        return source(tmp_path, "bars.parquet")


# --- spellings ------------------------------------------------------------------------------------


def values(frame: pl.DataFrame) -> list[tuple[object, ...]]:
    return frame.select("symbol", "timestamp", "open", "high", "low", "close", "volume").rows()


@pytest.mark.parametrize(
    "header",
    [
        "Date,Open,High,Low,Close,Volume",
        "t,o,h,l,c,v",
        "DATETIME,OPEN,HIGH,LOW,CLOSE,VOL",
        "<Date>,<Open>,<High>,<Low>,<Close>,<Vol>",
        "time,open,high,low,close,volume",
    ],
)
def test_vendors_spellings_are_understood(tmp_path: Path, header: str) -> None:
    write(tmp_path / "plain" / "AAA.csv", HEADER, *ROWS)
    write(tmp_path / "vendor" / "AAA.csv", header, *ROWS)
    assert values(read(tmp_path, "vendor")) == values(read(tmp_path, "plain"))


@pytest.mark.parametrize("first", ["#Symbol", "# symbol", "  #SYMBOL"])
def test_names_behind_a_sign_of_comments_are_the_names_without_it(
    tmp_path: Path, first: str
) -> None:
    """Of a symbol that was not read the file's own name would be taken."""
    rows = [f"{symbol},{row}" for symbol in ("AAA", "BBB") for row in ROWS]
    write(tmp_path / "plain" / "export.csv", f"symbol,{HEADER}", *rows)
    write(tmp_path / "vendor" / "export.csv", "  # by hand, 2024", f"{first},{HEADER}", *rows)
    found = values(read(tmp_path, "vendor"))
    assert found == values(read(tmp_path, "plain"))
    assert {row[0] for row in found} == {"AAA", "BBB"}


@pytest.mark.parametrize("remark", ["# halted, see notice", "  # a,b,c,d,e,f,g,h", '# 5" of rain'])
def test_remarks_between_rows_are_no_rows_and_leave_line_numbers(
    tmp_path: Path, remark: str
) -> None:
    first, *rest = ROWS
    write(tmp_path / "plain" / "AAA.csv", HEADER, *ROWS)
    write(tmp_path / "remarks" / "AAA.csv", HEADER, remark, first, remark, *rest, remark)
    assert values(read(tmp_path, "remarks")) == values(read(tmp_path, "plain"))
    answer = source(tmp_path, "remarks").read_bars(None, ALWAYS, FOREVER, "1Min")
    assert answer.rows["row"].to_list() == [3, *range(5, 5 + len(rest))]
    assert any(SKIPPED in note for note in answer.notes)


def test_a_row_that_a_sign_takes_out_is_quarantined_with_that_reason(tmp_path: Path) -> None:
    first, second, *rest = ROWS
    write(tmp_path / "AAA.csv", HEADER, first, f" #{second}", *rest)
    frame = read(tmp_path).sort("row")
    assert frame["row"].to_list() == list(range(2, 2 + len(ROWS)))
    assert TAKEN_OUT in frame["defect"][1]
    assert frame["defect"].null_count() == len(ROWS) - 1


def test_a_symbol_may_begin_with_the_sign_unless_the_same_one_is_there_without_it(
    tmp_path: Path,
) -> None:
    names = [f"#AAPL,{row}" for row in ROWS] + [f"MSFT,{row}" for row in ROWS]
    write(tmp_path / "cfds" / "export.csv", f"symbol,{HEADER}", *names, f"#MSFT,{ROWS[0]}")
    frame = read(tmp_path, "cfds")
    assert set(frame.filter(pl.col("defect").is_null())["symbol"]) == {"#AAPL", "MSFT"}
    assert frame["defect"].drop_nulls().to_list() == [TAKEN_OUT]


def test_a_symbol_of_digits_may_begin_with_the_sign_where_rows_do_not_begin_with_stamps(
    tmp_path: Path,
) -> None:
    names = [f"#7203,{row}" for row in ROWS] + [f"EURUSD,{row}" for row in ROWS]
    write(
        tmp_path / "cfds" / "export.csv", f"symbol,{HEADER}", *names, "#7203,2024-01-02T14:33Z,,,,,"
    )
    frame = read(tmp_path, "cfds")
    assert frame["defect"].null_count() == len(names) + 1
    assert frame["symbol"].to_list().count("#7203") == len(ROWS) + 1


PRICES = "open,high,low,close,volume"


@pytest.mark.parametrize(
    ("names", "cells", "settings"),
    [
        ("unix,date", "1704205800,2024-01-02 09:30:00", {"timestamp_format": "%Y-%m-%d %H:%M:%S"}),
        ("date,time,unix", "2024-01-02,09:30,0", {}),
        ("date,time,local time", "2024-01-02,09:30,15:30", {}),
        ("local time,date", "2024-01-02 15:30,2024-01-02 09:30", {}),
        ("trade date,from,to", "2024-01-02,2024-01-02 09:30,2024-01-02 09:31", {}),
        ("datum,time", "2024-01-02,2024-01-02 09:30", {}),
        ("time,datum", "2024-01-02 09:30,WGS84", {}),
        ("time,dates", "2024-01-02 09:30,5", {}),
        ("date,zeit", "2024-01-02 09:30,first", {}),
        ("datum,zeit", "02.01.2024,09:30", {"timestamp_format": "%d.%m.%Y %H:%M"}),
        ("date,time (utc)", "2024-01-02 09:30,14:30", {}),
        ("gmt time", "2024-01-02 09:30", {"columns": {"timestamp": "gmt time"}}),
    ],
)
def test_of_several_columns_of_stamps_the_one_on_the_clock_of_the_settings_is_read(
    tmp_path: Path, names: str, cells: str, settings: dict[str, object]
) -> None:
    write(tmp_path / "AAA.csv", f"{names},{PRICES}", f"{cells},10,11,9,10.5,100")
    frame = read(tmp_path, timezone="America/New_York", **settings)
    assert frame["timestamp"].to_list() == [utc(2024, 1, 2, 14, 30)]
    assert frame["defect"].to_list() == [None]


def test_adjusted_closes_are_ignored_and_counts_and_vwaps_are_read(tmp_path: Path) -> None:
    write(
        tmp_path / "AAA.csv",
        "Date,Adj Close,Open,High,Low,Close,Volume,n,vw",
        "2024-01-02,1,10,11,9,10.5,100,7,10.2",
    )
    row = read(tmp_path, timeframe="1Day").row(0, named=True)
    assert (row["close"], row["trade_count"], row["vwap"]) == (10.5, 7.0, 10.2)


def test_names_in_the_settings_win(tmp_path: Path) -> None:
    write(
        tmp_path / "AAA.csv",
        "when,open,high,low,close,last_price,volume",
        "2024-01-02T14:30:00Z,10,11,9,10.5,10.75,100",
    )
    frame = read(tmp_path, columns={"timestamp": "when", "close": "last_price"})
    assert frame["close"].to_list() == [10.75]


def test_date_and_time_in_two_columns_make_one_stamp(tmp_path: Path) -> None:
    write(
        tmp_path / "AAA.csv",
        "Date,Time,Open,High,Low,Close,Volume",
        "2024-01-02,09:30:00,10,11,9,10.5,100",
        "20240102,09:31,10,11,9,10.5,100",
    )
    assert read(tmp_path, timezone="America/New_York")["timestamp"].to_list() == [
        utc(2024, 1, 2, 14, 30),
        utc(2024, 1, 2, 14, 31),
    ]


def test_semicolons_quotes_byte_order_marks_and_windows_lines_are_understood(
    tmp_path: Path,
) -> None:
    text = '\ufeff"Symbol";"Date";"Open";"High";"Low";"Close";"Volume"\r\n"AAA";"2024-01-02T14:30:00Z";"10";"11";"9";"10.5";"100"\r\n'
    (tmp_path / "x.csv").write_bytes(text.encode())
    assert values(read(tmp_path)) == [
        ("AAA", utc(2024, 1, 2, 14, 30), 10.0, 11.0, 9.0, 10.5, 100.0)
    ]


# --- time -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("stamps", "expected"),
    [
        (("10/3/2022", "10/13/2022"), [utc(2022, 10, 3), utc(2022, 10, 13)]),
        (("3/10/2022", "13/10/2022"), [utc(2022, 10, 3), utc(2022, 10, 13)]),
        (("10/3/2022 9:30", "10/13/2022 16:00"), [utc(2022, 10, 3, 9, 30), utc(2022, 10, 13, 16)]),
    ],
)
def test_a_day_beyond_twelve_settles_the_order_of_day_and_month_for_its_whole_file(
    tmp_path: Path, stamps: tuple[str, ...], expected: list[object]
) -> None:
    write(tmp_path / "AAA.csv", HEADER, *(f"{stamp},10,11,9,10,1" for stamp in stamps))
    assert read(tmp_path)["timestamp"].to_list() == expected


def test_a_file_that_contradicts_itself_about_day_and_month_is_not_guessed_at(
    tmp_path: Path,
) -> None:
    write(tmp_path / "AAA.csv", HEADER, "10/13/2022,10,11,9,10,1", "13/10/2022,10,11,9,10,1")
    with pytest.raises(DataError, match="holds no readable time"):
        read(tmp_path)


@pytest.mark.parametrize(
    "cell",
    [
        "2024-07-02T13:30:00Z", "2024-07-02 13:30:00+00:00", "2024-07-02T09:30:00-04:00",
        "2024-07-02T09:30:00-0400",
        "2024-07-02 09:30", "2024-07-02 09:30:00.000",
        "2024/07/02 09:30:00", "20240702 09:30:00", "20240702093000", "1719927000", "1719927000000",
        "1719927000000000", "1719927000000000000", "1719927000.0",
        "2024-07-02 13:30:00 UTC", " 2024-07-02T19:00:00+05:30 ",
    ],
)  # fmt: skip
def test_one_instant_in_many_spellings(tmp_path: Path, cell: str) -> None:
    write(tmp_path / "AAA.csv", HEADER, f"{cell},10,11,9,10,1")
    assert read(tmp_path, timezone="America/New_York")["timestamp"].to_list() == [
        utc(2024, 7, 2, 13, 30)
    ]


def test_epochs_of_the_last_century_are_understood(tmp_path: Path) -> None:
    write(tmp_path / "AAA.csv", HEADER, "883751400,10,11,9,10,1", "883751460000,10,11,9,10,1")
    assert read(tmp_path)["timestamp"].to_list() == [
        utc(1998, 1, 2, 14, 30),
        utc(1998, 1, 2, 14, 31),
    ]


def test_naive_stamps_follow_daylight_saving(tmp_path: Path) -> None:
    write(
        tmp_path / "AAA.csv",
        HEADER,
        *(f"{stamp},10,11,9,10,1" for stamp in ("2024-03-08 09:30", "2024-03-11 09:30")),
    )
    assert read(tmp_path, timezone="America/New_York")["timestamp"].to_list() == [
        utc(2024, 3, 8, 14, 30),
        utc(2024, 3, 11, 13, 30),
    ]


def test_an_hour_that_does_not_exist_cannot_be_read(tmp_path: Path) -> None:
    write(
        tmp_path / "AAA.csv",
        HEADER,
        "2024-03-10 01:59,10,11,9,10,1",
        "2024-03-10 02:30,10,11,9,10,1",
    )
    late = read(tmp_path, timezone="America/New_York").row(1, named=True)
    assert late["timestamp"] == utc(2024, 3, 10, 6, 59)
    assert "timestamp is '2024-03-10 02:30', expected a time" in late["defect"]


def test_day_and_month_are_not_guessed_and_a_format_settles_it(tmp_path: Path) -> None:
    write(tmp_path / "AAA.csv", HEADER, "03/04/2024 09:30,10,11,9,10,1")
    with pytest.raises(
        DataError,
        match=(
            r"AAA\.csv column 'timestamp' holds no readable time .*'03/04/2024"
            r" 09:30'.*timestamp_format"
        ),
    ):
        read(tmp_path)
    assert read(tmp_path, timestamp_format="%d/%m/%Y %H:%M")["timestamp"].to_list() == [
        utc(2024, 4, 3, 9, 30)
    ]
    assert read(tmp_path, timestamp_format="%m/%d/%Y %H:%M")["timestamp"].to_list() == [
        utc(2024, 3, 4, 9, 30)
    ]


@pytest.mark.parametrize(
    "cell",
    [
        "2024-07-02",
        "2024-07-02T04:00:00Z",
        "2024-07-02 00:00:00",
        "2024-07-02T00:00:00Z",
        "2024-07-02T13:30:00Z",
        "1719892800",
        "20240702",
        "2024-07-02T00:00:00-04:00",
    ],
)
def test_a_daily_bar_stands_at_midnight_utc_of_its_session(tmp_path: Path, cell: str) -> None:
    write(tmp_path / "AAA.csv", HEADER, f"{cell},10,11,9,10,1")
    assert read(tmp_path, timeframe="1Day")["timestamp"].to_list() == [utc(2024, 7, 2)]


@pytest.mark.parametrize(
    "dtype",
    [
        pl.Datetime("ns"),
        pl.Datetime("ms", "UTC"),
        pl.Datetime("us", "America/New_York"),
        pl.Int64(),
        pl.String(),
    ],
)
def test_parquet_stamps_of_every_type(tmp_path: Path, dtype: pl.DataType) -> None:
    stamp = pl.Series("timestamp", [utc(2024, 7, 2, 13, 30)])
    typed = {
        "Int64": lambda: stamp.dt.epoch("ms"),
        "String": lambda: stamp.dt.strftime("%Y-%m-%dT%H:%M:%SZ"),
        "Datetime": lambda: (
            stamp.dt.convert_time_zone(getattr(dtype, "time_zone", None) or "UTC")
            .dt.replace_time_zone(getattr(dtype, "time_zone", None))
            .cast(dtype)
        ),
    }[dtype.base_type().__name__]()
    pl.DataFrame(
        {
            "timestamp": typed,
            "open": [10],
            "high": [11.0],
            "low": [9.0],
            "close": [10.0],
            "volume": [1],
        }
    ).write_parquet(tmp_path / "AAA.parquet")
    assert values(read(tmp_path)) == [("AAA", utc(2024, 7, 2, 13, 30), 10.0, 11.0, 9.0, 10.0, 1.0)]


def test_parquet_nan_is_no_value_and_infinity_is_a_defect(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "timestamp": [utc(2024, 7, 2, 13, 30)],
            "open": [float("nan")],
            "high": [float("inf")],
            "low": [9.0],
            "close": [10.0],
            "volume": [1],
        }
    )
    frame.write_parquet(tmp_path / "AAA.parquet")
    row = read(tmp_path).row(0, named=True)
    assert (row["open"], row["high"], row["row"]) == (None, None, 1)
    assert row["defect"] == "high is 'inf', expected a number: correct the cell"


# --- nothing is lost ------------------------------------------------------------------------------


def test_text_in_a_price_is_quoted_with_its_column_and_line(tmp_path: Path) -> None:
    write(tmp_path / "AAA.csv", HEADER, ROWS[0], "2024-01-02T14:31:00Z,10.5,12,10,abc,x7")
    row = read(tmp_path).row(1, named=True)
    assert (row["close"], row["volume"], row["origin"], row["row"]) == (None, None, "AAA.csv", 3)
    assert (
        row["defect"]
        == "close is 'abc', expected a number: correct the cell; volume is 'x7', expected a number:"
        " correct the cell"
    )


def test_an_empty_cell_is_null_without_a_defect(tmp_path: Path) -> None:
    write(
        tmp_path / "AAA.csv",
        HEADER,
        "2024-01-02T14:30:00Z,10,11,9,,100",
        "2024-01-02T14:31:00Z,10,11,9,NaN,100",
        "2024-01-02T14:32:00Z,10,11,9",
    )
    frame = read(tmp_path)
    assert frame["close"].to_list() == [None, None, None]
    assert frame["defect"].to_list() == [None, None, None]


def test_a_row_without_a_readable_time_takes_its_neighbours(tmp_path: Path) -> None:
    write(tmp_path / "AAA.csv", HEADER, "soon,1,1,1,1,1", ROWS[0], "later,2,2,2,2,2", ROWS[2])
    frame = read(tmp_path).sort("row")
    assert frame["timestamp"].to_list() == [utc(2024, 1, 2, 14, 30)] * 3 + [utc(2024, 1, 2, 14, 32)]
    assert ["soon" in (text or "") or "later" in (text or "") for text in frame["defect"]] == [
        True,
        False,
        True,
        False,
    ]


def test_lines_are_numbered_through_blank_lines_and_quoted_line_breaks(tmp_path: Path) -> None:
    write(tmp_path / "AAA.csv", HEADER, ROWS[0], "", ROWS[1], ",,,,,", ROWS[2])
    assert read(tmp_path)["row"].to_list() == [2, 4, 6]
    write(
        tmp_path / "BBB.csv",
        "",
        f"{HEADER},note",
        f'{ROWS[0]},"two\nlines"',
        f"{ROWS[1]},",
        f"{ROWS[2]},x",
    )
    assert read(tmp_path, "BBB.csv")["row"].to_list() == [3, 5, 6]


def test_a_line_with_too_many_fields_is_kept_and_marked(tmp_path: Path) -> None:
    write(tmp_path / "AAA.csv", HEADER, ROWS[0], "2024-01-02T14:31:00Z,1,050,12,10,11,200")
    frame = read(tmp_path)
    assert frame["defect"].to_list() == [
        None,
        "the line has 7 fields, expected 6: quote a value that holds the separator ','",
    ]


def test_an_empty_symbol_cell_is_reported_whatever_symbols_are_asked_for(tmp_path: Path) -> None:
    write(tmp_path / "x.csv", f"symbol,{HEADER}", f"AAA,{ROWS[0]}", f",{ROWS[1]}")
    frame = source(tmp_path).bars(["AAA"], ALWAYS, FOREVER, "1Min")
    assert frame["symbol"].to_list() == ["", "AAA"]
    assert frame["defect"][0] == "symbol is empty, expected a symbol: fill the cell"


# --- refusals -------------------------------------------------------------------------------------


def test_a_missing_column_names_the_file_the_columns_and_the_setting(tmp_path: Path) -> None:
    write(
        tmp_path / "AAA.csv", "timestamp,open,high,low,volume", "2024-01-02T14:30:00Z,10,11,9,100"
    )
    with pytest.raises(
        DataError,
        match=(
            r"AAA\.csv has no column 'close'; its columns are 'timestamp',"
            r" 'open'.*\[market\.files\.columns\]: close = "
        ),
    ):
        read(tmp_path)


def test_a_file_without_a_header_is_told_so(tmp_path: Path) -> None:
    write(tmp_path / "AAA.csv", *ROWS)
    with pytest.raises(DataError, match="its first line looks like data"):
        read(tmp_path)


def test_a_setting_that_names_a_column_the_file_lacks_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "AAA.csv", HEADER, *ROWS)
    with pytest.raises(DataError, match=r"maps close to 'settle', which the file does not have"):
        read(tmp_path, columns={"close": "settle"})
    with pytest.raises(ConfigError, match="names 'price', which is no column of bars"):
        read(tmp_path, columns={"price": "close"})


@pytest.mark.parametrize("text", ["", "\n\n", HEADER, HEADER + "\n"])
def test_an_only_file_without_rows_is_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / "AAA.csv").write_text(text)
    with pytest.raises(DataError, match=r"AAA\.csv has no rows"):
        read(tmp_path)


def test_an_empty_file_among_others_is_noted(tmp_path: Path) -> None:
    write(tmp_path / "AAA.csv", HEADER, *ROWS)
    write(tmp_path / "BBB.csv", HEADER)
    (tmp_path / "CCC.csv").write_text("")
    files = source(tmp_path)
    for _ in range(2):  # the second call reads from memory and must say the same
        answer = files.read_bars(None, ALWAYS, FOREVER, "1Min")
        assert answer.rows.height == 3
        assert [note.split(":")[0] for note in answer.notes] == [
            "BBB.csv is empty (only a header)",
            "CCC.csv is empty (no text at all)",
        ]


def test_an_empty_parquet_file_is_refused_or_noted(tmp_path: Path) -> None:
    empty = pl.DataFrame(
        schema={
            "timestamp": pl.Datetime("us", "UTC"),
            **dict.fromkeys(("open", "high", "low", "close", "volume"), pl.Float64()),
        }
    )
    empty.write_parquet(tmp_path / "AAA.parquet")
    with pytest.raises(DataError, match=r"AAA\.parquet has no rows"):
        read(tmp_path)
    write(tmp_path / "BBB.csv", HEADER, *ROWS)
    assert read(tmp_path).height == 3


@pytest.mark.parametrize(
    ("path", "message"),
    [
        ("nowhere.csv", "which does not exist"),
        ("*.feather", "matches no file"),
        ("notes.docx", r"unknown type '\.docx'"),
        ("leer", "holds no file of bars"),
    ],
)
def test_a_path_that_leads_to_no_bars_is_refused(tmp_path: Path, path: str, message: str) -> None:
    write(tmp_path / "notes.docx", "x")
    write(tmp_path / "leer" / "readme.md", "x")
    with pytest.raises(DataError, match=message):
        read(tmp_path, path)


def test_no_path_at_all_is_a_matter_of_the_settings(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"market\.files\.paths is empty"):
        FileSource(FileSourceSettings(), NYSE, tmp_path).bars(None, ALWAYS, FOREVER, "1Min")


@pytest.mark.parametrize("name", ["AAA.csv.gz", "AAA.zip", "AAA.parquet", "AAA.csv"])
def test_a_broken_file_is_refused_by_name(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x1f\x8b\x08\x00 this is not what it says it is")
    with pytest.raises(DataError, match=name.replace(".", r"\.")):
        read(tmp_path)


def test_a_file_name_without_a_symbol_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "Spy_daily.csv", HEADER, *ROWS)
    with pytest.raises(
        DataError,
        match=r"Spy_daily\.csv has no column of symbols.*its name 'Spy_daily' is no symbol",
    ):
        read(tmp_path)
    write(tmp_path / "days" / "2024-01-02.csv", HEADER, *ROWS)
    with pytest.raises(DataError, match=r"its name '2024-01-02' is no symbol"):
        read(tmp_path, "days")
    assert (
        read(tmp_path, "Spy_daily.csv", symbol_from_filename="^([A-Za-z]+)_")["symbol"].to_list()
        == ["Spy"] * 3
    )


def test_an_unknown_time_zone_or_timeframe_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "AAA.csv", HEADER, "2024-01-02 09:30,10,11,9,10,1")
    with pytest.raises(ConfigError, match="New York"):
        read(tmp_path, timezone="New York")
    with pytest.raises(ConfigError, match="2Min"):
        read(tmp_path, timeframe="2Min")


# --- which files ----------------------------------------------------------------------------------


def test_variables_in_paths_are_expanded_and_undefined_ones_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path / "deep" / "AAA.csv", HEADER, *ROWS)
    monkeypatch.setenv("BARS_ARE_HERE", str(tmp_path / "deep"))
    assert (
        read(Path("/"), "$BARS_ARE_HERE").height
        == read(Path("/"), "${BARS_ARE_HERE}/*.csv").height
        == 3
    )
    with pytest.raises(ConfigError, match="NOT_SET_ANYWHERE is not set"):
        read(tmp_path, "$NOT_SET_ANYWHERE/bars")


def test_origins_are_relative_so_that_two_machines_agree(tmp_path: Path) -> None:
    write(tmp_path / "here" / "a" / "AAA.csv", HEADER, ROWS[0])
    write(tmp_path / "here" / "b" / "AAA.csv", HEADER, ROWS[1])
    assert read(tmp_path, "here")["origin"].to_list() == ["a/AAA.csv", "b/AAA.csv"]
    assert read(tmp_path, "here/a/AAA.csv")["origin"].to_list() == ["AAA.csv"]
    assert read(tmp_path, "here/a/AAA.csv", "here/b/AAA.csv")["origin"].to_list() == [
        "a/AAA.csv",
        "b/AAA.csv",
    ]


def test_a_file_named_twice_is_read_once(tmp_path: Path) -> None:
    write(tmp_path / "AAA.csv", HEADER, *ROWS)
    assert read(tmp_path, ".", "AAA.csv", "*.csv").height == 3


def test_files_of_actions_and_universe_are_not_read_as_bars(tmp_path: Path) -> None:
    write(tmp_path / "AAA.csv", HEADER, *ROWS)
    write(
        tmp_path / "corporate_actions.csv",
        "symbol,date,kind,value",
        "AAA,2024-01-03,split,2",
        "BBB,2024-01-03,dividend,0.5",
    )
    write(
        tmp_path / "universe.csv", "date,symbol,listed,float", "2024-01-02,AAA,1999-01-04,1000000"
    )
    files = source(tmp_path, corporate_actions="corporate_actions.csv", universe="universe.csv")
    assert files.bars(None, ALWAYS, FOREVER, "1Min").height == 3
    assert files.corporate_actions(["AAA"]).rows() == [("AAA", date(2024, 1, 3), "split", 2.0)]
    assert files.universe().select("date", "symbol", "listed", "float").rows() == [
        (date(2024, 1, 2), "AAA", date(1999, 1, 4), 1e6)
    ]
    with pytest.raises(DataError, match=r"name it in market\.files\.corporate_actions"):
        read(tmp_path)


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("AAA,2024-01-03,split,abc", "row 3: value is 'abc', expected a number above 0"),
        ("AAA,2024-01-03,split,-2", "row 3: value is '-2'"),
        ("AAA,soon,split,2", "row 3: date is 'soon', expected an ex-date"),
        (
            "AAA,2024-01-03,spinoff,2",
            "row 3: kind is 'spinoff', expected split, dividend, symbol_change or delisting",
        ),
        (",2024-01-03,split,2", "row 3: symbol is empty"),
    ],
)
def test_a_bad_corporate_action_refuses_its_file(tmp_path: Path, line: str, message: str) -> None:
    write(tmp_path / "actions.csv", "symbol,date,kind,value", "AAA,2024-01-02,split,2", line)
    with pytest.raises(DataError, match=f"actions.csv {message}"):
        source(tmp_path, corporate_actions="actions.csv").corporate_actions(None)


def test_two_dividends_of_one_day_add_up_and_a_repeated_row_counts_once(tmp_path: Path) -> None:
    write(
        tmp_path / "actions.csv",
        "symbol,date,kind,value",
        *["AAA,2024-01-03,dividend,0.5"] * 2,
        "AAA,2024-01-03,Dividend,2.0",
    )
    assert source(tmp_path, corporate_actions="actions.csv").corporate_actions(None)[
        "value"
    ].to_list() == [2.5]


def test_missing_reference_files_and_columns_are_named(tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"market\.files\.universe is 'universe\.csv', which does not exist"
    ):
        source(tmp_path, universe="universe.csv").universe()
    write(tmp_path / "actions.csv", "symbol,date,value", "AAA,2024-01-03,2")
    with pytest.raises(DataError, match=r"actions\.csv has no column 'kind'"):
        source(tmp_path, corporate_actions="actions.csv").corporate_actions(None)


def test_symbols_without_rows_are_noted(tmp_path: Path) -> None:
    write(tmp_path / "AAA.csv", HEADER, *ROWS)
    answer = source(tmp_path).read_bars(["AAA", "ZZZ"], ALWAYS, FOREVER, "1Min")
    assert answer.rows.height == 3
    assert answer.notes == ("no file has rows of ZZZ from 1900-01-01 to 2200-01-01",)


def test_a_changed_file_is_read_again(tmp_path: Path) -> None:
    path = write(tmp_path / "AAA.csv", HEADER, *ROWS)
    files = source(tmp_path)
    assert files.bars(None, ALWAYS, FOREVER, "1Min").height == 3
    write(path, HEADER, *ROWS, "2024-01-02T14:33:00Z,1,1,1,1,1")
    assert files.bars(None, ALWAYS, FOREVER, "1Min").height == 4


# --- the registry ---------------------------------------------------------------------------------


class Handmade(FileSource):
    def __init__(self, settings: MarketSettings, base: Path) -> None:
        super().__init__(settings.files, NYSE, base)


def test_sources_are_built_by_name_or_import_path(tmp_path: Path) -> None:
    files = build_source(
        MarketSettings(source="files", files=FileSourceSettings(paths=("x.csv",))), tmp_path
    )
    assert isinstance(files, FileSource)
    assert files.base == tmp_path
    assert isinstance(
        build_source(MarketSettings(source=f"{__name__}:Handmade"), tmp_path), Handmade
    )


class NoSource:
    def __init__(self, settings: MarketSettings, base: Path) -> None: ...


class HalfSource(MarketDataSource):
    name = "half"


@pytest.mark.parametrize(
    ("name", "said"),
    [
        (
            "NoSource",
            r"no MarketDataSource: inherit .*MarketDataSource and declare in `capabilities`",
        ),
        ("HalfSource", "has no bars: define it"),
    ],
)
def test_an_own_source_that_is_none_or_lacks_a_method_is_told_what_to_do(
    tmp_path: Path, name: str, said: str
) -> None:
    with pytest.raises(ConfigError, match=said):
        build_source(MarketSettings(source=f"{__name__}:{name}"), tmp_path)


class OwnSource(MarketDataSource):
    """The least that a source of one's own has to say."""

    name = "own"

    def __init__(self, settings: MarketSettings, base: Path) -> None: ...

    def bars(self, symbols: object, start: datetime, end: datetime, timeframe: str) -> pl.DataFrame:
        return pl.DataFrame(schema=SOURCE_BAR_DTYPES)


def test_an_own_source_without_declarations_is_remote_and_can_do_nothing_else(
    tmp_path: Path,
) -> None:
    own = build_source(MarketSettings(source=f"{__name__}:OwnSource"), tmp_path)
    assert own.capabilities == SourceCapabilities()
    assert own.capabilities.remote
    assert own.identity == "own"
    assert own.universe().is_empty()
    with pytest.raises(
        ConfigError, match=r"market\.source own has no trades: choose a source that has"
    ):
        own.trades(None, ALWAYS, FOREVER)


@pytest.mark.parametrize(
    "name",
    [
        "postgres",
        "no.such.module:Source",
        "harmony_pipeline.market.calendars:Nothing",
        f"{__name__}:NoSource",
    ],
)
def test_a_source_that_leads_nowhere_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        build_source(MarketSettings(source=name), tmp_path)


def test_start_of_the_stream_is_the_oldest_bar_of_all_files(tmp_path: Path) -> None:
    write(tmp_path / "AAA.csv", HEADER, *ROWS[1:])
    write(tmp_path / "BBB.csv", HEADER, *ROWS[:2])
    stream = [
        (frame["timestamp"][0], frame["symbol"].to_list())
        for frame in source(tmp_path).stream(None)
    ]
    minute = [datetime(2024, 1, 2, 14, 30 + at, tzinfo=UTC) for at in range(3)]
    assert stream == [(minute[0], ["BBB"]), (minute[1], ["AAA", "BBB"]), (minute[2], ["AAA"])]
