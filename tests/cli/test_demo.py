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
from datetime import UTC, date, datetime
from pathlib import Path

import dagster as dg
import pytest

from assets.runner import Runner
from harmony_pipeline.cli.demo import demo
from harmony_pipeline.cli.demo_exchange import ExchangeProcess
from harmony_pipeline.config import load_settings
from harmony_pipeline.errors import HarmonyError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import period_from_key
from harmony_pipeline.models.settings import ModelSettings
from harmony_pipeline.models.walk_forward import train_period
from harmony_pipeline.session.process_control import is_running
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.testing.forecaster_contract import planted_samples

CLOCK = Calendar.of("24/7")

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


def started_by_the_sensor(pipeline: PipelineContext, day: date) -> StageResult:
    """A model is promoted; the sensor asks for the run of the day, and that run is executed."""
    samples = planted_samples(600, 1.0, per_day=8)
    period = period_from_key("2023-02", "month", "America/New_York")
    chosen = ModelSettings(
        forecaster="harmony_pipeline.models.logistic:Logistic", minimum_train_rows=60
    )
    trained = train_period(samples, period, 8, CLOCK, "1Min", chosen, "features").model
    assert trained is not None
    pipeline.registry.save(trained)
    pipeline.registry.promote(trained.model_id, datetime(2024, 7, 1, tzinfo=UTC))
    runner = Runner.of(pipeline.settings)
    repository = runner.definitions.get_repository_def()
    context = dg.build_sensor_context(instance=runner.instance, repository_def=repository)
    sensor = repository.get_sensor_def("paper_session_sensor")
    asked = sensor.evaluate_tick(context).run_requests
    assert asked is not None
    assert [each.partition_key for each in asked] == [day.isoformat()]
    runner.run_job("paper_session", asked[0].partition_key)
    return runner.results["paper_session"]


@pytest.mark.slow
def test_a_day_is_traded_offline_and_both_books_agree(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", str(PROJECT))
    settings = load_settings(settings_file(tmp_path), environment={})
    assert demo(
        settings, DAY, speed=None, symbols=2, with_monitor=False, start=started_by_the_sensor
    )
    shown = capsys.readouterr().out
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
