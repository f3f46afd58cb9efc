"""Small pictures as SVG text of a few hundred bytes: one line, or one row of bars.

The Dagster UI shows a Markdown value below 1,000 characters at once and hides a longer one behind a
link. A sketch as a data URI stays below that bound, so each partition has a picture at a glance;
the large pictures stay PNGs (`figures.py`).
"""

import math
from collections.abc import Sequence
from itertools import pairwise

WIDTH, HEIGHT = 120, 24
_POINTS = 48  # more would not fit into 700 bytes
_LINE, _BARS, _MARKED = "#2563eb", "#64748b", "#dc2626"


def line(values: Sequence[float | None]) -> bytes:
    """The course of a number, oldest first; values that are not finite are left out."""
    known = _thinned([value for value in values if value is not None and math.isfinite(value)])
    if len(known) < 2:
        return bars(known)
    heights = _heights(known)
    step = WIDTH // (len(known) - 1)
    path = f"M0 {HEIGHT - heights[0]}l" + " ".join(
        f"{step} {before - after}" for before, after in pairwise(heights)
    )
    return _svg(f'<path d="{path}" fill="none" stroke="{_LINE}"/>')


def bars(values: Sequence[float | None], marked: int | None = None) -> bytes:
    """Sizes side by side, from zero up; `marked` is the place of the one that is meant."""
    known = [abs(value) if value is not None and math.isfinite(value) else 0.0 for value in values]
    groups = _groups(len(known))
    sizes = [max(known[first:end]) for first, end in groups]
    largest = max(sizes, default=0.0)
    width = max(1, WIDTH // max(1, len(sizes)))
    columns = [
        (place, round(HEIGHT * size / largest)) for place, size in enumerate(sizes) if size > 0.0
    ]
    chosen = next(
        (
            at
            for at, (first, end) in enumerate(groups)
            if marked is not None and first <= marked < end
        ),
        -1,
    )
    drawn = _columns([column for column in columns if column[0] != chosen], width, _BARS)
    return _svg(
        drawn + _columns([column for column in columns if column[0] == chosen], width, _MARKED)
    )


def _columns(columns: Sequence[tuple[int, int]], width: int, colour: str) -> str:
    if not columns:
        return ""
    path = "".join(
        f"M{place * width + width // 2} {HEIGHT}v-{max(1, height)}" for place, height in columns
    )
    return f'<path d="{path}" stroke="{colour}" stroke-width="{max(1, width - 1)}"/>'


def _svg(content: str) -> bytes:
    size = f'width="{WIDTH * 3}" height="{HEIGHT * 3}" viewBox="0 0 {WIDTH} {HEIGHT}"'
    return f'<svg xmlns="http://www.w3.org/2000/svg" {size}>{content}</svg>'.encode()


def _heights(values: Sequence[float]) -> list[int]:
    low, high = min(values), max(values)
    reach = high - low
    if not reach > 0.0:
        return [HEIGHT // 2] * len(values)
    return [1 + round((HEIGHT - 2) * ((value - low) / reach)) for value in values]


def _groups(count: int) -> list[tuple[int, int]]:
    """Neighbours that share a place, when there are more values than places."""
    places = min(count, _POINTS)
    edges = [count * at // places for at in range(places + 1)] if places else [0]
    return list(pairwise(edges))


def _thinned(values: Sequence[float]) -> list[float]:
    """At most as many values as fit, the first and the last among them."""
    if len(values) <= _POINTS:
        return list(values)
    return [values[round(at * (len(values) - 1) / (_POINTS - 1))] for at in range(_POINTS)]
