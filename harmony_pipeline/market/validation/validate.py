"""Which raw rows become bars.

Every raw row ends in `bars` or, exactly once, in `quarantine`. A row in quarantine has the first
rule that refused it and a message with its origin, what was found and what to do. A verdict that
removes a row uses the bar and what came before it, never what came after. A bar is known at its
end, and a rule that waited for the next bar would let the future choose the past. Rules that need a
later bar only warn, at that later bar. A cut of time into periods, or of symbols into batches,
changes no verdict and no bit. The state of the rules is `Validated.after`, which the next call
receives as `before`.

The rules are listed in `validation/catalog.py` and explained in docs/quality.md. One compiled loop
judges the rows (`validation/kernel.py`). Messages are written only for refused and odd rows.
tests/market/naive_quality.py defines the rules in plain Python, row by row.
"""

import math
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.arrays import ByteArray, FloatArray, IntArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.market.array_columns import (
    Piece,
    name_column,
    read_only,
    run_starts,
    split_chunks,
    split_in_halves,
)
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.ingest.versions import VALUE_ORDER, WITHDRAWN
from harmony_pipeline.market.session_parts import PARTS
from harmony_pipeline.market.session_position import minutes_of, sessions_of
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.timezone_detection import zone_hints
from harmony_pipeline.market.validation import symbol_state
from harmony_pipeline.market.validation.catalog import NAME, NOT_A_FAULT, NUMBER
from harmony_pipeline.market.validation.kernel import (
    KEPT,
    TAKEN_BACK,
    UNREAD,
    Rows,
    Verdicts,
    build_limits,
    check_order,
    judge_rows,
    select_rules,
)
from harmony_pipeline.market.validation.messages import VALUES, build_messages, row_origin
from harmony_pipeline.market.validation.symbol_state import Actions, pack_actions, unapplied_actions
from harmony_pipeline.schemas import BAR_STATE, BARS, QUALITY_WARNINGS, QUARANTINE, RAW_BARS

_TIES = ("symbol", "timestamp", "ingested_at", "origin", "row", "source")
_FEW = 50  # rows that are cut out of a batch one by one
# refused rows that a batch of bars is cut around instead of being copied without them
_FEW_REFUSED = 200
_WORTH_TWO_THREADS = 100_000  # rows
_ROOM = 4096  # findings; a batch with more is judged again with room for all
_JUDGED_COLUMNS = ("timestamp", "open", "high", "low", "close", "volume", "vwap")
_LONG_AGO = np.iinfo(np.int64).min
_FINDING = {
    "place": pl.Float64(),
    "number": pl.Float64(),
    "measure": pl.Float64(),
    "reference": pl.Float64(),
    "other": pl.Float64(),
}


@dataclass(frozen=True)
class Validated:
    """`bars`, `quarantine`, `warnings` (schemas.QUALITY_WARNINGS), `after` (schemas.BAR_STATE, one
    row a symbol) and `counts`.

    counts: rows_raw, rows_bars, rows_quarantine, quarantined_fraction (without rows that were
    switched off or mended), rules (name -> rows in quarantine), warnings (name -> rows) and notes
    (sentences).
    """

    bars: pl.DataFrame
    quarantine: pl.DataFrame
    warnings: pl.DataFrame
    after: pl.DataFrame
    counts: dict[str, Any]


