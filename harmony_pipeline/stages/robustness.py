"""Monte Carlo, overfitting statistics and regime stability of backtests."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import polars as pl

from harmony_pipeline.backtest.simulator import BacktestResult, run_backtest
from harmony_pipeline.market.multipliers import with_multiplier
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.reports import sketches
from harmony_pipeline.reports.drawings import Drawing
from harmony_pipeline.reports.figures import monte_carlo_fan, regime_bars
from harmony_pipeline.robustness.execution_stress import (
    ExecutionDraw,
    execution_draws,
    stress_verdict,
)
from harmony_pipeline.robustness.monte_carlo import simulate
from harmony_pipeline.robustness.overfitting import latest_trials, overfitting_row
from harmony_pipeline.robustness.planned_loss import loss_at_stop
from harmony_pipeline.robustness.regimes import regime_stability as stability
from harmony_pipeline.stages.backtest_readiness import nothing_to_trade
from harmony_pipeline.stages.backtest_runs import (
    hears_fills,
    regular_bars,
    shared_account,
    tradable_bars,
)
from harmony_pipeline.stages.backtests import daily_returns_of, found_backtest, no_backtest
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.instruments import multipliers_of
from harmony_pipeline.stages.lives import last_day, lives_of
from harmony_pipeline.stages.reasons import ACTS_ON_FILLS, ACTS_ON_QUOTES
from harmony_pipeline.stages.result import Picture, StageResult
from harmony_pipeline.stages.strategy_signals import strategy_signals
from harmony_pipeline.stages.trading_rules import trading_rules
from harmony_pipeline.stages.unchanged import unchanged_since
from harmony_pipeline.strategies.settings import acts_on_quotes

Made = tuple[pl.DataFrame, StageResult]


def monte_carlo(pipeline: PipelineContext, strategies: Sequence[str]) -> StageResult:
    """Resampled and stressed paths of each strategy's closed trades."""

    def inputs(name: str) -> dict[str, str]:
        return pipeline.made_from(
            {"trades": [name], "backtests": [name]}, pipeline.settings.monte_carlo
        )

    def make(name: str, run: dict[str, Any]) -> Made:
        trades = pipeline.lake.read("trades", [name])
        if not trades["exit_timestamp"].drop_nulls().len():
            empty = pipeline.lake.tables["monte_carlo"].empty()
            return empty, StageResult(
                rows={"monte_carlo": 0},
                nothing=f"{name} closed no trade, so there is nothing to shake",
            )
        result = simulate(
            trades,
            run["initial_cash"],
            pipeline.settings.monte_carlo,
            run["backtest_id"],
            multipliers_of(pipeline, trades),
            pipeline.zone,
        )
        pictures: dict[str, Picture] = {
            "final equity, worst path first": sketches.bars(
                result.table["final_equity"].sort().to_list()
            ),
            "Monte Carlo": Drawing(
                monte_carlo_fan, lambda: (result.fan("stressed"), f"{name}: stressed paths")
            ),
        }
        preview = result.quantiles.with_columns(strategy=pl.lit(name))
        return result.table, StageResult(
            rows={"monte_carlo": result.table.height}, preview=preview, pictures=pictures
        )

    return _each(pipeline, strategies, "monte_carlo", inputs, make)


def overfitting(pipeline: PipelineContext, strategies: Sequence[str]) -> StageResult:
    """How likely luck and search made the result: PSR, DSR, PBO, SPA and the minimum track record,
    over every configuration ever tried.
    """

    def inputs(name: str) -> dict[str, str]:
        own = ("equity", "backtests", "orders", "fills")
        every = {table: pipeline.lake.partitions(table) for table in ("trials", "trial_returns")}
        tables = {**every, **{table: [name] for table in own}}
        return pipeline.made_from(tables, pipeline.settings.overfitting)

    def make(name: str, run: dict[str, Any]) -> Made:
        trials = pipeline.lake.read("trials")
        fills = pipeline.lake.read("fills", [name])
        row = overfitting_row(
            name,
            daily_returns_of(pipeline, name),
            trials,
            pipeline.lake.read("trial_returns"),
            pipeline.settings.overfitting,
            loss_at_stop(
                pipeline.lake.read("orders", [name]),
                with_multiplier(fills, multipliers_of(pipeline, fills)),
                pipeline.lake.read("equity", [name]),
                run["initial_cash"],
            ),
        )
        pictures = {
            "Sharpe ratio by trial": sketches.bars(trials["sharpe"].drop_nulls().sort().to_list())
        }
        return row, StageResult(rows={"overfitting": row.height}, preview=row, pictures=pictures)

    return _each(pipeline, strategies, "overfitting", inputs, make)


def current_statistics(pipeline: PipelineContext, strategy: str) -> None:
    """Measure the strategy again where trials were added since, of whatever strategy: a decision
    counts everything that was tried until then.
    """
    row = pipeline.lake.read("overfitting", [strategy])
    counted = int(row["n_trials"][0]) if row.height else 0
    if row.height and latest_trials(pipeline.lake.read("trials")).height > counted:
        overfitting(pipeline, [strategy])


def regime_stability(pipeline: PipelineContext, strategies: Sequence[str]) -> StageResult:
    """How each strategy did in each regime, as known before each day."""

    def inputs(name: str) -> dict[str, str]:
        return pipeline.made_from(
            {"equity": [name], "backtests": [name], "regimes": pipeline.lake.partitions("regimes")}
        )

    def make(name: str, _run: dict[str, Any]) -> Made:
        table = stability(daily_returns_of(pipeline, name), pipeline.lake.read("regimes"), name)
        pictures: dict[str, Picture] = {
            "days by regime": sketches.bars(table["days"].to_list()),
            "regimes": Drawing.of(regime_bars, table),
        }
        return table, StageResult(
            rows={"regime_stability": table.height}, preview=table, pictures=pictures
        )

    return _each(pipeline, strategies, "regime_stability", inputs, make)


