"""From the lake to the plan of a trading day: which symbols, which model, which states, which
books.

Two kinds of account. `paper` is the one that the sensor and `harmony trade` run: it needs a
promoted model and its books chain from session to session. Replays have an account of their own for
each combination of data and settings, so that a replay is a pure function of both; a replay opens
with the books of the day before if that day was replayed, else with cash.
"""

from dataclasses import replace
from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from harmony_pipeline.config import Settings
from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.features.state import State
from harmony_pipeline.market.instrument_defaults import asset_class_of
from harmony_pipeline.market.news.settings import NewsSettings
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES
from harmony_pipeline.models.demotion import diverges
from harmony_pipeline.models.trained import TrainedModel
from harmony_pipeline.portfolio.allocation import weight_schedule
from harmony_pipeline.portfolio.state import TradingState
from harmony_pipeline.scanner.intraday import SESSIONS_BEFORE, IntradayScan, intraday_scans
from harmony_pipeline.session.day_plan import (
    STILL_TRADED,
    plan_day,
    plan_portfolio_day,
    states_before,
)
from harmony_pipeline.session.divergence import by_strategy
from harmony_pipeline.session.ledger import COMPLETED, Ledger
from harmony_pipeline.session.opening import Opening, opening_of
from harmony_pipeline.session.plan import MemberPlan, SessionPlan
from harmony_pipeline.session.settings import NOT_OF_THE_BOOKS
from harmony_pipeline.stages.backtest_runs import hears_fills, regular_bars, shared_account
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.feature_sectors import feature_sectors
from harmony_pipeline.stages.lives import last_day, lives_of
from harmony_pipeline.stages.news import news_totals
from harmony_pipeline.stages.sizing_policies import learns
from harmony_pipeline.stages.strategy_signals import filters_now
from harmony_pipeline.stages.trading_rules import trading_rules
from harmony_pipeline.stages.verdicts import require_sound
from harmony_pipeline.strategies.base import (
    BAR_COLUMNS,
    Strategy,
    remembers_the_market,
    strategy_rows,
)
from harmony_pipeline.strategies.registry import build_strategy
from harmony_pipeline.strategies.traded_signals import model_threshold

PAPER = "paper"


def ledger_path(pipeline: PipelineContext) -> Path:
    """Where the books of all sessions are, when they are in a file."""
    return pipeline.settings.state_root / "ledger.sqlite"


def ledger_place(pipeline: PipelineContext) -> Path | str:
    """Where the books of all sessions are: a file, or the URL of a database."""
    return pipeline.settings.session.ledger or ledger_path(pipeline)


def existing_ledger(pipeline: PipelineContext) -> Path | str:
    """`ledger_place`. Raises NotReady where it is a file that is not there yet."""
    place = ledger_place(pipeline)
    if isinstance(place, Path) and not place.exists():
        raise NotReady("no session has run here yet; replay one with: harmony replay")
    return place


def open_ledger(pipeline: PipelineContext) -> Ledger:
    """The ledger of this market; close it, or use it as a context."""
    return Ledger(ledger_place(pipeline))


def replay_account(pipeline: PipelineContext) -> str:
    """One account for each combination of bars, models, ends of listings and settings."""
    tables = ("bars", "models", "listings", "instruments", *_learned_tables(pipeline))
    end = f"replay account until {last_day(pipeline)}"
    return pipeline.while_unchanged(end, tables, lambda: _replay_account(pipeline))


