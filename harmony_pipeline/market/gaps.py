"""Bars that the calendar expects and that are absent, as runs, each with its probable kind and the
evidence.

Most suppliers write no bar for a minute without trades. So an absent bar may be correct
(`no_trade`), a stop of trading (`halt`) or lost data (`missing`). Thin evidence gives `unknown`.
Evidence, in the order in which it is applied:

1. Every symbol is silent at once, which their activity profiles do not explain: a halt of the
venue,
   or for a whole session lost data.
2. The source writes a bar whether or not anything traded: an absent bar was lost. Or bars are made
   of the trades themselves: there was none, unless the tape has a hole.
3. The activity profile: from the share of bars that the symbol left out at this time of day in its
   past sessions follows how many times a session a silence of n bars is expected
   (`trading_activity.expected_silences`). Often enough means `no_trade`, hardly ever `missing`.
4. The neighbouring bars: trades cluster, about as a Poisson count whose rate is gamma distributed
   with shape s (a negative binomial). With k trades in the thinner of these bars a silence of n
   bars is expected about `slots * (1 + k / s)^(-s n)` times.
5. In an active symbol a silence of at least five minutes that ends in a burst of volume is how a
   halted stock reopens.

Profiles use sessions before the judged one, so that later bars change no verdict on an earlier
session. Outages must not enter a profile: sessions without any bar are not counted, nor is the most
silent tenth of the others. Only regular hours are judged, since silence is usual before the open
and after the close. Nothing is filled here.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import polars as pl

from harmony_pipeline.arrays import BoolArray, FloatArray, IntArray
from harmony_pipeline.frames import format_columns, join_latest, sort_rows
from harmony_pipeline.market.expected_bars import Slots
from harmony_pipeline.market.settings import GapSettings
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES, TIMEFRAME_SECONDS
from harmony_pipeline.market.trading_activity import ActivityProfile, expected_silences
from harmony_pipeline.schemas import GAPS, TIME

KINDS = ("missing", "no_trade", "halt", "unknown")
# times a session that such a silence comes by nature: once in 20 sessions is usual, once in 1000 is
# not
USUAL, NEVER = 0.05, 0.001
# a symbol that leaves out fewer bars than this is believed to trade when the bars beside the gap
# are busy
HABITUALLY_ACTIVE = 0.02
CLUSTERING = 3.0  # s above: minutes of the 99 stocks of January 2025 vary about as much
# the length of a limit-up limit-down pause (Reg NMS plan), the shortest single-stock halt
PAUSE_SECONDS = 300
REOPENING = 4.0  # times the volume before
_NOT_REFUSED = (
    "superseded",
    "duplicate",
    "conflicting_duplicate",
    "extended_hours_off",
    "outside_session",
)  # of these another row may be the bar, or none is expected
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
        _classify_runs(
            _with_evidence(cut, profile, symbols),
            slots,
            every_bar=every_bar,
            of_trades=of_trades,
        )
    )


def mark_refused_bars(gaps: pl.DataFrame, quarantine: pl.DataFrame) -> pl.DataFrame:
    """`gaps` with a note for bars that were received and refused.

    Such a bar is no silence, and a new request may bring the same row.
    """
    refused = (
        quarantine.filter(~pl.col("rule").is_in(_NOT_REFUSED))
        .select("symbol", "timestamp", "rule")
        .sort("symbol", "timestamp")
    )
    if gaps.is_empty() or refused.is_empty():
        return gaps
    spans = gaps.select("symbol", "first_missing", "last_missing").sort("symbol", "first_missing")
    inside = join_latest(refused, spans, "timestamp", "first_missing")
    inside = inside.filter(pl.col("timestamp") <= pl.col("last_missing"))
    counted = inside.group_by("symbol", "first_missing").agg(
        refusals=pl.col("timestamp").n_unique(), rules=pl.col("rule").unique().sort().str.join(", ")
    )
    joined = gaps.join(counted, on=["symbol", "first_missing"], how="left", maintain_order="left")
    found = pl.col("refusals").is_not_null()
    sentence = format_columns(
        "{} of these bars came and are in quarantine ({}); {}", "refusals", "rules", "evidence"
    )
    return joined.with_columns(
        kind=pl.when(found & pl.col("kind").is_in(["no_trade", "unknown"]))
        .then(pl.lit("missing"))
        .otherwise("kind"),
        evidence=pl.when(found).then(sentence).otherwise("evidence"),
    ).select(gaps.columns)


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


# --- what it is -----------------------------------------------------------------------------------


def _with_evidence(cut: pl.DataFrame, profile: ActivityProfile, symbols: list[str]) -> pl.DataFrame:
    """Each run with its usual silence, its neighbours' trades and the expected number of such
    silences.
    """
    slots, bounds = profile.slots, profile.slots.session_bounds
    first, last, code, session = (
        cut[name].to_numpy() for name in ("first", "last", "code", "session")
    )
    known, share = profile.of(code, session, slots.bucket[first])
    _, share_last = profile.of(code, session, slots.bucket[last])
    before = _neighbour_trades(cut, "before", first - 1, slots)
    after = _neighbour_trades(cut, "after", last + 1, slots)
    share = np.fmax(share, share_last)
    length, room = (
        (last - first + 1).astype(np.float64),
        (bounds[session + 1] - bounds[session]).astype(np.float64),
    )
    beside = np.fmin(before, after)
    stamp = pl.Series(slots.stamp).cast(TIME)
    return pl.DataFrame(
        {
            "symbol": pl.Series(symbols, dtype=pl.String).gather(code),
            "timeframe": (
                pl.Series([slots.timeframe], dtype=pl.String).new_from_index(0, cut.height)
            ),
            "date": slots.dates.gather(session),
            "first_missing": stamp.gather(first),
            "last_missing": stamp.gather(last),
            "bars": last - first + 1,
            "session_bars": bounds[session + 1] - bounds[session],
            "past_sessions": known,
            "usual_silence": share,
            "neighbour_trades": beside,
            "by_habit": expected_silences(share, length, room),
            "by_neighbours": room * np.power(1.0 + beside / CLUSTERING, -CLUSTERING * length),
            "reopened": after / np.where(before > 0.0, before, np.nan),
            "market_wide": cut["market_wide"],
        }
    ).with_columns(
        pl.col(
            "usual_silence", "neighbour_trades", "by_habit", "by_neighbours", "reopened"
        ).fill_nan(None)
    )


def _neighbour_trades(cut: pl.DataFrame, side: str, place: IntArray, slots: Slots) -> FloatArray:
    """Trades of the bar beside a run if it touches the run and is of the same session, else nan."""
    at = cut[side].to_numpy()
    same = slots.session[np.maximum(at, 0)] == cut["session"].to_numpy()
    return np.where((at >= 0) & (at == place) & same, cut[f"{side}_trades"].to_numpy(), np.nan)


class _Case(NamedTuple):
    """A run for which `condition` is true is of this kind."""

    condition: pl.Expr
    kind: str
    evidence: pl.Expr


def _classify_runs(
    runs: pl.DataFrame, slots: Slots, *, every_bar: bool, of_trades: bool
) -> pl.DataFrame:
    """Kind and evidence by the rules in the module's head, first match first."""
    cases = [
        *_cases_of_the_market(every_bar=every_bar, of_trades=of_trades),
        *_cases_with_profile(slots.timeframe),
        *_cases_without_profile(),
    ]
    kind, evidence = pl.lit("unknown"), _silence_and_neighbours()
    for case in reversed(cases):
        kind, evidence = (
            pl.when(case.condition).then(pl.lit(case.kind)).otherwise(kind),
            pl.when(case.condition).then(case.evidence).otherwise(evidence),
        )
    return runs.with_columns(kind=kind, evidence=evidence)


