"""What files gave before and give no more leaves no bar behind: renamed, corrected and removed
files, another zone, mapping or symbol; the past still tells it.
"""

import shutil
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st
from market.raw_rows import bar, raw, utc

from harmony_pipeline.config import load_settings
from harmony_pipeline.lake import sql
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.market.ingest.versions import (
    KEY,
    VALUES,
    WITHDRAWN,
    Whole,
    latest_versions,
    merge_versions,
)
from harmony_pipeline.market.sources.replay import ReplaySource
from harmony_pipeline.schemas import RAW_BARS
from harmony_pipeline.stages import ingest, market
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.result import StageResult

HEADER = "timestamp,open,high,low,close,volume"
SETTINGS = """[paths]
lake = "lake"
state = "state"
[market]
source = "files"
timeframe = "1Hour"
start = 2024-01-02
end = 2024-03-01
[market.partitions]
trading_period = "month"
[market.files]
paths = ["bars"]
"""
DAY = [
    f"2024-01-03 {hour}:00:00,10,11,9,{10 + hour / 100},{1000 + hour}" for hour in (15, 16, 17, 18)
]


def written(folder: Path, files: dict[str, Sequence[str]], settings: str = "") -> Path:
    """The folder holds just these files of bars, and these settings under [market.files]."""
    bars = folder / "bars"
    shutil.rmtree(bars, ignore_errors=True)
    for name, rows in files.items():
        (bars / name).parent.mkdir(parents=True, exist_ok=True)
        (bars / name).write_text("\n".join([HEADER, *rows]) + "\n")
    (folder / "harmony.toml").write_text(SETTINGS + settings)
    return folder / "harmony.toml"


def ingested(
    folder: Path, files: dict[str, Sequence[str]], settings: str = "", periods: slice = slice(None)
) -> tuple[PipelineContext, StageResult, StageResult]:
    pipeline = PipelineContext(load_settings(written(folder, files, settings), {}))
    chosen = pipeline.trading_periods()[periods]
    told = ingest.raw_bars(pipeline, chosen)
    market.corporate_actions(pipeline)
    judged = market.bars(pipeline, chosen)
    raw_rows, kept, refused = (
        pipeline.lake.read(name).height for name in ("raw_bars", "bars", "quarantine")
    )
    assert raw_rows == kept + refused
    check = (sql.SQL_FOLDER / "checks" / "accounting_closes.sql").read_text()
    assert sql.query(pipeline.lake, check).is_empty()
    return pipeline, told, judged


def bars(lake: Lake) -> list[tuple[str, datetime, float]]:
    return lake.read("bars").select("symbol", "timestamp", "close").rows()


def rules(pipeline: PipelineContext) -> dict[str, int]:
    return dict(pipeline.lake.read("quarantine").group_by("rule").len().iter_rows())


def withdrawals(told: StageResult) -> list[str]:
    return [note for note in told.notes if "withdrawn" in note]


def test_a_row_read_in_utc_and_then_in_its_zone_is_one_bar(tmp_path):
    row = ["2024-01-03 10:00:00,10,11,9,10.5,1000"]
    pipeline, _, _ = ingested(tmp_path, {"ABC.csv": row})
    assert [stamp for _, stamp, _ in bars(pipeline.lake)] == [utc(2024, 1, 3, 10)]
    then = datetime.now(UTC)
    time.sleep(0.01)
    pipeline, told, _ = ingested(tmp_path, {"ABC.csv": row}, 'timezone = "America/New_York"\n')
    assert [stamp for _, stamp, _ in bars(pipeline.lake)] == [utc(2024, 1, 3, 15)]
    assert rules(pipeline) == {"withdrawn": 1, "superseded": 1}
    assert withdrawals(told) == [
        "1 row of ABC.csv is no longer there (the file, or how it is read, has changed): withdrawn"
    ]
    assert told.facts["rows withdrawn"] == 1
    past = Lake(pipeline.lake.root, as_of=then)
    assert [stamp for _, stamp, _ in bars(past)] == [utc(2024, 1, 3, 10)]
    assert past.read("raw_bars")["defect"].to_list() == [None]
    # The zone is taken back: the first bar again, and nothing that lingers.
    pipeline, told, _ = ingested(tmp_path, {"ABC.csv": row})
    assert [stamp for _, stamp, _ in bars(pipeline.lake)] == [utc(2024, 1, 3, 10)]
    assert told.facts["rows withdrawn"] == 1


