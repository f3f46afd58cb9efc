"""Warnings about whole series that make results wrong although every bar is sound: in words, with
the cure.

Shown at the end of `harmony ingest` and `harmony run`, and by `harmony doctor`, which does not call
such a lake well. Every warning, serious or not, is a row of `quality_warnings`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import polars as pl

from harmony_pipeline.stages.context import PipelineContext

_EXAMPLES = 3
# a simulated market tells every split that it makes: such a jump is its own gap
_NOT_OF = {"simulated": ("split_like_jump",)}
# rule -> (what it is, what to do)
SERIOUS: dict[str, tuple[str, str]] = {
    "split_like_jump": (
        (
            "jumps like a split that no corporate action tells of, so returns, features and labels"
            " across them are wrong"
        ),
        (
            "give the splits (market.files.corporate_actions, or a source that knows them), then"
            " ingest again"
        ),
    ),
    "ticker_reuse": (
        "a long absence and then another price level, perhaps another issuer under the same symbol",
        "give listings, or split the symbol's files by issuer",
    ),
    "wrong_unit": (
        "prices off by a factor of 100 or 1000: cents for dollars",
        "correct the file or its scale, then ingest again",
    ),
    "changed_unit": (
        "prices or volumes that moved by a factor of 10, 100 or 1000 and stayed there",
        "correct the file or its scale, then ingest again",
    ),
    "wrong_time_zone": (
        "stamps that fit another time zone better",
        "set market.files.timezone as the warning says, then ingest again",
    ),
    "action_not_applied": (
        (
            "splits or dividends that were due and could not be applied, so prices before and after"
            " do not compare"
        ),
        "correct them in market.files.corporate_actions, then ingest again",
    ),
}


@dataclass(frozen=True)
class MarketWarning:
    """One rule with the symbols that it names; `cure` is what to do."""

    rule: str
    text: str
    cure: str

    def sentence(self) -> str:
        """The warning in one line."""
        return f"warning: {self.text}; {self.cure}"


def market_warnings(
    pipeline: PipelineContext, partitions: Sequence[str] | None = None
) -> list[MarketWarning]:
    """The serious warnings of the lake, or of some trading periods of it; the rules in the order of
    SERIOUS.
    """
    rules = [
        rule for rule in SERIOUS if rule not in _NOT_OF.get(pipeline.settings.market.source, ())
    ]
    rows = (
        pipeline.lake.scan("quality_warnings", partitions)
        .filter(pl.col("rule").is_in(rules))
        .select("rule", "symbol", "timestamp", "reason")
        .collect(engine="in-memory")
        .sort("timestamp", "symbol")
    )
    parts = {str(rule): part for (rule,), part in rows.group_by("rule", maintain_order=True)}
    return [_warning(rule, parts[rule]) for rule in SERIOUS if rule in parts]


def _warning(rule: str, rows: pl.DataFrame) -> MarketWarning:
    counts = (
        rows.group_by("symbol")
        .agg(pl.len(), pl.col("timestamp").min())
        .sort("len", "symbol", descending=[True, False])
    )
    named = ", ".join(
        f"{symbol} ({count}, first {first:%Y-%m-%d})"
        for symbol, count, first in counts.head(_EXAMPLES).iter_rows()
    )
    more = f" and {counts.height - _EXAMPLES} symbols more" if counts.height > _EXAMPLES else ""
    about, cure = SERIOUS[rule]
    return MarketWarning(rule, f"{rule}: {about}: {named}{more}; e.g. {rows['reason'][0]}", cure)
