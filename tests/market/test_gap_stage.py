"""The gaps of a whole small market, stage by stage, and who is expected when."""

from dataclasses import replace
from datetime import date, timedelta

import polars as pl
import pytest

from harmony_pipeline.config import load_settings
from harmony_pipeline.lake import sql
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.listings import listings_from_universe
from harmony_pipeline.market.periods import period_of
from harmony_pipeline.schemas import UNIVERSE
from harmony_pipeline.stages import gaps as stage
from harmony_pipeline.stages import ingest, market
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.testing.tiny import tiny_market

NYSE = Calendar.of("XNYS")
FEBRUARY = period_of(date(2024, 2, 1), "month", NYSE.zone)


def ingested(folder, **settings):
    pipeline = tiny_market(folder, **settings)
    periods = pipeline.trading_periods()
    market.corporate_actions(pipeline)
    market.universe(pipeline)
    market.listings(pipeline)
    ingest.raw_bars(pipeline, periods)
    market.bars(pipeline, periods)
    market.daily_summary(pipeline, periods)
    return pipeline, periods


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    pipeline, periods = ingested(tmp_path_factory.mktemp("market"))
    stage.gaps(pipeline, periods)
    return pipeline


def test_present_and_absent_bars_are_what_the_calendar_expects(pipeline):
    found = sql.query(pipeline.lake, sql.named_query("gaps_by_symbol"))
    counted = sql.query(
        pipeline.lake,
        "select symbol, sum(expected_regular_bars) as expected, sum(regular_bars) as present from"
        " daily_summary group by symbol",
    )
    joined = found.join(counted, on="symbol", suffix="_counted")
    assert joined.height == 6
    assert joined["expected"].to_list() == joined["expected_counted"].to_list()
    assert joined["present"].to_list() == joined["present_counted"].to_list()


def test_periods_made_one_by_one_have_the_gaps_of_one_run(pipeline):
    whole = pipeline.lake.read("gaps")
    again = replace(pipeline, again=True)
    for period in pipeline.trading_periods():
        assert stage.gaps(again, [period]).unchanged_since is None
    assert pipeline.lake.read("gaps").equals(whole)


def test_a_bar_taken_away_is_found_again(pipeline):
    key = pipeline.trading_periods()[-1].key
    bars, before = pipeline.lake.read("bars", [key]), pipeline.lake.read("gaps", [key])
    lost = (
        bars.filter(pl.col("session") == "regular")
        .sort("volume", descending=True)
        .row(0, named=True)
    )
    pipeline.lake.write(
        "bars",
        key,
        bars.filter(
            (pl.col("symbol") != lost["symbol"]) | (pl.col("timestamp") != lost["timestamp"])
        ),
    )
    stage.gaps(pipeline, [pipeline.trading_period(key)])
    fresh = pipeline.lake.read("gaps", [key]).join(
        before, on=["symbol", "first_missing"], how="anti"
    )
    assert fresh.select("symbol", "first_missing", "bars").rows() == [
        (lost["symbol"], lost["timestamp"], 1)
    ]
    pipeline.lake.write("bars", key, bars)
    stage.gaps(pipeline, [pipeline.trading_period(key)])
    assert pipeline.lake.read("gaps", [key]).equals(before)


def test_large_markets_are_read_in_batches_of_whole_symbols(pipeline, monkeypatch):
    whole = pipeline.lake.read("gaps")
    monkeypatch.setattr(stage, "_BATCH_ROWS", 500)
    stage.gaps(replace(pipeline, again=True), pipeline.trading_periods())
    assert pipeline.lake.read("gaps").equals(whole)


def test_nothing_is_judged_again_where_nothing_changed(pipeline, monkeypatch):
    periods = pipeline.trading_periods()
    first = stage.gaps(replace(pipeline, again=True), periods)
    with monkeypatch.context() as patch:
        patch.setattr(stage, "find_gaps", lambda *_, **__: pytest.fail("judged again"))
        second = stage.gaps(PipelineContext(pipeline.settings), periods)
    assert first.unchanged_since is None
    assert second.unchanged_since is not None
    assert (second.rows, second.facts, second.partitions) == (
        first.rows, first.facts, first.partitions,
    )  # fmt: skip
    assert second.preview.equals(first.preview)


def changed_settings(pipeline, **changes):
    market = pipeline.settings.market.model_copy(update=changes)
    return PipelineContext(pipeline.settings.model_copy(update={"market": market}))


