"""Headlines from files as suppliers write them: what is read, refused, merged, and when it counts as
known.
"""

import gzip
import json
from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.news.files import read_news_files
from harmony_pipeline.market.news.judging import judge_news
from harmony_pipeline.market.news.settings import NewsSettings, SimulatedNewsSettings
from harmony_pipeline.market.news.simulated import simulated_news
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.sources.simulated import SimulatedSource
from harmony_pipeline.models.headlines import headline_outcomes, words_of
from harmony_pipeline.schemas import NEWS

NOW = datetime(2024, 6, 1, 12, tzinfo=UTC)
AT = datetime(2024, 3, 5, 14, 30, tzinfo=UTC)


def settings_of(**chosen):
    return NewsSettings(source="files", paths=("news",), **chosen)


def read(tmp_path, name, content, **chosen):
    folder = tmp_path / "news"
    folder.mkdir(exist_ok=True)
    data = content if isinstance(content, bytes) else content.encode()
    (folder / name).write_bytes(data)
    return read_news_files(settings_of(**chosen), tmp_path).rows


def judged(rows, known=None, now=NOW, **chosen):
    return judge_news(rows, NEWS.empty() if known is None else known, settings_of(**chosen), now)


CSV = "symbol,published_at,headline\nAAPL,2024-03-05T14:30:00Z,Apple beats estimates\n"
ALPACA = {
    "news": [
        {
            "id": 1,
            "headline": "Apple beats estimates",
            "created_at": "2024-03-05T14:30:00Z",
            "symbols": ["AAPL", "MSFT"],
        }
    ],
    "next_page_token": None,
}


@pytest.mark.parametrize(
    ("name", "content", "symbols"),
    [
        ("plain.csv", CSV, ["AAPL"]),
        ("named_otherwise.dat", CSV.replace(",", ";"), ["AAPL"]),
        ("packed.csv.gz", gzip.compress(CSV.encode()), ["AAPL"]),
        ("reply.json", json.dumps(ALPACA), ["AAPL", "MSFT"]),
        ("lines.jsonl", json.dumps(ALPACA["news"][0]) + "\n", ["AAPL", "MSFT"]),
        ("list.json", json.dumps(ALPACA["news"], indent=1), ["AAPL", "MSFT"]),
        (
            "polygon.csv",
            "published_utc,title,tickers\n2024-03-05T14:30:00Z,Apple beats estimates,\"['AAPL', 'MSFT']\"\n",
            ["AAPL", "MSFT"],
        ),
        (
            "epochs.tsv",
            "datetime\tticker\theadline\n1709649000\tAAPL\tApple beats estimates\n",
            ["AAPL"],
        ),
    ],
)
def test_a_file_is_known_by_what_is_in_it(tmp_path, name, content, symbols):
    rows = read(tmp_path, name, content)
    assert rows["symbol"].to_list() == symbols
    assert rows["published_at"].to_list() == [AT] * len(symbols)
    assert set(rows["headline"]) == {"Apple beats estimates"}
    kept = judged(rows).kept
    assert kept["known_at"].to_list() == [AT + timedelta(seconds=60)] * len(symbols)


def test_parquet_is_read_with_its_types(tmp_path):
    (tmp_path / "news").mkdir()
    pl.DataFrame(
        {"tickers": [["AAPL", "MSFT"]], "published": [AT], "title": ["Apple  beats\nestimates"]}
    ).write_parquet(tmp_path / "news" / "part.bin")
    rows = read_news_files(settings_of(), tmp_path).rows
    assert rows["symbol"].to_list() == ["AAPL", "MSFT"]
    assert rows["headline"][0] == "Apple beats estimates"


