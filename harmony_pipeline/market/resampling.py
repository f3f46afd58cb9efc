"""Longer bars out of shorter ones. The base bars are the only stored ones, and longer bars are
computed from them.

Slots lie on the calendar's grid (`bar_grid.py`): on the clock's grid the hour 09:00 of New York
covers 09:30 to 10:00, on the session's grid it starts at 09:30. Parts of a session are separate,
unless `mix_parts` joins them as a tape of plain clock hours would. So a row's key is (symbol,
timestamp, session). Bars of a day and longer hold regular trading only and are stamped midnight UTC
of their first exchange date.

Properties:
- A bar is made of its own base bars alone. It is known at `known_at`, the end of its slot or the
  close of its last session. `as_of` leaves out bars that were not over.
- Shares are conserved: volumes are sums in time order.
- A bar inside one session has one adjustment factor. A week or month that spans an ex-date is
  merged in *adjusted* terms and stated in the shares of its last session. Prices are scaled by
  `factor / last factor` before high and low are taken, and `adjustment_factor` is the last one, so
  `price * factor` is right. Volume stays in shares as traded.

>>> hours = resample(lake.scan("bars"), "1Hour", Calendar.of("XNYS"))
>>> hours.filter(pl.col("symbol") == "AAPL").collect()
"""

import re
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.bar_time import DAY_SECONDS, floor_to_clock, slot_end, slots
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES, TIMEFRAME_SECONDS
from harmony_pipeline.schemas import TIME

_SECONDS = {"Sec": 1, "Min": 60, "Hour": 3600}
_LONG = {"Day": "1d", "Week": "1w", "Month": "1mo"}
_NANO_KEY = ("symbol", "timestamp", "session")


@dataclass(frozen=True)
class Size:
    """Length of a bar: `seconds` on the clock, or one `span` of the calendar (Day, Week, Month)."""

    text: str
    seconds: int | None
    span: str | None

    @staticmethod
    def of(text: str) -> "Size":
        """From `30Sec`, `90Min`, `4Hour`, `1Day`, `1Week` or `1Month`. Raises ConfigError for other
        text.
        """
        found = re.fullmatch(r"(\d+)(Sec|Min|Hour|Day|Week|Month)", text)
        number = int(found[1]) if found else 0
        if found and found[2] in _LONG and number == 1:
            return Size(text, None, found[2])
        seconds = number * _SECONDS.get(found[2] if found else "", 0)
        if not 0 < seconds < DAY_SECONDS:
            raise ConfigError(
                f"'{text}' is no length of a bar: write it like 30Sec, 5Min, 4Hour, 1Day, 1Week or"
                " 1Month"
            )
        return Size(text, seconds, None)

    def is_made_of(self, base: str) -> bool:
        """Whether whole bars of size `base` make up one of this size."""
        if base not in TIMEFRAME_SECONDS:
            return False
        if base == "1Week":
            return self.span == "Week"
        own = self.seconds or DAY_SECONDS
        return own >= TIMEFRAME_SECONDS[base] and own % TIMEFRAME_SECONDS[base] == 0


def resample(
    bars: pl.LazyFrame,
    timeframe: str,
    calendar: Calendar,
    *,
    mix_parts: bool = False,
    as_of: datetime | None = None,
) -> pl.LazyFrame:
    """`bars` as bars of size `timeframe`, lazily.

    Columns: symbol, timeframe, timestamp, session, the values, adjustment_factor (if `bars` has
    it), known_at. `bars` has the columns of schemas.BARS, sorted by symbol and timestamp. Further
    columns keep the value of the first base bar. The result is sorted by (symbol, timestamp,
    session). With `as_of` the result holds only bars known by then, and the given base bars must
    have ended by then too.

    Raises ConfigError for an invalid size, and DataError (when collected) for bars that do not make
    up whole ones.
    """
    size = Size.of(timeframe)
    columns = bars.collect_schema().names()
    placed = bars.with_columns(_locate_bars(size, calendar, mix_parts=mix_parts)).unnest("_slot")
    if size.span is not None:
        placed = placed.filter(pl.col("session") == "regular")
    keys = ["symbol", "_stamp"] + ([] if mix_parts or size.span else ["session"])
    merged = placed.group_by(keys, maintain_order=True).agg(
        _merge_columns([name for name in columns if name not in {*keys, "timestamp", "timeframe"}])
    )
    done = merged.with_columns(timestamp="_stamp", timeframe=pl.lit(timeframe)).select(
        *columns, known_at="_end"
    )
    if as_of is not None:
        done = done.filter(pl.col("known_at") <= as_of)
    return done.sort(*(name for name in _NANO_KEY if name in columns), maintain_order=True)


