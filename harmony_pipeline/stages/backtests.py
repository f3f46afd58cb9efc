"""Backtests of every strategy, their comparison, the sensitivity to parameters, and the tear sheet.

One path for all: the strategy's primary signals, filtered by out-of-sample probabilities where it
uses a model, through the portfolio simulator. A grid point is the same path with other parameters,
and counts as a trial.
"""

import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

import polars as pl

from harmony_pipeline.backtest.metrics import daily_returns, sharpe_interval
from harmony_pipeline.backtest.simulator import BacktestResult, run_backtest
from harmony_pipeline.errors import NotReady
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.lake.lake import code_version
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.reports import sketches
from harmony_pipeline.reports.figures import (
    equity_comparison,
    equity_curve,
    sensitivity_heatmap,
    trade_on_candles,
    trade_return_histogram,
)
from harmony_pipeline.risk.sectors import Sectors
from harmony_pipeline.robustness.sensitivity import (
    TrialRows,
    combinations,
    evaluate_grid,
    merge_trials,
    stability,
    trial_rows,
)
from harmony_pipeline.stages.code_identity import source_of
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.lives import last_day, lives_of
from harmony_pipeline.stages.models import why_no_model
from harmony_pipeline.stages.reasons import NO_BARS, NO_REGULAR_BARS, TOO_FEW_BARS
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.stages.trade_pages import latest_closed
from harmony_pipeline.stages.unchanged import unchanged_since
from harmony_pipeline.strategies.base import signals_of
from harmony_pipeline.strategies.meta import gate
from harmony_pipeline.strategies.registry import build_strategy

BACKTEST_TABLES = ("orders", "fills", "trades", "position_actions", "equity", "backtests")
MODEL_THRESHOLD = "threshold"  # grid parameter of the model's filter, not of the primary signal


def trading_rules(pipeline: PipelineContext, strategy: str) -> TradingRules:
    """Costs, limits, luck and exits of one strategy."""
    settings = pipeline.settings
    chosen = settings.strategies[strategy]
    if chosen.uses_model and chosen.horizon_bars is None:
        # the bet lasts as long as the forecast
        chosen = chosen.model_copy(update={"horizon_bars": settings.trade_horizon})
    return TradingRules.of(
        settings.risk,
        settings.costs,
        settings.execution_noise,
        settings.labels,
        chosen,
        settings.backtest,
        pipeline.instruments,
        sectors_of(pipeline),
    )


def sectors_of(pipeline: PipelineContext) -> Sectors:
    """The sectors of the universe, where a limit asks for them."""
    if pipeline.settings.risk.max_sector_exposure is None:
        return Sectors()
    return Sectors.of_table(pipeline.lake.read("universe"))


def strategy_signals(
    pipeline: PipelineContext,
    strategy: str,
    overrides: Mapping[str, Any] | None = None,
    *,
    in_lake: bool = True,
) -> pl.DataFrame:
    """symbol, timestamp, side, strength, volatility, probability, model_id: what the simulator and
    the session act on.

    The primary signals are those of the lake, or made now: with other parameters, and for a
    strategy that the lake has no signals of (`in_lake` false).
    """
    chosen = pipeline.settings.strategies[strategy]
    built = build_strategy(chosen, overrides)
    if not in_lake or set(overrides or {}) - {MODEL_THRESHOLD}:
        primary = signals_of(
            built,
            _features_for(pipeline, built.required_features()),
            lambda: pipeline.lake.read("bars"),
        )
    else:
        primary = (
            pipeline.lake.scan("signals")
            .filter(pl.col("strategy") == strategy)
            .drop("strategy")
            .collect(engine="in-memory")
        )
    if chosen.watch == "scanner":
        primary = _selected_only(pipeline, primary)
    if chosen.exits == "barriers":
        # the other rows say nothing to a strategy that only enters
        primary = primary.filter(pl.col("side") != 0)
    scale = (
        pipeline.lake.scan("features")
        .select("symbol", "timestamp", volatility="volatility_20")
        .collect(engine="in-memory")
    )
    signals = primary.join(scale, on=["symbol", "timestamp"], how="inner", maintain_order="left")
    if not chosen.uses_model:
        return signals.with_columns(
            probability=pl.lit(None, dtype=pl.Float64), model_id=pl.lit(None, dtype=pl.String)
        ).sort("symbol", "timestamp")
    known = (
        pipeline.lake.scan("predictions")
        .filter(pl.col("horizon") == pipeline.settings.trade_horizon)
        .collect(engine="in-memory")
    )
    return gate(built, signals, known, model_threshold(pipeline, built)).sort("symbol", "timestamp")


