"""What a stage has to show: row counts, facts, a preview, pictures and notes for people."""

from dataclasses import dataclass, field

import polars as pl


@dataclass(frozen=True)
class StageResult:
    """The outcome of one stage; tables themselves are in the lake."""

    rows: dict[str, int] = field(default_factory=dict)
    facts: dict[str, float | int | str | bool | None] = field(default_factory=dict)
    preview: pl.DataFrame | None = None
    pictures: dict[str, bytes] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    partitions: dict[str, dict[str, int]] = field(default_factory=dict)
    """Rows by partition key and table, where the stage wrote several."""
