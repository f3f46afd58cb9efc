"""From a bar to the decision about it in a session: features, strategy, model, risk.

    python benchmarks/session.py            # about two minutes, most of them the chain before it

A small simulated market is run through the whole chain, so that a model and feature states are
there. Then the bars of its last days are given to a session's parts, one after the other, in this
process: a bar of one symbol at a time, and all symbols of a moment at once. What is measured begins
with the bar and ends with the orders that are wanted; the ledger and the broker come after it. The
third line is a whole moment of a replayed session, with its ledger on disk and the exchange in the
process.
"""

import sys
import tempfile
import time
from collections.abc import Iterator
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
from side_by_side import judge

from harmony_pipeline.session.live_portfolio import LivePortfolio
from harmony_pipeline.session.live_signals import LiveSignals
from harmony_pipeline.session.stream import Batch, ReplayStream
from harmony_pipeline.session.trader import REGULAR, Trader
from harmony_pipeline.stages.context import PipelineContext

SYMBOLS, DAYS = 20, 5
START, END = date(2024, 1, 2), date(2024, 4, 1)
P50, P99 = 1.0, 5.0  # milliseconds


def prepared(folder: Path) -> PipelineContext:
    """A market with features, models and a scanner's choice."""
    from assets.chain import run_stages
    from harmony_pipeline.config import load_settings
    from harmony_pipeline.testing.tiny import tiny_market

    (folder / "none.toml").write_text("")
    simulated = load_settings(folder / "none.toml", environment={}).market.simulated
    market = {**simulated.model_dump(), "symbols": SYMBOLS, "low_float_symbols": 2}
    pipeline = tiny_market(
        folder / "market", start=START, end=END, timeframe="15Min", simulated=market
    )
    run_stages(pipeline)
    return pipeline


def days_of(pipeline: PipelineContext) -> Iterator[tuple[Any, list[Batch]]]:
    """The plan and the moments of each of the last days."""
    from harmony_pipeline.session.clock import ReplayClock
    from harmony_pipeline.session.replay import day_bars
    from harmony_pipeline.stages import session_plans

    account = session_plans.replay_account(pipeline)
    days = pipeline.calendar.sessions(END - timedelta(days=2 * DAYS), END)[-DAYS:]
    with session_plans.open_ledger(pipeline) as ledger:
        for day in days:
            plan, bars = session_plans.plan_of(pipeline, ledger, day, account)
            clock = ReplayClock(session_plans.day_start(pipeline, day))
            yield plan, list(ReplayStream(day_bars(plan, bars), clock).moments())


def decisions(plan: Any, moments: list[Batch], *, one_by_one: bool) -> list[float]:
    """Seconds from each bar, or each moment's bars, to what is wanted."""
    signals, portfolio = LiveSignals(plan), LivePortfolio(plan, plan.opening.portfolio)
    seconds = []
    for moment in moments:
        parts = [(bar,) for bar in moment.bars] if one_by_one else [moment.bars]
        for bars in parts:
            begun = time.perf_counter()
            said = signals.update(Batch(moment.start, moment.end, tuple(bars)))
            regular = [bar for bar in bars if bar.session == REGULAR]
            if not regular:
                continue
            rows = portfolio.bar_records(regular)
            portfolio.open_session(int(rows[0]["date"]))
            portfolio.mark(rows, 0, len(rows))
            portfolio.check_breakers()
            portfolio.put_signals(rows, said)
            portfolio.decide(rows)
            seconds.append(time.perf_counter() - begun)
    return seconds


def whole_moments(pipeline: PipelineContext, plan: Any, moments: list[Batch]) -> list[float]:
    """Seconds of each moment of a replayed session."""
    from harmony_pipeline.session.clock import ReplayClock
    from harmony_pipeline.session.replay import simulated_broker
    from harmony_pipeline.stages import session_plans

    seconds = []
    with session_plans.open_ledger(pipeline) as ledger:
        clock = ReplayClock(moments[0].start)
        trader = Trader(plan, ledger, simulated_broker(plan, ledger), clock)
        trader.begin()
        for moment in moments:
            clock.advance(moment.end)
            begun = time.perf_counter()
            trader.process(moment)
            seconds.append(time.perf_counter() - begun)
        trader.end("completed", None)
    return seconds


def show(title: str, seconds: list[float]) -> tuple[float, float]:
    """Print and return p50 and p99 in milliseconds."""
    middle, late = (float(value) for value in np.quantile(np.array(seconds) * 1e3, (0.5, 0.99)))
    print(f"{title:44s} {len(seconds):6,d} times   p50 {middle:6.2f} ms   p99 {late:6.2f} ms")
    return middle, late


def main() -> None:
    with tempfile.TemporaryDirectory(prefix="harmony-session-") as folder:
        pipeline = prepared(Path(folder))
        one, together, whole = list[float](), list[float](), list[float]()
        for number, (plan, moments) in enumerate(days_of(pipeline)):
            found = (
                decisions(plan, moments, one_by_one=True),
                decisions(plan, moments, one_by_one=False),
                whole_moments(pipeline, plan, moments),
            )
            if number:  # the first day loads the kernels
                one += found[0]
                together += found[1]
                whole += found[2]
        middle, late = show("a bar of one symbol to its decision", one)
        show(f"all bars of a moment, {SYMBOLS} symbols", together)
        show("a moment with ledger and exchange", whole)
    met = [
        judge("bar to decision, p50 in ms", middle, P50, most=True),
        judge("bar to decision, p99 in ms", late, P99, most=True),
    ]
    sys.exit(0 if all(met) else 1)


if __name__ == "__main__":
    main()