def _selected_only(pipeline: PipelineContext, signals: pl.DataFrame) -> pl.DataFrame:
    """`signals` without a side where the scanner had not selected the symbol by the bar's end."""
    picks = pipeline.lake.read("scan_selections").select(
        "symbol", session_date="date", picked_at="as_of"
    )
    dated = pipeline.calendar.with_session(signals, pipeline.timeframe).join(
        picks, on=["symbol", "session_date"], how="left", maintain_order="left"
    )
    known = (pl.col("picked_at") <= pl.col("bar_end")).fill_null(value=False)
    return dated.select(
        pl.when(known).then("side").otherwise(pl.lit(0, pl.Int8)).alias("side")
        if name == "side"
        else name
        for name in signals.columns
    )


def model_threshold(pipeline: PipelineContext, strategy: object) -> float:
    """Probability below which no trade is taken: the strategy's own, else that of [model]."""
    own = getattr(strategy, MODEL_THRESHOLD, None)
    return pipeline.settings.model.threshold if own is None else float(own)


def _features_for(pipeline: PipelineContext, names: Sequence[str]) -> pl.DataFrame:
    """Those features on every bar: from the lake where it has them, else computed now."""
    if set(names) <= set(pipeline.feature_set.names):
        return (
            pipeline.lake.scan("features")
            .select("symbol", "timestamp", *dict.fromkeys(names))
            .collect(engine="in-memory")
            .sort("symbol", "timestamp")
        )
    feature_set = FeatureSet.of(
        tuple(dict.fromkeys((*names, "volatility_20"))),
        cusum_threshold=pipeline.settings.features.cusum_threshold,
    )
    return compute_features(
        pipeline.lake.read("bars"), feature_set, None, pipeline.calendar, pipeline.timeframe
    ).table


def simulated(
    pipeline: PipelineContext,
    strategy: str,
    overrides: Mapping[str, Any] | None = None,
    bars: pl.DataFrame | None = None,
    *,
    in_lake: bool = True,
) -> BacktestResult:
    """Run one strategy over the lake, with its own parameters or other ones. in_lake: whether the
    lake has its signals.
    """
    chosen = pipeline.settings.strategies[strategy]
    signals = strategy_signals(pipeline, strategy, overrides, in_lake=in_lake)
    regular = regular_bars(pipeline) if bars is None else bars
    if chosen.uses_model:
        regular = regular.filter(pl.col("timestamp") >= _first_prediction(pipeline))
    parameters = {**chosen.parameters, **(overrides or {})}
    return run_backtest(
        regular, signals, pipeline.lake.read("corporate_actions"),
        trading_rules(pipeline, strategy), pipeline.calendar, pipeline.timeframe,
        backtest_id=backtest_id(pipeline, strategy, parameters), strategy=strategy,
        parameters=parameters,
        lives=lives_of(pipeline), until=last_day(pipeline),
    )  # fmt: skip


def regular_bars(pipeline: PipelineContext) -> pl.DataFrame:
    """Bars that can be traded on, sorted by symbol and time."""
    return (
        pipeline.lake.scan("bars")
        .filter(pl.col("session") == "regular")
        .collect(engine="in-memory")
        .sort("symbol", "timestamp")
    )


def _first_prediction(pipeline: PipelineContext) -> datetime:
    """Start of the first period with a model: before it a model strategy did not exist."""
    folds = pipeline.lake.read("folds").filter(
        (pl.col("horizon") == pipeline.settings.trade_horizon) & pl.col("model_id").is_not_null()
    )
    if folds.is_empty():
        return pipeline.retraining_periods()[-1].end
    start = folds["test_start"].min()
    assert isinstance(start, datetime)
    return start


