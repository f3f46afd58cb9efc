"""The paper session of a trading day, and what follows it: reconciliation, divergence, report. How
a session is run stands in session_runs.py.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from typing import Any

import polars as pl

from harmony_pipeline.errors import NotReady
from harmony_pipeline.lake.lake import code_version
from harmony_pipeline.reports import sketches
from harmony_pipeline.reports.daily_report import DailyReport
from harmony_pipeline.reports.daily_report import daily_report as page_of
from harmony_pipeline.reports.drawings import Drawing
from harmony_pipeline.reports.figures import equity_curve
from harmony_pipeline.reports.page import write_page
from harmony_pipeline.session.day_backtest import backtest_day
from harmony_pipeline.session.day_summary import day_summary
from harmony_pipeline.session.divergence import compare
from harmony_pipeline.session.ledger import RUNNING, Ledger, SessionRow
from harmony_pipeline.session.process_control import kill_reason
from harmony_pipeline.session.reconcile import reconcile
from harmony_pipeline.session.replay import broker_as_left
from harmony_pipeline.session.result import TABLES, SessionResult, read_session
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.demotion import demote_diverging
from harmony_pipeline.stages.instruments import multipliers_of
from harmony_pipeline.stages.reasons import NO_SESSION
from harmony_pipeline.stages.result import Picture, StageResult
from harmony_pipeline.stages.session_export import session_inputs, sessions_of
from harmony_pipeline.stages.session_plans import (
    PAPER,
    bars_of,
    day_start,
    open_ledger,
    plan_of,
    replay_account,
    watched,
)
from harmony_pipeline.stages.session_runs import (
    connection_factory,
    run_session_here,
    run_session_in_process,
)
from harmony_pipeline.stages.unchanged import unchanged_since

_BEFORE_OPEN = timedelta(minutes=30)
_NO_ROWS = {"session_orders": 0, "session_fills": 0}
# the table whose manifest says what a day's sessions were made from
_SESSION_MARK = "session_equity"


def paper_session(
    pipeline: PipelineContext, days: Sequence[date], *, require_promoted: bool, own_process: bool
) -> StageResult:
    """The session of each day, oldest first, with its ledger's tables put into the lake.

    A replay whose inputs, settings and code are unchanged is left as it is, unless one before it
    ran again: it opens with what that one closed with.
    """
    parts: dict[str, StageResult] = {}
    ran = False
    for number, day in enumerate(days, start=1):
        replayed = not own_process and not require_promoted
        since = _replayed_since(pipeline, day) if replayed and not ran else None
        if since is None:
            why = _session_run(
                pipeline, day, require_promoted=require_promoted, own_process=own_process
            )
            ran = ran or not why
            parts[day.isoformat()] = (
                StageResult(rows=_NO_ROWS, nothing=why)
                if why
                else _shown_session(pipeline, day, None)
            )
        else:
            parts[day.isoformat()] = _shown_session(pipeline, day, since)
        pipeline.progress("sessions", number, len(days))
    previews = [part.preview for part in parts.values() if part.preview is not None]
    return StageResult.of(parts, preview=pl.concat(previews) if previews else None)


def _session_run(
    pipeline: PipelineContext, day: date, *, require_promoted: bool, own_process: bool
) -> str:
    """Run one session; returns why there was none to run. Whoever asks for a promoted model gets
    the error instead.
    """
    try:
        if own_process:
            run_session_in_process(pipeline, day)
        else:
            run_session_here(pipeline, day.isoformat(), require_promoted=require_promoted)
    except NotReady as error:
        if require_promoted:
            raise
        return str(error).removeprefix(f"{day} cannot be replayed: ")
    return (
        "" if _session_of(pipeline, day) is not None else "nothing was watched, so no session ran"
    )


def _shown_session(pipeline: PipelineContext, day: date, since: datetime | None) -> StageResult:
    result = _session_of(pipeline, day)
    if result is None:
        return StageResult(rows=_NO_ROWS, nothing="no session ran", unchanged_since=since)
    pictures: dict[str, Picture] = {
        "equity at a glance": sketches.line(result.equity["equity"].to_list())
    }
    if since is None:
        pictures[f"equity of {day}"] = Drawing.of(
            equity_curve,
            result.equity.select("timestamp", "equity"),
            f"session of {day}",
            None,
            _opening_equity(pipeline, result),
        )
    return StageResult(
        rows={"session_orders": result.orders.height, "session_fills": result.fills.height},
        preview=pl.DataFrame([_summary(pipeline, result)]),
        pictures=pictures,
        unchanged_since=since,
    )


def _replayed_since(pipeline: PipelineContext, day: date) -> datetime | None:
    """When this day was replayed from just these inputs; None when it was not, or its books are
    gone.
    """
    with open_ledger(pipeline) as ledger:
        rows = sessions_of(pipeline, ledger, day)
    if not any(row.account == replay_account(pipeline) for row in rows):
        return None
    return unchanged_since(
        pipeline,
        (_SESSION_MARK,),
        day.isoformat(),
        session_inputs(pipeline, day, [row.session_id for row in rows]),
    )


def _session_row(pipeline: PipelineContext, ledger: Ledger, day: date) -> SessionRow | None:
    """The paper session of the day, else its replay."""
    rows = {row.account: row for row in sessions_of(pipeline, ledger, day)}
    return rows.get(PAPER) or next(iter(rows.values()), None)


def _count_watched(pipeline: PipelineContext, day: str) -> int:
    """How many symbols the settings want traded on a day; 0 where it was not scanned for them."""
    try:
        return len(watched(pipeline, date.fromisoformat(day)))
    except NotReady:
        return 0


def _session_of(pipeline: PipelineContext, day: date) -> SessionResult | None:
    with open_ledger(pipeline) as ledger:
        row = _session_row(pipeline, ledger, day)
        return read_session(ledger, row.session_id) if row else None


def _summary(pipeline: PipelineContext, session: SessionResult) -> dict[str, Any]:
    """The numbers of a session, by the terms of its instruments."""
    return session.summary(multipliers_of(pipeline, session.fills))


def reconciliation(pipeline: PipelineContext, days: Sequence[date]) -> StageResult:
    """Ledger against broker as both stood when the session ended: orders, positions, cash."""
    with open_ledger(pipeline) as ledger:
        parts = {day.isoformat(): _reconciled(pipeline, ledger, day) for day in days}
    previews = [part.preview for part in parts.values() if part.preview is not None]
    agree = all(part.facts.get("books agree", True) for part in parts.values())
    return StageResult.of(
        parts, facts={"books agree": agree}, preview=pl.concat(previews) if previews else None
    )


def _reconciled(pipeline: PipelineContext, ledger: Ledger, day: date) -> StageResult:
    row = _session_row(pipeline, ledger, day)
    if row is None:
        return StageResult(rows={"differences": 0}, nothing=NO_SESSION)
    plan, _bars = plan_of(pipeline, ledger, day, row.account)
    simulated = pipeline.settings.session.broker == "simulated"
    broker = (
        broker_as_left(plan, ledger)
        if simulated
        else connection_factory(pipeline.settings.session.broker)(pipeline.settings, plan).broker
    )
    try:
        found = reconcile(ledger, row.session_id, broker)
    finally:
        broker.close()
    table = found.table()
    orders = ledger.table("session_orders", session_id=row.session_id).height
    return StageResult(
        rows={"differences": table.height},
        facts={"books agree": found.agrees},
        preview=table,
        pictures={
            "orders of the session, and differences": sketches.bars(
                [orders, table.height], marked=1
            )
        },
        notes=[difference.sentence for difference in found.differences],
    )


def divergence(pipeline: PipelineContext, days: Sequence[date]) -> StageResult:
    """Every order, fill and equity row of the session against the backtest of the same day from the
    same books.
    """
    parts: dict[str, StageResult] = {}
    with open_ledger(pipeline) as ledger:
        for day in days:
            row = _session_row(pipeline, ledger, day)
            parts[day.isoformat()] = (
                _compared(pipeline, ledger, row)
                if row
                else StageResult(rows={"divergence": 0}, nothing=NO_SESSION)
            )
        demoted = demote_diverging(pipeline, ledger)
    words = {key: part.notes[0] for key, part in parts.items() if part.notes}
    return StageResult.of(parts, facts=words | ({"demoted": demoted} if demoted else {}))


def _compared(pipeline: PipelineContext, ledger: Ledger, row: SessionRow) -> StageResult:
    key = row.date.isoformat()
    begin = day_start(pipeline, row.date)
    tables = {name: [key] for name in ("session_orders", "session_fills", "session_equity")}
    tables["bars"] = pipeline.overlapping(begin, begin + timedelta(days=1))
    made_from = {**pipeline.made_from(tables, replay_account(pipeline)), "session": row.session_id}
    since = unchanged_since(pipeline, ("divergence",), key, made_from)
    if since is None:
        plan, bars = plan_of(pipeline, ledger, row.date, row.account)
        session = read_session(ledger, row.session_id)
        twin = backtest_day(plan, bars, session.stopped, session.began_with)
        found = compare(session, twin)
        pipeline.lake.write("divergence", key, found.table, made_from)
        first = found.summary().get("first_difference")
    else:
        first = None
    table = pipeline.lake.read("divergence", [key])
    unequal = int((~table["equal"]).sum())
    shown = f"{unequal} of {table.height} rows" + (f"; first: {first}" if first else "")
    return StageResult(
        rows={"divergence": table.height},
        facts={"rows that differ": unequal},
        preview=table.filter(~pl.col("equal")).head(8),
        pictures={
            "rows compared, and those that differ": sketches.bars([table.height, unequal], marked=1)
        },
        notes=["none" if not unequal else shown],
        unchanged_since=since,
    )


def daily_report(pipeline: PipelineContext, days: Sequence[date]) -> StageResult:
    """A page about each day, in the state folder's reports."""
    parts = {day.isoformat(): _report_of(pipeline, day) for day in days}
    return StageResult.of(parts)


