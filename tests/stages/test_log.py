"""The log: a run, an ingest and a session leave JSON lines, the file rotates, and no secret is in
it, on the terminal or in the lake.
"""

import json
import logging
import os
from datetime import date
from pathlib import Path

import polars as pl
import pytest

from assets.chain import run_stages
from assets.groups import INGEST
from harmony_pipeline import log as the_log
from harmony_pipeline.cli.boundary import run_command
from harmony_pipeline.log import (
    LibraryLog,
    log,
    log_all,
    log_context,
    log_file,
    record_failure,
)
from harmony_pipeline.stages import ingest, instruments, market, research
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.session_runs import run_session_here
from harmony_pipeline.testing.tiny import tiny_settings

CANARIES = {
    "APCA_API_KEY_ID": "PKCANARYCANARY00001",
    "APCA_API_SECRET_KEY": "canary/secret+of=alpaca",
    "FEED_TOKEN": 'canary "token" \\ é',
}
TOML = """
[paths]
lake = "lake"
state = "state"
[market]
start = 2024-01-02
end = 2024-02-01
timeframe = "30Min"
[market.simulated]
symbols = 2
low_float_symbols = 0
[market.alpaca]
stream_url = "wss://example.org/${APCA_API_SECRET_KEY}"
data_url = "https://me:canary-password@example.org"
[market.yahoo]
rename = { A = '${FEED_TOKEN}' }
"""


def lines(state: Path) -> list[dict]:
    return [json.loads(line) for line in log_file(state).read_text(encoding="utf-8").splitlines()]


@pytest.fixture
def secrets(monkeypatch):
    for name, value in CANARIES.items():
        monkeypatch.setenv(name, value)
    return (*CANARIES.values(), "canary-password")


def test_a_line_has_the_facts_around_it_and_the_seconds_since_they_began(tmp_path):
    with log_context(run="r", asset="bars"):
        log(tmp_path, "outer")
        with log_context(asset="features"):
            log(tmp_path, "inner", rows={"features": 3}, path=tmp_path)
        log(tmp_path, "outer again", logging.WARNING)
    log(tmp_path, "outside")
    outer, inner, again, outside = lines(tmp_path)
    assert (outer["run"], outer["asset"], outer["level"]) == ("r", "bars", "info")
    assert (inner["run"], inner["asset"], inner["rows"], inner["path"]) == (
        "r",
        "features",
        {"features": 3},
        str(tmp_path),
    )
    assert (again["asset"], again["level"]) == ("bars", "warning")
    assert 0.0 <= inner["seconds"] <= again["seconds"]
    assert not {"run", "asset", "seconds"} & set(outside)
    assert outside["time"].endswith("Z")


def test_a_run_without_dagster_leaves_a_line_an_asset(tmp_path):
    pipeline = PipelineContext(tiny_settings(tmp_path))
    results = run_stages(pipeline, INGEST)
    made = {
        line["asset"]: line
        for line in lines(pipeline.settings.state_root)
        if line["event"] == "asset made"
    }
    assert set(made) == set(results)
    assert made["bars"]["rows"] == results["bars"].rows
    assert made["bars"]["partitions"] == len(pipeline.trading_periods())
    assert made["bars"]["seconds"] > 0.0


def test_the_file_rotates_by_size_and_keeps_four_older_ones(tmp_path, monkeypatch):
    monkeypatch.setattr(the_log, "_BYTES", 1_000)
    for number in range(100):
        assert log(tmp_path, "line", number=number) == log_file(tmp_path)
    files = sorted((tmp_path / "logs").iterdir())
    assert [file.name for file in files] == [
        "harmony.jsonl",
        *(f"harmony.jsonl.{number}" for number in (1, 2, 3, 4)),
    ]
    assert all(file.stat().st_size <= 1_000 for file in files)
    newest_last = [
        json.loads(line)["number"]
        for file in (*files[:0:-1], files[0])
        for line in file.read_text().splitlines()
    ]
    assert newest_last == list(range(newest_last[0], 100))
    assert len(newest_last) > 20


def test_a_log_that_cannot_be_written_stops_nothing_and_says_nothing(tmp_path, capfd):
    (tmp_path / "blocked").write_text("a file")
    assert log(tmp_path / "blocked", "line") is None
    if Path("/dev/full").exists():
        (tmp_path / "full" / "logs").mkdir(parents=True)
        log_file(tmp_path / "full").symlink_to("/dev/full")
        assert log(tmp_path / "full", "line") is None
        assert record_failure(KeyError("x"), tmp_path / "full") == (
            "something failed that Harmony did not foresee: KeyError: 'x'",
            None,
        )
    assert capfd.readouterr() == ("", "")


def test_what_libraries_say_is_logged_where_a_log_was_begun(tmp_path):
    said = logging.makeLogRecord(
        {"name": "urllib3", "msg": "retrying %s", "args": ("once",), "levelno": logging.WARNING}
    )
    LibraryLog(lambda: tmp_path).emit(said)
    assert not log_file(tmp_path).exists()
    log(tmp_path, "begun")
    LibraryLog(lambda: tmp_path).emit(said)
    assert (lines(tmp_path)[-1]["library"], lines(tmp_path)[-1]["said"]) == (
        "urllib3",
        "retrying once",
    )


