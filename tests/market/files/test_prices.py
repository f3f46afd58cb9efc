"""Prices as vendors write them: fixed point, thousands, decimal commas; read exactly, asked about,
or quoted, never misread.
"""

from pathlib import Path

import polars as pl
import pytest
from market.files.writing import ALWAYS, FOREVER, HEADER, read, source, write

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.source_settings import FileSourceSettings
from harmony_pipeline.market.sources.files import FileSource
from harmony_pipeline.market.sources.number_parsing import read_numbers

DATABENTO = "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume,symbol"


def databento(path: Path, rows: int, price: int = 187_150_000_000) -> list[float]:
    """A file of fixed-point bars, and its closes as they should be read."""
    units = [price + 1_000_001 * row for row in range(rows)]
    stamp = 1_704_205_800_000_000_000
    lines = [
        f"{stamp + row * 60_000_000_000},33,2,32,{unit},{unit + 5},{unit - 5},{unit},{15_000 + row},AAPL"
        for row, unit in enumerate(units)
    ]
    write(path, DATABENTO, *lines)
    return [float(f"{unit // 10**9}.{unit % 10**9:09d}") for unit in units]


@pytest.mark.parametrize("rows", [1, 2, 80])
@pytest.mark.parametrize("price", [187_150_000_000, 612_000, 4_783_250_000_000, 1_234_567])
def test_databento_is_recognised_told_and_exact(tmp_path: Path, rows: int, price: int) -> None:
    expected = databento(tmp_path / "xnas.csv", rows, price)
    answer = source(tmp_path).read_bars(None, ALWAYS, FOREVER, "1Min")
    found = answer.rows
    assert found["close"].to_list() == expected
    assert found["volume"].to_list() == [15_000.0 + row for row in range(rows)]
    assert ["Databento's whole numbers of 1e-9" in note for note in answer.notes] == [True]
    read(tmp_path).select(pl.exclude("vwap")).equals(found.select(pl.exclude("vwap")))


def test_databento_in_parquet_is_scaled_the_same_in_every_part_of_a_question(
    tmp_path: Path,
) -> None:
    expected = databento(tmp_path / "xnas.csv", 40)
    table = pl.read_csv(tmp_path / "xnas.csv")
    (tmp_path / "xnas.csv").unlink()
    table.write_parquet(tmp_path / "xnas.parquet", row_group_size=8)
    files = source(tmp_path)
    answer = files.read_bars(None, ALWAYS, FOREVER, "1Min")
    whole = answer.rows
    cut = whole["timestamp"][3]
    early, late = files.bars(None, ALWAYS, cut, "1Min"), files.bars(None, cut, FOREVER, "1Min")
    assert whole["close"].to_list() == expected
    assert pl.concat([early, late]).equals(whole)
    assert ["Databento" in note for note in answer.notes] == [True]


def test_databento_with_decimal_prices_is_left_alone(tmp_path: Path) -> None:
    write(
        tmp_path / "xnas.csv",
        DATABENTO,
        "1704205800000000000,33,2,32,187.150000000,187.2,187.1,187.18,15000,AAPL",
    )
    assert read(tmp_path)["open"].to_list() == [187.15]


@pytest.mark.parametrize("kind", ["csv", "parquet"])
@pytest.mark.parametrize("rows", [1, 30])
def test_prices_that_nothing_costs_are_refused_until_the_scale_is_set(
    tmp_path: Path, kind: str, rows: int
) -> None:
    prices = {
        name: [187_150_000_000 + row for row in range(rows)]
        for name in ("open", "high", "low", "close")
    }
    frame = pl.DataFrame(
        {
            "timestamp": [1_704_205_800 + 60 * row for row in range(rows)],
            **prices,
            "volume": [100] * rows,
        }
    )
    (
        frame.write_csv(tmp_path / "AAA.csv")
        if kind == "csv"
        else frame.write_parquet(tmp_path / "AAA.parquet")
    )
    with pytest.raises(
        DataError,
        match=(
            r"AAA\..* has prices like 187,150,000,0.*fixed-point scale: set"
            r" market\.files\.price_scale"
        ),
    ):
        read(tmp_path)
    assert read(tmp_path, price_scale=1e-9)["close"].to_list() == [
        float(f"187.15{row:07d}") for row in range(rows)
    ]
    assert read(tmp_path, price_scale=1.0)["close"][0] == 187_150_000_000.0


