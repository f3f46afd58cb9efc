"""A strategy that acts on quotes goes through the graph like any other: its backtest has every
public table, counts as a trial, and stands in the comparison and on the pages beside those on bars.
"""

import json
from datetime import date

import polars as pl
import pytest
from typer.testing import CliRunner

from harmony_pipeline.cli import app
from harmony_pipeline.cli.backtest_report import print_backtest
from harmony_pipeline.config import load_settings
from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.stages import (
    backtest_readiness,
    backtest_runs,
    backtests,
    ingest,
    interactive_reports,
    market,
    research,
    robustness,
    sensitivity,
    tear_sheets,
    ticks,
)
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.quote_backtests import quote_backtest
from harmony_pipeline.strategies.events import Enter, Leave, Post
from harmony_pipeline.strategies.settings import StrategySettings
from harmony_pipeline.testing.tiny import tiny_settings

DAYS = [date(2024, 1, 3), date(2024, 1, 4)]


class Counting:
    """Counts the quotes that it hears, and does something at every so many."""

    def __init__(self, every: int) -> None:
        self.every, self.count = every, 0

    def required_features(self):
        return ()

    def on_bar(self, bar):
        return ()

    def is_due(self) -> bool:
        self.count += 1
        return self.count % self.every == 0


class Quoter(Counting):
    """Bid and ask at the best prices, now and then."""

    def on_quote(self, quote):
        if not self.is_due() or not 0.0 < quote.bid < quote.ask:
            return ()
        return (Post(quote.symbol, 1, quote.bid, 20.0), Post(quote.symbol, -1, quote.ask, 20.0))


