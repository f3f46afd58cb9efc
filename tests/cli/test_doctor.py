"""`harmony doctor` examines what is broken without breaking itself, and tells serious warnings with
their cure.
"""

import pytest

from harmony_pipeline.cli.boundary import run_command

SETTINGS = (
    '[paths]\nlake = "lake"\nstate = "state"\n[market]\nstart = 2024-01-02\nend = 2024-03-01\n'
)


@pytest.fixture
def market(tmp_path, monkeypatch):
    monkeypatch.setenv("HARMONY_CONFIG", "")
    monkeypatch.setenv("COLUMNS", "400")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.toml").write_text(SETTINGS)
    return tmp_path


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("HARMONY__PATHS__LAKE", "mine.toml", "mine.toml is no folder"),
        ("HARMONY__PATHS__LAKE", "mine.toml/deep/lake", "mine.toml is no folder"),
        ("HARMONY__PATHS__STATE", "mine.toml", "paths.state to another place"),
        ("HARMONY__PATHS__LAKE", "/proc/nowhere/lake", "/proc/nowhere"),
        ("HARMONY__MARKET__SOURCE", "nowhere:Source", "there is no module nowhere"),
    ],
)
def test_what_is_broken_is_a_finding_with_its_cure(
    market, monkeypatch, capfd, variable, value, expected
):
    monkeypatch.setenv(variable, value)
    assert run_command(["--config", "mine.toml", "doctor"]) == 1
    shown = capfd.readouterr()
    assert expected in shown.out
    assert shown.err == ""


def test_an_empty_lake_is_told_with_the_command_as_it_was_typed(market, capfd):
    assert run_command(["--config", "mine.toml", "doctor"]) == 1
    assert "make some: harmony --config mine.toml run" in capfd.readouterr().out


def test_the_settings_end_with_the_variables_of_the_environment(market, capfd):
    assert run_command(["--config", "mine.toml", "doctor", "--settings"]) == 0
    shown = capfd.readouterr().out
    for name in (
        "market.timeframe",
        "HARMONY_CONFIG",
        "HARMONY_KERNEL_CACHE",
        "HARMONY__MARKET__TIMEFRAME=1Hour",
    ):
        assert name in shown


def test_a_size_of_its_own_is_in_place_of_that_of_all_and_a_limit_beside_it(
    market, capfd, monkeypatch
):
    monkeypatch.setenv("COLUMNS", "200")
    own = "HARMONY__STRATEGIES__RSI_MOMENTUM__"
    monkeypatch.setenv(f"{own}RISK__MAX_POSITION", "0.05")
    monkeypatch.setenv(f"{own}RISK__SIZING", "kelly")
    monkeypatch.setenv(f"{own}BRACKET__TOUCH", "close")
    assert run_command(["--config", "mine.toml", "doctor", "--settings"]) == 0
    shown = capfd.readouterr().out
    assert "of this strategy alone, beside risk.max_position" in shown
    assert "of this strategy alone, in place of risk.sizing" in shown
    assert "of this strategy alone, in place of labels.touch" in shown


def test_a_serious_warning_is_no_health_and_findings_are_words(market, capfd):
    from harmony_pipeline.cli.quality import by_rule, print_findings
    from harmony_pipeline.config import load_settings
    from harmony_pipeline.stages import gaps, ingest
    from harmony_pipeline.stages import market as market_stage
    from harmony_pipeline.stages.context import PipelineContext

    days = ["2024-01-02", "2024-01-03", "2024-01-04", "2024-01-05", "2024-01-08"]
    rows = [
        f"{day},{price},{price + 1},{price - 1},{price + 0.5},{volume}"
        for day, price, volume in zip(
            days, (100, 101, 102, 20.2, 20.4), (9, 9, 0, 9, 9), strict=True
        )
    ]
    rows.append("2024-01-09,20,19,21,20,9")
    (market / "AAA.csv").write_text(
        "timestamp,open,high,low,close,volume\n" + "\n".join(rows) + "\n"
    )
    files = 'source = "files"\ntimeframe = "1Day"\n[market.files]\npaths = ["AAA.csv"]\n'
    (market / "mine.toml").write_text(SETTINGS + files)
    pipeline = PipelineContext(load_settings("mine.toml", {}))
    periods = pipeline.trading_periods()
    ingest.raw_bars(pipeline, periods)
    market_stage.bars(pipeline, periods)
    market_stage.daily_summary(pipeline, periods)
    gaps.gaps(pipeline, periods)
    print_findings(pipeline, [period.key for period in periods])
    shown = capfd.readouterr().out
    quarantined = by_rule(pipeline, "quarantine", [period.key for period in periods])
    assert quarantined["rows"].sum() == pipeline.lake.read("quarantine").height > 0
    assert (
        f"in quarantine: {quarantined['rule'][0]}, 1 row of 1 symbol, first: AAA.csv row 7" in shown
    )
    assert "look: harmony" in shown
    warnings = set(pipeline.lake.read("quality_warnings")["rule"])
    if "split_like_jump" in warnings:
        assert run_command(["--config", "mine.toml", "doctor"]) == 1
        assert "give the splits" in capfd.readouterr().out
    assert "split_like_jump" in warnings