def validate(
    raw: pl.DataFrame,
    before: pl.DataFrame,
    actions: pl.DataFrame,
    calendar: Calendar,
    timeframe: str,
    settings: MarketSettings,
) -> Validated:
    """Sort raw rows into bars and quarantine, and add session and adjustment factor to the bars.

    `raw` has the columns of schemas.RAW_BARS, whole symbols in any order. `before` is `after` of
    the call for the time before. It may be empty, and may be a frame of last regular closes alone:
    symbol, close, adjustment_factor, timestamp.
    """
    rows, begin, parts, repeated = _sort_and_split(_complete_columns(raw))
    symbols = rows["symbol"].gather(begin[:-1])
    known = _conform_states(before, calendar, timeframe)
    states = _states_of(known, symbols)
    idle = states[:, symbol_state.IDLE_BARS].copy()
    packed = pack_actions(actions, symbols)
    verdicts, findings = _judge_symbols(
        rows,
        begin,
        parts,
        _versions(rows, parts, repeated),
        packed,
        states,
        calendar,
        timeframe,
        settings,
    )
    findings = findings.with_columns(pl.col("place", "number", "other").cast(pl.Int64))

    hints = _zone_hints(rows, verdicts, calendar, timeframe, settings)
    messages = build_messages(calendar, timeframe, settings.quality, hints)
    bars = _bars(rows, verdicts)
    quarantine = _quarantine(rows, verdicts, findings, messages)
    problems = unapplied_actions(packed)
    unapplied = _unapplied_warnings(rows, problems, settings)
    warnings = _warnings(rows, verdicts, findings, messages, hints, unapplied)
    assert bars.height + quarantine.height == raw.height, "a raw row was lost or counted twice"
    after = _merge_states(known, symbols, states)
    silent = (
        _idle_notes(symbols, states, idle, warnings)
        if settings.quality.severity("zero_volume", "warn") == "warn"
        else []
    )
    notes = [*problems["note"], *hints.values(), *silent]
    return Validated(
        bars,
        quarantine,
        warnings,
        after,
        _counts(raw.height, bars.height, quarantine, warnings, notes),
    )


def _zone_hints(
    rows: pl.DataFrame,
    verdicts: Verdicts,
    calendar: Calendar,
    timeframe: str,
    settings: MarketSettings,
) -> dict[str, str]:
    """Suspected time zones by origin, from current rows. Withdrawn and superseded rows were read
    otherwise.
    """
    if settings.quality.severity("wrong_time_zone", "warn") == "off":
        return {}
    part, before = (
        verdicts.part,
        (verdicts.rule == NUMBER["withdrawn"]) | (verdicts.rule == NUMBER["superseded"]),
    )
    if before.any():
        rows, part = rows.filter(pl.Series(~before)), part[~before]
    return zone_hints(rows, part, calendar, timeframe, settings.files) if rows.height else {}


# --- before the kernel ----------------------------------------------------------------------------


def _complete_columns(raw: pl.DataFrame) -> pl.DataFrame:
    """All columns of RAW_BARS; optional columns that a source left out are null."""
    missing = [
        name
        for name, column in RAW_BARS.columns.items()
        if name not in raw.columns and not (column.nullable or name == "ingested_at")
    ]
    if missing:
        raise DataError(
            f"raw bars lack the column(s) {', '.join(missing)}; they have {', '.join(raw.columns)}:"
            " a source must give every column of schemas.RAW_BARS"
        )
    whole = raw
    if dict(raw.schema) != RAW_BARS.dtypes:
        whole = raw.select(
            pl.col(name).cast(dtype) if name in raw.columns else pl.lit(None, dtype).alias(name)
            for name, dtype in RAW_BARS.dtypes.items()
        )
    # A price or volume that is no number is refused as missing. In optional columns it becomes
    # null.
    return _null_non_finite(
        whole, [name for name in ("trade_count", "vwap") if not _all_finite(whole[name])]
    )


def _all_finite(values: pl.Series) -> bool:
    """Whether no value is NaN or infinite. A finite sum proves it without a mask."""
    return math.isfinite(values.sum()) or bool(values.is_finite().all())


def _null_non_finite(rows: pl.DataFrame, names: Sequence[str]) -> pl.DataFrame:
    """`rows` with NaN and infinity as null."""
    return (
        rows.with_columns(pl.when(pl.col(name).is_finite()).then(name) for name in names)
        if names
        else rows
    )


