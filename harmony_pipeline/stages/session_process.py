"""The process of one paper session: `python -m harmony_pipeline.stages.session_process SETTINGS DAY`.

The run that supervises a session starts it, and the session outlives the Dagster daemon. SIGTERM
ends it in order, as the kill switch does. A refusal is one line on standard error and exit code 1.
"""

import sys
from datetime import date

from harmony_pipeline.config import load_settings
from harmony_pipeline.errors import HarmonyError
from harmony_pipeline.stages.live import run_session_here
from harmony_pipeline.stages.workspace import Workspace


def main(settings: str, day: str) -> int:
    """Run the session of `day` with the promoted model; returns the exit code."""
    try:
        run_session_here(Workspace(load_settings(settings)), date.fromisoformat(day).isoformat(), require_promoted=True)
    except HarmonyError as error:
        print(f"harmony: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:3]))
