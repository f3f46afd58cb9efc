"""A market whose features compare within the sectors of its universe: features, checks, a session
that serves what research made, and what is made again when the universe says something else.
"""

import shutil
from datetime import date, timedelta

import polars as pl
import pytest

from harmony_pipeline.cli.lineage import lineage
from harmony_pipeline.config import Settings
from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.market.sectors import Sectors
from harmony_pipeline.session.clock import ReplayClock
from harmony_pipeline.session.day_backtest import backtest_day
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.live_signals import LiveSignals, feature_frame
from harmony_pipeline.session.replay import day_bars, replay_day
from harmony_pipeline.session.stream import ReplayStream
from harmony_pipeline.stages import (
    backtests,
    data_checks,
    ingest,
    instruments,
    look_ahead_checks,
    market,
    research,
)
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.feature_sectors import feature_sectors
from harmony_pipeline.stages.session_plans import plan_of, replay_account
from harmony_pipeline.stages.strategy_signals import features_on_every_bar
from harmony_pipeline.stages.trials import configuration
from harmony_pipeline.strategies.settings import StrategySettings
from harmony_pipeline.testing.tiny import tiny_settings

NAME = "sector_relative_momentum_5"
CHANGE = date(2024, 2, 14)


class Rotation:
    """Short what ran ahead of its sector."""

    def required_features(self) -> tuple[str, ...]:
        return (NAME,)

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        known = features.filter(pl.col(NAME).is_not_null())
        return known.select(
            "symbol", "timestamp", side=(-pl.col(NAME).sign()).cast(pl.Int8), strength=0.5
        ).sort("symbol", "timestamp")


def settings_of(folder, **chosen):
    settings = tiny_settings(folder)
    values = settings.model_dump() | {
        "features": settings.features.model_dump() | {"names": ["log_return", NAME]} | chosen,
        "strategies": {
            "rotation": StrategySettings(use=f"{__name__}:Rotation", exits="signal").model_dump()
        },
        "session": settings.session.model_dump() | {"strategy": "rotation", "watch": "universe"},
        "file": settings.file,
    }
    return Settings.model_validate(values)


