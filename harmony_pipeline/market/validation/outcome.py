"""What is said of rows beside the bars: quarantine, warnings, notes and counts."""

import math
from collections import Counter
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.market.session_parts import PARTS
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.validation import symbol_state
from harmony_pipeline.market.validation.batch import null_non_finite, rows_at
from harmony_pipeline.market.validation.catalog import NAME, NOT_A_FAULT
from harmony_pipeline.market.validation.kernel import KEPT, Verdicts
from harmony_pipeline.market.validation.messages import VALUES, row_origin
from harmony_pipeline.schemas import QUALITY_WARNINGS, QUARANTINE


def quarantined_rows(
    rows: pl.DataFrame, verdicts: Verdicts, findings: pl.DataFrame, messages: dict[str, pl.Expr]
) -> pl.DataFrame:
    """Every refused row with its rule and message."""
    places = np.flatnonzero(verdicts.rule != KEPT)
    if not places.size:
        return QUARANTINE.empty()
    refused = _with_session(null_non_finite(rows_at(rows, places), VALUES), verdicts.part[places])
    refused = refused.with_columns(
        place=pl.Series(places), number=pl.Series(verdicts.rule[places].astype(np.int64))
    )
    refused = refused.join(findings, on=["place", "number"], how="left", maintain_order="left")
    kept = rows_at(rows, refused["other"].fill_null(0).to_numpy()).lazy()
    beside = kept.select(
        *(pl.col(name).alias(f"{name}_kept") for name in (*VALUES, "defect")),
        row_origin().alias("kept_at"),
        pl.col("ingested_at").alias("kept_learned"),
    )
    broken = {number: NAME[number] for number in np.unique(verdicts.rule[places]).tolist()}
    reason = pl.coalesce(
        pl.when(pl.col("number") == number).then(messages[rule]) for number, rule in broken.items()
    )
    rule = pl.col("number").replace_strict(broken, return_dtype=pl.String)
    found = pl.concat([refused.lazy(), beside], how="horizontal").select(
        "symbol", "timeframe", "timestamp", "source", "origin", "row", rule=rule, reason=reason
    )
    return QUARANTINE.conform(
        found.sort("symbol", "timestamp", "origin", "row", "rule", "reason").collect(
            engine="in-memory"
        )
    )


def warnings_of(
    rows: pl.DataFrame,
    verdicts: Verdicts,
    findings: pl.DataFrame,
    messages: dict[str, pl.Expr],
    hints: dict[str, str],
    unapplied: pl.DataFrame,
) -> pl.DataFrame:
    """Accepted bars that a rule reports, the first row of each file with suspicious stamps, and
    unapplied actions.
    """
    noted = (
        findings.filter(pl.Series(verdicts.rule[findings["place"].to_numpy()] == KEPT))
        if findings.height
        else findings
    )
    if not (noted.height or hints or unapplied.height):
        return QUALITY_WARNINGS.empty()
    places = noted["place"].to_numpy()
    odd = _with_session(rows_at(rows, places), verdicts.part[places])
    odd = pl.concat([odd, noted.select("number", "measure", "reference")], how="horizontal")
    found = [
        _warning_rows(odd.filter(pl.col("number") == number), NAME[number], messages)
        for number in odd["number"].unique().sort()
    ]
    if hints:
        suspected = rows.filter(pl.col("origin").fill_null("").is_in(list(hints))).unique(
            "origin", keep="first", maintain_order=True
        )
        found.append(
            _warning_rows(
                suspected.with_columns(measure=pl.lit(math.nan)), "wrong_time_zone", messages
            )
        )
    return QUALITY_WARNINGS.conform(pl.concat([unapplied, *found]))


def _warning_rows(rows: pl.DataFrame, rule: str, messages: dict[str, pl.Expr]) -> pl.DataFrame:
    return rows.select(
        "symbol",
        "timeframe",
        "timestamp",
        rule=pl.lit(rule),
        measure=pl.col("measure").fill_nan(None),
        reason=messages[rule],
    )


def _with_session(rows: pl.DataFrame, part: Any) -> pl.DataFrame:
    return rows.with_columns(session=pl.Series([PARTS[number] for number in part], dtype=pl.String))


def unapplied_warnings(
    rows: pl.DataFrame, problems: pl.DataFrame, settings: MarketSettings
) -> pl.DataFrame:
    """Warnings of corporate actions that were due and could not be applied, at the bar where that
    was known.
    """
    if not problems.height or settings.quality.severity("action_not_applied", "warn") == "off":
        return QUALITY_WARNINGS.empty()
    here = rows_at(rows, problems["place"].to_numpy()).select("symbol", "timeframe", "timestamp")
    rows = here.with_columns(
        rule=pl.lit("action_not_applied"), measure=pl.lit(None, pl.Float64), reason=problems["note"]
    )
    return QUALITY_WARNINGS.conform(rows)


def idle_notes(
    symbols: pl.Series, states: FloatArray, before: FloatArray, warnings: pl.DataFrame
) -> list[str]:
    """A note for each symbol of which more bars have no volume than are listed.

    Symbols without any volume have one note together.
    """
    idle = (states[:, symbol_state.IDLE_BARS] - before).astype(np.int64)
    if not idle.any():
        return []
    listed = warnings.filter(pl.col("rule") == "zero_volume").group_by("symbol").len("listed")
    counts = pl.DataFrame(
        {
            "symbol": symbols,
            "idle": idle,
            "volumes": states[:, symbol_state.BARS] > states[:, symbol_state.IDLE_BARS],
        }
    )
    counts = (
        counts.filter("volumes", pl.col("idle") > 0)
        .join(listed, on="symbol", how="left")
        .with_columns(pl.col("listed").fill_null(0))
    )
    short = counts.filter(pl.col("idle") > pl.col("listed")).sort("symbol")
    return [
        f"{symbol}: {idle} bars have no volume, {listed} of them are listed under zero_volume"
        for symbol, idle, _, listed in short.iter_rows()
    ]


def count_rows(
    raw: int, kept: int, quarantine: pl.DataFrame, warnings: pl.DataFrame, notes: list[str]
) -> dict[str, Any]:
    """The counts of `Validated`."""
    by_rule, warned = (
        dict(sorted(Counter(frame["rule"]).items())) for frame in (quarantine, warnings)
    )
    faults = sum(count for rule, count in by_rule.items() if rule not in NOT_A_FAULT)
    return {
        "rows_raw": raw,
        "rows_bars": kept,
        "rows_quarantine": quarantine.height,
        "quarantined_fraction": faults / raw if raw else 0.0,
        "rules": by_rule,
        "warnings": warned,
        "notes": notes,
    }
