"""Candidates with every reason, and selections ranked by score, from the verdicts of a scanner.

Candidates hold every symbol with every measure and every reason. Selections are the candidates
without a reason, by score, equal scores by symbol.
"""

from dataclasses import dataclass
from datetime import date

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.schemas import SCAN_CANDIDATES, SCAN_SELECTIONS


@dataclass(frozen=True)
class ScanResult:
    """candidates: SCAN_CANDIDATES, sorted by date and symbol; selections: SCAN_SELECTIONS, by date
    and rank (from 1).
    """

    candidates: pl.DataFrame
    selections: pl.DataFrame

    def of(self, day: date) -> "ScanResult":
        """The result of one day."""
        return ScanResult(
            *(table.filter(pl.col("date") == day) for table in (self.candidates, self.selections))
        )


def refuse_lost_rows(scanner: str, measures: pl.DataFrame, verdicts: pl.DataFrame) -> None:
    """Raise DataError if the scanner lost or doubled a row of `measures`. It may add rows."""
    if measures.select("date", "symbol").equals(verdicts.select("date", "symbol")):
        return
    lost = measures.select("date", "symbol").join(verdicts, on=["date", "symbol"], how="anti")
    if lost.height or verdicts.select("date", "symbol").is_duplicated().any():
        raise DataError(
            f"{scanner}.judge must return each candidate once, and lost or doubled some: reject by"
            " rejected_by, do not filter"
        )


def rank_candidates(verdicts: pl.DataFrame, most: int) -> ScanResult:
    """Ranks by score within each day.

    An unknown score is the reason `rank_by`, a rank beyond `most` the reason `rank_limit`.
    """
    score = pl.when(pl.col("score").is_finite()).then("score").alias("score")
    rows = (
        verdicts.with_columns(score)
        .sort("date", "symbol", maintain_order=True)
        .with_row_index("row")
    )
    unbroken = rows.filter(pl.col("rejected_by").list.len() == 0).select(
        "row", "date", "score", "symbol"
    )
    unknown = unbroken.filter(pl.col("score").is_null())
    ranked = unbroken.filter(pl.col("score").is_not_null()).sort(
        ["date", "score", "symbol"], descending=[False, True, False]
    )
    ranked = ranked.with_columns(rank=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("date"))
    beyond, chosen = ranked.filter(pl.col("rank") > most), ranked.filter(pl.col("rank") <= most)
    # Few rows pass every filter, so only these are ranked and can have one more reason.
    rows = _add_reason(_add_reason(rows, unknown["row"], "rank_by"), beyond["row"], "rank_limit")
    rows = rows.with_columns(passed=pl.col("row").is_in(chosen["row"].implode()))
    selections = rows.select("row", "as_of").join(chosen, on="row", how="inner")
    return ScanResult(SCAN_CANDIDATES.conform(rows), SCAN_SELECTIONS.conform(selections))


def _add_reason(rows: pl.DataFrame, which: pl.Series, reason: str) -> pl.DataFrame:
    """`rows` with `reason` as the only reason of the rows at positions `which`."""
    if not len(which):
        return rows
    return rows.with_columns(
        pl.when(pl.col("row").is_in(which.implode()))
        .then(pl.lit([reason]))
        .otherwise("rejected_by")
        .alias("rejected_by")
    )
