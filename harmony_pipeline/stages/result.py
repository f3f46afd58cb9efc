"""What a stage has to show: row counts, facts, a preview, pictures and notes for people.

A stage over several partitions has one result for each of them in `parts`, and their sum in the
other fields. That there was nothing to make is a value too: `nothing` says why, and the command
line, the summary and the UI show that sentence instead of zeros.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Self

import polars as pl

from harmony_pipeline.reports.drawings import Drawing

Fact = float | int | str | bool | None
# A small picture, or a large one that is drawn where somebody looks (reports/drawings.py).
Picture = bytes | Drawing


@dataclass(frozen=True)
class StageResult:
    """The outcome of one stage; tables themselves are in the lake."""

    rows: dict[str, int] = field(default_factory=dict)
    facts: dict[str, Fact] = field(default_factory=dict)
    preview: pl.DataFrame | None = None
    pictures: Mapping[str, Picture] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    partitions: dict[str, dict[str, int]] = field(default_factory=dict)
    """Rows by partition key and table, where the stage wrote several."""
    nothing: str = ""
    """Why there was nothing to make, with the command that helps; empty when there was."""
    unchanged_since: datetime | None = None
    """When this was made, if inputs, settings and code are still those of that moment."""
    parts: dict[str, "StageResult"] = field(default_factory=dict)
    """The result of each partition by its key."""

    @classmethod
    def of(
        cls,
        parts: Mapping[str, "StageResult"],
        *,
        facts: Mapping[str, Fact] | None = None,
        preview: pl.DataFrame | None = None,
        pictures: Mapping[str, Picture] | None = None,
        notes: Sequence[str] = (),
        nothing: str = "",
    ) -> Self:
        """The sum of some partitions. Nothing was made when no partition had anything to make."""
        each = list(parts.values())
        return cls(
            rows=_summed([one.rows for one in each]),
            facts={**_added([one.facts for one in each]), **(facts or {})},
            preview=preview if preview is not None else _last_preview(each),
            pictures=dict(pictures or {}),
            notes=[*(f"{key}: {note}" for key, one in parts.items() for note in one.notes), *notes],
            partitions={key: dict(one.rows) for key, one in parts.items()},
            nothing=nothing or _common_reason(each),
            unchanged_since=latest_of_all([one.unchanged_since for one in each]),
            parts=dict(parts),
        )

    def part(self, key: str) -> "StageResult":
        """The result of one partition; its counts alone where the stage told no more of it."""
        return self.parts.get(key) or StageResult(
            rows=self.partitions.get(key, {}), nothing=self.nothing
        )

    def sentence(self) -> str:
        """What was made, or why nothing was, in one line."""
        if self.nothing:
            return f"nothing: {self.nothing}"
        counts = ", ".join(f"{number:,} {table}" for table, number in self.rows.items()) or "done"
        if self.unchanged_since is not None:
            return f"unchanged since {self.unchanged_since:%Y-%m-%d %H:%M} UTC ({counts})"
        unchanged = sum(one.unchanged_since is not None for one in self.parts.values())
        return counts + (
            f" ({unchanged} of {len(self.parts)} partitions unchanged)" if unchanged else ""
        )


def latest_of_all(dates: Sequence[datetime | None]) -> datetime | None:
    """The latest of the moments since which parts are unchanged; None where one of them is made
    anew, or there is none.
    """
    return max((date for date in dates if date), default=None) if all(dates) else None


def _summed(counts: Sequence[Mapping[str, int]]) -> dict[str, int]:
    names = dict.fromkeys(name for one in counts for name in one)
    return {name: sum(one.get(name, 0) for one in counts) for name in names}


def _added(facts: Sequence[Mapping[str, Fact]]) -> dict[str, Fact]:
    """Counts added up; a fact that is no count is left to its own partition."""
    names = dict.fromkeys(
        name for one in facts for name, value in one.items() if type(value) is int
    )
    found: dict[str, Fact] = {}
    for name in names:
        values = [one[name] for one in facts if name in one]
        if all(type(value) is int for value in values):
            found[name] = sum(value for value in values if type(value) is int)
    return found


def _last_preview(parts: Sequence[StageResult]) -> pl.DataFrame | None:
    return next((one.preview for one in reversed(parts) if one.preview is not None), None)


def _common_reason(parts: Sequence[StageResult]) -> str:
    """The reasons of parts that all made nothing, each once; empty when one of them made
    something.
    """
    if not parts or not all(one.nothing for one in parts):
        return ""
    return "; ".join(dict.fromkeys(one.nothing for one in parts))
