"""Backtests of every strategy and every portfolio of them, and their comparison.

One path for all: the strategy's primary signals, filtered by out-of-sample probabilities where it
uses a model, through the portfolio simulator. A state machine with `on_fill` goes through the same
books event by event (backtest/event_driver.py), and one that acts on quotes tick by tick
(backtest/quote_driver.py). A grid point is the same path with other
parameters, and counts as a trial. A portfolio runs the signals of several strategies on one account
(shared_accounts.py); everywhere here its name may stand for a strategy's.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date, datetime
from typing import Any

import polars as pl

from harmony_pipeline.backtest.event_driver import run_machine_backtest
from harmony_pipeline.backtest.input_arrays import SIGNAL_DTYPES
from harmony_pipeline.backtest.metrics import sharpe_interval
from harmony_pipeline.backtest.shared_account import Member
from harmony_pipeline.backtest.shared_machines import MachineInputs
from harmony_pipeline.backtest.simulator import BacktestResult, Market, run_backtest
from harmony_pipeline.backtest.table_columns import RunLabel
from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.reports import sketches
from harmony_pipeline.reports.drawings import Drawing
from harmony_pipeline.reports.figures import (
    equity_comparison,
    equity_curve,
    trade_on_candles,
    trade_return_histogram,
)
from harmony_pipeline.risk.sectors import Sectors
from harmony_pipeline.stages.code_identity import source_of
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.lives import last_day, lives_of
from harmony_pipeline.stages.models import why_no_model
from harmony_pipeline.stages.quote_runs import TICK_TABLES, has_quotes, run_over_ticks
from harmony_pipeline.stages.reasons import NO_BARS, NO_QUOTES, NO_REGULAR_BARS, TOO_FEW_BARS
from harmony_pipeline.stages.result import Picture, StageResult
from harmony_pipeline.stages.shared_accounts import (
    Account,
    account_parameters,
    account_weights,
)
from harmony_pipeline.stages.sizing_policies import learns, with_learned, with_policies
from harmony_pipeline.stages.strategy_signals import SignalInputs, strategy_signals
from harmony_pipeline.stages.trade_pages import latest_closed
from harmony_pipeline.stages.trials import count_trial, daily_returns_of_equity, filter_rule
from harmony_pipeline.stages.unchanged import unchanged_since
from harmony_pipeline.strategies.base import Learner, Stepwise
from harmony_pipeline.strategies.own_rules import BracketSettings, StrategyRiskSettings
from harmony_pipeline.strategies.registry import build_strategy
from harmony_pipeline.strategies.settings import StrategySettings, acts_on_quotes

_DRAWN = ("timestamp", "equity")  # of the table equity
BACKTEST_TABLES = (
    "orders", "order_events", "fills", "trades", "position_actions", "equity", "backtests",
)  # fmt: skip


def trading_rules(pipeline: PipelineContext, strategy: str) -> TradingRules:
    """Costs, limits, luck and exits of one strategy, and its learned size where there is one.
    Raises NotReady where that was not learned yet.
    """
    rules = given_rules(pipeline, strategy)
    return with_policies(pipeline, strategy, rules) if learns(rules.risk) else rules


def given_rules(pipeline: PipelineContext, strategy: str) -> TradingRules:
    """The same as the settings give them, without what was learned."""
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
        pipeline.calendar.bars_per_session(pipeline.timeframe),
    )


def members_of(pipeline: PipelineContext, name: str) -> dict[str, StrategySettings]:
    """The strategies of a portfolio, or the strategy itself."""
    settings = pipeline.settings
    account = settings.portfolios.get(name)
    names = (name,) if account is None else account.strategies
    return {member: settings.strategies[member] for member in names}


def longest_horizon(pipeline: PipelineContext, name: str) -> int:
    """Bars that pictures of trades look ahead."""
    return max(given_rules(pipeline, member).horizon for member in members_of(pipeline, name))


def sectors_of(pipeline: PipelineContext) -> Sectors:
    """The sectors of the universe, where a limit asks for them."""
    if pipeline.settings.risk.max_sector_exposure is None:
        return Sectors()
    return Sectors.of_table(pipeline.lake.read("universe"))


def simulated(
    pipeline: PipelineContext,
    strategy: str,
    overrides: Mapping[str, Any] | None = None,
    bars: pl.DataFrame | None = None,
    *,
    in_lake: bool = True,
) -> BacktestResult:
    """Run one strategy over the lake, with its own parameters or other ones. in_lake: whether the
    lake has its signals. A state machine with `on_fill` is given the fills of its orders.
    """
    if strategy in pipeline.settings.portfolios:
        return _simulated_account(pipeline, strategy, overrides or {}, bars)
    chosen = pipeline.settings.strategies[strategy]
    if acts_on_quotes(chosen):
        own_id = backtest_id(pipeline, strategy, {**chosen.parameters, **(overrides or {})})
        rules = given_rules(pipeline, strategy)
        return run_over_ticks(
            pipeline, strategy, chosen, overrides or {}, rules, backtest_id=own_id
        ).result()
    inputs = SignalInputs(pipeline, strategy, (overrides or {},), in_lake)
    if hears_fills(pipeline, strategy):
        return _simulated_events(pipeline, strategy, inputs, overrides or {})
    signals = inputs.signals(overrides)
    regular = tradable_bars(pipeline, strategy, regular_bars(pipeline) if bars is None else bars)
    parameters = {**chosen.parameters, **(overrides or {})}

    def run(rules: TradingRules) -> BacktestResult:
        return run_backtest(
            regular, signals, pipeline.lake.read("corporate_actions"),
            rules, pipeline.calendar, pipeline.timeframe,
            backtest_id=backtest_id(pipeline, strategy, parameters), strategy=strategy,
            parameters=parameters,
            lives=lives_of(pipeline), until=last_day(pipeline),
        )  # fmt: skip

    rules = given_rules(pipeline, strategy)
    if learns(rules.risk):
        rules = with_learned(pipeline, strategy, rules, signals, run, keep=not overrides)
    return run(rules)


def _simulated_account(
    pipeline: PipelineContext,
    name: str,
    overrides: Mapping[str, Any],
    bars: pl.DataFrame | None,
) -> BacktestResult:
    if overrides:
        raise ConfigError(
            f"portfolio {name} has no parameter {', '.join(sorted(overrides))}: change those of its"
            f" strategies under [strategies], or its own under [portfolios.{name}]"
        )
    regular = regular_bars(pipeline) if bars is None else bars
    parameters = account_parameters(
        pipeline.settings.portfolios[name], pipeline.settings.strategies
    )
    own_id = backtest_id(pipeline, name, parameters)
    return shared_account(pipeline, name, regular).run(RunLabel(own_id, own_id, name, parameters))


def shared_account(
    pipeline: PipelineContext, name: str, bars: pl.DataFrame, next_session: date | None = None
) -> Account:
    """A portfolio over `regular_bars`. A strategy of it that has nothing to trade yet says
    nothing. next_session: one after the bars that has weights, too.
    """
    settings = pipeline.settings.portfolios[name]
    members: dict[str, Member] = {}
    markets: dict[str, Market] = {}
    for member, chosen in members_of(pipeline, name).items():
        rules, nothing = trading_rules(pipeline, member), pl.DataFrame(schema=SIGNAL_DTYPES)
        built = build_strategy(chosen)
        if nothing_to_trade(pipeline, member):
            members[member] = Member(nothing, rules)
        elif hears_fills(pipeline, member) and isinstance(built, Stepwise):
            heard = SignalInputs(pipeline, member).events()
            members[member] = Member(nothing, rules, MachineInputs(built.machine, *heard))
        else:
            members[member] = Member(strategy_signals(pipeline, member), rules)
        markets[member] = traded_market(pipeline, member, bars)
    # the account begins when its first strategy does
    market = min(markets.values(), key=lambda one: (one.first is None, one.first or date.max))
    weights = account_weights(settings, market, members, markets, next_session)
    return Account(market, members, weights)


def hears_fills(pipeline: PipelineContext, strategy: str) -> bool:
    """Whether a strategy is a state machine with `on_fill`, or on quotes, so that signals do not
    tell all that it does. Raises ConfigError where it uses a model, which judges signals.
    """
    if strategy in pipeline.settings.portfolios:
        return any(hears_fills(pipeline, one) for one in members_of(pipeline, strategy))
    chosen = pipeline.settings.strategies[strategy]
    if acts_on_quotes(chosen):
        return True
    built = build_strategy(chosen)
    if not (isinstance(built, Stepwise) and built.hears_fills):
        return False
    if learns(pipeline.settings.risk_of(strategy)):
        raise ConfigError(
            f'strategies.{strategy}: {chosen.use} has on_fill, and risk.sizing = "bandit" learns'
            " from signals that are made before any fill: choose another sizing"
        )
    if chosen.uses_model:
        raise ConfigError(
            f"strategies.{strategy}: {chosen.use} has on_fill, and a model judges signals that are"
            " made before any fill: set uses_model = false, or take on_fill away"
        )
    return True


def _simulated_events(
    pipeline: PipelineContext,
    strategy: str,
    inputs: SignalInputs,
    overrides: Mapping[str, Any],
) -> BacktestResult:
    chosen = pipeline.settings.strategies[strategy]
    built = build_strategy(chosen, overrides)
    assert isinstance(built, Stepwise)
    bars, features = inputs.events(overrides)
    parameters = {**chosen.parameters, **overrides}
    return run_machine_backtest(
        built.machine(), bars, features, pipeline.lake.read("corporate_actions"),
        trading_rules(pipeline, strategy), pipeline.calendar, pipeline.timeframe,
        backtest_id=backtest_id(pipeline, strategy, parameters), strategy=strategy,
        parameters=parameters,
        lives=lives_of(pipeline), until=last_day(pipeline),
    )  # fmt: skip


def traded_market(pipeline: PipelineContext, strategy: str, bars: pl.DataFrame) -> Market:
    """The market of a strategy, ready for any number of runs with other parameters."""
    return Market.of(
        tradable_bars(pipeline, strategy, bars),
        pipeline.lake.read("corporate_actions"),
        pipeline.calendar,
        pipeline.timeframe,
        lives=lives_of(pipeline),
        until=last_day(pipeline),
    )


def tradable_bars(pipeline: PipelineContext, strategy: str, bars: pl.DataFrame) -> pl.DataFrame:
    """Those of `bars` that the strategy may trade on: a model strategy begins with its model, one
    that learns from earlier periods with the first that it has learned enough for.
    """
    chosen = pipeline.settings.strategies[strategy]
    built = build_strategy(chosen)
    if isinstance(built, Learner):
        dates = bars["timestamp"].dt.date()
        first = built.first_day(dates.unique().sort())
        bars = bars.filter(dates >= first) if first else bars.clear()
    if not chosen.uses_model:
        return bars
    return bars.filter(pl.col("timestamp") >= _first_prediction(pipeline))


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
    members = members_of(pipeline, strategy).values()
    exits = [chosen.exits for chosen in members]
    inputs = [
        pipeline.settings.labels,
        pipeline.settings.risk,
        pipeline.settings.costs,
        pipeline.settings.execution_noise,
        pipeline.settings.backtest,
        pipeline.settings.market.timeframe,
        exits[0] if strategy in pipeline.settings.strategies else exits,
        *own_rules_of(members),
        lives_of(pipeline).rows(),
        *sectors_of(pipeline).rows,
        *filter_rule(pipeline, members),
    ]
    bars = pipeline.lake.content_hashes("bars")
    for table in TICK_TABLES if any(map(acts_on_quotes, members)) else ():
        ticks = pipeline.lake.content_hashes(table)
        bars |= {f"{table} {key}": found for key, found in ticks.items()}
    uses_model = any(chosen.uses_model for chosen in members)
    predictions = pipeline.lake.content_hashes("predictions") if uses_model else {}
    unusual = pipeline.instruments.unusual()
    return (
        f"{strategy}-{pipeline.fingerprint(dict(parameters), bars, unusual, predictions, *inputs)}"
    )


def own_rules_of(members: Iterable[StrategySettings]) -> list[list[Any]]:
    """Horizon, bracket, size and limits that strategies have of their own; none: empty."""
    own = [[one.horizon_bars, one.bracket, one.risk] for one in members]
    alike = [None, BracketSettings(), StrategyRiskSettings()]
    return [] if all(each == alike for each in own) else own


def backtest(pipeline: PipelineContext, strategies: Sequence[str]) -> StageResult:
    """Orders, fills, trades and equity of each strategy's whole portfolio, with costs and limits;
    its configuration counts as a trial.
    """
    parts: dict[str, StageResult] = {}
    bars: pl.DataFrame | None = None
    for number, name in enumerate(strategies, start=1):
        made_from = backtest_inputs(pipeline, name)
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


def backtest_inputs(pipeline: PipelineContext, strategy: str) -> dict[str, str]:
    """Everything that a backtest of this strategy reads, its rules and its code."""
    lake, members = pipeline.lake, members_of(pipeline, strategy).values()
    names = [
        "bars",
        "signals",
        "features",
        "corporate_actions",
        *(["predictions", "folds"] if any(one.uses_model for one in members) else []),
        *(["labels"] if filter_rule(pipeline, members) else []),
        *(["scan_selections"] if any(one.watch == "scanner" for one in members) else []),
        *(TICK_TABLES if any(map(acts_on_quotes, members)) else []),
    ]
    tables = {name: lake.partitions(name) for name in names}
    own = (
        pipeline.settings.trade_horizon,
        *(source_of(one.use) for one in members),
        pipeline.instruments.unusual(),
        lives_of(pipeline).rows(),
        *sectors_of(pipeline).rows,
        *filter_rule(pipeline, members),
    )
    return pipeline.made_from(tables, trading_rules_text(pipeline, strategy), *own)


def nothing_to_trade(pipeline: PipelineContext, strategy: str) -> str:
    """Why a backtest of this strategy could not trade at all, with the command that helps; empty
    when it could. A portfolio can where one of its strategies can.
    """
    lake = pipeline.lake
    if strategy in pipeline.settings.portfolios:
        reasons = [nothing_to_trade(pipeline, one) for one in members_of(pipeline, strategy)]
        return "; ".join(dict.fromkeys(reasons)) if all(reasons) else ""
    if acts_on_quotes(pipeline.settings.strategies[strategy]):
        return "" if has_quotes(pipeline) else NO_QUOTES
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
    # counting reads the columns of the conditions alone
    return bool(rows.select(pl.len()).collect(engine="in-memory").item())


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
                result.order_events,
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
    returns = daily_returns_of_equity(pipeline, result.equity)["return"]
    return StageResult(
        rows={table: frame.height for table, frame in frames.items() if table != "backtests"},
        preview=result.row.drop("parameters"),
        pictures={
            "equity at a glance": sketches.line(returns.fill_null(0.0).cum_sum().to_list()),
            "equity": Drawing.of(
                equity_curve, result.equity.select(_DRAWN), f"{strategy}: equity after costs"
            ),
            "trades": Drawing.of(trade_return_histogram, result.trades.select("return")),
            "the trade closed last": Drawing(
                trade_on_candles,
                lambda: (latest_closed(pipeline, result, longest_horizon(pipeline, strategy)),),
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
    account = settings.portfolios.get(strategy)
    parts = {
        "labels": settings.labels,
        "risk": settings.risk,
        "costs": settings.costs,
        "luck": settings.execution_noise,  # its name in manifests that exist
        "backtest": settings.backtest,
        "model": settings.model,
        **({"portfolio": account} if account else {}),
        **(
            {"strategy": settings.strategies[strategy]}
            if account is None
            else members_of(pipeline, strategy)
        ),
    }
    return {name: part.model_dump(mode="json") for name, part in parts.items()}


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
    names = dict.fromkeys([pipeline.settings.session.strategy, *pipeline.settings.backtest_names])
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
    return daily_returns_of_equity(pipeline, pipeline.lake.read("equity", [strategy]))


def strategy_comparison(pipeline: PipelineContext) -> StageResult:
    """Every strategy's metrics side by side, the Sharpe ratio with its interval."""
    rows, notes, reasons = [], [], []
    for name in pipeline.settings.backtest_names:
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
    curves = {
        row["strategy"]: pipeline.lake.read("equity", [row["strategy"]]).select(_DRAWN)
        for row in rows
    }
    pictures: dict[str, Picture] = {
        "Sharpe ratios in this order": sketches.bars(table["sharpe"].fill_null(0.0).to_list()),
        "strategies compared": Drawing.of(equity_comparison, curves),
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
