"""What processes do that a test kills (`forked_processes.py`)."""

import os
import signal
from datetime import date
from pathlib import Path

from assets.chain import run_stages
from assets.groups import RETRAIN
from harmony_pipeline.config import load_settings
from harmony_pipeline.lake import local_store
from harmony_pipeline.stages import ingest
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.testing.tiny import tiny_market


def retrain_and_die(folder: str, moment: str, side: str, end: str) -> None:
    """Kill itself in the n-th publication of a file, `before` or `after` the rename: the two sides
    of every commit.
    """
    pipeline = tiny_market(Path(folder), end=date.fromisoformat(end))
    assert pipeline.lake
    published, publish = 0, local_store.publish

    def dying(temporary, path, *, durable):
        nonlocal published
        published += 1
        if published == int(moment) and side == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        publish(temporary, path, durable=durable)
        if published == int(moment) and side == "after":
            os.kill(os.getpid(), signal.SIGKILL)

    local_store.publish = dying
    run_stages(pipeline, RETRAIN)


def ingest_bars(file: str) -> None:
    """Ask the venue of the settings for every bar."""
    pipeline = PipelineContext(load_settings(file))
    ingest.raw_bars(pipeline, pipeline.trading_periods())
