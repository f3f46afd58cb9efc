"""`harmony init`: the settings that it writes for small files of many markets take every row."""

import tomllib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest

from harmony_pipeline.cli.boundary import run_command
from harmony_pipeline.cli.init import Known, init
from harmony_pipeline.config import load_settings
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.stages import data_checks, ingest, market
from harmony_pipeline.stages.context import PipelineContext

NEW_YORK = ZoneInfo("America/New_York")


def write(path: Path, stamps: list[str], price: float = 100.0, step: float = 0.01) -> None:
    rows = []
    for number, stamp in enumerate(stamps):
        low = price + number % 7 * step
        rows.append(
            f"{stamp},{low + step:.6f},{low + 3 * step:.6f},{low:.6f},{low + 2 * step:.6f},{1000 + number}"
        )
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("timestamp,open,high,low,close,volume\n" + "\n".join(rows) + "\n")


def sessions(name: str, first: date, count: int) -> list[date]:
    return Calendar.of(name).sessions(first, first + timedelta(days=2 * count + 10))[:count]


def judged(file: Path) -> PipelineContext:
    """The market of a settings file, with its bars judged."""
    pipeline = PipelineContext(load_settings(file, {}))
    periods = pipeline.trading_periods()
    market.corporate_actions(pipeline)
    ingest.raw_bars(pipeline, periods)
    market.bars(pipeline, periods)
    return pipeline


def judged_in_new_york(file: Path, text: str) -> PipelineContext:
    """The same of these settings, by the calendar XNYS whatever was guessed."""
    calendar = load_settings(file, {}).market.calendar
    file.write_text(text.replace(f'"{calendar}"', '"XNYS"'))
    return judged(file)


def daily(folder: Path) -> dict:
    for symbol, days in (("SPY", 20), ("AAPL", 12)):
        write(
            folder / f"{symbol}.csv", [str(day) for day in sessions("XNYS", date(2024, 1, 2), days)]
        )
    return {
        "calendar": "XNYS",
        "timeframe": "1Day",
        "start": date(2024, 1, 2),
        "benchmark": "SPY",
        "rows": 32,
    }


def hourly_on_the_exchanges_clock(folder: Path) -> dict:
    stamps = [
        f"{day} {hour:02}:30:00"
        for day in sessions("XNYS", date(2024, 3, 6), 6)
        for hour in range(9, 16)
    ]
    write(folder / "ABC.csv", stamps)
    return {
        "calendar": "XNYS",
        "timeframe": "1Hour",
        "timezone": "America/New_York",
        "start": date(2024, 3, 6),
        "rows": 42,
    }


def half_hours_with_offsets(folder: Path) -> dict:
    opens = [
        datetime(day.year, day.month, day.day, 9, 30, tzinfo=NEW_YORK)
        for day in sessions("XNYS", date(2024, 1, 3), 4)
    ]
    write(
        folder / "ABC.csv",
        [(at + timedelta(minutes=30 * slot)).isoformat() for at in opens for slot in range(13)],
    )
    return {
        "calendar": "XNYS",
        "timeframe": "30Min",
        "timezone": None,
        "start": date(2024, 1, 3),
        "rows": 52,
    }


def currencies(folder: Path) -> dict:
    begin = datetime(2024, 1, 7, 22, tzinfo=UTC)
    write(
        folder / "EURUSD.csv",
        [f"{begin + timedelta(hours=hour):%Y-%m-%dT%H:%M:%SZ}" for hour in range(80)],
        1.1,
        0.0001,
    )
    return {"calendar": "FX", "timeframe": "1Hour", "timezone": None, "rows": 80}


