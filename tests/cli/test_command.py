import json
import os
import subprocess
import sys

import polars as pl
import pytest
from typer.testing import CliRunner

from harmony_pipeline.cli import app
from harmony_pipeline.cli.boundary import run_command
from harmony_pipeline.errors import HarmonyError

VERBS = (
    "run",
    "ingest",
    "ticks",
    "backfill",
    "scan",
    "backtest",
    "trade",
    "replay",
    "exchange",
    "monitor",
    "alerts",
    "models",
    "sql",
    "lineage",
    "report",
    "ui",
    "service",
    "doctor",
    "new",
)


@pytest.fixture
def config(tmp_path, monkeypatch):
    monkeypatch.delenv("HARMONY_CONFIG", raising=False)
    file = tmp_path / "other.toml"
    file.write_text(
        '[paths]\nlake = "lake"\nstate = "state"\n[market]\nstart = 2024-01-02\nend = 2024-03-01\n'
    )
    yield str(file)
    os.environ.pop("HARMONY_CONFIG", None)


def harmony(*arguments: str):
    return CliRunner().invoke(app, list(arguments))


def test_help_lists_every_verb_and_each_verb_explains_itself():
    shown = harmony("--help").output
    for verb in VERBS:
        assert verb in shown
        assert len(harmony(verb, "--help").output) > 80


@pytest.mark.parametrize("view", ["bars", "features", "trades", "session_fills", "scan_candidates"])
def test_sql_on_an_empty_lake_is_empty_not_an_error(config, view):
    result = harmony("--config", config, "sql", f"select * from {view}", "--format", "json")
    assert result.exit_code == 0
    assert json.loads(result.output) == []


@pytest.mark.parametrize(
    ("form", "read"), [("csv", pl.read_csv), ("json", pl.read_json), ("parquet", pl.read_parquet)]
)
def test_sql_writes_each_format_to_a_file(config, tmp_path, form, read):
    output = tmp_path / "deep" / f"out.{form}"
    result = harmony(
        "--config",
        config,
        "sql",
        "select 1 as a, 'x' as b",
        "--format",
        form,
        "--output",
        str(output),
    )
    assert result.exit_code == 0
    assert read(output).to_dicts() == [{"a": 1, "b": "x"}]


def test_sql_runs_a_named_query_and_any_table_function(config):
    assert harmony("--config", config, "sql", "gaps_by_symbol").exit_code == 0
    assert "3" in harmony("--config", config, "sql", "select count(*) from range(3)").output


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (("sql", "select 1", "--format", "xml"), "no --format 'xml'"),
        (("scan", "--date", "2024-01-15"), "not a session"),
        (("scan", "--date", "soon"), "not a date"),
        (("backtest", "nosuch"), "choose one of"),
        (("backfill", "barz"), "no asset 'barz'"),
        (("lineage", "nosuch"), "no order 'nosuch'"),
        (("replay",), "no bars yet"),
        (("exchange",), "no bars yet"),
        (("report",), "no backtest of"),
        (("report", "--compare"), "no backtest to compare"),
        (("report", "rsi_momentum", "--compare"), "leave out rsi_momentum"),
    ],
)
def test_mistakes_are_refused_in_words(config, arguments, expected):
    result = harmony("--config", config, *arguments)
    assert result.exit_code != 0
    assert isinstance(result.exception, HarmonyError)
    assert expected in str(result.exception)


@pytest.mark.parametrize(
    ("typed", "meant"), [("runn", "run"), ("docter", "doctor"), ("reportt", "report")]
)
def test_a_misspelt_verb_is_told_the_nearest_one_once(typed, meant, capsys):
    assert run_command([typed]) == 2
    assert capsys.readouterr().err.count(f"Did you mean '{meant}'?") == 1


def test_a_mistake_is_one_line_on_standard_error_and_exit_code_two(tmp_path):
    file = tmp_path / "typo.toml"
    file.write_text('[market]\ntimefrme = "1Hour"\n')
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    result = subprocess.run(
        [sys.executable, "-m", "harmony_pipeline.cli", "--config", str(file), "models"],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )
    assert result.returncode == 2
    assert result.stdout == ""
    assert "did you mean 'timeframe'" in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_the_config_switches_lake_and_state(config, tmp_path):
    harmony("--config", config, "sql", "select * from bars")
    assert (tmp_path / "lake" / "bars").is_dir()


def test_sql_alone_lists_the_named_queries_with_what_they_answer(config):
    shown = harmony("--config", config, "sql").output
    assert "gaps_by_symbol" in shown
    assert "universe_on_a_day" in shown
    assert "--set day=..." in shown


def test_a_named_query_reads_variables(config):
    assert (
        harmony("--config", config, "sql", "universe_on_a_day", "--set", "day=2024-01-31").exit_code
        == 0
    )
    assert (
        harmony(
            "--config",
            config,
            "sql",
            "select getvariable('a') as a",
            "--set",
            "a=x y",
            "--format",
            "csv",
        ).output
        == "a\nx y\n"
    )
    refused = harmony("--config", config, "sql", "universe_on_a_day", "--set", "day")
    assert "has no value" in str(refused.exception)


def test_ingest_says_what_it_received_and_what_a_correction_changed(tmp_path, monkeypatch):
    monkeypatch.delenv("HARMONY_CONFIG", raising=False)
    bars, file = tmp_path / "AAA.csv", tmp_path / "mine.toml"
    bars.write_text(
        "timestamp,open,high,low,close,volume\n2024-01-02,10,11,9,10.5,100\n2024-01-03,10,11,9,10.6,100\n"
    )
    market = (
        'source = "files"\ntimeframe = "1Day"\nstart = 2024-01-02\nend ='
        ' 2024-02-01\n[market.files]\npaths = ["AAA.csv"]\n'
    )
    file.write_text(f'[paths]\nlake = "lake"\nstate = "state"\n[market]\n{market}')
    first = harmony("--config", str(file), "ingest").output
    assert "2 rows received: 2 new\n" in first
    assert "known before" not in first
    assert "2 raw rows in these periods: 2 bars, 0 in quarantine, 0 warnings" in first
    bars.write_text(bars.read_text().replace("10.6,100", "10.9,120"))
    second = harmony("--config", str(file), "ingest").output
    assert "2 rows received: 1 new (1 of them corrections), 1 known before" in second
    assert "3 raw rows in these periods: 2 bars, 1 in quarantine" in second
    assert "2024 rebuilt: 1 bars changed" in second
    assert "close was 10.6, is 10.9" in second
    os.environ.pop("HARMONY_CONFIG", None)