def _locate_bars(size: Size, calendar: Calendar, *, mix_parts: bool) -> pl.Expr:
    """The struct (_stamp, _end) of each base bar, independent of the symbol, so that filters on it
    reach the files.
    """

    def place(given: pl.Series) -> pl.Series:
        rows = given.struct.unnest()
        if not rows.height:
            return pl.Series("_slot", [], dtype)
        strange = [
            base for base in rows["timeframe"].unique().to_list() if not size.is_made_of(base)
        ]
        if strange:
            raise DataError(
                f"{size.text} bars cannot be made of {strange[0]} bars: ask for a multiple of"
                f" {strange[0]}"
            )
        return (
            _intraday(rows, size, calendar, mix_parts=mix_parts)
            if size.seconds
            else _calendar_spans(rows, size, calendar)
        )

    dtype = pl.Struct({"_stamp": TIME, "_end": TIME})
    return (
        pl.struct("timestamp", "session", "timeframe")
        .map_batches(place, return_dtype=dtype, is_elementwise=True)
        .alias("_slot")
    )


def _intraday(rows: pl.DataFrame, size: Size, calendar: Calendar, *, mix_parts: bool) -> pl.Series:
    seconds = size.seconds or DAY_SECONDS
    if calendar.grid.from_session and not mix_parts:
        found = slots(rows["timestamp"], seconds, calendar)
        return found.select(
            _stamp=pl.col("slot").cast(TIME), _end=pl.col("end").cast(TIME)
        ).to_struct("_slot")
    offset = calendar.grid.offset_minutes
    last = (
        rows["timestamp"] if mix_parts else calendar.part_ends(rows["timestamp"], rows["session"])
    )
    slot = rows.select(
        floor_to_clock(pl.col("timestamp"), seconds, calendar.zone, offset).alias("_stamp")
    ).with_columns(last.alias("_last"))
    end = slot_end(pl.col("_stamp"), seconds, calendar.zone, offset)
    ended = end if mix_parts else pl.min_horizontal(end, "_last")
    return slot.select("_stamp", _end=ended.cast(TIME)).to_struct("_slot")


def _calendar_spans(rows: pl.DataFrame, size: Size, calendar: Calendar) -> pl.Series:
    """Slots of calendar spans, stamped by the first exchange date, over at the close of the last
    session.
    """
    every = _LONG[size.span or "Day"]
    by_span = calendar.table.select(
        "date", "close", first=pl.col("date").dt.truncate(every)
    ).group_by("first", maintain_order=True)
    spans = by_span.agg(pl.col("date").first(), pl.col("close").last())
    daily = pl.col("timeframe").is_in(LONG_TIMEFRAMES)
    dates = rows.select(
        pl.when(daily)
        .then(pl.col("timestamp").dt.date())
        .otherwise(calendar.session_dates(rows["timestamp"]))
        .dt.truncate(every)
        .alias("first")
    )
    found = dates.join(spans, on="first", how="left", maintain_order="left")
    return found.select(
        _stamp=pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC"),
        _end=pl.col("close").cast(TIME),
    ).to_struct("_slot")


def _merge_columns(columns: list[str]) -> list[pl.Expr]:
    """The expression that merges each column of a group of base bars into one value."""
    volume = pl.col("volume")
    # exactly 1.0 where the factor does not change, so that nothing is rounded inside a session
    ratio = (
        pl.col("adjustment_factor") / pl.col("adjustment_factor").last()
        if "adjustment_factor" in columns
        else pl.lit(1.0)
    )
    low, high = (pl.col("low") * ratio).min(), (pl.col("high") * ratio).max()
    money = (pl.col("vwap") * ratio * volume).filter(pl.col("vwap").is_not_null()).sum()
    known: dict[str, pl.Expr] = {
        "open": (pl.col("open") * ratio).first(),
        "high": high,
        "low": low,
        "close": pl.col("close").last(),
        "volume": volume.sum(),
        "trade_count": (
            pl.when(pl.col("trade_count").is_not_null().all()).then(pl.col("trade_count").sum())
        ),
        "vwap": (
            pl.when(pl.col("vwap").is_not_null().all() & (volume.sum() > 0.0)).then(
                (money / volume.sum()).clip(low, high)
            )
        ),
        "adjustment_factor": pl.col("adjustment_factor").last(),
    }
    return [
        known[name].alias(name) if name in known else pl.col(name).first() for name in columns
    ] + [pl.col("_end").last()]
