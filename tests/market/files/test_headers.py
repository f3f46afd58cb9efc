"""A header that names a column twice: yfinance's tables of several symbols are read as such, every
other one is refused or told.
"""

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from market.files.writing import ALWAYS, FOREVER, HEADER, ROWS, read, source, write
from market.raw_rows import utc

from harmony_pipeline.errors import DataError

FIELDS = ("Close", "High", "Low", "Open", "Volume")


def export(
    path: Path,
    prices: dict[str, int],
    rows: int,
    layout: str,
    index: str = "Date",
    extra: tuple[str, ...] = (),
) -> None:
    """What yfinance writes: fields over tickers, tickers over fields, with or without names for the
    two lines.
    """
    fields = (*FIELDS, *extra)
    pairs = (
        [(field, name) for field in fields for name in prices]
        if layout != "ticker"
        else [(field, name) for name in prices for field in fields]
    )
    above, below = (
        ("Price", "Ticker")
        if layout == "field"
        else ("Ticker", "Price")
        if layout == "ticker"
        else ("", "")
    )
    upper, lower = [field for field, _ in pairs], [name for _, name in pairs]
    if layout == "ticker":
        upper, lower = lower, upper
    lines = [
        ",".join([above, *upper]),
        ",".join([below, *lower]),
        ",".join([index, *[""] * len(pairs)]),
    ]
    for row in range(rows):
        day = (
            f"2024-01-{row % 28 + 1:02d}"
            if index == "Date"
            else f"2024-01-02 {9 + row // 60:02d}:{row % 60:02d}:00-05:00"
        )
        cells = [
            str(prices[name] + row * 0.25 + (1 if field == "High" else -1 if field == "Low" else 0))
            for field, name in pairs
        ]
        lines.append(",".join([day, *cells]))
    write(path, *lines)


@pytest.mark.parametrize("layout", ["field", "ticker", "older"])
@pytest.mark.parametrize(
    ("names", "rows"),
    [
        ({"AAPL": 180, "MSFT": 370}, 2),
        ({"AAPL": 180}, 5),
        ({"BRK-B": 400, "^GSPC": 4800, "ES=F": 4850}, 20),
    ],
)
def test_each_ticker_of_an_export_keeps_its_own_prices(
    tmp_path: Path, layout: str, names: dict[str, int], rows: int
) -> None:
    export(tmp_path / "download.csv", names, rows, layout, extra=("Adj Close",))
    answer = source(tmp_path).read_bars(None, ALWAYS, FOREVER, "1Day")
    found = answer.rows
    assert answer.notes == ()
    assert [(each.rows, each.inside) for each in answer.accounts] == [(found.height, found.height)]
    assert found.group_by("symbol").len().sort("symbol").rows() == sorted(
        (name, rows) for name in names
    )
    for name, price in names.items():
        own = found.filter(symbol=name)
        assert own["close"].to_list() == [price + row * 0.25 for row in range(rows)]
        assert (own["high"] - own["low"] == 2.0).all()
        assert own["row"].to_list() == list(range(4, 4 + rows))
        assert own["defect"].null_count() == rows


def test_the_name_of_the_first_line_still_works_in_the_settings(tmp_path: Path) -> None:
    export(tmp_path / "MSFT_AAPL.csv", {"AAPL": 180, "MSFT": 370}, 3, "field", index="Datetime")
    for columns in ({"timestamp": "Price"}, {"timestamp": "Datetime"}, {}):
        assert read(tmp_path, columns=columns)["timestamp"].max() == utc(2024, 1, 2, 14, 2)