def _sort_and_split(rows: pl.DataFrame) -> tuple[pl.DataFrame, IntArray, list[Piece], int]:
    """Sorted rows, the start of each symbol, their pieces, and the number of repeated starts.

    Rows of the lake are already sorted, so the order is checked first.
    """
    begin = run_starts(rows["symbol"])
    parts = split_chunks(rows, begin, _JUDGED_COLUMNS)
    ordered, repeated, cut = _check_chunks(parts)
    names = rows["symbol"].gather(begin[:-1])
    if not (ordered and bool((names.slice(1) > names.head(-1)).all())):
        rows = rows.sort(_TIES, maintain_order=True)
        begin = run_starts(rows["symbol"])
        parts = split_chunks(rows, begin, _JUDGED_COLUMNS, whole=True)
        repeated = _check_chunks(parts)[1]
    elif cut:
        parts = split_chunks(rows, begin, _JUDGED_COLUMNS, whole=True)
    return rows, begin, parts, repeated


def _check_chunks(parts: Sequence[Piece]) -> tuple[bool, int, bool]:
    """Whether every symbol is in time order, how many rows repeat a start, and whether a repetition
    spans two pieces.
    """
    ordered, repeated, cut, last = True, 0, False, _LONG_AGO
    for part in parts:
        stamps, before = part.columns["timestamp"], last if part.goes_on else _LONG_AGO
        in_order, again = check_order(part.begin, stamps, before)
        cut = cut or int(stamps[0]) == before
        ordered, repeated, last = ordered and in_order, repeated + again, int(stamps[-1])
    return ordered, repeated, cut


def _repeated_rows(part: Piece) -> IntArray:
    """Rows that share symbol and start with the row before."""
    again = part.columns["timestamp"][1:] == part.columns["timestamp"][:-1]
    again[part.begin[1:-1] - 1] = False  # the first row of a symbol repeats nothing
    return np.flatnonzero(again) + (part.first + 1)


def _versions(
    rows: pl.DataFrame, parts: Sequence[Piece], repeated: int
) -> tuple[IntArray, IntArray, IntArray]:
    """(ingested, rank, twin) for `kernel.Rows`; empty where no two rows share symbol and time.

    Rank orders versions by when they were learned, then by values. The origin only breaks ties
    between rows with the same values, which chooses the row that a message names and never a value.
    """
    if not repeated:
        return np.empty(0, np.int64), np.empty(0, np.int64), np.empty(0, np.int64)
    identity = ["ingested_at", *VALUE_ORDER]
    later = np.concatenate([_repeated_rows(part) for part in parts])
    places = np.union1d(later - 1, later)
    versions = _rows_at(rows, places).select(
        *identity, "origin", "row", "source", place=pl.Series(places)
    )
    # nulls come first: nothing is lowest
    versions = versions.sort(*identity, "origin", "row", "source", maintain_order=True)
    changes = versions.select(
        pl.any_horizontal(
            pl.col(name).ne_missing(pl.col(name).shift()) for name in identity
        ).cum_sum()
    )
    place, rank, twin = (
        versions["place"].to_numpy(),
        np.zeros(rows.height, np.int64),
        np.zeros(rows.height, np.int64),
    )
    rank[place], twin[place] = np.arange(place.size), changes.to_series().to_numpy()
    return rows["ingested_at"].to_physical().fill_null(0).to_numpy(), rank, twin


def _conform_states(before: pl.DataFrame, calendar: Calendar, timeframe: str) -> pl.DataFrame:
    """`before` as BAR_STATE rows.

    A frame of closes alone, or a state of an earlier version of the code, starts with empty
    windows.
    """
    whole = BAR_STATE.conform(before)
    if not whole.height:
        return whole
    fits = (whole["state"].list.len() == symbol_state.WIDTH).fill_null(value=False)
    if fits.all():
        return whole
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


def _states_of(known: pl.DataFrame, symbols: pl.Series) -> FloatArray:
    """The state of each symbol of the batch, in the batch's order."""
    states = symbol_state.empty_states(symbols.len())
    if not known.height:
        return states
    places = pl.DataFrame({"symbol": symbols, "segment": np.arange(symbols.len())}).join(
        known, on="symbol", how="inner"
    )
    if places.height:
        states[places["segment"].to_numpy()] = (
            places["state"].list.to_array(symbol_state.WIDTH).to_numpy()
        )
    return states


