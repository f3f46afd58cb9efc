"""What can be wrong with vendors' files is one line that names the file, the rule and the cure; what
is only unusual is read.
"""

import io
import re
import zipfile
from pathlib import Path

import polars as pl
import pyarrow as pa
import pytest
from market.vendors.reading import answer, bars

from harmony_pipeline.cli.init import init
from harmony_pipeline.errors import DataError
from harmony_pipeline.testing.vendor_formats.folders import FOLDERS

SAMPLES = Path(__file__).parent / "samples"
KLINE = "{0},93541.2,93576.15,93541.2,93576.0,4.5,{1},429902.3,1203,2.2,206139.2,0"
DBN = SAMPLES / "databento/xnas-itch-v3.ohlcv-1m.dbn"


def zipped(members: dict[str, str]) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, text in members.items():
            archive.writestr(name, text)
    return buffer.getvalue()


def refused(
    folder: Path, calendar: str = "XNYS", timeframe: str = "1Min", **settings: object
) -> str:
    with pytest.raises(DataError) as error:
        answer(folder, calendar, timeframe, **settings)
    text = str(error.value)
    assert "\n" not in text
    return text


# --- Binance --------------------------------------------------------------------------------------


def test_milliseconds_and_microseconds_may_stand_in_one_file(tmp_path):
    lines = [
        KLINE.format(1735689540000, 1735689599999),
        KLINE.format(1735689600000000, 1735689659999999),
    ]
    (tmp_path / "BTCUSDT-1m-2025-01.csv").write_text("\n".join(lines))
    found = bars(answer(tmp_path, "24/7", "1Min"))
    assert [str(at) for at in found["timestamp"]] == [
        "2024-12-31 23:59:00+00:00",
        "2025-01-01 00:00:00+00:00",
    ]


def test_the_number_of_trades_is_kept(tmp_path):
    (tmp_path / "BTCUSDT-1m-2025-01.csv").write_text(KLINE.format(1735689600000, 1735689659999))
    assert answer(tmp_path, "24/7", "1Min").rows["trade_count"].to_list() == [1203.0]


@pytest.mark.parametrize(
    ("stem", "symbol"),
    [
        ("BTCUSD_PERP-1m-2023-10", "BTCUSD_PERP"),
        ("BTCUSDT_230630-1m-2023-06-01", "BTCUSDT_230630"),
        ("1000PEPEUSDT-1m-2024-01", "1000PEPEUSDT"),
    ],
)
def test_names_of_dumps_give_the_whole_symbol(tmp_path, stem, symbol):
    (tmp_path / f"{stem}.csv").write_text(KLINE.format(1735689600000, 1735689659999))
    assert answer(tmp_path, "24/7", "1Min").rows["symbol"].to_list() == [symbol]


@pytest.mark.parametrize("cut", [30, 60, 120])
def test_a_truncated_zip_is_named(tmp_path, cut):
    whole = (SAMPLES / "binance/BTCUSDT-1m-2025-01.zip").read_bytes()
    (tmp_path / "BTCUSDT-1m-2025-01.zip").write_bytes(whole[:-cut])
    text = refused(tmp_path, "24/7")
    assert text.startswith("BTCUSDT-1m-2025-01.zip is not a whole zip file")
    assert text.endswith("fetch it again")


def test_one_broken_row_of_a_table_without_names_is_quarantined_with_its_line(tmp_path):
    lines = [KLINE.format(1735689600000 + 60_000 * at, 1735689659999) for at in range(9)]
    lines[4] = lines[4].replace("93576.15", "9357x.15")
    (tmp_path / "BTCUSDT-1m-2025-01.csv").write_text("\n".join(lines))
    rows = answer(tmp_path, "24/7", "1Min").rows.sort("row")
    assert rows["row"].to_list() == list(range(1, 10))
    assert rows["defect"].drop_nulls().to_list() == [
        "high is '9357x.15', expected a number: correct the cell"
    ]


# --- Databento ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("keep", "reason"),
    [
        (5, "its metadata should have 100 bytes and 0 are there"),
        (300, "its metadata should have"),
        (-1, "record 4 should have 56 bytes, and 55 are left"),
        (-60, "record 3 should have 56 bytes, and 52 are left"),
    ],
)
def test_a_truncated_binary_file_names_its_record(tmp_path, keep, reason):
    (tmp_path / "x.dbn").write_bytes(DBN.read_bytes()[:keep])
    text = refused(tmp_path)
    assert text.startswith("x.dbn is not a whole DBN file")
    assert reason in text
    assert text.endswith("fetch it again")


@pytest.mark.parametrize("cut", [1, 20, 200])
def test_a_truncated_zstd_file_is_named(tmp_path, cut):
    packed = pa.Codec("zstd").compress(DBN.read_bytes(), asbytes=True)
    (tmp_path / "x.dbn.zst").write_bytes(packed[:-cut])
    assert re.match(r"x\.dbn\.zst is not a whole (zstd|DBN) file", refused(tmp_path))


