"""A portfolio of the settings: its tables, what is made of them, and what is refused."""

from datetime import date

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from harmony_pipeline import api
from harmony_pipeline.config import Settings, load_settings
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.lake import sql
from harmony_pipeline.stages import (
    backtest_readiness,
    backtest_runs,
    backtests,
    interactive_reports,
    research,
    robustness,
    sensitivity,
)
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.preparation import prepare
from harmony_pipeline.strategies.events import Enter, Leave
from harmony_pipeline.testing.tiny import tiny_settings

CHECKS = (
    "accounting_closes", "trade_accounting_closes", "fills_follow_decisions",
    "fills_stay_within_volume",
)  # fmt: skip
MEMBERS = ("moving_average_crossover", "rsi_momentum", "bollinger_reversion")
PORTFOLIOS = {
    "mix": {
        "strategies": MEMBERS, "allocation": "inverse_volatility", "window_sessions": 8,
        "rebalance_sessions": 4,
    },
    "alone": {"strategies": ("rsi_momentum",)},
    "waiting": {"strategies": ("meta_labelled", "rsi_momentum")},
    "off": {"strategies": MEMBERS, "enabled": False},
}  # fmt: skip


def with_portfolios(settings, portfolios=PORTFOLIOS, **parts):
    values = settings.model_dump() | {"portfolios": portfolios, "file": settings.file, **parts}
    return Settings.model_validate(values)


@pytest.fixture(scope="module")
def pipeline(tmp_path_factory):
    folder = tmp_path_factory.mktemp("portfolios")
    settings = tiny_settings(folder, end=date(2024, 2, 10))
    made = PipelineContext(with_portfolios(settings, execution_stress={"draws": 2}))
    prepare(made)
    backtests.backtest(made, list(made.settings.backtest_names))
    return made


def test_a_portfolio_is_one_more_name_beside_the_strategies(pipeline):
    assert pipeline.settings.backtest_names[-3:] == ("mix", "alone", "waiting")
    assert pipeline.strategy("mix") == "mix"
    with pytest.raises(ConfigError, match="did you mean"):
        pipeline.strategy("mixx")


def test_a_portfolio_of_one_strategy_has_its_result(pipeline):
    for table in ("equity", "trades", "fills"):
        alone, own = (pipeline.lake.read(table, [name]) for name in ("alone", "rsi_momentum"))
        ids = [name for name in own.columns if name.endswith("_id") and name != "model_id"]
        assert_frame_equal(alone.drop(ids), own.drop(ids))


def test_trades_orders_and_fills_name_their_strategy(pipeline):
    for table in ("orders", "fills", "trades"):
        assert set(pipeline.lake.read(table, ["mix"])["strategy"]) == set(MEMBERS)
        assert set(pipeline.lake.read(table, ["rsi_momentum"])["strategy"]) == {"rsi_momentum"}
    sums = sql.query(
        pipeline.lake,
        "select strategy, sum(pnl) as pnl from trades where partition = 'mix' group by strategy",
    )
    run = backtests.latest_backtest(pipeline, "mix")
    made = pipeline.lake.read("equity", ["mix"])["equity"][-1] - run["initial_cash"]
    tables = interactive_reports.tables_of(pipeline, "mix")
    found = interactive_reports.analysed(pipeline, tables, backtest_runs.regular_bars(pipeline))
    assert set(found.by_strategy["strategy"]) == set(MEMBERS)
    assert found.by_strategy["pnl"].sum() == pytest.approx(sums["pnl"].sum())
    assert sum(found.causes.values()) == pytest.approx(made)


def test_the_checks_of_the_lake_pass_for_it(pipeline):
    for check in CHECKS:
        text = (sql.SQL_FOLDER / "checks" / f"{check}.sql").read_text()
        rows = sql.query(pipeline.lake, text)
        assert rows.is_empty()


def test_a_member_without_a_model_says_nothing_and_the_others_trade(pipeline):
    assert backtest_readiness.nothing_to_trade(pipeline, "meta_labelled")
    assert backtest_readiness.nothing_to_trade(pipeline, "waiting") == ""
    assert set(pipeline.lake.read("trades", ["waiting"])["strategy"]) == {"rsi_momentum"}