def test_rows_taken_out_of_a_file_are_withdrawn_and_come_back_when_they_do(tmp_path):
    ingested(tmp_path, {"ABC.csv": DAY})
    pipeline, told, judged = ingested(tmp_path, {"ABC.csv": DAY[:1]})
    assert [stamp.hour for _, stamp, _ in bars(pipeline.lake)] == [15]
    assert withdrawals(told) == [
        (
            "3 rows of ABC.csv are no longer there (the file, or how it is read, has changed):"
            " withdrawn"
        )
    ]
    assert any("3 left" in note for note in judged.notes)
    reasons = pipeline.lake.read("quarantine").select("rule", "reason").rows()
    assert (
        "withdrawn",
        (
            "ABC.csv row 3: given before and given no more: the file, or how it is read, has"
            " changed; what it said stays in raw_bars"
        ),
    ) in reasons
    assert any(
        rule == "superseded" and "the source has no such row any more" in reason
        for rule, reason in reasons
    )
    pipeline, told, _ = ingested(tmp_path, {"ABC.csv": DAY})
    assert [stamp.hour for _, stamp, _ in bars(pipeline.lake)] == [15, 16, 17, 18]
    assert rules(pipeline) == {"superseded": 6}
    assert withdrawals(told) == []


@pytest.mark.parametrize(
    ("files", "settings"),
    [
        ({"2024/ABC.csv": DAY}, ""),  # a renamed file
        ({"ABC.csv": [*DAY, DAY[1]]}, ""),  # a row twice
        ({"ABC.csv": DAY[:2], "rest/ABC.csv": DAY[2:]}, ""),  # split over two
        ({"ABC.csv": DAY}, 'timezone = "Etc/UTC"\n'),  # another name of the same zone
    ],
)
def test_the_same_rows_under_another_name_change_no_bar(tmp_path, files, settings):
    before, _, _ = ingested(tmp_path, {"ABC.csv": DAY})
    held = before.lake.content_hashes("bars")
    pipeline, told, _ = ingested(tmp_path, files, settings)
    assert pipeline.lake.content_hashes("bars") == held
    assert (told.facts["rows withdrawn"], told.facts["new rows"]) == (0, 0)


def test_of_two_files_with_the_same_row_one_may_go(tmp_path):
    ingested(tmp_path, {"ABC.csv": DAY, "copy/ABC.csv": DAY})
    pipeline, told, _ = ingested(tmp_path, {"copy/ABC.csv": DAY})
    assert [stamp.hour for _, stamp, _ in bars(pipeline.lake)] == [15, 16, 17, 18]
    assert told.facts["rows withdrawn"] == 0


def test_a_removed_file_leaves_no_bar_and_a_renamed_symbol_moves(tmp_path):
    other = [row.replace(",10,", ",9.5,") for row in DAY]
    ingested(tmp_path, {"ABC.csv": DAY, "XYZ.csv": other})
    pipeline, told, _ = ingested(tmp_path, {"XYZ.csv": other})
    assert {symbol for symbol, _, _ in bars(pipeline.lake)} == {"XYZ"}
    assert withdrawals(told) == [
        (
            "4 rows of ABC.csv are no longer there (the file, or how it is read, has changed):"
            " withdrawn"
        )
    ]
    pipeline, told, _ = ingested(tmp_path, {"NEW.csv": other})
    assert {symbol for symbol, _, _ in bars(pipeline.lake)} == {"NEW"}


def test_another_column_is_read_as_the_close(tmp_path):
    header = HEADER.replace("volume", "volume,adjusted")
    rows = [f"{row},{9.5 + at / 10}" for at, row in enumerate(DAY)]
    (tmp_path / "bars").mkdir()
    for settings, closes in (
        ("", [10.15, 10.16, 10.17, 10.18]),
        ('columns = { close = "adjusted" }\n', [9.5, 9.6, 9.7, 9.8]),
    ):
        (tmp_path / "bars" / "ABC.csv").write_text("\n".join([header, *rows]) + "\n")
        (tmp_path / "harmony.toml").write_text(SETTINGS + settings)
        pipeline = PipelineContext(load_settings(tmp_path / "harmony.toml", {}))
        ingest.raw_bars(pipeline, pipeline.trading_periods())
        market.bars(pipeline, pipeline.trading_periods())
        assert [close for _, _, close in bars(pipeline.lake)] == closes