def test_bad_rows_go_to_quarantine_with_a_reason_and_cost_no_other(tmp_path):
    rows = pl.concat(
        [
            read(
                tmp_path,
                "bad.csv",
                "symbol,published_at,headline,received_at\n"
                "AAPL,2024-03-05T14:30:00Z,Good one,\n"
                "AAPL,soon,No time,\n"
                ",2024-03-05T14:30:00Z,Whose is it,\n"
                "AAPL,2024-03-05T14:30:00Z,  ,\n"
                "AAPL,2030-03-05T14:30:00Z,From the future,\n"
                "AAPL,2024-03-05T14:30:00Z,Early bird,2024-03-05T14:29:59Z\n"
                "AAPL,2024-03-05T14:30:00Z,Bent,line,with,more,fields\n"
                f"AAPL,2024-03-05T14:30:00Z,{'long ' * 300},\n"
                "AAPL,2024-03-05T14:30:00Z,Received when,at noon\n",
            ),
        ]
    )
    found = judged(rows)
    assert found.kept["headline"].to_list() == ["Good one"]
    by_row = dict(found.refused.select("row", "rule").iter_rows())
    assert by_row == {
        3: "unreadable_row", 4: "no_symbol", 5: "no_headline", 6: "published_in_future",
        7: "received_before_published", 8: "unreadable_row", 9: "not_a_headline",
        10: "unreadable_row",
    }  # fmt: skip
    reasons = dict(found.refused.select("row", "reason").iter_rows())
    assert "'soon'" in reasons[3]
    assert all(reasons.values())
    assert set(found.refused["origin"]) == {"news/bad.csv"}


def test_a_line_that_is_no_json_costs_itself_alone(tmp_path):
    good = json.dumps({"symbol": "AAPL", "time": "2024-03-05T14:30:00Z", "title": "Good"})
    found = judged(read(tmp_path, "lines.jsonl", f"{good}\n{{broken\n[1]\n{good[:-1]}\n"))
    assert found.kept["headline"].to_list() == ["Good"]
    assert found.refused["row"].to_list() == [2, 3, 4]
    assert "no JSON object" in found.refused["reason"][0]


def news_rows(*rows, **more):
    frame = pl.DataFrame(
        rows, schema=("symbol", "published_at", "headline"), orient="row"
    ).with_columns(
        published_date=pl.lit(value=False), received_at=pl.lit(None, NEWS.dtypes["known_at"]),
        source=pl.lit("files"), origin=pl.lit("a.csv"), row=pl.int_range(1, pl.len() + 1),
        defect=pl.lit(None, pl.String),
    )  # fmt: skip
    return frame.with_columns(**more)


def test_repeats_are_merged_and_a_story_that_comes_back_later_counts_again():
    rows = news_rows(
        ("AAPL", AT, "Apple beats estimates"),
        ("AAPL", AT, "Apple beats estimates"),
        ("AAPL", AT + timedelta(hours=2), "APPLE beats estimates"),
        ("MSFT", AT, "Apple beats estimates"),
        ("AAPL", AT + timedelta(days=60), "Apple beats estimates"),
    )
    found = judged(rows)
    assert found.kept.select("symbol", "published_at").rows() == [
        ("AAPL", AT),
        ("AAPL", AT + timedelta(days=60)),
        ("MSFT", AT),
    ]
    assert (found.new, found.repeated) == (3, 2)


def test_what_the_lake_knew_stays_as_it_was_first_known():
    first = judged(news_rows(("AAPL", AT, "Apple beats estimates"))).kept
    again = judged(
        news_rows(("AAPL", AT, "Apple beats estimates"), ("AAPL", AT, "Apple names director")),
        first,
        NOW + timedelta(days=3),
    )
    kept = again.kept.filter(headline="Apple beats estimates")
    assert kept.equals(first)
    assert again.new == 1
    # nothing that was heard is forgotten when its file is gone
    assert judged(news_rows(("MSFT", AT, "Another")).clear(), first).kept.equals(first)


def test_a_headline_that_comes_late_is_known_when_it_came():
    first = judged(news_rows(("AAPL", AT, "Old news"))).kept
    published, later = NOW + timedelta(days=1), NOW + timedelta(days=2)
    rows = news_rows(
        ("AAPL", published, "Came late"),
        ("AAPL", AT - timedelta(days=9), "History that was added"),
        ("AAPL", published, "Received in time"),
    ).with_columns(
        received_at=pl.when(pl.col("headline") == "Received in time").then(
            pl.lit(published + timedelta(seconds=2), NEWS.dtypes["known_at"])
        )
    )
    found = judged(rows, first, later)
    known = dict(found.kept.select("headline", "known_at").iter_rows())
    assert known["Came late"] == later
    assert known["History that was added"] == AT - timedelta(days=9) + timedelta(seconds=60)
    assert known["Received in time"] == published + timedelta(seconds=2)
    assert found.late == 1