def _cases_of_the_market(*, every_bar: bool, of_trades: bool) -> list[_Case]:
    """Rules 1 and 2: all symbols are silent, the source never is, or the trades are known."""
    return [
        _Case(
            pl.col("market_wide") == 2,
            "missing",
            pl.lit("no symbol has a bar in this session, which the calendar expects"),
        ),
        _Case(
            pl.col("market_wide") == 1,
            "halt",
            pl.lit(
                "no symbol has a bar, at a time when that does not happen by chance: the venue"
                " stood still, or the source did"
            ),
        ),
        _Case(
            pl.lit(every_bar),
            "missing",
            pl.lit("the source writes every bar, traded or not, and this one is absent"),
        ),
        _Case(
            pl.lit(of_trades),
            "no_trade",
            pl.lit("bars are made of the trades themselves, and none ended one here"),
        ),
    ]


def _cases_with_profile(timeframe: str) -> list[_Case]:
    """Rules 3 to 5: what the symbol's past sessions and the bars beside the run say."""
    usual = _at_least("by_habit", USUAL)
    unusual, busy = _less_than("by_habit", NEVER), _less_than("by_neighbours", NEVER)
    active = pl.col("usual_silence") < HABITUALLY_ACTIVE
    pause = pl.col("bars") * TIMEFRAME_SECONDS[timeframe] >= PAUSE_SECONDS
    intraday = pl.lit(timeframe not in LONG_TIMEFRAMES)
    both = _silence_and_neighbours()
    reopening = format_columns(
        "{}; the next bar has {} times the trades of the one before, as after a pause",
        _usual_silence(),
        pl.col("reopened").round(1),
    )
    halted = unusual & pause & active & _at_least("reopened", REOPENING) & intraday
    return [
        _Case(usual & busy & active, "unknown", both),
        _Case(usual, "no_trade", both),
        _Case(halted, "halt", reopening),
        _Case(unusual & ~_at_least("by_neighbours", USUAL), "missing", both),
    ]


def _cases_without_profile() -> list[_Case]:
    """Too few past sessions for a profile: only the bars beside the run speak."""
    unknown, busy = pl.col("by_habit").is_null(), _less_than("by_neighbours", NEVER)
    beside = format_columns("{} past sessions, {}", "past_sessions", _neighbours())
    return [
        _Case(unknown & busy, "missing", beside),
        _Case(unknown, "unknown", format_columns("{}: too little to tell", beside)),
    ]


def _at_least(name: str, limit: float) -> pl.Expr:
    return (pl.col(name) >= limit).fill_null(value=False)


def _less_than(name: str, limit: float) -> pl.Expr:
    return (pl.col(name) < limit).fill_null(value=False)


def _silence_and_neighbours() -> pl.Expr:
    return format_columns("{}, {}", _usual_silence(), _neighbours())


def _usual_silence() -> pl.Expr:
    percent = format_columns("{}%", (100.0 * pl.col("usual_silence")).round(1))
    return format_columns("silent in {} of such bars of {} past sessions", percent, "past_sessions")


def _neighbours() -> pl.Expr:
    trades = pl.col("neighbour_trades")
    count = format_columns("about {} trades in the bar beside it", trades.round(0).cast(pl.Int64))
    return pl.when(trades.is_null()).then(pl.lit("no bar beside it")).otherwise(count)
