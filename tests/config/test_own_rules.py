"""Rules of a strategy's own in the settings: what is taken, and the line that refuses the rest."""

from datetime import date
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.config import Settings, load_settings
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.risk.settings import SIZINGS, RiskSettings
from harmony_pipeline.risk.strategy_terms import (
    SIZING_KEYS,
    limit_values,
    looser_limits,
    of_the_account,
)
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.strategies.own_rules import BracketSettings, StrategyRiskSettings
from harmony_pipeline.strategies.registry import build_strategy
from harmony_pipeline.strategies.settings import StrategySettings

FOLLOW = "[strategies.rsi_momentum"


def settings_from(folder: Path, text: str, **environment: str) -> Settings:
    file = folder / "harmony.toml"
    file.write_text(text)
    return load_settings(file, environment)


def test_a_strategy_has_what_it_says_and_the_rest_of_all(tmp_path):
    settings = settings_from(
        tmp_path,
        '[risk]\nmax_position = 0.2\n[strategies.bollinger_reversion]\nhorizon_bars = 12\n'
        '[strategies.bollinger_reversion.bracket]\nprofit_take = 1.0\ntouch = "close"\n'
        '[strategies.bollinger_reversion.risk]\nsizing = "stop_distance"\nmax_position = 0.05\n',
        HARMONY__STRATEGIES__BOLLINGER_REVERSION__RISK__RISK_PER_TRADE="0.002",
    )  # fmt: skip
    chosen = settings.strategies["bollinger_reversion"]
    assert (chosen.exits, chosen.risk.max_position, chosen.risk.risk_per_trade) == (
        "barriers", 0.05, 0.002,
    )  # fmt: skip
    labels, risk = (
        settings.labels_of("bollinger_reversion"),
        settings.risk_of("bollinger_reversion"),
    )
    assert (labels.profit_take, labels.stop_loss, labels.touch) == (1.0, 1.0, "close")
    assert (risk.sizing, risk.risk_per_trade, risk.max_position) == ("stop_distance", 0.002, 0.2)
    assert settings.labels_of("rsi_momentum") == settings.labels == settings.event_labels
    assert settings.risk_of("rsi_momentum") == settings.risk


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (f"{FOLLOW}.risk]\nmax_position = 0.5", "strategies.rsi_momentum.risk.max_position: 0.5 is looser than risk.max_position 0.15"),
        (f"{FOLLOW}.risk]\nmax_gross_exposure = 1.5", "risk.max_gross_exposure: 1.5 is looser"),
        (f"{FOLLOW}.risk]\nmax_net_exposure = 0.61", "risk.max_net_exposure: 0.61 is looser"),
        (f"{FOLLOW}.risk]\nmax_open_positions = 21", "risk.max_open_positions: 21 is looser"),
        (f"{FOLLOW}.risk]\nmax_daily_loss = 0.03", "risk.max_daily_loss: 0.03 is looser"),
        (f"[risk]\nallow_short = false\n{FOLLOW}.risk]\nallow_short = true", "risk.allow_short: true is looser than risk.allow_short false"),
        (f"[risk]\nsymbol_cooldown_minutes = 60\n{FOLLOW}.risk]\nsymbol_cooldown_minutes = 30", "risk.symbol_cooldown_minutes: 30.0 is looser"),
        (f"{FOLLOW}.risk]\nmax_drawdown = 0.1", "unknown key strategies.rsi_momentum.risk.max_drawdown"),
        (f"{FOLLOW}.costs]\nfee_bps = 0", "unknown key strategies.rsi_momentum.costs"),
        (f'{FOLLOW}.risk]\nsizing = "target_utility"', "strategies.rsi_momentum.risk.sizing: target_utility needs the equity to be reached"),
        (f'{FOLLOW}.risk]\nsizing = "twice"', "strategies.rsi_momentum.risk.sizing"),
        (f'{FOLLOW}.bracket]\nvertical = "sessions"', "set strategies.rsi_momentum.horizon_bars, too"),
        ('[strategies.meta_labelled.bracket]\nvertical = "sessions"', 'set labels.vertical = "sessions" instead'),
        ("[strategies.meta_labelled]\nhorizon_bars = 20", "strategies.meta_labelled.horizon_bars: the model forecasts trades of 8"),
        ('[session]\nstrategy = "rsi_momentum"\n[strategies.meta_labelled.bracket]\nstop_loss = 2.0', "meta_labelled uses the model, whose labels have the bracket of session.strategy 'rsi_momentum'"),
        (f"{FOLLOW}]\nhorizon_bars = {10**20}", "strategies.rsi_momentum.horizon_bars = 100000000000000000000: Input should be less than or equal to 1000000000"),
        (f"{FOLLOW}.risk]\ntarget_trades = {10**20}", "strategies.rsi_momentum.risk.target_trades = 100000000000000000000: Input should be less than or equal to 1000000000"),
        (f"{FOLLOW}]\nhorizon_bars = 0", "strategies.rsi_momentum.horizon_bars = 0: Input should be greater than or equal to 1"),
        ('[strategies.maker]\nuse = "harmony_pipeline.strategies.market_maker:MarketMaker"\n[strategies.maker.risk]\nsizing = "bandit"', "toml: strategies.maker.risk.sizing: bandit learns from signals of bars"),
        (f'{FOLLOW}.risk]\nsizing = "bandit"\n[portfolios.two]\nstrategies = ["rsi_momentum"]', "strategies.rsi_momentum.risk.sizing: bandit learns the size of one strategy"),
        ('[risk]\nsizing = "bandit"\n[portfolios.two]\nstrategies = ["rsi_momentum"]', "risk.sizing: bandit learns the size of one strategy"),
        ('[strategies.maker]\nuse = "tests:Any"\ndata = "quotes"\n[strategies.maker.risk]\nmax_daily_loss = 0.01', "set risk.max_daily_loss instead"),
        ('[labels]\nentry = "close"', 'toml: labels.entry = "close": exchanges have an order for the close of a day, and none for that of a bar of 15Min, and sessions trade meta_labelled'),
        ('[labels]\nentry = "close"\n[session]\nreplay_days = 0\nbroker = "alpaca"', 'set it to "open", or market.timeframe = "1Day", or session.replay_days = 0 and session.broker = "simulated"'),
        ('[labels]\nentry = "close"\n[market]\nsource = "files"\ntimeframe = "1Week"\n[market.files]\npaths = ["x.csv"]', "none for that of a bar of 1Week"),
        ('[labels]\nentry = "close"\n[session]\nbroker = "alpaca"\n[market]\ntimeframe = "1Day"\ncalendar = "24/7"', 'a market around the clock has no closing auction, and sessions trade meta_labelled at Alpaca: set it to "open", or session.broker = "simulated"'),
        ('[strategies.meta_labelled.bracket]\nentry = "close"', 'strategies.meta_labelled.bracket.entry = "close": exchanges have'),
        ('[labels]\nentry = "close"\n[session]\nreplay_days = 0\n[strategies.maker]\nuse = "tests:Any"\ndata = "quotes"', 'labels.entry: a bar has a close, and maker acts on quotes: set strategies.maker.bracket.entry = "open"'),
        (f'[session]\nreplay_days = 0\n[strategies.meta_labelled.bracket]\nentry = "close"\n{FOLLOW}]\nuses_model = true', "rsi_momentum uses the model, whose labels have the bracket of session.strategy"),
    ],
)  # fmt: skip
def test_what_it_cannot_have_is_refused_in_one_line(tmp_path, text, said):
    with pytest.raises(ConfigError) as caught:
        settings_from(tmp_path, text)
    assert said in str(caught.value)
    assert "\n" not in str(caught.value)