def _judge_symbols(
    rows: pl.DataFrame,
    begin: IntArray,
    parts: Sequence[Piece],
    versions: tuple[IntArray, IntArray, IntArray],
    actions: Actions,
    states: FloatArray,
    calendar: Calendar,
    timeframe: str,
    settings: MarketSettings,
) -> tuple[Verdicts, pl.DataFrame]:
    """Verdicts by row, and the findings: row, rule, measure, reference, other. `states` is updated
    in place.
    """
    ingested, rank, twin = (read_only(column) for column in versions)
    selection = select_rules(
        settings, rows["symbol"].gather(begin[:-1]).to_list(), calendar, timeframe
    )
    rules = (
        settings.extended_hours,
        minutes_of(timeframe),
        sessions_of(calendar.for_timeframe(timeframe)),
        build_limits(settings.quality),
    )
    verdicts = Verdicts(
        np.empty(rows.height, np.uint8), np.empty(rows.height, np.uint8), np.empty(rows.height)
    )
    defects = read_only(_defects(rows["defect"]))
    earlier = states.copy()

    def judge_chunks(some: Sequence[Piece], room: int = _ROOM) -> FloatArray:
        """Findings of some pieces."""
        findings, found = np.empty((room, len(_FINDING))), 0
        for part in some:
            segments, mine = part.segments, part.rows
            found += judge_rows(
                Rows(
                    begin=part.begin,
                    defect=defects[mine],
                    ingested=ingested[mine],
                    rank=rank[mine],
                    twin=twin[mine],
                    **part.columns,
                ),
                selection.of(segments),
                *rules,
                actions.begin[segments.start : segments.stop + 1],
                actions.whole,
                actions.real,
                states[segments],
                verdicts.of(mine),
                findings[found:],
                part.first,
            )
        if found <= room:
            return findings[:found]
        touched = slice(some[0].segments.start, some[-1].segments.stop)
        states[touched] = earlier[touched]
        return judge_chunks(some, found)

    if rows.height < _WORTH_TWO_THREADS:
        return verdicts, pl.DataFrame(judge_chunks(parts), schema=_FINDING)
    with ThreadPoolExecutor(2) as pool:  # the kernel releases the GIL, and symbols are independent
        return verdicts, pl.DataFrame(
            np.concatenate(list(pool.map(judge_chunks, split_in_halves(parts, begin)))),
            schema=_FINDING,
        )


def _defects(messages: pl.Series) -> ByteArray:
    """Each row's defect as a code: unreadable, withdrawing or none; empty where no row has one."""
    if messages.null_count() == len(messages):
        return np.empty(0, np.uint8)
    back = (messages == WITHDRAWN).fill_null(value=False)
    number = pl.when(back).then(TAKEN_BACK).when(messages.is_not_null()).then(UNREAD).otherwise(0)
    marks: ByteArray = pl.select(number.cast(pl.UInt8)).to_series().to_numpy()
    return marks


# --- after the kernel -----------------------------------------------------------------------------


def _bars(rows: pl.DataFrame, verdicts: Verdicts) -> pl.DataFrame:
    """The kept rows with session and adjustment factor, in key order."""
    made = {
        "session": name_column(verdicts.part, ("", *PARTS[1:])),
        "adjustment_factor": pl.Series(verdicts.factor),
    }  # a row outside every session is no bar
    # Columns side by side, as they lie: a select would bring all of them to the same chunks, which
    # copies every value.
    whole = pl.DataFrame(
        [made[name].alias(name) if name in made else rows[name] for name in BARS.columns]
    )
    refused = np.flatnonzero(verdicts.rule != KEPT)
    if not refused.size:
        return whole
    if refused.size > _FEW_REFUSED:
        return whole.filter(pl.Series(verdicts.rule == KEPT))
    # the stretches between a few refused rows are kept where they lie
    edges = [-1, *refused.tolist(), whole.height]
    split_chunks = [
        whole[before + 1 : after] for before, after in pairwise(edges) if after > before + 1
    ]
    return pl.concat(split_chunks, rechunk=False) if split_chunks else whole.clear()


