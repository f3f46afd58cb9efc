"""The whole research chain over a lake in an object store gives the lake that a folder would
hold.
"""

import pytest
from chain.retrained_market import END
from lake.s3_server import BUCKET, s3_environment

from assets.chain import run_stages
from assets.groups import RETRAIN
from harmony_pipeline.lake import sql
from harmony_pipeline.schemas import TABLES
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.testing.tiny import tiny_market

pytestmark = [pytest.mark.slow, pytest.mark.network]


def test_a_chain_in_an_object_store_makes_the_same_tables_as_in_a_folder(tmp_path, retrained):
    settings = tiny_market(tmp_path / "remote", end=END).settings
    with s3_environment():
        remote = PipelineContext(
            settings.model_copy(
                update={"paths": settings.paths.model_copy(update={"lake": f"s3://{BUCKET}/tiny"})}
            )
        )
        run_stages(remote, RETRAIN)
        run_stages(remote, RETRAIN)
        for table in TABLES:
            assert remote.lake.content_hashes(table) == retrained.lake.content_hashes(table), table
        asked = (
            "select symbol, count(*) as bars, sum(volume) as volume from bars group by symbol order"
            " by symbol"
        )
        assert sql.query(remote.lake, asked).equals(sql.query(retrained.lake, asked))
        assert remote.lake.store.files("_history/bars/partition=2024-01") == []