def test_several_frames_of_zstd_are_one_file(tmp_path):
    data = DBN.read_bytes()
    frames = [pa.Codec("zstd").compress(part, asbytes=True) for part in (data[:700], data[700:])]
    (tmp_path / "x.dbn.zst").write_bytes(b"".join(frames))
    assert answer(tmp_path, "XNYS", "1Min").rows.height == 4


@pytest.mark.parametrize(
    ("place", "value", "reason"),
    [
        (3, 9, "DBN file of version 9, and Harmony reads 1 to 3"),
        (24, 4, "holds Databento's schema 'trades'"),
        (24, 0, "holds Databento's schema 'mbo'"),
    ],
)
def test_a_binary_file_of_another_kind_is_refused_by_what_it_is(tmp_path, place, value, reason):
    data = bytearray(DBN.read_bytes())
    data[place] = value
    (tmp_path / "x.dbn").write_bytes(data)
    assert reason in refused(tmp_path)


def test_a_price_that_databento_does_not_know_is_no_price(tmp_path):
    data = bytearray(DBN.read_bytes())
    data[-40:-32] = (2**63 - 1).to_bytes(8, "little")  # the open of the last record
    (tmp_path / "x.dbn").write_bytes(data)
    rows = answer(tmp_path, "XNYS", "1Min").rows.sort("row")
    assert rows["open"].to_list() == [169.01, 407.96, 172.94, None]


def test_numbers_without_any_symbol_are_refused(tmp_path):
    data = DBN.read_bytes().replace(b"AAPL\0", b"\0\0\0\0\0").replace(b"MSFT\0", b"\0\0\0\0\0")
    (tmp_path / "x.dbn").write_bytes(data)
    assert "names no symbol for its instrument numbers (the first is 31)" in refused(tmp_path)


def test_files_are_known_by_what_they_hold_not_by_their_suffix(tmp_path):
    csv = (SAMPLES / "metatrader4/US3060.csv").read_bytes()
    (tmp_path / "xnas.csv").write_bytes(DBN.read_bytes())
    (tmp_path / "US3060.dbn").write_bytes(csv)
    assert bars(answer(tmp_path, "XNYS", "1Min", "xnas.csv")).height == 4
    assert bars(answer(tmp_path, "FX", "1Hour", "US3060.dbn"))["symbol"].to_list() == ["US30"] * 3


@pytest.mark.parametrize(
    ("name", "data", "reason"),
    [
        ("x.csv.zst", b"ts_event,open\n1,2\n", "is not a whole zstd file"),
        ("x.dbn", b"<html>429 Too Many Requests</html>", "web page"),
        ("x.dbn", b"\x50\x2a\x4d\x18" + bytes(60), "old form DBZ"),
        ("x.zip", b"DBN\x03" + bytes(200), "is not a whole zip file"),
        ("x.csv", b"DBN", "is not a whole DBN file"),
    ],
)
def test_the_wrong_kind_under_the_right_suffix_is_named(tmp_path, name, data, reason):
    (tmp_path / name).write_bytes(data)
    text = refused(tmp_path)
    assert name in text
    assert reason in text


# --- Lean -----------------------------------------------------------------------------------------


def test_quotes_are_left_out_only_where_trades_lie_beside_them(tmp_path):
    result = answer(SAMPLES / "lean_equity", "XNYS", "1Min")
    assert result.notes == ("Lean's quotes were not read where trades lie beside them",)
    quotes = SAMPLES / "lean_equity/equity/usa/minute/aapl/20240308_quote.zip"
    folder = tmp_path / "equity/usa/minute/aapl"
    folder.mkdir(parents=True)
    (folder / quotes.name).write_bytes(quotes.read_bytes())
    assert bars(answer(tmp_path, "XNYS", "1Min")).rows()[0][2:] == (
        169.01,
        169.24,
        168.95,
        169.2,
        0.0,
    )


@pytest.mark.parametrize(
    ("name", "member", "reason"),
    [
        ("20240308_trade_american.zip", "20240308_goog_minute_trade_american_call_6500000_20240315.csv", "contracts of options"),
        ("20240308_openinterest.zip", "20240308_es_minute_openinterest_202406.csv", "open interest"),
        ("20240308_trade.zip", "20240308_aapl_tick_trade.csv", "single ticks"),
    ],
)  # fmt: skip
def test_what_holds_no_bars_is_told_and_left_out(tmp_path, name, member, reason):
    (tmp_path / name).write_bytes(zipped({member: "50220000,980000,980000,980000,980000,12\n"}))
    text = refused(tmp_path)
    assert text.startswith(f"{name} has no rows; Lean's ")
    assert reason in text


