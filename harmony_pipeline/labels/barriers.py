"""Triple barriers: the outcome of every event, by the same rules as the simulator and the live
brackets.

An event on a regular bar is entered at the open of its symbol's next regular bar. From that bar on
a stop level and a profit level apply. If neither is touched within `horizon` bars, the trade exits
at the open of the bar after. The scalar rules are `portfolio/exit_rules.py`; this module applies
them to many events at once (Lopez de Prado, Advances in Financial Machine Learning, 2018, ch. 3.4).

Every value of a row, its weight included, is known at the row's own `end_timestamp`, and later bars
cannot change it. Only regular bars count, each symbol by its own. An event on an extended-hours bar
never becomes a trade, so it has no label.

>>> labelled = triple_barrier(bars, events, settings, Calendar.of("XNYS"), "15Min")
"""

from dataclasses import dataclass
from datetime import date, datetime

import numpy as np
import polars as pl
from numpy.typing import NDArray

from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.frames import sort_rows, symbol_ranges
from harmony_pipeline.labels.resolution import (
    Blocks,
    Outcomes,
    Prices,
    block_extremes,
    match_positions,
    resolve_events,
)
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.labels.weights import average_uniqueness
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.instruments import Instruments
from harmony_pipeline.schemas import LABELS, TIME

TOUCHED = ("upper", "lower", "vertical")  # by the codes of labels/resolution.py


@dataclass(frozen=True)
class Labelled:
    """`table` has the columns of schemas.LABELS, sorted by horizon, symbol, timestamp.

    `extended_events` counts events on bars outside regular hours.
    """

    table: pl.DataFrame
    extended_events: int

    def summary(self) -> dict[str, int | float]:
        """Counts and rates for each horizon, flat: `h8_upper`, `h8_unresolved`, `h8_positive_rate`,
        ...
        """
        counts: dict[str, int | float] = {
            "rows": self.table.height,
            "extended_events": self.extended_events,
        }
        for (horizon,), rows in self.table.group_by("horizon", maintain_order=True):
            settled = rows.filter(pl.col("end_timestamp").is_not_null())
            counts |= {
                f"h{horizon}_{side}": settled.filter(pl.col("touched") == side).height
                for side in TOUCHED
            }
            counts[f"h{horizon}_unresolved"] = rows.height - settled.height
            if settled.height:
                means = settled.select(
                    pl.col("label").cast(pl.Float64).mean(),
                    pl.col("return").mean(),
                    pl.col("weight").mean(),
                ).row(0)
                counts |= dict(
                    zip(
                        (
                            f"h{horizon}_positive_rate",
                            f"h{horizon}_mean_return",
                            f"h{horizon}_mean_weight",
                        ),
                        means,
                        strict=True,
                    )
                )
        return counts


def triple_barrier(
    bars: pl.DataFrame,
    events: pl.DataFrame,
    settings: LabelSettings,
    calendar: Calendar,
    timeframe: str,
    *,
    keep_from: datetime | None = None,
    keep_until: datetime | None = None,
    instruments: Instruments | None = None,
    securities_begin: pl.DataFrame | None = None,
) -> Labelled:
    """One label an event and horizon.

    `bars` has the columns of schemas.BARS and may extend beyond the last event, so that outcomes
    resolve. `events` has symbol, timestamp (of a bar in `bars`), side (-1 or 1) and volatility
    (sample deviation of one bar's log return).

    Period by period: a weight depends on every label that was alive during a label's life. So pass,
    for one period, the events *and* bars from `largest horizon + 2` regular bars of each symbol
    before it to as many after it (as far as they exist), and cut the result by `keep_from <=
    timestamp < keep_until`. The rows are then bit for bit those of one run over the whole history.

    Barriers are on the tick of the symbol's instrument on the session date of the entry (default:
    US equities).

    `securities_begin` (symbol, date) has the days from which a symbol is another security, or none.
    No outcome crosses such a day: a label that a delisting, a change of symbol or a new owner of
    the symbol cuts short stays unresolved.

    Unresolved: end_timestamp, touched, return, label and weight are null. Without an entry bar the
    entry columns are null too. Raises DataError for an event without a bar, a repeated key, or an
    unusable side or volatility.
    """
    market = _regular_bars(bars, calendar, timeframe, securities_begin)
    known = _regular_events(events, market, bars)
    kept = _keep_mask(known.table["timestamp"], keep_from, keep_until)
    grids = _grids(market, known.position, Instruments() if instruments is None else instruments)
    blocks = block_extremes(market.prices)
    table = pl.concat(
        _label_horizon(horizon, known, market, blocks, grids, settings, kept)
        for horizon in sorted(set(settings.horizons_bars))
    ).select(pl.col(name).cast(dtype) for name, dtype in LABELS.dtypes.items())
    return Labelled(table, events.height - known.table.height)


