"""The laws of the lake, in a folder and in an S3-compatible object store."""

import pytest
from lake.s3_server import BUCKET, s3_environment

from harmony_pipeline.lake.history import SCHEMA_PARTITION
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.testing.lake_contract import LakeContract

LEASE_SECONDS = 3.0
ROOT = f"s3://{BUCKET}/markets/one"


@pytest.fixture(scope="module")
def endpoint():
    with s3_environment() as endpoint:
        yield endpoint


class TestFolder(LakeContract):
    @pytest.fixture
    def root(self, tmp_path):
        return tmp_path / "lake"


@pytest.mark.network
class TestObjectStore(LakeContract):
    preamble = (
        f"import harmony_pipeline.lake.leases as leases; leases.LEASE_SECONDS = {LEASE_SECONDS}"
    )
    patience_seconds = LEASE_SECONDS

    @pytest.fixture
    def root(self, endpoint):
        """A lake of empty tables; what a test wrote into it is removed: its 200 schema files take
        more requests than most tests.
        """
        yield ROOT
        store = Lake(ROOT).store
        for file in store.files(""):
            if f"partition={SCHEMA_PARTITION}/" not in file.name:
                store.remove(file.name)