def backtest_id(pipeline: PipelineContext, strategy: str, parameters: Mapping[str, Any]) -> str:
    """A pure function of what was run on what."""
    chosen = pipeline.settings.strategies[strategy]
    inputs = [
        pipeline.settings.labels,
        pipeline.settings.risk,
        pipeline.settings.costs,
        pipeline.settings.execution_noise,
        pipeline.settings.backtest,
        pipeline.settings.market.timeframe,
        chosen.exits,
        lives_of(pipeline).rows(),
        *sectors_of(pipeline).rows,
    ]
    bars = pipeline.lake.content_hashes("bars")
    predictions = pipeline.lake.content_hashes("predictions") if chosen.uses_model else {}
    unusual = pipeline.instruments.unusual()
    return (
        f"{strategy}-{pipeline.fingerprint(dict(parameters), bars, unusual, predictions, *inputs)}"
    )


def backtest(pipeline: PipelineContext, strategies: Sequence[str]) -> StageResult:
    """Orders, fills, trades and equity of each strategy's whole portfolio, with costs and limits;
    its configuration counts as a trial.
    """
    parts: dict[str, StageResult] = {}
    bars: pl.DataFrame | None = None
    for number, name in enumerate(strategies, start=1):
        made_from = _backtest_inputs(pipeline, name)
        since = unchanged_since(pipeline, BACKTEST_TABLES, name, made_from)
        why = nothing_to_trade(pipeline, name)
        if why:
            parts[name] = _without_backtest(pipeline, name, made_from, why)
        elif since is not None and pipeline.lake.has("trials", name):
            parts[name] = _backtest_made_before(pipeline, name, since)
        else:
            bars = regular_bars(pipeline) if bars is None else bars
            parts[name] = _backtested(pipeline, name, bars, made_from)
        pipeline.progress("backtest", number, len(strategies))
    previews = [part.preview for part in parts.values() if part.preview is not None]
    return StageResult.of(parts, preview=pl.concat(previews) if previews else None)


def _backtest_inputs(pipeline: PipelineContext, strategy: str) -> dict[str, str]:
    """Everything that a backtest of this strategy reads, its rules and its code."""
    lake, chosen = pipeline.lake, pipeline.settings.strategies[strategy]
    names = [
        "bars",
        "signals",
        "features",
        "corporate_actions",
        *(["predictions", "folds"] if chosen.uses_model else []),
        *(["scan_selections"] if chosen.watch == "scanner" else []),
    ]
    tables = {name: lake.partitions(name) for name in names}
    own = (
        pipeline.settings.trade_horizon,
        source_of(chosen.use),
        pipeline.instruments.unusual(),
        lives_of(pipeline).rows(),
        *sectors_of(pipeline).rows,
    )
    return pipeline.made_from(tables, trading_rules_text(pipeline, strategy), *own)


def nothing_to_trade(pipeline: PipelineContext, strategy: str) -> str:
    """Why a backtest of this strategy could not trade at all, with the command that helps; empty
    when it could.
    """
    lake = pipeline.lake
    if not _any_row(lake.scan("bars").filter(pl.col("session") == "regular")):
        return NO_REGULAR_BARS if _any_row(lake.scan("bars")) else NO_BARS
    if not lake.partitions("signals"):
        return f"there are no signals of {strategy} yet; make them with: harmony backfill research"
    taken = lake.scan("signals").filter((pl.col("strategy") == strategy) & (pl.col("side") != 0))
    if not _any_row(taken):
        return _no_side(pipeline, strategy)
    if not pipeline.settings.strategies[strategy].uses_model:
        return ""
    if not _any_row(
        lake.scan("predictions").filter(pl.col("horizon") == pipeline.settings.trade_horizon)
    ):
        why = why_no_model(pipeline)
        return (
            f"no model: {why}"
            if why
            else "there are no predictions yet; make them with: harmony backfill retrain"
        )
    if not _any_row(taken.filter(pl.col("timestamp") >= _first_prediction(pipeline))):
        return f"{strategy} takes no side since the first model"
    return ""