def test_everything_that_is_made_of_a_backtest_is_made_of_a_portfolio(pipeline):
    assert sensitivity.parameter_sensitivity(pipeline, ["mix"]).rows == {"trials": 1}
    for stage in (
        robustness.monte_carlo, robustness.overfitting, robustness.regime_stability,
        robustness.execution_stress,
    ):  # fmt: skip
        result = stage(pipeline, ["mix"])
        assert not result.nothing
        assert all(rows > 0 for rows in result.rows.values())
    assert "mix" in set(backtests.strategy_comparison(pipeline).preview["strategy"])
    backtests.backtest(pipeline, ["mix"])
    assert backtests.backtest(pipeline, ["mix"]).unchanged_since is not None


def test_from_python_a_portfolio_is_backtested_by_its_name(pipeline):
    lake = api.open_lake(pipeline.settings)
    found = lake.backtest("mix")
    assert_frame_equal(found.equity, pipeline.lake.read("equity", ["mix"]))
    assert found.parameters["allocation"] == "inverse_volatility"
    assert found.parameters["rsi_momentum.window"] == 14
    with pytest.raises(ConfigError, match="portfolio mix has no parameter window"):
        lake.backtest("mix", window=3)


class Hears:
    """Buys at rises of a bar, and leaves what it has bought at the next bar after its fill."""

    def __init__(self):
        self.filled = set()

    def required_features(self):
        return ()

    def on_bar(self, bar):
        if bar.symbol in self.filled:
            return (Leave(bar.symbol),)
        return (Enter(bar.symbol, 1),) if bar.close > bar.open else ()

    def on_fill(self, fill):
        (self.filled.add if fill.side > 0 else self.filled.discard)(fill.symbol)
        return ()


def test_a_machine_that_hears_its_fills_shares_an_account(pipeline):
    strategies = pipeline.settings.model_dump()["strategies"]
    strategies["hears"] = {"use": f"{__name__}:Hears"}
    accounts = {
        "one": {"strategies": ("hears",)},
        "both": {
            "strategies": ("hears", "rsi_momentum"), "allocation": "inverse_volatility",
            "window_sessions": 5,
        },
    }  # fmt: skip
    settings = with_portfolios(pipeline.settings, accounts, strategies=strategies)
    changed = PipelineContext(settings)
    research.signals(changed, changed.trading_periods())
    alone, one = backtest_runs.simulated(changed, "hears"), backtest_runs.simulated(changed, "one")
    assert alone.fills.height > 20
    assert_frame_equal(one.equity.drop("backtest_id"), alone.equity.drop("backtest_id"))
    both = backtest_runs.simulated(changed, "both")
    assert set(both.trades["strategy"]) == {"hears", "rsi_momentum"}
    assert backtest_runs.hears_fills(changed, "both")
    assert not backtest_runs.hears_fills(pipeline, "mix")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ('[portfolios.a]\nstrategies = ["nobody"]', "'nobody' is not an active strategy"),
        ('[portfolios.rsi_momentum]\nstrategies = ["rsi_momentum"]', "a strategy has this name"),
        (
            '[strategies.maker]\nuse = "tests:Any"\ndata = "quotes"\n[portfolios.a]\nstrategies = ["rsi_momentum", "maker"]',
            "portfolios.a.strategies: 'maker' acts on quotes and has an account of its own",
        ),
        ('[portfolios.a]\nstrategies = ["rsi_momentum"]\nallocation = "best"', "allocation"),
    ],
)
def test_settings_of_an_impossible_portfolio_are_refused(tmp_path, text, said):
    file = tmp_path / "harmony.toml"
    file.write_text(text)
    with pytest.raises(ConfigError, match=said):
        load_settings(file, environment={})


def test_a_portfolio_has_no_part_in_the_name_of_a_replayed_account(pipeline):
    from harmony_pipeline.stages.session_plans import replay_account

    without = with_portfolios(pipeline.settings, {})
    assert replay_account(pipeline) == replay_account(PipelineContext(without))


def test_bars_of_a_portfolio_are_valued_once_a_moment(pipeline):
    equity = pipeline.lake.read("equity", ["mix"])
    assert equity["timestamp"].is_unique().all()
    assert equity.height == pipeline.lake.read("equity", ["rsi_momentum"]).height
    assert (equity.select(pl.col("gross_exposure") / pl.col("equity")).to_series() <= 1.1).all()
