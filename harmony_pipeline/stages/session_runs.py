"""One session of a trading day, run here or in a process of its own.

Dagster decides *that* a session runs; the session is a process of its own that survives a restart
of the daemon. The run supervises it: when the run is terminated, the session is told to stop and
ends in order.
"""

import logging
import sys
from collections.abc import Callable
from contextlib import nullcontext
from datetime import date

import polars as pl

from harmony_pipeline.alerts.alert import Alert
from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.import_paths import import_object
from harmony_pipeline.log import log, log_context
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.live_connection import LiveConnection
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.process_supervision import (
    SessionProcessFailed,
    run_session_process,
)
from harmony_pipeline.session.replay import replay_day
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.runner import Supervision, run_session
from harmony_pipeline.stages.alerts import alerts_during, send_alert
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.session_export import export
from harmony_pipeline.stages.session_plans import (
    PAPER,
    open_ledger,
    plan_of,
    replay_account,
)


def run_session_here(
    pipeline: PipelineContext, day: str, *, require_promoted: bool
) -> SessionResult | None:
    """One session in this process, supervised by lock, heartbeat and kill switch; None when there
    is nothing to watch.
    """
    when = date.fromisoformat(day)
    account = PAPER if require_promoted else replay_account(pipeline)
    with open_ledger(pipeline) as ledger:
        plan, bars = plan_of(pipeline, ledger, when, account)
        if not plan.symbols:
            return None
        if bars.is_empty() and pipeline.settings.session.broker == "simulated":
            raise NotReady(
                f"{day} cannot be replayed: the lake has no bar of {', '.join(plan.symbols)} on"
                " that day (a holiday that the calendar does not know?)"
            )
        with log_context(session=plan.session_id, day=day):
            state = pipeline.settings.present_state_root
            log(
                state,
                "session started",
                broker=pipeline.settings.session.broker,
                symbols=len(plan.symbols),
            )
            watched = (
                alerts_during(pipeline, plan.session_id) if require_promoted else nullcontext()
            )
            with watched:
                result = _run(pipeline, plan, bars, ledger)
            export(pipeline, ledger, when)
            counts = {"orders": result.orders.height, "fills": result.fills.height}
            log(state, "session ended", outcome=result.state, reason=result.reason, **counts)
    return result


def _run(
    pipeline: PipelineContext, plan: SessionPlan, bars: pl.DataFrame, ledger: Ledger
) -> SessionResult:
    settings = pipeline.settings
    if settings.session.broker == "simulated":
        return replay_day(
            plan, bars, ledger, Supervision.of(settings.state_root, settings.session, is_live=False)
        )
    if plan.feature_set.reads_news:
        raise ConfigError(
            f'session.broker = "{settings.session.broker}": features of news are served in replays'
            " alone, no stream of headlines is read yet: take them out of features.names"
        )
    connection = connection_factory(settings.session.broker)(settings, plan)
    if ledger.session(plan.session_id) is None:
        _refuse_ended_day(plan, connection)
    return run_session(
        plan,
        ledger,
        connection.broker,
        connection.stream,
        connection.clock,
        Supervision.of(settings.state_root, settings.session, is_live=True),
    )


def _refuse_ended_day(plan: SessionPlan, connection: LiveConnection) -> None:
    """Raises NotReady when a day that was never begun is over at the exchange: a session of it
    would trade nothing, and count as one that left its backtest.
    """
    now, close = connection.clock.now(), plan.calendar.session_close(plan.date)
    if now < close:
        return
    connection.broker.close()
    raise NotReady(
        f"{plan.date} is over: it ended at {close:%H:%M} UTC, and the exchange's clock says"
        f" {now:%Y-%m-%d %H:%M}. Give a --date that is not over; a replayed day begins anew with"
        f" harmony exchange --date {plan.date} --new"
    )


def connection_factory(path: str) -> Callable[..., LiveConnection]:
    """What makes the connection of `session.broker`: "alpaca", or an import path."""
    if path == "alpaca":
        from harmony_pipeline.stages.alpaca_session import connect

        return connect
    known = ("simulated", "alpaca")
    factory: Callable[..., LiveConnection] = import_object(path, "session.broker", known)
    return factory


def run_session_in_process(pipeline: PipelineContext, day: date) -> None:
    """The session as a process of its own, watched until it ends."""
    settings = pipeline.settings
    file = settings.file.resolve()
    command = [
        sys.executable,
        "-m",
        "harmony_pipeline.cli.session_process",
        str(file) if file.exists() else "",
        day.isoformat(),
    ]

    def tell_hung(seconds: float) -> None:
        text = f"the session of {day} lives and has said nothing for {seconds:.0f} s"
        log(settings.state_root, "session hangs", logging.WARNING, silent_seconds=round(seconds))
        send_alert(settings, Alert("session_hung", "bad", text, day.isoformat()))

    try:
        run_session_process(
            settings.state_root, day, command, settings.session.hung_after_seconds, tell_hung
        )
    except SessionProcessFailed as error:
        if error.code < 0:  # whoever is killed sends no alert
            text = f"the process of the session of {day} died: {error}"
            send_alert(settings, Alert("process_died", "bad", text, day.isoformat()))
        raise