def gold_on_a_servers_clock(folder: Path, pause: bool = True) -> dict:
    """Over the weeks in which Europe has not yet changed its clocks as America has. `opens` is what
    New York's clock shows, whatever its zone says.
    """
    opens = [
        datetime(2024, 3, day, 18, tzinfo=UTC)
        for day in (*range(3, 8), *range(10, 15), *range(17, 22))
    ]
    starts = [
        begin + timedelta(hours=hour) - timedelta(hours=0 if pause else 1)
        for begin in opens
        for hour in range(23 if pause else 24)
    ]
    lines = [
        f"{start + timedelta(hours=7):%Y.%m.%d\t%H:%M:%S}\t2100.5\t2101\t2100\t2100.7\t90\t0\t17"
        for start in starts
    ]
    folder.mkdir(parents=True, exist_ok=True)
    names = ("DATE", "TIME", "OPEN", "HIGH", "LOW", "CLOSE", "TICKVOL", "VOL", "SPREAD")
    (folder / "XAUUSD_H1_202403040100_202403222300.csv").write_text(
        "\t".join(f"<{name}>" for name in names) + "\n" + "\n".join(lines) + "\n"
    )
    return {
        "calendar": "METALS" if pause else "FX",
        "timeframe": "1Hour",
        "timezone": "America/New_York+7",
        "rows": len(lines),
    }


def gold_without_a_pause(folder: Path) -> dict:
    return gold_on_a_servers_clock(folder, pause=False)


def coins(folder: Path) -> dict:
    begin = datetime(2024, 1, 5, 20, tzinfo=UTC)
    write(
        folder / "XYZUSD.csv",
        [f"{begin + timedelta(minutes=5 * slot):%Y-%m-%dT%H:%M:%SZ}" for slot in range(80)],
    )
    return {
        "calendar": "24/7",
        "timeframe": "5Min",
        "timezone": None,
        "start": date(2024, 1, 5),
        "rows": 80,
    }


def coins_by_name(folder: Path) -> dict:
    write(folder / "BTCUSD.csv", [f"2024-01-02T00:{minute:02}:00Z" for minute in range(40)])
    return {"calendar": "24/7", "timeframe": "1Min", "timezone": None, "rows": 40}


def london(folder: Path) -> dict:
    write(
        folder / "VOD.L.csv",
        [
            f"{day} {hour:02}:00"
            for day in sessions("XLON", date(2024, 7, 1), 5)
            for hour in range(8, 16)
        ],
    )
    return {"calendar": "XLON", "timeframe": "1Hour", "timezone": "Europe/London", "rows": 40}


def two_bars(folder: Path) -> dict:
    write(folder / "ABC.csv", ["2024-01-05", "2024-01-08"])
    return {"calendar": "XNYS", "timeframe": "1Day", "start": date(2024, 1, 5), "rows": 2}


def futures_days_of_the_evening_before(folder: Path) -> dict:
    evenings = [
        f"{day - timedelta(days=1)}T23:00:00Z" for day in sessions("CMES", date(2024, 1, 8), 10)
    ]
    write(folder / "ES.csv", evenings, 4800.0, 0.25)
    return {"calendar": "CMES", "timeframe": "1Day", "start": date(2024, 1, 8), "rows": 10}


MARKETS = [
    futures_days_of_the_evening_before,
    daily,
    hourly_on_the_exchanges_clock,
    half_hours_with_offsets,
    currencies,
    gold_on_a_servers_clock,
    gold_without_a_pause,
    coins,
    coins_by_name,
    london,
    two_bars,
]


@pytest.mark.parametrize("make", MARKETS, ids=[make.__name__ for make in MARKETS])
def test_the_guessed_settings_fit_and_take_every_row(tmp_path, make):
    expected = make(tmp_path / "bars")
    written = init(tmp_path / "bars", tmp_path / "mine.toml")
    text = tomllib.loads(written.file.read_text())
    found = text["market"]
    for key in ("calendar", "timeframe", "start"):
        if key in expected:
            assert found[key] == expected[key], written.sentences
    assert found["files"].get("timezone") == expected.get("timezone")
    assert found.get("benchmark") == expected.get("benchmark")
    assert found["files"]["paths"] == ["bars"]
    assert text["paths"] == {"lake": ".harmony/mine/lake", "state": ".harmony/mine/state"}
    pipeline = PipelineContext(load_settings(written.file, {}))
    periods = pipeline.trading_periods()
    ingest.raw_bars(pipeline, periods)
    assert pipeline.lake.read("raw_bars").height == expected["rows"]
    market.bars(pipeline, periods)
    bars = pipeline.lake.read("bars")
    assert bars.height == expected["rows"], (
        pipeline.lake.read("quarantine").select("rule", "reason").unique()
    )
    assert pipeline.settings.market.end == pipeline.calendar.with_session(bars, pipeline.timeframe)[
        "session_date"
    ].max() + timedelta(days=1)


