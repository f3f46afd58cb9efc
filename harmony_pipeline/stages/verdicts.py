"""Verdicts that last: a partition that failed a blocking check is refused until it passes or is
waived by name.

Dagster forgets a failed check with its run: a later run of features, models or a session would go
on with the same bars. So the verdict is written to the table `verdicts`, and `require_sound`
refuses whoever makes something of that partition, or of what was made of it. It is asked in two
places: `PipelineContext.made_from`, which every stage calls with its inputs before it works, and
the plan of a session. `harmony sql` and the checks themselves still see everything.

A verdict ends when the check passes on the partition. When the partition has other rows than those
that were judged, `bars_are_sound` is run again here, so that a repair needs no further command.
A waiver is recorded beside the verdict: who reads it later sees when and why.
"""

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Protocol

import polars as pl

from harmony_pipeline.config import Settings
from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.market.periods import Period
from harmony_pipeline.schemas import VERDICTS
from harmony_pipeline.stages.soundness import unsound_bars

ALL = "all"  # the one partition of the table; as a period: every partition of the asset
BARS_CHECK = "bars_are_sound"
_ASSETS_OF: dict[str, tuple[str, ...]] = {
    **dict.fromkeys(("bars", "daily_summary"), ("bars",)),
    **dict.fromkeys(("features", "feature_state"), ("bars", "features")),
    "signals": ("bars", "features", "signals"),
    "labels": ("bars", "features", "signals", "labels"),
    **dict.fromkeys(("models", "folds"), ("model",)),
    **dict.fromkeys(
        ("orders", "order_events", "fills", "trades", "equity", "backtests"), ("backtest",)
    ),
}
"""By table, the assets whose verdicts count for who reads it: its own, and what it is made of by
the same trading periods.
"""
_BY_SETTINGS = "market.quality.waive"


class Market(Protocol):
    """What verdicts need of a `PipelineContext`, which asks them itself."""

    @property
    def settings(self) -> Settings:
        """The settings of this market."""

    @property
    def lake(self) -> Lake:
        """The lake whose partitions are judged."""

    def trading_periods(self) -> list[Period]:
        """Every trading period, oldest first."""


def record(
    pipeline: Market, asset: str, check: str, judged: Sequence[str], offending: pl.DataFrame
) -> None:
    """Write what a blocking check found in these partitions: a verdict where it failed, none where
    it passed.

    Offending rows name their partition, or the bar they speak of; else all that was judged failed.
    """
    if pipeline.settings.as_of is not None:
        return  # the past is looked at and not changed
    failed = _by_period(pipeline, judged, offending)
    standing = _standing(pipeline)
    mine = (pl.col("asset") == asset) & (pl.col("check_name") == check)
    if not failed and standing.filter(mine).is_empty():
        return
    rows = [
        {
            "asset": asset, "period": period, "check_name": check, "judged_at": datetime.now(UTC),
            "content_hash": _content_hash(pipeline, asset, period), "offending_rows": found.height,
            "finding": _sentence(found),
        }
        for period, found in failed.items()
    ]  # fmt: skip
    fresh = VERDICTS.conform(
        pl.DataFrame(rows, schema_overrides=VERDICTS.dtypes) if rows else VERDICTS.empty()
    )

    def change(before: pl.DataFrame) -> pl.DataFrame:
        about = mine if ALL in judged else mine & pl.col("period").is_in([*judged, ALL])
        waived = before.filter(about).select(
            "asset", "period", "check_name", "content_hash", "waived_at", "waived_why"
        )
        kept = fresh.drop("waived_at", "waived_why").join(
            waived,
            on=["asset", "period", "check_name", "content_hash"],
            how="left",
            nulls_equal=True,
            maintain_order="left",
        )  # a waiver is for the rows that were waived
        return pl.concat([before.filter(~about), VERDICTS.conform(kept)])

    pipeline.lake.update("verdicts", ALL, change, {"check": check})


def require_sound(pipeline: Market, tables: Mapping[str, Sequence[str]]) -> None:
    """Raises NotReady when one of these partitions, or the bars it was made of, failed a blocking
    check.
    """
    if not pipeline.lake.has("verdicts", ALL):
        return
    standing = _standing(pipeline)
    if standing.is_empty():
        return
    for table, keys in tables.items():
        about = standing.filter(
            pl.col("asset").is_in(_ASSETS_OF.get(table, (table,)))
            & (pl.col("period").is_in(list(keys)) | (pl.col("period") == ALL))
        )
        for verdict in about.filter(pl.col("waived_at").is_null()).iter_rows(named=True):
            if not _is_waived_by_settings(pipeline, verdict) and not _passes_now(pipeline, verdict):
                raise NotReady(_refusal(verdict))