def test_a_run_of_an_ingest_leaves_its_lines_and_no_secret_anywhere(
    tmp_path, monkeypatch, secrets, capfd
):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HARMONY_CONFIG", "")
    (tmp_path / "mine.toml").write_text(TOML)
    assert run_command(["--config", "mine.toml", "ingest"]) == 0
    assert run_command(["--config", "mine.toml", "doctor", "--settings"]) == 0
    assert (
        run_command(
            [
                "--config",
                "mine.toml",
                "sql",
                f"select '{CANARIES['APCA_API_KEY_ID']}' as x from nowhere",
            ]
        )
        == 1
    )
    told = lines(tmp_path / "state")

    made = {line["asset"]: line for line in told if line["event"] == "asset made"}
    assert {"raw_bars", "bars", "daily_summary", "gaps"} <= set(made)
    bars = made["bars"]
    rows = pl.read_parquet(
        next((tmp_path / "lake" / "bars").rglob("partition=2024-01/**/*.parquet"))
    ).height
    assert (bars["partition"], bars["rows"]["bars"], bars["command"]) == ("2024-01", rows, "ingest")
    assert bars["seconds"] > 0.0
    assert len({line["run"] for line in made.values()}) == 1
    assert len(bars["run"]) == 36
    fetched = next(line for line in told if line["event"] == "ingest")
    assert (fetched["source"], fetched["run"], fetched["counts"]["new rows"]) == (
        "simulated",
        bars["run"],
        made["raw_bars"]["rows"]["raw_bars"],
    )
    assert [line["event"] for line in (told[0], told[-2])] == ["command started", "command ended"]
    assert told[-1]["event"] == "failure"

    shown = capfd.readouterr()
    assert "\n{" not in shown.out + shown.err, "the terminal shows no JSON"
    assert "stream_url" in shown.out
    refuse_secrets(secrets, "the terminal", "".join((shown.out + shown.err).split()))
    for file in [*(tmp_path / "lake").rglob("*"), *(tmp_path / "state").rglob("*")]:
        if file.is_file():
            held = file.read_bytes().decode("utf-8", errors="replace")
            if file.suffix == ".parquet":
                held += str(pl.read_parquet(file, hive_partitioning=False).to_dicts())
            refuse_secrets(secrets, str(file), held)


def refuse_secrets(secrets: tuple[str, ...], where: str, held: str) -> None:
    for secret in secrets:
        forms = {
            secret,
            json.dumps(secret)[1:-1],
            json.dumps(secret, ensure_ascii=False)[1:-1],
            repr(secret)[1:-1],
            "".join(secret.split()),
        }
        assert not [form for form in forms if form in held], f"{secret} is in {where}"


def test_a_session_leaves_its_lines(tmp_path):
    settings = tiny_settings(tmp_path, end=date(2024, 2, 1))
    session = settings.session.model_copy(
        update={"strategy": "moving_average_crossover", "watch": "universe"}
    )
    pipeline = PipelineContext(settings.model_copy(update={"session": session}))
    periods = pipeline.trading_periods()
    for stage in (market.corporate_actions, market.universe, market.listings):
        stage(pipeline)
    ingest.raw_bars(pipeline, periods)
    for cut in (market.bars, market.daily_summary):
        cut(pipeline, periods)
    instruments.instruments(pipeline)
    research.features(pipeline, periods)
    result = run_session_here(pipeline, "2024-01-30", require_promoted=False)
    started, ended = lines(settings.state_root)[-2:]
    assert (started["event"], ended["event"]) == ("session started", "session ended")
    assert started["session"] == ended["session"] == result.session_id
    assert (started["day"], started["broker"], started["symbols"]) == ("2024-01-30", "simulated", 6)
    assert (ended["orders"], ended["fills"], ended["outcome"]) == (
        result.orders.height,
        result.fills.height,
        "completed",
    )
    assert ended["seconds"] >= started["seconds"] >= 0.0


def test_secrets_are_taken_out_of_every_part_of_a_line(tmp_path, secrets):
    for secret in secrets[:-1]:
        log(
            tmp_path,
            f"said {secret}",
            fact=secret,
            deep={"a": [secret, {"b": (secret, 1)}]},
            error=ValueError(secret),
        )
    log(tmp_path, "address", url="https://me:canary-password@example.org")
    refuse_secrets(secrets, "the log", log_file(tmp_path).read_text())
    assert lines(tmp_path)[0]["fact"] == "<APCA_API_KEY_ID>"
    assert os.environ["APCA_API_KEY_ID"] == CANARIES["APCA_API_KEY_ID"]


def test_lines_that_are_put_down_together_are_those_put_down_one_by_one(tmp_path):
    facts = [{"asset": "bars", "partition": key, "rows": {"bars": 3}} for key in ("2024", "2025")]
    log_all(tmp_path / "together", "partition made", facts)
    for each in facts:
        log(tmp_path / "apart", "partition made", **each)
    together, apart = (
        [json.loads(line) | {"time": ""} for line in log_file(folder).read_text().splitlines()]
        for folder in (tmp_path / "together", tmp_path / "apart")
    )
    assert together == apart
    assert len(together) == 2
    log_all(tmp_path / "nothing", "partition made", [])
    assert not log_file(tmp_path / "nothing").exists()
