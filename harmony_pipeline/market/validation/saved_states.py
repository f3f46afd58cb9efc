"""What is remembered of each symbol, between the table bar_state and the arrays of the kernel."""

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.validation import symbol_state
from harmony_pipeline.schemas import BAR_STATE, TIME


def conform_states(before: pl.DataFrame, calendar: Calendar, timeframe: str) -> pl.DataFrame:
    """`before` as BAR_STATE rows.

    A frame of closes alone, or a state of an earlier version of the code, starts with empty
    windows.
    """
    whole = BAR_STATE.conform(before)
    if not whole.height:
        return whole
    fits = whole["state"].list.len() == symbol_state.WIDTH
    if not fits.null_count() and fits.all():
        return whole
    fits = fits.fill_null(value=False)
    kept = whole.filter(fits)
    plain = calendar.with_session(whole.filter(~fits), timeframe)
    day = plain.select(
        pl.coalesce("session_date", pl.col("timestamp").dt.date()).cast(pl.Int32).cast(pl.Float64)
    )["session_date"].to_numpy()
    states = symbol_state.empty_states(plain.height)
    states[:, symbol_state.SEEN], states[:, symbol_state.LAST_DAY] = 1.0, day
    states[:, symbol_state.LAST_STAMP] = (
        plain["timestamp"].to_physical().cast(pl.Float64).to_numpy()
    )
    states[:, symbol_state.FACTOR] = plain["adjustment_factor"].to_numpy()
    states[:, symbol_state.CLOSE] = plain["close"].to_numpy()
    closed = ~np.isnan(states[:, symbol_state.CLOSE])
    states[closed, symbol_state.CLOSE_DAY], states[closed, symbol_state.CLOSE_STAMP] = (
        day[closed],
        states[closed, symbol_state.LAST_STAMP],
    )
    return pl.concat([kept, _state_rows(plain["symbol"], states)]).sort("symbol")


def states_of(known: pl.DataFrame, symbols: pl.Series) -> FloatArray:
    """The state of each symbol of the batch, in the batch's order."""
    states = symbol_state.empty_states(symbols.len())
    if not known.height:
        return states
    rows = {symbol: row for row, symbol in enumerate(known["symbol"].to_list())}
    # by names and not by a join, which takes a millisecond, and batches are many
    found = [(place, rows[one]) for place, one in enumerate(symbols.to_list()) if one in rows]
    if found:
        places, of = np.array(found).T
        kept = known["state"].cast(pl.Array(pl.Float64(), symbol_state.WIDTH)).to_numpy()
        states[places] = kept[of]
    return states


def merge_states(known: pl.DataFrame, symbols: pl.Series, states: FloatArray) -> pl.DataFrame:
    """The state of every symbol that ever had a bar."""
    seen = states[:, symbol_state.SEEN] != 0.0
    mine = _state_rows(symbols.filter(pl.Series(seen)), states[seen])
    if not known.height:
        return mine
    named = set(mine["symbol"].to_list())
    absent = [symbol not in named for symbol in known["symbol"].to_list()]
    if not any(absent):
        return mine
    return BAR_STATE.conform(pl.concat([known.filter(absent), mine]))


def _state_rows(symbols: pl.Series, states: FloatArray) -> pl.DataFrame:
    stamp = np.where(
        np.isnan(states[:, symbol_state.CLOSE_STAMP]),
        states[:, symbol_state.LAST_STAMP],
        states[:, symbol_state.CLOSE_STAMP],
    )
    columns = {
        "symbol": symbols,
        "timestamp": pl.Series(stamp.astype(np.int64)).cast(TIME),
        "close": pl.Series(states[:, symbol_state.CLOSE], nan_to_null=True),
        "adjustment_factor": states[:, symbol_state.FACTOR],
        "state": pl.Series(states, dtype=pl.Array(pl.Float64(), symbol_state.WIDTH)).cast(
            pl.List(pl.Float64())
        ),
    }
    return BAR_STATE.conform(pl.DataFrame(columns)) if symbols.len() else BAR_STATE.empty()
