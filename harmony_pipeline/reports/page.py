"""HTML pages from the templates beside this file, and the formats that their cells use.

Jinja2 escapes every text that comes from data. A page needs nothing but itself: styles and pictures
are inside, there is no network and no script. It is readable on a phone: one column, and tables
scroll inside their own frame.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date, datetime
from functools import cache, partial
from pathlib import Path
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from harmony_pipeline.files import write_text
from harmony_pipeline.reports.style import data_uri

DASH = "–"


def render(template: str, **values: object) -> str:
    """The page that `template` makes of `values`. A value that the template names and nobody gave
    is an error; None is a dash.
    """
    return _environment().get_template(template).render(values)


def write_page(path: Path, page: str) -> Path:
    """Write a page, whole or not at all; returns where it is. The folder is made if need be."""
    path.parent.mkdir(parents=True, exist_ok=True)
    write_text(path, page)
    return path


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("harmony_pipeline.reports"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=lambda value: DASH if value is None else value,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"data_uri": data_uri, "humanize": humanize}
    environment.globals |= {
        "number": partial(Column, kind="number"),
        "text": partial(Column, kind="text"),
        "moment": partial(Column, kind="moment"),
    }
    formats = (format_value, fraction, share, fixed, day, clock_on, humanize, pass_fail, measured)
    environment.globals |= {function.__name__: function for function in formats}
    return environment


def format_value(value: object) -> object:
    """Numbers short, times to the minute, the rest as it is."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}" if math.isfinite(value) else DASH
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, date):
        return value.isoformat()
    return value


@dataclass(frozen=True)
class Column:
    """A column of a table: its name in the rows, what stands above it, how a cell is written, and
    its class in the stylesheet.
    """

    name: str
    heading: str
    format: Callable[[Any], object] = format_value
    kind: str = "number"


def measured(value: float | None) -> object:
    """The measure of a rule."""
    return "not measurable" if value is None else format_value(value)


def pass_fail(passed: bool | None) -> Markup | None:
    """Passed or failed, in words as well as in colour."""
    if passed is None:
        return None
    return (
        Markup('<span class="good">✓ passed</span>')
        if passed
        else Markup('<span class="bad">✗ failed</span>')
    )


def _finite(pattern: str) -> Callable[[float | None], str]:
    return lambda value: (
        DASH if value is None or not math.isfinite(value) else pattern.format(value)
    )


def fraction(decimals: int = 1) -> Callable[[float | None], str]:
    """A format: a fraction as signed percent."""
    return _finite(f"{{:+.{decimals}%}}")


def share(decimals: int = 1) -> Callable[[float | None], str]:
    """A format: a part of a whole as percent, without a sign."""
    return _finite(f"{{:.{decimals}%}}")


def fixed(decimals: int = 2) -> Callable[[float | None], str]:
    """A format: a number with that many decimals and thousands apart."""
    return _finite(f"{{:,.{decimals}f}}")


def day(value: datetime | date | None) -> str:
    """Only the date."""
    return DASH if value is None else f"{value:%Y-%m-%d}"


def clock_on(shown: date) -> Callable[[datetime | None], str]:
    """A format: the time alone of a moment on that date, UTC; date and time on any other."""

    def written(value: datetime | None) -> str:
        if value is None:
            return DASH
        return f"{value:%H:%M:%S}" if value.date() == shown else f"{value:%Y-%m-%d %H:%M:%S}"

    return written


def humanize(name: str | None) -> str:
    """The name of a column or a rule as words."""
    return DASH if name is None else name.replace("_", " ")
