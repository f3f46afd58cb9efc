"""Backtests on the terminal: one strategy's evidence, and all strategies beside each other."""

from collections.abc import Mapping
from typing import Any
from zoneinfo import ZoneInfo

from rich.table import Table as RichTable
from rich.text import Text

from harmony_pipeline.cli.invocation import as_typed, command_line
from harmony_pipeline.cli.scan_report import number_text, report_console
from harmony_pipeline.stages import backtests
from harmony_pipeline.stages.backtest_remarks import outcomes
from harmony_pipeline.stages.context import PipelineContext


def evidence(pipeline: PipelineContext) -> Text:
    """The result of the strategy that sessions trade, in one line, or why there is none."""
    strategy = pipeline.settings.session.strategy
    run = backtests.found_backtest(pipeline, strategy)
    if run is None:
        return Text(
            as_typed(f"result    none: {backtests.no_backtest(pipeline, strategy)}"), style="bold"
        )
    if not run["trades"]:
        return Text(
            f"result    {strategy} closed no trade from {_dates(pipeline, run)}:"
            f" {_orders_in_words(pipeline, strategy)}",
            style="bold",
        )
    sharpe, low, high = backtests.sharpe_of(pipeline, strategy)
    interval = f"{number_text(sharpe)}  (95 % interval {number_text(low)} to {number_text(high)})"
    return Text(
        f"result    {strategy}: out-of-sample Sharpe ratio {interval}, total return"
        f" {_percent(run['total_return'])} after costs, deepest drawdown"
        f" {_percent(run['max_drawdown'])}, {int(run['trades']):,} trades",
        style="bold",
    )


def _orders_in_words(pipeline: PipelineContext, strategy: str) -> str:
    orders = pipeline.lake.read("orders", [strategy])
    if orders.is_empty():
        return "no signal became an order"
    return ", ".join(outcomes(orders, "orders ")[:4])


def _percent(value: float | None) -> str:
    return "not measured" if value is None else f"{value:+.1%}"


def comparison(pipeline: PipelineContext) -> RichTable | None:
    """A row a strategy that traded; None when none did."""
    table = RichTable(
        title="strategies, after costs", title_justify="left", box=None, pad_edge=False
    )
    for name in (
        "strategy",
        "Sharpe",
        "95 % interval",
        "annual return",
        "volatility",
        "max drawdown",
        "trades",
        "win rate",
        "PSR",
        "DSR",
        "PBO",
    ):
        table.add_column(name, justify="left" if name == "strategy" else "right")
    for name in pipeline.settings.backtest_names:
        run = backtests.found_backtest(pipeline, name)
        if run is None or not run["trades"]:
            continue
        sharpe, low, high = backtests.sharpe_of(pipeline, name)
        odds = pipeline.lake.read("overfitting", [name])
        row = odds.row(0, named=True) if odds.height else {}
        table.add_row(
            name, number_text(sharpe), f"{number_text(low)} .. {number_text(high)}",
            _percent(run["annual_return"]), _percent(run["annual_volatility"]).lstrip("+"),
            _percent(run["max_drawdown"]),
            f"{int(run['trades'])}", f"{run['win_rate'] or 0:.0%}",
            *(number_text(row.get(key)) for key in ("psr", "dsr", "pbo")),
        )  # fmt: skip
    return table if table.row_count else None


def monte_carlo(pipeline: PipelineContext) -> RichTable | None:
    """Quantiles of every scenario; None when there were no trades to shake."""
    strategy = pipeline.settings.session.strategy
    paths = pipeline.lake.read("monte_carlo", [strategy])
    run = backtests.found_backtest(pipeline, strategy)
    if run is None or paths.is_empty():
        return None
    table = RichTable(
        title=f"Monte Carlo of {strategy}: final return by quantile, worst-drawdown quantile",
        title_justify="left",
        box=None,
        pad_edge=False,
    )
    for name in ("scenario", "paths", "5 %", "25 %", "50 %", "75 %", "95 %", "drawdown, worst 5 %"):
        table.add_column(name, justify="left" if name == "scenario" else "right")
    for (scenario,), part in paths.group_by("scenario", maintain_order=True):
        final = part["final_equity"] / run["initial_cash"] - 1.0
        cells = [
            _percent(final.quantile(level, "linear")) for level in (0.05, 0.25, 0.5, 0.75, 0.95)
        ]
        table.add_row(
            str(scenario),
            f"{part.height}",
            *cells,
            _percent(part["max_drawdown"].quantile(0.05, "linear")),
        )
    return table


def _dates(pipeline: PipelineContext, run: Mapping[str, Any]) -> str:
    """From when to when a backtest ran, in dates of the exchange: the last quote of a New York
    evening is of the next day in UTC.
    """
    zone = ZoneInfo(pipeline.calendar.zone)
    start, end = (run[edge].astimezone(zone) for edge in ("start", "end"))
    return f"{start:%Y-%m-%d} to {end:%Y-%m-%d}"


def print_backtest(pipeline: PipelineContext, strategy: str) -> None:
    """One strategy's metrics beside the others'."""
    console = report_console()
    run = backtests.latest_backtest(pipeline, strategy)
    console.print(
        f"[bold]{run['backtest_id']}[/bold] {_dates(pipeline, run)}, parameters {run['parameters']}"
    )
    table = RichTable(box=None, pad_edge=False, show_header=False)
    if not run["trades"]:
        console.print(
            f"{strategy} closed no trade: {_orders_in_words(pipeline, strategy)}",
            soft_wrap=True,
            markup=False,
        )
    for name, value in run.items():
        if isinstance(value, float) and run["trades"]:
            table.add_row(name, f"{value:,.4f}")
    console.print(table)
    console.print(f"look: {command_line('report')} {strategy}", style="cyan")
