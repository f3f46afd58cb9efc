"""Look-ahead, tested by doing: what a function says of the past must not change when the future is
taken away or put in another order.

Every table has a moment at which each of its rows became known. A function makes a table of others.
`truncation_differences` gives it only the rows that were known at a moment, and compares what it
makes with what it made of everything, for the rows that were known by then, bit for bit.
`shuffle_differences` leaves every row in its place and exchanges the values of the later ones. A
function passes when nothing differs. No list of forbidden operations is needed: scaling by the
whole series, a centred window, a universe of survivors, prices adjusted backwards and a rank among
symbols that are listed later all move the past, and are found by the same two questions.

What leaks without moving the past is asked directly: a training label that ended after the test
began (`overlapping_labels`), an input that is the outcome (`outcome_inputs`), a fill in the bar
that made the signal (`same_bar_fills`).
"""

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.frames import format_columns

OUTCOMES = ("label", "return", "touched", "end_timestamp", "exit_price", "pnl", "target", "outcome")
"""Names of what is known only when a trade is over."""
_AFFIXES = re.compile(r"_sided$|_per_atr_\d+$|(_\d+)+$")
_SAME = 0.999  # correlation at which an input is taken for the outcome itself
_NEVER = datetime(1970, 1, 1, tzinfo=UTC)
_FEWEST = 10  # rows for a correlation


@dataclass(frozen=True)
class KnownTable:
    """A table with the moment at which each row became known, an expression over its columns."""

    frame: pl.DataFrame
    known_at: pl.Expr

    def until(self, moment: datetime) -> pl.DataFrame:
        """The rows that were known at `moment`."""
        return self.frame.filter(self.known_at <= moment)

    def shuffled_after(self, moment: datetime, seed: int) -> pl.DataFrame:
        """The same rows; of those that were not known at `moment`, every column of numbers is put
        in another order inside its symbol. Keys and times stay.
        """
        later = self.known_at > moment
        values = [name for name, kind in self.frame.schema.items() if kind.is_float()]
        order = pl.int_range(pl.len()).shuffle(seed=seed)
        after = self.frame.filter(later).with_columns(
            pl.col(name).gather(order).over("symbol") for name in values
        )
        keys = [name for name in ("symbol", "timestamp") if name in self.frame.columns]
        return pl.concat([self.frame.filter(~later), after]).sort(keys, maintain_order=True)


Maker = Callable[[Mapping[str, pl.DataFrame]], pl.DataFrame]


def random_moments(stamps: pl.Series, count: int, seed: int) -> list[datetime]:
    """Up to `count` different stamps between the first and the last, drawn by the seed, in order;
    none when there are fewer than three.
    """
    known = stamps.drop_nulls().unique().sort()
    inner = known.slice(1, len(known) - 2) if len(known) > 2 else known.clear()
    if not len(inner):
        return []
    random = np.random.default_rng(seed)
    places = random.choice(len(inner), size=min(count, len(inner)), replace=False)
    return inner.gather(np.sort(places)).to_list()


def truncation_differences(
    make: Maker,
    tables: Mapping[str, KnownTable],
    known_at: pl.Expr,
    moments: Sequence[datetime],
    keys: Sequence[str] = ("symbol", "timestamp"),
) -> pl.DataFrame:
    """Rows of what `make` makes that were known at one of `moments` and differ when `make` is given
    only what was known then: keys, moment, finding.

    known_at: when a row of the result became known.
    """
    whole = make({name: table.frame for name, table in tables.items()})
    found = []
    for moment in moments:
        early = make({name: table.until(moment) for name, table in tables.items()})
        found.append(_moved(whole, early, known_at, moment, keys))
    return _together(found, whole, keys)


def shuffle_differences(
    make: Maker,
    tables: Mapping[str, KnownTable],
    known_at: pl.Expr,
    moments: Sequence[datetime],
    seed: int,
    keys: Sequence[str] = ("symbol", "timestamp"),
) -> pl.DataFrame:
    """The same question, when what came after each moment came in another order."""
    whole = make({name: table.frame for name, table in tables.items()})
    found = []
    for moment in moments:
        other = make({name: table.shuffled_after(moment, seed) for name, table in tables.items()})
        found.append(_moved(whole, other, known_at, moment, keys))
    return _together(found, whole, keys)


def _together(
    found: Sequence[pl.DataFrame], whole: pl.DataFrame, keys: Sequence[str]
) -> pl.DataFrame:
    if found:
        return pl.concat(found)
    return _moved(whole.clear(), whole.clear(), pl.lit(value=None), _NEVER, keys)


