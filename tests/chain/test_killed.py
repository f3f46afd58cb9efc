"""SIGKILL at chosen moments of a materialisation: the lake opens, and running again completes it to
the same tables.
"""

import signal

import pytest
from chain.retrained_market import END

from assets.chain import run_stages
from assets.groups import RETRAIN
from harmony_pipeline.lake import sql
from harmony_pipeline.schemas import TABLES
from harmony_pipeline.testing.tiny import tiny_market

pytestmark = pytest.mark.slow

# the publication of each run, from its own start; about the 3rd, 14th and 25th of them all
KILLS = ((3, "before"), (12, "before"), (12, "after"))


def test_a_materialisation_killed_at_any_moment_is_completed_by_running_again(
    tmp_path, retrained, fork_server
):
    market, output = tmp_path / "market", tmp_path / "output"
    for moment, side in KILLS:  # each run goes on from what the one before left
        died = fork_server.start(
            "chain.forked_runs:retrain_and_die",
            *(str(market), str(moment), side, str(END)),
            output=output,
        )
        assert died.wait() == -signal.SIGKILL, died.said()
        lake = tiny_market(market, end=END).lake
        counts = " union all ".join(f"select '{t}' as name, count(*) as n from {t}" for t in TABLES)
        found = dict(sql.query(lake, counts).iter_rows())
        assert found == {table: lake.read(table).height for table in TABLES}
    pipeline = tiny_market(market, end=END)
    run_stages(pipeline, RETRAIN)
    for table in TABLES:
        assert pipeline.lake.content_hashes(table) == retrained.lake.content_hashes(table), table
