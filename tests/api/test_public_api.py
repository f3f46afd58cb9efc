"""`import harmony_pipeline as h`: cheap to import, and it says what the command says."""

import json
import shutil
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path
from typing import ClassVar
from zoneinfo import ZoneInfo

import polars as pl
import pytest

import harmony_pipeline as h
from harmony_pipeline.errors import ConfigError, DataError, NotReady
from harmony_pipeline.stages import ticks
from harmony_pipeline.stages.backtest_runs import simulated
from harmony_pipeline.stages.interactive_reports import analysed, tables_of_result
from harmony_pipeline.strategies.base import Enter, Leave, warm_signals
from harmony_pipeline.strategies.crossover import MovingAverageCrossover
from harmony_pipeline.strategies.market_maker import MarketMaker

HEAVY = ("numpy", "polars", "pyarrow", "duckdb", "pydantic", "numba", "pandera", "plotly", "dagster", "lightgbm")  # fmt: skip


class Trend:
    """The crossover once more, written by a user."""

    def __init__(self, fast: int = 5, slow: int = 20) -> None:
        self.name = f"sma_ratio_{fast}_{slow}"

    def required_features(self) -> tuple[str, ...]:
        return (self.name,)

    def signals(self, features: pl.DataFrame) -> pl.DataFrame:
        return warm_signals(features, (self.name,), pl.col(self.name).sign())


class TrendMachine:
    """The same as a state machine."""

    def __init__(self, fast: int = 5, slow: int = 20) -> None:
        self.name = f"sma_ratio_{fast}_{slow}"

    def required_features(self) -> tuple[str, ...]:
        return (self.name,)

    def on_bar(self, bar):
        (ratio,) = bar.features
        return [Enter(bar.symbol, 1 if ratio > 0 else -1) if ratio else Leave(bar.symbol)]


class HearingMachine(TrendMachine):
    """The same, which hears its fills and does nothing with them."""

    heard: ClassVar[list] = []

    def on_fill(self, fill):
        self.heard.append(fill)
        return ()


class Nothing:
    """No strategy."""


@pytest.fixture(scope="module")
def lake(tmp_path_factory) -> h.OpenLake:
    folder = tmp_path_factory.mktemp("api")
    settings = h.settings(
        paths={"lake": str(folder / "lake"), "state": str(folder / "state")},
        market={
            "timeframe": "1Hour",
            "start": "2024-01-02",
            "end": "2024-04-01",
            "simulated": {"symbols": 4, "low_float_symbols": 1},
        },
    )
    return h.open_lake(settings).prepare()


def test_importing_it_costs_nothing():
    code = f"import sys, harmony_pipeline as h; h.open_lake; print([m for m in {HEAVY!r} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"


def test_every_public_name_is_there_and_says_what_it_is():
    assert set(h.__all__) == {
        "Backtest",
        "Comparison",
        "OpenLake",
        "__version__",
        "open_lake",
        "settings",
        "show",
    }
    for name in set(h.__all__) - {"__version__"}:
        assert getattr(h, name).__doc__


def test_settings_are_changed_table_by_table(tmp_path):
    file = tmp_path / "mine.toml"
    file.write_text(
        '[market]\ntimeframe = "1Hour"\nstart = 2024-01-02\n\n[market.simulated]\nseed = 3\nsymbols = 9\n'
    )
    found = h.settings(file, market={"simulated": {"symbols": 5}})
    assert (
        found.market.timeframe,
        found.market.simulated.seed,
        found.market.simulated.symbols,
    ) == ("1Hour", 3, 5)
    assert found.folder == tmp_path
    with pytest.raises(ConfigError, match=r"market\.simulated\.symbols"):
        h.settings(file, market={"simulated": {"symbols": -1}})
    with pytest.raises(ConfigError, match="nosuch"):
        h.settings(nosuch=1)


def test_a_lake_is_opened_by_its_settings_their_folder_or_its_own_folder(lake, tmp_path):
    root = Path(lake.settings.lake_root)
    (tmp_path / "harmony.toml").write_text(
        f'[paths]\nlake = "{root}"\nstate = "{tmp_path / "state"}"\n'
    )
    for where in (tmp_path, tmp_path / "harmony.toml", root, str(root)):
        assert h.open_lake(where).read("bars").equals(lake.read("bars"))
    with pytest.raises(ConfigError, match="neither"):
        h.open_lake(tmp_path / "state" if (tmp_path / "state").is_dir() else Path(__file__).parent)


