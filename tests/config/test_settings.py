from datetime import date
from pathlib import Path

import pytest

from harmony_pipeline.config import (
    Settings,
    described,
    ignored_variables,
    load_settings,
    variable_names,
)
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.settings_sources import RENAMED
from harmony_pipeline.stages.session_plans import replay_account
from harmony_pipeline.testing.tiny import tiny_market
from harmony_pipeline.testing.vendor_files import FOLDER, MARKETS


def settings_from(folder: Path, text: str, **environment: str):
    file = folder / "harmony.toml"
    file.write_text(text)
    return load_settings(file, environment)


def test_an_unknown_key_is_refused_by_file_line_name_and_valid_choices(tmp_path):
    with pytest.raises(ConfigError) as caught:
        settings_from(tmp_path, '[market]\ntimefrme = "1Hour"\n')
    message = str(caught.value)
    assert "harmony.toml line 2" in message
    assert "unknown key market.timefrme" in message
    assert "did you mean 'timeframe'" in message
    assert "calendar" in message


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            '[market.partitions]\ntrading_period = "monht"',
            "'day', 'week', 'month', 'quarter' or 'year'",
        ),
        ("[risk]\nmax_position = -1", "risk.max_position"),
        ("[market]\nstart = 2024-02-01\nend = 2024-01-01", "is not after market.start"),
        ('[session]\nstrategy = "nosuch"', "choose one of moving_average_crossover"),
        ("[model]\ntrade_horizon_bars = 5", "labels.horizons_bars"),
        ("[overfitting]\nsplits = 7", "is odd"),
        ("[market\n", "not valid TOML"),
        ("[strategies.mine]\nparameters = {}", "strategies.mine.use"),
        ('[scanner]\nas_of = "nine"', "scanner.as_of"),
    ],
)
def test_impossible_values_are_refused_in_words(tmp_path, text, expected):
    with pytest.raises(ConfigError, match=r"harmony\.toml") as caught:
        settings_from(tmp_path, text)
    assert expected in str(caught.value)


def test_a_missing_file_is_said_so(tmp_path):
    with pytest.raises(ConfigError, match="no such settings file"):
        load_settings(tmp_path / "other.toml", {})


def test_the_environment_wins_over_the_file_which_wins_over_defaults(tmp_path):
    text = '[market]\ntimeframe = "1Hour"\n'
    assert settings_from(tmp_path, "").market.timeframe == "15Min"
    assert settings_from(tmp_path, text).market.timeframe == "1Hour"
    assert (
        settings_from(tmp_path, text, HARMONY__MARKET__TIMEFRAME="1Day").market.timeframe == "1Day"
    )
    assert (
        settings_from(tmp_path, text, HARMONY__RISK__MAX_POSITION="0.01").risk.max_position == 0.01
    )


def test_variables_in_text_are_expanded_and_a_missing_one_is_named(tmp_path):
    text = '[market.files]\npaths = ["${DATA:-here}/x", "${OTHER}/y"]\n'
    assert settings_from(tmp_path, text, OTHER="/o").market.files.paths == ("here/x", "/o/y")
    with pytest.raises(ConfigError, match="OTHER"):
        settings_from(tmp_path, text)


def test_a_strategy_in_the_file_keeps_the_defaults_it_does_not_mention(tmp_path):
    settings = settings_from(tmp_path, "[strategies.rsi_momentum]\nenabled = false\n")
    assert "rsi_momentum" not in settings.active_strategies
    assert settings.strategies["rsi_momentum"].use.endswith("RsiMomentum")


def test_relative_paths_count_from_the_settings_file(tmp_path):
    settings = settings_from(tmp_path, '[paths]\nlake = "deep/lake"\n')
    assert settings.lake_root == tmp_path / "deep" / "lake"


def test_every_setting_can_be_described(tmp_path):
    keys = [key for key, _value, _meaning in described(settings_from(tmp_path, ""))]
    assert "market.simulated.seed" in keys
    assert len(keys) == len(set(keys))


def test_an_old_name_is_taken_and_the_new_one_is_told(tmp_path):
    by_file = settings_from(tmp_path, "[luck]\nseed = 5\nreject_probability = 0.25\n")
    assert (by_file.execution_noise.seed, by_file.execution_noise.reject_probability) == (5, 0.25)
    assert by_file.notes == (
        (
            f"{tmp_path}/harmony.toml: luck is called execution_noise now: the old name goes with"
            " the next release"
        ),
    )
    by_variable = settings_from(tmp_path, "[execution_noise]\nseed = 5\n", HARMONY__LUCK__SEED="7")
    assert by_variable.execution_noise.seed == 7
    assert by_variable.notes == (
        (
            "HARMONY__LUCK__SEED is called HARMONY__EXECUTION_NOISE__SEED now: the old name goes"
            " with the next release"
        ),
    )
    assert settings_from(tmp_path, "[execution_noise]\nseed = 5\n").notes == ()


def test_every_renamed_key_leads_to_one_that_exists():
    keys = [key for key, _value, _meaning in described(Settings())]
    for old, new in RENAMED.items():
        assert any(key == new or key.startswith(f"{new}.") for key in keys)
        assert not any(key == old or key.startswith(f"{old}.") for key in keys)


