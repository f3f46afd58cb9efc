"""Whether the parts of the settings agree: what one part cannot know of another.

Each check raises a ValueError that begins with the key and says what to write instead.
"""

from harmony_pipeline.market.session_tables import FIRST_DATE, LAST_DATE
from harmony_pipeline.portfolio.settings import SharedAccountSettings
from harmony_pipeline.risk.strategy_terms import looser_limits
from harmony_pipeline.settings_model import SettingsModel
from harmony_pipeline.strategies.settings import StrategySettings, acts_on_quotes


def check_parts(settings: SettingsModel) -> None:
    """Raises ValueError, which names the keys, where parts contradict each other."""
    _check_market_dates(settings)
    _check_session(settings)
    for name in settings.active_strategies:
        check_own_rules(settings, name)
    for name, account in settings.active_portfolios.items():
        _check_portfolio(name, account, settings)
    _check_quotes(settings)
    _check_evidence(settings)


def _check_market_dates(settings: SettingsModel) -> None:
    """Raises ValueError for dates that no calendar has."""
    market = settings.market
    if market.end is not None and market.end <= market.start:
        raise ValueError(f"market.end: {market.end} is not after market.start {market.start}")
    if market.end is not None and market.end > LAST_DATE:
        raise ValueError(
            f"market.end: {market.end} is after {LAST_DATE}, the last date of the calendars;"
            ' "none" means up to today'
        )
    if not FIRST_DATE <= market.start <= LAST_DATE:
        raise ValueError(
            f"market.start: {market.start} is not between {FIRST_DATE} and {LAST_DATE}, the"
            " dates of the calendars"
        )


def _check_evidence(settings: SettingsModel) -> None:
    """Raises ValueError for a model without labels, or a test that cannot be made."""
    horizon = settings.model.trade_horizon_bars
    if horizon is not None and horizon not in settings.labels.horizons_bars:
        raise ValueError(
            f"model.trade_horizon_bars: {horizon} is not one of"
            f" labels.horizons_bars {settings.labels.horizons_bars}"
        )
    validation = settings.cross_validation
    if validation.test_groups >= validation.groups:
        raise ValueError(
            f"cross_validation.test_groups: {validation.test_groups} of {validation.groups}"
            " groups leave nothing to train on; choose fewer"
        )
    if settings.overfitting.splits % 2:
        raise ValueError(
            f"overfitting.splits: {settings.overfitting.splits} is odd; choose an even number"
        )


def _check_session(settings: SettingsModel) -> None:
    """Raises ValueError for a session of what cannot be traded."""
    if settings.session.strategy not in settings.active_strategies:
        raise ValueError(
            f"session.strategy: '{settings.session.strategy}' is not an active strategy; choose one"
            f" of {', '.join(settings.active_strategies)}"
        )
    if settings.session.rescan_at and settings.session.watch != "scanner":
        raise ValueError(
            "session.rescan_at: a session that watches the universe has nothing to scan; set"
            ' session.watch = "scanner", or take the times away'
        )
    if settings.session.portfolio and settings.session.portfolio not in settings.active_portfolios:
        raise ValueError(
            f"session.portfolio: '{settings.session.portfolio}' is no active portfolio; choose of"
            f" {', '.join(settings.active_portfolios) or 'none: add one under [portfolios]'}"
        )
    _check_entries_of_sessions(settings)
    for name in settings.session_strategies if settings.session.portfolio else ():
        if settings.strategies[name].uses_model and name != settings.session.strategy:
            raise ValueError(
                f"session.portfolio: {name} uses the model, which is that of session.strategy"
                f" '{settings.session.strategy}': set session.strategy = '{name}', or uses_model ="
                " false"
            )


def _check_entries_of_sessions(settings: SettingsModel) -> None:
    """Raises ValueError for entries at closes that no exchange has an order for."""
    session, market = settings.session, settings.market
    trades = session.broker != "simulated" or session.replay_days > 0
    for name in settings.session_strategies if trades else ():
        if settings.labels_of(name).entry != "close":
            continue
        key = f'{_entry_key(settings, name)} = "close"'
        if market.timeframe != "1Day":
            raise ValueError(
                f"{key}: exchanges have an order for the close of a day, and none for that of a"
                f" bar of {market.timeframe}, and sessions trade {name}: set it to"
                ' "open", or market.timeframe = "1Day", or session.replay_days = 0 and'
                ' session.broker = "simulated"'
            )
        if session.broker == "alpaca" and market.calendar == "24/7":
            raise ValueError(
                f"{key}: a market around the clock has no closing auction, and sessions trade"
                f' {name} at Alpaca: set it to "open", or session.broker = "simulated"'
            )


def _entry_key(settings: SettingsModel, name: str) -> str:
    """The key that says where the entries of a strategy fill."""
    own = settings.strategies[name].bracket.entry is not None
    return f"strategies.{name}.bracket.entry" if own else "labels.entry"