def test_dates_without_a_time_are_known_at_the_end_of_their_day(tmp_path):
    text = "symbol,date,headline\n" + "".join(
        f"AAPL,2024-03-0{day},Story {word}\n"
        for day, word in ((4, "one"), (5, "two"), (6, "three"))
    )
    folder = tmp_path / "news"
    folder.mkdir()
    (folder / "dates.csv").write_text(text)
    files = read_news_files(settings_of(), tmp_path)
    assert "dates without a time" in files.notes[0]
    kept = judged(files.rows).kept
    assert kept["known_at"].to_list() == [datetime(2024, 3, day, tzinfo=UTC) for day in (5, 6, 7)]


def test_a_date_among_times_is_known_at_the_end_of_its_day_and_midnight_is_a_time(tmp_path):
    text = (
        "symbol,published,headline\nAAPL,2024-03-05,A date\nAAPL,2024-03-05T00:00:00Z,Midnight\n"
        "AAPL,2024-03-05T14:30:00Z,Noon\n"
    )
    kept = judged(read(tmp_path, "a.csv", text)).kept
    known = dict(kept.select("headline", "known_at").iter_rows())
    assert known["A date"] == datetime(2024, 3, 6, tzinfo=UTC)
    assert known["Midnight"] == datetime(2024, 3, 5, 0, 1, tzinfo=UTC)


def test_stamps_without_an_offset_are_in_the_zone_of_the_settings(tmp_path):
    text = "symbol,time,headline\nAAPL,2024-03-05 09:30:00,Opening\n"
    rows = read(tmp_path, "a.csv", text, timezone="America/New_York")
    assert rows["published_at"].to_list() == [AT]


@pytest.mark.parametrize("zone", ["Mars/Olympus", "", "America", "../UTC"])
def test_what_is_no_time_zone_is_refused_by_the_settings(zone):
    with pytest.raises(ValueError, match="is no time zone"):
        settings_of(timezone=zone)


@pytest.mark.parametrize(
    ("content", "chosen", "error", "said"),
    [
        ("symbol,when_it_was,headline\nA,1,x\n", {}, DataError, r"\[news.columns\].*published_at"),
        (CSV, {"columns": {"ticker": "x"}}, ConfigError, r"\[news.columns\] names 'ticker'"),
        ("PAR1 and no more", {}, DataError, "not a whole Parquet file"),
        ("<html>no</html>", {}, DataError, "web page"),
    ],
)
def test_a_file_that_cannot_be_read_is_named_in_one_line(tmp_path, content, chosen, error, said):
    with pytest.raises(error, match=said) as refusal:
        read(tmp_path, "a.csv", content, **chosen)
    assert "\n" not in str(refusal.value)


def test_paths_that_lead_nowhere_are_refused(tmp_path):
    with pytest.raises(ConfigError, match=r"news\.paths is empty"):
        read_news_files(NewsSettings(source="files"), tmp_path)
    with pytest.raises(DataError, match="leads to no file"):
        read_news_files(NewsSettings(source="files", paths=("nowhere/*.csv",)), tmp_path)
    (tmp_path / "news").mkdir()
    empty = read_news_files(settings_of(), tmp_path)
    assert empty.rows.is_empty()
    assert "has no file yet" in empty.notes[0]


# --- words and outcomes ---------------------------------------------------------------------------


def test_words_are_single_and_in_pairs_without_the_symbol():
    assert words_of("AAPL", "AAPL raises FY24 guidance, AAPL up 5%") == (
        "5%", "fy", "fy guidance", "guidance", "guidance up", "raises", "raises fy", "up", "up 5%",
    )  # fmt: skip


