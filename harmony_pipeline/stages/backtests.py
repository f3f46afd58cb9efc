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
from harmony_pipeline.backtest.simulator import BacktestResult, run_backtest
from harmony_pipeline.errors import NotReady
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.files import write_text
from harmony_pipeline.lake.lake import code_version
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.reports import sketches
from harmony_pipeline.reports.figures import equity_comparison, equity_curve, sensitivity_heatmap, trade_on_candles, trade_return_histogram
from harmony_pipeline.reports.tear_sheet import TearSheet, tear_sheet
from harmony_pipeline.robustness.sensitivity import TrialRows, combinations, evaluate_grid, merge_trials, stability, trial_rows
from harmony_pipeline.stages.code_identity import source_of
from harmony_pipeline.stages.lives import last_day, lives_of
from harmony_pipeline.stages.models import why_no_model
from harmony_pipeline.stages.reasons import NO_BARS, NO_REGULAR_BARS, TOO_FEW_BARS
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.stages.trade_pages import latest_closed, page_path, write_trade_page
from harmony_pipeline.stages.unchanged import unchanged_since
from harmony_pipeline.stages.workspace import Workspace
from harmony_pipeline.strategies.base import signals_of
from harmony_pipeline.strategies.meta import with_probabilities
from harmony_pipeline.strategies.registry import build_strategy

BACKTEST_TABLES = ("orders", "fills", "trades", "position_actions", "equity", "backtests")
MODEL_THRESHOLD = "threshold"  # grid parameter of the model's filter, not of the primary signal


def trading_rules(work: Workspace, strategy: str) -> TradingRules:
    """Costs, limits, luck and exits of one strategy."""
    settings = work.settings
    chosen = settings.strategies[strategy]
    if chosen.uses_model and chosen.horizon_bars is None:
        chosen = chosen.model_copy(update={"horizon_bars": settings.trade_horizon})  # the bet lasts as long as the forecast
    return TradingRules.of(settings.risk, settings.costs, settings.execution_noise, settings.labels, chosen, settings.backtest, work.instruments)


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
    feature_set = FeatureSet.of(tuple(dict.fromkeys((*names, "volatility_20"))), cusum_threshold=work.settings.features.cusum_threshold)
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
        lives=lives_of(work), until=last_day(work),
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
        work.settings.execution_noise,
        work.settings.backtest,
        work.settings.market.timeframe,
        chosen.exits,
        lives_of(work).rows(),
    ]
    return f"{strategy}-{work.fingerprint(dict(parameters), work.lake.content_hashes('bars'), work.instruments.unusual(), work.lake.content_hashes('predictions') if chosen.uses_model else {}, *inputs)}"


def backtest(work: Workspace, strategies: Sequence[str]) -> StageResult:
    """Orders, fills, trades and equity of each strategy's whole portfolio, with costs and limits; its configuration counts as a trial."""
    parts: dict[str, StageResult] = {}
    bars: pl.DataFrame | None = None
    for number, name in enumerate(strategies, start=1):
        made_from = _backtest_inputs(work, name)
        since = unchanged_since(work, BACKTEST_TABLES, name, made_from)
        why = nothing_to_trade(work, name)
        if why:
            parts[name] = _without_backtest(work, name, made_from, why)
        elif since is not None and work.lake.has("trials", name):
            parts[name] = _backtest_made_before(work, name, since)
        else:
            bars = regular_bars(work) if bars is None else bars
            parts[name] = _backtested(work, name, bars, made_from)
        work.progress("backtest", number, len(strategies))
    previews = [part.preview for part in parts.values() if part.preview is not None]
    return StageResult.of(parts, preview=pl.concat(previews) if previews else None)


def _backtest_inputs(work: Workspace, strategy: str) -> dict[str, str]:
    """Everything that a backtest of this strategy reads, its rules and its code."""
    lake, chosen = work.lake, work.settings.strategies[strategy]
    names = ["bars", "signals", "features", "corporate_actions", *(["predictions", "folds"] if chosen.uses_model else [])]
    tables = {name: lake.partitions(name) for name in names}
    own = (work.settings.trade_horizon, source_of(chosen.use), work.instruments.unusual(), lives_of(work).rows())
    return work.made_from(tables, trading_rules_text(work, strategy), *own)


