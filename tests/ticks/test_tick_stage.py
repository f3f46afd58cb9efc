"""Days of ticks into the lake: the account of every row, ingesting again, files that overlap, other
symbols, the graph.
"""

from datetime import UTC, date, datetime, timedelta

import dagster as dg
import polars as pl
import pytest
from polars.testing import assert_frame_equal
from typer.testing import CliRunner

from assets.runner import Runner
from harmony_pipeline.cli import app
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.lake import sql
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.ticks import offered, quote_ticks, trade_ticks
from harmony_pipeline.testing.tiny import tiny_market, tiny_settings

TUESDAY, FRIDAY = date(2024, 1, 2), date(2024, 1, 5)
NOON = datetime(2024, 1, 2, 17, tzinfo=UTC)
CHECKS = ("quote_accounting_closes", "trade_accounting_closes", "accounting_closes")


def write(folder, name, *rows, header="timestamp,symbol,price,size"):
    (folder / name).write_text(
        "\n".join([header, *(",".join(map(str, row)) for row in rows)]) + "\n"
    )


def at(seconds, start=NOON):
    return (start + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%SZ")


def files_market(folder, **market):
    return tiny_market(
        folder,
        source="files",
        files={"trades": ("trades*.csv",), "quotes": ("quotes*.csv",)},
        **market,
    )


def told(pipeline, table, partition):
    return pipeline.lake.read(table, [partition]).drop("ingested_at", strict=False)


def offending(pipeline):
    return {
        name: found
        for name in CHECKS
        if not (
            found := sql.query(
                pipeline.lake, (sql.SQL_FOLDER / "checks" / f"{name}.sql").read_text()
            )
        ).is_empty()
    }


@pytest.fixture
def folder(tmp_path):
    write(
        tmp_path,
        "trades.csv",
        (at(0), "AAA", 10.0, 100),
        (at(1), "AAA", 10.0, 100),
        (at(1), "AAA", 10.0, 100),
        (at(2), "BBB", 0, 5),
        (at(3), "BBB", "x", 5),
    )
    write(tmp_path, "trades_again.csv", (at(1), "AAA", 10.0, 100), (at(2), "BBB", 20.0, 7))
    write(
        tmp_path,
        "quotes.csv",
        (at(0), "AAA", 9.9, 10.1),
        (at(1), "AAA", 10.2, 10.1),
        header="timestamp,symbol,bid,ask",
    )
    return tmp_path


def test_every_row_is_accounted_for(folder):
    pipeline = files_market(folder)
    result = trade_ticks(pipeline, [TUESDAY])
    quote_ticks(pipeline, [TUESDAY])
    assert result.facts == {
        "received": 7,
        "quarantined": 2,
        "merged": 1,
        "quarantined by non_positive_price": 1,
        "quarantined by unreadable": 1,
    }
    counts = sql.query(
        pipeline.lake,
        "select timeframe, symbol, received, kept, quarantined, merged from tick_counts order"
        " by all",
    )
    assert counts.rows() == [
        ("quote", "AAA", 2, 1, 1, 0),
        ("trade", "AAA", 4, 3, 0, 1),
        ("trade", "BBB", 3, 1, 2, 0),
    ]
    reasons = sql.query(
        pipeline.lake, "select timeframe, rule, reason from quarantine order by timestamp, reason"
    )
    assert reasons.select("timeframe", "rule").rows() == [
        ("quote", "crossed_quote"),
        ("trade", "non_positive_price"),
        ("trade", "unreadable"),
    ]
    assert "trades.csv row 6: price is 'x', expected a number" in reasons["reason"][2]
    assert offending(pipeline) == {}


def test_ingesting_again_changes_nothing_and_keeps_when_it_was_learned(folder):
    pipeline = files_market(folder)
    trade_ticks(pipeline, [TUESDAY])
    before = pipeline.lake.read("trade_ticks")
    paths = [
        pipeline.lake.path("trade_ticks", "2024-01-02"),
        pipeline.lake.path("quarantine", "trade-2024-01-02"),
    ]
    written = [path.stat().st_mtime_ns for path in paths]
    trade_ticks(PipelineContext(pipeline.settings), [TUESDAY])
    assert [path.stat().st_mtime_ns for path in paths] == written
    write(folder, "trades_late.csv", (at(9), "AAA", 11.0, 1))
    trade_ticks(PipelineContext(pipeline.settings), [TUESDAY])
    after = pipeline.lake.read("trade_ticks")
    assert after.height == before.height + 1
    assert_frame_equal(after.filter(pl.col("origin") != "trades_late.csv"), before)
    assert (
        after.filter(pl.col("origin") == "trades_late.csv")["ingested_at"][0]
        > before["ingested_at"].max()
    )
    assert offending(pipeline) == {}


def test_a_file_told_in_two_overlapping_parts_gives_the_same_ticks(tmp_path):
    rows = [(at(number // 2), "AAA", 10.0 + number % 3, 100) for number in range(20)]
    one, two = tmp_path / "one", tmp_path / "two"
    for each in (one, two):
        each.mkdir()
    write(one, "trades.csv", *rows)
    write(two, "trades_b.csv", *rows[8:])
    write(two, "trades_a.csv", *rows[:14])
    works = [files_market(each) for each in (one, two)]
    for pipeline in works:
        trade_ticks(pipeline, [TUESDAY])
        assert offending(pipeline) == {}
    whole, parts = (
        told(pipeline, "trade_ticks", "2024-01-02").drop("origin", "row") for pipeline in works
    )
    assert_frame_equal(parts, whole)


def test_ticks_of_a_weekend_are_refused_on_the_day_before_it(tmp_path):
    write(
        tmp_path,
        "trades.csv",
        (at(0, NOON + timedelta(days=3)), "AAA", 10.0, 1),
        (at(0, NOON + timedelta(days=4)), "AAA", 10.0, 1),
    )
    pipeline = files_market(tmp_path)
    trade_ticks(pipeline, [FRIDAY])
    assert told(pipeline, "trade_ticks", "2024-01-05").height == 1
    assert told(pipeline, "quarantine", "trade-2024-01-05")["rule"].to_list() == ["outside_session"]


def test_symbols_that_were_not_asked_about_stay(tmp_path):
    everyone = tiny_market(tmp_path)
    trade_ticks(everyone, [TUESDAY])
    whole = everyone.lake.read("trade_ticks", ["2024-01-02"])
    chosen = whole["symbol"][0]
    one = tiny_market(tmp_path, symbols=(chosen,))
    trade_ticks(one, [TUESDAY])
    assert_frame_equal(one.lake.read("trade_ticks", ["2024-01-02"]), whole)
    assert one.lake.read("tick_counts", ["trade-2024-01-02"])["received"].sum() == whole.height
    assert offending(one) == {}


@pytest.mark.parametrize(
    ("table", "kind"),
    [
        ("trade_ticks", "trade"),
        ("quote_ticks", "quote"),
        ("quarantine", "quote"),
        ("tick_counts", "trade"),
    ],
)
def test_a_row_that_goes_missing_is_found(folder, table, kind):
    pipeline = files_market(folder)
    trade_ticks(pipeline, [TUESDAY])
    quote_ticks(pipeline, [TUESDAY])
    partition = "2024-01-02" if table.endswith("_ticks") else f"{kind}-2024-01-02"
    pipeline.lake.write(table, partition, pipeline.lake.read(table, [partition])[1:])
    assert list(offending(pipeline)) == [f"{kind}_accounting_closes"]


def test_a_source_without_ticks_and_a_market_without_files_say_so(tmp_path):
    with pytest.raises(ConfigError, match=r"set market\.files\.quotes or market\.files\.trades"):
        offered(tiny_market(tmp_path, source="files", files={"paths": ("x.csv",)}))
    assert offered(tiny_market(tmp_path, source="files", files={"trades": ("x.csv",)})) == [
        "trade_ticks"
    ]

    pipeline = tiny_market(tmp_path, source="yahoo")
    with pytest.raises(ConfigError, match="has no quotes and trades"):
        offered(pipeline)


def test_the_graph_makes_a_day(tmp_path):
    settings = tiny_settings(tmp_path)
    runner = Runner.of(settings)
    runner.materialize(["trade_ticks", "quote_ticks"], "2024-01-02")
    for asset in ("trade_ticks", "quote_ticks"):
        assert runner.instance.get_materialized_partitions(dg.AssetKey(asset)) == {"2024-01-02"}
    kept = sql.query(
        runner.pipeline.lake, "select count(*) as n from trade_ticks where partition = '2024-01-02'"
    )["n"][0]
    assert (
        kept == runner.pipeline.lake.read("tick_counts", ["trade-2024-01-02"])["kept"].sum() > 1_000
    )


def test_the_command_takes_a_day(folder, monkeypatch):
    monkeypatch.setenv("HARMONY_CONFIG", "")  # the command sets it: put back afterwards
    (folder / "mine.toml").write_text(
        '[paths]\nlake = "lake"\nstate = "state"\n[market]\nsource = "files"\nstart ='
        ' 2024-01-02\nend = 2024-02-01\n[market.files]\ntrades = ["trades*.csv"]\n'
    )
    shown = CliRunner().invoke(
        app, ["--config", str(folder / "mine.toml"), "ticks", "--from", "2024-01-02"]
    )
    assert shown.exit_code == 0, shown.output
    assert "made trade_ticks for 2024-01-02 to 2024-01-02" in shown.output
