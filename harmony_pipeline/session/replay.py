"""A planned day replayed from frames against the simulated exchange.

>>> plan = plan_day(day, opening, watched, ...)            # session/day_plan.py
>>> result = replay_day(plan, bars, ledger)
>>> twin = backtest_day(plan, bars)                        # compare(result, twin).equal is True
"""

import polars as pl

from harmony_pipeline.errors import DataError, NotReady
from harmony_pipeline.execution.brokers.simulated import SimulatedBroker
from harmony_pipeline.session.clock import ReplayClock
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.open_orders import carried_orders
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.runner import Supervision, run_session
from harmony_pipeline.session.stream import ReplayStream


def day_bars(plan: SessionPlan, bars: pl.DataFrame) -> pl.DataFrame:
    """The plan's part of a BARS frame: its symbols, its session date, with session_date and
    bar_end, sorted by symbol and time.
    """
    mine = bars.filter(pl.col("symbol").is_in(list(plan.symbols)))
    if "bar_end" not in mine.columns:
        mine = plan.calendar.with_session(mine, plan.timeframe)
    return mine.filter(
        (pl.col("session_date") == plan.date) & pl.col("session").is_not_null()
    ).sort("symbol", "timestamp", maintain_order=True)


def simulated_broker(plan: SessionPlan, ledger: Ledger) -> SimulatedBroker:
    """The simulated exchange as the plan opens it: its working orders under the names that the
    ledger knows, its books from the opening portfolio.
    """
    opening = plan.opening
    shares = {
        slot: float(position["quantity"])
        for slot, position in zip(plan.slot_names, opening.portfolio.positions, strict=True)
    }
    return SimulatedBroker(
        opening.exchange,
        plan.rules.records(opening.symbols, plan.date),
        opening.portfolio.models,
        int(opening.portfolio.account[0]["cash"]),
        shares,
        carried_orders(plan, ledger, in_process=True),
        [(name, symbol) for name in plan.by_strategy for symbol in plan.symbols],
    )


def broker_as_left(plan: SessionPlan, ledger: Ledger) -> SimulatedBroker:
    """The simulated broker of a session as that session left it, with books of its own. Raises
    NotReady before the session has begun.
    """
    saved = ledger.snapshot(plan.session_id)
    if saved is None or saved.body["exchange"] is None:
        raise NotReady(
            f"session {plan.session_id} has left no simulated exchange behind: run it first"
        )
    broker = simulated_broker(plan, ledger)
    broker.restore(saved.body["exchange"])
    return broker


def replay_day(
    plan: SessionPlan, bars: pl.DataFrame, ledger: Ledger, supervision: Supervision | None = None
) -> SessionResult:
    """Run the plan over the day's bars at full speed against the simulated exchange."""
    frame = day_bars(plan, bars)
    if frame.is_empty():
        raise DataError(
            f"there are no bars of {', '.join(plan.symbols) or 'any symbol'} on {plan.date}: ingest"
            " that day first"
        )
    clock = ReplayClock(frame["timestamp"].min())  # type: ignore[arg-type]
    with ledger.reproducible():
        return run_session(
            plan,
            ledger,
            simulated_broker(plan, ledger),
            ReplayStream(frame, clock),
            clock,
            supervision,
        )