def test_a_day_on_which_one_ticker_did_not_trade_is_no_row_of_it(tmp_path: Path) -> None:
    lines = [
        "Price,Open,High,Low,Close,Volume,Open,High,Low,Close,Volume",
        "Ticker," + ",".join(["AAA"] * 5 + ["BBB"] * 5),
        "Date,,,,,,,,,,",
    ]
    write(
        tmp_path / "x.csv",
        *lines,
        "2024-01-02,1,1,1,1,5,2,2,2,2,6",
        "2024-01-03,,,,,,2,2,2,2,6",
        "2024-01-04,1,1,1,1,5,2,abc,2,2,6",
    )
    found = read(tmp_path, timeframe="1Day")
    assert found.group_by("symbol").len().sort("symbol").rows() == [("AAA", 2), ("BBB", 3)]
    assert found["defect"].drop_nulls().to_list() == [
        "High is 'abc', expected a number: correct the cell"
    ]


def test_adjusted_prices_of_an_export_are_told(tmp_path: Path) -> None:
    export(tmp_path / "download.csv", {"AAPL": 180}, 3, "field")
    answer = source(tmp_path).read_bars(None, ALWAYS, FOREVER, "1Day")
    assert ["auto_adjust=False" in note for note in answer.notes] == [True]


@pytest.mark.parametrize(
    "header",
    [
        "timestamp,open,high,low,close,close,volume",
        "timestamp,open,high,low,close,CLOSE,volume",
        "Date,Open,High,Low,Close,<close>,Vol",
    ],
)
def test_a_needed_name_that_stands_twice_is_refused_by_name(tmp_path: Path, header: str) -> None:
    write(tmp_path / "AAA.csv", header, "2024-01-02,10,11,9,10,99,100")
    with pytest.raises(
        DataError,
        match=(
            r"AAA\.csv has more than one column '(?i:close)', so that it is not clear which holds"
            r" close"
        ),
    ):
        read(tmp_path, timeframe="1Day")


def test_the_settings_may_choose_between_two_spellings_and_others_are_told(tmp_path: Path) -> None:
    write(
        tmp_path / "AAA.csv",
        "timestamp,open,high,low,close,Close,volume,note,note",
        "2024-01-02,10,11,9,10,10.5,100,x,y",
    )
    answer = source(tmp_path, columns={"close": "Close"}).read_bars(None, ALWAYS, FOREVER, "1Day")
    assert answer.rows["close"].to_list() == [10.5]
    assert "AAA.csv names the column 'note' more than once, and it was not read" in answer.notes


def test_a_parquet_file_with_a_doubled_name_is_refused(tmp_path: Path) -> None:
    names = ["timestamp", "open", "high", "low", "close", "close", "volume"]
    pq.write_table(
        pa.table([pa.array([1_704_205_800]), *[pa.array([1.0])] * 6], names=names),
        tmp_path / "AAA.parquet",
    )
    with pytest.raises(DataError, match=r"AAA\.parquet names a column more than once"):
        read(tmp_path)


def test_a_universe_or_actions_file_with_a_doubled_name_is_refused(tmp_path: Path) -> None:
    write(tmp_path / "AAA.csv", HEADER, *ROWS)
    write(tmp_path / "actions.csv", "symbol,date,kind,value,value", "AAA,2024-01-03,split,2,3")
    with pytest.raises(DataError, match=r"actions\.csv has more than one column 'value'"):
        source(tmp_path, corporate_actions="actions.csv").corporate_actions(None)


def test_a_header_of_megabytes_and_a_name_with_escapes_are_shown_short(tmp_path: Path) -> None:
    write(
        tmp_path / "AAA.csv",
        ",".join(f"{'x' * 5_000}{at}" for at in range(150)) + ",\x1b[31mred",
        "1,2",
    )
    with pytest.raises(DataError) as refused:
        read(tmp_path)
    assert len(str(refused.value)) < 1_500
    write(tmp_path / "AAA.csv", "\x1b[31mred,b", "1,2")
    with pytest.raises(DataError, match=r"'\\x1b\[31mred'"):
        read(tmp_path)
    write(tmp_path / "AAA.csv", "x" * 3_000_000, "1,2")
    with pytest.raises(DataError, match="first line of more than 1,048,576 bytes"):
        read(tmp_path)
