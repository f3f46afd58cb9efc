"""Which rows of news are kept, from when each could be acted upon, and which are the same.

The rule of time: what is decided after `known_at` may use a headline. It is

- the moment at which the supplier delivered it, where a file says so (`received_at`);
- else, of history (published before the lake had its first headline), `published_at` and the
  settings' delay; of a date without a time of day, the end of that day;
- else the later of that and of the moment it was ingested: a headline that came late was not known
  earlier, whatever its stamp says.

What the lake knew once it keeps, with the moment that it had then.
"""

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

import polars as pl

from harmony_pipeline.market.news.settings import NewsSettings
from harmony_pipeline.schemas import NEWS, NEWS_QUARANTINE, TIME
from harmony_pipeline.table_checks import broken_rows
from harmony_pipeline.text import LINE

_SAME = ("symbol", "published_at", "headline")
_LONGEST = 1_000  # characters of a headline: more is an article


@dataclass(frozen=True)
class JudgedNews:
    """`kept`: NEWS rows, those known before first. `refused`: NEWS_QUARANTINE rows. The counts are
    of received rows.
    """

    kept: pl.DataFrame
    refused: pl.DataFrame
    new: int
    repeated: int
    late: int


def judge_news(
    rows: pl.DataFrame, known: pl.DataFrame, settings: NewsSettings, now: datetime
) -> JudgedNews:
    """Judge rows as files or the simulation give them, beside the NEWS rows that the lake has."""
    ruled = rows.with_columns(_broken_rule(now, settings)).unnest("broken")
    refused = ruled.filter(pl.col("rule").is_not_null())
    dated = _known_at(ruled.filter(pl.col("rule").is_null()), known, settings, now)
    before = known.with_columns(known_before=pl.lit(value=True))
    fresh = dated.join(known, on=_SAME, how="anti").with_columns(known_before=pl.lit(value=False))
    single = _without_repeats(pl.concat([before, fresh], how="diagonal_relaxed"), settings)
    late = fresh.filter(pl.col("known_at") > _usual(settings))
    kept, odd = _by_schema(NEWS.conform(single))
    quarantine = pl.concat(
        [
            refused.select(_quarantined(refused)),
            odd.select(_quarantined(odd)),
        ]
    )
    new = kept.height - known.height
    return JudgedNews(
        kept, NEWS_QUARANTINE.conform(quarantine), new, ruled.height - refused.height - new,
        late.filter(pl.col("received_at").is_null() & ~pl.col("published_date")).height,
    )  # fmt: skip


def _broken_rule(now: datetime, settings: NewsSettings) -> pl.Expr:
    """The first rule that a row breaks, with the sentence: a struct of rule and reason."""
    stamp = pl.col("published_at")
    shown = stamp.dt.strftime("%Y-%m-%d %H:%M:%S UTC")
    rules = (
        (
            "unreadable_row",
            pl.col("defect").is_not_null(),
            pl.concat_str("defect", pl.lit("; expected a whole row with a time such as"
                                           " 2024-01-31T14:30:00Z")),
        ),
        (
            "no_symbol",
            pl.col("symbol").is_null(),
            pl.lit("no symbol is named: say whose news it is, or take the row out"),
        ),
        (
            "no_headline",
            pl.col("headline").fill_null("") == "",
            pl.lit("the headline is empty: nothing can be read in it"),
        ),
        (
            "not_a_headline",
            pl.col("headline").str.len_chars() > _LONGEST,
            pl.concat_str(
                pl.lit("the headline has "),
                pl.col("headline").str.len_chars(),
                pl.lit(f" characters, expected at most {_LONGEST}: map the column of headlines"),
            ),
        ),
        (
            "published_in_future",
            stamp > now,
            pl.concat_str(
                pl.lit("published at "),
                shown,
                pl.lit(f", after it was read: correct the stamp, or news.timezone"
                       f" ({settings.timezone})"),
            ),
        ),
        (
            "received_before_published",
            pl.col("received_at") < stamp,
            pl.concat_str(
                pl.lit("received before it was published ("),
                shown,
                pl.lit("): one of the stamps is in another zone"),
            ),
        ),
    )  # fmt: skip
    broken: Any = pl.when(pl.lit(value=False)).then(None)
    for name, breaks, reason in rules:
        verdict = pl.struct(rule=pl.lit(name), reason=reason.cast(pl.String))
        broken = broken.when(breaks.fill_null(value=False)).then(verdict)
    nothing = pl.struct(rule=pl.lit(None, pl.String), reason=pl.lit(None, pl.String))
    verdict_or_none: pl.Expr = broken.otherwise(nothing)
    return verdict_or_none.alias("broken")


def _usual(settings: NewsSettings) -> pl.Expr:
    """When a headline could be acted upon by its stamp alone."""
    delay = timedelta(seconds=settings.delay_seconds)
    day_end = pl.col("published_at") + timedelta(days=1)
    return pl.when("published_date").then(day_end).otherwise(pl.col("published_at") + delay)


def _known_at(
    rows: pl.DataFrame, known: pl.DataFrame, settings: NewsSettings, now: datetime
) -> pl.DataFrame:
    """`rows` with known_at and ingested_at, and the supplier's name."""
    first = known["ingested_at"].min() if known.height else now
    history = pl.col("published_at") < pl.lit(first, dtype=TIME)
    ingested = pl.lit(now, dtype=TIME)
    usual = _usual(settings)
    by_stamp = pl.when(history).then(usual).otherwise(pl.max_horizontal(usual, ingested))
    return rows.with_columns(
        known_at=pl.coalesce("received_at", by_stamp).cast(TIME), ingested_at=ingested
    )


def _without_repeats(rows: pl.DataFrame, settings: NewsSettings) -> pl.DataFrame:
    """One row of each story: the same words about a symbol count once within `repeat_hours`; what
    was known before stays.
    """
    gap = timedelta(hours=settings.repeat_hours)
    words = pl.col("headline").str.to_lowercase()
    ordered = rows.with_columns(words=words).sort(
        "symbol", "words", "known_at", "published_at", "origin", "row", nulls_last=True
    )
    same = (pl.col("symbol") == pl.col("symbol").shift()) & (
        pl.col("words") == pl.col("words").shift()
    )
    soon = pl.col("known_at") - pl.col("known_at").shift() <= gap
    exact = pl.col("published_at") == pl.col("published_at").shift()
    repeat = (same & (soon | exact)).fill_null(value=False)
    return ordered.filter(~repeat | pl.col("known_before"))


def _by_schema(table: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows that the table's declaration allows, as pandera judges it, and the others."""
    found = broken_rows(NEWS, table)
    if found.is_empty():
        return table, table.clear().with_columns(rule=pl.lit(""), reason=pl.lit(""))
    reasons = found.drop_nulls("row").group_by("row", maintain_order=True).first()
    numbered = table.with_row_index("place").with_columns(pl.col("place").cast(pl.Int64))
    joined = numbered.join(reasons, left_on="place", right_on="row", how="left")
    odd = joined.filter(pl.col("check").is_not_null()).with_columns(
        rule=pl.lit("schema"), reason=pl.concat_str(pl.lit("the row breaks: "), "check")
    )
    return table[joined["check"].is_null().arg_true()], odd


def _quarantined(rows: pl.DataFrame) -> list[pl.Expr]:
    return [
        pl.col("symbol"),
        pl.col("published_at"),
        pl.col("headline").str.slice(0, LINE),
        *(pl.col(name) for name in ("source", "origin", "row", "rule", "reason")),
    ]