def _check_quotes(settings: SettingsModel) -> None:
    """Raises ValueError where a strategy on quotes is asked for what judges or follows bars."""
    active = settings.active_strategies
    on_bars = ", ".join(name for name, one in active.items() if not acts_on_quotes(one))
    for name, chosen in active.items():
        if not acts_on_quotes(chosen):
            continue
        for key, asked, other in (
            ("uses_model", chosen.uses_model, "false"),
            ("watch", chosen.watch == "scanner", '"universe"'),
        ):
            if asked:
                raise ValueError(
                    f"strategies.{name}.{key}: the strategy acts on quotes, and this is of signals"
                    f" of bars: set {key} = {other}"
                )
        if settings.risk_of(name).sizing == "bandit":
            own = f"strategies.{name}." if chosen.risk.sizing is not None else ""
            raise ValueError(
                f"{own}risk.sizing: bandit learns from signals of bars, and {name} acts on quotes:"
                f" choose another sizing, or set strategies.{name}.enabled = false"
            )
        if settings.labels_of(name).entry == "close":
            raise ValueError(
                f"{_entry_key(settings, name)}: a bar has a close, and {name} acts on quotes: set"
                f' strategies.{name}.bracket.entry = "open"'
            )
        _refuse_limits_of_bars(name, chosen)
        if name in settings.session_strategies:
            raise ValueError(
                f"session.strategy: '{name}' is backtested over quotes and is no part of a session:"
                f" choose one on bars: {on_bars or 'switch one on'}"
            )


def _refuse_limits_of_bars(name: str, chosen: StrategySettings) -> None:
    """Raises ValueError for limits of its own that a strategy on quotes has of its account."""
    for key in ("max_daily_loss", "symbol_cooldown_minutes"):
        if chosen.risk.model_dump()[key] is not None:
            raise ValueError(
                f"strategies.{name}.risk.{key}: the strategy acts on quotes and has an account of"
                f" its own: set risk.{key} instead"
            )


def check_own_rules(settings: SettingsModel, name: str) -> None:
    """Raises ValueError for what a strategy has of its own and cannot have."""
    chosen, where = settings.strategies[name], f"strategies.{name}"
    for sentence in looser_limits(settings.risk, chosen.risk):
        raise ValueError(f"{where}.risk.{sentence}")
    try:
        settings.risk_of(name)
    except ValueError as error:
        raise ValueError(f"{where}.risk.{error}") from None
    shared, own = settings.labels.vertical, settings.labels_of(name).vertical
    if own != shared and name == settings.session.strategy:
        raise ValueError(
            f"{where}.bracket.vertical: horizons of labels are those of session.strategy, which"
            f' this is: set labels.vertical = "{own}" instead'
        )
    if own != shared and chosen.horizon_bars is None:
        raise ValueError(
            f"{where}.bracket.vertical: labels.horizons_bars count {shared}, not {own}: set"
            f" {where}.horizon_bars, too"
        )
    if chosen.uses_model:
        _check_forecast(settings, name)


# what a strategy's size may go by beside its volatility
_SIZED_BY_BARRIERS = ("stop_distance", "kelly", "kelly_ruin", "log_utility")


def unused_bracket(settings: SettingsModel, name: str) -> str:
    """A sentence where a strategy has a bracket of its own that nothing goes by; else empty. Exits
    by the signal use none, but labels (those of session.strategy, and what a model is trained on)
    and some rules of size may. Every rule of size may go by `vertical`, and every entry goes by
    `entry`.
    """
    chosen = settings.strategies[name]
    own = chosen.bracket.model_dump(exclude_none=True, exclude={"vertical", "entry"})
    used = (
        chosen.exits == "barriers"
        or chosen.uses_model
        or name == settings.session.strategy
        or settings.risk_of(name).sizing in _SIZED_BY_BARRIERS
    )
    if used or not own:
        return ""
    unused = ", ".join(own)
    return (
        f'strategies.{name}.bracket: {unused} ends no trade, since exits = "signal": set'
        f' strategies.{name}.exits = "barriers", or take {unused} out'
    )


def _check_forecast(settings: SettingsModel, name: str) -> None:
    """Raises ValueError for a strategy that is left by other barriers than the model forecasts."""
    where, teacher = f"strategies.{name}", settings.session.strategy
    horizon = settings.strategies[name].horizon_bars
    if horizon not in (None, settings.trade_horizon):
        raise ValueError(
            f"{where}.horizon_bars: the model forecasts trades of {settings.trade_horizon}"
            " (model.trade_horizon_bars): set that to the same and name it in"
            " labels.horizons_bars, or take horizon_bars out"
        )
    if settings.labels_of(name) != settings.event_labels:
        raise ValueError(
            f"{where}.bracket: {name} uses the model, whose labels have the bracket of"
            f" session.strategy '{teacher}': give both the same, set session.strategy = '{name}',"
            f" or switch it off ({where}.enabled = false)"
        )


def _check_portfolio(name: str, account: SharedAccountSettings, settings: SettingsModel) -> None:
    """Raises ValueError for a portfolio of what is no active strategy."""
    strategies = settings.strategies
    if name in strategies:
        raise ValueError(
            f"portfolios.{name}: a strategy has this name, and both have backtests: choose another"
        )
    active = [one for one, chosen in strategies.items() if chosen.enabled]
    for member in account.strategies:
        if member not in active:
            raise ValueError(
                f"portfolios.{name}.strategies: '{member}' is not an active strategy; choose of"
                f" {', '.join(active)}"
            )
        if acts_on_quotes(strategies[member]):
            raise ValueError(
                f"portfolios.{name}.strategies: '{member}' acts on quotes and has an account of its"
                " own: take it out of the portfolio"
            )
        if settings.risk_of(member).sizing == "bandit":
            own = strategies[member].risk.sizing is not None
            raise ValueError(
                f"{f'strategies.{member}.' if own else ''}risk.sizing: bandit learns the size of"
                f" one strategy, and strategies of the portfolio {name} share an account: choose"
                " another sizing, or switch the portfolio off"
            )
