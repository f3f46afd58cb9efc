"""Where headlines come from, when they count as known, and how words are learned from outcomes."""

from typing import Literal
from zoneinfo import ZoneInfo

from pydantic import Field, field_validator

from harmony_pipeline.settings_base import FrozenSettings


class SimulatedNewsSettings(FrozenSettings):
    """Headlines of the simulated market."""

    headlines_per_year: float = Field(
        60.0, ge=0.0, le=250.0, description="of a symbol, in the mean; at most one a session"
    )
    informative: float = Field(
        0.3,
        ge=0.0,
        le=1.0,
        description="0: words say nothing of the return that follows; 1: they always have its sign",
    )


class NewsSettings(FrozenSettings):
    """Headlines as a source of features (docs/news.md). Off while `source` is none."""

    source: Literal["off", "files", "simulated"] = Field(
        "off", description="where headlines come from; simulated needs the simulated market"
    )
    paths: tuple[str, ...] = Field(
        (), description="files, folders or globs: CSV, JSON, JSON lines or Parquet, by content"
    )
    columns: dict[str, str] = Field(
        {}, description="our column name = the file's column name, where it is unusual"
    )
    timezone: str = Field("UTC", description="zone of stamps that name no offset")
    delay_seconds: float = Field(
        60.0,
        ge=0.0,
        description="from publication until a headline can be acted upon, where no file says when"
        " it was received",
    )
    repeat_hours: float = Field(
        24.0, ge=0.0, description="the same words about a symbol so soon after are a repeat"
    )
    horizon_bars: int = Field(
        6, ge=1, description="bars of the return by which the words of a headline are judged"
    )
    minimum_headlines: int = Field(
        200, ge=20, description="settled headlines that are enough to learn words from"
    )
    minimum_word_headlines: int = Field(
        10, ge=2, description="headlines in which a word must stand to have a weight"
    )
    inverse_penalty: float = Field(
        0.1, gt=0.0, description="of the weights of words: scikit-learn's C"
    )
    simulated: SimulatedNewsSettings = SimulatedNewsSettings()

    @field_validator("timezone")
    @classmethod
    def _is_zone(cls, text: str) -> str:
        try:
            ZoneInfo(text)
        except (ValueError, OSError, LookupError):  # a bad name, a folder of names, an unknown one
            raise ValueError("is no time zone: write it like America/New_York or UTC") from None
        return text
