"""Sessions of the paper account judge the promoted model."""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from models.test_registry import trained_with

from harmony_pipeline.errors import NotReady
from harmony_pipeline.schemas import DIVERGENCE
from harmony_pipeline.session.ledger import COMPLETED, SessionRow
from harmony_pipeline.stages.demotion import demote_diverging, latest_demotion, session_shares
from harmony_pipeline.stages.session_plans import PAPER, open_ledger
from harmony_pipeline.testing.tiny import tiny_market

FIRST = date(2024, 6, 3)
NOW = datetime(2024, 6, 1, tzinfo=UTC)


@pytest.fixture(scope="module")
def models():
    return trained_with(seed=11), trained_with(seed=12)


@pytest.fixture
def pipeline(tmp_path, models):
    """Two models that were promoted, the second one last."""
    found = tiny_market(tmp_path)
    for number, model in enumerate(models):
        found.registry.save(model)
        found.registry.promote(model.model_id, NOW + timedelta(days=number))
    return found


def sessions(pipeline, ledger, model_id, differing, first=0):
    """Completed paper sessions of 20 compared rows each, so many of which differ."""
    for number, count in enumerate(differing, start=first):
        day = FIRST + timedelta(days=number)
        name = f"s{number}-{model_id[:6]}"
        ledger.open_session(SessionRow(name, day, PAPER, "cross", model_id, "abc"))
        ledger.end_session(name, COMPLETED, None)
        rows = pl.DataFrame(
            {
                "session_id": name, "date": [day] * 20, "kind": "order",
                "key": [f"o{n:02d}" for n in range(20)], "symbol": "X",
                "timestamp": [NOW] * 20, "live": None, "backtest": None,
                "equal": [n >= count for n in range(20)], "strategy": "cross",
            },
            schema=DIVERGENCE.dtypes,
        )  # fmt: skip
        pipeline.lake.write("divergence", day.isoformat(), rows, {})


def test_a_model_that_diverges_gives_way_to_the_one_before(pipeline, models):
    first, second = (model.model_id for model in models)
    with open_ledger(pipeline) as ledger:
        sessions(pipeline, ledger, second, [0, 2, 3])
        assert demote_diverging(pipeline, ledger) is None  # one of the three was equal
        sessions(pipeline, ledger, second, [4], first=3)
        assert session_shares(pipeline, ledger, second) == [0.0, 0.1, 0.15, 0.2]
        said = demote_diverging(pipeline, ledger)
        assert said is not None
        assert second in said
        assert first in said
        assert pipeline.registry.promoted() == first
        row = pipeline.lake.read("promotions").row(0, named=True)
        assert (row["rule"], row["measure"], row["passed"]) == ("session_divergence", 0.1, False)
        assert (row["model_id"], row["previous_model_id"]) == (second, first)
        assert latest_demotion(pipeline, second) is not None
        assert latest_demotion(pipeline, first) is None
        # the one that trades now is judged by its own sessions
        assert demote_diverging(pipeline, ledger) is None
        sessions(pipeline, ledger, first, [5, 5, 5], first=4)
        assert "nothing trades" in str(demote_diverging(pipeline, ledger))
    assert pipeline.registry.promoted() is None
    with pytest.raises(NotReady, match=f"model {first} was demoted"):
        pipeline.registry.load_promoted()


def test_a_decision_that_a_killed_process_left_is_carried_out(pipeline, models, monkeypatch):
    first, second = (model.model_id for model in models)
    with open_ledger(pipeline) as ledger:
        sessions(pipeline, ledger, second, [9, 9, 9])
        with monkeypatch.context() as killed:
            killed.setattr(type(pipeline.registry), "demote", lambda *_: 1 / 0)
            with pytest.raises(ZeroDivisionError):
                demote_diverging(pipeline, ledger)
        assert pipeline.registry.promoted() == second
        assert first in str(demote_diverging(pipeline, ledger))
        assert pipeline.registry.promoted() == first
        assert pipeline.lake.read("promotions").height == 1
