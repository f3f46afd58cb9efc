from datetime import UTC, date, datetime

import polars as pl
import pytest
from lake.lake_rows import many_bars

from harmony_pipeline.errors import DataError
from harmony_pipeline.lake import sql
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.lake.views import documented_view
from harmony_pipeline.schemas import REAL, TABLES, TEXT, Column, Table, features_table

VIEWS = {path.stem: path for path in (sql.SQL_FOLDER / "views").glob("*.sql")}
CHECKS = sorted((sql.SQL_FOLDER / "checks").glob("*.sql"))
QUERIES = sorted((sql.SQL_FOLDER / "queries").glob("*.sql"))


@pytest.fixture(scope="module")
def empty(tmp_path_factory):
    return Lake(tmp_path_factory.mktemp("lake"), {"features": features_table(("rsi_14",))}).open()


def test_every_table_has_a_view_and_every_view_a_table():
    assert set(VIEWS) == set(TABLES)


@pytest.mark.parametrize("name", sorted(TABLES))
def test_a_view_of_an_empty_table_is_empty_and_has_every_column_and_type(empty, name):
    found = sql.query(empty, f"select * from {name}")
    assert found.is_empty()
    assert dict(found.drop("partition").schema) == empty.tables[name].dtypes


@pytest.mark.parametrize("name", sorted(TABLES))
def test_the_file_of_a_view_is_what_schemas_gives(name):
    assert VIEWS[name].read_text() == documented_view(TABLES[name]), (
        "write the files again with: make golden"
    )


def test_a_view_sorts_nothing_and_gives_its_rows_in_the_order_of_the_files(tmp_path):
    lake = Lake(tmp_path).open()
    for key in ("2024-02", "2024-01"):
        lake.write(
            "bars",
            key,
            many_bars(symbols=5, minutes=400).with_columns(
                pl.lit(key[-1]).cast(pl.Float64).alias("volume")
            ),
        )
    with sql.connect(lake, names={"bars"}) as connection:
        assert "ORDER_BY" not in connection.sql("explain select * from bars").fetchall()[0][1]
    rows = sql.query(lake, "from bars").drop("partition")
    assert rows.equals(lake.scan("bars").collect(engine="in-memory"))
    assert sql.query(lake, "from bars limit 5").drop("partition").equals(rows.head(5))


def test_a_table_of_the_user_has_a_view_and_a_past(tmp_path):
    mine = Table(
        "mine",
        "what a user keeps",
        "none",
        ("symbol",),
        {"symbol": Column(TEXT), "order": Column(REAL)},
    )
    lake = Lake(tmp_path, {"mine": mine}).open()
    written = lake.write("mine", "all", pl.DataFrame({"symbol": ["A"], "order": [1.0]}))
    assert sql.query(lake, "from mine").rows() == [("A", 1.0, "all")]
    assert sql.query(lake, "from mine_as_of(now())").height == written.rows == 1


@pytest.mark.parametrize("path", [*CHECKS, *QUERIES], ids=lambda path: path.stem)
def test_every_check_and_query_runs_on_an_empty_lake(empty, path):
    assert sql.query(empty, path.read_text()).is_empty()


def test_a_query_that_is_not_understood_is_explained_with_the_views_that_exist(empty):
    with pytest.raises(DataError, match=r"views: .*bars"):
        sql.query(empty, "select * from barz")


def test_an_unknown_named_query_lists_the_known_ones():
    with pytest.raises(DataError, match="gaps_by_symbol"):
        sql.named_query("nosuch")


def stamp(hour: int) -> datetime:
    return datetime(2024, 1, 2, hour, tzinfo=UTC)


PLANTED = {
    "accounting_closes": [("raw_bars", "2024", {"symbol": "A", "timeframe": "1Hour", "timestamp": stamp(15), "source": "files", "ingested_at": stamp(16), "origin": "a.csv", "row": 2}), ("bars", "2024", None)],
    "files_are_accounted_for": [
        ("file_accounts", "2024", [
            {"reading": "r", "origin": origin, "rows": 10, "first": stamp(14), "last": stamp(18),
            "received": received, "read_from": stamp(12), "read_to": stamp(20)}
            for origin, received in (("a.csv", 10), ("b.csv", 9))
        ])
    ],
    "labels_end_after_they_begin": [("labels", "2024", {"symbol": "A", "timestamp": stamp(15), "horizon": 4, "side": 1, "entry_timestamp": stamp(15)})],
    "predictions_are_out_of_sample": [("predictions", "2024", {"model_id": "m", "period": "2024", "horizon": 4, "symbol": "A", "timestamp": stamp(15), "probability": 0.5})],
    "selections_passed": [("scan_selections", "2024-01-02", {"date": date(2024, 1, 2), "as_of": stamp(14), "rank": 1, "symbol": "A", "score": 1.0})],
    "adjustment_moves_only_forward": [
        ("daily_summary", "2024", [
            {"symbol": "A", "date": date(2024, 1, day), "volume": 1.0, "bars": 1, "regular_bars": 1,
            "expected_regular_bars": 1, "last_timestamp": stamp(20),
             "adjustment_factor": factor, "premarket_volume": 0.0, "premarket_bars": 0,
             "scan_time": stamp(14), "postmarket_volume": 0.0}
            for day, factor in ((2, 1.0), (3, 2.0))
        ])
    ],
    "bars_lie_within_listings": [
        ("listings", "all", {"security_id": "A", "symbol": "A", "valid_from": date(2024, 1, 3), "reason": "listed", "source": "test", "known": date(2024, 1, 3)}),
        ("daily_summary", "2024", [
            {"symbol": symbol, "date": date(2024, 1, day), "volume": 1.0, "bars": 1,
            "regular_bars": 1, "expected_regular_bars": 1, "last_timestamp": stamp(20),
             "adjustment_factor": 1.0, "premarket_volume": 0.0, "premarket_bars": 0,
             "scan_time": stamp(14), "postmarket_volume": 0.0}
            for symbol in ("A", "UNLISTED") for day in (2, 3)
        ]),
    ],
}  # fmt: skip


@pytest.mark.parametrize("name", sorted(PLANTED))
def test_a_check_finds_the_planted_fault(tmp_path, name):
    lake = Lake(tmp_path).open()
    for table, partition, rows in PLANTED[name]:
        schema = lake.tables[table]
        frame = (
            schema.empty()
            if rows is None
            else pl.DataFrame(
                rows if isinstance(rows, list) else [rows], schema_overrides=schema.dtypes
            )
        )
        lake.write(table, partition, frame)
    if name == "accounting_closes":
        lake.write("quarantine", "2024", pl.concat([lake.tables["quarantine"].empty()]))
        lake.write(
            "bars",
            "2024",
            pl.DataFrame(
                [
                    {
                        "symbol": "A",
                        "timeframe": "1Hour",
                        "timestamp": stamp(h),
                        "session": "regular",
                        "open": 1.0,
                        "high": 1.0,
                        "low": 1.0,
                        "close": 1.0,
                        "volume": 1.0,
                        "adjustment_factor": 1.0,
                    }
                    for h in (15, 16)
                ]
            ),
        )
    assert sql.query(lake, (sql.SQL_FOLDER / "checks" / f"{name}.sql").read_text()).height
