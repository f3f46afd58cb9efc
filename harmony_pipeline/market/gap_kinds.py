"""What a run of absent bars probably is, and the evidence.

Most suppliers write no bar for a minute without trades. So an absent bar may be correct
(`no_trade`), a stop of trading (`halt`) or lost data (`missing`). Thin evidence gives `unknown`.
Evidence, in the order in which it is applied:

1. Every symbol is silent at once, which their activity profiles do not explain: a halt of the
   venue, or for a whole session lost data.
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

A bar that came and was refused is no silence (`mark_refused_bars`).
"""

from functools import cache
from typing import NamedTuple

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.frames import format_columns, join_latest
from harmony_pipeline.market.expected_bars import Slots
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES, TIMEFRAME_SECONDS
from harmony_pipeline.market.trading_activity import ActivityProfile, expected_silences
from harmony_pipeline.schemas import TIME

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
    "closed_market_filler",
)  # of these another row may be the bar, or none is expected


def with_evidence(cut: pl.DataFrame, profile: ActivityProfile, symbols: list[str]) -> pl.DataFrame:
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
            "symbol": pl.Series(symbols, dtype=pl.String)[code],
            "timeframe": pl.Series([slots.timeframe] * cut.height, dtype=pl.String),
            "date": slots.dates[session],
            "first_missing": stamp[first],
            "last_missing": stamp[last],
            "bars": last - first + 1,
            "session_bars": bounds[session + 1] - bounds[session],
            "past_sessions": known,
            **{
                name: pl.Series(values, nan_to_null=True)
                for name, values in {
                    "usual_silence": share,
                    "neighbour_trades": beside,
                    "by_habit": expected_silences(share, length, room),
                    "by_neighbours": (
                        room * np.power(1.0 + beside / CLUSTERING, -CLUSTERING * length)
                    ),
                    "reopened": after / np.where(before > 0.0, before, np.nan),
                }.items()
            },
            "market_wide": cut["market_wide"],
        }
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


def classify_runs(
    runs: pl.DataFrame, slots: Slots, *, every_bar: bool, of_trades: bool
) -> pl.DataFrame:
    """Kind and evidence by the rules in the module's head, first match first."""
    kind, evidence = _kind_and_evidence(slots.timeframe, every_bar, of_trades)
    return runs.with_columns(kind=kind, evidence=evidence)


@cache  # making the expressions takes longer than the few runs of a period
def _kind_and_evidence(timeframe: str, every_bar: bool, of_trades: bool) -> tuple[pl.Expr, pl.Expr]:
    """The rules as two expressions, of the kind and of the evidence."""
    cases = [
        *_cases_of_the_market(every_bar=every_bar, of_trades=of_trades),
        *_cases_with_profile(timeframe),
        *_cases_without_profile(),
    ]
    kind: pl.Expr = pl.lit("unknown")
    evidence = _silence_and_neighbours()
    for case in reversed(cases):
        kind, evidence = (
            pl.when(case.condition).then(pl.lit(case.kind)).otherwise(kind),
            pl.when(case.condition).then(case.evidence).otherwise(evidence),
        )
    return kind, evidence


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