def nothing_to_trade(work: Workspace, strategy: str) -> str:
    """Why a backtest of this strategy could not trade at all, with the command that helps; empty when it could."""
    lake = work.lake
    if not _any_row(lake.scan("bars").filter(pl.col("session") == "regular")):
        return NO_REGULAR_BARS if _any_row(lake.scan("bars")) else NO_BARS
    if not lake.partitions("signals"):
        return f"there are no signals of {strategy} yet; make them with: harmony backfill research"
    taken = lake.scan("signals").filter((pl.col("strategy") == strategy) & (pl.col("side") != 0))
    if not _any_row(taken):
        return _no_side(work, strategy)
    if not work.settings.strategies[strategy].uses_model:
        return ""
    if not _any_row(lake.scan("predictions").filter(pl.col("horizon") == work.settings.trade_horizon)):
        why = why_no_model(work)
        return f"no model: {why}" if why else "there are no predictions yet; make them with: harmony backfill retrain"
    if not _any_row(taken.filter(pl.col("timestamp") >= _first_prediction(work))):
        return f"{strategy} takes no side since the first model"
    return ""


def _no_side(work: Workspace, strategy: str) -> str:
    if not _any_row(work.lake.scan("signals").filter(pl.col("strategy") == strategy)):
        needed = build_strategy(work.settings.strategies[strategy]).required_features()
        if needed and set(needed) <= set(work.lake.scan("features").collect_schema().names()):
            known = work.lake.scan("features").filter(pl.all_horizontal(pl.col(*needed).is_not_null()))
            if not _any_row(known):
                return TOO_FEW_BARS
        return f"there are no signals of {strategy}: it was added since; make them with: harmony backfill research"
    return f"{strategy} takes a side on no bar: the history is too short for it, or its parameters are too strict"


def _any_row(rows: pl.LazyFrame) -> bool:
    return not rows.head(1).collect(engine="in-memory").is_empty()


def _without_backtest(work: Workspace, strategy: str, made_from: dict[str, str], why: str) -> StageResult:
    """Empty tables, so that no result of other inputs stays behind; a strategy that never had any gets none."""
    for table in BACKTEST_TABLES:
        if work.lake.has(table, strategy):
            work.lake.write(table, strategy, work.lake.tables[table].empty(), made_from)
    return StageResult(rows=dict.fromkeys(BACKTEST_TABLES[:-1], 0), nothing=why)


def _backtest_made_before(work: Workspace, strategy: str, since: datetime) -> StageResult:
    manifests = {table: work.lake.manifest(table, strategy) or {} for table in BACKTEST_TABLES[:-1]}
    row = work.lake.read("backtests", [strategy]).drop("parameters")
    return StageResult(rows={table: int(made["rows"]) for table, made in manifests.items()}, preview=row, unchanged_since=since)


def _backtested(work: Workspace, strategy: str, bars: pl.DataFrame, made_from: dict[str, str]) -> StageResult:
    result = simulated(work, strategy, bars=bars)
    frames = dict(zip(BACKTEST_TABLES, (result.orders, result.fills, result.trades, result.position_actions, result.equity, result.row), strict=True))
    for table, frame in frames.items():
        work.lake.write(table, strategy, frame, made_from)
    _count_trial(work, strategy, result)
    return StageResult(
        rows={table: frame.height for table, frame in frames.items() if table != "backtests"},
        preview=result.row.drop("parameters"),
        pictures={
            "equity at a glance": sketches.line(_daily(work, result.equity)["return"].fill_null(0.0).cum_sum().to_list()),
            "equity": equity_curve(result.equity, f"{strategy}: equity after costs"),
            "trades": trade_return_histogram(result.trades),
            "the trade closed last": trade_on_candles(latest_closed(work, result, trading_rules(work, strategy).horizon)),
        },
        facts=dict(result.position_actions.group_by("kind").len().sort("kind").iter_rows()),
        notes=[*_why_no_trades(result), *result.notes],
    )


def _why_no_trades(result: BacktestResult) -> list[str]:
    """In words, when a backtest that could trade has no trade."""
    if result.trades.height:
        return []
    if not result.orders.height:
        return ["no trade: no signal became an order"]
    reasons = result.orders.group_by("status", "reason").len().sort("len", "status", "reason", descending=[True, False, False])
    told = ", ".join(f"{count} {status}" + (f" ({reason})" if reason else "") for status, reason, count in reasons.iter_rows())
    return [f"no trade: of {result.orders.height} orders none filled: {told}"]


