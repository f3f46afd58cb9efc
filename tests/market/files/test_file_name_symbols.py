"""The symbol in a vendor's file name: kept whole, freed of what stands around it, or refused with
the reason.
"""

import re
from pathlib import Path

import pytest
from market.files.writing import ALWAYS, FOREVER, HEADER, ROWS, read, source, write

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.sources.file_name_symbols import AUTO, symbol_of


@pytest.mark.parametrize(
    ("stem", "symbol"),
    [
        ("BATS_AAPL, 1D", "AAPL"), ("NASDAQ_MSFT, 60", "MSFT"), ("CME_MINI_ES1!, 5", "ES1!"),
        ("BATS_DLY_AAPL, 1D", "AAPL"), ("BATS_AAPL, 1D (1)", "AAPL"),
        ("NYSE_BRK.B, 1W", "BRK.B"), ("BINANCE_BTCUSDT, 240_3f2a1", "BTCUSDT"),
        ("TVC_SPX, D", "SPX"), ("NSE_M&M, 30", "M&M"),
        ("ES=F", "ES=F"), ("EURUSD=X", "EURUSD=X"), ("^GSPC", "^GSPC"), ("BRK-B", "BRK-B"),
        ("BRK B", "BRK B"), ("BRK.B", "BRK.B"), ("000001.SS", "000001.SS"),
        ("BTC_USDT-1h", "BTC_USDT"), ("BTC-USD", "BTC-USD"), ("EUR_USD_H1", "EUR_USD"),
        ("BTCUSDT-1m-2023-01", "BTCUSDT"), ("XBTUSD_60", "XBTUSD"),
        ("Binance_BTCUSDT_1h", "BTCUSDT"), ("DAT_ASCII_EURUSD_M1_2023", "EURUSD"),
        ("EURUSD_M1_2023", "EURUSD"), ("AAPL_full_1min_adjsplit", "AAPL"),
        ("aapl.us", "AAPL"), ("brk-b.us", "BRK-B"), ("AAPL_20240102", "AAPL"),
        ("AAPL-2024-01-02", "AAPL"), ("SPY_daily", "SPY"), ("AAPL (2)", "AAPL"),
        ("trades_BAC_2013-10-08", "BAC"), ("600000", "600000"), ("7203.T", "7203.T"),
        ("ES 03-24.Last", "ES 03-24"), ("F", "F"), ("NYSE_M", "M"), ("ICE_1D", "ICE"),
        ("@ESH24", "@ESH24"), ("AAPL Index", "AAPL"), ("VOD LN Equity", "VOD LN"),
        ("C 1 Comdty", "C 1"), ("BATS_AAPL Equity", "AAPL"), ("AAPL_2024 Index", "AAPL"),
        ("HistoricalData_AAPL", "AAPL"), ("daily_adjusted_IBM", "IBM"),
    ],
)  # fmt: skip
def test_vendors_names_give_whole_symbols(stem: str, symbol: str) -> None:
    assert symbol_of(stem, AUTO, "x.csv") == symbol


@pytest.mark.parametrize(
    ("stem", "reason"),
    [
        ("MSFT_AAPL", "it holds several: MSFT, AAPL"),
        ("BTC-USDT-SWAP", "it holds several"),
        ("AAPL_D", "it holds several"),
        ("Spy_daily", "small letters"),
        ("prices", "small letters"),
        ("2024-01-02", "no symbol in it"),
        ("20240102", "no symbol in it"),
        ("2023", "no symbol in it"),
        ("HistoricalData_1709563234567", "small letters"),
        ("daily_1", "small letters"),
        ("Prices of AAPL Equity", "small letters"),
        ("", "no symbol in it"),
        ("\u00e9\x1b[31m", "small letters"),
    ],
)
def test_a_name_that_is_no_symbol_is_refused_with_reason_and_setting(
    stem: str, reason: str
) -> None:
    with pytest.raises(
        DataError, match=rf"is no symbol \(.*{reason}.*market\.files\.symbol_from_filename"
    ) as refused:
        symbol_of(stem, AUTO, "x.csv")
    assert "\x1b" not in str(refused.value)


@pytest.mark.parametrize(
    "stem", ["doge_usdt", "Spy_daily", "MSFT_AAPL", "prices", "btc-usd 1h", "2024-01-02", "2023"]
)
def test_the_expression_that_a_refusal_advises_finds_a_symbol(stem: str) -> None:
    with pytest.raises(DataError) as refused:
        symbol_of(stem, AUTO, "x.csv")
    _said, _such, pattern = str(refused.value).partition(", such as ")
    assert bool(pattern) == stem[0].isalpha()
    if pattern:
        assert symbol_of(stem, pattern, "x.csv") == re.match("[A-Za-z]+", stem)[0]


def test_an_expression_in_the_settings_wins(tmp_path: Path) -> None:
    write(tmp_path / "Spy_daily.csv", HEADER, *ROWS)
    assert read(tmp_path, symbol_from_filename="^([A-Za-z]+)_")["symbol"].to_list() == ["Spy"] * 3
    with pytest.raises(DataError, match="finds none in 'Spy_daily'"):
        read(tmp_path, symbol_from_filename="^([A-Z]+)")
    with pytest.raises(ConfigError, match="'auto', or a regular expression with one group"):
        read(tmp_path, symbol_from_filename="(")


def test_two_names_of_one_symbol_are_told_when_their_times_overlap(tmp_path: Path) -> None:
    write(tmp_path / "AAPL_5.csv", HEADER, *ROWS[:2])
    write(tmp_path / "NASDAQ_AAPL.csv", HEADER, *ROWS[1:])
    write(tmp_path / "IBM_2023.csv", HEADER, ROWS[0])
    write(tmp_path / "IBM_2024.csv", HEADER, ROWS[1])
    answer = source(tmp_path).read_bars(None, ALWAYS, FOREVER, "1Min")
    assert [note.split(",")[0] for note in answer.notes] == [
        "AAPL_5.csv and NASDAQ_AAPL.csv both gave the symbol AAPL by their names"
    ]
