"""Pieces that go wrong in files: characters, cells, names of columns and of files."""

TOKENS = (
    b'"', b'""', b",", b";", b"\t", b"|", b"\n", b"\r", b"\r\n", b"\x00", b"\xff", b"\xfe\xff",
    b"\xef\xbb\xbf", b"\x1b[31m", b"\x0c", b"\x1a", b" ",
    b"-", b"+", b".", b":", b"/", b"'", b"\\", b"#", b"=", b"NaN", b"1e308", b"\xe2\x80\xae",
    b"\xf0\x9f\x92\xa5", b"<!-- -->", b"e", b"E",
)  # fmt: skip

_NUMBERS = (
    "0", "-0.0", "-1", "1e308", "1e309", "-1e308", "5e-324", "1e-9", "NaN", "nan", "inf",
    "-Infinity", "null", "None", "N/A", "-", "--", "", " ", "#REF!",
    "1,234.5", "1.234,5", "1'234.5", "1 234.5", "1,234", "$12.5", "12.5 USD", "(12)", "12%", "0x1F",
    "1_000", "1e", "e5", ".", "+", "1..2", "١٢٣", "１２３",
    "½", "99999999999999999999", "123456789012345678901234567890", "9223372036854775807",
    "-9223372036854775808", "18446744073709551616", "1.0e+05", "00012.50",
)  # fmt: skip
_STAMPS = (
    "2024-02-31", "2024-13-01", "2024-00-10", "0000-01-01", "0001-01-01", "1677-09-20",
    "1850-06-01", "1969-12-31", "1970-01-01", "2038-01-19 03:14:08",
    "2262-04-12", "2611-01-01", "9999-12-31", "9999-12-31T23:59:59.999999999Z", "10000-01-01",
    "294247-01-10", "-0001-01-01", "2024-03-10 02:30:00",
    "2024-11-03 01:30:00", "2024-01-02T09:30", "2024-01-02 24:00:00", "2024-01-02 25:61:61",
    "2024-01-02T09:30:60", "2024-01-02T14:30:00+99:00",
    "2024-01-02T14:30:00+24:00", "2024-01-02T14:30:00-14:01", "2024-01-02T09:30:00 EST",
    "2024-01-02T14:30:00Z", "2024-01-02T14:30:00.123456789+05:30",
    "20240102", "202401020930", "20240102093000", "20240102093000000", "2024010209300000000",
    "93000", "9:3", "0930", "34200", "1/2/2024", "13/13/2024",
    "31/01/2024", "02-Jan-24", "2-JAN-2024 9:30 AM", "Tuesday", "45293", "45293.5", "1704205800",
    "1704205800000", "1704205800000000", "1704205800000000000",
    "9223372036854775807", "-1", "0", "-62135596800", "253402300799", "253402300800", "1e18",
    "2024-W01-2", "2024-001", "2024/01/02", "2024.01.02 09:30",
    "Jan 2, 2024", "2024-06-30T23:59:60Z", "2024-01-02T09:30:00+0530",
    "2024-01-02T09:30:00[America/New_York]", "12:00", "2024年1月2日",
)  # fmt: skip
_TEXTS = (
    "AAPL", "aapl", "BRK B", "BTC/USDT", "=cmd()", "../../x", "a" * 300, "\u202eevil",
    "\x1b]0;x\x07", "é", "null", "True", "💥", 'a"b', "x,y", "C:\\x",
    "BBB ", "\u00a0", "\ufeffAAA", "AAA\tBBB",
)  # fmt: skip
CELLS = tuple(text.encode("utf-8", errors="replace") for text in (*_NUMBERS, *_STAMPS, *_TEXTS))

HEADERS = (
    b"open", b"Close", b"timestamp", b"date", b"time", b"symbol", b"ticker", b"volume",
    b"Adj Close", b"adj_volume", b"clock", b"vwap", b"n", b"",
    b" ", b"\xff\xfe", b"ask_close", b"bid", b"price", b"kind", b"value", b"x" * 500, b"Price",
    b"Ticker", b"row", b"origin", b"defect", b"source",
    b"timeframe", b"column 1", b"filled", b"found", b"instant", b"\x1b[1m", b"<DATE>", b"ts_event",
    b"date (2)", b"partition", b"index", b"literal", b"len",
)  # fmt: skip

NAMES = (
    "AAA.csv", "aaa.csv", "ES=F.csv", "BRK B.csv", "MSFT_AAPL.csv", "x.parquet", "x.PARQUET",
    "x.csv.gz", "x.zip", "x.txt", "x.tsv", "x.dat", ".hidden.csv",
    "NOTHING", "con.csv", "ü.csv", "\u202e.csv", "a\nb.csv", "a,b.csv", "x" * 120 + ".csv", "*.csv",
    "[A-Z].csv", "{x}.csv", "~AAA.csv", "$HOME.csv", "%s.csv",
    "DAT_ASCII_EURUSD_M1_2023.csv", "2024-01-02.csv", "123.csv", "_.csv", "--.csv", " .csv",
    "a'b.csv", 'a"b.csv', "\x1b[31m.csv", "AAA.CSV",
)  # fmt: skip
