"""SIGKILL of a whole `harmony` process in the middle of a run: the next one starts at once and
completes the work.
"""

import os
import signal
import subprocess
import sys
import time

import pytest

from harmony_pipeline.cli.boundary import run_command
from harmony_pipeline.config import load_settings
from harmony_pipeline.stages.context import PipelineContext

pytestmark = pytest.mark.slow
TOML = (
    '[paths]\nlake = "lake"\nstate = "state"\n[market]\nstart = 2024-01-02\nend ='
    " 2024-03-01\n[market.simulated]\nsymbols = 4\nlow_float_symbols = 2\n"
)


def harmony(file, *arguments, **options):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen(
        [sys.executable, "-m", "harmony_pipeline.cli", "--config", str(file), *arguments],
        env=environment,
        stdout=subprocess.DEVNULL,
        **options,
    )


def test_a_run_killed_in_the_middle_does_not_stand_in_the_way_of_the_next(
    tmp_path, monkeypatch, capfd
):
    monkeypatch.setenv("HARMONY_CONFIG", "")  # what the command sets is undone
    file = tmp_path / "mine.toml"
    file.write_text(TOML)
    first = tmp_path / "lake" / "raw_bars" / "partition=2024-01" / "raw_bars.parquet"
    with harmony(file, "ingest", stderr=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 60
        while not first.exists() and process.poll() is None and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGKILL)
    assert run_command(["--config", str(file), "ingest"]) == 0, capfd.readouterr().err
    lake = PipelineContext(load_settings(file, {})).lake
    assert lake.partitions("daily_summary") == ["2024-01", "2024-02"]
    assert lake.read("raw_bars").height == lake.read("bars").height + lake.read("quarantine").height
