"""The paper session of a trading day, and what follows it: reconciliation, divergence, report.

Dagster decides *that* a session runs; the session is a process of its own that survives a restart of the daemon. The
run supervises it: when the run is terminated, the session is told to stop and ends in order.
"""

import importlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from harmony_pipeline.errors import ConfigError, HarmonyError, NotReady
from harmony_pipeline.execution.brokers.base import Broker
from harmony_pipeline.reports.daily_report import DailyReport
from harmony_pipeline.reports.daily_report import daily_report as page_of
from harmony_pipeline.reports.figures import equity_curve
from harmony_pipeline.session.clock import Clock
from harmony_pipeline.session.control import is_running, kill_reason
from harmony_pipeline.session.divergence import compare
from harmony_pipeline.session.ledger import RUNNING, Ledger, SessionRow
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.reconcile import broker_as_left, reconcile
from harmony_pipeline.session.replay import backtest_day, replay_day, trade_day
from harmony_pipeline.session.result import SessionResult, read_session
from harmony_pipeline.session.runner import Supervision
from harmony_pipeline.session.stream import BarStream
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.stages.session_export import export, sessions_of
from harmony_pipeline.stages.session_plans import PAPER, open_ledger, plan_of, replay_account
from harmony_pipeline.stages.workspace import Workspace

_POLL_SECONDS = 0.2
_STOP_SECONDS = 30.0
_BEFORE_OPEN = timedelta(minutes=30)


@dataclass(frozen=True)
class LiveConnection:
    """What a broker's factory hands to the session: the seam for a real venue. `session.broker = "module:factory"`, called as factory(settings, plan)."""

    broker: Broker
    stream: BarStream
    clock: Clock


def paper_session(work: Workspace, days: Sequence[date], *, require_promoted: bool, own_process: bool) -> StageResult:
    """Run the sessions of these days, oldest first, and put their ledgers' tables into the lake."""
    rows, pictures, notes = [], {}, []
    counts = {"session_orders": 0, "session_fills": 0}
    for number, day in enumerate(days, start=1):
        if own_process:
            _in_own_process(work, day)
        else:
            run_session_here(work, day.isoformat(), require_promoted=require_promoted)
        result = _session_of(work, day)
        if result is None:
            notes.append(f"{day}: nothing was watched, so no session ran")
            continue
        rows.append(result.summary())
        counts["session_orders"] += result.orders.height
        counts["session_fills"] += result.fills.height
        pictures[f"equity of {day}"] = equity_curve(result.equity, f"session of {day}")
        work.progress("sessions", number, len(days))
    preview = pl.DataFrame(rows) if rows else None
    return StageResult(rows=counts, preview=preview, pictures=pictures, notes=notes)


def run_session_here(work: Workspace, day: str, *, require_promoted: bool) -> SessionResult | None:
    """One session in this process, supervised by lock, heartbeat and kill switch; None when there is nothing to watch."""
    when = date.fromisoformat(day)
    account = PAPER if require_promoted else replay_account(work)
    with open_ledger(work) as ledger:
        plan, bars = plan_of(work, ledger, when, account)
        if not plan.symbols:
            return None
        result = _run(work, plan, bars, ledger)
        export(work, ledger, when)
    return result


def _run(work: Workspace, plan: SessionPlan, bars: pl.DataFrame, ledger: Ledger) -> SessionResult:
    settings = work.settings
    if settings.session.broker == "simulated":
        return replay_day(plan, bars, ledger, Supervision.of(settings.state_root, settings.session, is_live=False))
    connection = _factory(settings.session.broker)(settings, plan)
    return trade_day(plan, ledger, connection.broker, connection.stream, connection.clock, Supervision.of(settings.state_root, settings.session, is_live=True))


def _factory(path: str) -> Callable[..., LiveConnection]:
    module, _, name = path.partition(":")
    try:
        factory: Callable[..., LiveConnection] = getattr(importlib.import_module(module), name)
    except (ImportError, AttributeError, ValueError):
        raise ConfigError(f"session.broker = '{path}': write 'simulated' or an import path module:factory that exists") from None
    return factory


def _in_own_process(work: Workspace, day: date) -> None:
    """Start the session as a process, or watch the one that runs already, until it ends. Terminating us stops it in order."""
    state = work.settings.state_root
    while is_running(state):
        time.sleep(_POLL_SECONDS)
    log = state / "sessions" / f"{day}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    command = [sys.executable, "-m", "harmony_pipeline.cli", "--config", str(work.settings.file.resolve()), "trade", "--date", day.isoformat()]
    with log.open("ab") as output:
        process = subprocess.Popen(command, stdout=output, stderr=output, start_new_session=True, cwd=os.getcwd())
    try:
        while process.poll() is None:
            time.sleep(_POLL_SECONDS)
    except BaseException:
        process.terminate()
        process.wait(_STOP_SECONDS)
        raise
    if process.returncode:
        last = log.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-1:]
        raise HarmonyError(f"the session of {day} ended with code {process.returncode}: {' '.join(last)} (log: sessions/{log.name} in the state folder)")


