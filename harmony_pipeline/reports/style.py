"""How every picture looks: one canvas, one palette, one way to write numbers and dates.

The palette is Okabe & Ito's (2008), made so that people with any of the common colour blindnesses
can tell its colours apart; gain and loss are blue and vermilion for the same reason, never green
and red. Pictures are drawn with matplotlib's Figure alone, without pyplot and its global state, and
come back as PNG bytes: same data, same bytes.
"""

import base64
import io
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

BLUE, ORANGE, GREEN, VERMILION, SKY, PURPLE = (
    "#0072B2",
    "#E69F00",
    "#009E73",
    "#D55E00",
    "#56B4E9",
    "#CC79A7",
)
ACCENT, GAIN, LOSS = BLUE, BLUE, VERMILION
SERIES = (BLUE, ORANGE, GREEN, PURPLE, VERMILION, SKY)
INK, MUTED, FAINT, GRID, PAPER = "#1f2933", "#667380", "#b8c0c8", "#e6e9ec", "#ffffff"

# inches; 1190 pixels, and letters that can still be read at the width of a phone
WIDTH = 7.0
_DPI = ContextVar("dots per inch", default=170)
_SCREEN_DPI = 84  # 588 pixels
_TITLE, _SUBTITLE = 0.40, 0.27  # inches that the header takes
# 6, the default, makes a picture of 102 kB 1 % smaller and takes three times as long
_COMPRESSION = 4


@contextmanager
def small_pictures() -> Iterator[None]:
    """Pictures that are drawn inside fit beside the menus of the UI, which shows them as they
    are.
    """
    token = _DPI.set(_SCREEN_DPI)
    try:
        yield
    finally:
        _DPI.reset(token)


def canvas(
    title: str, subtitle: str = "", height: float = 4.0, ratios: Sequence[float] = (1.0,)
) -> tuple[Any, list[Any]]:
    """A figure with its header, and one styled axes a row; `height` in inches without the header,
    `ratios` the rows' shares of it.
    """
    from matplotlib.figure import Figure

    header = 0.10 + _TITLE + (_SUBTITLE if subtitle else 0.0)
    total = height + header
    figure = Figure(figsize=(WIDTH, total), dpi=_DPI.get(), facecolor=PAPER, layout="constrained")
    engine: Any = figure.get_layout_engine()
    engine.set(rect=(0.005, 0.0, 0.99, 1.0 - header / total), w_pad=0.08, h_pad=0.06)
    figure.text(
        0.018,
        1.0 - 0.16 / total,
        _plain(shortened(title, 60)),
        fontsize=13.5,
        fontweight="bold",
        color=INK,
        va="top",
        ha="left",
    )
    if subtitle:
        figure.text(
            0.018,
            1.0 - (0.13 + _TITLE) / total,
            _plain(shortened(subtitle, 100)),
            fontsize=9.5,
            color=MUTED,
            va="top",
            ha="left",
        )
    grid = figure.add_gridspec(len(ratios), 1, height_ratios=list(ratios))
    rows = [figure.add_subplot(grid[i, 0]) for i in range(len(ratios))]
    for axes in rows:
        style(axes)
    return figure, rows