def test_the_command_says_what_it_guessed_and_what_it_advises_works(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("HARMONY_CONFIG", "")
    monkeypatch.chdir(tmp_path)
    daily(tmp_path / "my bars")
    (tmp_path / "my bars" / "corporate_actions.csv").write_text(
        "symbol,date,kind,value\nAAPL,2024-01-05,split,2\n"
    )
    assert run_command(["init", "my bars", "--output", "my own.toml"]) == 0
    said = capfd.readouterr().out
    assert "guessed: 1Day bars, calendar XNYS" in said
    assert "found corporate_actions" in said
    assert "next: harmony --config 'my own.toml' run" in said
    assert (
        load_settings("my own.toml", {}).market.files.corporate_actions
        == "my bars/corporate_actions.csv"
    )
    assert run_command(["--config", "my own.toml", "ingest"]) == 0
    before = (tmp_path / "my own.toml").read_bytes()
    capfd.readouterr()
    assert run_command(["init", "my bars", "--output", "my own.toml"]) == 2
    assert "exists and is not overwritten" in capfd.readouterr().err
    assert (tmp_path / "my own.toml").read_bytes() == before


@pytest.mark.parametrize(("begins", "watches_all"), [(9, True), (8, False)])
def test_a_day_of_a_late_open_is_no_premarket(tmp_path, begins, watches_all):
    """On 2002-09-11 New York opened at 12:00."""
    days = sessions("XNYS", date(2002, 9, 3), 15)
    assert date(2002, 9, 11) in days
    stamps = [f"{day} {hour:02}:30:00" for day in days for hour in range(begins, 16)]
    write(tmp_path / "bars" / "ABC.csv", stamps)
    chosen = load_settings(init(tmp_path / "bars", tmp_path / "mine.toml").file, {})
    assert chosen.market.calendar == "XNYS"
    assert chosen.scanner.require_premarket is not watches_all


def test_rows_that_cannot_be_read_are_counted_and_the_first_is_shown(tmp_path):
    days = sessions("XNYS", date(2024, 1, 2), 30)
    write(tmp_path / "bars" / "SPY.csv", [str(day) for day in days[:20]])
    with (tmp_path / "bars" / "SPY.csv").open("a") as file:
        file.writelines(f"{day},1,1,1,1.2.3,1\n" for day in days[20:29])
        file.write(f"{days[29]},1,1,1,,1\n")
    said = init(tmp_path / "bars", tmp_path / "mine.toml").sentences
    assert said[0].startswith("read 20 of 30 rows of 1 symbols (SPY)")
    assert said[2].startswith(
        "10 rows cannot be read, such as line 22 of SPY.csv: close is '1.2.3'"
    )
    write(tmp_path / "whole" / "SPY.csv", [str(day) for day in days])
    said = init(tmp_path / "whole", tmp_path / "whole.toml").sentences
    assert said[0].startswith("read 30 rows of 1 symbols")
    assert not any("cannot be read" in sentence for sentence in said)


def test_comments_above_the_column_names_are_skipped_and_it_is_said(tmp_path):
    file = tmp_path / "SPY.txt"
    write(file, [str(day) for day in sessions("XNYS", date(2024, 1, 2), 20)])
    file.write_text("# of a friend, adjusted\n# 2024\n" + file.read_text())
    said = init(tmp_path, tmp_path / "mine.toml").sentences
    assert said[0].startswith("read 20 rows of 1 symbols (SPY)")
    assert "lines that begin with # above the column names" in "".join(said)


def test_a_project_folder_may_be_its_own_data_folder(tmp_path):
    daily(tmp_path)
    written = init(tmp_path, tmp_path / "harmony.toml")
    pipeline = PipelineContext(load_settings(written.file, {}))
    assert pipeline.settings.market.files.paths == (".",)
    periods = pipeline.trading_periods()
    for _again in range(2):
        ingest.raw_bars(pipeline, periods)
    assert pipeline.lake.read("raw_bars").height == 32


@pytest.mark.parametrize(
    ("name", "content", "expected", "code"),  # 2: the command is wrong; 1: the files are
    [
        ("nothing", None, "does not exist", 2),
        ("A.csv", "timestamp,open,high,low,close,volume\n", "no rows", 1),
        ("A.csv", "just text\nand more\n", "A.csv", 1),
        (
            "A.csv",
            "timestamp,open,high,low,close,volume\n"
            + "".join(f"2024-01-02T{hour:02}:00:00Z,1,1,1,1,1\n" for hour in range(0, 24, 4)),
            "240 minutes apart",
            1,
        ),
        (
            "A$B.csv",
            "timestamp,open,high,low,close,volume\n2024-01-02,1,1,1,1,1\n",
            "a path with $",
            2,
        ),
    ],
)
def test_what_holds_no_bars_is_refused_and_nothing_is_written(
    tmp_path, monkeypatch, capfd, name, content, expected, code
):
    monkeypatch.setenv("HARMONY_CONFIG", "")
    monkeypatch.chdir(tmp_path)
    if content is not None:
        Path(name).write_text(content)
    assert run_command(["init", name]) == code
    line = capfd.readouterr().err.strip()
    assert expected in line
    assert "\n" not in line
    assert not Path("harmony.toml").exists()


def test_an_option_settles_times_that_can_be_read_in_two_ways(tmp_path, monkeypatch, capfd):
    monkeypatch.setenv("HARMONY_CONFIG", "")
    monkeypatch.chdir(tmp_path)
    lines = [
        f"03/{day:02}/2024,09:{minute},10,11,9,10,1" for day in (4, 5) for minute in range(30, 50)
    ]
    Path("MSFT.txt").write_text("\n".join(lines))
    assert run_command(["init", "MSFT.txt"]) == 1
    refusal = capfd.readouterr().err.strip()
    option = "--timestamp-format to %m/%d/%Y %H:%M where the month stands first"
    assert option in refusal
    assert "market.files" not in refusal
    assert run_command(["init", "MSFT.txt", "--timestamp-format", "%m/%d/%Y %H:%M"]) == 0
    found = load_settings("harmony.toml", {}).market
    assert found.files.timestamp_format == "%m/%d/%Y %H:%M"
    assert (found.start, found.end, found.timeframe) == (date(2024, 3, 4), date(2024, 3, 6), "1Min")
    assert run_command(["ingest"]) == 0
    pipeline = PipelineContext(load_settings("harmony.toml", {}))
    assert pipeline.lake.read("raw_bars").height == 40


def test_the_size_of_a_single_bar_is_asked_for(tmp_path, monkeypatch, capfd):
    """A row of a Binance dump: its size is nowhere in the bars."""
    monkeypatch.setenv("HARMONY_CONFIG", "")
    monkeypatch.chdir(tmp_path)
    row = "1704070800000,42283.58,42554.57,42261.02,42475.23,1271.6,1704074399999,53957248.9,47,6.5,2.8,0\n"
    Path("BTCUSDT-1h-2024-01.csv").write_text(row)
    name = "BTCUSDT-1h-2024-01.csv"
    assert run_command(["init", name, "--output", "guessed.toml"]) == 0
    said = capfd.readouterr().out
    assert "taken for daily bars; name another size with --timeframe, such as 1Hour" in said
    assert run_command(["init", name, "--timeframe", "1Hour"]) == 0
    said = capfd.readouterr().out
    assert "guessed: calendar 24/7" in said
    assert "1Day" not in said
    assert load_settings("harmony.toml", {}).market.timeframe == "1Hour"


@pytest.mark.parametrize(
    ("size", "code", "expected"),
    [
        ("1hr", 2, "no timeframe '1hr'; did you mean '1Hour'?"),
        ("1Hour", 1, "holds daily bars (1Day; 32 rows were looked at), and market.timeframe is"),
    ],
)
def test_a_size_that_is_none_or_not_that_of_the_bars_is_refused(
    tmp_path, monkeypatch, capfd, size, code, expected
):
    monkeypatch.setenv("HARMONY_CONFIG", "")
    monkeypatch.chdir(tmp_path)
    stamps = [str(day) for day in sessions("XNYS", date(2024, 1, 2), 32)]
    write(tmp_path / "bars" / "SPY.csv", stamps)
    assert run_command(["init", "bars", "--timeframe", size]) == code
    line = capfd.readouterr().err
    assert expected in line
    assert 'give --timeframe "1Day"' in line or code == 2
    assert not Path("harmony.toml").exists()


def test_recorded_bars_are_recognised(market_data, tmp_path):
    expected = {
        "us_equity_daily": ("XNYS", "1Day"),
        "fx_hourly": ("FX", "1Hour"),
        "crypto_minute": ("24/7", "1Min"),
    }
    for name, (calendar, timeframe) in expected.items():
        found = load_settings(init(market_data / name, tmp_path / f"{name}.toml").file, {}).market
        assert (found.calendar, found.timeframe) == (calendar, timeframe)


# --- what only an option can settle ---------------------------------------------------------------


def files_of(folder: Path, header: str, *rows: str, name: str = "AAPL.csv") -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_text("\n".join((header, *rows)) + "\n")
    return folder


ROWS_OF_A_WEEK = [f"2024-01-0{day},10,11,9,10.5,{100 + day}" for day in (2, 3, 4, 5, 8)]


def test_columns_and_symbols_that_are_not_known_are_named_by_options(tmp_path, monkeypatch, capfd):
    """Before there are settings nothing else could name them."""
    monkeypatch.chdir(tmp_path)
    files_of(tmp_path / "bars", "Tag,O,H,L,Settle,Lots", *ROWS_OF_A_WEEK, name="px-aapl.csv")
    command = ["init", "bars", "--output", "mine.toml"]
    assert run_command(command) == 1
    assert "--column 'timestamp=NAME IN THE FILE'" in capfd.readouterr().err
    command += ["--column", "timestamp=Tag", "--column", "close=Settle"]
    assert run_command(command) == 1
    assert "--column 'volume=NAME IN THE FILE'" in capfd.readouterr().err
    command += ["--column", "volume=Lots"]
    assert run_command(command) == 1
    said = capfd.readouterr().err
    assert "give --symbol-from-filename with a regular expression" in said
    assert run_command([*command, "--symbol-from-filename", "^px-([a-z]+)"]) == 0
    files = load_settings(tmp_path / "mine.toml", {}).market.files
    assert files.columns == {"timestamp": "Tag", "close": "Settle", "volume": "Lots"}
    pipeline = PipelineContext(load_settings(tmp_path / "mine.toml", {}))
    periods = pipeline.trading_periods()
    ingest.raw_bars(pipeline, periods)
    kept = pipeline.lake.read("raw_bars")
    assert kept.select("symbol", "close", "volume").rows() == [
        ("aapl", 10.5, 100.0 + day) for day in (2, 3, 4, 5, 8)
    ]


@pytest.mark.parametrize(
    ("given", "code", "said"),
    [
        ("close", 2, "is not of the form OURS=THEIRS"),
        ("close=", 2, "is not of the form"),
        ("settle=close", 2, "--column names 'settle', which is no column of bars"),
        ("close=Last Sale", 1, "--column maps close to 'Last Sale', which the file does not have"),
    ],
)
def test_a_column_that_cannot_be_is_refused(tmp_path, monkeypatch, capfd, given, code, said):
    monkeypatch.chdir(tmp_path)
    files_of(tmp_path / "bars", "timestamp,open,high,low,close,volume", *ROWS_OF_A_WEEK)
    assert run_command(["init", "bars", "--output", "mine.toml", "--column", given]) == code
    assert said in capfd.readouterr().err
    assert not (tmp_path / "mine.toml").exists()


def test_where_no_row_can_be_read_the_first_one_says_why(tmp_path, monkeypatch, capfd):
    monkeypatch.chdir(tmp_path)
    dollars = [row.replace(",", ",$", 4) for row in ROWS_OF_A_WEEK]
    files_of(tmp_path / "bars", "Date,Open,High,Low,Close/Last,Volume", *dollars)
    assert run_command(["init", "bars", "--output", "mine.toml"]) == 1
    said = capfd.readouterr().err
    assert "5 rows cannot be read, such as line 2 of AAPL.csv" in said
    assert "$10" in said


@pytest.mark.parametrize(
    ("first", "others", "advice", "starts"),
    [
        ("03/01/24", ("03/04/24",), "%m/%d/%y", date(2024, 3, 1)),
        ("13.03.24", ("14.03.24",), "%d.%m.%y", date(2024, 3, 13)),
        ("13-Mar-24", ("14-Mar-24",), "%d-%b-%y", date(2024, 3, 13)),
    ],
)
def test_a_year_of_two_digits_is_read_where_a_format_says_so(
    tmp_path, monkeypatch, capfd, first, others, advice, starts
):
    monkeypatch.chdir(tmp_path)
    rows = [f"{day},10,11,9,10.5,100" for day in (first, *others)]
    files_of(tmp_path / "bars", "Date,Open,High,Low,Close,Volume", *rows)
    assert run_command(["init", "bars", "--output", "mine.toml"]) == 1
    said = capfd.readouterr().err
    assert "its year has two digits: set --timestamp-format to" in said
    assert advice in said
    command = ["init", "bars", "--output", "mine.toml", "--timestamp-format", advice]
    assert run_command(command) == 0
    assert load_settings(tmp_path / "mine.toml", {}).market.start == starts


@pytest.mark.parametrize("months", [1, 3, 12])
def test_bars_of_a_month_or_longer_are_refused_and_are_no_weeks(
    tmp_path, monkeypatch, capfd, months
):
    monkeypatch.chdir(tmp_path)
    stamps = [date(2015 + n * months // 12, n * months % 12 + 1, 1) for n in range(9)]
    rows = [f"{day},10,11,9,10.5,100" for day in stamps]
    files_of(tmp_path / "bars", "Date,Open,High,Low,Close,Volume", *rows)
    assert run_command(["init", "bars", "--output", "mine.toml"]) == 1
    assert "days apart, and Harmony knows 1Sec" in capfd.readouterr().err
    for timeframe in ("1Week", "1Day", "1Hour"):
        command = ["init", "bars", "--output", "mine.toml", "--timeframe", timeframe]
        assert run_command(command) == 1
        assert "AAPL.csv holds bars of a month or longer" in capfd.readouterr().err
    assert not (tmp_path / "mine.toml").exists()


def test_a_stock_that_trades_once_in_weeks_has_daily_bars(tmp_path, monkeypatch):
    """Beside one that trades every day, and without regard to how often it does."""
    monkeypatch.chdir(tmp_path)
    days = sessions("XNYS", date(2024, 1, 2), 120)
    for name, every in (("AAPL", days), ("THIN", days[3::17] + days[7::29])):
        write(tmp_path / "bars" / f"{name}.csv", [str(day) for day in sorted(every)])
    assert run_command(["init", "bars", "--output", "mine.toml"]) == 0
    assert load_settings(tmp_path / "mine.toml", {}).market.timeframe == "1Day"


# --- clocks and fillers of currencies -------------------------------------------------------------


def week_of_currencies(first: date, weeks: int) -> list[datetime]:
    """Hours from Sunday 17:00 to Friday 17:00 in New York."""
    begins = [
        datetime.combine(first + timedelta(days=7 * n), datetime.min.time(), NEW_YORK).replace(
            hour=17
        )
        for n in range(weeks)
    ]
    return [
        begin.astimezone(UTC) + timedelta(hours=hour) for begin in begins for hour in range(120)
    ]


@pytest.mark.parametrize(
    ("clock", "zone"),
    [("Etc/GMT+5", "Etc/GMT+5"), ("America/New_York", "America/New_York"), ("UTC", None)],
)
def test_a_clock_without_daylight_saving_is_told_from_new_yorks(tmp_path, clock, zone):
    """HistData's, over the weeks around a change of clocks: an hour of each summer's bar is at
    stake.
    """
    starts = week_of_currencies(date(2024, 2, 25), 4)
    assert {start.astimezone(NEW_YORK).utcoffset() for start in starts} == {
        timedelta(hours=-5), timedelta(hours=-4)
    }  # fmt: skip
    rows = [
        f"{start.astimezone(ZoneInfo(clock)):%Y%m%d %H%M%S};1.1;1.2;1.0;1.1;0" for start in starts
    ]
    (tmp_path / "DAT_ASCII_EURUSD_M1_2024.csv").write_text("\n".join(rows))
    written = init(tmp_path, tmp_path / "mine.toml")
    assert tomllib.loads(written.file.read_text())["market"]["files"].get("timezone") == zone
    assert judged(written.file).lake.read("bars")["timestamp"].to_list() == starts


def test_fillers_of_weekends_make_no_market_that_never_closes(tmp_path):
    """Dukascopy writes every hour of the week, those of weekends at the last price."""
    starts = set(week_of_currencies(date(2024, 3, 3), 3))
    first, last = min(starts), max(starts)
    hours = [first + timedelta(hours=n) for n in range((last - first) // timedelta(hours=1) + 1)]
    rows = [
        f"{at:%d.%m.%Y %H:%M:%S}.000,1.1,{1.2 if at in starts else 1.1},1.1,1.1,"
        f"{150.5 if at in starts else 0}"
        for at in hours
    ]
    name = "EURUSD_Candlestick_1_Hour_BID_03.03.2024-22.03.2024.csv"
    (tmp_path / name).write_text("\n".join(["Gmt time,Open,High,Low,Close,Volume", *rows]))
    written = init(tmp_path, tmp_path / "mine.toml")
    pipeline = judged(written.file)
    assert pipeline.settings.market.calendar == "FX"
    assert pipeline.lake.read("bars")["timestamp"].to_list() == sorted(starts)
    refused = pipeline.lake.read("quarantine")["rule"].value_counts().rows()
    assert refused == [("closed_market_filler", len(hours) - len(starts))]
    assert data_checks.bars_are_sound(pipeline, pipeline.trading_periods()).is_empty()


@pytest.mark.parametrize(("volume", "sound"), [(0, False), (5, True)])
def test_bars_of_one_price_on_another_clock_are_no_fillers_where_none_has_a_volume(
    tmp_path, volume, sound
):
    """Half of such a day lies outside the sessions: fixings, of which it is not to be passed
    over.
    """
    days = sessions("XNYS", date(2024, 1, 3), 6)
    clock = [f"{at // 2:02}:{at % 2 * 30:02}" for at in (*range(6, 16), *range(30, 40))]
    rows = [f"{day}T{at}:00Z" for day in days for at in clock]
    lines = [f"{at},1,1,1,1,{volume if at[11:13] > '14' else 0}" for at in rows]
    (tmp_path / "bars").mkdir()
    (tmp_path / "bars" / "ABC.csv").write_text(
        "\n".join(["time,open,high,low,close,volume", *lines])
    )
    file = init(tmp_path / "bars", tmp_path / "mine.toml", Known("30Min")).file
    pipeline = judged_in_new_york(file, file.read_text())
    assert pipeline.lake.read("quarantine")["rule"].unique().to_list() == ["closed_market_filler"]
    assert data_checks.bars_are_sound(pipeline, pipeline.trading_periods()).is_empty() == sound


def test_a_still_market_without_volumes_that_never_closes_has_no_fillers(tmp_path):
    rows = [
        f"USDTUSDC,{1704067200 + 3600 * hour},1,{2 if hour % 8 == 0 else 1},1,1,0"
        for hour in range(24 * 28)
    ]
    (tmp_path / "bars.csv").write_text("\n".join(["ticker,time,open,high,low,close,volume", *rows]))
    assert load_settings(init(tmp_path, tmp_path / "mine.toml").file, {}).market.calendar == "24/7"


@pytest.mark.parametrize("symbol", ["C:EURUSD", "FX:EURUSD", "OANDA:EUR_USD"])
def test_a_market_before_a_pair_hides_no_currency(tmp_path, symbol):
    """Hours of currencies fill the sessions of CME's futures to 95%, and go there to quarantine."""
    rows = [
        f"{symbol},{start:%Y-%m-%dT%H:%M:%SZ},1.1,1.2,1.0,1.1,10"
        for start in week_of_currencies(date(2024, 2, 25), 4)
    ]
    header = "ticker,time,open,high,low,close,volume"
    (tmp_path / "bars.csv").write_text("\n".join([header, *rows]))
    assert load_settings(init(tmp_path, tmp_path / "mine.toml").file, {}).market.calendar == "FX"


@pytest.mark.parametrize("symbol", ["X:BTCUSD", "BTC:USD"])
def test_coins_of_a_venue_are_coins(tmp_path, symbol):
    rows = [f"{symbol},{1704067200 + 3600 * hour},1,1,1,1,1" for hour in range(120)]
    (tmp_path / "bars.csv").write_text("\n".join(["ticker,time,open,high,low,close,volume", *rows]))
    assert load_settings(init(tmp_path, tmp_path / "mine.toml").file, {}).market.calendar == "24/7"


def test_stamps_that_call_new_yorks_clock_utc_are_told(tmp_path):
    """Half of such a day lies in London's session: no calendar fits, and the cure is named."""
    lines = [
        f"{day}T{9 + (30 + minute) // 60:02}:{(30 + minute) % 60:02}:00Z"
        for day in sessions("XNYS", date(2024, 1, 3), 6)
        for minute in range(390)
    ]
    write(tmp_path / "bars" / "ABC.csv", lines)
    (said,) = (
        sentence
        for sentence in init(tmp_path / "bars", tmp_path / "mine.toml").sentences
        if "wall_clock" in sentence
    )
    assert 'market.calendar = "XNYS"' in said
    assert 'timezone = "America/New_York" and market.files.wall_clock = true' in said
    text = (tmp_path / "mine.toml").read_text().replace("[market.files]", (
        '[market.files]\ntimezone = "America/New_York"\nwall_clock = true'
    ))  # fmt: skip
    pipeline = judged_in_new_york(tmp_path / "mine.toml", text)
    assert pipeline.lake.read("bars")["session"].value_counts().rows() == [("regular", 6 * 390)]


def test_days_of_currencies_that_end_at_midnight_utc_are_told(tmp_path):
    days = [date(2024, 1, 1) + timedelta(days=n) for n in range(60)]
    write(tmp_path / "all" / "EURUSD.csv", [str(day) for day in days if day.weekday() != 5])
    write(tmp_path / "five" / "EURUSD.csv", [str(day) for day in days if day.weekday() < 5])
    told = {
        folder: " ".join(init(tmp_path / folder, tmp_path / f"{folder}.toml").sentences)
        for folder in ("all", "five")
    }
    assert "% of the bars are on Sundays, so these days end at midnight UTC" in told["all"]
    assert "Sundays" not in told["five"]
