"""A history of the universe from the present lists of suppliers.

What was known on a day stays. Most suppliers list who is listed now and not who was. Their daily
answers make a history: a row is kept when it changes something of its security, under the date from
which that was known.
"""

import polars as pl

from harmony_pipeline.schemas import UNIVERSE

_SECURITY = ["symbol", "security_id"]
_FACTS = ("listed", "shares", "float", "market_cap", "sector")


def add_snapshot(known: pl.DataFrame, today: pl.DataFrame) -> pl.DataFrame:
    """`known` and those rows of `today` that change something, both in the columns of UNIVERSE.

    All rows of `today` have one date. A supplier that does not have the date of a delisting dates
    it anew each day. So once `delisted` is known, another date for it is no change. A snapshot of
    the same date as an earlier one replaces it.
    """
    if today.is_empty():
        return UNIVERSE.conform(known)
    before = known.filter(pl.col("date") < today["date"].min())
    latest = before.sort("date", maintain_order=True).unique(
        _SECURITY, keep="last", maintain_order=True
    )
    before_today = {name: f"{name}_before" for name in (*_FACTS, "delisted")}
    earlier = latest.with_columns(known=pl.lit(value=True)).rename(before_today).drop("date")
    joined = today.join(earlier, on=_SECURITY, how="left", nulls_equal=True, maintain_order="left")
    changed = [pl.col(name).ne_missing(pl.col(f"{name}_before")) for name in _FACTS]
    gone = pl.col("delisted").is_null() != pl.col("delisted_before").is_null()
    fresh = joined.filter(pl.any_horizontal(pl.col("known").is_null(), gone, *changed)).select(
        UNIVERSE.dtypes.keys()
    )
    return UNIVERSE.conform(pl.concat([before.select(UNIVERSE.dtypes.keys()), fresh]))
