"""The message of every verdict: where the row stands, what was found, what was expected, what to
do.

Only refused and odd rows need a message, so messages are ordinary Polars expressions. Their inputs
are the columns of raw_bars, `session` (pre, regular, post or null), `measure` and `reference` of
the rule, and for versions `kept_at` and the kept row's values as `open_kept`, ...
"""

from collections.abc import Callable, Iterable, Sequence
from functools import lru_cache

import polars as pl

from harmony_pipeline.frames import format_columns
from harmony_pipeline.market.bar_grid import CLOCK, CLOCK_GRID, SESSION_GRID
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.grid_detection import grids_differ
from harmony_pipeline.market.ingest.versions import WITHDRAWN
from harmony_pipeline.market.quality_settings import QualitySettings
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES

PRICES = ("open", "high", "low", "close")
VALUES = (*PRICES, "volume", "trade_count", "vwap")
_CORRECT = "correct the row or take it out"
_STAMP = "%Y-%m-%dT%H:%M:%SZ"


Bounds = tuple[float, float, float, float]  # max_bar_return, min_price, max_price, max_volume
# a price so many times another, or that part of it, is meant by `wrong_scale`
_ROOM_FOR_TIMES = 5.0


def build_messages(
    calendar: Calendar, timeframe: str, quality: QualitySettings, hints: dict[str, str]
) -> dict[str, pl.Expr]:
    """By rule, the message of a row that the rule refuses or warns of, with the row's origin in
    front.
    """
    bounds = (quality.max_bar_return, quality.min_price, quality.max_price, quality.max_volume)
    return _build_messages(calendar, timeframe, bounds, tuple(sorted(hints.items())))


@lru_cache(maxsize=64)  # putting them together costs as much as judging a hundred thousand bars
def _build_messages(
    calendar: Calendar, timeframe: str, bounds: Bounds, hints: tuple[tuple[str, str], ...]
) -> dict[str, pl.Expr]:
    grid = (
        "midnight UTC of the session date"
        if timeframe in LONG_TIMEFRAMES
        else calendar.grid.describe(timeframe)
    )
    shown = format_columns(
        f"timestamp {{}} ({{}} in {calendar.zone})", _utc("timestamp"), _local(calendar, timeframe)
    )
    hint = _hint(dict(hints))
    off_grid = f"{grid}, on which this market's bars start: {_grid_advice(calendar, timeframe)}"
    messages = {
        **_value_messages(shown, off_grid, f"every session of {calendar.name}", hint),
        **_bounds_messages(*bounds[1:]),
        **_jump_messages(bounds[0]),
        **_unit_messages(),
        **_outlier_messages(),
        **_repetition_messages(),
        **_version_messages(),
        "wrong_time_zone": hint,
    }
    return {rule: _with_origin(sentence) for rule, sentence in messages.items()}


def _value_messages(
    shown: pl.Expr, off_grid: str, every_session: str, hint: pl.Expr
) -> dict[str, pl.Expr]:
    o, h, l, c, v = (pl.col(name) for name in ("open", "high", "low", "close", "volume"))  # noqa: E741 - the letters of a bar
    return {
        "unreadable": pl.col("defect"),
        "missing_price": format_columns(
            "{} is missing, expected a price: fill the cell, or fetch the bar again",
            _first_name(PRICES, _absent),
        ),
        "missing_volume": pl.lit(
            "volume is missing, expected a number of shares: fill the cell, or fetch the bar again"
        ),
        "unknown_symbol": format_columns(
            "symbol '{}' is not among market.symbols: add it there, or take the row out", "symbol"
        ),
        "non_positive_price": format_columns(
            f"{{}}, expected a price above 0: {_CORRECT}", _first_value(PRICES, _not_positive)
        ),
        "negative_volume": format_columns(f"volume is {{}}, expected 0 or more: {_CORRECT}", v),
        "high_below_low": format_columns(f"high {{}} is below low {{}}: {_CORRECT}", h, l),
        "open_or_close_outside_range": format_columns(
            f"open {{}} or close {{}} lies outside low {{}} to high {{}}: {_CORRECT}", o, c, l, h
        ),
        "misaligned_timestamp": format_columns("{} is not on {}", shown, pl.lit(off_grid)),
        "outside_session": format_columns(f"{{}} is outside {every_session}: {{}}", shown, hint),
        "closed_market_filler": format_columns(
            f"{{}} is outside {every_session}, and the bar has no volume and one price: a filler"
            " of the vendor, which is no trade",
            shown,
        ),
        "extended_hours_off": format_columns(
            "a bar of the {}market, and market.extended_hours is false: set it to true to keep such"
            " bars",
            "session",
        ),
        "zero_volume": pl.lit(
            "volume is 0: market.quality.rules.zero_volume says whether such bars are kept"
        ),
    }


