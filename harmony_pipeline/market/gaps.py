"""Bars that the calendar expects and that are absent, as runs: who is expected, when everyone is
silent at once, where a run begins and ends. `gap_kinds.py` says what each run probably is.

Profiles use sessions before the judged one, so that later bars change no verdict on an earlier
session. Outages must not enter a profile: sessions without any bar are not counted, nor is the most
silent tenth of the others. Only regular hours are judged, since silence is usual before the open
and after the close. Nothing is filled here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date

import numpy as np
import numpy.typing as npt
import polars as pl

from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray
from harmony_pipeline.frames import sort_rows
from harmony_pipeline.market.expected_bars import Slots
from harmony_pipeline.market.gap_kinds import NEVER, classify_runs, with_evidence
from harmony_pipeline.market.settings import GapSettings
from harmony_pipeline.market.trading_activity import ActivityProfile, expected_silences
from harmony_pipeline.schemas import GAPS

FEWEST_SYMBOLS = 2  # that can be silent "all at once"


@dataclass(frozen=True)
class _BatchActivity:
    """A batch of whole symbols: bars by symbol, session and bucket, symbols by slot, and runs of
    absent bars in the target.
    """

    symbols: list[str]
    present: npt.NDArray[np.int32]
    active: IntArray
    runs: pl.DataFrame


def find_gaps(
    batches: Iterable[pl.DataFrame],
    slots: Slots,
    lives: pl.DataFrame,
    settings: GapSettings,
    *,
    every_bar: bool = False,
    of_trades: bool = False,
) -> pl.DataFrame:
    """Runs of absent regular bars from the slots' target on, in the columns of schemas.GAPS.

    `batches` hold bars (symbol, timestamp, volume, trade_count) of whole symbols, each sorted by
    symbol and time, the past of the target included. The largest batch bounds the memory. `lives`
    has the sessions in which a symbol is expected: symbol, first, end (exclusive, null: still
    alive), several rows a symbol where it came back. A symbol without a row there is expected from
    its first bar on.
    """
    if not len(slots.stamp):
        return GAPS.empty()
    seen = [
        _summarise_batch(batch, slots, settings.shares_per_trade)
        for batch in batches
        if batch.height
    ]
    absent = sorted(
        set(lives["symbol"].to_list()) - {symbol for part in seen for symbol in part.symbols}
    )
    seen.append(_absent_symbols(absent, slots))
    symbols = [symbol for part in seen for symbol in part.symbols]
    present = np.concatenate([part.present for part in seen])
    offsets = np.cumsum([0, *(len(part.symbols) for part in seen)])[:-1]
    runs = pl.concat(
        [
            part.runs.with_columns(pl.col("code") + int(offset))
            for part, offset in zip(seen, offsets, strict=True)
        ]
    )
    alive = _expected_symbols(symbols, present, lives, slots.dates)
    profile = ActivityProfile(present, slots, settings.lookback_sessions)
    market_wide = _market_wide_silence(
        np.sum([part.active for part in seen], axis=0), profile, alive
    )
    cut = _split_runs(runs, slots, market_wide, alive)
    if cut.is_empty():
        return GAPS.empty()
    return GAPS.conform(
        classify_runs(
            with_evidence(cut, profile, symbols),
            slots,
            every_bar=every_bar,
            of_trades=of_trades,
        )
    )


# --- what is absent -------------------------------------------------------------------------------


def _summarise_batch(bars: pl.DataFrame, slots: Slots, shares_per_trade: float) -> _BatchActivity:
    bars = sort_rows(bars, ("symbol", "timestamp"))
    lengths = bars["symbol"].rle().struct.unnest()
    code = np.repeat(np.arange(lengths.height), lengths["len"].to_numpy())
    stamp = bars["timestamp"].dt.epoch("us").to_numpy()
    slot = np.searchsorted(slots.stamp, stamp)
    on_grid = slots.stamp[np.minimum(slot, len(slots.stamp) - 1)] == stamp
    code, slot = code[on_grid], slot[on_grid]
    trades = (
        bars.select(pl.coalesce("trade_count", pl.col("volume") / shares_per_trade).fill_null(0.0))
        .to_series()
        .to_numpy()[on_grid]
    )
    shape = (lengths.height, len(slots.dates), slots.buckets)
    cells = (code * shape[1] + slots.session[slot]) * shape[2] + slots.bucket[slot]
    present = (
        np.bincount(cells, minlength=shape[0] * shape[1] * shape[2]).astype(np.int32).reshape(shape)
    )
    return _BatchActivity(
        lengths["value"].to_list(),
        present,
        np.bincount(slot, minlength=len(slots.stamp)),
        _runs(code, slot, trades, lengths.height, slots),
    )


def _runs(
    code: IntArray, slot: IntArray, trades: FloatArray, symbols: int, slots: Slots
) -> pl.DataFrame:
    """code, first, last (slots without a bar), and the bar before and after: its slot (-1: none)
    and trades.
    """
    kept = slot >= slots.target
    code, slot, trades = code[kept], slot[kept], trades[kept]
    end = len(slots.stamp)
    bounds = np.searchsorted(code, np.arange(symbols + 1))
    begins, stops = bounds[:-1], bounds[1:]
    empty = begins == stops
    inner = np.flatnonzero((np.diff(slot) > 1) & (np.diff(code) == 0))
    heads = np.flatnonzero(
        ~empty & (slot[np.minimum(begins, len(slot) - 1)] > slots.target)
        if len(slot)
        else np.zeros(symbols, np.bool_)
    )
    tails = np.flatnonzero(
        ~empty & (slot[np.maximum(stops - 1, 0)] < end - 1)
        if len(slot)
        else np.zeros(symbols, np.bool_)
    )
    whole = np.flatnonzero(empty) if end > slots.target else np.empty(0, np.int64)
    nothing = [np.full(len(part), -1, np.int64) for part in (heads, tails, whole)]
    left, right = (
        np.concatenate(parts)
        for parts in (
            [inner, nothing[0], stops[tails] - 1, nothing[2]],
            [inner + 1, begins[heads], nothing[1], nothing[2]],
        )
    )
    before, before_trades = _neighbour_bars(left, slot, trades)
    after, after_trades = _neighbour_bars(right, slot, trades)
    return pl.DataFrame(
        {
            "code": np.concatenate([code[inner], heads, tails, whole]),
            "first": np.where(left >= 0, before + 1, slots.target),
            "last": np.where(right >= 0, after, end) - 1,
            "before": before,
            "before_trades": before_trades,
            "after": after,
            "after_trades": after_trades,
        }
    )


def _neighbour_bars(
    at: IntArray, slot: IntArray, trades: FloatArray
) -> tuple[IntArray, FloatArray]:
    if not len(slot):
        return np.full(len(at), -1, np.int64), np.full(len(at), np.nan)
    safe = np.maximum(at, 0)
    return np.where(at >= 0, slot[safe], -1), np.where(at >= 0, trades[safe], np.nan)


def _absent_symbols(symbols: list[str], slots: Slots) -> _BatchActivity:
    """Symbols that are expected and have no bar."""
    nothing = np.empty(0, np.int64)
    present = np.zeros((len(symbols), len(slots.dates), slots.buckets), np.int32)
    return _BatchActivity(
        symbols,
        present,
        np.zeros(len(slots.stamp), np.int64),
        _runs(nothing, nothing, np.empty(0), len(symbols), slots),
    )


# --- who is expected, and when everyone is silent -------------------------------------------------


def _expected_symbols(
    symbols: list[str], present: npt.NDArray[np.int32], lives: pl.DataFrame, dates: pl.Series
) -> BoolArray:
    """Whether a symbol is expected in a session: symbols by sessions."""
    named = set(lives["symbol"].to_list())
    traded = present.any(axis=2)
    alive: BoolArray = (
        np.maximum.accumulate(traded, axis=1)
        & np.array([symbol not in named for symbol in symbols], np.bool_)[:, None]
    )
    code = pl.DataFrame(
        {"symbol": symbols, "code": np.arange(len(symbols))},
        schema={"symbol": pl.String(), "code": pl.Int64()},
    )
    spans = lives.select("symbol", "first", "end").join(code, on="symbol", how="inner")
    first = dates.search_sorted(spans["first"].fill_null(date.min), side="left").to_numpy()
    end = dates.search_sorted(spans["end"].fill_null(date.max), side="left").to_numpy()
    steps = np.zeros((len(symbols), len(dates) + 1), np.int32)
    np.add.at(steps, (spans["code"].to_numpy(), first), 1)
    np.add.at(steps, (spans["code"].to_numpy(), np.maximum(first, end)), -1)
    return alive | (np.cumsum(steps, axis=1)[:, :-1] > 0)


def _market_wide_silence(
    active: IntArray, profile: ActivityProfile, alive: BoolArray
) -> npt.NDArray[np.int8]:
    """For each slot 1 if all symbols are silent together and profiles do not explain it, 2 if the
    whole session is empty, else 0.
    """
    slots = profile.slots
    verdict = np.zeros(len(active), np.int8)
    silent = np.flatnonzero((active == 0) & (np.arange(len(active)) >= slots.target))
    if not len(silent):
        return verdict
    breaks = np.flatnonzero((np.diff(silent) > 1) | (np.diff(slots.session[silent]) > 0)) + 1
    first, last = (
        silent[np.concatenate([[0], breaks])],
        silent[np.concatenate([breaks, [len(silent)]]) - 1],
    )
    session = slots.session[first]
    bounds = slots.session_bounds
    whole = (first == bounds[session]) & (last == bounds[session + 1] - 1)
    room = (bounds[session + 1] - bounds[session]).astype(np.float64)
    expected = alive.sum(axis=0)[session]
    chance = room * np.exp(
        (last - first + 1) * profile.joint_log_silence(session, slots.bucket[first], FEWEST_SYMBOLS)
    )
    chance = np.where(np.isnan(chance), _joint_silence_today(first, last, profile, alive), chance)
    kind = np.where(
        whole & (expected >= FEWEST_SYMBOLS), 2, np.where(~whole & (chance < NEVER), 1, 0)
    ).astype(np.int8)
    lengths = last - first + 1
    verdict[silent] = np.repeat(kind, lengths)
    return verdict


def _joint_silence_today(
    first: IntArray, last: IntArray, profile: ActivityProfile, alive: BoolArray
) -> FloatArray:
    """How often all symbols would be silent together, from the rest of the same session; nan for
    one symbol.

    It is used where the past is too short for a profile.
    """
    bounds, session = profile.slots.session_bounds, profile.slots.session[first]
    length, room = (
        (last - first + 1).astype(np.float64),
        (bounds[session + 1] - bounds[session]).astype(np.float64),
    )
    chance = np.empty(len(first))
    # these runs are few: not one symbol of the market has a bar there
    for at, day in enumerate(session):
        traded = alive[:, day] & profile.traded[:, day]
        share = 1.0 - profile.present[traded, day].sum(axis=1) / max(room[at] - length[at], 1.0)
        chance[at] = (
            expected_silences(np.prod(np.clip(share, 0.0, 1.0)), length[at], room[at])
            if traded.sum() >= FEWEST_SYMBOLS
            else np.nan
        )
    return chance


def _split_runs(
    runs: pl.DataFrame, slots: Slots, market_wide: npt.NDArray[np.int8], alive: BoolArray
) -> pl.DataFrame:
    """Runs split at the ends of sessions and of market-wide silences, without symbols that are not
    listed.
    """
    changes = (np.diff(slots.session, prepend=-1) != 0) | (np.diff(market_wide, prepend=0) != 0)
    segment = np.cumsum(changes) - 1
    starts = np.flatnonzero(changes)
    stops = np.append(starts[1:], len(segment)) - 1
    first, last = runs["first"].to_numpy(), runs["last"].to_numpy()
    pieces = segment[last] - segment[first] + 1
    place = np.repeat(np.arange(runs.height), pieces)
    inside = (
        np.arange(len(place))
        - np.repeat(np.cumsum(pieces) - pieces, pieces)
        + np.repeat(segment[first], pieces)
    )
    cut = runs[place].with_columns(
        first=np.maximum(first[place], starts[inside]), last=np.minimum(last[place], stops[inside])
    )
    cut = cut.with_columns(
        session=slots.session[cut["first"].to_numpy()],
        market_wide=market_wide[cut["first"].to_numpy()],
    )
    return cut.filter(pl.Series(alive[cut["code"].to_numpy(), cut["session"].to_numpy()]))
