"""`harmony demo` on a half-day of a tiny market, through all its processes, and how it ends when it
is stopped.
"""

import os
import re
import signal
import subprocess
import sys
import time
import urllib.request
from datetime import date
from functools import partial
from pathlib import Path

import pytest

from assets.runner import Runner
from harmony_pipeline.cli.demo import demo
from harmony_pipeline.cli.demo_exchange import ExchangeProcess
from harmony_pipeline.cli.demo_sensor import session_by_sensor
from harmony_pipeline.config import load_settings
from harmony_pipeline.errors import HarmonyError
from harmony_pipeline.session.process_control import is_running
from harmony_pipeline.stages.context import PipelineContext

DAY = "2024-07-03"  # closes at 13:00
MARKET = """
[paths]
lake = "lake"
state = "state"
[market]
source = "simulated"
timeframe = "1Min"
start = 2024-07-02
end = 2024-07-04
extended_hours = false
[market.simulated]
symbols = 2
low_float_symbols = 0
[market.partitions]
trading_period = "month"
retraining_period = "month"
[scanner]
require_premarket = false
"""
PROJECT = Path(__file__).parents[2]


def settings_file(folder: Path) -> Path:
    file = folder / "harmony.toml"
    file.write_text(MARKET)
    return file


@pytest.mark.slow
def test_a_day_is_traded_offline_and_both_books_agree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    settings = load_settings(settings_file(tmp_path), environment={})
    start = partial(session_by_sensor, Runner.of)
    assert demo(settings, DAY, speed=None, symbols=2, with_monitor=False, start=start)
    shown = capsys.readouterr().out
    assert "paper_session_sensor asks for the run of 2024-07-03" in shown
    assert "compared one by one: equal" in shown
    found = re.search(r"end of 2024-07-03: completed; (\d+) orders .* (\d+) fills", shown)
    assert found is not None
    assert int(found[2]) > 0
    assert "HARMONY__SESSION__BROKER" not in os.environ
    [state] = (tmp_path / "state" / "demo").iterdir()
    assert (state / "reports" / f"session-{DAY}.html").exists()
    assert not is_running(state)


@pytest.mark.slow
def test_ctrl_c_ends_the_exchange_the_session_and_the_monitor(tmp_path: Path) -> None:
    command = [
        sys.executable, "-m", "harmony_pipeline.cli", "--config", str(settings_file(tmp_path)),
        "demo", "--date", DAY,
    ]  # fmt: skip
    output = tmp_path / "output"
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, stdout=file, stderr=file, env={**os.environ, "PYTHONPATH": str(PROJECT)}
        )
    until = time.monotonic() + 90.0
    while "orders" not in output.read_text() and time.monotonic() < until:  # it trades
        assert process.poll() is None, output.read_text()
        time.sleep(0.1)
    shown = output.read_text()
    url = re.search(r"at (http://127\.0\.0\.1:\d+)", shown)
    page = re.search(r"watch: +(http://127\.0\.0\.1:\d+/)", shown)
    assert url is not None
    assert page is not None
    with urllib.request.urlopen(page[1], timeout=10.0) as answer:
        assert b"Harmony" in answer.read()
    process.send_signal(signal.SIGINT)
    assert process.wait(60.0) == 130, output.read_text()
    [state] = (tmp_path / "state" / "demo").iterdir()
    assert not is_running(state)
    for address in (f"{url[1]}/control/status", page[1]):
        with pytest.raises(OSError, match="refused"):
            urllib.request.urlopen(address, timeout=2.0)


def test_an_exchange_that_cannot_start_is_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    exchange = ExchangeProcess(
        settings_file(tmp_path), DAY, ("K", "S"), tmp_path / "exchange.log"
    )  # its lake is empty
    with pytest.raises(HarmonyError, match=r"did not start: .*no bars"), exchange:
        pass
    assert exchange._process.poll() is not None


def test_a_sensor_that_starts_nothing_says_why(tmp_path: Path) -> None:
    pipeline = PipelineContext(load_settings(settings_file(tmp_path), environment={}))
    with pytest.raises(HarmonyError, match="starts nothing: no trading day was scanned yet"):
        session_by_sensor(Runner.of, pipeline, date(2024, 7, 3))
