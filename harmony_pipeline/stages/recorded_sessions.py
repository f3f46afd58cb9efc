"""A recorded session run again over the lake's bars: `harmony replay --session`."""

import tempfile
from pathlib import Path

from harmony_pipeline.errors import DataError, NotReady
from harmony_pipeline.session.session_replay import Replayed, replay_session
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.session_plans import open_ledger, plan_of


def replay_recorded(pipeline: PipelineContext, session_id: str) -> Replayed:
    """The session of that id with the model that it was pinned to. Raises DataError when the ledger
    has none, NotReady when settings, data or code make another plan of its day now.
    """
    with open_ledger(pipeline) as ledger:
        row = ledger.session(session_id)
        if row is None:
            known = [each.session_id for each in ledger.sessions()][-3:]
            raise DataError(
                f"there is no session {session_id} in {ledger.place}; the latest are"
                f" {', '.join(known) or 'none'}"
            )
        plan, bars = plan_of(pipeline, ledger, row.date, row.account, row.model_id)
        if plan.session_id != session_id:
            raise NotReady(
                f"session {session_id} cannot be replayed: settings, model or data of {row.date}"
                f" have changed since, and make session {plan.session_id} now; restore them"
            )
        with tempfile.TemporaryDirectory(prefix="harmony-replay-") as folder:
            return replay_session(plan, bars, ledger, Path(folder) / "ledger.sqlite")
