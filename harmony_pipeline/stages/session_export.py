"""The ledger's tables in the lake, where SQL sees them: each day's sessions in that day's
partition.

The ledger is the original. An order that stayed open when its session ended is finished by a later
one: the partition of the day on which it was placed then takes the status that the ledger has.
"""

from collections.abc import Sequence
from datetime import date

import polars as pl

from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.ledger_rows import SessionRow
from harmony_pipeline.session.result import TABLES
from harmony_pipeline.stages.code_identity import source_of
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.session_plans import PAPER, day_start, replay_account

ORDERS = "session_orders"
_MAY_CHANGE = ("open", "partially_filled")
_CHANGING = ("status", "reason")


def export(pipeline: PipelineContext, ledger: Ledger, day: date) -> None:
    """Put the day's part of the ledger into the lake, and what it did to orders of earlier days."""
    shown = [row.session_id for row in sessions_of(pipeline, ledger, day)]
    for name in TABLES:
        frames = [ledger.table(name, session_id=session_id) for session_id in shown]
        table = pl.concat(frames) if frames else pipeline.lake.tables[name].empty()
        pipeline.lake.write(name, day.isoformat(), table, session_inputs(pipeline, day, shown))
    refresh_open_orders(pipeline, ledger)


def session_inputs(
    pipeline: PipelineContext, day: date, session_ids: Sequence[str]
) -> dict[str, str]:
    """What the sessions of a day were made from; the replay's account stands for bars, models and
    settings.
    """
    begin = day_start(pipeline, day)
    states = [period.key for period in pipeline.trading_periods() if period.end <= begin][-1:]
    # its books are what the session opens with
    before = [pipeline.calendar.previous_session(day).isoformat()]
    tables = {
        "scan_selections": [day.isoformat()],
        "feature_state": states,
        "corporate_actions": pipeline.lake.partitions("corporate_actions"),
        "session_equity": before,
        "session_positions": before,
    }
    code = source_of(
        *(pipeline.settings.strategies[name].use for name in pipeline.settings.session_strategies),
        pipeline.settings.session.broker,
    )
    return {
        **pipeline.made_from(tables, replay_account(pipeline), code),
        "sessions": ",".join(session_ids),
    }


def sessions_of(pipeline: PipelineContext, ledger: Ledger, day: date) -> list[SessionRow]:
    """The day's latest session in each account that counts: paper, and the present replay."""
    accounts = (PAPER, replay_account(pipeline))
    latest = {row.account: row for row in ledger.sessions(day=day) if row.account in accounts}
    return [latest[account] for account in sorted(latest)]


def refresh_open_orders(pipeline: PipelineContext, ledger: Ledger) -> list[str]:
    """Give orders that the lake shows as open the status of the ledger; the days that changed.

    All days are looked at, so what a killed process left undone is done by the next export.
    """
    shown = pipeline.lake.scan(ORDERS).filter(pl.col("status").is_in(list(_MAY_CHANGE)))
    rows = (
        shown.select("date", "session_id")
        .unique()
        .sort("date", "session_id")
        .collect(engine="in-memory")
    )
    changed = []
    for day, sessions in rows.group_by("date", maintain_order=True).agg("session_id").iter_rows():
        now = pl.concat([ledger.table(ORDERS, session_id=one) for one in sessions])
        partition = day.isoformat()
        before = pipeline.lake.read(ORDERS, [partition])
        after = _with_present_status(before, now)
        if not after.equals(before):
            made_from = (pipeline.lake.manifest(ORDERS, partition) or {}).get("made_from", {})
            pipeline.lake.update(
                ORDERS,
                partition,
                lambda kept, now=now: _with_present_status(kept, now),  # type: ignore[misc]
                made_from,
            )
            changed.append(partition)
    return changed


def _with_present_status(orders: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    """`orders` with status and reason of the ledger; one that the ledger does not know stays."""
    present = now.select(
        "client_order_id",
        *(pl.col(name).alias(f"{name}_now") for name in _CHANGING),
        known=pl.lit(value=True),
    )
    joined = orders.join(present, on="client_order_id", how="left", maintain_order="left")
    changes = [
        pl.when(pl.col("known")).then(f"{name}_now").otherwise(name).alias(name)
        for name in _CHANGING
    ]
    return joined.with_columns(changes).select(orders.columns)