def test_rows_are_read_by_symbol_and_time(lake):
    every = lake.read("bars")
    symbol = every["symbol"][0]
    start, end = date(2024, 2, 1), datetime(2024, 3, 1, tzinfo=UTC)
    found = lake.read("bars", symbol, start, end)
    assert found.height == every.filter(
        (pl.col("symbol") == symbol)
        & (pl.col("timestamp") >= datetime(2024, 2, 1, tzinfo=UTC))
        & (pl.col("timestamp") < end)
    ).height > 0  # fmt: skip
    assert lake.sql("select count(*) as n from bars")["n"][0] == every.height
    assert lake.sql("select count(*) as n from bars where symbol = getvariable('s')", s=symbol)["n"][0] == lake.read("bars", [symbol]).height  # fmt: skip
    assert {"bars", "features", "signals"} <= set(lake.tables)
    with pytest.raises(ConfigError, match="no table 'barz'"):
        lake.read("barz")
    with pytest.raises(ConfigError, match="no column symbol"):
        lake.read("regimes", symbols="AAA")


def test_a_moment_may_be_in_any_zone_and_as_early_or_late_as_there_is_one(lake):
    new_york, utc = ZoneInfo("America/New_York"), datetime(2024, 2, 5, 15, tzinfo=UTC)
    start, end = datetime(2024, 2, 5, 10, tzinfo=new_york), datetime(2024, 3, 8, tzinfo=new_york)
    found = lake.read("bars", start=start, end=end)
    assert found.height > 0
    assert found.equals(lake.read("bars", start=utc, end=end.astimezone(UTC)))
    every = lake.read("bars")
    assert lake.read("bars", start=date.min, end=date.max).equals(every)
    first, last = (each.replace(tzinfo=UTC) for each in (datetime.min, datetime.max))  # noqa: DTZ901
    assert lake.read("bars", start=first, end=last).equals(every)


def test_of_bars_only_the_partitions_are_read_that_can_hold_the_rows(lake, tmp_path):
    root = tmp_path / "lake"
    shutil.copytree(lake.settings.lake_root, root)
    (root / "bars" / "partition=2030").mkdir()
    (root / "bars" / "partition=2030" / "bars.parquet").write_bytes(b"no Parquet")
    damaged = h.open_lake(root)
    start, end = date(2024, 2, 5), datetime(2024, 3, 8, tzinfo=UTC)
    assert damaged.read("bars", start=start, end=end).equals(
        lake.read("bars", start=start, end=end)
    )
    with pytest.raises(DataError, match=r"bars\.parquet cannot be read"):
        damaged.read("bars")


def test_a_backtest_is_that_of_the_stages(lake):
    found = lake.backtest("moving_average_crossover")
    expected = simulated(lake.pipeline, "moving_average_crossover")
    assert found.trades.equals(expected.trades)
    assert found.equity.equals(expected.equity)
    bars = found._bars
    analysis = analysed(lake.pipeline, tables_of_result("moving_average_crossover", expected), bars)
    assert found.figures == analysis.figures
    assert found.parameters == {"fast": 10, "slow": 40}


def test_a_class_of_ones_own_trades_like_the_shipped_one(lake):
    shipped = lake.backtest("moving_average_crossover", fast=5, slow=20)
    for kind in (Trend, TrendMachine, MovingAverageCrossover):
        mine = lake.backtest(kind, fast=5, slow=20)
        drop = ["backtest_id", "trade_id", "strategy"]
        assert mine.trades.drop(drop).equals(shipped.trades.drop(drop))
        assert mine.figures == shipped.figures
    assert mine.strategy == "moving_average_crossover"
    barriers = lake.backtest(Trend, exits="barriers", horizon_bars=3)
    assert set(barriers.trades["exit_reason"].drop_nulls()) <= {"stop", "take", "vertical"}
    assert lake.backtest(Trend).parameters == {"fast": 5, "slow": 20}


def test_a_machine_that_hears_its_fills_trades_like_one_that_does_not(lake):
    deaf = lake.backtest(TrendMachine, fast=5, slow=20)
    HearingMachine.heard.clear()
    hears = lake.backtest(HearingMachine, fast=5, slow=20)
    drop = ["backtest_id", "trade_id", "strategy"]
    assert hears.trades.drop(drop).equals(deaf.trades.drop(drop))
    assert hears.figures == deaf.figures
    assert len(HearingMachine.heard) == hears.fills.height > 0


