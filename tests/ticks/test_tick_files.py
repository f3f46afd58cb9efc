"""Quotes and trades from files: spellings, symbols out of names, cells that cannot be read."""

from datetime import UTC, datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.source_settings import FileSourceSettings
from harmony_pipeline.market.sources.base import SOURCE_QUOTE_DTYPES, SOURCE_TRADE_DTYPES
from harmony_pipeline.market.sources.files import FileSource
from harmony_pipeline.schemas import TRADE_TICKS

NYSE = Calendar.of("XNYS")
EVER = (datetime(1990, 1, 1, tzinfo=UTC), datetime(2030, 1, 1, tzinfo=UTC))


def source(folder, **settings):
    return FileSource(FileSourceSettings(**settings), NYSE, folder)


def put(folder, name, *lines):
    (folder / name).write_text("\n".join(lines) + "\n")


def test_a_file_source_has_ticks_with_the_columns_of_their_tables(tmp_path):
    put(
        tmp_path,
        "trades_BAC_2013-10-08.csv",
        "timestamp,price,size",
        "2013-10-08T13:30:00.843Z,13.83,100",
    )
    put(
        tmp_path,
        "quotes_BAC_2013-10-08.csv",
        "timestamp,bid,ask",
        "2013-10-08T13:30:00.800Z,13.82,13.83",
    )
    files = source(tmp_path, trades=("trades_*.csv",), quotes=("quotes_*.csv",))
    assert files.capabilities.trades and files.capabilities.quotes
    trade, quote = files.trades(None, *EVER), files.quotes(None, *EVER)
    assert dict(trade.drop("defect").schema) == SOURCE_TRADE_DTYPES
    assert dict(quote.drop("defect").schema) == SOURCE_QUOTE_DTYPES
    assert trade.select("symbol", "timestamp", "price", "size", "origin", "row").row(0) == (
        "BAC", datetime(2013, 10, 8, 13, 30, 0, 843_000, UTC), 13.83, 100.0,
        "trades_BAC_2013-10-08.csv", 2,
    )  # fmt: skip
    assert quote.select("symbol", "bid", "bid_size", "ask").row(0) == ("BAC", 13.82, None, 13.83)


@pytest.mark.parametrize(
    ("header", "line"),
    [
        ("t,x,p,s,c,i,z", '2024-07-02T13:30:00.5Z,V,10.5,100,"@,I",77,A'),  # Alpaca
        # Polygon
        (
            "sip_timestamp,exchange,price,size,conditions,id",
            '1719927000500000000,V,10.5,100,"@,I",77',
        ),
        # TAQ
        (
            "DATE,TIME,EX,SYM_ROOT,TR_SCOND,SIZE,PRICE,TR_ID",
            '20240702,13:30:00.500000,V,AAA,"@,I",100,10.5,77',
        ),
    ],
)
def test_vendors_spellings_of_a_trade(tmp_path, header, line):
    put(tmp_path, "AAA.csv", header, line)
    row = source(tmp_path, trades=("AAA.csv",)).trades(None, *EVER).row(0, named=True)
    assert (
        row["symbol"],
        row["price"],
        row["size"],
        row["exchange"],
        row["conditions"],
        row["trade_id"],
    ) == ("AAA", 10.5, 100.0, "V", "@,I", "77")
    assert row["timestamp"] == datetime(2024, 7, 2, 13, 30, 0, 500_000, UTC)


def test_vendors_spellings_of_a_quote(tmp_path):
    for name, header in (
        ("AAA.csv", "t,ax,ap,as,bx,bp,bs"),
        ("BBB.csv", "timestamp,ask_exchange,ask_price,ask_size,bid_exchange,bid_price,bid_size"),
    ):
        put(tmp_path, name, header, "2024-07-02T13:30:00Z,N,10.6,300,Q,10.5,200")
    rows = source(tmp_path, quotes=(".",)).quotes(None, *EVER)
    assert rows.select("symbol", "bid", "bid_size", "ask", "ask_size").rows() == [
        ("AAA", 10.5, 200.0, 10.6, 300.0),
        ("BBB", 10.5, 200.0, 10.6, 300.0),
    ]


def test_columns_of_the_settings_win_and_strange_ones_are_refused(tmp_path):
    put(tmp_path, "AAA.csv", "timestamp,price,size,fair", "2024-07-02T13:30:00Z,10,5,11")
    assert source(tmp_path, trades=("AAA.csv",), trade_columns={"price": "fair"}).trades(
        None, *EVER
    )["price"].to_list() == [11.0]
    with pytest.raises(
        ConfigError,
        match=r"\[market\.files\.trade_columns\] names 'bid', which is no column of trades",
    ):
        source(tmp_path, trades=("AAA.csv",), trade_columns={"bid": "fair"}).trades(None, *EVER)


def test_a_cell_that_cannot_be_read_is_quoted(tmp_path):
    put(
        tmp_path,
        "AAA.csv",
        "timestamp,symbol,price,size",
        "2024-07-02T13:30:00Z,AAA,ten,5",
        "later,AAA,10,5",
        "2024-07-02T13:30:01Z,,10,5",
    )
    defects = (
        source(tmp_path, trades=("AAA.csv",)).trades(None, *EVER).sort("row")["defect"].to_list()
    )
    assert "price is 'ten', expected a number" in defects[0]
    assert "timestamp is 'later', expected a time" in defects[1]
    assert "symbol is empty" in defects[2]


def test_what_is_missing_is_named_with_its_setting(tmp_path):
    put(
        tmp_path,
        "AAA.csv",
        "timestamp,open,high,low,close,volume",
        "2024-07-02T13:30:00Z,1,1,1,1,1",
    )
    with pytest.raises(DataError, match=r"has no column 'price'.*\[market\.files\.trade_columns\]"):
        source(tmp_path, trades=("AAA.csv",)).trades(None, *EVER)
    with pytest.raises(ConfigError, match=r"market\.files\.quotes is empty"):
        source(tmp_path).quotes(None, *EVER)
    with pytest.raises(
        DataError, match=r"market\.files\.quotes has 'none\.csv', which does not exist"
    ):
        source(tmp_path, quotes=("none.csv",)).quotes(None, *EVER)


def test_csv_and_parquet_say_the_same_and_ranges_are_half_open(tmp_path):
    stamps = [datetime(2024, 7, 2, 13, 30, second, tzinfo=UTC) for second in range(6)]
    frame = pl.DataFrame(
        {
            "timestamp": stamps,
            "price": [10.0] * 6,
            "size": [1.0] * 6,
            "suspicious": [False, True] * 3,
            "conditions": [["@", "T"], ["@"]] * 3,
        }
    )
    frame.write_parquet(tmp_path / "AAA.parquet")
    frame.with_columns(
        pl.col("conditions").list.join(","), pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    ).write_csv(tmp_path / "AAA.csv")
    one, other = (source(tmp_path, trades=(name,)) for name in ("AAA.parquet", "AAA.csv"))
    told = pl.exclude("origin", "row")
    assert_frame_equal(one.trades(None, *EVER).select(told), other.trades(None, *EVER).select(told))
    assert one.trades(None, *EVER)["conditions"].to_list() == ["@,T", "@"] * 3
    assert one.trades(None, stamps[1], stamps[3])["timestamp"].to_list() == stamps[1:3]
    parts = pl.concat(
        [other.trades(["AAA"], stamps[0], stamps[2]), other.trades(["AAA"], stamps[2], EVER[1])]
    )
    assert_frame_equal(parts, other.trades(["AAA"], *EVER).sort(TRADE_TICKS.key))