def _replay_account(pipeline: PipelineContext) -> str:
    apart = {
        *("paths", "monte_carlo", "overfitting", "execution_stress", "gate", "portfolios"),
        *("alpaca", "exchange", "alerts", "cross_validation", "dagster"),
    }
    settings = pipeline.settings.model_dump(mode="json", exclude=apart)
    # accounts keep the names that they have in ledgers
    for name in NOT_OF_THE_BOOKS:
        settings["session"].pop(name)
    portfolio = pipeline.settings.session.portfolio
    if portfolio:
        shared = pipeline.settings.portfolios[portfolio]
        settings["portfolios"] = {portfolio: shared.model_dump(mode="json")}
    else:
        settings["session"].pop("portfolio")
    if pipeline.settings.news == NewsSettings():
        settings.pop("news")
    if not settings["session"]["rescan_at"]:
        settings["session"].pop("rescan_at")
    settings["luck"] = settings.pop("execution_noise")
    bars, models = pipeline.lake.content_hashes("bars"), pipeline.lake.content_hashes("models")
    lives = lives_of(pipeline).rows()
    unusual = pipeline.instruments.unusual()
    learned = [pipeline.lake.content_hashes(name) for name in _learned_tables(pipeline)]
    return f"replay-{pipeline.fingerprint(settings, bars, unusual, models, lives, *learned)}"


def _learned_tables(pipeline: PipelineContext) -> list[str]:
    """Scores of headlines, the universe and policies of size, where sessions go by them."""
    tables = []
    if pipeline.feature_set.reads_news:
        tables.append("news_scores")
    if pipeline.feature_set.reads_sectors:
        tables.append("universe")
    if any(map(learns, map(pipeline.settings.risk_of, pipeline.settings.session_strategies))):
        tables.append("sizing_policies")
    return tables


def plan_of(
    pipeline: PipelineContext,
    ledger: Ledger,
    day: date,
    account: str,
    model_id: str | None = None,
) -> tuple[SessionPlan, pl.DataFrame]:
    """The plan of `day` for `account`, and the day's bars of every symbol that it needs;
    `model_id`: the model of a session that was recorded. Raises NotReady with the command that
    helps.
    """
    settings = pipeline.settings
    require_sound(pipeline, {"bars": _periods_behind(pipeline, day)})
    members = session_members(pipeline, ledger, day, account, model_id)
    opening = _opening(pipeline, ledger, account, day, members[0].rules.initial_cash)
    shared: dict[str, Any] = {
        "feature_set": pipeline.feature_set,
        "feature_states": _states(pipeline, day),
        "calendar": pipeline.calendar,
        "timeframe": pipeline.timeframe,
        "actions": pipeline.lake.read("corporate_actions"),
        "lives": lives_of(pipeline),
        "regimes": pipeline.lake.read("regimes").filter(
            pl.col("known_at") <= pipeline.calendar.session_open(day)
        ),
        "flatten_at_close": settings.session.flatten_at_close,
    }
    shared["stop_limit_bps"] = _stop_limit_bps(settings)
    symbols, portfolio = watched(pipeline, day), settings.session.portfolio
    if settings.session.rescan_at:
        shared["selected"], shared["scans"] = symbols, _scans(pipeline, day)
        # any of these may be selected later
        symbols = pipeline.lake.read("scan_candidates", [day.isoformat()])["symbol"].to_list()
    if pipeline.feature_set.compares:
        # features compare these symbols with all others, which are heard and not entered
        if settings.session.watch == "scanner":
            shared.setdefault("selected", symbols)
        symbols = sorted({*symbols, *_traded_of_late(pipeline, day)})
    if portfolio:
        weights = _weights(pipeline, portfolio, day)
        plan = plan_portfolio_day(
            day, opening, symbols, portfolio=portfolio, members=members, weights=weights, **shared
        )
    else:
        only = members[0]
        plan = plan_day(
            day,
            opening,
            symbols,
            strategy_name=only.name,
            strategy=only.strategy,
            rules=only.rules,
            uses_model=only.uses_model,
            model=only.model,
            threshold=only.threshold,
            history=only.history,
            **shared,
        )
    plan = _with_facts(pipeline, plan)
    return plan, bars_of(pipeline, day).filter(pl.col("symbol").is_in(list(plan.symbols)))


def _with_facts(pipeline: PipelineContext, plan: SessionPlan) -> SessionPlan:
    """The plan with headlines of its symbols and their sectors, where features read them."""
    news, sectors = news_totals(pipeline), feature_sectors(pipeline)
    if news is not None:
        plan = replace(plan, news=news.only(plan.symbols))
    if sectors is not None:
        plan = replace(plan, sectors=sectors.only(plan.symbols).known_on(plan.date))
    return plan