STOP = f"{FOLLOW}.bracket]\nstop_loss = 2.0\n"


@pytest.mark.parametrize(
    ("text", "noted"),
    [
        (STOP, True),
        (f"{STOP}{FOLLOW}]\nenabled = false", False),
        (f'{STOP}{FOLLOW}]\nexits = "barriers"', False),
        (f'{STOP}{FOLLOW}.risk]\nsizing = "stop_distance"', False),
        (f'{STOP}[session]\nstrategy = "rsi_momentum"\n[strategies.meta_labelled]\nenabled = false', False),
        (f'{FOLLOW}]\nhorizon_bars = 3\n{FOLLOW}.bracket]\nvertical = "sessions"', False),
        (f'{FOLLOW}.bracket]\nentry = "close"', False),
        (f'{STOP}entry = "close"', True),
    ],
    ids=["signal", "off", "barriers", "size", "labels", "horizon", "entry", "entry and stop"],
)  # fmt: skip
def test_a_bracket_that_nothing_goes_by_is_noted(tmp_path, text, noted):
    sentence = (
        'strategies.rsi_momentum.bracket: stop_loss ends no trade, since exits = "signal": set'
        ' strategies.rsi_momentum.exits = "barriers", or take stop_loss out'
    )
    assert settings_from(tmp_path, text).notes == ((sentence,) if noted else ())


