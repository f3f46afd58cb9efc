from pathlib import Path

import pytest

from harmony_pipeline.config import described, ignored_variables, load_settings, variable_names
from harmony_pipeline.errors import ConfigError
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
        ('[market.partitions]\ntrading_period = "monht"', "'day', 'week', 'month', 'quarter' or 'year'"),
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
    assert settings_from(tmp_path, text, HARMONY__MARKET__TIMEFRAME="1Day").market.timeframe == "1Day"
    assert settings_from(tmp_path, text, HARMONY__RISK__MAX_POSITION="0.01").risk.max_position == 0.01


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


EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


@pytest.mark.parametrize("example", sorted(EXAMPLES.rglob("*.toml")), ids=lambda path: path.stem)
def test_the_examples_are_valid(example):
    settings = load_settings(example, {})
    assert settings.market.source in ("files", "yahoo", "crypto")
    assert settings.lake_root.parent == settings.state_root.parent == EXAMPLES.parent / ".harmony" / example.stem


def test_every_market_of_invented_prices_has_an_example():
    for name in MARKETS:
        settings = load_settings(EXAMPLES / f"{name}.toml", {})
        assert [(settings.folder / path).resolve() for path in settings.market.files.paths] == [EXAMPLES.parent / FOLDER / name]
        assert settings.market.calendar == MARKETS[name].calendar
        assert (settings.market.start, settings.market.end) == (MARKETS[name].first, MARKETS[name].end)


def test_a_variable_that_means_nothing_is_told_and_a_setting_with_one_underscore_is_refused():
    known = {"HARMONY_CONFIG": "", "HARMONY_KERNEL_CACHE": "x", "HARMONY__MARKET__TIMEFRAME": "1Hour", "HOME": "/home/me"}
    assert ignored_variables(known) == []
    told = ignored_variables({**known, "HARMONY_CONFG": "x", "HARMONY_LOUD": "1"})
    assert len(told) == 2
    assert "HARMONY_CONFG is not known and was ignored: did you mean HARMONY_CONFIG?" in told[0]
    for name in ("HARMONY_MARKET_TIMEFRAME", "HARMONY_MARKET__TIMEFRAME", "HARMONY_PATHS_LAKE", "HARMONY_RISK_MAX_POSITION"):
        with pytest.raises(ConfigError, match=r"sets nothing: write HARMONY__\w+__\w+, with two underscores"):
            ignored_variables({name: "x"})


def test_every_setting_has_a_variable_of_its_own(tmp_path):
    names = variable_names()
    assert len(names) == len(set(names)) > 100
    assert settings_from(tmp_path, "", HARMONY__MARKET__FILES__TIMEZONE="Asia/Tokyo").market.files.timezone == "Asia/Tokyo"