def _bounds_messages(least: float, most: float, most_volume: float) -> dict[str, pl.Expr]:
    def outside(name: str) -> pl.Expr:
        return ~pl.col(name).is_between(least, most)

    price = format_columns(
        f"{{}}, expected a price from {least:g} to {most:g}: is it in another unit? correct the"
        " row, or set market.quality.min_price or max_price",
        _first_value(PRICES, outside),
    )
    volume = format_columns(
        f"volume is {{}}, expected at most {most_volume:g}: correct the row, or raise"
        " market.quality.max_volume",
        "volume",
    )
    return {"price_out_of_bounds": price, "volume_out_of_bounds": volume}


def _jump_messages(limit: float) -> dict[str, pl.Expr]:
    """Messages of a price that is far from the bars before it."""
    measure, reference = pl.col("measure"), pl.col("reference")
    split = (
        pl.when(measure >= 1.0)
        .then(format_columns("{}-for-1", _short(measure, 1)))
        .otherwise(format_columns("1-for-{}", _short(1.0 / measure, 1)))
    )
    return {
        "bad_print": format_columns(
            f"{{}}, more than {limit:.0%} from both the previous close {{}} and the bar's own close"
            " {}, which agree: correct the row, raise market.quality.max_bar_return, or allow it"
            " in market.quality.allow",
            _first_value(("open", "high", "low"), _far_from_close(limit)),
            reference,
            "close",
        ),
        "ticker_reuse": format_columns(
            "open {} after {} sessions of absence and a last close of {}: if another issuer took"
            " the ticker over, give the two different symbols",
            "open",
            _short(measure, 0),
            reference,
        ),
        "split_like_jump": format_columns(
            "open {} against a previous close of {} looks like a {} split, and there is no such"
            " row: add it to the corporate actions, or allow it if it is real",
            "open",
            reference,
            split,
        ),
    }


def _unit_messages() -> dict[str, pl.Expr]:
    """Messages of prices or volumes that are a multiple of what they are compared with."""
    reference, times = pl.col("reference"), _times(pl.col("measure"))
    vwap_beside_close = format_columns(
        "vwap {} is about {} times the close {}: one of them is in another unit",
        "vwap",
        times,
        "close",
    )
    bar_beside_last_close = format_columns(
        "open {} and close {} are about {} times the previous close {}: cents for"
        " dollars, or a split without a row",
        "open",
        "close",
        times,
        reference,
    )
    volumes_changed = format_columns(
        "volumes of the last five sessions are about {} times those before: shares for lots?",
        times,
    )
    prices_changed = format_columns(
        "prices are about {} times what they were since {}: cents for dollars, or a"
        " split without a row",
        times,
        _utc_of(reference),
    )
    return {
        "wrong_scale": format_columns(
            "{}, about {} times {} beside it, and the volume does not explain it: correct the row;"
            " if the price did move so, add the split to the corporate actions, or allow it in"
            " market.quality.allow",
            _first_value(PRICES, _of_another_scale),
            times,
            reference,
        ),
        "wrong_unit": (
            pl.when(reference.is_nan()).then(vwap_beside_close).otherwise(bar_beside_last_close)
        ),
        "changed_unit": (
            pl.when(reference.is_nan()).then(volumes_changed).otherwise(prices_changed)
        ),
    }


def _outlier_messages() -> dict[str, pl.Expr]:
    """Messages of a return or volume that is unusual for its symbol."""
    measure, reference = pl.col("measure"), pl.col("reference")
    return {
        "outlier": format_columns(
            "log return {} is {} robust deviations from the median of the bars before: look at it",
            _short(reference, 3),
            _short(measure, 1),
        ),
        "volume_spike": format_columns(
            "volume {} against at most {} in a bar of the sessions before, {} robust deviations:"
            " look at it",
            "volume",
            reference,
            _short(measure, 1),
        ),
        "spike_reversal": format_columns(
            "the bar of {} moved by {} in logs and this one came back: was its close an error?",
            _utc_of(reference),
            _short(measure, 3),
        ),
    }


def _repetition_messages() -> dict[str, pl.Expr]:
    """Messages of a bar that repeats those before it."""
    repetitions = _short(pl.col("measure"), 0)
    return {
        "frozen_prices": format_columns(
            "the same four prices for the {}th time in a row while the volume moves: has the price"
            " feed stopped?",
            repetitions,
        ),
        "stale_repeat": format_columns(
            "the same five values for the {}th time in a row: has the feed stopped?",
            repetitions,
        ),
    }


