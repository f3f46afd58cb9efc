"""The paper session."""

from typing import Literal

from pydantic import Field

from harmony_pipeline.settings_base import FrozenSettings


class SessionSettings(FrozenSettings):
    """How the session of a trading day is run."""

    strategy: str = "meta_labelled"
    broker: str = Field(
        "simulated", description="simulated, alpaca, or an import path module:factory"
    )
    watch: Literal["scanner", "universe"] = Field("scanner", description="which symbols are traded")
    replay_days: int = Field(5, ge=0, description="latest days that `harmony run` replays")
    heartbeat_seconds: float = Field(5.0, gt=0.0)
    stale_after_seconds: float = Field(
        90.0, gt=0.0, description="a stream older than this is stale: REDUCING, then HALTED"
    )
    flatten_at_close: bool = Field(
        False, description="close every position before the session ends"
    )