LIBRARY = '[strategies.rules]\nuse = "harmony_pipeline.strategies.rule_library:RuleLibrary"\n'
AT_CLOSES = '[labels]\nentry = "close"\n[session]\nreplay_days = 0\n'


@pytest.mark.parametrize(
    ("text", "entry"),
    [
        (LIBRARY, "open"),
        (f"{AT_CLOSES}{LIBRARY}", "close"),
        (f'{LIBRARY}[strategies.rules.bracket]\nentry = "close"', "close"),
        (f'{AT_CLOSES}{LIBRARY}[strategies.rules.bracket]\nentry = "open"', "open"),
    ],
    ids=["opens", "labels", "bracket", "bracket at opens"],
)  # fmt: skip
def test_rules_are_compared_where_their_orders_fill(tmp_path, text, entry):
    settings = settings_from(tmp_path, text)
    chosen = PipelineContext(settings).strategy_settings("rules")
    assert build_strategy(chosen).entry == settings.labels_of("rules").entry == entry
    # what was made at opens stays as it is
    assert chosen.parameters == ({} if entry == "open" else {"entry": "close"})
    assert settings.notes == ()
    plain = PipelineContext(settings).strategy_settings("rsi_momentum")
    assert plain == settings.strategies["rsi_momentum"]


@pytest.mark.parametrize("entry", ["open", "close"])
@pytest.mark.parametrize("where", ["parameters", "grid"])
def test_that_price_is_no_parameter_as_well(tmp_path, entry, where):
    value = f'"{entry}"' if where == "parameters" else f'["{entry}"]'
    settings = settings_from(tmp_path, f"{AT_CLOSES}{LIBRARY}{where} = {{ entry = {value} }}")
    with pytest.raises(ConfigError) as caught:
        PipelineContext(settings).strategy_settings("rules")
    assert str(caught.value) == (
        "strategies.rules.parameters.entry: orders fill where labels.entry, or"
        " strategies.rules.bracket.entry, says, and"
        " harmony_pipeline.strategies.rule_library:RuleLibrary compares them there: take entry"
        " out, and set one of those"
    )


@pytest.mark.parametrize("broker", ["simulated", "alpaca", "tests:broker"])
def test_of_daily_bars_sessions_enter_at_closes(tmp_path, broker):
    daily = '[market]\ntimeframe = "1Day"\n'
    text = f'{daily}[labels]\nentry = "close"\n[session]\nbroker = "{broker}"'
    assert settings_from(tmp_path, text).labels_of("meta_labelled").entry == "close"
    around = '[market]\ntimeframe = "1Day"\ncalendar = "24/7"\n[labels]\nentry = "close"'
    assert settings_from(tmp_path, around).labels.entry == "close"


def test_of_bars_within_a_day_they_are_for_whoever_no_session_trades(tmp_path):
    of_one = settings_from(tmp_path, f'{FOLLOW}.bracket]\nentry = "close"')
    assert of_one.labels_of("rsi_momentum").entry == "close"
    assert of_one.event_labels.entry == "open"
    maker = '[strategies.maker]\nuse = "tests:Any"\ndata = "quotes"\n'
    text = '[labels]\nentry = "close"\n[session]\nreplay_days = 0\n' + maker
    of_all = settings_from(tmp_path, f'{text}[strategies.maker.bracket]\nentry = "open"')
    assert (of_all.event_labels.entry, of_all.labels_of("maker").entry) == ("close", "open")


def test_of_a_strategy_that_is_off_nothing_is_asked(tmp_path):
    text = f"{FOLLOW}]\nenabled = false\n{FOLLOW}.risk]\nmax_position = 0.5"
    assert not settings_from(tmp_path, text).strategies["rsi_momentum"].enabled


