"""What received rows add to the raw rows that are known, and how they are kept.

Raw rows are never overwritten. A row that repeats a known version is merged and counted; a row with
another value is kept as a new version with the moment it was learned, and the version learned last
is the one that becomes a bar. Nothing here looks at file names or at the order of rows, so
permuting, repeating or splitting the files of one ingest gives the same versions.

One value per bar is what a venue has, and a folder of files may hold several. Hence the rule, for
one symbol and timestamp, with K the versions known, w the winning one of them, and R what the
source says now:

    new versions = R without K                        a value never received before
                 + the winner of R, if w is not in R and nothing is new      the source went back to
                 an earlier value

Withdrawn rows. A source that is read whole (`Whole`: files) says everything that it has. What it
gave before and gives no more, because a file was corrected, renamed or removed or is read under
other settings, is withdrawn:

    R is empty            a row of nulls whose `defect` is WITHDRAWN is learned: there is no bar any
    more R has rows, and a row of w's moment is not in R     all of R is learned again, so that the
    row that is gone counts no more

The history stays: what was known before is still there, with the moment when it was learned.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime
from itertools import chain

import numpy as np
import polars as pl

from harmony_pipeline.frames import sort_rows
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.lake.row_groups import alphabet_ranges
from harmony_pipeline.market.sources.base import SOURCE_BAR_DTYPES
from harmony_pipeline.schemas import RAW_BARS

KEY = ("symbol", "timestamp")
VALUES = ("timeframe", "open", "high", "low", "close", "volume", "trade_count", "vwap", "defect")
# Of several values learned at once the last in this order wins: the one that counted more trades
# (late prints), then by price; nothing is lowest.
VALUE_ORDER = ("volume", "trade_count", "vwap", "close", "open", "high", "low")
WITHDRAWN = "withdrawn: the source has no such row any more"  # the `defect` of a row that says so


@dataclass(frozen=True)
class Whole:
    """Received rows are everything that the source `name` has in `start <= timestamp < end`."""

    name: str
    start: datetime
    end: datetime


@dataclass(frozen=True)
class Merged:
    """What one ingest adds: `rows` are new versions in the columns of RAW_BARS.

    received = new + repeated + heard, always.
    """

    rows: pl.DataFrame
    received: int
    new: int
    """received rows that became versions"""
    repeated: int
    """received rows that say what another received row says"""
    heard: int
    """received rows that say what was known before"""
    corrected: int = 0
    """new versions of bars that were known before"""
    withdrawn: dict[str, int] = field(default_factory=dict)
    """by origin, rows that were given before and are given no more"""


@dataclass(frozen=True)
class Kept:
    """What became of one partition's received rows: the counts of `Merged`, added up over frames,
    and `rows`, the raw rows of the partition afterwards.
    """

    received: int = 0
    new: int = 0
    repeated: int = 0
    heard: int = 0
    corrected: int = 0
    rows: int = 0
    withdrawn: Counter[str] = field(default_factory=Counter)

    def __add__(self, other: "Kept") -> "Kept":
        return Kept(
            self.received + other.received,
            self.new + other.new,
            self.repeated + other.repeated,
            self.heard + other.heard,
            self.corrected + other.corrected,
            self.rows + other.rows,
            self.withdrawn + other.withdrawn,
        )


def keep_versions(
    lake: Lake,
    partition: str,
    received: Iterable[pl.DataFrame],
    now: datetime,
    source: str,
    whole: Whole | None = None,
) -> Kept:
    """Add what is new of `received` to one partition of raw bars, as learned `now` from `source`
    (an identity); with `whole`, withdraw what it gives no more.

    The frames (columns of a source, rows of this partition) hold whole symbols in ascending order.
    Several of them are merged one after the other, so that memory holds one frame and what is known
    of its symbols.
    """
    frames = iter(received)
    first = next(frames, pl.DataFrame(schema=SOURCE_BAR_DTYPES))
    second = next(frames, None)
    kept, made_from = Kept(), {"source": source}

    def grown(known: pl.DataFrame, frame: pl.DataFrame) -> pl.DataFrame:
        nonlocal kept
        one = merge_versions(known, frame, now, whole)
        kept += Kept(
            one.received,
            one.new,
            one.repeated,
            one.heard,
            one.corrected,
            known.height + one.rows.height,
            Counter(one.withdrawn),
        )
        return pl.concat([known, one.rows]) if one.rows.height else known

    def change(known: pl.DataFrame) -> pl.DataFrame:
        nonlocal kept
        kept = Kept()  # it is called again where the lock was lost
        return grown(known, first)

    if second is None:
        lake.update("raw_bars", partition, change, made_from)
        return kept
    with lake.updating("raw_bars", partition, made_from) as out:
        for frame, symbols in alphabet_ranges(chain([first, second], frames)):
            with lake.reading("raw_bars", [partition]):
                known = (
                    lake.scan("raw_bars", [partition]).filter(symbols).collect(engine="in-memory")
                )
            out.append(grown(known, frame))
    return kept


def merge_versions(
    known: pl.DataFrame, received: pl.DataFrame, now: datetime, whole: Whole | None = None
) -> Merged:
    """The rows to add to `known` (RAW_BARS, any order) after `received` (RAW_BARS without
    ingested_at, any order), learned at `now`.

    With `whole`, what that source gave before and gives no more is withdrawn.
    """
    distinct = _drop_repeats(received)
    repeated = received.height - distinct.height
    if not known.height:
        return Merged(_mark_learned(distinct, now), received.height, distinct.height, repeated, 0)
    keys = distinct.lazy().select(KEY).unique()
    columns = [*KEY, *VALUES, "ingested_at", "source"]
    beside = known.lazy().select(columns).join(keys, on=KEY, how="semi").collect(engine="in-memory")
    added = distinct.join(beside, on=[*KEY, *VALUES], how="anti", nulls_equal=True)
    again = (
        _find_reverts(beside, distinct, added)
        if whole is None
        else _find_removals(beside, distinct, whole)
    )
    added = pl.concat([added, again.join(added, on=[*KEY, *VALUES], how="anti", nulls_equal=True)])
    corrected = added.join(beside.select(KEY).unique(), on=KEY, how="semi").height
    heard = distinct.height - added.height
    gone, withdrawn = (
        (added.clear(), {}) if whole is None else _find_withdrawals(known, distinct, whole)
    )
    rows = _mark_learned(pl.concat([added, gone]), now)
    return Merged(rows, received.height, added.height, repeated, heard, corrected, withdrawn)


def latest_versions(rows: pl.DataFrame) -> pl.DataFrame:
    """The winning row of each symbol and timestamp, sorted by them; columns as given (RAW_BARS, any
    order).
    """
    return sort_by_precedence(rows).unique(KEY, keep="last", maintain_order=True)


def sort_by_precedence(rows: pl.DataFrame) -> pl.DataFrame:
    """Sorted by symbol and timestamp, the winner of each last: learned last, then a readable one,
    then by VALUE_ORDER.
    """
    by = [
        *KEY,
        *(["ingested_at"] if "ingested_at" in rows.columns else []),
        "_readable",
        *VALUE_ORDER,
        "timeframe",
        "defect",
    ]
    return (
        rows.with_columns(_readable=pl.col("defect").is_null())
        .sort(by, nulls_last=False, maintain_order=True)
        .drop("_readable")
    )


def _drop_repeats(received: pl.DataFrame) -> pl.DataFrame:
    """One row a value; of equal ones the first by origin and row, so that a file read twice is
    named as it was read once.
    """
    rows = sort_rows(received, KEY)
    again = pl.all_horizontal(pl.col(name) == pl.col(name).shift() for name in KEY).fill_null(
        value=False
    )
    shared = rows.select(shared=again | again.shift(-1, fill_value=False))["shared"]
    if not shared.any():
        return rows
    # Only rows that share their bar are compared by value: they are few, and comparing all of them
    # would cost as much as the rest of the import.
    few = (
        rows.with_row_index("place").filter(shared).sort(*KEY, "origin", "row", maintain_order=True)
    )
    told_again = few.filter(
        ~few["place"].is_in(
            few.unique([*KEY, *VALUES], keep="first", maintain_order=True)["place"].implode()
        )
    )
    stays = np.ones(rows.height, np.bool_)
    stays[told_again["place"].to_numpy()] = False
    return rows.filter(pl.Series(stays))


def _find_reverts(
    beside: pl.DataFrame, distinct: pl.DataFrame, unheard: pl.DataFrame
) -> pl.DataFrame:
    """Received winners of bars whose known winner the source no longer says, where nothing unheard
    came.
    """
    winners = latest_versions(beside)
    still_said = distinct.select(*KEY, *VALUES).join(
        winners.select(*KEY, *VALUES), on=[*KEY, *VALUES], how="semi", nulls_equal=True
    )
    silent = winners.join(still_said.select(KEY), on=KEY, how="anti").join(
        unheard.select(KEY).unique(), on=KEY, how="anti"
    )
    return (
        latest_versions(distinct.join(silent.select(KEY), on=KEY, how="semi"))
        if silent.height
        else distinct.clear()
    )


def _find_removals(beside: pl.DataFrame, distinct: pl.DataFrame, whole: Whole) -> pl.DataFrame:
    """All received rows of bars of which the source gave a row last that it gives no more."""
    newest = pl.col("ingested_at") == pl.col("ingested_at").max().over(KEY)
    last = beside.filter(newest & (pl.col("source") == whole.name))
    gone = last.join(distinct, on=[*KEY, *VALUES], how="anti", nulls_equal=True)
    return (
        distinct.join(gone.select(KEY).unique(), on=KEY, how="semi")
        if gone.height
        else distinct.clear()
    )


def _find_withdrawals(
    known: pl.DataFrame, distinct: pl.DataFrame, whole: Whole
) -> tuple[pl.DataFrame, dict[str, int]]:
    """A row that withdraws for each bar that the source gave last and gives no more, and from which
    origins those bars were.

    Where another source gave the bar, its last row is learned again instead.
    """
    mine = (pl.col("source") == whole.name) & pl.col("timestamp").is_between(
        whole.start, whole.end, closed="left"
    )
    here = known.lazy().filter(mine).select(KEY).unique()
    absent = here.join(distinct.lazy().select(KEY).unique(), on=KEY, how="anti").collect(
        engine="in-memory"
    )
    if not absent.height:
        return distinct.clear(), {}
    versions = known.join(absent, on=KEY, how="semi")
    last = latest_versions(versions).filter(
        (pl.col("source") == whole.name) & pl.col("defect").ne_missing(WITHDRAWN)
    )
    others = versions.filter(
        (pl.col("source") != whole.name) & pl.col("defect").ne_missing(WITHDRAWN)
    )
    instead = latest_versions(others.join(last.select(KEY), on=KEY, how="semi"))
    marks = last.join(instead.select(KEY), on=KEY, how="anti").with_columns(
        *(pl.lit(None, RAW_BARS.dtypes[name]).alias(name) for name in VALUE_ORDER),
        defect=pl.lit(WITHDRAWN),
    )
    origins = last.group_by(pl.col("origin").fill_null(whole.name)).len().sort("origin")
    return pl.concat([marks, instead]).select(distinct.columns), dict(origins.iter_rows())


def _mark_learned(rows: pl.DataFrame, now: datetime) -> pl.DataFrame:
    return RAW_BARS.conform(
        rows.with_columns(ingested_at=pl.lit(now).cast(RAW_BARS.dtypes["ingested_at"]))
    )
