"""The command that recomputes backtests: equal on nasty markets, and not equal when one cent or one
share is altered.
"""

import shutil
from pathlib import Path

import polars as pl
import pytest
from backtest.random_markets import TIMEFRAME, Market, random_market, rules, run, with_lives
from backtest.shared_accounts import shared, three
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.backtest.simulator import BacktestResult
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.testing.recompute_backtests import main

COSTS = {
    "borrow_rate": 0.05,
    "interest_rate": 0.03,
    "debit_rate": 0.08,
    "fee_bps": 1.0,
    "maker_fee_bps": -0.2,
    "fee_per_share": 0.005,
}
RISK = {"max_daily_loss": 0.5, "max_drawdown": 0.9}
TABLES = ("orders", "fills", "trades", "equity", "position_actions")


def lake_of(
    folder: Path, market: Market, exits: str = "barriers", result: BacktestResult | None = None
) -> Path:
    """A lake with the backtest of the market, or another result, and its settings beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = [f'[market]\ntimeframe = "{TIMEFRAME}"\n', "[costs]"]
    lines += [f"{name} = {value}" for name, value in COSTS.items()]
    (folder / "harmony.toml").write_text("\n".join(lines))
    if result is None:
        result = run(market, rules(RISK, COSTS, {"partial_fill_probability": 0.2}, exits=exits))
    lake = Lake(folder / "lake").open()
    lake.write("bars", "2024", market.bars)
    lake.write("corporate_actions", "all", market.actions)
    lake.write("listings", "all", _listings(market.lives))
    lake.write("backtests", "s", result.row)
    for table in TABLES:
        lake.write(table, "s", getattr(result, table))
    return folder


def _listings(lives: pl.DataFrame) -> pl.DataFrame:
    """What delistings state as cash per share."""
    return lives.select(
        "symbol",
        "recovery",
        "successor",
        security_id="symbol",
        valid_from=pl.lit(None, pl.Date),
        valid_to="date",
        listed=pl.lit(None, pl.Date),
        delisted="date",
        reason="kind",
        source=pl.lit("test"),
        known="date",
    )


def recomputed(folder: Path) -> int:
    return main([str(folder / "lake"), "--config", str(folder / "harmony.toml")])


@settings(max_examples=8)
@given(seed=st.integers(0, 10**6), exits=st.sampled_from(["barriers", "signal"]))
def test_the_naive_ledger_agrees_on_every_market(tmp_path_factory, capsys, seed, exits):
    market = with_lives(random_market(seed), seed)
    folder = lake_of(tmp_path_factory.mktemp("lake"), market, exits)
    assert recomputed(folder) == 0, capsys.readouterr().out


def portfolio_of(market: Market) -> BacktestResult:
    """Three strategies on one account, which hold the same symbols beside each other."""
    risk = {**RISK, "sizing": "fixed_fraction", "size_fraction": 0.1, "max_position": 1.0}
    chosen = {"risk": risk, "costs": COSTS, "luck": {"partial_fill_probability": 0.2}}
    return shared(market, three(market, chosen))


@settings(max_examples=8)
@given(seed=st.integers(0, 10**6))
def test_the_naive_ledger_agrees_on_every_portfolio(tmp_path_factory, capsys, seed):
    market = with_lives(random_market(seed), seed)
    folder = lake_of(tmp_path_factory.mktemp("lake"), market, result=portfolio_of(market))
    assert recomputed(folder) == 0, capsys.readouterr().out


def test_a_share_of_one_strategy_that_is_anothers_is_found(tmp_path, capsys):
    market = with_lives(random_market(8), 8)
    result = portfolio_of(market)
    together = result.trades.join(result.trades, on="symbol", suffix="_other").filter(
        (pl.col("strategy") != pl.col("strategy_other"))
        & (pl.col("entry_timestamp") < pl.col("exit_timestamp_other"))
        & (pl.col("entry_timestamp_other") < pl.col("exit_timestamp"))
    )
    assert together.height, "no two strategies held one symbol at one time"
    folder = lake_of(tmp_path, market, result=result)
    assert recomputed(folder) == 0
    row = result.trades.with_row_index().filter(trade_id=together["trade_id"][0])["index"][0]
    alter(folder, "trades", in_row("pnl", 0.01, row))
    assert recomputed(folder) == 1
    assert f"trade {together['trade_id'][0]}: pnl is" in capsys.readouterr().out


def alter(folder: Path, table: str, change) -> None:
    lake = Lake(folder / "lake").open()
    lake.write(table, "s", change(lake.read(table, ["s"])))


def in_row(column: str, step: float, row: int = -1):
    """One value of a column moved by `step`."""
    return lambda rows: rows.with_columns(
        pl.when(pl.int_range(pl.len()) == row % rows.height)
        .then(pl.col(column) + step)
        .otherwise(column)
    )


@pytest.fixture(scope="module")
def nasty(tmp_path_factory) -> Path:
    return lake_of(tmp_path_factory.mktemp("nasty"), with_lives(random_market(8), 8))


@pytest.mark.parametrize(
    ("table", "change", "said"),
    [
        ("equity", in_row("equity", 0.01, 20), "equity at 2024-"),
        ("equity", in_row("cash", -0.01), "cash at 2024-"),
        ("equity", lambda rows: rows.drop_nulls().head(rows.height - 1), "equity has no row at"),
        ("trades", in_row("pnl", 0.01, 0), ": pnl is"),
        ("trades", in_row("exit_price", 0.0001, 0), ": exit_price is"),
        ("trades", lambda rows: rows.slice(1), "is missing"),
        ("fills", in_row("quantity", 1.0, 0), "quantity_before is"),
        ("fills", in_row("fee", 0.01, 0), "not so: its fee is that of the settings"),
        ("fills", in_row("reference_price", 1.0, 3), "not so: "),
        ("position_actions", in_row("cash", 0.01), ": cash is"),
        ("position_actions", lambda rows: rows.slice(1), "is not booked"),
        ("backtests", in_row("sharpe", 1e-7, 0), "sharpe is"),
        ("backtests", in_row("turnover", 1e-5, 0), "turnover is"),
    ],
)
def test_one_altered_value_is_found(tmp_path, capsys, nasty, table, change, said):
    folder = shutil.copytree(nasty, tmp_path / "altered")
    alter(folder, table, change)
    assert recomputed(folder) == 1
    assert said in capsys.readouterr().out


def test_a_lake_without_a_backtest_is_not_called_equal(tmp_path, capsys):
    (tmp_path / "harmony.toml").write_text("")
    Lake(tmp_path / "lake").open()
    assert recomputed(tmp_path) == 1
    assert "0 backtests" in capsys.readouterr().out