def test_whatever_gaps_depend_on_makes_them_again(pipeline):
    periods = pipeline.trading_periods()
    lake, keys = pipeline.lake, [period.key for period in periods]

    def judged(changed=pipeline):
        parts = stage.gaps(changed, periods).parts
        return [key for key in keys if parts[key].unchanged_since is None]

    def put(table, key, rows):
        before = lake.read(table, [key])
        lake.write(table, key, rows)
        found = judged()
        lake.write(table, key, before)
        judged()
        return found

    judged()
    assert judged() == []
    bars = lake.read("bars", keys[1:2])
    assert put("bars", keys[1], bars.slice(1)) == keys[1:]  # the next one learns from this one
    # a bar that was refused where one is missing
    hole = lake.read("gaps", keys[:1]).select("symbol", timestamp="first_missing").head(1)
    texts = {
        name: pl.lit("" if dtype == pl.String else None, dtype)
        for name, dtype in lake.tables["quarantine"].dtypes.items()
        if name not in hole.columns
    }
    refused = lake.tables["quarantine"].conform(hole.with_columns(**texts))
    assert put("quarantine", keys[0], refused) == keys[:1]
    # a symbol that ends in the last period, as it was known then
    listed = lake.read("listings", ["all"])
    end = periods[-1].first_date + timedelta(days=5)
    ends = listed.head(1).with_columns(
        valid_to=pl.lit(end), delisted=pl.lit(end), known=pl.lit(end), reason=pl.lit("delisting")
    )
    assert put("listings", "all", pl.concat([listed, ends])) == keys[-1:]
    # without listings a symbol counts from its first bar
    lake.write("listings", "all", listed.clear())
    assert judged() == keys
    summary = lake.read("daily_summary", keys[:1])
    late = summary.filter(pl.col("date") != summary["date"].min())
    assert put("daily_summary", keys[0], late) == keys
    lake.write("listings", "all", listed)
    assert judged() == keys
    for changes in (
        {"gaps": pipeline.settings.market.gaps.model_copy(update={"every_bar": True})},
        {"symbols": (*lake.read("bars")["symbol"].unique().sort().to_list(), "GHOST")},
    ):
        assert judged(changed_settings(pipeline, **changes)) == keys
        assert judged() == keys
    # the market ends earlier: the last period has fewer bars to come
    shorter = changed_settings(pipeline, end=periods[-1].end_date - timedelta(days=7))
    assert stage.gaps(shorter, periods[-1:]).unchanged_since is None
    assert judged() == keys[-1:]


def lives(traded, universe=(), chosen=(), forget=10):
    days = pl.DataFrame(traded, schema={"symbol": pl.String(), "date": pl.Date()}, orient="row")
    listing = (
        UNIVERSE.conform(pl.DataFrame(list(universe), schema_overrides=UNIVERSE.dtypes))
        if universe
        else UNIVERSE.empty()
    )
    return stage.expected_lives(
        days, listings_from_universe(listing, "test"), chosen, FEBRUARY, NYSE, forget
    ).rows()


def test_a_symbol_is_expected_from_its_first_bar_until_it_was_silent_for_long():
    assert lives([("A", date(2024, 1, 4)), ("A", date(2024, 1, 8))]) == [
        ("A", date(2024, 1, 4), date(2024, 1, 24))
    ]  # ten sessions are given to it; the 15th is a holiday
    assert lives([("A", date(2024, 1, 8)), ("A", date(2024, 2, 20))])[1:] == [
        ("A", date(2024, 2, 20), None)
    ]


def test_bars_of_later_periods_say_nothing_about_this_one():
    assert lives(
        [("A", date(2024, 1, 8)), ("A", date(2024, 3, 4)), ("LATER", date(2024, 3, 1))]
    ) == lives([("A", date(2024, 1, 8))])


def test_listings_that_are_known_by_then_decide_for_symbols_that_ever_traded():
    rows = [
        {"date": date(2024, 1, 2), "symbol": "A", "listed": date(2023, 5, 1)},
        {
            "date": date(2024, 2, 5),
            "symbol": "A",
            "listed": date(2023, 5, 1),
            "delisted": date(2024, 2, 12),
        },
        {"date": date(2024, 1, 2), "symbol": "B", "listed": date(2023, 5, 1)},
        {
            "date": date(2024, 3, 5),
            "symbol": "B",
            "listed": date(2023, 5, 1),
            "delisted": date(2024, 2, 12),
        },
        {"date": date(2024, 1, 2), "symbol": "UNSEEN", "listed": date(2023, 5, 1)},
    ]
    assert lives([("A", date(2024, 1, 8)), ("B", date(2024, 1, 8))], rows) == [
        ("A", date(2023, 5, 1), date(2024, 2, 12)),
        ("B", date(2023, 5, 1), None),  # its end was announced in March
    ]


def test_symbols_that_the_settings_name_are_expected_from_the_start():
    assert lives([], chosen=("GHOST",)) == [("GHOST", date.min, None)]


@pytest.mark.parametrize(
    ("market", "expected"),
    [
        ('source = "simulated"', False),
        ('source = "simulated"\ntimeframe = "1Day"', True),
        ('source = "simulated"\n[market.gaps]\nevery_bar = true', True),
        # Binance: a minute without a trade has a candle of volume 0
        ('source = "crypto"\ncalendar = "24/7"', True),
        ('source = "crypto"\ncalendar = "24/7"\n[market.crypto]\nexchange = "kraken"', False),
        ('source = "crypto"\ncalendar = "24/7"\n[market.gaps]\nevery_bar = false', False),
    ],
)
def test_whether_silence_can_be_told_from_loss_is_asked_of_settings_source_and_bar_size(
    tmp_path, market, expected
):
    (tmp_path / "harmony.toml").write_text(f"[market]\n{market}\n")
    assert (
        stage.writes_every_bar(PipelineContext(load_settings(tmp_path / "harmony.toml", {})))
        is expected
    )
