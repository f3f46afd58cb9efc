"""From the lake to the plan of a trading day: which symbols, which model, which states, which books.

Two kinds of account. `paper` is the one that the sensor and `harmony trade` run: it needs a promoted model and its books chain
from session to session. Replays have an account of their own for each combination of data and settings, so that a replay
is a pure function of both; a replay opens with the books of the day before if that day was replayed, else with cash.
"""

from datetime import UTC, date, datetime, time, timedelta
from pathlib import Path

import polars as pl

from harmony_pipeline.errors import NotReady
from harmony_pipeline.features.state import State
from harmony_pipeline.market.settings import LONG_TIMEFRAMES
from harmony_pipeline.models.trained import TrainedModel
from harmony_pipeline.portfolio.state import TradingState
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.replay import Opening, opening_of, plan_day, states_before
from harmony_pipeline.stages.backtests import model_threshold, trading_rules
from harmony_pipeline.stages.lives import lives_of
from harmony_pipeline.stages.verdicts import require_sound
from harmony_pipeline.stages.workspace import Workspace
from harmony_pipeline.strategies.registry import build_strategy

PAPER = "paper"


def ledger_path(work: Workspace) -> Path:
    """Where the books of all sessions are."""
    return work.settings.state_root / "ledger.sqlite"


def open_ledger(work: Workspace) -> Ledger:
    """The ledger of this market; close it, or use it as a context."""
    path = ledger_path(work)
    path.parent.mkdir(parents=True, exist_ok=True)
    return Ledger(path)


def replay_account(work: Workspace) -> str:
    """One account for each combination of bars, models, ends of listings and settings."""
    settings = work.settings.model_dump(mode="json", exclude={"paths", "monte_carlo", "overfitting", "gate"})
    settings["luck"] = settings.pop("execution_noise")  # accounts keep the names that they have in ledgers
    bars, models = work.lake.content_hashes("bars"), work.lake.content_hashes("models")
    lives = lives_of(work).rows()
    return f"replay-{work.fingerprint(settings, bars, work.instruments.unusual(), models, lives)}"


def plan_of(work: Workspace, ledger: Ledger, day: date, account: str) -> tuple[SessionPlan, pl.DataFrame]:
    """The plan of `day` for `account`, and the day's bars of every symbol that it needs. Raises NotReady with the command that helps."""
    settings = work.settings
    require_sound(work, {"bars": _periods_behind(work, day)})
    name = settings.session.strategy
    chosen = settings.strategies[name]
    strategy = build_strategy(chosen)
    rules = trading_rules(work, name)
    opening = _opening(work, ledger, account, day, rules.initial_cash)
    plan = plan_day(
        day,
        opening,
        watched(work, day),
        strategy_name=name,
        strategy=strategy,
        rules=rules,
        feature_set=work.feature_set,
        feature_states=_states(work, day),
        calendar=work.calendar,
        timeframe=work.timeframe,
        actions=work.lake.read("corporate_actions"),
        lives=lives_of(work),
        uses_model=chosen.uses_model,
        model=_model(work, day, account) if chosen.uses_model else None,
        threshold=model_threshold(work, strategy),
        regimes=work.lake.read("regimes").filter(pl.col("known_at") <= work.calendar.session_open(day)),
        flatten_at_close=settings.session.flatten_at_close,
    )
    return plan, bars_of(work, day).filter(pl.col("symbol").is_in(list(plan.symbols)))


def _periods_behind(work: Workspace, day: date) -> list[str]:
    """Trading periods whose bars a session of `day` sees: its own, and the one whose saved state it continues."""
    start = day_start(work, day)
    keys = [period.key for period in work.trading_periods() if period.start <= start + timedelta(days=1)]
    return keys[-2:]


def watched(work: Workspace, day: date) -> list[str]:
    """Symbols that the settings want traded on `day`."""
    if work.settings.session.watch == "scanner":
        if not work.lake.has("scan_selections", day.isoformat()):
            raise NotReady(f"{day} was not scanned; do it with: harmony scan --date {day}")
        return work.lake.read("scan_selections", [day.isoformat()])["symbol"].to_list()
    return sorted(bars_of(work, day)["symbol"].unique().to_list())


def bars_of(work: Workspace, day: date) -> pl.DataFrame:
    """Every bar of one session, extended hours included, with session_date and bar_end."""
    begin = day_start(work, day)
    rows = work.lake.scan("bars", work.overlapping(begin, begin + timedelta(days=1))).collect(engine="in-memory")
    return work.calendar.with_session(rows, work.timeframe).filter(pl.col("session_date") == day).sort("symbol", "timestamp")


def day_start(work: Workspace, day: date) -> datetime:
    """The moment before which every bar belongs to earlier sessions."""
    if work.timeframe in LONG_TIMEFRAMES:
        return datetime.combine(day, time(), UTC)
    begin = work.calendar.schedule(day, work.calendar.next_session(day))["pre_open"][0]
    assert isinstance(begin, datetime)
    return begin


def _opening(work: Workspace, ledger: Ledger, account: str, day: date, initial_cash: float) -> Opening:
    previous = ledger.previous_session(account, day)
    if account != PAPER and (previous is None or previous.date != work.calendar.previous_session(day)):
        return Opening(account, TradingState.opening([], initial_cash), None)
    return opening_of(ledger, account, day, initial_cash)


def _model(work: Workspace, day: date, account: str) -> TrainedModel:
    """The promoted model for the paper account; for a replay the one whose retraining period holds the day, which never saw it."""
    if account == PAPER:
        model = work.registry.load_promoted()
        period = work.retraining_period(model.card.period)
        if period.first_date > day:
            raise NotReady(f"the promoted model {model.model_id} was trained on bars after {day}; trade a day from {period.first_date} on")
        return model
    period = work.retraining_period_of(day)
    rows = work.lake.read("models", [period.key]).filter(pl.col("horizon") == work.settings.trade_horizon)
    if rows.is_empty():
        raise NotReady(f"{day} cannot be replayed: {_no_model_of(work, period.key)}")
    return work.registry.load(rows["model_id"][0])


def _no_model_of(work: Workspace, key: str) -> str:
    """Why a retraining period has no model: it was not trained yet, or training had too little to learn from."""
    folds = work.lake.read("folds", [key]).filter(pl.col("horizon") == work.settings.trade_horizon)
    if folds.is_empty():
        return f"retraining period {key} has no model yet; train it with: harmony backfill model --from {key} --to {key}"
    needed = work.settings.model.minimum_train_rows
    return f"no model of retraining period {key}: too little history before it ({folds['train_rows'][0]} settled labels; model.minimum_train_rows is {needed})"


def _states(work: Workspace, day: date) -> dict[str, State]:
    """Kernel states after each symbol's last bar before `day`: those saved with the period before, folded on over this period's bars."""
    start = day_start(work, day)
    period = next(found for found in work.trading_periods() if found.start <= start < found.end)
    earlier = [found.key for found in work.trading_periods() if found.end <= period.start]
    saved = None
    if earlier:
        if not work.lake.has("feature_state", earlier[-1]):
            raise NotReady(f"features of {earlier[-1]} have no saved state; make it with: harmony backfill features --from {earlier[-1]} --to {earlier[-1]}")
        saved = work.lake.read("feature_state", [earlier[-1]])
    return states_before(start, work.lake.read("bars", [period.key]), work.feature_set, saved, work.calendar, work.timeframe)
