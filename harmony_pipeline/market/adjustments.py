"""The forward adjustment factor: what one share of a symbol's first bar has become.

Past rows never change. The factor is 1.0 at a symbol's first bar and is multiplied on the first bar of each ex-date,
so `price * factor` is the value of one original share with its dividends put back into the stock, and a split announced tomorrow touches
no row of today. (The usual backward adjustment rescales all of history at every action, which leaks the future into past prices.)

    split:     factor *= new shares per old share
    dividend:  factor *= previous close / (previous close - cash)      CRSP's total-return convention

The previous close is the last regular close before the ex-date, in the shares of that moment; cash is per share as it stood before a
split of the same day. Several actions of one date multiply.
"""

from dataclasses import dataclass, field

import polars as pl

from harmony_pipeline.frames import formatted, in_order, join_latest, ordered
from harmony_pipeline.schemas import CORPORATE_ACTIONS


@dataclass(frozen=True)
class Adjusted:
    """`bars` with the column adjustment_factor; `notes` name the actions that could not be applied, and why."""

    bars: pl.DataFrame
    notes: list[str] = field(default_factory=list)


def with_forward_factor(bars: pl.DataFrame, before: pl.DataFrame, actions: pl.DataFrame) -> Adjusted:
    """Add adjustment_factor to accepted bars.

    `bars` has symbol, timestamp, session, session_date and close, in any order, which is kept; `before` has one row a symbol that was seen in
    earlier periods: symbol, session_date, close (last regular), adjustment_factor. Actions on or before a symbol's first
    bar do not count.
    """
    if not in_order(bars, ("symbol", "timestamp")):
        placed = bars.with_row_index("_place").sort("symbol", "timestamp", "_place")
        found = with_forward_factor(placed, before, actions)
        return Adjusted(found.bars.sort("_place").drop("_place"), found.notes)
    base = (
        bars.group_by("symbol", maintain_order=True)
        .agg(pl.col("session_date").first().alias("first_date"), pl.col("session_date").last().alias("last_date"))
        .join(before.select("symbol", "adjustment_factor", before_date="session_date"), on="symbol", how="left", maintain_order="left")
        .select(
            "symbol", "last_date", pl.coalesce("before_date", "first_date").alias("base_date"), pl.col("adjustment_factor").fill_null(1.0).alias("base_factor")
        )
    )
    due = (
        actions.select(list(CORPORATE_ACTIONS.columns))
        .join(base, on="symbol", how="inner")
        .filter(pl.col("date").is_between("base_date", "last_date", closed="right"))
    )
    if not due.height:
        return Adjusted(bars.join(base.select("symbol", adjustment_factor="base_factor"), on="symbol", how="left", maintain_order="left"))
    due = _with_multiplier(due.sort("symbol", "date", "kind", maintain_order=True), _regular_closes(bars, before))
    steps = (
        due.filter(pl.col("problem").is_null())
        .group_by("symbol", "date", maintain_order=True)
        .agg(pl.col("multiplier").product())
        .select("symbol", "date", "multiplier")
    )
    start = base.select("symbol", date="base_date", multiplier="base_factor")
    # The factor before the period is the first element of the product, so that cutting time into periods changes no bit of it.
    factors = (
        pl.concat([start, steps])
        .sort("symbol", "date", maintain_order=True)
        .select("symbol", "date", pl.col("multiplier").cum_prod().over("symbol").alias("adjustment_factor"))
    )
    adjusted = join_latest(bars, factors, "session_date", "date")
    return Adjusted(adjusted.select(*bars.columns, "adjustment_factor"), due["problem"].drop_nulls().to_list())


def split_ratios(actions: pl.DataFrame) -> pl.DataFrame:
    """New shares per share of the beginning, after each split: symbol, date, shares; sorted."""
    splits = actions.filter((pl.col("kind") == "split") & (pl.col("value") > 0.0)).sort("symbol", "date", maintain_order=True)
    return splits.select("symbol", "date", pl.col("value").cum_prod().over("symbol").alias("shares"))


def shares_on(rows: pl.DataFrame, date: str, ratios: pl.DataFrame, *, include_same_day: bool) -> pl.Series:
    """What one share of the beginning is by the date in column `date` of each row; 1.0 before the first split. Rows keep their order."""
    return join_latest(rows.select("symbol", at=date), ratios, "at", "date", same_moment=include_same_day)["shares"].fill_null(1.0)


def _regular_closes(bars: pl.DataFrame, before: pl.DataFrame) -> pl.DataFrame:
    """The last regular close of every session: symbol, close_date, previous_close; sorted."""
    daily = bars.filter(pl.col("session") == "regular").group_by("symbol", "session_date", maintain_order=True).agg(pl.col("close").last())
    known = before.filter(pl.col("close").is_not_null()).select("symbol", "session_date", "close")
    closes = ordered(pl.concat([known, daily]), ("symbol", "session_date"))
    return closes.rename({"session_date": "close_date", "close": "previous_close"})


def _with_multiplier(due: pl.DataFrame, closes: pl.DataFrame) -> pl.DataFrame:
    """Each action's multiplier, or the problem that keeps it from being applied."""
    found = join_latest(due, closes, "date", "close_date", same_moment=False)
    # A close from before an earlier split, of a symbol that has not traded since, is brought to the shares of the ex-date.
    ratios = split_ratios(due)
    then, now = shares_on(found, "close_date", ratios, include_same_day=True), shares_on(found, "date", ratios, include_same_day=False)
    close, cash = pl.col("previous_close") * pl.lit(then) / pl.lit(now), pl.col("value")
    is_split = pl.col("kind") == "split"
    label = formatted("{} of {} on {} ({})", "kind", "symbol", "date", "value")
    problem = (
        pl.when(~is_split & (pl.col("kind") != "dividend"))
        .then(formatted("{} is not applied: its kind is neither split nor dividend", label))
        .when(~(cash > 0.0).fill_null(False))
        .then(formatted("{} is not applied: its value is not above 0; correct the corporate actions", label))
        .when(is_split)
        .then(None)
        .when(close.is_null())
        .then(formatted("{} is not applied: no regular close before it is known", label))
        .when(cash >= close)
        .then(formatted("{} is not applied: it is not below the previous close {}; correct the corporate actions", label, close))
    )
    return found.with_columns(multiplier=pl.when(is_split).then(cash).otherwise(close / (close - cash)), problem=problem)
