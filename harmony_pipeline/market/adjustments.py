"""The forward adjustment factor: what one share of a symbol's first bar has become.

Past rows never change. The factor is 1.0 at a symbol's first bar and is multiplied on the first bar
of each ex-date. So `price * factor` is the value of one original share with its dividends
reinvested, and a split announced tomorrow changes no row of today. (The usual backward adjustment
rescales all of history at every action, which leaks the future into past prices.)

    split:     factor *= new shares per old share
    dividend:  factor *= previous close / (previous close - cash)    (CRSP's total-return
    convention)

The previous close is the last regular close before the ex-date, in the shares of that moment. Cash
is per share before a split of the same day. Several actions of one date multiply.
"""

import polars as pl

from harmony_pipeline.frames import join_latest


def split_ratios(actions: pl.DataFrame) -> pl.DataFrame:
    """New shares per share of the beginning, after each split: symbol, date, shares; sorted."""
    splits = actions.filter((pl.col("kind") == "split") & (pl.col("value") > 0.0)).sort(
        "symbol", "date", maintain_order=True
    )
    return splits.select(
        "symbol", "date", pl.col("value").cum_prod().over("symbol").alias("shares")
    )


def shares_on(
    rows: pl.DataFrame, date: str, ratios: pl.DataFrame, *, include_same_day: bool
) -> pl.Series:
    """What one original share has become by the date in column `date` of each row.

    It is 1.0 before the first split. Rows keep their order.
    """
    return join_latest(
        rows.select("symbol", at=date), ratios, "at", "date", same_moment=include_same_day
    )["shares"].fill_null(1.0)
