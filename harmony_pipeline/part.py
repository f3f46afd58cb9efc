"""`Part`: the frozen base of every settings class; each class sits in the `settings.py` of the room it configures."""

from pydantic import BaseModel, ConfigDict


class Part(BaseModel):
    """Settings of one part: immutable, unknown keys refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", validate_default=True)
