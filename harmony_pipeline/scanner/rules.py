"""Rules of rejection.

`rejected_by` has every rule that a symbol breaks, in the order of `RULES`. An unknown measure
breaks its limit. A rule that stands for a setting has the setting's name.
"""

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

from harmony_pipeline.scanner.settings import ScannerSettings


class Limit(NamedTuple):
    """A setting that bounds a measure from below (`at_least`) or above."""

    measure: str
    at_least: bool


LIMITS: dict[str, Limit] = {
    "minimum_price": Limit("price", True),
    "maximum_price": Limit("price", False),
    "minimum_gap": Limit("gap", True),
    "minimum_absolute_gap": Limit("absolute_gap", True),
    "minimum_premarket_volume": Limit("premarket_volume", True),
    "minimum_relative_volume": Limit("relative_volume", True),
    "maximum_float": Limit("float", False),
}
_MOST_PREPARED = 12  # checks whose every combination is prepared: 4,096 lists
RULES = ("not_listed", "no_previous_close", "no_premarket", "history", *LIMITS)


def broken_rules(settings: ScannerSettings) -> pl.Expr:
    """`rejected_by` of the filters: the names of all rules that a row of measures breaks."""
    checks = {
        "not_listed": not_listed(),
        "no_previous_close": pl.col("previous_close").is_null(),
        "no_premarket": (pl.col("premarket_bars") == 0) & settings.require_premarket,
        "history": pl.col("history_sessions") < settings.minimum_history_sessions,
    }
    bounds = settings.model_dump()
    for name, limit in LIMITS.items():
        bound = bounds[name]
        if bound is not None:
            value = pl.col(limit.measure)
            checks[name] = ~((value >= bound) if limit.at_least else (value <= bound)).fill_null(
                value=False
            )
    return rejections({rule: checks[rule] for rule in RULES if rule in checks})


def not_listed() -> pl.Expr:
    """Whether the universe excludes trading of the symbol on the day. An unknown symbol counts as
    listed.
    """
    unborn, gone = pl.col("listed") > pl.col("date"), pl.col("delisted") <= pl.col("date")
    return unborn.fill_null(value=False) | gone.fill_null(value=False)


def rejections(checks: Mapping[str, pl.Expr]) -> pl.Expr:
    """The list of the names whose check is true, in their order.

    The checks of a row make one number, and a prepared table has the list of each number. Lists
    built row by row took a third of a scan.
    """
    names = list(checks)
    if len(names) > _MOST_PREPARED:
        return (
            pl.concat_list(pl.when(check).then(pl.lit(name)) for name, check in checks.items())
            .list.drop_nulls()
            .alias("rejected_by")
        )
    number = pl.sum_horizontal(
        check.fill_null(value=False).cast(pl.UInt32) * (1 << at)
        for at, check in enumerate(checks.values())
    )
    lists = [
        [name for at, name in enumerate(names) if which >> at & 1]
        for which in range(1 << len(names))
    ]
    return pl.lit(pl.Series(lists, dtype=pl.List(pl.String))).gather(number).alias("rejected_by")