def test_the_account_of_a_replay_keeps_its_name(tmp_path):
    assert replay_account(tiny_market(tmp_path)) == "replay-e7e6c36daa43b0ea"


@pytest.mark.parametrize(
    ("cash", "taken"), [("1e12", True), ("1000000000000.1", False), ("0.01", True), ("0", False)]
)
def test_money_at_the_start_has_bounds(tmp_path, cash, taken):
    if taken:
        assert settings_from(
            tmp_path, "", HARMONY__BACKTEST__INITIAL_CASH=cash
        ).backtest.initial_cash == float(cash)
    else:
        with pytest.raises(
            ConfigError, match=r"HARMONY__BACKTEST__INITIAL_CASH: backtest\.initial_cash"
        ):
            settings_from(tmp_path, "", HARMONY__BACKTEST__INITIAL_CASH=cash)


def test_settings_made_without_a_file_do_not_read_the_environment(monkeypatch):
    monkeypatch.setenv("HARMONY__MODEL__SEED", "99")
    monkeypatch.setenv("MODEL", "{}")
    assert Settings().model.seed == 11


@pytest.mark.parametrize(
    ("variable", "text", "key", "expected"),
    [
        ("HARMONY__MARKET__SYMBOLS", '["AAA", "bbb"]', "symbols", ("AAA", "bbb")),
        ("HARMONY__MARKET__EXTENDED_HOURS", "false", "extended_hours", False),
        ("HARMONY__MARKET__GRID", "570", "grid", 570),
        ("HARMONY__MARKET__START", "2024-02-29", "start", date(2024, 2, 29)),
        ("HARMONY__MARKET__END", "none", "end", None),
        ("HARMONY__MARKET__CALENDAR", '"XLON"', "calendar", "XLON"),
        ("harmony__market__calendar", "XLON", "calendar", "XLON"),
    ],
)
def test_a_variable_holds_any_kind_of_value(tmp_path, variable, text, key, expected):
    assert settings_from(tmp_path, "", **{variable: text}).market.model_dump()[key] == expected


def test_variables_reach_sections_of_names(tmp_path):
    settings = settings_from(
        tmp_path,
        "[strategies.rsi_momentum.parameters]\nwindow = 9\n",
        HARMONY__STRATEGIES__RSI_MOMENTUM__PARAMETERS__UPPER="70.5",
        HARMONY__MARKET__QUALITY__RULES__OUTLIER="off",
        HARMONY__SCANNER__AS_OF="09:20",
    )
    assert settings.strategies["rsi_momentum"].parameters == {"window": 9, "upper": 70.5}
    assert settings.market.quality.rules == {"outlier": "off"}
    assert settings.scanner.as_of == "09:20"


EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.parametrize("example", sorted(EXAMPLES.rglob("*.toml")), ids=lambda path: path.stem)
def test_the_examples_are_valid(example):
    settings = load_settings(example, {})
    assert settings.market.source in ("files", "yahoo", "crypto", "simulated")
    assert (
        settings.lake_root.parent
        == settings.state_root.parent
        == EXAMPLES.parent / ".harmony" / example.stem
    )


def test_every_market_of_invented_prices_has_an_example():
    for name in MARKETS:
        settings = load_settings(EXAMPLES / f"{name}.toml", {})
        assert [(settings.folder / path).resolve() for path in settings.market.files.paths] == [
            EXAMPLES.parent / FOLDER / name
        ]
        assert settings.market.calendar == MARKETS[name].calendar
        assert (settings.market.start, settings.market.end) == (
            MARKETS[name].first,
            MARKETS[name].end,
        )


def test_a_variable_that_means_nothing_is_told_and_a_setting_with_one_underscore_is_refused():
    known = {
        "HARMONY_CONFIG": "",
        "HARMONY_KERNEL_CACHE": "x",
        "HARMONY__MARKET__TIMEFRAME": "1Hour",
        "HOME": "/home/me",
    }
    assert ignored_variables(known) == []
    told = ignored_variables({**known, "HARMONY_CONFG": "x", "HARMONY_LOUD": "1"})
    assert len(told) == 2
    assert "HARMONY_CONFG is not known and was ignored: did you mean HARMONY_CONFIG?" in told[0]
    for name in (
        "HARMONY_MARKET_TIMEFRAME",
        "HARMONY_MARKET__TIMEFRAME",
        "HARMONY_PATHS_LAKE",
        "HARMONY_RISK_MAX_POSITION",
    ):
        with pytest.raises(
            ConfigError, match=r"sets nothing: write HARMONY__\w+__\w+, with two underscores"
        ):
            ignored_variables({name: "x"})


def test_every_setting_has_a_variable_of_its_own(tmp_path):
    names = variable_names()
    assert len(names) == len(set(names)) > 100
    assert (
        settings_from(
            tmp_path, "", HARMONY__MARKET__FILES__TIMEZONE="Asia/Tokyo"
        ).market.files.timezone
        == "Asia/Tokyo"
    )