def trading_rules_text(work: Workspace, strategy: str) -> dict[str, Any]:
    """The settings behind a backtest, for its manifest."""
    settings = work.settings
    parts = {
        "labels": settings.labels,
        "risk": settings.risk,
        "costs": settings.costs,
        "luck": settings.execution_noise,  # its name in manifests that exist
        "backtest": settings.backtest,
        "model": settings.model,
        "strategy": settings.strategies[strategy],
    }
    return {name: part.model_dump(mode="json") for name, part in parts.items()}


def _count_trial(work: Workspace, strategy: str, result: BacktestResult) -> None:
    parameters = json.loads(result.row["parameters"][0])
    returns = _daily(work, result.equity)
    _keep_trials(work, strategy, evaluate_grid(strategy, parameters, {}, lambda _chosen: returns, datetime.now(UTC)))


def _keep_trials(work: Workspace, strategy: str, trials: list[Any], grid: str | None = None) -> pl.DataFrame:
    """Add trials to those ever made; the same configuration on the same bars is the same trial. `grid` names an evaluated grid with all its inputs."""
    data_hash = work.fingerprint(work.lake.content_hashes("bars"))
    before = TrialRows(work.lake.read("trials", [strategy]), work.lake.read("trial_returns", [strategy]))
    year = work.calendar.for_timeframe(work.timeframe).sessions_per_year
    merged = merge_trials(before, trial_rows(trials, data_hash, year), year)
    made_from = {"bars": data_hash, "grid": _evaluated_grid(work, strategy) if grid is None else grid}
    work.lake.write("trials", strategy, merged.trials, made_from)
    work.lake.write("trial_returns", strategy, merged.returns, made_from)
    return merged.trials


def _evaluated_grid(work: Workspace, strategy: str) -> str:
    """Which grid was evaluated last, with all its inputs; empty when none was."""
    return str((work.lake.manifest("trials", strategy) or {}).get("made_from", {}).get("grid", ""))


def parameter_sensitivity(work: Workspace, strategies: Sequence[str]) -> StageResult:
    """Each strategy's grid, every combination a counted trial."""
    parts: dict[str, StageResult] = {}
    bars: pl.DataFrame | None = None
    for number, name in enumerate(strategies, start=1):
        grid = work.fingerprint(_backtest_inputs(work, name), code_version())
        why = nothing_to_trade(work, name)
        if why:
            parts[name] = StageResult(rows={"trials": 0}, nothing=why)
        elif grid == _evaluated_grid(work, name) and not work.again:
            parts[name] = _grid_made_before(work, name)
        else:
            bars = regular_bars(work) if bars is None else bars
            parts[name] = _grid_evaluated(work, name, bars, grid)
        work.progress("parameter sensitivity", number, len(strategies))
    previews = [part.preview for part in parts.values() if part.preview is not None]
    return StageResult.of(parts, preview=pl.concat(previews) if previews else None)


def _grid_made_before(work: Workspace, strategy: str) -> StageResult:
    manifest = work.lake.manifest("trials", strategy) or {}
    since = datetime.fromisoformat(manifest["written_at"])
    return StageResult(rows={"trials": int(manifest["rows"])}, preview=work.lake.read("trials", [strategy]), unchanged_since=since)


def _grid_evaluated(work: Workspace, strategy: str, bars: pl.DataFrame, grid: str) -> StageResult:
    chosen = work.settings.strategies[strategy]

    def evaluate(parameters: Mapping[str, Any]) -> pl.DataFrame:
        changed = {key: value for key, value in parameters.items() if chosen.parameters.get(key) != value}
        return _daily(work, simulated(work, strategy, changed, bars=bars).equity)

    tried = evaluate_grid(strategy, chosen.parameters, chosen.grid, evaluate, datetime.now(UTC)) if chosen.grid else []
    trials = _keep_trials(work, strategy, tried, grid)
    found = stability(trials)
    return StageResult(
        rows={"trials": trials.height},
        preview=trials,
        pictures={
            "Sharpe ratio by trial": sketches.bars(trials["sharpe"].drop_nulls().sort().to_list()),
            "sensitivity": sensitivity_heatmap(found.table, f"{strategy}: annualised Sharpe ratio by parameters"),
        },
        notes=[f"{len(combinations(chosen.grid)) if chosen.grid else 0} combinations, {trials.height} trials ever; {found.summary()}"],
    )