class Swinger(Counting):
    """In and out of the market by the number of the quote; sized by the rule of size."""

    def on_quote(self, quote):
        if not self.is_due():
            return ()
        side = (self.count // self.every) % 3 - 1
        return (Enter(quote.symbol, side),) if side else (Leave(quote.symbol),)


MAKER = StrategySettings(
    use=f"{__name__}:Quoter", data="quotes", parameters={"every": 60}, grid={"every": (60, 90)}
)
SWINGER = StrategySettings(use=f"{__name__}:Swinger", data="quotes", parameters={"every": 150})


def context(folder, **changes):
    settings = tiny_settings(folder, start=date(2023, 12, 11), end=date(2024, 1, 5))
    simulated = settings.market.simulated.model_copy(update={"symbols": 1, "low_float_symbols": 0})
    own_market = settings.market.model_copy(update={"simulated": simulated})
    rsi = settings.strategies["rsi_momentum"]
    chosen = {"rsi_momentum": rsi, "maker": MAKER, "swinger": SWINGER, **changes}
    session = settings.session.model_copy(update={"strategy": "rsi_momentum"})
    risk = settings.risk.model_copy(update={"minimum_order_value": 0.0})
    return PipelineContext(
        settings.model_copy(
            update={"strategies": chosen, "session": session, "risk": risk, "market": own_market}
        )
    )


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    pipeline = context(tmp_path_factory.mktemp("quotes"))
    periods = pipeline.trading_periods()
    market.corporate_actions(pipeline)
    market.universe(pipeline)
    ingest.raw_bars(pipeline, periods)
    market.bars(pipeline, periods)
    market.daily_summary(pipeline, periods)
    for stage in (research.features, research.regimes, research.signals):
        stage(pipeline, periods)
    why = backtest_readiness.nothing_to_trade(pipeline, "maker")
    assert "no quotes" in why and "harmony ticks --from DAY" in why
    assert backtests.backtest(pipeline, ["maker"]).nothing == why
    ticks.quote_ticks(pipeline, DAYS)
    ticks.trade_ticks(pipeline, DAYS)
    for key in pipeline.lake.partitions("quote_ticks"):  # the runs below need no 44,000 quotes
        quotes = pipeline.lake.read("quote_ticks", [key])
        pipeline.lake.write("quote_ticks", key, quotes.gather_every(4))
    backtests.backtest(pipeline, ["rsi_momentum", "maker", "swinger"])
    return pipeline


@pytest.mark.parametrize("name", ["maker", "swinger"])
def test_every_public_table_is_written_and_agrees_with_the_driver(made, name):
    kept = {table: made.lake.read(table, [name]) for table in backtests.BACKTEST_TABLES}
    again = backtest_runs.simulated(made, name)
    frames = (again.orders, again.order_events, again.fills, again.trades, again.position_actions, again.equity, again.row)  # fmt: skip
    for table, frame in zip(backtests.BACKTEST_TABLES, frames, strict=True):
        assert kept[table].equals(frame), table
    assert kept["fills"].height > 20 and kept["trades"].height > 3
    (row,) = kept["backtests"].iter_rows(named=True)
    assert row["strategy"] == name and row["backtest_id"].startswith(f"{name}-")
    assert json.loads(row["parameters"]) == made.settings.strategies[name].parameters
    assert {*kept["orders"]["backtest_id"]} == {row["backtest_id"]}
    direct = quote_backtest(made, name, {})
    assert (
        direct.fills.select("quantity", "price", "fee")
        .sort(pl.all())
        .equals(kept["fills"].select("quantity", "price", "fee").sort(pl.all()))
    )
    days = kept["equity"]["timestamp"].dt.date().unique().sort().to_list()
    assert days == DAYS


def test_sizes_come_from_the_volatility_that_features_knew(made):
    orders = made.lake.read("orders", ["swinger"])
    entered = orders.filter(pl.col("verdict").is_in(["approve", "resize"]))
    assert entered.height > 5 and entered["wanted_quantity"].n_unique() > 3
    assert "bad_input" not in orders["reason"].to_list()


def test_it_counts_as_a_trial_and_its_grid_too(made):
    assert made.lake.read("trials", ["swinger"]).height == 1
    sensitivity.parameter_sensitivity(made, ["maker"])
    trials = made.lake.read("trials", ["maker"])
    tried = [json.loads(one)["every"] for one in trials["parameters"]]
    assert sorted(tried) == [60, 90]
    returns = made.lake.read("trial_returns", ["maker"])
    assert returns.height == 2 * len(DAYS)


def test_what_nothing_has_changed_is_not_made_again(made):
    result = backtests.backtest(made, ["maker"])
    assert result.unchanged_since is not None or "unchanged" in str(result)


def test_signals_and_stress_leave_it_out_with_the_reason(made):
    assert {*made.lake.read("signals")["strategy"]} == {"rsi_momentum"}
    robustness.monte_carlo(made, ["maker"])
    assert made.lake.read("monte_carlo", ["maker"]).height > 0
    stressed = robustness.execution_stress(made, ["maker"])
    assert "acts on quotes" in str(stressed.nothing)
    robustness.overfitting(made, ["maker"])
    assert made.lake.read("overfitting", ["maker"]).height == 1


def test_it_stands_in_sql_in_the_comparison_and_on_its_pages(made):
    table = backtests.strategy_comparison(made).preview
    assert {*table["strategy"]} == {"rsi_momentum", "maker", "swinger"}
    pages = interactive_reports.write_comparison(made)
    text = pages[0].read_text()
    assert "maker" in text and "swinger" in text and len(pages) == 4
    sheet = tear_sheets.write_tear_sheet(made, "maker")
    assert "maker" in sheet.read_text()


def test_the_command_shows_its_rows(made, tmp_path):
    file = made.settings.file
    query = "select strategy, count(*) as n from fills group by strategy order by strategy"
    found = CliRunner().invoke(app, ["--config", str(file), "sql", query, "--format", "csv"])
    assert found.exit_code == 0, found.output
    assert [line.split(",")[0] for line in found.output.split()[1:]] == ["maker", "rsi_momentum", "swinger"]  # fmt: skip


def test_what_does_not_go_with_quotes_is_refused_in_words(made, tmp_path):
    modelled = SWINGER.model_copy(update={"uses_model": True})
    barred = SWINGER.model_copy(update={"exits": "barriers"})
    for changed, message in ((modelled, "uses_model = true judges signals of bars"), (barred, "are counted in bars")):  # fmt: skip
        settings = made.settings.model_copy(
            update={"strategies": {**made.settings.strategies, "swinger": changed}}
        )
        with pytest.raises(ConfigError, match=message):
            backtest_runs.simulated(PipelineContext(settings), "swinger")


@pytest.mark.parametrize(
    ("own", "others", "said"),
    [
        ("uses_model = true", "", "strategies.mine.uses_model: .* set uses_model = false"),
        ('watch = "scanner"', "", 'strategies.mine.watch: .* set watch = "universe"'),
        ("", '[risk]\nsizing = "bandit"', "risk.sizing: bandit learns .* mine acts on quotes"),
        ("", '[session]\nstrategy = "mine"', "'mine' .* no part of a session: choose one on bars"),
    ],
)
def test_settings_are_refused_before_anything_runs(tmp_path, own, others, said):
    file = tmp_path / "harmony.toml"
    quoted = f'[strategies.mine]\nuse = "{__name__}:Quoter"\ndata = "quotes"\n'
    file.write_text(f"{quoted}{own}\n{others}\n")
    with pytest.raises(ConfigError, match=said):
        load_settings(file, environment={})
    file.write_text(f"{quoted}enabled = false\n{own}\n")
    assert "mine" in load_settings(file, environment={}).strategies


def test_a_symbol_without_quotes_is_named(made):
    (known,) = made.lake.read("quote_ticks")["symbol"].unique()
    with pytest.raises(NotReady, match=r"no quotes .*\(there are none of ZZZ\)"):
        quote_backtest(made, "maker", {}, symbols=[known, "ZZZ"])


def test_the_command_names_dates_of_the_exchange(made, capsys):
    row = backtests.latest_backtest(made, "maker")
    assert row["end"].date() > DAYS[-1]  # the evening in New York is the next day in UTC
    print_backtest(made, "maker")
    assert f"{DAYS[0]} to {DAYS[-1]}," in " ".join(capsys.readouterr().out.split())
