"""Backtests of every strategy, their comparison, the sensitivity to parameters, and the tear sheet.

One path for all: the strategy's primary signals, filtered by out-of-sample probabilities where it uses a model, through the
portfolio simulator. A grid point is the same path with other parameters, and counts as a trial.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl

from harmony_pipeline.backtest.metrics import daily_returns, sharpe_interval
from harmony_pipeline.backtest.rules import TradingRules
from harmony_pipeline.backtest.simulator import BacktestResult, run_backtest
from harmony_pipeline.errors import NotReady
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.reports.figures import equity_comparison, equity_curve, sensitivity_heatmap, trade_return_histogram
from harmony_pipeline.reports.tear_sheet import TearSheet, tear_sheet
from harmony_pipeline.robustness.sensitivity import TrialRows, combinations, evaluate_grid, merge_trials, stability, trial_rows
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.stages.workspace import Workspace
from harmony_pipeline.strategies.base import signals_of
from harmony_pipeline.strategies.meta import with_probabilities
from harmony_pipeline.strategies.registry import build_strategy

MODEL_THRESHOLD = "threshold"  # grid parameter of the model's filter, not of the primary signal


def trading_rules(work: Workspace, strategy: str) -> TradingRules:
    """Costs, limits, luck and exits of one strategy."""
    settings = work.settings
    chosen = settings.strategies[strategy]
    if chosen.uses_model and chosen.horizon_bars is None:
        chosen = chosen.model_copy(update={"horizon_bars": settings.trade_horizon})  # the bet lasts as long as the forecast
    return TradingRules.of(settings.risk, settings.costs, settings.luck, settings.labels, chosen, settings.backtest)


def strategy_signals(work: Workspace, strategy: str, overrides: Mapping[str, Any] | None = None) -> pl.DataFrame:
    """symbol, timestamp, side, strength, volatility, probability, model_id: what the simulator and the session act on."""
    chosen = work.settings.strategies[strategy]
    built = build_strategy(chosen, overrides)
    if set(overrides or {}) - {MODEL_THRESHOLD}:
        primary = signals_of(built, _features_for(work, built.required_features()), lambda: work.lake.read("bars"))
    else:
        primary = work.lake.scan("signals").filter(pl.col("strategy") == strategy).drop("strategy").collect(engine="in-memory")
    if chosen.exits == "barriers":
        primary = primary.filter(pl.col("side") != 0)  # the other rows say nothing to a strategy that only enters
    scale = work.lake.scan("features").select("symbol", "timestamp", volatility="volatility_20").collect(engine="in-memory")
    signals = primary.join(scale, on=["symbol", "timestamp"], how="inner", maintain_order="left")
    if not chosen.uses_model:
        return signals.with_columns(probability=pl.lit(None, dtype=pl.Float64), model_id=pl.lit(None, dtype=pl.String)).sort("symbol", "timestamp")
    known = work.lake.scan("predictions").filter(pl.col("horizon") == work.settings.trade_horizon).collect(engine="in-memory")
    return with_probabilities(signals, known, model_threshold(work, built)).sort("symbol", "timestamp")


def model_threshold(work: Workspace, strategy: object) -> float:
    """Probability below which no trade is taken: the strategy's own, else that of [model]."""
    own = getattr(strategy, MODEL_THRESHOLD, None)
    return work.settings.model.threshold if own is None else float(own)


def _features_for(work: Workspace, names: Sequence[str]) -> pl.DataFrame:
    """Those features on every bar: from the lake where it has them, else computed now."""
    if set(names) <= set(work.feature_set.names):
        return work.lake.scan("features").select("symbol", "timestamp", *dict.fromkeys(names)).collect(engine="in-memory").sort("symbol", "timestamp")
    feature_set = FeatureSet.named(tuple(dict.fromkeys((*names, "volatility_20"))), cusum_threshold=work.settings.features.cusum_threshold)
    return compute_features(work.lake.read("bars"), feature_set, None, work.calendar, work.timeframe).table


def simulated(work: Workspace, strategy: str, overrides: Mapping[str, Any] | None = None, bars: pl.DataFrame | None = None) -> BacktestResult:
    """Run one strategy over the lake, with its own parameters or other ones."""
    chosen = work.settings.strategies[strategy]
    signals = strategy_signals(work, strategy, overrides)
    regular = regular_bars(work) if bars is None else bars
    if chosen.uses_model:
        regular = regular.filter(pl.col("timestamp") >= _first_prediction(work))
    parameters = {**chosen.parameters, **(overrides or {})}
    return run_backtest(
        regular, signals, work.lake.read("corporate_actions"), trading_rules(work, strategy), work.calendar, work.timeframe,
        backtest_id=backtest_id(work, strategy, parameters), strategy=strategy, parameters=parameters,
    )  # fmt: skip