def test_whole_prices_outside_leans_folders_are_shares_where_they_are_whole_cents(tmp_path):
    rows = "34200000,1690100,1692400,1689500,1692000,120345\n"
    (tmp_path / "20240308_trade.zip").write_bytes(zipped({"20240308_aapl_minute_trade.csv": rows}))
    result = answer(tmp_path, "XNYS", "1Min", timezone="America/New_York")
    assert bars(result).rows()[0][2:6] == (169.01, 169.24, 168.95, 169.2)
    assert "divided by 10,000; set market.files.price_scale = 1" in result.notes[0]


def test_whole_prices_that_are_no_whole_cents_are_asked_about(tmp_path):
    rows = "0,87489,87496,87463,87488,1.9414\n"
    (tmp_path / "20260101_trade.zip").write_bytes(
        zipped({"20260101_btcusd_minute_trade.csv": rows})
    )
    assert "set market.files.price_scale = 1e-4 for shares, 1 for anything else" in refused(
        tmp_path, "24/7"
    )
    found = bars(answer(tmp_path, "24/7", "1Min", price_scale=1.0))
    assert found["close"].to_list() == [87488.0]


def test_the_nearest_folder_tells_the_kind_of_security(tmp_path):
    folder = tmp_path / "crypto/index/equity/usa/minute/aapl"
    folder.mkdir(parents=True)
    rows = "34200000,1690100,1692400,1689500,1692000,120345\n"
    (folder / "20240308_trade.zip").write_bytes(zipped({"20240308_aapl_minute_trade.csv": rows}))
    row = bars(answer(tmp_path, "XNYS", "1Min")).row(0)
    assert (str(row[1]), row[2]) == ("2024-03-08 14:30:00+00:00", 169.01)


def test_a_date_that_does_not_exist_costs_its_rows(tmp_path):
    rows = "34200000,1690100,1692400,1689500,1692000,120345\n"
    folder = tmp_path / "equity/usa/minute/aapl"
    folder.mkdir(parents=True)
    for day in ("20240308", "20240230"):
        data = zipped({f"{day}_aapl_minute_trade.csv": rows})
        (folder / f"{day}_trade.zip").write_bytes(data)
    assert "20240230_trade.zip column 'timestamp' holds no readable time" in refused(tmp_path)


def test_a_file_that_only_has_leans_name_is_refused(tmp_path):
    (tmp_path / "20240308_aapl_minute_trade.csv").write_text("a,b\n1,2\n")
    assert "has the name of a file of Lean, and its rows are not Lean's" in refused(tmp_path)


def test_an_impossible_count_of_milliseconds_costs_its_own_row(tmp_path):
    rows = [f"{34200000 + 60_000 * at},1690100,1692400,1689500,1692000,10" for at in range(9)]
    rows[3] = rows[3].replace("34380000", "99999999")
    folder = tmp_path / "equity/usa/minute/aapl"
    folder.mkdir(parents=True)
    members = {"20240308_aapl_minute_trade.csv": "\n".join(rows)}
    (folder / "20240308_trade.zip").write_bytes(zipped(members))
    defects = answer(tmp_path, "XNYS", "1Min").rows["defect"].drop_nulls().to_list()
    assert len(defects) == 1
    assert defects[0].startswith("timestamp is '99999999', expected a time")


# --- MetaTrader -----------------------------------------------------------------------------------


def test_a_servers_clock_that_nobody_named_is_told():
    result = answer(SAMPLES / "metatrader5", "FX", "1Hour")
    assert len(result.notes) == 1
    assert (
        'market.files.timezone = "America/New_York+7", which most servers have' in result.notes[0]
    )
    for zone in ("America/New_York+7", "Etc/UTC"):
        assert answer(SAMPLES / "metatrader5", "FX", "1Hour", timezone=zone).notes == ()


@pytest.mark.parametrize(
    ("stem", "symbol"),
    [
        ("XAUUSDm_H1_202403081900_202404010100", "XAUUSDm"),
        ("US500.cash_H1_202403081900_202404010100", "US500.cash"),
        ("GOLD#_H1_202403081900_202404010100", "GOLD#"),
        ("EURUSD_i_H1_202403081900_202404010100", "EURUSD_i"),
        ("EURUSD_H1", "EURUSD"),
    ],
)
def test_the_symbol_is_kept_as_the_broker_writes_it(tmp_path, stem, symbol):
    whole = next((SAMPLES / "metatrader5").iterdir()).read_bytes()
    (tmp_path / f"{stem}.csv").write_bytes(whole)
    rows = answer(tmp_path, "FX", "1Hour", timezone="America/New_York+7").rows
    assert rows["symbol"].unique().to_list() == [symbol]