def test_a_contradiction_that_was_taken_out_counts_no_more(tmp_path):
    wrong = "2024-01-03 16:00:00,10,11,9,9.9,5000"
    pipeline, _, _ = ingested(tmp_path, {"ABC.csv": [*DAY, wrong]})
    assert rules(pipeline) == {"conflicting_duplicate": 1}
    pipeline, _, _ = ingested(tmp_path, {"ABC.csv": DAY})
    assert [close for _, _, close in bars(pipeline.lake)] == [10.15, 10.16, 10.17, 10.18]
    assert set(rules(pipeline)) == {"superseded"}


def test_a_row_that_could_not_be_read_and_was_mended_is_no_fault_any_more(tmp_path):
    pipeline, _, _ = ingested(
        tmp_path, {"ABC.csv": [DAY[0], "2024-13-45 99:00:00,10,11,9,10,1000", *DAY[2:]]}
    )
    assert rules(pipeline) == {"unreadable": 1}
    pipeline, _, _ = ingested(tmp_path, {"ABC.csv": DAY})
    assert len(bars(pipeline.lake)) == 4
    assert set(rules(pipeline)) == {"superseded"}


def test_only_the_periods_that_are_read_lose_rows_and_a_shorter_market_loses_none(tmp_path):
    february = [row.replace("2024-01-03", "2024-02-05") for row in DAY]
    ingested(tmp_path, {"ABC.csv": [*DAY, *february]})
    pipeline, told, _ = ingested(tmp_path, {"ABC.csv": [DAY[0], february[0]]}, periods=slice(1))
    assert told.facts["rows withdrawn"] == 3
    assert len(bars(pipeline.lake)) == 5
    shorter = SETTINGS.replace("end = 2024-03-01", "end = 2024-02-03")
    (tmp_path / "harmony.toml").write_text(shorter)
    pipeline = PipelineContext(load_settings(tmp_path / "harmony.toml", {}))
    told = ingest.raw_bars(pipeline, pipeline.trading_periods())
    assert told.facts["rows withdrawn"] == 0
    pipeline, told, _ = ingested(tmp_path, {"ABC.csv": [DAY[0], february[0]]})
    assert told.facts["rows withdrawn"] == 3
    assert len(bars(pipeline.lake)) == 2


def test_killed_between_two_periods_the_next_ingest_ends_the_same(tmp_path, monkeypatch):
    ingested(
        tmp_path,
        {"ABC.csv": ["2024-01-31 22:30:00,10,11,9,10,100", "2024-02-05 15:00:00,10,11,9,10,100"]},
    )
    pipeline = PipelineContext(
        load_settings(written(tmp_path, {"ABC.csv": ["2024-02-05 15:00:00,10,11,9,10,100"]}), {})
    )
    keep, calls = ingest.keep_versions, []

    def dying(*arguments: Any, **options: Any) -> Any:
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return keep(*arguments, **options)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(ingest, "keep_versions", dying)
        ingest.raw_bars(pipeline, pipeline.trading_periods())
    once = pipeline.lake.read("raw_bars").drop("ingested_at")
    told = ingest.raw_bars(pipeline, pipeline.trading_periods())
    assert told.facts["rows withdrawn"] == 0
    assert pipeline.lake.read("raw_bars").drop("ingested_at").equals(once)


def test_a_replay_of_the_lake_tells_no_withdrawn_row(tmp_path):
    ingested(tmp_path, {"ABC.csv": DAY})
    pipeline, _, _ = ingested(tmp_path, {"ABC.csv": DAY[2:]})
    told = ReplaySource(pipeline.lake, "1Hour").bars(
        None, utc(2024, 1, 1), utc(2024, 2, 1), "1Hour"
    )
    assert [stamp.hour for stamp in told["timestamp"]] == [17, 18]
    assert told["defect"].to_list() == [None, None]


def test_a_first_ingest_knows_nothing_before_and_names_a_symbol_without_rows(tmp_path):
    pipeline = PipelineContext(
        load_settings(
            written(tmp_path, {"ABC.csv": [*DAY, DAY[0]]}),
            {"HARMONY__MARKET__SYMBOLS": '["ABC", "abd"]'},
        )
    )
    told = ingest.raw_bars(pipeline, pipeline.trading_periods())
    assert (
        told.facts["rows received"],
        told.facts["new rows"],
        told.facts["rows given twice"],
        told.facts["rows known before"],
    ) == (5, 4, 1, 0)
    assert any(
        note.startswith(
            "market.symbols names abd, and the source has no row of it from 2024-01-01 to"
            " 2024-03-01"
        )
        for note in told.notes
    )