def test_a_learned_size_of_all_leaves_out_a_portfolio_whose_members_have_their_own(tmp_path):
    text = (
        '[risk]\nsizing = "bandit"\n[portfolios.one]\nstrategies = ["rsi_momentum"]\n'
        f'{FOLLOW}.risk]\nsizing = "fixed_value"'
    )
    assert settings_from(tmp_path, text).risk_of("rsi_momentum").sizing == "fixed_value"


def test_the_labels_have_the_bracket_of_the_strategy_whose_events_they_are(tmp_path):
    text = "[strategies.meta_labelled.bracket]\nprofit_take = 3.0\nminimum_barrier_bps = 0.0"
    settings = settings_from(tmp_path, text)
    assert settings.event_labels.profit_take == 3.0
    assert settings.event_labels.minimum_barrier_bps == 0.0
    assert settings.event_labels.horizons_bars == settings.labels.horizons_bars


@pytest.mark.parametrize("minutes", [1e12, 1e300])
def test_a_pause_without_end_is_a_number_of_the_kernels(minutes):
    """Also where it is added to the last moment that a calendar knows."""
    own = limit_values(StrategyRiskSettings(symbol_cooldown_minutes=minutes))["own_symbol_pause"]
    pause = RiskSettings(symbol_cooldown_minutes=minutes).kernel_values()["symbol_pause"]
    assert own == pause == 2**60
    assert np.int64(pause) + np.datetime64("9999-12-31", "us").astype(np.int64) > pause


def test_ids_of_strategies_that_have_nothing_of_their_own_are_what_they_were():
    plain = StrategySettings(use="tests:none")
    assert not {"bracket", "risk"} & set(plain.model_dump(mode="json"))
    own = StrategySettings(use="tests:none", bracket={"stop_loss": 2.0}, risk={"max_position": 0.1})
    shown = own.model_dump(mode="json")
    assert (shown["bracket"], shown["risk"]) == ({"stop_loss": 2.0}, {"max_position": 0.1})
    assert StrategySettings.model_validate(own.model_dump()) == own


def test_every_setting_of_its_own_is_one_of_all():
    """With the same bounds: a value that `[risk]` refuses is refused here."""
    own, risk = StrategyRiskSettings.model_fields, RiskSettings.model_fields
    assert set(own) <= set(risk)
    assert set(SIZING_KEYS) <= set(own)
    assert all(own[name].metadata == risk[name].metadata for name in own)
    assert {*StrategyRiskSettings.LATER} == set(own)
    assert {*BracketSettings.LATER} == set(BracketSettings.model_fields)


LIMITS = {
    "max_position": st.floats(0.01, 2.0), "max_gross_exposure": st.floats(0.01, 2.0),
    "max_net_exposure": st.floats(0.01, 2.0), "max_open_positions": st.integers(1, 30),
    "max_daily_loss": st.floats(0.001, 1.0), "symbol_cooldown_minutes": st.floats(1.0, 500.0),
    "allow_short": st.booleans(),
}  # fmt: skip


@given(
    account=st.fixed_dictionaries({}, optional=LIMITS),
    own=st.fixed_dictionaries({}, optional={**LIMITS, "sizing": st.sampled_from(SIZINGS)}),
)
def test_a_limit_is_refused_where_it_is_looser_and_only_there(account, own):
    risk, chosen = RiskSettings(**account), StrategyRiskSettings(**own)
    looser = set()
    for name in LIMITS:
        mine, theirs = chosen.model_dump()[name], risk.model_dump()[name]
        if mine is None or theirs is None:
            continue
        worse = mine < theirs if name == "symbol_cooldown_minutes" else mine > theirs
        looser |= {name} if worse else set()
    assert {sentence.partition(":")[0] for sentence in looser_limits(risk, chosen)} == looser


def test_what_is_the_accounts_has_no_size():
    risk = RiskSettings(
        sizing="fixed_value", size_value=5.0, max_position=0.4, rearm_on=(date(2024, 7, 3),)
    )
    assert of_the_account(risk) == RiskSettings(max_position=0.4, rearm_on=(date(2024, 7, 3),))
