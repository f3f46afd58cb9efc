"""What was typed, checked in one place before any work begins: days, ranges of days, options that
belong together, variables.

Each refusal is a ConfigError that names the option, what was typed, and the nearest value that
would be taken.
"""

import re
from collections.abc import Iterable, Sequence
from datetime import date
from typing import Any

from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.partition_ranges import dates_of
from harmony_pipeline.suggestions import unknown_name
from harmony_pipeline.text import printable

_LITERAL_VARIABLE = re.compile(r"getvariable\(\s*'(\w+)'\s*\)", re.IGNORECASE)
_ANY_VARIABLE = re.compile(r"getvariable\(", re.IGNORECASE)


def date_of(option: str, text: str) -> date:
    """A date as it must be written."""
    span = dates_of(text)
    if span is None or len(text) != len("2024-06-28"):
        raise ConfigError(
            f"{option} '{printable(text, 40)}' is not a date; write it like 2024-06-28"
        )
    return span[0]


def session_of(pipeline: Any, option: str, text: str) -> str:
    """A trading day of this market; the refusal names the sessions beside it."""
    day = date_of(option, text)
    sessions = pipeline.sessions()
    if day in set(sessions):
        return day.isoformat()
    market = (
        f"of {pipeline.calendar.name} between {pipeline.settings.market.start} and"
        f" {pipeline.end_date}"
    )
    beside = [
        *(
            f"the session before it is {one}"
            for one in [found for found in sessions if found < day][-1:]
        ),
        *(f"the one after it is {one}" for one in [found for found in sessions if found > day][:1]),
    ]
    raise ConfigError(
        f"{option} {day} is not a session {market}{'; ' if beside else ''}{', '.join(beside)}"
    )


def day_of(pipeline: Any, text: str | None) -> str:
    """The trading day that --date names; the latest with bars when it names none."""
    from harmony_pipeline.stages.market import sessions_with_bars

    if text is not None:
        return session_of(pipeline, "--date", text)
    days = sessions_with_bars(pipeline)
    if not days:
        raise NotReady("the lake holds no bars yet; make some with: harmony ingest")
    return str(days[-1].isoformat())


def session_range(pipeline: Any, first: str, last: str | None) -> tuple[str, str]:
    """--date `first` and --to `last` as sessions in order."""
    end = first if last is None else session_of(pipeline, "--to", last)
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
                raise ConfigError(
                    f"--set {printable(name, 60)}: {about} reads no variables; take it out"
                )
            raise ConfigError(f"--set: {unknown_name(f'variable of {about}', name, read)}")
    return given


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    name = name.strip()
    if not equals or not name:
        raise ConfigError(
            f"--set '{printable(text, 60)}' has no value: write it like --set day=2024-01-31"
        )
    if not name.isidentifier():
        raise ConfigError(
            f"--set '{printable(name, 60)}' is not the name of a variable: use letters, digits"
            " and _"
        )
    return name, value.strip()


def choice(option: str, text: str, known: Sequence[str]) -> str:
    """`text` when it is one of the known values of an option."""
    if text in known:
        return text
    raise ConfigError(unknown_name(f"{option}", text, known))


def refuse_lone_options(
    *, repair: bool, dates: bool, waive: str | None, partition: str | None, why: str | None
) -> None:
    """Raises ConfigError for options of `doctor` that mean nothing without another one."""
    if dates and not repair:
        raise ConfigError(
            "--from and --to choose what --repair asks for: add --repair, or leave them out"
        )
    if (partition or why) and not waive:
        raise ConfigError(
            "--partition and --why belong to --waive: add --waive CHECK, or leave them out"
        )
    if waive and not (partition and why):
        raise ConfigError(f"--waive {waive} needs --partition and --why")


def refuse_strategy_to_compare(strategy: str | None, *, compare: bool) -> None:
    """--compare shows every strategy: refuse one that was named beside it."""
    if compare and strategy is not None:
        raise ConfigError(
            f"--compare shows every strategy that has a backtest: leave out"
            f" {printable(strategy, 40)}, or leave out --compare"
        )