def stated(pipeline, *rows):
    """Put a universe into the lake: every other symbol of one of two sectors, and these rows (day,
    place of the symbol, sector).
    """
    symbols = pipeline.lake.read("bars")["symbol"].unique().sort().to_list()
    known = [(date(2023, 1, 2), symbol, "xy"[place % 2]) for place, symbol in enumerate(symbols)]
    frame = pl.DataFrame(
        [*known, *((day, symbols[place], sector) for day, place, sector in rows)],
        schema={"date": pl.Date, "symbol": pl.String, "sector": pl.String},
        orient="row",
    )
    table = pipeline.lake.tables["universe"]
    absent = [
        pl.lit(None, dtype).alias(name)
        for name, dtype in table.dtypes.items()
        if name not in frame.columns
    ]
    pipeline.lake.write(
        "universe", "all", table.conform(frame.with_columns(absent)), {"source": "simulated"}
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    pipeline = PipelineContext(settings_of(tmp_path_factory.mktemp("rotating")))
    periods = pipeline.trading_periods()
    market.corporate_actions(pipeline)
    ingest.raw_bars(pipeline, periods)
    market.bars(pipeline, periods)
    market.daily_summary(pipeline, periods)
    stated(pipeline, (CHANGE, 0, "y"))
    market.listings(pipeline)
    instruments.instruments(pipeline)
    for stage in (research.features, research.regimes, research.signals):
        stage(pipeline, periods)
    return pipeline


@pytest.fixture
def copied(made, tmp_path):
    folder = shutil.copytree(made.settings.folder, tmp_path / "copy")
    return PipelineContext(settings_of(folder))


def test_periods_made_one_by_one_are_one_fold_over_all(made):
    whole = compute_features(
        made.lake.read("bars"), made.feature_set, None, made.calendar, made.timeframe,
        None, feature_sectors(made),
    ).table  # fmt: skip
    kept = made.lake.read("features")
    assert kept.select(whole.columns).equals(whole)


def test_the_sector_of_each_day_is_the_one_that_is_compared_with(made):
    """Against the mean of the sector's symbols, joined in Polars."""
    base = features_on_every_bar(made, ["momentum_5"])
    dated = made.calendar.with_session(base, made.timeframe)
    symbols = base["symbol"].unique().sort().to_list()
    sector = pl.col("symbol").replace_strict(
        {symbol: "xy"[place % 2] for place, symbol in enumerate(symbols)}
    )
    moved = (pl.col("symbol") == symbols[0]) & (pl.col("session_date") >= CHANGE)
    expected = dated.with_columns(sector=pl.when(moved).then(pl.lit("y")).otherwise(sector))
    mean = pl.col("momentum_5").mean().over("sector", "timestamp")
    expected = expected.select("symbol", "timestamp", right=pl.col("momentum_5") - mean)
    both = made.lake.read("features").join(expected, on=["symbol", "timestamp"])
    assert both[NAME].null_count() == both["right"].null_count()
    assert both.select((pl.col(NAME) - pl.col("right")).abs().max()).item() < 1e-12
    assert both[NAME].abs().max() > 1e-3


def test_the_checks_of_the_graph_pass(made):
    for periods in (made.trading_periods(), made.trading_periods()[1:2]):
        assert data_checks.features_fold(made, periods).is_empty()
        assert look_ahead_checks.features_know_no_future(made, periods).is_empty()


def test_the_check_finds_a_sector_of_the_future(made, monkeypatch):
    def leaking(universe):
        latest = universe.sort("date").unique("symbol", keep="last")
        return Sectors.of_table(latest.with_columns(date=pl.lit(date(2020, 1, 1))))

    class Leaking(Sectors):
        of_table = staticmethod(leaking)

    monkeypatch.setattr(look_ahead_checks, "Sectors", Leaking)
    # some moment of each period is drawn; the change lies in the second
    found = look_ahead_checks.features_know_no_future(made, made.trading_periods()[:2])
    assert found.height
    assert all(NAME in finding for finding in found["finding"])


def test_the_session_serves_the_features_of_research_and_trades_as_its_backtest(made, tmp_path):
    for number, day in enumerate((CHANGE, made.sessions()[-2])):
        ledger = Ledger(tmp_path / f"{number}.sqlite")
        plan, bars = plan_of(made, ledger, day, "paper")
        frame = day_bars(plan, bars)
        signals, served = LiveSignals(plan), []
        for batch in ReplayStream(frame, ReplayClock(frame["timestamp"].min())).moments():
            values = signals._fold(batch.bars)
            served.append(feature_frame(batch.bars, values, plan.feature_set.names))
        rows = made.lake.read("features").join(frame, on=["symbol", "timestamp"], how="semi")
        assert pl.concat(served).sort("symbol", "timestamp").select(rows.columns).equals(rows)
        assert rows[NAME].abs().max() > 0.0
        twin, result = backtest_day(plan, bars), replay_day(plan, bars, ledger)
        columns = ["symbol", "timestamp", "side", "quantity", "price"]
        assert twin.fills.height
        assert result.fills.select(columns).equals(twin.fills.select(columns))


def test_a_plan_knows_the_sectors_of_its_day_and_no_later_ones(copied, tmp_path):
    day = CHANGE - timedelta(days=1)
    ledger = Ledger(tmp_path / "ledger.sqlite")
    plan = plan_of(copied, ledger, day, "paper")[0]
    assert max(since for _, since, _ in plan.sectors.rows) < CHANGE
    assert [each for each, *_ in plan.sectors.rows] == list(plan.symbols)
    account = replay_account(copied)
    # a later one, and one that repeats what was known
    stated(copied, (CHANGE, 0, "y"), (date(2024, 3, 5), 1, "x"), (day, 2, "x"))
    assert plan_of(copied, ledger, day, "paper")[0].hash == plan.hash
    assert replay_account(copied) != account
    stated(copied, (day, 0, "y"))
    assert plan_of(copied, ledger, day, "paper")[0].hash != plan.hash


def test_a_later_row_leaves_the_past_alone_and_a_used_one_makes_it_again(copied):
    periods = copied.trading_periods()

    def written():
        return [copied.lake.manifest("features", each.key)["written_at"] for each in periods]

    def remade(*rows):
        before = written()
        stated(copied, *rows)
        research.features(copied, periods)
        after = written()
        test_periods_made_one_by_one_are_one_fold_over_all(copied)
        return [one != other for one, other in zip(before, after, strict=True)]

    last = copied.sessions()[-1]
    assert remade((CHANGE, 0, "y")) == [False, False, False]
    assert remade((CHANGE, 0, "y"), (last, 1, "x")) == [False, False, True]
    next_day = CHANGE + timedelta(days=1)
    assert remade((next_day, 0, "y"), (last, 1, "x")) == [False, True, True]
    # a row that repeats what was known, and one of after the market
    assert remade((next_day, 0, "y"), (last, 0, "y"), (last, 1, "x")) == [False, False, False]
    after = last + timedelta(days=30)
    assert remade((next_day, 0, "y"), (last, 1, "x"), (after, 1, "y")) == [False, False, False]


def test_a_strategy_of_features_that_the_lake_lacks_has_sectors_too(copied):
    name = "sector_relative_rsi_14"
    table = features_on_every_bar(copied, [name])
    feature_set = copied.feature_set_of([name])
    whole = compute_features(
        copied.lake.read("bars"), feature_set, None, copied.calendar, copied.timeframe,
        None, feature_sectors(copied, feature_set),
    ).table  # fmt: skip
    assert table[name].equals(whole[name])
    assert table[name].abs().max() > 0.0


def test_the_lineage_of_an_order_has_the_row_that_stated_the_sector(copied):
    backtests.backtest(copied, ["rotation"])
    orders = copied.lake.read("orders", ["rotation"]).filter(
        (pl.col("status") == "filled") & pl.col("parent_id").is_null()
    )
    symbol = copied.lake.read("bars")["symbol"].unique().sort()[0]
    mine = orders.filter(symbol=symbol).sort("signal_timestamp")
    early = mine.filter(pl.col("signal_timestamp").dt.date() < CHANGE)
    late = mine.filter(pl.col("signal_timestamp").dt.date() > CHANGE)
    for rows, sector in ((early, "x"), (late, "y")):
        found = lineage(copied, rows["order_id"][0])["universe"]
        assert found.select("symbol", "sector").rows() == [(symbol, sector)]


def test_where_sectors_come_from_is_part_of_a_configuration(made):
    settings = made.settings
    named = settings.features.model_copy(update={"sectors": {"A": "x"}})
    other = PipelineContext(settings.model_copy(update={"features": named}))
    assert configuration(made, "rotation") != configuration(other, "rotation")
    assert made.feature_set.hash != other.feature_set.hash


def test_a_universe_that_begins_after_the_market_is_told(copied):
    periods = copied.trading_periods()
    assert not research.features(copied, periods).notes
    late = copied.lake.read("universe").with_columns(date=pl.lit(date(2024, 3, 1)))
    copied.lake.write("universe", "all", late.unique("symbol"), {"source": "simulated"})
    result = research.features(copied, periods)
    (note,) = result.notes
    assert "no sector before 2024-03-01: sector_relative columns have no value from 2024" in note
    known = copied.lake.read("features").drop_nulls(NAME)["timestamp"]
    assert known.dt.date().min() == date(2024, 3, 1)


def test_a_universe_that_is_absent_or_states_no_sector_is_refused_with_the_cure(copied):
    copied.lake.write("universe", "all", copied.lake.read("universe").with_columns(
        sector=pl.lit(None, pl.String)), {"source": "simulated"})  # fmt: skip
    with pytest.raises(ConfigError, match=rf"{NAME}.*universe of simulated states none"):
        research.features(copied, copied.trading_periods())
    fresh = PipelineContext(settings_of(copied.settings.folder / "fresh"))
    with pytest.raises(NotReady, match="harmony backfill universe"):
        research.features(fresh, fresh.trading_periods())
