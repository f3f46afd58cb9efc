"""The interactive pages of strategies in the state folder, from the tables of their latest
backtests.
"""

from pathlib import Path

import polars as pl

from harmony_pipeline.analytics import Analysis, BacktestTables, analyse
from harmony_pipeline.analytics.benchmark import buy_and_hold
from harmony_pipeline.backtest.simulator import BacktestResult
from harmony_pipeline.errors import NotReady
from harmony_pipeline.reports.interactive.comparison import comparison_page
from harmony_pipeline.reports.interactive.sheet import InteractiveSheet, interactive_sheet
from harmony_pipeline.reports.page import write_page
from harmony_pipeline.stages.backtest_runs import regular_bars
from harmony_pipeline.stages.backtests import found_backtest, latest_backtest
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.instruments import multipliers_of

COMPARISON = "comparison.html"


def interactive_path(pipeline: PipelineContext, strategy: str) -> Path:
    """Where the interactive page of a strategy is written."""
    return pipeline.settings.state_root / "reports" / f"{strategy}-interactive.html"


def comparison_path(pipeline: PipelineContext) -> Path:
    """Where the comparison of strategies is written."""
    return pipeline.settings.state_root / "reports" / COMPARISON


def tables_of(pipeline: PipelineContext, strategy: str) -> BacktestTables:
    """The tables of the strategy's latest backtest. Raises NotReady when there is none."""
    row = latest_backtest(pipeline, strategy)
    frames = {
        name: pipeline.lake.read(name, [strategy])
        for name in ("equity", "trades", "orders", "fills")
    }
    return BacktestTables(strategy, row["initial_cash"], **frames)


def tables_of_result(strategy: str, result: BacktestResult) -> BacktestTables:
    """The tables of a backtest that has just run."""
    return BacktestTables(
        strategy,
        float(result.row["initial_cash"][0]),
        equity=result.equity,
        trades=result.trades,
        orders=result.orders,
        fills=result.fills,
    )


def analysed(
    pipeline: PipelineContext,
    run: BacktestTables,
    bars: pl.DataFrame,
) -> Analysis:
    """The analysis of a backtest beside the benchmark of the settings, else the market of equal
    weights. bars: `regular_bars`.
    """
    symbol = pipeline.settings.market.benchmark
    of_one = bars.filter(pl.col("symbol") == symbol) if symbol else bars
    market = buy_and_hold(of_one, pipeline.calendar, pipeline.timeframe)
    return analyse(
        run,
        pipeline.calendar,
        pipeline.timeframe,
        bars,
        benchmark=_within(market, run.equity, pipeline),
        benchmark_name=symbol or "market",
        regimes=pipeline.lake.read("regimes"),
        multipliers=multipliers_of(pipeline, run.fills),
    )


def interactive_page_of(
    pipeline: PipelineContext,
    run: BacktestTables,
    row: dict[str, object],
    bars: pl.DataFrame,
    pages: tuple[tuple[str, str], ...] = (),
    found: Analysis | None = None,
) -> str:
    """The page of a backtest; row: its row of BACKTESTS."""
    return interactive_sheet(
        InteractiveSheet(
            found=analysed(pipeline, run, bars) if found is None else found,
            backtest=row,
            equity=run.equity,
            trades=run.trades,
            orders=run.orders,
            bars=bars,
            instruments=pipeline.instruments,
            calendar=pipeline.calendar,
            timeframe=pipeline.timeframe,
            pages=pages,
        )
    )


def write_interactive_page(pipeline: PipelineContext, strategy: str) -> Path:
    """Write the interactive page beside the tear sheet, and say where it is."""
    page = interactive_page_of(
        pipeline,
        tables_of(pipeline, strategy),
        latest_backtest(pipeline, strategy),
        regular_bars(pipeline),
        _pages_beside(pipeline, strategy),
    )
    return write_page(interactive_path(pipeline, strategy), page)


def _pages_beside(pipeline: PipelineContext, strategy: str) -> tuple[tuple[str, str], ...]:
    """Heading and address of the pages that there are of this strategy."""
    pages = (
        ("tear sheet with robustness and gate", f"{strategy}.html"),
        ("pictures of some trades", f"{strategy}-trades.html"),
        ("comparison of strategies", COMPARISON),
    )
    folder = comparison_path(pipeline).parent
    return tuple((heading, name) for heading, name in pages if (folder / name).exists())


def write_comparison(pipeline: PipelineContext) -> list[Path]:
    """Write the comparison of all strategies that have a backtest, and the interactive page of
    each; returns the paths, that of the comparison first.

    Raises NotReady when there is no backtest.
    """
    chosen = [
        name
        for name in pipeline.settings.backtest_names
        if found_backtest(pipeline, name) is not None
    ]
    if not chosen:
        raise NotReady("there is no backtest to compare; make them with: harmony run")
    bars = regular_bars(pipeline)
    runs = {name: tables_of(pipeline, name) for name in chosen}
    found = {name: analysed(pipeline, run, bars) for name, run in runs.items()}
    addresses = {name: interactive_path(pipeline, name).name for name in chosen}
    written = [write_page(comparison_path(pipeline), comparison_page(found, addresses))]
    for name, one in found.items():
        row = latest_backtest(pipeline, name)
        pages = _pages_beside(pipeline, name)
        page = interactive_page_of(pipeline, runs[name], row, bars, pages, one)
        written.append(write_page(interactive_path(pipeline, name), page))
    return written


def _within(
    benchmark: pl.DataFrame, equity: pl.DataFrame, pipeline: PipelineContext
) -> pl.DataFrame:
    """The benchmark over the sessions of the run."""
    if equity.is_empty():
        return benchmark.clear()
    dates = pipeline.calendar.with_session(equity.select("timestamp"), pipeline.timeframe)
    first, last = dates["session_date"].min(), dates["session_date"].max()
    return benchmark.filter(pl.col("timestamp").dt.date().is_between(first, last))