# --- laws -----------------------------------------------------------------------------------------

T0 = datetime(2024, 6, 4, tzinfo=UTC)
WHOLE = Whole("test", utc(2024, 6, 1), utc(2024, 6, 30))
facts = st.lists(
    st.tuples(
        st.sampled_from("AB"),
        st.integers(14, 17),
        st.sampled_from([10.0, 11.0, None]),
        st.sampled_from([100.0, 200.0]),
    ),
    max_size=8,
)


def said(rows: Sequence[tuple[str, int, float | None, float]]) -> pl.DataFrame:
    made = [
        bar(utc(2024, 6, 3, hour), 10.0, symbol, volume=volume, row=place)
        | ({"close": close} if close else {"close": None, "defect": "close is 'x'"})
        for place, (symbol, hour, close, volume) in enumerate(rows, 2)
    ]
    return (raw(*made) if made else RAW_BARS.empty()).drop("ingested_at")


@given(history=st.lists(facts, min_size=1, max_size=5))
@examples(max_examples=30)
def test_after_any_history_the_bars_are_those_that_the_source_gives_now(history):
    known = RAW_BARS.empty()
    for day, rows in enumerate(history):
        now = T0.replace(day=5 + day)
        merged = merge_versions(known, said(rows), now, WHOLE)
        assert merged.received == merged.new + merged.repeated + merged.heard
        grown = pl.concat([known, merged.rows])
        assert grown.filter(pl.col("ingested_at") < now).equals(known)
        again = merge_versions(grown, said(rows), now.replace(month=7), WHOLE)
        assert (again.rows.height, again.new, again.withdrawn) == (0, 0, {})
        known = grown
        last = latest_versions(known)
        given_now = {(symbol, utc(2024, 6, 3, hour)) for symbol, hour, _, _ in rows}
        assert (
            set(last.filter(pl.col("defect").ne_missing(WITHDRAWN)).select(KEY).rows()) == given_now
        )
        told = last.filter(pl.col("defect").ne_missing(WITHDRAWN)).select(*KEY, *VALUES)
        assert told.join(said(rows), on=[*KEY, *VALUES], how="anti", nulls_equal=True).is_empty()


def test_another_source_is_not_withdrawn_and_comes_back():
    stamp = utc(2024, 6, 3, 15)
    afar = raw(
        bar(stamp, 9.0, source="alpaca", origin=None, row=None, ingested_at=T0),
        bar(stamp.replace(hour=16), 9.0, source="alpaca", ingested_at=T0),
    )
    known = pl.concat(
        [
            afar,
            merge_versions(afar, said([("AAA", 15, 10.0, 100.0)]), T0.replace(day=5), WHOLE).rows,
        ]
    )
    assert latest_versions(known)["close"].to_list() == [10.0, 9.0]
    merged = merge_versions(known, said([]), T0.replace(day=6), WHOLE)
    assert merged.withdrawn == {"AAA.csv": 1}
    last = latest_versions(pl.concat([known, merged.rows]))
    assert last.select("close", "source").rows() == [(9.0, "alpaca"), (9.0, "alpaca")]


def hourly(starts: str, count: int) -> list[str]:
    """Rows of one winter day in New York, an hour each from `starts` on the exchange's clock."""
    first = datetime.fromisoformat(f"2024-01-03T{starts}:00-05:00").astimezone(UTC)
    return [
        f"{first + timedelta(hours=at):%Y-%m-%d %H:%M:%S},10,11,9,10.{at},1000"
        for at in range(count)
    ]


@pytest.mark.parametrize(
    ("before", "after"), [("09:00", "09:30"), ("09:30", "09:00"), ("09:30", "09:15")]
)
def test_when_all_rows_are_given_anew_on_another_grid_the_lake_goes_by_that_one(
    tmp_path, before, after
):
    ingested(tmp_path, {"ABC.csv": hourly(before, 7)})
    pipeline, told, _ = ingested(tmp_path, {"ABC.csv": hourly(after, 7)})
    fresh, _, _ = ingested(tmp_path / "fresh", {"ABC.csv": hourly(after, 7)})
    assert bars(pipeline.lake) == bars(fresh.lake) != []
    assert pipeline.calendar.grid == fresh.calendar.grid
    assert any("no longer on" in note for note in told.notes)
    _, told, _ = ingested(tmp_path, {"ABC.csv": hourly(after, 7)})
    assert not any("bars start on" in note for note in told.notes)