@pytest.mark.parametrize(
    ("stem", "symbol"),
    [("US30", "US30"), ("US3060", "US30"), ("US30H1", "US30"), ("EURUSD_H1", "EURUSD")],
)
def test_a_size_is_cut_from_a_name_only_where_the_rows_have_it(tmp_path, stem, symbol):
    (tmp_path / f"{stem}.csv").write_bytes((SAMPLES / "metatrader4/US3060.csv").read_bytes())
    assert answer(tmp_path, "FX", "1Hour").rows["symbol"].unique().to_list() == [symbol]


def test_epochs_in_parquet_are_the_servers_clock_too(tmp_path):
    names = ("time", "open", "high", "low", "close", "tick_volume", "spread", "real_volume")
    row = (1709924400, 1.0936, 1.09421, 1.09312, 1.09387, 5321, 3, 0)
    pl.DataFrame([row], schema=names, orient="row").write_parquet(tmp_path / "EURUSD_H1.parquet")
    found = answer(tmp_path, "FX", "1Hour", timezone="America/New_York+7")
    assert [bars(found).row(0)[at] for at in (0, 6)] == ["EURUSD", 5321.0]
    assert str(bars(found)["timestamp"][0]) == "2024-03-08 17:00:00+00:00"
    assert "stamped on the clock of their server" in answer(tmp_path, "FX", "1Hour").notes[0]


# --- folders --------------------------------------------------------------------------------------


def test_daily_and_minute_files_in_one_folder_are_refused_by_name(tmp_path):
    for name in ("polygon_minute", "polygon_day"):
        FOLDERS[name].write(tmp_path / "bars" / name, FOLDERS[name].bars())
    (tmp_path / "bars/kibot").mkdir()
    (tmp_path / "bars/kibot/MSFT.txt").write_bytes((SAMPLES / "kibot_daily/MSFT.txt").read_bytes())
    with pytest.raises(
        DataError, match=r"^kibot/MSFT\.txt holds daily bars .* or take the file out$"
    ):
        init(tmp_path / "bars", tmp_path / "harmony.toml")
    assert not (tmp_path / "harmony.toml").exists()


def test_notes_beside_tables_are_not_read(tmp_path):
    (tmp_path / "MSFT.txt").write_bytes((SAMPLES / "kibot/MSFT.txt").read_bytes())
    (tmp_path / "readme.txt").write_text(
        "Open, high, low, close and volume.\n\nAll times are ET.\n"
    )
    (tmp_path / "condition.json").write_text("[]")
    result = answer(tmp_path, "XNYS", "1Min", timezone="America/New_York")
    assert result.rows["symbol"].unique().to_list() == ["MSFT"]
    assert result.notes[0].startswith(
        "condition.json was not read: it is no .csv, .tsv, .txt, .dbn"
    )
    assert result.notes[1] == (
        "readme.txt was not read: it is a text without columns of bars in its first lines"
    )


def test_a_month_that_may_be_a_day_is_asked_about(tmp_path):
    """Five days of March read either way: the docs name the line that settles it."""
    lines = [f"03/08/2024,09:{minute},407.9,408,407.5,407.7,100" for minute in range(30, 40)]
    (tmp_path / "MSFT.txt").write_text("\n".join(lines))
    assert (
        "nothing tells its months from its days: set market.files.timestamp_format to"
        " %m/%d/%Y %H:%M where the month stands first, to %d/%m/%Y %H:%M where the day does"
    ) in refused(tmp_path)
    found = answer(
        tmp_path,
        "XNYS",
        "1Min",
        timezone="America/New_York",
        timestamp_format="%m/%d/%Y %H:%M",
    )
    assert str(bars(found)["timestamp"][0]) == "2024-03-08 14:30:00+00:00"


# --- several venues, no symbol --------------------------------------------------------------------

DATABENTO = "ts_event,rtype,publisher_id,instrument_id,open,high,low,close,volume"
ROW = "2024-03-08T14:30:00.000000000Z,33,{0},31,169.01,169.24,168.95,169.2,{1}"


def test_rows_of_several_venues_are_told(tmp_path):
    lines = [f"{DATABENTO},symbol", *(f"{ROW.format(at, 100 + at)},AAPL" for at in (39, 40))]
    (tmp_path / "dbeq.csv").write_text("\n".join(lines))
    result = answer(tmp_path, "XNYS", "1Min")
    assert result.rows.height == 2
    assert len(result.notes) == 1
    assert result.notes[0].startswith("dbeq.csv has rows of several venues (publisher_id)")


def test_numbers_instead_of_symbols_are_refused_with_the_request_that_names_them(tmp_path):
    (tmp_path / "dbeq.csv").write_text("\n".join([DATABENTO, ROW.format(2, 100)]))
    assert refused(tmp_path) == (
        "dbeq.csv is a file of Databento without a column symbol: request it with map_symbols, or as"
        " DBN, which names its symbols"
    )
