"""What was typed, checked in one place before any work begins: days, ranges of partitions, names of strategies and variables.

Each refusal is a ConfigError that names the option, what was typed, and the nearest value that would be taken.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Any

from harmony_pipeline.choices import unknown
from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.text import printable

_DATE = re.compile(r"(\d{4})(?:-(\d{2})(?:-(\d{2}))?)?")
_LITERAL_VARIABLE = re.compile(r"getvariable\(\s*'(\w+)'\s*\)", re.IGNORECASE)
_ANY_VARIABLE = re.compile(r"getvariable\(", re.IGNORECASE)


@dataclass(frozen=True)
class Slot:
    """One partition: its key, and the exchange dates `first <= date < end` that it holds; no dates where time does not cut it."""

    key: str
    first: date | None = None
    end: date | None = None


def chosen_partitions(slots: Sequence[Slot], first: str | None, last: str | None, asset: str) -> list[str]:
    """Keys of the range --from `first` --to `last`; a date, month or year stands for the partitions that hold it."""
    if not slots:
        raise NotReady(f"{asset} has no partition yet: market.start lies in the future")
    keys = [slot.key for slot in slots]
    begin = 0 if first is None else _located(slots, "--from", first, asset)[0]
    stop = len(slots) - 1 if last is None else _located(slots, "--to", last, asset)[1]
    if begin > stop:
        if first is not None and last is not None and begin == stop + 1 and _dates(first) and _dates(last):
            raise ConfigError(f"no partition of {asset} lies between --from {first} and --to {last}")
        raise ConfigError(f"--from {first or keys[0]} is after --to {last or keys[-1]}")
    return keys[begin : stop + 1]


def _located(slots: Sequence[Slot], option: str, text: str, asset: str) -> tuple[int, int]:
    """First and last position of the partitions that `text` stands for: of the next one and the one before, where none holds it."""
    keys = [slot.key for slot in slots]
    if text in keys:
        return keys.index(text), keys.index(text)
    span = _dates(text)
    first, end = slots[0].first, slots[-1].end
    if first is None or end is None:
        raise ConfigError(f"{option}: {unknown(f'partition of {asset}', text, keys)}")
    if span is None:
        raise ConfigError(f"{option} '{printable(text, 40)}' is neither a partition of {asset} nor a date: write it like {keys[-1]} or {first}")
    if span[1] <= first:
        raise ConfigError(f"{option} {text} lies before the first partition of {asset}, {keys[0]}")
    if span[0] >= end:
        raise ConfigError(f"{option} {text} lies after the last partition of {asset}, {keys[-1]}")
    after = [place for place, slot in enumerate(slots) if slot.end is not None and slot.end > span[0]]
    before = [place for place, slot in enumerate(slots) if slot.first is not None and slot.first < span[1]]
    return after[0], before[-1]


def _dates(text: str) -> tuple[date, date] | None:
    """`2024`, `2024-02` or `2024-02-10` as first date and end; None for anything else."""
    found = _DATE.fullmatch(text)
    if found is None:
        return None
    year, month, day = (None if part is None else int(part) for part in found.groups())
    try:
        first = date(year or 0, month or 1, day or 1)
        if day is not None:
            return first, first + timedelta(days=1)
        return first, date(first.year + 1, 1, 1) if month is None else (first + timedelta(days=31)).replace(day=1)
    except (ValueError, OverflowError):
        return None


def date_of(option: str, text: str) -> date:
    """A date as it must be written."""
    span = _dates(text)
    if span is None or len(text) != len("2024-06-28"):
        raise ConfigError(f"{option} '{printable(text, 40)}' is not a date; write it like 2024-06-28")
    return span[0]


def session_of(work: Any, option: str, text: str) -> str:
    """A trading day of this market; the refusal names the sessions beside it."""
    day = date_of(option, text)
    sessions = work.sessions()
    if day in set(sessions):
        return day.isoformat()
    market = f"of {work.calendar.name} between {work.settings.market.start} and {work.end_date}"
    beside = [
        *(f"the session before it is {one}" for one in [found for found in sessions if found < day][-1:]),
        *(f"the one after it is {one}" for one in [found for found in sessions if found > day][:1]),
    ]
    raise ConfigError(f"{option} {day} is not a session {market}{'; ' if beside else ''}{', '.join(beside)}")


def session_range(work: Any, first: str, last: str | None) -> tuple[str, str]:
    """--date `first` and --to `last` as sessions in order."""
    end = first if last is None else session_of(work, "--to", last)
    if end < first:
        raise ConfigError(f"--to {end} is before --date {first}: swap them")
    return first, end


def given_variables(pairs: Iterable[str], text: str, about: str) -> dict[str, str]:
    """NAME=VALUE pairs of --set. Refuses a name that the query `text` does not read."""
    given = dict(_pair(each) for each in pairs)
    read = sorted({name.lower() for name in _LITERAL_VARIABLE.findall(text)})
    if len(_ANY_VARIABLE.findall(text)) > len(_LITERAL_VARIABLE.findall(text)):
        return given  # a name that is computed cannot be compared
    for name in given:
        if name.lower() not in read:
            if not read:
                raise ConfigError(f"--set {printable(name, 60)}: {about} reads no variables; take it out")
            raise ConfigError(f"--set: {unknown(f'variable of {about}', name, read)}")
    return given


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    name = name.strip()
    if not equals or not name:
        raise ConfigError(f"--set '{printable(text, 60)}' has no value: write it like --set day=2024-01-31")
    if not name.isidentifier():
        raise ConfigError(f"--set '{printable(name, 60)}' is not the name of a variable: use letters, digits and _")
    return name, value.strip()


def choice(option: str, text: str, known: Sequence[str]) -> str:
    """`text` when it is one of the known values of an option."""
    if text in known:
        return text
    raise ConfigError(unknown(f"{option}", text, known))


def slots_of(keys: Sequence[str], spans: Mapping[str, tuple[date, date]]) -> list[Slot]:
    """Partition keys with their dates, where they have any."""
    return [Slot(key, *spans.get(key, (None, None))) for key in keys]
