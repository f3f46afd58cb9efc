"""Reasons for a rejection: the rules that give them, and their sentences for people.

A symbol is told every rule that it broke, in the order of `RULES`, and a limit on a measure that is not known is broken: in doubt a
symbol is left out. Rules that stand for a setting have its name.
"""

from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import polars as pl

from harmony_pipeline.scanner.settings import ScannerSettings


class Limit(NamedTuple):
    """A setting that bounds a measure from below (`at_least`) or above."""

    measure: str
    at_least: bool
    words: str
    show: Callable[[float], str]


def _percent(value: float) -> str:
    return f"{100.0 * value:+.1f} %"


def _size(value: float) -> str:
    return f"{100.0 * value:.1f} %"


def _money(value: float) -> str:
    return f"{value:,.2f}"


def _shares(value: float) -> str:
    return f"{value:,.0f} shares"


def _times(value: float) -> str:
    return f"{value:.1f} times the usual"


LIMITS: dict[str, Limit] = {
    "minimum_price": Limit("price", True, "price", _money),
    "maximum_price": Limit("price", False, "price", _money),
    "minimum_gap": Limit("gap", True, "gap", _percent),
    "minimum_absolute_gap": Limit("absolute_gap", True, "gap", _size),
    "minimum_premarket_volume": Limit("premarket_volume", True, "premarket volume", _shares),
    "minimum_relative_volume": Limit("relative_volume", True, "relative volume", _times),
    "maximum_float": Limit("float", False, "float", _shares),
}
SENTENCES: dict[str, str] = {
    "not_listed": "it is not listed on this day",
    "no_previous_close": "no earlier session has a regular close, so there is no gap",
    "no_premarket": "nothing had traded before the open by the scan time",
    "rank_by": "the measure that ranks is not known",
    "rank_limit": "it passed every filter, but enough symbols ranked higher",
    "not_in_list": "it is not one of scanner.symbols",
    "unknown_symbol": "it is one of scanner.symbols, but neither bars nor the universe know it",
    "query": "the query did not return it",
}
_MOST_READY = 12  # checks whose every combination is made beforehand: 4,096 lists
RULES = ("not_listed", "no_previous_close", "no_premarket", "history", *LIMITS)


def broken_rules(settings: ScannerSettings) -> pl.Expr:
    """`rejected_by` of the filters: the names of all rules that a row of measures breaks."""
    checks = {
        "not_listed": not_listed(),
        "no_previous_close": pl.col("previous_close").is_null(),
        "no_premarket": (pl.col("premarket_bars") == 0) & settings.require_premarket,
        "history": pl.col("history_sessions") < settings.minimum_history_sessions,
    }
    for name, limit in LIMITS.items():
        bound = getattr(settings, name)
        if bound is not None:
            value = pl.col(limit.measure)
            checks[name] = ~((value >= bound) if limit.at_least else (value <= bound)).fill_null(value=False)
    return rejections({rule: checks[rule] for rule in RULES if rule in checks})


def not_listed() -> pl.Expr:
    """Whether the universe says that the symbol does not trade on the day; what it does not know is taken as listed."""
    unborn, gone = pl.col("listed") > pl.col("date"), pl.col("delisted") <= pl.col("date")
    return unborn.fill_null(value=False) | gone.fill_null(value=False)


def rejections(checks: Mapping[str, pl.Expr]) -> pl.Expr:
    """The list of the names whose check is true, in their order.

    The checks of a row make one number, and the list stands ready for every number: lists built row by row took a third of a scan.
    """
    names = list(checks)
    if len(names) > _MOST_READY:
        return pl.concat_list(pl.when(check).then(pl.lit(name)) for name, check in checks.items()).list.drop_nulls().alias("rejected_by")
    number = pl.sum_horizontal(check.fill_null(value=False).cast(pl.UInt32) * (1 << at) for at, check in enumerate(checks.values()))
    lists = [[name for at, name in enumerate(names) if which >> at & 1] for which in range(1 << len(names))]
    return pl.lit(pl.Series(lists, dtype=pl.List(pl.String))).gather(number).alias("rejected_by")


def rejection_sentences(candidate: Mapping[str, Any], settings: ScannerSettings) -> list[str]:
    """One sentence a reason, for a row of SCAN_CANDIDATES as a mapping: "gap +0.3 % is under the minimum +0.5 %"."""
    return [_sentence(rule, candidate, settings) for rule in candidate["rejected_by"]]


def _sentence(rule: str, candidate: Mapping[str, Any], settings: ScannerSettings) -> str:
    if rule == "history":
        return f"only {candidate['history_sessions']} earlier sessions are known, {settings.minimum_history_sessions} are needed"
    limit = LIMITS.get(rule)
    if limit is None:
        return SENTENCES.get(rule, rule)
    bound, value = getattr(settings, rule), candidate[limit.measure]
    edge = "minimum" if limit.at_least else "maximum"
    if value is None:
        return f"{limit.words} is not known, and a {edge} of {limit.show(bound)} is asked for"
    shown = _percent(candidate["gap"]) if rule == "minimum_absolute_gap" else limit.show(value)
    return f"{limit.words} {shown} is {'under' if limit.at_least else 'over'} the {edge} {limit.show(bound)}"