def _report_of(pipeline: PipelineContext, day: date) -> StageResult:
    key = [day.isoformat()]
    path = pipeline.settings.state_root / "reports" / f"session-{day}.html"
    tables = dict.fromkeys((*TABLES, "divergence"), key)
    mark = f"<!-- made from {pipeline.fingerprint(pipeline.made_from(tables), code_version())} -->"
    rows, notes = {"reports": 1}, [f"reports/{path.name} in the state folder"]
    if (
        not pipeline.again
        and path.exists()
        and path.read_text(encoding="utf-8").rstrip().endswith(mark)
    ):
        return StageResult(
            rows, notes=notes, unchanged_since=datetime.fromtimestamp(path.stat().st_mtime, UTC)
        )
    session = _session_of(pipeline, day)
    if session is None:
        return StageResult(rows={"reports": 0}, nothing=NO_SESSION)
    compared = (
        pipeline.lake.read("divergence", key).filter(pl.col("session_id") == session.session_id)
        if pipeline.lake.has("divergence", key[0])
        else None
    )
    opening = _opening_equity(pipeline, session)
    inputs = DailyReport(
        day=day,
        opening_equity=opening,
        summary=day_summary(
            session,
            opening,
            compared,
            _bars(pipeline, session),
            multipliers_of(pipeline, session.fills),
        ),
        session_id=session.session_id,
        orders=session.tables["session_orders"],
        fills=session.tables["session_fills"],
        positions=session.tables["session_positions"],
        equity=session.tables["session_equity"],
        events=session.tables["session_events"],
        divergence=compared,
        instruments=pipeline.instruments,
    )
    write_page(path, f"{page_of(inputs)}\n{mark}\n")
    pictures = {"equity at a glance": sketches.line(session.equity["equity"].to_list())}
    return StageResult(
        rows, preview=pl.DataFrame([_summary(pipeline, session)]), pictures=pictures, notes=notes
    )