def style(axes: Any) -> None:
    """Light lines behind the data, no box, quiet labels."""
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.spines["bottom"].set_color(FAINT)
    axes.set_facecolor(PAPER)
    axes.grid(axis="y", color=GRID, linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(colors=MUTED, labelsize=9, length=0, pad=5)
    axes.xaxis.label.set_color(MUTED)
    axes.yaxis.label.set_color(MUTED)
    axes.xaxis.label.set_size(9.5)
    axes.yaxis.label.set_size(9.5)


def png(figure: Any) -> bytes:
    """The figure as PNG bytes, without a date or program name inside."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    # `savefig` would draw the whole figure once more before it asks for the layout, and again
    # before it prints. Layout and drawing share the canvas, and with it the sizes of texts.
    drawing = FigureCanvasAgg(figure)
    figure.get_layout_engine().execute(figure)
    figure.set_layout_engine("none")
    out = io.BytesIO()
    drawing.print_png(out, metadata={"Software": None}, pil_kwargs={"compress_level": _COMPRESSION})
    return out.getvalue()


def empty_figure(title: str, message: str) -> bytes:
    """A picture that says why there is none."""
    figure, (axes,) = canvas(title, height=1.5)
    axes.set_axis_off()
    axes.text(
        0.5,
        0.55,
        _plain(message),
        ha="center",
        va="center",
        fontsize=11.5,
        color=MUTED,
        transform=axes.transAxes,
    )
    return png(figure)


def as_markdown(picture: bytes, alt: str) -> str:
    """The picture as a Markdown image that carries its own data."""
    return image_link(data_uri(picture), alt)


def image_link(address: str, alt: str) -> str:
    """The picture at an address as a Markdown image."""
    safe = alt.replace("[", "(").replace("]", ")").replace("\n", " ")
    return f"![{safe}]({address})"


def data_uri(picture: bytes) -> str:
    """The bytes of a PNG or SVG picture as a data URI."""
    kind = "svg+xml" if picture.startswith(b"<svg") else "png"
    return f"data:image/{kind};base64," + base64.b64encode(picture).decode("ascii")


def label(axes: Any, x: Any, y: float, text: str, color: str, **changes: Any) -> None:
    """Write directly beside what is meant, instead of a legend."""
    chosen: dict[str, Any] = {
        "xytext": (5, 0),
        "textcoords": "offset points",
        "va": "center",
        "ha": "left",
        "fontsize": 9,
        "fontweight": "bold",
    }
    axes.annotate(_plain(text), (x, y), color=color, annotation_clip=False, **{**chosen, **changes})


def labels_apart(values: Sequence[float], gap: float) -> list[float]:
    """Heights of labels in the order given, moved so that none is nearer to the next than `gap`,
    their middle kept.
    """
    order = sorted(range(len(values)), key=lambda i: values[i])
    placed = [values[i] for i in order]
    for k in range(1, len(placed)):
        placed[k] = max(placed[k], placed[k - 1] + gap)
    shift = (sum(values) - sum(placed)) / max(len(values), 1)
    found = [0.0] * len(values)
    for k, i in enumerate(order):
        found[i] = placed[k] + shift
    return found


def percent_axis(axis: Any) -> None:
    """Fractions written as percent, each with no more decimals than it has: 30%, 0.5%."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(
        FuncFormatter(lambda value, _place: f"{round(value * 100.0, 6) + 0.0:g}%")
    )


def money_axis(axis: Any) -> None:
    """Currency as 950, 12.5k, 1.2M."""
    from matplotlib.ticker import FuncFormatter

    axis.set_major_formatter(FuncFormatter(lambda value, _place: money(value)))


def date_axis(axis: Any) -> None:
    """Few dates, each as short as it can be."""
    from matplotlib.dates import AutoDateLocator, ConciseDateFormatter

    locator = AutoDateLocator(minticks=3, maxticks=8)
    axis.set_major_locator(locator)
    axis.set_major_formatter(ConciseDateFormatter(locator, show_offset=False))


def instants(times: pl.Series) -> NDArray[np.datetime64]:
    """UTC times as numpy knows them."""
    return (
        np.asarray(times.dt.replace_time_zone(None).to_numpy())
        if isinstance(times.dtype, pl.Datetime)
        else np.asarray(times.to_numpy())
    )


def money(value: float) -> str:
    """950, 12.5k, 1.2M: short currency for axes and labels."""
    sign, size = ("-" if value < 0 else ""), abs(value)
    for limit, mark in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if size >= limit:
            text = f"{size / limit:.2f}".rstrip("0").rstrip(".")
            return f"{sign}{text}{mark}"
    return f"{sign}{size:.0f}" if size >= 10 or size == int(size) else f"{sign}{size:.2f}"


def amount(value: float) -> str:
    """Shares and the like, three digits: 950, 12.5k, 463k, 1.23M."""
    for limit, mark in ((1e9, "B"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= limit * 0.9995:
            return f"{value / limit:.3g}{mark}"
    return f"{value:.0f}"


def percent(value: float | None, decimals: int = 1) -> str:
    """A fraction as `+12.3%`; an en dash where there is none."""
    return "–" if value is None or not np.isfinite(value) else f"{value:+.{decimals}%}"


def shortened(text: str, most: int) -> str:
    """At most `most` characters, the cut marked."""
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"


def _plain(text: str) -> str:
    """Text as it is: a dollar sign must not start mathematics."""
    return text.replace("$", r"\$")