def waive(pipeline: Market, check: str, period: str, why: str) -> None:
    """Let readers go on with a partition in spite of its verdict; when and why is kept. Raises
    ConfigError when there is none.
    """
    standing = _standing(pipeline)
    meant = (pl.col("check_name") == check) & (pl.col("period") == period)
    if standing.filter(meant).is_empty():
        shown = ", ".join(
            f"{name} of {key}" for name, key in standing.select("check_name", "period").iter_rows()
        )
        raise ConfigError(f"no verdict of {check} on {period}; standing: {shown or 'none'}")
    if not why.strip():
        raise ConfigError("a waiver needs a reason, so that it can be understood later: --why TEXT")
    waived = {"waived_at": pl.lit(datetime.now(UTC)), "waived_why": pl.lit(why.strip())}

    def change(before: pl.DataFrame) -> pl.DataFrame:
        return before.with_columns(
            pl.when(meant).then(value).otherwise(name).alias(name) for name, value in waived.items()
        )

    pipeline.lake.update("verdicts", ALL, change, {"waived": check})


def _standing(pipeline: Market) -> pl.DataFrame:
    return pipeline.lake.read("verdicts", [ALL])


def _by_period(
    pipeline: Market, judged: Sequence[str], offending: pl.DataFrame
) -> dict[str, pl.DataFrame]:
    """Offending rows by the partition that they stand in."""
    if offending.is_empty():
        return {}
    if "partition" in offending.columns:
        named = offending.with_columns(period=pl.col("partition").cast(pl.String))
    elif isinstance(offending.schema.get("timestamp"), pl.Datetime):
        keys = {
            period.key: pl.col("timestamp").is_between(period.start, period.end, closed="left")
            for period in pipeline.trading_periods()
        }
        named = offending.with_columns(
            period=pl.coalesce(
                *(pl.when(inside).then(pl.lit(key)) for key, inside in keys.items()), pl.lit(ALL)
            )
        )
    else:
        return dict.fromkeys(judged, offending)
    return {
        str(key[0]): rows.drop("period")
        for key, rows in named.partition_by("period", as_dict=True, maintain_order=True).items()
    }


def _content_hash(pipeline: Market, asset: str, period: str) -> str | None:
    return (
        pipeline.lake.content_hashes(asset, [period]).get(period)
        if asset in pipeline.lake.tables
        else None
    )


def _sentence(found: pl.DataFrame) -> str:
    """The first offending row in words."""
    row = found.row(0, named=True)
    if row.get("finding"):
        place = " ".join(
            str(row[name]) for name in ("symbol", "timestamp") if row.get(name) is not None
        )
        return f"{place}: {row['finding']}" if place else str(row["finding"])
    return ", ".join(
        f"{name} {value}"
        for name, value in row.items()
        if value is not None and name != "partition"
    )


def _is_waived_by_settings(pipeline: Market, verdict: Mapping[str, object]) -> bool:
    names = pipeline.settings.market.quality.waive
    wanted = next(
        (
            name
            for name in (verdict["check_name"], f"{verdict['check_name']}:{verdict['period']}")
            if name in names
        ),
        None,
    )
    if wanted is not None and pipeline.settings.as_of is None:
        waive(
            pipeline,
            str(verdict["check_name"]),
            str(verdict["period"]),
            f"{_BY_SETTINGS} names {wanted}",
        )
    return wanted is not None


def _passes_now(pipeline: Market, verdict: Mapping[str, object]) -> bool:
    """Whether the partition was changed since, and is sound now."""
    period = str(verdict["period"])
    if (
        verdict["check_name"] != BARS_CHECK
        or period == ALL
        or _content_hash(pipeline, "bars", period) == verdict["content_hash"]
    ):
        return False
    offending = unsound_bars(
        pipeline.lake, [period], pipeline.settings.market.quality.max_quarantined_fraction
    )
    record(pipeline, "bars", BARS_CHECK, [period], offending)
    return offending.is_empty()


def _refusal(verdict: Mapping[str, object]) -> str:
    place = "" if verdict["period"] == ALL else f" {verdict['period']}"
    waiver = (
        f"harmony doctor --waive {verdict['check_name']} --partition {verdict['period']} --why TEXT"
    )
    return (
        f"{verdict['asset']}{place} failed the check {verdict['check_name']} on"
        f" {verdict['judged_at']:%Y-%m-%d %H:%M} UTC ({verdict['finding']}): repair the data and"
        f" ingest again, or waive it: {waiver}"
    )