def execution_stress(pipeline: PipelineContext, strategies: Sequence[str]) -> StageResult:
    """Each strategy's backtest run again with other costs, later orders, rejects, late and lost
    bars.
    """
    chosen = pipeline.settings.execution_stress

    def inputs(name: str) -> dict[str, str]:
        return pipeline.made_from({"orders": [name], "backtests": [name]}, chosen)

    def make(name: str, run: dict[str, Any]) -> Made:
        if hears_fills(pipeline, name):
            empty = pipeline.lake.tables["execution_stress"].empty()
            why = ACTS_ON_QUOTES if _on_quotes(pipeline, name) else ACTS_ON_FILLS
            return empty, StageResult(rows={"execution_stress": 0}, nothing=why)
        run_draw = _drawn(pipeline, name)
        rows = []
        for draw in execution_draws(chosen):
            rows.append({"strategy": name, **vars(draw), **_outcome(run_draw(draw))})
            pipeline.progress(f"{name}: draws", len(rows), chosen.draws)
        table = pipeline.lake.tables["execution_stress"].conform(pl.DataFrame(rows))
        returns = table["total_return"].sort().to_list()
        return table, StageResult(
            rows={"execution_stress": table.height},
            preview=table,
            pictures={"total return, worst draw first": sketches.bars(returns)},
            notes=[f"{name}: {stress_verdict(returns, run['total_return'] or 0.0)}"],
        )

    return _each(pipeline, strategies, "execution_stress", inputs, make)


def _on_quotes(pipeline: PipelineContext, name: str) -> bool:
    chosen = pipeline.settings.strategies.get(name)
    return chosen is not None and acts_on_quotes(chosen)


@dataclass(frozen=True)
class Tradable:
    """What a strategy's backtest runs on: bars, signals, corporate actions, rules, lives."""

    pipeline: PipelineContext
    bars: pl.DataFrame
    signals: pl.DataFrame
    actions: pl.DataFrame
    rules: TradingRules

    def run(self, draw: ExecutionDraw) -> BacktestResult:
        """The backtest under the circumstances of the draw."""
        return run_backtest(
            self.bars, draw.signals(self.signals), self.actions, draw.rules(self.rules),
            self.pipeline.calendar, self.pipeline.timeframe, backtest_id=f"draw-{draw.draw}",
            lives=lives_of(self.pipeline), until=last_day(self.pipeline),
        )  # fmt: skip


def _drawn(pipeline: PipelineContext, name: str) -> Callable[[ExecutionDraw], BacktestResult]:
    """What runs a draw of a strategy or a portfolio."""
    if name in pipeline.settings.portfolios:
        return shared_account(pipeline, name, regular_bars(pipeline)).run_draw
    return tradable(pipeline, name).run


def tradable(pipeline: PipelineContext, strategy: str) -> Tradable:
    """Read once, for many runs."""
    return Tradable(
        pipeline,
        tradable_bars(pipeline, strategy, regular_bars(pipeline)),
        strategy_signals(pipeline, strategy),
        pipeline.lake.read("corporate_actions"),
        trading_rules(pipeline, strategy),
    )


def _outcome(result: BacktestResult) -> dict[str, float | int | None]:
    closed = result.trades["exit_timestamp"].drop_nulls().len()
    final = result.equity["equity"]
    return {
        "trades": closed,
        "total_return": result.metrics["total_return"],
        "max_drawdown": result.metrics["max_drawdown"],
        "final_equity": float(final[-1]) if final.len() else float(result.row["initial_cash"][0]),
    }


def _each(
    pipeline: PipelineContext,
    strategies: Sequence[str],
    table: str,
    inputs: Callable[[str], dict[str, str]],
    make: Callable[[str, dict[str, Any]], Made],
) -> StageResult:
    """One partition a strategy: left when unchanged, empty without a backtest, else made and
    written.
    """
    parts: dict[str, StageResult] = {}
    for number, name in enumerate(strategies, start=1):
        made_from = inputs(name)
        since, run = (
            unchanged_since(pipeline, (table,), name, made_from),
            found_backtest(pipeline, name),
        )
        if since is not None and run is not None:
            parts[name] = _made_before(pipeline, table, name, since)
        elif run is None:
            parts[name] = StageResult(
                rows={table: 0},
                nothing=nothing_to_trade(pipeline, name) or no_backtest(pipeline, name),
            )
            if pipeline.lake.has(table, name):  # no result of another backtest stays behind
                pipeline.lake.write(table, name, pipeline.lake.tables[table].empty(), made_from)
        else:
            rows, parts[name] = make(name, run)
            pipeline.lake.write(table, name, rows, made_from)
        pipeline.progress(table.replace("_", " "), number, len(strategies))
    previews = [part.preview for part in parts.values() if part.preview is not None]
    return StageResult.of(parts, preview=pl.concat(previews) if previews else None)


def _made_before(
    pipeline: PipelineContext, table: str, strategy: str, since: datetime
) -> StageResult:
    rows = int((pipeline.lake.manifest(table, strategy) or {})["rows"])
    return StageResult(rows={table: rows}, unchanged_since=since)