# --- frames to arrays -----------------------------------------------------------------------------


@dataclass(frozen=True)
class _Market:
    """Regular bars of all symbols, one symbol after the other. `runs` has each symbol's (first,
    end) positions.
    """

    runs: dict[str, tuple[int, int]]
    start: IntArray  # microseconds since 1970
    end: IntArray
    date: IntArray  # session date, days since 1970
    prices: Prices
    last_bar: IntArray  # position of the last bar of the bar's security


@dataclass(frozen=True)
class _Events:
    """Events on regular bars, sorted by symbol and time. `position` is that of the event's bar."""

    table: pl.DataFrame
    position: IntArray
    side: IntArray
    volatility: FloatArray


def _regular_bars(
    bars: pl.DataFrame, calendar: Calendar, timeframe: str, begins: pl.DataFrame | None = None
) -> _Market:
    regular = _sort_by_key(
        bars.filter(pl.col("session") == "regular").select(
            "symbol", "timestamp", "open", "high", "low", "adjustment_factor"
        ),
        "bars",
    )
    runs = symbol_ranges(regular["symbol"])
    # Many symbols share a start, so the calendar is applied to each distinct one.
    distinct = regular["timestamp"].unique().sort()
    placed = calendar.with_session(pl.DataFrame({"timestamp": distinct}), timeframe)
    start = _micros(regular["timestamp"])
    row = match_positions(start, _micros(distinct))
    end = _micros(placed["bar_end"])[row]
    dates = placed["session_date"].to_physical().cast(pl.Int64).to_numpy()[row]
    prices = Prices(
        _floats(regular["open"]),
        _floats(regular["high"]),
        _floats(regular["low"]),
        _floats(regular["adjustment_factor"]),
    )
    return _Market(runs, start, end, dates, prices, _last_bars(runs, dates, begins))


def _last_bars(
    runs: dict[str, tuple[int, int]], dates: IntArray, begins: pl.DataFrame | None
) -> IntArray:
    """Position of the last bar of each bar's security: of its symbol, up to where another security
    begins.
    """
    stops = [end for _, end in runs.values()]
    if begins is not None and begins.height:
        mine = begins.filter(pl.col("symbol").is_in(list(runs))).select(
            "symbol", pl.col("date").to_physical()
        )
        stops += [
            first + int(np.searchsorted(dates[first:end], day))
            for symbol, day in mine.iter_rows()
            for first, end in [runs[symbol]]
        ]
    cuts = np.unique(np.array(stops, np.int64))
    return cuts[np.searchsorted(cuts, np.arange(dates.size), side="right")] - 1


def _grids(
    market: _Market, position: IntArray, instruments: Instruments
) -> tuple[NDArray[np.void], IntArray]:
    """TICK records, and the index of the record at the entry of each event."""
    symbols = list(market.runs)
    starts = np.array([first for first, _ in market.runs.values()], np.int64)
    symbol_of = np.searchsorted(starts, position, side="right") - 1
    changes = instruments.changes(symbols)
    entry = np.minimum(position + 1, market.last_bar[position])
    grids = [instruments.grids(symbols, day) for day in [date.min, *changes]]
    term = np.searchsorted(
        [(day - date(1970, 1, 1)).days for day in changes], market.date[entry], side="right"
    )
    return np.concatenate(grids), term * len(symbols) + symbol_of


def _regular_events(events: pl.DataFrame, market: _Market, bars: pl.DataFrame) -> _Events:
    """The events that can become trades; those on bars of extended hours are left out."""
    table = _validate_events(events)
    position = _positions(market, table, bars)
    regular = position >= 0
    if not regular.all():
        table, position = table.filter(regular), position[regular]
    side = np.array(table["side"].cast(pl.Int64).to_numpy())
    return _Events(table, position, side, _floats(table["volatility"]))


def _validate_events(events: pl.DataFrame) -> pl.DataFrame:
    bad = events.filter(
        ~pl.col("side").is_in([-1, 1]).fill_null(False)
        | ~(pl.col("volatility").is_finite() & (pl.col("volatility") >= 0.0)).fill_null(False)
    )
    if bad.height:
        row = bad.row(0, named=True)
        raise DataError(
            f"events: {row['symbol']} at {row['timestamp']} has side {row['side']} and volatility"
            f" {row['volatility']}; side must be -1 or 1 and volatility a number >= 0: make events"
            " with events_from_signals"
        )
    return _sort_by_key(events.select("symbol", "timestamp", "side", "volatility"), "events")


