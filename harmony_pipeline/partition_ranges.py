"""The partitions that a range stands for: its ends are keys, dates, months or years.

Each refusal is a ConfigError that names the option, what was typed, and the nearest key that would
be taken.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.suggestions import unknown_name
from harmony_pipeline.text import printable

_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")


@dataclass(frozen=True)
class DatedPartition:
    """One partition: its key, and the exchange dates `first <= date < end` that it holds; no dates
    where time does not cut it.
    """

    key: str
    first: date | None = None
    end: date | None = None


def chosen_partitions(
    slots: Sequence[DatedPartition], first: str | None, last: str | None, asset: str
) -> list[str]:
    """Keys of the range --from `first` --to `last`; a date, month or year stands for the partitions
    that hold it.
    """
    if not slots:
        raise NotReady(f"{asset} has no partition yet: market.start lies in the future")
    keys = [slot.key for slot in slots]
    begin = 0 if first is None else _located(slots, "--from", first, asset)[0]
    stop = len(slots) - 1 if last is None else _located(slots, "--to", last, asset)[1]
    if begin > stop:
        if (
            first is not None
            and last is not None
            and begin == stop + 1
            and dates_of(first)
            and dates_of(last)
        ):
            raise ConfigError(
                f"no partition of {asset} lies between --from {first} and --to {last}"
            )
        raise ConfigError(f"--from {first or keys[0]} is after --to {last or keys[-1]}")
    return keys[begin : stop + 1]


def _located(
    slots: Sequence[DatedPartition], option: str, text: str, asset: str
) -> tuple[int, int]:
    """First and last position of the partitions that `text` stands for: of the next one and the one
    before, where none holds it.
    """
    keys = [slot.key for slot in slots]
    if text in keys:
        return keys.index(text), keys.index(text)
    span = dates_of(text)
    first, end = slots[0].first, slots[-1].end
    if first is None or end is None:
        raise ConfigError(f"{option}: {unknown_name(f'partition of {asset}', text, keys)}")
    if span is None:
        raise ConfigError(
            f"{option} '{printable(text, 40)}' is neither a partition of {asset} nor a date: write"
            f" it like {keys[-1]} or {first}"
        )
    if span[1] <= first:
        raise ConfigError(f"{option} {text} lies before the first partition of {asset}, {keys[0]}")
    if span[0] >= end:
        raise ConfigError(f"{option} {text} lies after the last partition of {asset}, {keys[-1]}")
    after = [
        place for place, slot in enumerate(slots) if slot.end is not None and slot.end > span[0]
    ]
    before = [
        place for place, slot in enumerate(slots) if slot.first is not None and slot.first < span[1]
    ]
    return after[0], before[-1]


def dates_of(text: str) -> tuple[date, date] | None:
    """`2024`, `2024-02` or `2024-02-10` as first date and end; None for anything else."""
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day = (None if part is None else int(part) for part in found.groups())
    try:
        first = date(year or 0, month or 1, day or 1)
        if day is not None:
            return first, first + timedelta(days=1)
        return first, (
            date(first.year + 1, 1, 1)
            if month is None
            else (first + timedelta(days=31)).replace(day=1)
        )
    except (ValueError, OverflowError):
        return None