def test_a_machine_on_quotes_runs_over_the_ticks_of_the_lake(lake):
    day = date(2024, 1, 3)
    with pytest.raises(NotReady, match=r"no quotes of these symbols and days.*harmony ticks"):
        lake.backtest_quotes(MarketMaker, start=day)
    with pytest.raises(NotReady, match=r"no quotes and no trades of these bars.*harmony ticks"):
        lake.tick_columns(start=day)
    ticks.quote_ticks(lake.pipeline, [day])
    ticks.trade_ticks(lake.pipeline, [day])
    symbol = lake.read("quote_ticks")["symbol"][0]
    noon = datetime(2024, 1, 3, 15, 30, tzinfo=UTC)
    measured = lake.tick_columns(symbol, start=day, end=date(2024, 1, 4), kyle_bars=5)
    assert measured.select("symbol", "timestamp").equals(
        lake.read("bars", symbol, day, date(2024, 1, 4)).select("symbol", "timestamp")
    )
    assert measured["relative_spread"].drop_nulls().is_between(0.0, 0.05).all()
    assert measured.select(pl.col("tick_kyle_lambda_5").count()).item() > 3
    found = lake.backtest_quotes(
        MarketMaker, symbols=symbol, start=day, end=noon, quantity=1.0, maximum_inventory=3.0
    )
    assert found.summary()["orders"] > 0
    assert found.lifecycle["symbol"].unique().to_list() == [symbol]
    assert found.lifecycle["timestamp"].max() < noon
    assert found.initial_cash == lake.settings.backtest.initial_cash
    with pytest.raises(ConfigError, match=r"strategy 'makr'|no strategy 'makr'"):
        lake.backtest_quotes("makr")
    with pytest.raises(ConfigError, match="has no on_quote"):
        lake.backtest_quotes(TrendMachine, symbols=symbol)
    with pytest.raises(ConfigError, match="is made of columns"):
        lake.backtest_quotes(Trend, symbols=symbol)


def test_every_configuration_counts_once(lake):
    before = lake.read("trials").height
    lake.backtest("rsi_momentum", window=9)
    lake.backtest("rsi_momentum", window=9)
    assert lake.read("trials").height == before + 1
    trial = lake.read("trials").filter(pl.col("parameters").str.contains('"window": 9'))
    assert json.loads(trial["parameters"][0])["window"] == 9


def test_mistakes_are_refused_in_words(lake, tmp_path):
    with pytest.raises(ConfigError, match="active strategy"):
        lake.backtest("nosuch")
    with pytest.raises(ConfigError, match="no parameter 'fats'; did you mean 'fast'"):
        lake.backtest("moving_average_crossover", fats=3)
    with pytest.raises(ConfigError, match="no argument 'brackett'; did you mean 'bracket'"):
        lake.backtest("moving_average_crossover", brackett={"stop_loss": 2.0})
    with pytest.raises(ConfigError, match="no argument 'symbol'; did you mean 'symbols'"):
        lake.backtest_quotes(MarketMaker, symbol="AAPL")
    with pytest.raises(
        ConfigError,
        match=r"^unknown key strategies.rsi_momentum.risk.max_positon; did you mean 'max_position'\?",
    ):
        lake.backtest("rsi_momentum", risk={"max_positon": 0.1})
    with pytest.raises(
        ConfigError, match=r"^unknown key market.timefram; did you mean 'timeframe'\? valid keys"
    ):
        h.settings(market={"timefram": "1Hour"})
    with pytest.raises(ConfigError, match=r"^market.timeframe = '1Hr': "):
        h.settings(market={"timeframe": "1Hr"})
    with pytest.raises(ConfigError, match="is no strategy"):
        lake.backtest(Nothing)
    with pytest.raises(NotReady, match=r"predictions|no model"):
        lake.backtest("meta_labelled")
    empty = h.settings(paths={"lake": str(tmp_path / "lake"), "state": str(tmp_path / "state")})
    with pytest.raises(NotReady, match="no bars"):
        h.open_lake(empty).backtest("rsi_momentum")
    with pytest.raises(NotReady, match="no features"):
        h.open_lake(empty).backtest(Trend)


def test_reports_are_written_and_shown(lake, tmp_path, monkeypatch):
    found = lake.backtest("rsi_momentum")
    page = found.report(tmp_path / "pages" / "rsi.html")
    assert "plotly.js v" in page.read_text()
    assert f"{found.figures['sharpe']:,.2f}" in page.read_text()
    comparison = lake.compare(found, "bollinger_reversion", lake.backtest("rsi_momentum", window=7))
    names = list(comparison.backtests)
    assert names[1] == "bollinger_reversion"
    assert "window=14" in names[0]
    assert "window=7" in names[2]
    assert (
        comparison.figures.filter(pl.col("figure") == "sharpe").row(0)[1] == found.figures["sharpe"]
    )
    assert "<td>Sharpe ratio</td>" in comparison._repr_html_()
    assert "<td>Sharpe ratio</td>" in found._repr_html_()
    text = comparison.report(tmp_path / "pages" / "all.html").read_text()
    assert text.count("bollinger_reversion") > 2
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    h.show(page)
    assert opened == [page.resolve().as_uri()]


def test_models_are_prepared_where_they_are_asked_for(lake):
    lake.prepare(models=True)
    assert "predictions" in lake.tables
    assert "meta_labelled" in lake.strategies