def _sort_by_key(frame: pl.DataFrame, what: str) -> pl.DataFrame:
    """`frame` sorted by symbol and time. Raises DataError when a key is repeated."""
    rows = sort_rows(frame, ("symbol", "timestamp"))
    same_symbol = pl.col("symbol") == pl.col("symbol").shift()
    repeated = rows.filter(same_symbol & (pl.col("timestamp") == pl.col("timestamp").shift()))
    if repeated.height:
        key = repeated.row(0, named=True)
        raise DataError(
            f"{what}: {key['symbol']} at {key['timestamp']} is there more than once; (symbol,"
            " timestamp) must be unique"
        )
    return rows


def _micros(stamps: pl.Series) -> IntArray:
    return np.array(stamps.cast(TIME).to_physical().to_numpy())


def _floats(values: pl.Series) -> FloatArray:
    return np.array(values.cast(pl.Float64).to_numpy())


def _positions(market: _Market, events: pl.DataFrame, bars: pl.DataFrame) -> IntArray:
    """Position of each event's bar; -1 for a bar in extended hours."""
    position = np.full(events.height, -1, np.int64)
    times = _micros(events["timestamp"])
    for symbol, (first, end) in symbol_ranges(events["symbol"]).items():
        begin, stop = market.runs.get(symbol, (0, 0))
        at = match_positions(times[first:end], market.start[begin:stop])
        position[first:end] = np.where(at >= 0, begin + at, -1)
    elsewhere = events.filter(position < 0)
    if elsewhere.height:
        elsewhere = elsewhere.join(
            bars, on=["symbol", "timestamp"], how="anti", maintain_order="left"
        )
    if elsewhere.height:
        row = elsewhere.row(0, named=True)
        raise DataError(
            f"{elsewhere.height} event(s) have no bar, first {row['symbol']} at {row['timestamp']}:"
            " pass the bars of the events' whole span"
        )
    return position


def _keep_mask(stamps: pl.Series, start: datetime | None, end: datetime | None) -> BoolArray | None:
    """The rows to keep; None for all."""
    if start is None and end is None:
        return None
    inside = np.ones(len(stamps), np.bool_)
    if start is not None:
        inside &= (stamps >= start).to_numpy()
    if end is not None:
        inside &= (stamps < end).to_numpy()
    return inside


# --- arrays to frames -----------------------------------------------------------------------------


def _label_horizon(
    horizon: int,
    events: _Events,
    market: _Market,
    blocks: Blocks,
    grids: tuple[NDArray[np.void], IntArray],
    settings: LabelSettings,
    kept: BoolArray | None,
) -> pl.DataFrame:
    """The labels of one horizon; a weight counts every event, also those that are not kept."""
    outcomes = resolve_events(
        events.position,
        events.side,
        events.volatility,
        market.last_bar,
        market.prices,
        blocks,
        *grids,
        horizon,
        settings.profit_take,
        settings.stop_loss,
        settings.minimum_barrier_bps,
    )
    weight = average_uniqueness(
        outcomes.entry, outcomes.end, market.last_bar[events.position], market.start.size
    )
    return _table(events.table, kept, horizon, market, outcomes, weight)


def _table(
    events: pl.DataFrame,
    kept: BoolArray | None,
    horizon: int,
    market: _Market,
    outcomes: Outcomes,
    weight: FloatArray,
) -> pl.DataFrame:
    if kept is not None:
        events, outcomes, weight = (
            events.filter(kept),
            Outcomes._make(values[kept] for values in outcomes),
            weight[kept],
        )
    entry, end, touched, upper, lower, gain = outcomes
    entered, settled = pl.Series(entry >= 0), pl.Series(end >= 0)
    return events.select(
        "symbol", "timestamp", pl.lit(horizon, pl.Int64).alias("horizon"), "side"
    ).with_columns(
        entry_timestamp=_take(market.start, entry, entered).cast(TIME),
        entry_price=_take(market.prices.open, entry, entered),
        upper_barrier=pl.Series(upper, nan_to_null=True),
        lower_barrier=pl.Series(lower, nan_to_null=True),
        end_timestamp=_take(market.end, end, settled).cast(TIME),
        touched=pl.Series(TOUCHED).gather(pl.Series(touched).set(~settled, None)),
        label=pl.Series((gain > 0.0).astype(np.int8)).set(~settled, None),
        weight=pl.Series(weight, nan_to_null=True),
        **{"return": pl.Series(gain, nan_to_null=True)},
    )


def _take(values: FloatArray | IntArray, position: IntArray, exists: pl.Series) -> pl.Series:
    taken = (
        values.take(position, mode="clip") if values.size else np.zeros(position.size, values.dtype)
    )
    return pl.Series(taken).set(~exists, None)