def _traded_of_late(pipeline: PipelineContext, day: date) -> list[str]:
    """Symbols with a bar on the day, or of late before it."""
    start = day_start(pipeline, day)
    begin, end = start - STILL_TRADED, start + timedelta(days=1)
    bars = pipeline.lake.scan("bars", pipeline.overlapping(begin, end))
    within = bars.filter((pl.col("timestamp") >= begin) & (pl.col("timestamp") < end))
    return within.select(pl.col("symbol").unique()).collect(engine="in-memory")["symbol"].to_list()


def _stop_limit_bps(settings: Settings) -> float | None:
    """How far the limit of a stop lies behind it, at a broker that takes no brackets: Alpaca, of
    coins; None: brackets are taken.
    """
    market = settings.market
    symbols = market.symbols or ("",)
    coins = all(asset_class_of(symbol, market) == "crypto" for symbol in symbols)
    if settings.session.broker != "alpaca" or not coins:
        return None
    return settings.alpaca.coin_stop_limit_bps


def _scans(pipeline: PipelineContext, day: date) -> tuple[IntradayScan, ...]:
    """The scans of the day at `session.rescan_at`, each with what it compares the day with."""
    start = day_start(pipeline, day)
    sessions = [each for each in pipeline.sessions() if each < day][-SESSIONS_BEFORE:]
    earliest = day_start(pipeline, sessions[0]) if sessions else start
    rows = (
        pipeline.lake.scan("bars", pipeline.overlapping(earliest, start))
        .filter((pl.col("timestamp") >= earliest) & (pl.col("timestamp") < start))
        .collect(engine="in-memory")
    )
    return intraday_scans(
        day,
        pipeline.settings.session.rescan_at,
        pipeline.settings.scanner,
        pipeline.lake.read("daily_summary"),
        pipeline.calendar.with_session(rows, pipeline.timeframe),
        pipeline.lake.read("universe"),
        pipeline.lake.read("corporate_actions"),
        pipeline.calendar,
    )


# --- strategies -----------------------------------------------------------------------------------


def session_members(
    pipeline: PipelineContext, ledger: Ledger, day: date, account: str, model_id: str | None
) -> list[MemberPlan]:
    """The strategies that the session trades. One of a portfolio that has no model yet, or that
    left its backtests, is stopped; when none has a model that needs one, NotReady is raised.
    """
    users = [
        name
        for name in pipeline.settings.session_strategies
        if pipeline.settings.strategies[name].uses_model
    ]
    model, why = None, ""
    if users:
        try:
            model = _model(pipeline, day, account, model_id)
        except NotReady as error:
            if len(users) == len(pipeline.settings.session_strategies):
                raise
            why = str(error)
    left = diverging_strategies(pipeline, ledger, day) if account == PAPER else {}
    return [
        _member(pipeline, name, day, model, left.get(name) or (why if name in users else ""))
        for name in pipeline.settings.session_strategies
    ]


def diverging_strategies(pipeline: PipelineContext, ledger: Ledger, day: date) -> dict[str, str]:
    """Strategies of the portfolio whose orders and fills differed from the backtest in each of the
    last sessions before `day` in which they traded, and the sentence that says so. Sessions before
    `session.readmit` do not count.
    """
    settings = pipeline.settings.session
    shares: dict[str, list[float]] = {}
    for row in ledger.sessions(PAPER):
        if row.date >= day or row.strategy != settings.portfolio or row.state != COMPLETED:
            continue
        rows = pipeline.lake.read("divergence", [row.date.isoformat()])
        whose = by_strategy(rows.filter(pl.col("session_id") == row.session_id))
        for name, count, different in whose.iter_rows():
            if settings.readmit.get(name, date.min) <= row.date:
                shares.setdefault(name, []).append(different / count)
    sessions, most = settings.demote_after_sessions, settings.maximum_divergence
    return {
        name: f"each of its last {sessions} sessions differed from its backtest in over {most:.0%}"
        f" of the rows: find out why, then set session.readmit = {{ {name} = {day} }}"
        for name, each in shares.items()
        if diverges(each, sessions, most)
    }