def _opening_equity(pipeline: PipelineContext, session: SessionResult) -> float | None:
    """Equity with which the session began: that of the one before it, or the first row's."""
    with open_ledger(pipeline) as ledger:
        row = ledger.session(session.session_id)
        previous = None if row is None else row.previous_session_id
        before = (
            None
            if previous is None
            else ledger.table("session_equity", session_id=previous).sort("timestamp")["equity"]
        )
    if before is not None and before.len():
        return float(before[-1])
    first = session.equity.sort("timestamp")["equity"]
    return float(first[0]) if first.len() else None


def _bars(pipeline: PipelineContext, session: SessionResult) -> dict[datetime, int]:
    """Bars in each moment of the session's symbols, as the lake has them."""
    symbols = list(session.symbols)
    counts = (
        bars_of(pipeline, session.date)
        .filter(pl.col("symbol").is_in(symbols))
        .group_by("timestamp")
        .len()
    )
    return dict(counts.iter_rows())


def session_due(pipeline: PipelineContext, now: datetime) -> date | str:
    """The trading day whose session should start now, or the reason why none should."""
    if pipeline.registry.promoted() is None:
        return "no model is promoted"
    pulled = kill_reason(pipeline.settings.state_root)
    if pulled is not None:
        return f"the kill switch is on: {pulled}"
    scanned = pipeline.lake.partitions("scan_selections")
    if not scanned:
        return "no trading day was scanned yet"
    day = date.fromisoformat(scanned[-1])
    if pipeline.settings.market.end is None and not pipeline.calendar.session_open(
        day
    ) - _BEFORE_OPEN <= now <= pipeline.calendar.session_close(day):
        return f"the session of {day} is not under way"
    with open_ledger(pipeline) as ledger:
        ended = [row for row in ledger.sessions(PAPER, day) if row.state != RUNNING]
    return f"the session of {day} is over" if ended else day