def _moved(
    whole: pl.DataFrame,
    other: pl.DataFrame,
    known_at: pl.Expr,
    moment: datetime,
    keys: Sequence[str],
) -> pl.DataFrame:
    left, right = (frame.filter(known_at <= moment) for frame in (whole, other))
    return differing_rows(left, right, keys).select(
        *keys,
        moment=pl.lit(moment, dtype=pl.Datetime("us", "UTC")),
        finding=format_columns("{} of what was known then depends on later rows", "columns"),
    )


def differing_rows(
    left: pl.DataFrame, right: pl.DataFrame, keys: Sequence[str] = ("symbol", "timestamp")
) -> pl.DataFrame:
    """Keys of the rows that are not equal bit for bit, with the names of the columns that differ; a
    row that only one side has differs as a whole.
    """
    values = [name for name in left.columns if name not in keys]
    sides = [
        frame.select(*keys, *values, pl.lit(value=True).alias(f"__{side}"))
        for side, frame in (("left", left), ("right", right))
    ]
    both = sides[0].join(sides[1], on=list(keys), how="full", coalesce=True, suffix="__other")
    absent = pl.col("__left").is_null() | pl.col("__right").is_null()
    unequal = [
        pl.when(absent | pl.col(name).ne_missing(pl.col(f"{name}__other"))).then(pl.lit(name))
        for name in values
    ]
    columns = pl.concat_str(unequal, separator=", ", ignore_nulls=True) if values else pl.lit("")
    return (
        both.select(*keys, columns=pl.when(absent).then(pl.lit("the row")).otherwise(columns))
        .filter(pl.col("columns") != "")
        .sort(keys)
    )


def overlapping_labels(training: pl.DataFrame, test_start: datetime) -> pl.DataFrame:
    """Training events whose outcome was not known when the test began: symbol, timestamp,
    end_timestamp, finding. training: one row an event that teaches.
    """
    late = (pl.col("end_timestamp") > test_start).fill_null(value=True)
    return training.filter(late).select(
        "symbol",
        "timestamp",
        "end_timestamp",
        finding=pl.lit(f"teaches, and was not settled by {test_start:%Y-%m-%d %H:%M} UTC"),
    )


def outcome_inputs(names: Sequence[str], X: FloatArray, outcomes: pl.DataFrame) -> pl.DataFrame:
    """Inputs that are called like an outcome, or are one under another name: input, finding.

    X: [rows, inputs]. outcomes: `label` and `return` of the same rows. An input is an outcome when
    its correlation with one is 0.999 or more, or that of their ranks.
    """
    rows = [
        {"input": name, "finding": f"is called like the outcome {word}"}
        for name in names
        if (word := _outcome_word(name)) is not None
    ]
    for place, name in enumerate(names):
        for outcome in ("label", "return"):
            value = outcomes[outcome].cast(pl.Float64).fill_null(np.nan).to_numpy()
            known = np.isfinite(value) & np.isfinite(X[:, place])
            size = _likeness(X[known, place], value[known])
            if size >= _SAME:
                said = f"is the outcome {outcome} (correlation {size:.4f})"
                rows.append({"input": name, "finding": said})
    return pl.DataFrame(rows, schema={"input": pl.String, "finding": pl.String})


def _outcome_word(name: str) -> str | None:
    plain = _AFFIXES.sub("", _AFFIXES.sub("", name.lower()))
    return plain if plain in OUTCOMES else None


def _likeness(x: FloatArray, y: FloatArray) -> float:
    """The larger of the absolute correlations of values and of ranks; 0 where nothing varies."""
    if x.size < _FEWEST or np.ptp(x) == 0.0 or np.ptp(y) == 0.0:
        return 0.0
    by_rank = np.corrcoef(pl.Series(x).rank().to_numpy(), pl.Series(y).rank().to_numpy())
    return float(max(abs(np.corrcoef(x, y)[0, 1]), abs(by_rank[0, 1])))


def same_bar_fills(orders: pl.DataFrame, fills: pl.DataFrame, bar: timedelta) -> pl.DataFrame:
    """Fills of entries in a bar that had begun before the signal was known, which is when the
    signal's own bar is over: order_id, symbol, timestamp, finding.

    orders: with `signal_timestamp`, the start of the signal's bar. Exits by stop or target rest
    before the bar that fills them, and are no matter here.
    """
    known = orders.filter(pl.col("parent_id").is_null()).select(
        "order_id", known=pl.col("signal_timestamp") + bar
    )
    early = fills.join(known, on="order_id").filter(pl.col("timestamp") < pl.col("known"))
    return early.select(
        "order_id",
        "symbol",
        "timestamp",
        finding=format_columns(
            "filled in a bar that began before its signal was known at {}",
            pl.col("known").cast(pl.String),
        ),
    )