def _member(
    pipeline: PipelineContext, name: str, day: date, model: TrainedModel | None, stopped: str
) -> MemberPlan:
    chosen = pipeline.strategy_settings(name)
    strategy = build_strategy(chosen)
    if hears_fills(pipeline, name) and remembers_the_market(strategy):
        raise ConfigError(
            f"session.strategy = '{name}': {chosen.use} remembers the market and has on_fill, and"
            ' the fills of the days before are not given to it again: take memory = "market"'
            " away, or on_fill"
        )
    rules = trading_rules(pipeline, name)
    if rules.entry_at_close and pipeline.timeframe != "1Day":
        raise ConfigError(
            f"session.strategy = '{name}': exchanges have an order for the close of a day, and"
            f' none for that of a bar of {pipeline.timeframe}: set labels.entry = "open" (or'
            f" strategies.{name}.bracket.entry) to replay or trade it"
        )
    filters = filters_now(pipeline, name, pipeline.calendar.session_open(day))
    session = pipeline.settings.session
    picks = session.portfolio and session.watch == "universe" and chosen.watch == "scanner"
    return MemberPlan(
        name,
        strategy,
        rules,
        uses_model=filters,
        model=model if filters else None,
        threshold=model_threshold(strategy, pipeline.settings.model.threshold),
        history=_history(pipeline, name, strategy, day) if remembers_the_market(strategy) else None,
        symbols=tuple(sorted(_selected(pipeline, day))) if picks else None,
        stopped=stopped,
    )


def _weights(pipeline: PipelineContext, portfolio: str, day: date) -> tuple[float, ...]:
    """The shares of the equity on `day`, as the portfolio's backtest has them: from sessions before
    it.
    """
    settings = pipeline.settings.portfolios[portfolio]
    if settings.allocation != "inverse_volatility":
        return weight_schedule(settings, [day], {})[0][1]
    bars = regular_bars(pipeline).filter(pl.col("timestamp") < day_start(pipeline, day))
    return shared_account(pipeline, portfolio, bars, next_session=day).weights[-1][1]


def _history(pipeline: PipelineContext, name: str, strategy: Strategy, day: date) -> pl.DataFrame:
    """Every bar before the day with the strategy's features. Raises NotReady when the features end
    earlier than the bars.
    """
    start = day_start(pipeline, day)
    before = pl.col("timestamp") < start
    bars, features = (
        pipeline.lake.scan(table)
        .filter(before)
        .select("symbol", "timestamp", *columns)
        .sort("symbol", "timestamp")
        .collect(engine="in-memory")
        for table, columns in (
            ("bars", BAR_COLUMNS),
            ("features", strategy.required_features()),
        )
    )
    if bars.height != features.height:
        raise NotReady(
            f"{name} remembers the whole market, and of"
            f" {bars.height} bars before {day} {features.height} have features; make them with:"
            " harmony backfill features"
        )
    return strategy_rows(strategy, bars, features)


def _periods_behind(pipeline: PipelineContext, day: date) -> list[str]:
    """Trading periods whose bars a session of `day` sees: its own, and the one whose saved state it
    continues.
    """
    start = day_start(pipeline, day)
    keys = [
        period.key
        for period in pipeline.trading_periods()
        if period.start <= start + timedelta(days=1)
    ]
    return keys[-2:]


def watched(pipeline: PipelineContext, day: date) -> list[str]:
    """Symbols that the settings want traded on `day`."""
    if pipeline.settings.session.watch == "scanner":
        return _selected(pipeline, day)
    return sorted(bars_of(pipeline, day)["symbol"].unique().to_list())


def _selected(pipeline: PipelineContext, day: date) -> list[str]:
    """The scanner's picks of the day, by rank."""
    if not pipeline.lake.has("scan_selections", day.isoformat()):
        raise NotReady(f"{day} was not scanned; do it with: harmony scan --date {day}")
    return pipeline.lake.read("scan_selections", [day.isoformat()])["symbol"].to_list()