def _quarantine(
    rows: pl.DataFrame, verdicts: Verdicts, findings: pl.DataFrame, messages: dict[str, pl.Expr]
) -> pl.DataFrame:
    """Every refused row with its rule and message."""
    places = np.flatnonzero(verdicts.rule != KEPT)
    if not places.size:
        return QUARANTINE.empty()
    refused = _with_session(_null_non_finite(_rows_at(rows, places), VALUES), verdicts.part[places])
    refused = refused.with_columns(
        place=pl.Series(places), number=pl.Series(verdicts.rule[places].astype(np.int64))
    )
    refused = refused.join(findings, on=["place", "number"], how="left", maintain_order="left")
    kept = _rows_at(rows, refused["other"].fill_null(0).to_numpy()).lazy()
    beside = kept.select(
        *(pl.col(name).alias(f"{name}_kept") for name in (*VALUES, "defect")),
        row_origin().alias("kept_at"),
        pl.col("ingested_at").alias("kept_learned"),
    )
    broken = {number: NAME[number] for number in np.unique(verdicts.rule[places]).tolist()}
    reason = pl.coalesce(
        pl.when(pl.col("number") == number).then(messages[rule]) for number, rule in broken.items()
    )
    rule = pl.col("number").replace_strict(broken, return_dtype=pl.String)
    found = pl.concat([refused.lazy(), beside], how="horizontal").select(
        "symbol", "timeframe", "timestamp", "source", "origin", "row", rule=rule, reason=reason
    )
    return QUARANTINE.conform(
        found.sort("symbol", "timestamp", "origin", "row", "rule", "reason").collect(
            engine="in-memory"
        )
    )


def _unapplied_warnings(
    rows: pl.DataFrame, problems: pl.DataFrame, settings: MarketSettings
) -> pl.DataFrame:
    """Warnings of corporate actions that were due and could not be applied, at the bar where that
    was known.
    """
    if not problems.height or settings.quality.severity("action_not_applied", "warn") == "off":
        return QUALITY_WARNINGS.empty()
    here = _rows_at(rows, problems["place"].to_numpy()).select("symbol", "timeframe", "timestamp")
    rows = here.with_columns(
        rule=pl.lit("action_not_applied"), measure=pl.lit(None, pl.Float64), reason=problems["note"]
    )
    return QUALITY_WARNINGS.conform(rows)


def _idle_notes(
    symbols: pl.Series, states: FloatArray, before: FloatArray, warnings: pl.DataFrame
) -> list[str]:
    """A note for each symbol of which more bars have no volume than are listed.

    Symbols without any volume have one note together.
    """
    idle = (states[:, symbol_state.IDLE_BARS] - before).astype(np.int64)
    if not idle.any():
        return []
    listed = warnings.filter(pl.col("rule") == "zero_volume").group_by("symbol").len("listed")
    counts = pl.DataFrame(
        {
            "symbol": symbols,
            "idle": idle,
            "volumes": states[:, symbol_state.BARS] > states[:, symbol_state.IDLE_BARS],
        }
    )
    counts = (
        counts.filter("volumes", pl.col("idle") > 0)
        .join(listed, on="symbol", how="left")
        .with_columns(pl.col("listed").fill_null(0))
    )
    short = counts.filter(pl.col("idle") > pl.col("listed")).sort("symbol")
    return [
        f"{symbol}: {idle} bars have no volume, {listed} of them are listed under zero_volume"
        for symbol, idle, _, listed in short.iter_rows()
    ]