def _no_side(pipeline: PipelineContext, strategy: str) -> str:
    if not _any_row(pipeline.lake.scan("signals").filter(pl.col("strategy") == strategy)):
        needed = build_strategy(pipeline.settings.strategies[strategy]).required_features()
        if needed and set(needed) <= set(pipeline.lake.scan("features").collect_schema().names()):
            known = pipeline.lake.scan("features").filter(
                pl.all_horizontal(pl.col(*needed).is_not_null())
            )
            if not _any_row(known):
                return TOO_FEW_BARS
        return (
            f"there are no signals of {strategy}: it was added since; make them with: harmony"
            " backfill research"
        )
    return (
        f"{strategy} takes a side on no bar: the history is too short for it, or its parameters are"
        " too strict"
    )


def _any_row(rows: pl.LazyFrame) -> bool:
    return not rows.head(1).collect(engine="in-memory").is_empty()


def _without_backtest(
    pipeline: PipelineContext, strategy: str, made_from: dict[str, str], why: str
) -> StageResult:
    """Empty tables, so that no result of other inputs stays behind; a strategy that never had any
    gets none.
    """
    for table in BACKTEST_TABLES:
        if pipeline.lake.has(table, strategy):
            pipeline.lake.write(table, strategy, pipeline.lake.tables[table].empty(), made_from)
    return StageResult(rows=dict.fromkeys(BACKTEST_TABLES[:-1], 0), nothing=why)


def _backtest_made_before(pipeline: PipelineContext, strategy: str, since: datetime) -> StageResult:
    manifests = {
        table: pipeline.lake.manifest(table, strategy) or {} for table in BACKTEST_TABLES[:-1]
    }
    row = pipeline.lake.read("backtests", [strategy]).drop("parameters")
    return StageResult(
        rows={table: int(made["rows"]) for table, made in manifests.items()},
        preview=row,
        unchanged_since=since,
    )


