"""The process of one paper session: `python -m harmony_pipeline.cli.session_process SETTINGS DAY`.

The run that supervises a session starts it, and the session outlives the Dagster daemon. SIGTERM
ends it in order, as the kill switch does. A failure is one line on standard error and exit code 1;
the log file in the state folder has the rest. SETTINGS is empty for a market of defaults alone.
"""

import sys
from datetime import date

from harmony_pipeline.cli.boundary import end_process_with
from harmony_pipeline.config import load_settings
from harmony_pipeline.error_messages import is_failure
from harmony_pipeline.log import record_failure
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.session_runs import run_session_here


def main(file: str, day: str) -> int:
    """Run the session of `day` with the promoted model; returns the exit code."""
    state = None
    try:
        settings = load_settings(file or None)
        state = settings.present_state_root
        run_session_here(
            PipelineContext(settings), date.fromisoformat(day).isoformat(), require_promoted=True
        )
    except BaseException as error:
        if not is_failure(error):
            raise
        line, log = record_failure(error, state, {"session": day})
        print(f"harmony: {line}" + (f" (log: {log})" if log else ""), file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    end_process_with(lambda: main(*sys.argv[1:3]))