def replayed_days(pipeline: PipelineContext) -> list[date]:
    """Days whose sessions, of these settings and bars or of the paper account, were compared with
    their backtests.
    """
    days = [date.fromisoformat(key) for key in pipeline.lake.partitions("divergence")]
    if not days:
        return []
    with open_ledger(pipeline) as ledger:
        return [day for day in days if _session_row(pipeline, ledger, day) is not None]


def session_row(pipeline: PipelineContext, day: str) -> dict[str, str]:
    """One session in words, for the summary. The model is the one that it was pinned to, whether
    or not it led to an order.
    """
    with open_ledger(pipeline) as ledger:
        row = _session_row(pipeline, ledger, date.fromisoformat(day))
        if row is None:
            raise NotReady(f"no session of {day} yet; run it with: harmony replay --date {day}")
        session = read_session(ledger, row.session_id)
    numbers = _summary(pipeline, session)
    compared = pipeline.lake.read("divergence", [day]).filter(
        pl.col("session_id") == session.session_id
    )
    unequal = compared.filter(~pl.col("equal")).height
    return {
        "model": row.model_id or "-",
        "watched": str(_count_watched(pipeline, day)),
        "orders": str(numbers["orders"]),
        "fills": str(numbers["fills"]),
        "refused": str(numbers["refused"]),
        "equity": "-" if numbers["equity"] is None else f"{numbers['equity']:,.2f}",
        "divergence": (
            "not compared"
            if compared.is_empty()
            else (
                f"none in {compared.height} rows"
                if not unequal
                else f"{unequal} of {compared.height} rows differ"
            )
        ),
    }