def _backtested(
    pipeline: PipelineContext, strategy: str, bars: pl.DataFrame, made_from: dict[str, str]
) -> StageResult:
    result = simulated(pipeline, strategy, bars=bars)
    frames = dict(
        zip(
            BACKTEST_TABLES,
            (
                result.orders,
                result.fills,
                result.trades,
                result.position_actions,
                result.equity,
                result.row,
            ),
            strict=True,
        )
    )
    for table, frame in frames.items():
        pipeline.lake.write(table, strategy, frame, made_from)
    count_trial(pipeline, strategy, result)
    return StageResult(
        rows={table: frame.height for table, frame in frames.items() if table != "backtests"},
        preview=result.row.drop("parameters"),
        pictures={
            "equity at a glance": sketches.line(
                _daily(pipeline, result.equity)["return"].fill_null(0.0).cum_sum().to_list()
            ),
            "equity": equity_curve(result.equity, f"{strategy}: equity after costs"),
            "trades": trade_return_histogram(result.trades),
            "the trade closed last": trade_on_candles(
                latest_closed(pipeline, result, trading_rules(pipeline, strategy).horizon)
            ),
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
    reasons = (
        result.orders.group_by("status", "reason")
        .len()
        .sort("len", "status", "reason", descending=[True, False, False])
    )
    told = ", ".join(
        f"{count} {status}" + (f" ({reason})" if reason else "")
        for status, reason, count in reasons.iter_rows()
    )
    return [f"no trade: of {result.orders.height} orders none filled: {told}"]


def trading_rules_text(pipeline: PipelineContext, strategy: str) -> dict[str, Any]:
    """The settings behind a backtest, for its manifest."""
    settings = pipeline.settings
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


def count_trial(pipeline: PipelineContext, strategy: str, result: BacktestResult) -> None:
    """Add the configuration of a backtest to those ever tried; made again, it counts once."""
    parameters = json.loads(result.row["parameters"][0])
    returns = _daily(pipeline, result.equity)
    _keep_trials(
        pipeline,
        strategy,
        evaluate_grid(strategy, parameters, {}, lambda _chosen: returns, datetime.now(UTC)),
    )


def _keep_trials(
    pipeline: PipelineContext, strategy: str, trials: list[Any], grid: str | None = None
) -> pl.DataFrame:
    """Add trials to those ever made; the same configuration on the same bars is the same trial.
    `grid` names an evaluated grid with all its inputs.
    """
    data_hash = pipeline.fingerprint(pipeline.lake.content_hashes("bars"))
    before = TrialRows(
        pipeline.lake.read("trials", [strategy]), pipeline.lake.read("trial_returns", [strategy])
    )
    year = pipeline.calendar.for_timeframe(pipeline.timeframe).sessions_per_year
    merged = merge_trials(before, trial_rows(trials, data_hash, year), year)
    made_from = {
        "bars": data_hash,
        "grid": _evaluated_grid(pipeline, strategy) if grid is None else grid,
    }
    pipeline.lake.write("trials", strategy, merged.trials, made_from)
    pipeline.lake.write("trial_returns", strategy, merged.returns, made_from)
    return merged.trials


def _evaluated_grid(pipeline: PipelineContext, strategy: str) -> str:
    """Which grid was evaluated last, with all its inputs; empty when none was."""
    return str(
        (pipeline.lake.manifest("trials", strategy) or {}).get("made_from", {}).get("grid", "")
    )


def parameter_sensitivity(pipeline: PipelineContext, strategies: Sequence[str]) -> StageResult:
    """Each strategy's grid, every combination a counted trial."""
    parts: dict[str, StageResult] = {}
    bars: pl.DataFrame | None = None
    for number, name in enumerate(strategies, start=1):
        grid = pipeline.fingerprint(_backtest_inputs(pipeline, name), code_version())
        why = nothing_to_trade(pipeline, name)
        if why:
            parts[name] = StageResult(rows={"trials": 0}, nothing=why)
        elif grid == _evaluated_grid(pipeline, name) and not pipeline.again:
            parts[name] = _grid_made_before(pipeline, name)
        else:
            bars = regular_bars(pipeline) if bars is None else bars
            parts[name] = _grid_evaluated(pipeline, name, bars, grid)
        pipeline.progress("parameter sensitivity", number, len(strategies))
    previews = [part.preview for part in parts.values() if part.preview is not None]
    return StageResult.of(parts, preview=pl.concat(previews) if previews else None)


def _grid_made_before(pipeline: PipelineContext, strategy: str) -> StageResult:
    manifest = pipeline.lake.manifest("trials", strategy) or {}
    since = datetime.fromisoformat(manifest["written_at"])
    return StageResult(
        rows={"trials": int(manifest["rows"])},
        preview=pipeline.lake.read("trials", [strategy]),
        unchanged_since=since,
    )


def _grid_evaluated(
    pipeline: PipelineContext, strategy: str, bars: pl.DataFrame, grid: str
) -> StageResult:
    chosen = pipeline.settings.strategies[strategy]

    def evaluate(parameters: Mapping[str, Any]) -> pl.DataFrame:
        changed = {
            key: value for key, value in parameters.items() if chosen.parameters.get(key) != value
        }
        return _daily(pipeline, simulated(pipeline, strategy, changed, bars=bars).equity)

    tried = (
        evaluate_grid(strategy, chosen.parameters, chosen.grid, evaluate, datetime.now(UTC))
        if chosen.grid
        else []
    )
    trials = _keep_trials(pipeline, strategy, tried, grid)
    found = stability(trials)
    return StageResult(
        rows={"trials": trials.height},
        preview=trials,
        pictures={
            "Sharpe ratio by trial": sketches.bars(trials["sharpe"].drop_nulls().sort().to_list()),
            "sensitivity": sensitivity_heatmap(
                found.table, f"{strategy}: annualised Sharpe ratio by parameters"
            ),
        },
        notes=[
            (
                f"{len(combinations(chosen.grid)) if chosen.grid else 0} combinations,"
                f" {trials.height} trials ever; {found.summary()}"
            )
        ],
    )


def latest_backtest(pipeline: PipelineContext, strategy: str) -> dict[str, Any]:
    """The row of the strategy's backtest. Raises NotReady, with the reason, when there is none."""
    row = found_backtest(pipeline, strategy)
    if row is None:
        raise NotReady(no_backtest(pipeline, strategy))
    return row


def found_backtest(pipeline: PipelineContext, strategy: str) -> dict[str, Any] | None:
    """The row of the strategy's backtest; None when there is none."""
    rows = pipeline.lake.read("backtests", [strategy])
    return rows.row(0, named=True) if rows.height else None


def backtested(pipeline: PipelineContext) -> str | None:
    """A strategy with a backtest: the one that sessions trade, else the first other; None without
    any.
    """
    names = dict.fromkeys(
        [pipeline.settings.session.strategy, *pipeline.settings.active_strategies]
    )
    return next((name for name in names if found_backtest(pipeline, name) is not None), None)


def no_backtest(pipeline: PipelineContext, strategy: str) -> str:
    """Why there is no backtest of this strategy, with the command that helps."""
    why = nothing_to_trade(pipeline, strategy)
    return (
        f"no backtest of {strategy}: {why}"
        if why
        else f"no backtest of {strategy} yet; make one with: harmony backtest {strategy}"
    )


def daily_returns_of(pipeline: PipelineContext, strategy: str) -> pl.DataFrame:
    """timestamp, return: one row a session of the strategy's backtest."""
    return _daily(pipeline, pipeline.lake.read("equity", [strategy]))


def _daily(pipeline: PipelineContext, equity: pl.DataFrame) -> pl.DataFrame:
    return daily_returns(
        equity, pipeline.calendar, pipeline.settings.backtest.initial_cash, pipeline.timeframe
    )


def strategy_comparison(pipeline: PipelineContext) -> StageResult:
    """Every strategy's metrics side by side, the Sharpe ratio with its interval."""
    rows, notes, reasons = [], [], []
    for name in pipeline.settings.active_strategies:
        run = found_backtest(pipeline, name)
        if run is None:
            notes.append(no_backtest(pipeline, name))
            reasons.append(nothing_to_trade(pipeline, name) or notes[-1])
            continue
        low, high = sharpe_of(pipeline, name)[1:]
        kept = (
            "annual_return",
            "annual_volatility",
            "sharpe",
            "max_drawdown",
            "trades",
            "win_rate",
            "profit_factor",
            "turnover",
            "fees",
            "slippage",
        )
        rows.append(
            {
                "strategy": name,
                **{key: run[key] for key in kept},
                "sharpe_low": low,
                "sharpe_high": high,
            }
        )
    if not rows:
        return StageResult(rows={"strategies": 0}, nothing="; ".join(dict.fromkeys(reasons)))
    table = pl.DataFrame(rows, infer_schema_length=None).sort(
        "sharpe", "strategy", descending=[True, False], nulls_last=True
    )
    curves = {row["strategy"]: pipeline.lake.read("equity", [row["strategy"]]) for row in rows}
    pictures = {
        "Sharpe ratios in this order": sketches.bars(table["sharpe"].fill_null(0.0).to_list()),
        "strategies compared": equity_comparison(curves),
    }
    return StageResult(
        rows={"strategies": table.height}, preview=table, pictures=pictures, notes=notes
    )


def sharpe_of(
    pipeline: PipelineContext, strategy: str
) -> tuple[float | None, float | None, float | None]:
    """Annualised Sharpe ratio of the backtest with its 95 % interval."""
    returns = daily_returns_of(pipeline, strategy)["return"].drop_nulls().to_numpy()
    interval = sharpe_interval(
        returns, 0.95, pipeline.calendar.for_timeframe(pipeline.timeframe).sessions_per_year
    )
    return latest_backtest(pipeline, strategy)["sharpe"], interval[0], interval[1]
