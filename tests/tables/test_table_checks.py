"""The declaration of a table as pandera knows it: what may stand in a lake, and the rows that may
not.
"""

from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl
import pytest

from harmony_pipeline.schemas import BARS, QUARANTINE, RAW_BARS, TABLES, Column, Table
from harmony_pipeline.stages import data_checks, ingest, market
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.table_checks import broken_rows
from harmony_pipeline.testing.tiny import tiny_market

START = datetime(2024, 1, 2, 14, 30, tzinfo=UTC)


def bars(*changes: dict[str, Any]) -> pl.DataFrame:
    """One sound bar a change, a minute apart, with that change."""
    sound = {
        "symbol": "AAA", "timeframe": "1Min", "session": "regular", "open": 10.0, "high": 11.0,
        "low": 9.0, "close": 10.0,
        "volume": 5.0, "trade_count": None, "vwap": None, "adjustment_factor": 1.0,
    }  # fmt: skip
    rows = [
        sound | {"timestamp": START + timedelta(minutes=at)} | change
        for at, change in enumerate(changes)
    ]
    return pl.DataFrame(rows, schema=BARS.dtypes)


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> PipelineContext:
    pipeline = tiny_market(tmp_path_factory.mktemp("declared"), end=date(2024, 2, 1))
    periods = pipeline.trading_periods()
    ingest.raw_bars(pipeline, periods)
    market.corporate_actions(pipeline)
    market.universe(pipeline)
    market.bars(pipeline, periods)
    market.daily_summary(pipeline, periods)
    return pipeline


def test_sound_bars_break_nothing() -> None:
    assert broken_rows(BARS, bars({}, {}, {})).is_empty()
    assert broken_rows(BARS, BARS.empty()).is_empty()


@pytest.mark.parametrize(
    ("change", "check", "column"),
    [
        ({"open": -1.0, "low": -1.0}, "is above 0", "open"),
        ({"volume": -1.0}, "is at least 0", "volume"),
        ({"session": "lunch"}, "is one of pre, regular, post", "session"),
        ({"close": None}, "not_nullable", "close"),
        ({"high": 9.5}, "high >= open and high >= close", None),
        ({"low": 10.5}, "low <= open and low <= close", None),
        ({"adjustment_factor": 0.0}, "is above 0", "adjustment_factor"),
        ({"timestamp": START}, "key (symbol, timestamp) is unique and in order", None),
        ({"timestamp": START - timedelta(days=1)}, "key (symbol, timestamp) is unique and in order", None),
        ({"symbol": "AA"}, "key (symbol, timestamp) is unique and in order", None),
    ],
)  # fmt: skip
def test_a_planted_fault_is_found_in_its_row(
    change: dict[str, Any], check: str, column: str | None
) -> None:
    broken = broken_rows(BARS, bars({}, change, {"symbol": "BBB"}))
    assert (check, column, 1) in broken.select("check", "column", "row").rows()


def test_of_many_failing_rows_the_first_twenty_are_told() -> None:
    broken = broken_rows(BARS, bars(*({"volume": -1.0} for _ in range(50))))
    assert broken["row"].to_list() == list(range(20))


def test_a_wrong_type_and_a_missing_column_are_found_together() -> None:
    broken = broken_rows(
        BARS, bars({}).with_columns(pl.col("volume").cast(pl.Int64)).drop("session")
    )
    assert {"volume", "session"} <= {*broken["column"], *broken["found"]}


def test_copies_may_stand_where_the_key_only_orders() -> None:
    columns = {"name": Column(pl.String(), nullable=True), "number": Column(pl.Int64())}
    table = Table("any", "", "none", ("name", "number"), columns, unique_key=False)
    frame = pl.DataFrame(
        {"name": [None, None, "a", "a"], "number": [1, 1, 0, 0]}, schema=table.dtypes
    )
    assert broken_rows(table, frame).is_empty()
    assert broken_rows(table, frame.reverse())["row"].to_list() == [2]
    assert not QUARANTINE.unique_key
    assert not RAW_BARS.unique_key


def test_every_table_of_a_small_chain_is_as_declared(tiny: PipelineContext) -> None:
    written = [name for name in TABLES if tiny.lake.partitions(name)]
    assert {
        "raw_bars",
        "bars",
        "bar_state",
        "corporate_actions",
        "universe",
        "daily_summary",
    } <= set(written)
    for name in TABLES:
        for key in tiny.lake.partitions(name):
            assert broken_rows(tiny.lake.tables[name], tiny.lake.read(name, [key])).is_empty(), name


def test_the_blocking_check_passes_sound_bars_and_names_a_broken_one(tiny: PipelineContext) -> None:
    periods = tiny.trading_periods()
    assert data_checks.bars_are_sound(tiny, periods).is_empty()
    rows = tiny.lake.read("bars", [periods[0].key])
    spoiled = rows.with_columns(
        high=pl.when(pl.int_range(pl.len()) == 7).then(pl.col("low") / 2).otherwise("high")
    )
    tiny.lake.write("bars", periods[0].key, spoiled)
    found = data_checks.bars_are_sound(tiny, periods)
    tiny.lake.write("bars", periods[0].key, rows)
    assert found.select("symbol", "timestamp").unique().rows() == [
        rows.select("symbol", "timestamp").row(7)
    ]
    assert any("expected high >= open and high >= close" in text for text in found["finding"])


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("column", ["open", "volume", "adjustment_factor"])
def test_what_is_no_finite_number_breaks_a_limit(column: str, value: float) -> None:
    broken = broken_rows(BARS, bars({}, {column: value}))
    assert (column, 1) in broken.select("column", "row").rows()


def test_a_limit_of_a_nullable_number_passes_nothing_and_refuses_nan() -> None:
    columns = {"name": Column(pl.String()), "size": Column(pl.Float64(), nullable=True, above=0.0)}
    table = Table("any", "", "none", ("name",), columns)
    sizes = [None, 1.0, float("nan"), float("-inf"), float("inf")]
    frame = pl.DataFrame({"name": list("abcde"), "size": sizes}, schema=table.dtypes)
    assert broken_rows(table, frame)["row"].to_list() == [2, 3, 4]


def test_no_whole_number_is_made_of_a_fraction() -> None:
    table = Table("any", "", "none", ("count",), {"count": Column(pl.Int64(), nullable=True)})
    counts = pl.DataFrame({"count": [1.0, None, 3.0]})
    assert table.conform(counts)["count"].to_list() == [None, 1, 3]
    with pytest.raises(ValueError, match=r"table any: count is 1\.9, expected a whole number"):
        table.conform(pl.DataFrame({"count": [1.0, 1.9]}))


def test_every_number_of_a_limit_is_checked_to_be_finite() -> None:
    limited = [
        (table.name, name)
        for table in TABLES.values()
        for name, column in table.columns.items()
        if (column.above is not None or column.at_least is not None) and column.dtype.is_float()
    ]
    assert ("bars", "close") in limited
    for name, column in limited:
        schema = {column: pl.Float64()}
        alone = Table(name, "", "none", (), {column: TABLES[name].columns[column]})
        frame = pl.DataFrame({column: [float("nan")]}, schema=schema)
        assert broken_rows(alone, frame).height, (name, column)