def latest_backtest(work: Workspace, strategy: str) -> dict[str, Any]:
    """The row of the strategy's backtest. Raises NotReady, with the reason, when there is none."""
    row = found_backtest(work, strategy)
    if row is None:
        raise NotReady(no_backtest(work, strategy))
    return row


def found_backtest(work: Workspace, strategy: str) -> dict[str, Any] | None:
    """The row of the strategy's backtest; None when there is none."""
    rows = work.lake.read("backtests", [strategy])
    return rows.row(0, named=True) if rows.height else None


def backtested(work: Workspace) -> str | None:
    """A strategy with a backtest: the one that sessions trade, else the first other; None without any."""
    names = dict.fromkeys([work.settings.session.strategy, *work.settings.active_strategies])
    return next((name for name in names if found_backtest(work, name) is not None), None)


def no_backtest(work: Workspace, strategy: str) -> str:
    """Why there is no backtest of this strategy, with the command that helps."""
    why = nothing_to_trade(work, strategy)
    return f"no backtest of {strategy}: {why}" if why else f"no backtest of {strategy} yet; make one with: harmony backtest {strategy}"


def daily_returns_of(work: Workspace, strategy: str) -> pl.DataFrame:
    """timestamp, return: one row a session of the strategy's backtest."""
    return _daily(work, work.lake.read("equity", [strategy]))


def _daily(work: Workspace, equity: pl.DataFrame) -> pl.DataFrame:
    return daily_returns(equity, work.calendar, work.settings.backtest.initial_cash, work.timeframe)


def strategy_comparison(work: Workspace) -> StageResult:
    """Every strategy's metrics side by side, the Sharpe ratio with its interval."""
    rows, notes, reasons = [], [], []
    for name in work.settings.active_strategies:
        run = found_backtest(work, name)
        if run is None:
            notes.append(no_backtest(work, name))
            reasons.append(nothing_to_trade(work, name) or notes[-1])
            continue
        low, high = sharpe_of(work, name)[1:]
        kept = ("annual_return", "annual_volatility", "sharpe", "max_drawdown", "trades", "win_rate", "profit_factor", "turnover", "fees", "slippage")
        rows.append({"strategy": name, **{key: run[key] for key in kept}, "sharpe_low": low, "sharpe_high": high})
    if not rows:
        return StageResult(rows={"strategies": 0}, nothing="; ".join(dict.fromkeys(reasons)))
    table = pl.DataFrame(rows, infer_schema_length=None).sort("sharpe", "strategy", descending=[True, False], nulls_last=True)
    curves = {row["strategy"]: work.lake.read("equity", [row["strategy"]]) for row in rows}
    pictures = {
        "Sharpe ratios in this order": sketches.bars(table["sharpe"].fill_null(0.0).to_list()),
        "strategies compared": equity_comparison(curves),
    }
    return StageResult(rows={"strategies": table.height}, preview=table, pictures=pictures, notes=notes)


def sharpe_of(work: Workspace, strategy: str) -> tuple[float | None, float | None, float | None]:
    """Annualised Sharpe ratio of the backtest with its 95 % interval."""
    returns = daily_returns_of(work, strategy)["return"].drop_nulls().to_numpy()
    interval = sharpe_interval(returns, 0.95, work.calendar.for_timeframe(work.timeframe).sessions_per_year)
    return latest_backtest(work, strategy)["sharpe"], interval[0], interval[1]


def write_tear_sheet(work: Workspace, strategy: str) -> Path:
    """The strategy on one self-contained page, in the state folder's reports, and its trades on their candles on another beside it."""
    sharpe = sharpe_of(work, strategy)
    inputs = TearSheet(
        strategy=strategy,
        trade_page=page_path(work, strategy).name,
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
    path = page_path(work, strategy).with_name(f"{strategy}.html")
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, tear_sheet(inputs))
    write_trade_page(work, strategy, inputs.backtest["backtest_id"], trading_rules(work, strategy).horizon)
    return path