def regular_bars(work: Workspace) -> pl.DataFrame:
    """Bars that can be traded on, sorted by symbol and time."""
    return work.lake.scan("bars").filter(pl.col("session") == "regular").collect(engine="in-memory").sort("symbol", "timestamp")


def _first_prediction(work: Workspace) -> datetime:
    """Start of the first period with a model: before it a model strategy did not exist."""
    folds = work.lake.read("folds").filter((pl.col("horizon") == work.settings.trade_horizon) & pl.col("model_id").is_not_null())
    if folds.is_empty():
        return work.retraining_periods()[-1].end
    start = folds["test_start"].min()
    assert isinstance(start, datetime)
    return start


def backtest_id(work: Workspace, strategy: str, parameters: Mapping[str, Any]) -> str:
    """A pure function of what was run on what."""
    chosen = work.settings.strategies[strategy]
    inputs = [
        work.settings.labels,
        work.settings.risk,
        work.settings.costs,
        work.settings.luck,
        work.settings.backtest,
        work.settings.market.timeframe,
        chosen.exits,
    ]
    return f"{strategy}-{work.fingerprint(dict(parameters), work.lake.content_hashes('bars'), work.lake.content_hashes('predictions') if chosen.uses_model else {}, *inputs)}"


def backtest(work: Workspace, strategies: Sequence[str]) -> StageResult:
    """Backtest each strategy with its own parameters; its configuration counts as a trial."""
    bars = regular_bars(work)
    pictures: dict[str, bytes] = {}
    rows, counts = [], {"orders": 0, "fills": 0, "trades": 0, "equity": 0}
    for number, name in enumerate(strategies, start=1):
        result = simulated(work, name, bars=bars)
        made_from = work.made_from({"bars": work.lake.partitions("bars"), "signals": work.lake.partitions("signals")}, trading_rules_text(work, name))
        for table, frame in (
            ("orders", result.orders),
            ("fills", result.fills),
            ("trades", result.trades),
            ("equity", result.equity),
            ("backtests", result.row),
        ):
            work.lake.write(table, name, frame, made_from)
            if table in counts:
                counts[table] += frame.height
        _count_trial(work, name, result)
        rows.append(result.row)
        pictures[f"{name}: equity"] = equity_curve(result.equity, f"{name}: equity after costs")
        pictures[f"{name}: trades"] = trade_return_histogram(result.trades)
        work.progress("backtest", number, len(strategies))
    return StageResult(rows=counts, preview=pl.concat(rows).drop("parameters"), pictures=pictures)


def trading_rules_text(work: Workspace, strategy: str) -> dict[str, Any]:
    """The settings behind a backtest, for its manifest."""
    settings = work.settings
    return {name: getattr(settings, name).model_dump(mode="json") for name in ("labels", "risk", "costs", "luck", "backtest", "model")} | {
        "strategy": settings.strategies[strategy].model_dump(mode="json")
    }


def _count_trial(work: Workspace, strategy: str, result: BacktestResult) -> None:
    parameters = json.loads(result.row["parameters"][0])
    returns = _daily(work, result.equity)
    _keep_trials(work, strategy, evaluate_grid(strategy, parameters, {}, lambda _chosen: returns, datetime.now(UTC)))


def _keep_trials(work: Workspace, strategy: str, trials: list[Any]) -> pl.DataFrame:
    """Add trials to those ever made; the same configuration on the same bars is the same trial."""
    data_hash = work.fingerprint(work.lake.content_hashes("bars"))
    before = TrialRows(work.lake.read("trials", [strategy]), work.lake.read("trial_returns", [strategy]))
    year = work.calendar.sessions_per_year
    merged = merge_trials(before, trial_rows(trials, data_hash, year), year)
    work.lake.write("trials", strategy, merged.trials, {"bars": data_hash})
    work.lake.write("trial_returns", strategy, merged.returns, {"bars": data_hash})
    return merged.trials


