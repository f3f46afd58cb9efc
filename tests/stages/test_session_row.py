"""A session in words: a row a day."""

import pytest

from harmony_pipeline.errors import NotReady
from harmony_pipeline.stages import live, scanner
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.session_plans import bars_of


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


def test_symbols_that_no_scan_picked_are_watched_where_the_settings_want_all(copied):
    session = copied.settings.session.model_copy(update={"watch": "universe"})
    model = copied.settings.model.model_copy(update={"threshold": 0.999})
    changes = {"session": session, "model": model}
    every = PipelineContext(copied.settings.model_copy(update=changes))
    day = every.sessions()[-2]
    live.paper_session(every, [day], require_promoted=False, own_process=False)
    row = live.session_row(every, day.isoformat())
    symbols = bars_of(every, day)["symbol"].n_unique()
    assert symbols > every.lake.read("scan_selections", [day.isoformat()]).height
    assert row["watched"] == str(symbols)
