"""A history of the universe out of what suppliers say of today.

What was known on a day stays. Most suppliers tell who is listed now and forget who was; asked day after day, their answers
make a history, in which a row is kept when it says something new of its security, under the date from which that was known.
"""

import polars as pl

from harmony_pipeline.schemas import UNIVERSE

_SECURITY = ["symbol", "security_id"]
_FACTS = ("listed", "shares", "float", "market_cap", "sector")


def with_today(known: pl.DataFrame, today: pl.DataFrame) -> pl.DataFrame:
    """`known` and those rows of `today` that say something new; both in the columns of UNIVERSE, all rows of `today` under one date.

    A supplier that cannot say since when a security is gone dates it anew each day: once `delisted` is known, another date for it is nothing new. An
    answer of the same date as an earlier one takes its place.
    """
    if today.is_empty():
        return UNIVERSE.conform(known)
    before = known.filter(pl.col("date") < today["date"].min())
    latest = before.sort("date", maintain_order=True).unique(_SECURITY, keep="last", maintain_order=True)
    told = latest.with_columns(told=pl.lit(value=True)).rename({name: f"{name}_before" for name in (*_FACTS, "delisted")}).drop("date")
    joined = today.join(told, on=_SECURITY, how="left", nulls_equal=True, maintain_order="left")
    changed = [pl.col(name).ne_missing(pl.col(f"{name}_before")) for name in _FACTS]
    gone = pl.col("delisted").is_null() != pl.col("delisted_before").is_null()
    fresh = joined.filter(pl.any_horizontal(pl.col("told").is_null(), gone, *changed)).select(UNIVERSE.dtypes.keys())
    return UNIVERSE.conform(pl.concat([before.select(UNIVERSE.dtypes.keys()), fresh]))