def parameter_sensitivity(work: Workspace, strategies: Sequence[str]) -> StageResult:
    """Evaluate each strategy's grid and count every combination."""
    bars = regular_bars(work)
    pictures, notes, rows = {}, [], []
    for number, name in enumerate(strategies, start=1):
        chosen = work.settings.strategies[name]

        def evaluate(parameters: Mapping[str, Any], name: str = name) -> pl.DataFrame:
            changed = {key: value for key, value in parameters.items() if work.settings.strategies[name].parameters.get(key) != value}
            return _daily(work, simulated(work, name, changed, bars=bars).equity)

        tried = evaluate_grid(name, chosen.parameters, chosen.grid, evaluate, datetime.now(UTC)) if chosen.grid else []
        trials = _keep_trials(work, name, tried)
        found = stability(trials)
        pictures[f"{name}: sensitivity"] = sensitivity_heatmap(found.table, f"{name}: annualised Sharpe ratio by parameters")
        rows.append(trials)
        notes.append(f"{name}: {len(combinations(chosen.grid)) if chosen.grid else 0} combinations, {trials.height} trials ever; {found.summary()}")
        work.progress("parameter sensitivity", number, len(strategies))
    return StageResult(rows={"trials": sum(trials.height for trials in rows)}, preview=pl.concat(rows), pictures=pictures, notes=notes)


def latest_backtest(work: Workspace, strategy: str) -> dict[str, Any]:
    """The row of the strategy's backtest. Raises NotReady when there is none."""
    rows = work.lake.read("backtests", [strategy])
    if rows.is_empty():
        raise NotReady(f"no backtest of {strategy} yet; make one with: harmony backtest {strategy}")
    return rows.row(0, named=True)


def daily_returns_of(work: Workspace, strategy: str) -> pl.DataFrame:
    """timestamp, return: one row a session of the strategy's backtest."""
    return _daily(work, work.lake.read("equity", [strategy]))


def _daily(work: Workspace, equity: pl.DataFrame) -> pl.DataFrame:
    return daily_returns(equity, work.calendar, work.settings.backtest.initial_cash, work.timeframe)


def strategy_comparison(work: Workspace) -> StageResult:
    """Every strategy's metrics side by side, the Sharpe ratio with its interval."""
    rows = []
    for name in work.settings.active_strategies:
        run = latest_backtest(work, name)
        low, high = sharpe_of(work, name)[1:]
        kept = ("annual_return", "annual_volatility", "sharpe", "max_drawdown", "trades", "win_rate", "profit_factor", "turnover", "fees", "slippage")
        rows.append({"strategy": name, **{key: run[key] for key in kept}, "sharpe_low": low, "sharpe_high": high})
    table = pl.DataFrame(rows).sort("sharpe", descending=True, nulls_last=True)
    curves = {name: work.lake.read("equity", [name]) for name in work.settings.active_strategies}
    return StageResult(rows={"strategies": table.height}, preview=table, pictures={"strategies compared": equity_comparison(curves)})


def sharpe_of(work: Workspace, strategy: str) -> tuple[float | None, float | None, float | None]:
    """Annualised Sharpe ratio of the backtest with its 95 % interval."""
    returns = daily_returns_of(work, strategy)["return"].drop_nulls().to_numpy()
    interval = sharpe_interval(returns, 0.95, work.calendar.sessions_per_year)
    return latest_backtest(work, strategy)["sharpe"], interval[0], interval[1]


def write_tear_sheet(work: Workspace, strategy: str) -> Path:
    """The strategy on one self-contained page, in the state folder's reports."""
    sharpe = sharpe_of(work, strategy)
    inputs = TearSheet(
        strategy=strategy,
        backtest=latest_backtest(work, strategy),
        sharpe_interval=(sharpe[1], sharpe[2]),
        equity=work.lake.read("equity", [strategy]),
        trades=work.lake.read("trades", [strategy]),
        monte_carlo=work.lake.read("monte_carlo", [strategy]),
        overfitting=work.lake.read("overfitting", [strategy]),
        folds=work.lake.read("folds").filter(pl.col("horizon") == work.settings.trade_horizon),
        promotions=work.lake.read("promotions") if work.settings.strategies[strategy].uses_model else work.lake.tables["promotions"].empty(),
        regimes=work.lake.read("regime_stability", [strategy]),
        sensitivity=stability(work.lake.read("trials", [strategy])).table,
    )
    path = work.settings.state_root / "reports" / f"{strategy}.html"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(tear_sheet(inputs), encoding="utf-8")
    return path
