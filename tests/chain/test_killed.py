"""SIGKILL at chosen moments of a materialisation: the lake opens, and running again completes it to
the same tables.
"""

import os
import signal
import subprocess
import sys
import textwrap

import pytest
from chain.retrained_market import END

from assets.chain import run_stages
from assets.groups import RETRAIN
from harmony_pipeline.lake import sql
from harmony_pipeline.schemas import TABLES
from harmony_pipeline.testing.tiny import tiny_market

pytestmark = pytest.mark.slow

# The process kills itself in the n-th publication of a file, before or after the rename: the two
# sides of every commit.
SCRIPT = textwrap.dedent("""
    import os, signal, sys
    from datetime import date
    from pathlib import Path
    import harmony_pipeline.lake.local_store as local
    from assets.chain import run_stages
    from assets.groups import RETRAIN
    from harmony_pipeline.testing.tiny import tiny_market
    folder, moment, side = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
    work = tiny_market(folder, end=date.fromisoformat(sys.argv[4]))
    work.lake
    published, publish = 0, local.publish
    def dying(temporary, path, *, durable):
        global published
        published += 1
        if published == moment and side == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        publish(temporary, path, durable=durable)
        if published == moment and side == "after":
            os.kill(os.getpid(), signal.SIGKILL)
    local.publish = dying
    run_stages(work, RETRAIN)
""")


# the publication of each run, from its own start; about the 3rd, 14th and 25th of them all
KILLS = ((3, "before"), (12, "before"), (12, "after"))


def test_a_materialisation_killed_at_any_moment_is_completed_by_running_again(tmp_path, retrained):
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    for moment, side in KILLS:  # each run goes on from what the one before left
        died = subprocess.run(
            [sys.executable, "-c", SCRIPT, str(tmp_path), str(moment), side, str(END)],
            env=environment,
            check=False,
            capture_output=True,
        )
        assert died.returncode == -signal.SIGKILL, died.stderr.decode()
        lake = tiny_market(tmp_path, end=END).lake
        counts = " union all ".join(f"select '{t}' as name, count(*) as n from {t}" for t in TABLES)
        found = dict(sql.query(lake, counts).iter_rows())
        assert found == {table: lake.read(table).height for table in TABLES}
    pipeline = tiny_market(tmp_path, end=END)
    run_stages(pipeline, RETRAIN)
    for table in TABLES:
        assert pipeline.lake.content_hashes(table) == retrained.lake.content_hashes(table), table
