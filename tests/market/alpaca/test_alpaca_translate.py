"""Alpaca's JSON into Harmony's columns, against files that were written by hand and reviewed:
`golden/NAME.json` is what came, `golden/NAME.csv` what it means.
"""

import json
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import msgpack
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.sources.alpaca import translate
from harmony_pipeline.market.sources.base import (
    SOURCE_BAR_DTYPES,
    SOURCE_QUOTE_DTYPES,
    SOURCE_TRADE_DTYPES,
)
from harmony_pipeline.schemas import CORPORATE_ACTIONS

GOLDEN = Path(__file__).parent / "golden"
CASES: dict[str, tuple[Callable[[Any], pl.DataFrame], dict[str, Any]]] = {
    "bars_minute": (
        lambda pages: translate.bars_of_pages(pages, "1Min", "iex raw"),
        SOURCE_BAR_DTYPES,
    ),
    "bars_daily": (
        lambda pages: translate.bars_of_pages(pages, "1Day", "iex raw"),
        SOURCE_BAR_DTYPES,
    ),
    "quotes": (
        lambda pages: translate.quotes_of_pages(pages, 100.0, "iex raw"),
        SOURCE_QUOTE_DTYPES,
    ),
    "trades": (lambda pages: translate.trades_of_pages(pages, "iex raw"), SOURCE_TRADE_DTYPES),
    "actions": (
        lambda pages: translate.corporate_actions_of_pages(
            pages, date(2023, 12, 1), date(2024, 7, 1)
        ),
        CORPORATE_ACTIONS.dtypes,
    ),
}


def pages(name: str) -> Any:
    return json.loads((GOLDEN / f"{name}.json").read_text())


def expected(name: str, dtypes: dict[str, Any]) -> pl.DataFrame:
    text = pl.read_csv(GOLDEN / f"{name}.csv", infer_schema=False)
    stamps = (
        [pl.col("timestamp").str.to_datetime("%+", time_unit="us", time_zone="UTC")]
        if "timestamp" in dtypes
        else []
    )
    flags = [pl.col("suspicious") == "true"] if "suspicious" in dtypes else []
    dates = [pl.col("date").str.to_date()] if "date" in dtypes else []
    return text.with_columns(*stamps, *flags, *dates).select(
        pl.col(name).cast(dtype) for name, dtype in dtypes.items()
    )


@pytest.mark.parametrize("name", CASES)
def test_what_came_means_what_the_reviewed_file_says(name):
    translated, dtypes = CASES[name]
    assert_frame_equal(
        translated(pages(name)), expected(name, dtypes), check_exact=name != "actions"
    )


@pytest.mark.parametrize("name", CASES)
def test_no_pages_are_an_empty_table_of_the_right_shape(name):
    translated, dtypes = CASES[name]
    empty = translated(
        [{}, {"bars": None, "quotes": {}, "trades": {"AAPL": []}, "corporate_actions": {}}]
    )
    assert empty.height == 0
    assert dict(empty.schema) == dtypes


@pytest.mark.parametrize("size", ["bars_daily"])
def test_alpacas_own_models_read_the_same_numbers(size):
    from alpaca.data.models import BarSet

    theirs = BarSet(pages(size)[0]["bars"]).data["IBM"]
    ours = CASES[size][0](pages(size))
    names = ("open", "high", "low", "close", "volume", "trade_count", "vwap")
    assert [[getattr(bar, name) for name in names] for bar in theirs] == [
        list(row) for row in ours.select(names).iter_rows()
    ]


def test_a_row_without_a_readable_time_is_refused_by_name():
    with pytest.raises(DataError, match="AAPL at the time 'yesterday'"):
        translate.bars_of_pages(
            [{"bars": {"AAPL": [{"t": "yesterday", "o": 1, "h": 1, "l": 1, "c": 1, "v": 1}]}}],
            "1Min",
            "iex raw",
        )


