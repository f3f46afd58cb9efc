"""`FrozenSettings`: the frozen base of every settings class.

Each class sits in the `settings.py` of the room it configures. The market, which has many, keeps
those of its sources and of validation in `source_settings.py` and `quality_settings.py`.
"""

from pathlib import Path
from typing import Any, ClassVar

from pydantic import (
    BaseModel,
    ConfigDict,
    SerializationInfo,
    SerializerFunctionWrapHandler,
    model_serializer,
    model_validator,
)

NOTHING = "none"


class FrozenSettings(BaseModel):
    """Settings of one part: immutable; unknown keys, infinity and NaN are refused.

    TOML has no null: the text "none" stands for it where a setting may be absent (`minimum_gap =
    "none"`).
    """

    model_config = ConfigDict(
        frozen=True, extra="forbid", validate_default=True, allow_inf_nan=False
    )

    LATER: ClassVar[frozenset[str]] = frozenset()
    """Settings that came after ids were made from the others. In JSON, from which ids are made,
    they show only where they differ from their defaults: what was made before keeps its id.
    """

    @model_serializer(mode="wrap")
    def _without_later_defaults(
        self, handler: SerializerFunctionWrapHandler, info: SerializationInfo
    ) -> dict[str, Any]:
        values: dict[str, Any] = handler(self)
        if info.mode != "json":
            return values
        fields = type(self).model_fields
        return {
            name: value
            for name, value in values.items()
            if name not in self.LATER or getattr(self, name) != fields[name].default
        }

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


def absolute_path(text: str, base: Path) -> Path:
    """`text` as an absolute path, relative ones taken from the folder of the settings file."""
    path = Path(text).expanduser()
    return path if path.is_absolute() else (base / path).resolve()