def test_an_outcome_begins_with_the_first_bar_that_could_be_bought_and_ends_with_its_last():
    xnys = Calendar.of("XNYS")
    stamps = [
        datetime(2024, 3, 5, 14, 30, tzinfo=UTC) + timedelta(minutes=30 * i) for i in range(5)
    ]
    bars = pl.DataFrame(
        {
            "symbol": ["A"] * 5, "timestamp": pl.Series(stamps, dtype=NEWS.dtypes["known_at"]),
            "session": ["regular"] * 5, "open": [10.0, 11.0, 12.0, 13.0, 14.0],
            "close": [10.5, 11.5, 12.5, 13.5, 14.5], "adjustment_factor": [1.0, 1.0, 1.0, 2.0, 2.0],
        }
    )  # fmt: skip
    news = pl.DataFrame(
        {
            "symbol": ["A", "A", "A", "B"],
            "known_at": pl.Series(
                [stamps[1], stamps[1] + timedelta(seconds=1), stamps[4], stamps[0]],
                dtype=NEWS.dtypes["known_at"],
            ),
            "headline": ["at the open", "just after it", "too near the end", "no bars"],
        }
    )
    found = headline_outcomes(news, bars, xnys, "30Min", 2)
    assert found["headline"].to_list() == news["headline"].to_list()
    ratios = found["outcome"].exp()
    assert ratios[0] == pytest.approx(12.5 / 11.0)
    assert ratios[1] == pytest.approx(2.0 * 13.5 / 12.0)
    assert found["outcome"][2:].null_count() == 2
    assert found["settled_at"][0] == stamps[3]


@pytest.mark.parametrize(
    ("name", "content", "found"),
    [
        ("none.csv", "", "0 bytes"),
        ("blank.csv", "\n\n", "no headline"),
        ("header.csv", "symbol,published_at,headline\n", "no headline"),
        ("list.json", "[]", "no headline"),
        ("reply.json", '{"news": []}', "no headline"),
    ],
)
def test_an_empty_file_is_named_and_the_others_are_read(tmp_path, name, content, found):
    (tmp_path / name).write_text(content)
    (tmp_path / "whole.csv").write_text(
        "symbol,published_at,headline\nAAPL,2024-01-02T10:00:00Z,Apple beats estimates\n"
    )
    settings = NewsSettings(source="files", paths=("*",), timezone="UTC")
    read = read_news_files(settings, tmp_path)
    assert read.rows["headline"].to_list() == ["Apple beats estimates"]
    assert read.notes == [f"{name} is empty ({found}): fetch it again, or take it out"]


# --- the simulation -------------------------------------------------------------------------------


def simulated(informative, seed=7):
    market = MarketSettings(
        source="simulated", timeframe="1Hour", start=date(2023, 1, 3), end=date(2023, 7, 1),
        simulated={"symbols": 5, "low_float_symbols": 0, "seed": seed},
    )  # fmt: skip
    source, xnys = SimulatedSource(market.simulated, market), Calendar.of("XNYS")
    settings = NewsSettings(
        source="simulated",
        simulated=SimulatedNewsSettings(headlines_per_year=240.0, informative=informative),
    )

    def news(start, end):
        return simulated_news(source, xnys, market, settings, (start, end))

    return source, xnys, news


START, END = datetime(2023, 1, 3, tzinfo=UTC), datetime(2023, 6, 1, tzinfo=UTC)


def test_any_range_of_simulated_news_gives_the_rows_of_one_great_call():
    _source, _xnys, news = simulated(0.5)
    whole = news(START, END).drop("row")
    cut = datetime(2023, 3, 14, 17, 5, tzinfo=UTC)
    halves = pl.concat([news(START, cut), news(cut, END)]).drop("row")
    order = ("symbol", "published_at")
    assert halves.sort(order).equals(whole.sort(order))
    assert whole.height > 300


@pytest.mark.parametrize(("informative", "least", "most"), [(0.0, 0.42, 0.58), (1.0, 1.0, 1.0)])
def test_simulated_words_are_as_informative_as_they_are_told_to_be(informative, least, most):
    source, xnys, news = simulated(informative)
    rows = news(START, END)
    bars = xnys.with_session(source.bars(None, START, END, "1Hour"), "1Hour").with_columns(
        adjustment_factor=1.0
    )
    known = rows.with_columns(known_at=pl.col("published_at") + timedelta(seconds=60))
    found = headline_outcomes(known, bars, xnys, "1Hour", 6)
    good = pl.col("headline").str.contains("beats|raises|wins|upgraded|record|expands|settles")
    plain = pl.col("headline").str.contains("schedules|presents|names|opens|publishes")
    told = found.filter(~plain & pl.col("outcome").is_not_null())
    agree = told.select((good == (pl.col("outcome") > 0)).mean()).item()
    assert least <= agree <= most