def bars_of(pipeline: PipelineContext, day: date) -> pl.DataFrame:
    """Every bar of one session, extended hours included, with session_date and bar_end."""
    begin = day_start(pipeline, day)
    rows = pipeline.lake.scan(
        "bars", pipeline.overlapping(begin, begin + timedelta(days=1))
    ).collect(engine="in-memory")
    return (
        pipeline.calendar.with_session(rows, pipeline.timeframe)
        .filter(pl.col("session_date") == day)
        .sort("symbol", "timestamp")
    )


def day_start(pipeline: PipelineContext, day: date) -> datetime:
    """The moment before which every bar belongs to earlier sessions."""
    if pipeline.timeframe in LONG_TIMEFRAMES:
        return datetime.combine(day, time(), UTC)
    begin = pipeline.calendar.schedule(day, pipeline.calendar.next_session(day))["pre_open"][0]
    assert isinstance(begin, datetime)
    return begin


def _opening(
    pipeline: PipelineContext, ledger: Ledger, account: str, day: date, initial_cash: float
) -> Opening:
    previous = ledger.previous_session(account, day)
    if account != PAPER and (
        previous is None or previous.date != pipeline.calendar.previous_session(day)
    ):
        return Opening(account, TradingState.opening([], initial_cash), None)
    return opening_of(ledger, account, day, initial_cash)


def _model(
    pipeline: PipelineContext, day: date, account: str, model_id: str | None
) -> TrainedModel:
    """The promoted model for the paper account; for a replay the one whose retraining period holds
    the day, which never saw it.
    """
    if model_id is not None:
        return pipeline.registry.load(model_id)
    if account == PAPER:
        model = pipeline.registry.load_promoted()
        period = pipeline.retraining_period(model.card.period)
        if period.start > pipeline.trading_day_start(day):
            raise NotReady(
                f"the promoted model {model.model_id} was trained on bars after {day}; trade a day"
                f" from {period.first_date} on"
            )
        return model
    if pipeline.retrains_hourly:
        raise NotReady(
            f"{day} cannot be replayed: a session trades one model a day, and"
            ' market.partitions.retraining_period is "hour"'
        )
    period = pipeline.retraining_period_of(day)
    rows = pipeline.lake.read("models", [period.key]).filter(
        pl.col("horizon") == pipeline.settings.trade_horizon
    )
    if rows.is_empty():
        raise NotReady(f"{day} cannot be replayed: {_no_model_of(pipeline, period.key)}")
    return pipeline.registry.load(rows["model_id"][0])


def _no_model_of(pipeline: PipelineContext, key: str) -> str:
    """Why a retraining period has no model: it was not trained yet, or training had too little to
    learn from.
    """
    folds = pipeline.lake.read("folds", [key]).filter(
        pl.col("horizon") == pipeline.settings.trade_horizon
    )
    if folds.is_empty():
        return (
            f"retraining period {key} has no model yet; train it with: harmony backfill model"
            f" --from {key} --to {key}"
        )
    needed = pipeline.settings.model.minimum_train_rows
    return (
        f"no model of retraining period {key}: too little history before it"
        f" ({folds['train_rows'][0]} settled labels; model.minimum_train_rows is {needed})"
    )


def _states(pipeline: PipelineContext, day: date) -> dict[str, State]:
    """Kernel states after each symbol's last bar before `day`: those saved with the period before,
    folded on over this period's bars.
    """
    start = day_start(pipeline, day)
    period = next(found for found in pipeline.trading_periods() if found.start <= start < found.end)
    earlier = [found.key for found in pipeline.trading_periods() if found.end <= period.start]
    saved = None
    if earlier:
        if not pipeline.lake.has("feature_state", earlier[-1]):
            raise NotReady(
                f"features of {earlier[-1]} have no saved state; make it with: harmony backfill"
                f" features --from {earlier[-1]} --to {earlier[-1]}"
            )
        saved = pipeline.lake.read("feature_state", [earlier[-1]])
    return states_before(
        start,
        pipeline.lake.read("bars", [period.key]),
        pipeline.feature_set,
        saved,
        pipeline.calendar,
        pipeline.timeframe,
        news_totals(pipeline),
        feature_sectors(pipeline),
    )