@given(st.datetimes(datetime(2001, 1, 1), datetime(2099, 1, 1)), st.integers(0, 999))  # noqa: DTZ001
def test_times_are_cut_to_microseconds_and_never_rounded(moment, nanos):
    text = f"{moment:%Y-%m-%dT%H:%M:%S}.{moment.microsecond:06d}{nanos:03d}Z"
    assert translate.instant(text) == moment.replace(tzinfo=UTC)


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 5)), max_size=30))
def test_ticks_are_numbered_within_their_microsecond_however_pages_are_cut(ticks):
    rows = [
        {
            "t": f"2024-01-02T15:00:00.00000{micro}{nano:03d}Z",
            "p": float(at),
            "s": 1,
            "x": "V",
            "i": at,
        }
        for at, (micro, nano) in enumerate(sorted(ticks))
    ]
    whole = translate.trades_of_pages([{"trades": {"AAPL": rows}}], "iex raw")
    assert not whole.select("symbol", "timestamp", "row").is_duplicated().any()
    assert whole["price"].to_list() == sorted(whole["price"].to_list())
    for cut in range(0, len(rows), 7):
        assert_frame_equal(
            translate.trades_of_pages(
                [{"trades": {"AAPL": rows[:cut]}}, {"trades": {"AAPL": rows[cut:]}}], "iex raw"
            ),
            whole,
        )


def test_stream_messages_are_the_bars_of_the_page():
    rows = pages("bars_minute")[0]["bars"]["AAPL"]
    messages = [
        {
            "T": "b",
            "S": "AAPL",
            **row,
            "t": msgpack.Timestamp.from_datetime(datetime.fromisoformat(row["t"])),
        }
        for row in rows
    ]
    assert_frame_equal(
        translate.bars_of_messages(messages, "iex raw"),
        expected("bars_minute", SOURCE_BAR_DTYPES).head(2),
        check_exact=True,
    )


def test_an_odd_message_of_the_stream_says_what_is_wrong_with_it():
    stamp = msgpack.Timestamp.from_datetime(datetime(2024, 1, 2, 15, 0, tzinfo=UTC))
    bars = translate.bars_of_messages(
        [
            {
                "T": "b",
                "S": "AAPL",
                "t": stamp,
                "o": "x",
                "h": 1.5,
                "l": 1.0,
                "c": 1.25,
                "v": 3,
                "n": 1,
                "vw": 1.2,
            }
        ],
        "iex raw",
    )
    assert bars["defect"].to_list() == ["open is 'x', expected a number"]


def test_who_is_gone_is_dated_by_what_ended_it_or_by_the_day_it_was_seen():
    assets = [
        {"symbol": "LIVE", "status": "active"},
        {"symbol": "OLD", "status": "inactive"},
        {"symbol": "MERGED", "status": "inactive"},
        {"symbol": "AGAIN", "status": "inactive"},
        {"symbol": "AGAIN", "status": "active"},
    ]
    answer = {
        "corporate_actions": {
            "cash_mergers": [
                {
                    "acquiree_symbol": "MERGED",
                    "effective_date": "2024-02-01",
                    "process_date": "2024-02-02",
                }
            ],
            "name_changes": [
                {"old_symbol": "AGAIN", "new_symbol": "OTHER", "process_date": "2023-02-02"}
            ],
            "worthless_removals": [{"symbol": "OLD", "process_date": "2025-01-01"}],
        }
    }
    today = date(2024, 3, 1)
    universe = translate.universe_of_assets(
        assets, translate.endings_of_pages([answer], today), today, date(2024, 3, 4)
    )
    assert dict(universe.select("symbol", "delisted").iter_rows()) == {
        "AGAIN": None,
        "LIVE": None,
        "MERGED": date(2024, 2, 1),
        "OLD": today,
    }
    assert universe["date"].unique().to_list() == [date(2024, 3, 4)]
