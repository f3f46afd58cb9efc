"""The laws of the lake, in a folder and in an S3-compatible object store."""

import itertools

import pytest
from lake.s3_server import BUCKET, s3_environment

from harmony_pipeline.testing.lake_contract import LakeContract

LEASE_SECONDS = 3.0
NUMBERS = itertools.count()


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
        return f"s3://{BUCKET}/markets/{next(NUMBERS)}"
