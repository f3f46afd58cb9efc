"""A session in words: a row a day."""

import pytest

from harmony_pipeline.errors import NotReady
from harmony_pipeline.stages import live, scanner
from harmony_pipeline.stages.context import PipelineContext


def test_a_day_without_an_order_names_the_model_that_it_was_pinned_to(copied):
    model = copied.settings.model.model_copy(update={"threshold": 0.999})  # no trade is that sure
    quiet = PipelineContext(copied.settings.model_copy(update={"model": model}))
    day = quiet.sessions()[-2]
    with pytest.raises(NotReady, match="harmony replay"):
        live.session_row(quiet, day.isoformat())
    scanner.scan(quiet, [day])
    live.paper_session(quiet, [day], require_promoted=False, own_process=False)
    row = live.session_row(quiet, day.isoformat())
    assert row["orders"] == "0"
    assert row["model"] in set(quiet.lake.read("models")["model_id"])
