"""`FrozenSettings`: the frozen base of every settings class; each class sits in the `settings.py`
of the room it configures.
"""

from typing import Any

from pydantic import BaseModel, ConfigDict, model_validator

NOTHING = "none"


class FrozenSettings(BaseModel):
    """Settings of one part: immutable; unknown keys, infinity and NaN are refused.

    TOML has no null: the text "none" stands for it where a setting may be absent (`minimum_gap =
    "none"`).
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    @model_validator(mode="before")
    @classmethod
    def _none_is_nothing(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        absent = {
            name
            for name, info in cls.model_fields.items()
            if info.annotation is not None
            and type(None) in getattr(info.annotation, "__args__", ())
        }
        return {
            name: None if value == NOTHING and name in absent else value
            for name, value in values.items()
        }