def _version_messages() -> dict[str, pl.Expr]:
    differs = [pl.col(name).ne_missing(pl.col(f"{name}_kept")) for name in VALUES]
    changed = pl.concat_str(
        [
            pl.when(other).then(
                format_columns(f"{name} {{}} against {{}}", _text(name), _text(f"{name}_kept"))
            )
            for name, other in zip(VALUES, differs, strict=True)
        ],
        separator=", ",
        ignore_nulls=True,
    )
    what = pl.when(pl.any_horizontal(differs)).then(changed).otherwise(pl.lit("the same values"))
    when = _utc("kept_learned")
    again = format_columns("learned again on {} ({}), which is kept: {}", when, "kept_at", what)
    superseded = (
        pl.when(pl.col("defect_kept") == WITHDRAWN)
        .then(format_columns("withdrawn on {}: the source has no such row any more", when))
        .when(pl.col("defect") == WITHDRAWN)
        .then(format_columns("withdrawn once, and learned again on {} ({})", when, "kept_at"))
        .otherwise(again)
    )
    return {
        "withdrawn": pl.lit(
            "given before and given no more: the file, or how it is read, has changed; what it said"
            " stays in raw_bars"
        ),
        "duplicate": format_columns(
            "the same bar as {}, learned at the same moment: nothing is lost", "kept_at"
        ),
        "superseded": superseded,
        "conflicting_duplicate": format_columns(
            "another row for this symbol and time, learned at the same moment ({}), is kept for its"
            " larger values: {}; take out the wrong one",
            "kept_at",
            what,
        ),
    }


def _grid_advice(calendar: Calendar, timeframe: str) -> str:
    """The advice for a bar off the grid."""
    if timeframe in LONG_TIMEFRAMES or not grids_differ(calendar.on_grid(CLOCK), timeframe):
        return "correct the stamp, or set market.timeframe to the data's own"
    other = CLOCK_GRID if calendar.grid.from_session else SESSION_GRID
    return (
        f'correct the stamp, set market.grid = "{other}" if all bars lie on that, or keep bars of'
        " two grids in two lakes"
    )


def _with_origin(sentence: pl.Expr) -> pl.Expr:
    """`AAPL.csv row 12: ...`."""
    return format_columns("{}: {}", row_origin(), sentence.fill_null(""))


def row_origin() -> pl.Expr:
    """`AAPL.csv row 12`, as far as a source gives the origin of a row."""
    origin = pl.coalesce("origin", "source")
    return (
        pl.when(pl.col("row").is_null())
        .then(origin)
        .otherwise(format_columns("{} row {}", origin, "row"))
    )


# --- parts of messages ----------------------------------------------------------------------------


def _hint(hints: dict[str, str]) -> pl.Expr:
    found = pl.col("origin").fill_null("").replace_strict(hints, default="", return_dtype=pl.String)
    return (
        pl.when(found == "")
        .then(pl.lit("correct the stamp, or check market.calendar and market.files.timezone"))
        .otherwise(found)
    )


def _local(calendar: Calendar, timeframe: str) -> pl.Expr:
    if timeframe in LONG_TIMEFRAMES:
        return pl.col("timestamp").dt.strftime("%a %Y-%m-%d")
    return (
        pl.col("timestamp").dt.convert_time_zone(calendar.zone).dt.strftime("%a %Y-%m-%d %H:%M:%S")
    )


def _utc(name: str) -> pl.Expr:
    return pl.col(name).dt.strftime(_STAMP)


def _utc_of(micros: pl.Expr) -> pl.Expr:
    return micros.fill_nan(0.0).cast(pl.Int64).cast(pl.Datetime("us", "UTC")).dt.strftime(_STAMP)


def _times(ratio: pl.Expr) -> pl.Expr:
    """`100` for a ratio of 100, `1/100` for one of 0.01."""
    return (
        pl.when(ratio >= 1.0)
        .then(format_columns("{}", _short(ratio, 0)))
        .otherwise(format_columns("1/{}", _short(1.0 / ratio, 0)))
    )


def _short(number: pl.Expr, digits: int) -> pl.Expr:
    rounded = number.round(digits)
    whole = rounded == rounded.round(0)
    return (
        pl.when(whole)
        .then(rounded.cast(pl.Int64, strict=False).cast(pl.String))
        .otherwise(rounded.cast(pl.String))
    )


def _text(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String).fill_null("nothing")


def _absent(name: str) -> pl.Expr:
    return pl.col(name).is_null()


def _not_positive(name: str) -> pl.Expr:
    return pl.col(name) <= 0.0


def _of_another_scale(name: str) -> pl.Expr:
    ratio = pl.col(name) / pl.col("reference")
    return ~ratio.is_between(1.0 / _ROOM_FOR_TIMES, _ROOM_FOR_TIMES)


def _far_from_close(limit: float) -> Callable[[str], pl.Expr]:
    return lambda name: (pl.col(name) / pl.col("close") - 1.0).abs() > limit


def _first_name(names: Iterable[str], holds: Callable[[str], pl.Expr]) -> pl.Expr:
    """Name of the first column for which `holds`."""
    return pl.coalesce(*(pl.when(holds(name)).then(pl.lit(name)) for name in names))


def _first_value(names: Sequence[str], holds: Callable[[str], pl.Expr]) -> pl.Expr:
    """`open is 0.0` for the first column for which `holds`."""
    return pl.coalesce(
        *(pl.when(holds(name)).then(format_columns(f"{name} is {{}}", name)) for name in names)
    )