def _warnings(
    rows: pl.DataFrame,
    verdicts: Verdicts,
    findings: pl.DataFrame,
    messages: dict[str, pl.Expr],
    hints: dict[str, str],
    unapplied: pl.DataFrame,
) -> pl.DataFrame:
    """Accepted bars that a rule reports, the first row of each file with suspicious stamps, and
    unapplied actions.
    """
    noted = (
        findings.filter(pl.Series(verdicts.rule[findings["place"].to_numpy()] == KEPT))
        if findings.height
        else findings
    )
    if not (noted.height or hints or unapplied.height):
        return QUALITY_WARNINGS.empty()
    places = noted["place"].to_numpy()
    odd = _with_session(_rows_at(rows, places), verdicts.part[places])
    odd = pl.concat([odd, noted.select("number", "measure", "reference")], how="horizontal")
    found = [
        _warning_rows(odd.filter(pl.col("number") == number), NAME[number], messages)
        for number in odd["number"].unique().sort()
    ]
    if hints:
        suspected = rows.filter(pl.col("origin").fill_null("").is_in(list(hints))).unique(
            "origin", keep="first", maintain_order=True
        )
        found.append(
            _warning_rows(
                suspected.with_columns(measure=pl.lit(math.nan)), "wrong_time_zone", messages
            )
        )
    return QUALITY_WARNINGS.conform(pl.concat([unapplied, *found]))


def _warning_rows(rows: pl.DataFrame, rule: str, messages: dict[str, pl.Expr]) -> pl.DataFrame:
    return rows.select(
        "symbol",
        "timeframe",
        "timestamp",
        rule=pl.lit(rule),
        measure=pl.col("measure").fill_nan(None),
        reason=messages[rule],
    )


def _rows_at(rows: pl.DataFrame, places: IntArray) -> pl.DataFrame:
    """Some rows of a frame of many chunks. A few rows are sliced, since a gather first joins the
    chunks.
    """
    if places.size > _FEW:
        return rows[places]
    return pl.concat(
        [rows.clear(), *(rows.slice(place, 1) for place in places.tolist())], rechunk=True
    )


def _with_session(rows: pl.DataFrame, part: Any) -> pl.DataFrame:
    return rows.with_columns(session=pl.Series([PARTS[number] for number in part], dtype=pl.String))


def _merge_states(known: pl.DataFrame, symbols: pl.Series, states: FloatArray) -> pl.DataFrame:
    """The state of every symbol that ever had a bar."""
    seen = states[:, symbol_state.SEEN] != 0.0
    mine = _state_rows(symbols.filter(pl.Series(seen)), states[seen])
    if not known.height:
        return mine
    others = known.join(mine.select("symbol"), on="symbol", how="anti")
    return BAR_STATE.conform(pl.concat([others, mine])) if others.height else mine


def _state_rows(symbols: pl.Series, states: FloatArray) -> pl.DataFrame:
    stamp = np.where(
        np.isnan(states[:, symbol_state.CLOSE_STAMP]),
        states[:, symbol_state.LAST_STAMP],
        states[:, symbol_state.CLOSE_STAMP],
    )
    columns = {
        "symbol": symbols,
        "timestamp": pl.Series(stamp.astype(np.int64)),
        "close": pl.Series(states[:, symbol_state.CLOSE]).fill_nan(None),
        "adjustment_factor": states[:, symbol_state.FACTOR],
        "state": pl.Series(states, dtype=pl.Array(pl.Float64(), symbol_state.WIDTH)),
    }
    return BAR_STATE.conform(pl.DataFrame(columns)) if symbols.len() else BAR_STATE.empty()


def _counts(
    raw: int, kept: int, quarantine: pl.DataFrame, warnings: pl.DataFrame, notes: list[str]
) -> dict[str, Any]:
    by_rule, warned = (
        dict(sorted(Counter(frame["rule"]).items())) for frame in (quarantine, warnings)
    )
    faults = sum(count for rule, count in by_rule.items() if rule not in NOT_A_FAULT)
    return {
        "rows_raw": raw,
        "rows_bars": kept,
        "rows_quarantine": quarantine.height,
        "quarantined_fraction": faults / raw if raw else 0.0,
        "rules": by_rule,
        "warnings": warned,
        "notes": notes,
    }