def _session_row(work: Workspace, ledger: Ledger, day: date) -> SessionRow | None:
    """The paper session of the day, else its replay."""
    rows = {row.account: row for row in sessions_of(work, ledger, day)}
    return rows.get(PAPER) or next(iter(rows.values()), None)


def _session_of(work: Workspace, day: date) -> SessionResult | None:
    with open_ledger(work) as ledger:
        row = _session_row(work, ledger, day)
        return read_session(ledger, row.session_id) if row else None


def reconciliation(work: Workspace, days: Sequence[date]) -> StageResult:
    """Ledger against broker, as both stood when the session ended."""
    tables: list[pl.DataFrame] = []
    notes: list[str] = []
    agree = True
    with open_ledger(work) as ledger:
        for day in days:
            row = _session_row(work, ledger, day)
            if row is None:
                continue
            plan, _bars = plan_of(work, ledger, day, row.account)
            broker = (
                broker_as_left(plan, ledger)
                if work.settings.session.broker == "simulated"
                else _factory(work.settings.session.broker)(work.settings, plan).broker
            )
            found = reconcile(ledger, row.session_id, broker)
            agree = agree and found.agrees
            notes.extend(f"{day}: {difference.sentence}" for difference in found.differences)
            tables.append(found.table())
    return StageResult(
        rows={"differences": sum(table.height for table in tables)}, facts={"books agree": agree}, preview=pl.concat(tables) if tables else None, notes=notes
    )


def divergence(work: Workspace, days: Sequence[date]) -> StageResult:
    """Every order, fill and equity row of the session against the backtest of the same day from the same books."""
    facts: dict[str, Any] = {}
    total = different = 0
    with open_ledger(work) as ledger:
        for day in days:
            row = _session_row(work, ledger, day)
            if row is None:
                continue
            plan, bars = plan_of(work, ledger, day, row.account)
            found = compare(read_session(ledger, row.session_id), backtest_day(plan, bars))
            work.lake.write("divergence", day.isoformat(), found.table, {"session": row.session_id})
            unequal = int((~found.table["equal"]).sum())
            total, different = total + found.table.height, different + unequal
            facts[day.isoformat()] = "none" if not unequal else f"{unequal} of {found.table.height} rows; first: {found.summary().get('first_difference')}"
    return StageResult(rows={"divergence": total}, facts={"rows that differ": different, **facts})


def daily_report(work: Workspace, days: Sequence[date]) -> StageResult:
    """A page about each day, in the state folder's reports."""
    written = []
    for day in days:
        key = [day.isoformat()]
        session = _session_of(work, day)
        if session is None:
            continue
        inputs = DailyReport(
            day=day,
            session_id=session.session_id,
            orders=session.tables["session_orders"],
            fills=session.tables["session_fills"],
            positions=session.tables["session_positions"],
            equity=session.tables["session_equity"],
            events=session.tables["session_events"],
            divergence=work.lake.read("divergence", key) if work.lake.has("divergence", key[0]) else None,
        )
        path = work.settings.state_root / "reports" / f"session-{day}.html"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page_of(inputs), encoding="utf-8")
        written.append(f"reports/{path.name} in the state folder")
    return StageResult(rows={"reports": len(written)}, notes=written)


def session_due(work: Workspace, now: datetime) -> date | str:
    """The trading day whose session should start now, or the reason why none should."""
    if work.registry.promoted() is None:
        return "no model is promoted"
    pulled = kill_reason(work.settings.state_root)
    if pulled is not None:
        return f"the kill switch is on: {pulled}"
    scanned = work.lake.partitions("scan_selections")
    if not scanned:
        return "no trading day was scanned yet"
    day = date.fromisoformat(scanned[-1])
    if work.settings.market.end is None and not work.calendar.session_open(day) - _BEFORE_OPEN <= now <= work.calendar.session_close(day):
        return f"the session of {day} is not under way"
    with open_ledger(work) as ledger:
        ended = [row for row in ledger.sessions(PAPER, day) if row.state != RUNNING]
    return f"the session of {day} is over" if ended else day


def replayed_days(work: Workspace) -> list[date]:
    """Days whose sessions were compared with their backtests."""
    return [date.fromisoformat(key) for key in work.lake.partitions("divergence")]


def session_row(work: Workspace, day: str) -> dict[str, str]:
    """One session in words, for the summary."""
    session = _session_of(work, date.fromisoformat(day))
    if session is None:
        raise NotReady(f"no session of {day} yet; run it with: harmony replay --date {day}")
    numbers = session.summary()
    compared = work.lake.read("divergence", [day]).filter(pl.col("session_id") == session.session_id)
    unequal = compared.filter(~pl.col("equal")).height
    models = session.orders["model_id"].drop_nulls().unique().to_list()
    return {
        "model": models[0] if models else "-",
        "watched": str(work.lake.read("scan_selections", [day]).height),
        "orders": str(numbers["orders"]),
        "fills": str(numbers["fills"]),
        "refused": str(numbers["refused"]),
        "equity": "-" if numbers["equity"] is None else f"{numbers['equity']:,.2f}",
        "divergence": "not compared"
        if compared.is_empty()
        else f"none in {compared.height} rows"
        if not unequal
        else f"{unequal} of {compared.height} rows differ",
    }