@pytest.mark.parametrize(
    ("zone", "price", "asked"),
    [
        ("XNYS", 1_871_500, True),
        ("XNYS", 18_715, True),
        ("XNYS", 187, False),
        ("XTKS", 18_715, False),
        ("24/7", 43_000, False),
        ("24/7", 1_871_500, True),
    ],
)
def test_whole_prices_are_asked_about_where_they_are_unlikely(
    tmp_path: Path, zone: str, price: int, asked: bool
) -> None:
    write(
        tmp_path / "AAA.csv",
        HEADER,
        *(
            f"{1_704_205_800 + 60 * row},{price + row},{price + 5},{price},{price},100"
            for row in range(5)
        ),
    )
    for scale, told in ((None, asked), (1.0, False), (1e-4, False)):
        files = FileSource(
            FileSourceSettings(paths=(".",), price_scale=scale), Calendar.of(zone), tmp_path
        )
        answer = files.read_bars(None, ALWAYS, FOREVER, "1Min")
        assert answer.rows["close"][0] == (price / 10_000 if scale == 1e-4 else price)
        assert (
            any("whole number" in note and "price_scale" in note for note in answer.notes) == told
        )


@pytest.mark.parametrize(
    ("cells", "expected"),
    [
        (["1,234.56", "12.5"], [1234.56, 12.5]),
        (["1.234,56", "12,5"], [1234.56, 12.5]),
        (["1,234,567", "1,234"], [1234567.0, 1234.0]),
        (["1.234.567", "1.234"], [1234567.0, 1234.0]),
        (["1,234", "56,789"], [None, None]),
        (["1,234", "10.25"], [1234.0, 10.25]),
        (["0,567", "1234,5"], [0.567, 1234.5]),
        (["1e5", "1E-3", "+12", "12.", ".5"], [1e5, 1e-3, 12.0, 12.0, 0.5]),
        (
            [
                "$12.5",
                "(12)",
                "12%",
                "1_000",
                "0x10",
                "12 500",
                "--5",
                "1.2.3",
                "12,34,5",
                "\uff11\uff12",
                "inf",
                "1e400",
            ],
            [None] * 12,
        ),
        (["-", "--", "N/A", "#N/A", "", "NaN"], [None] * 6),
        (["10.25"] * 30 + ["1,5"], [10.25] * 30 + [None]),
    ],
)
def test_a_number_is_read_when_it_can_only_be_one(
    cells: list[str], expected: list[float | None]
) -> None:
    assert read_numbers(pl.Series("close", cells)).to_list() == expected


def test_a_setting_says_what_a_comma_means() -> None:
    cells = pl.Series("close", ["1,234", "1.234", "12"])
    assert read_numbers(cells, ",").to_list() == [1.234, 1234.0, 12.0]
    assert read_numbers(cells, ".").to_list() == [1234.0, 1.234, 12.0]


@pytest.mark.parametrize("rows", [2, 40])
def test_european_files_have_decimal_commas_and_semicolons(tmp_path: Path, rows: int) -> None:
    lines = [
        f"{row % 28 + 1:02d}.01.2024;1.234,50;1.240,00;1.230,25;1.23{row % 10},75;{row + 1}.000"
        for row in range(rows)
    ]
    write(tmp_path / "SAP.csv", "Datum;Open;High;Low;Close;Volume", *lines)
    found = read(tmp_path, timeframe="1Day", columns={"timestamp": "Datum"}).sort("row")
    assert found["close"].to_list() == [1230.75 + row % 10 for row in range(rows)]
    assert found["volume"].to_list() == [1000.0 * (row + 1) for row in range(rows)]
    write(
        tmp_path / "SAP.csv", "Datum;Open;High;Low;Close;Volume", "02.01.2024;1.1;1.2;1.0;1.125;100"
    )
    assert read(tmp_path, timeframe="1Day", columns={"timestamp": "Datum"})["close"].to_list() == [
        1.125
    ]


def test_a_hyphen_in_an_optional_column_is_no_value_and_in_a_price_none_either(
    tmp_path: Path,
) -> None:
    write(
        tmp_path / "AAA.csv",
        f"{HEADER},vwap,trades",
        "2024-01-02,10,11,9,10,100,-,--",
        "2024-01-03,10,11,9,-,100,10,5",
        "2024-01-04,10,11,9,10,100,x,5",
    )
    found = read(tmp_path, timeframe="1Day")
    assert found["defect"].to_list() == [
        None,
        None,
        "vwap is 'x', expected a number: correct the cell",
    ]
    assert found["vwap"].to_list() == [None, 10.0, None]
    assert found["close"].to_list() == [10.0, None, 10.0]
