"""How the lake is kept."""

from pydantic import Field

from harmony_pipeline.settings_base import FrozenSettings


class LakeSettings(FrozenSettings):
    """Where another object store than Amazon's is, how long history is kept, how long a writer
    waits for another.
    """

    endpoint: str | None = Field(
        None,
        description=(
            "address of an S3-compatible store for a lake at s3://...; none: AWS_ENDPOINT_URL, or"
            " Amazon's"
        ),
    )
    keep_history_days: float | None = Field(
        None,
        gt=0,
        description=(
            "superseded versions are removed by lake_upkeep after so many days; none: kept for ever"
        ),
    )
    lock_timeout_seconds: float = Field(
        300.0, gt=0, description="how long a writer waits for another writer of the same partition"
    )
