"""A small market up to its models, made once in a folder: what other ways of making it, killed ones
and ones over a network, must come to.
"""

from datetime import date

import pytest

from assets.chain import run_stages
from assets.groups import RETRAIN
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.testing.tiny import tiny_market

END = date(2024, 3, 1)  # a month to train on, and one to predict


@pytest.fixture(scope="session")
def retrained(tmp_path_factory: pytest.TempPathFactory) -> PipelineContext:
    """The market. No test changes it."""
    pipeline = tiny_market(tmp_path_factory.mktemp("retrained"), end=END)
    run_stages(pipeline, RETRAIN)
    assert pipeline.lake.read("predictions").height
    return pipeline
