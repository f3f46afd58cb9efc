"""From a bar or a quote to the decision about it in a session: features, strategy, model, risk.
Then quotes by the thousand and a day's memory.

    python benchmarks/session.py [--peers PYTHON] [--latency]

A small simulated market is run through the whole chain, so that a model and feature states are
there. Then the bars of its last days are given to a session's parts, one after the other, in this
process: a bar of one symbol at a time, and all symbols of a moment at once. What is measured begins
with the bar and ends with the orders that are wanted; the ledger and the broker come after it. The
threshold of the model is 0 here, so every candidate goes on to the risk engine. A quote makes a
machine change sides, and ends with the order that is wanted, too. The last line of times is a whole
moment of a replayed session, with its ledger on disk and the exchange in the process: most of it
waits for the disk.

Unless --latency is given, benchmarks/quote_session.py (10,000 quotes a second at the exchange, and
nautilus_trader where --peers names an interpreter that has it) and benchmarks/session_soak.py (24
hours) follow, and the targets of all are printed at the end. On a crowded machine give the process
a fixed priority (`chrt -f 50 python benchmarks/session.py`): other work is measured otherwise.
"""

import argparse
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
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
    return with_all_symbols(pipeline)


def with_all_symbols(pipeline: PipelineContext) -> PipelineContext:
    """The same with every symbol in the session, not the scanner's choice alone."""
    session = pipeline.settings.session.model_copy(update={"watch": "universe"})
    return PipelineContext(pipeline.settings.model_copy(update={"session": session}))


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
            taken = replace(plan, threshold=0.0)
            yield taken, list(ReplayStream(day_bars(plan, bars), clock).moments())


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


class Flips:
    """Changes what it holds at every quote."""

    def __init__(self) -> None:
        self.held: dict[str, bool] = {}

    def required_features(self) -> tuple[str, ...]:
        return ("volatility_20",)

    def on_bar(self, bar: Any) -> Any:
        return ()

    def on_quote(self, quote: Any) -> Any:
        from harmony_pipeline.strategies.events import Enter, Leave

        held = self.held[quote.symbol] = not self.held.get(quote.symbol, False)
        return (Enter(quote.symbol, 1),) if held else (Leave(quote.symbol),)


def quote_decisions(plan: Any, moments: list[Batch]) -> list[float]:
    """Seconds from each quote, one of each symbol after each moment, to what is wanted."""
    from harmony_pipeline.execution.events import QuoteActed
    from harmony_pipeline.strategies.base import Stepwise
    from harmony_pipeline.strategies.events import Quote

    plan = replace(plan, strategy=Stepwise(Flips))
    signals, seconds = LiveSignals(plan), list[float]()
    for moment in moments:
        signals.update(moment)
        portfolio = LivePortfolio(plan, plan.opening.portfolio)  # nothing is held, nothing works
        for bar in moment.bars:
            quote = Quote(bar.symbol, moment.end, bar.close - 0.01, 9.0, bar.close + 0.01, 9.0)
            begun = time.perf_counter()
            ((_, (symbol,)),) = signals.hear_quotes([quote])
            found = signals.held_now(symbol)
            if found is None:
                continue
            last, said = found
            fact = QuoteActed(
                happened_at=quote.timestamp, known_at=quote.timestamp, symbol=symbol,
                side=said["side"], strength=said["strength"], price=(quote.bid + quote.ask) / 2.0,
                signal_timestamp=last.start, factor=last.factor, volatility=said["volatility"],
                quoted_symbol=symbol, bid=quote.bid, bid_size=quote.bid_size, ask=quote.ask,
                ask_size=quote.ask_size, probability=said["probability"],
                model_id=said["model_id"],
            )  # fmt: skip
            portfolio.decide(portfolio.quote_record(fact))
            seconds.append(time.perf_counter() - begun)
    return seconds


def whole_moments(plan: Any, moments: list[Batch], folder: Path) -> list[float]:
    """Seconds of each moment of a replayed session."""
    from harmony_pipeline.session.clock import ReplayClock
    from harmony_pipeline.session.ledger import Ledger
    from harmony_pipeline.session.replay import simulated_broker

    seconds = []
    with Ledger(folder / f"{plan.date}.sqlite") as ledger:
        ledger.open_session(plan.row())
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


def latencies(pipeline: PipelineContext, folder: Path) -> list[tuple[str, float, float, bool]]:
    """Times of the last days, and their targets: name, measured, wanted, whether it is the most."""
    one, together, quotes, whole = list[float](), list[float](), list[float](), list[float]()
    for number, (plan, moments) in enumerate(days_of(pipeline)):
        found = (
            decisions(plan, moments, one_by_one=True),
            decisions(plan, moments, one_by_one=False),
            quote_decisions(plan, moments),
            whole_moments(plan, moments, folder),
        )
        if number:  # the first day loads the kernels
            for times, new in zip((one, together, quotes, whole), found, strict=True):
                times.extend(new)
    symbols = len(plan.symbols)
    show(f"all bars of a moment, {symbols} symbols", together)
    targets = []
    for title, times in (
        ("a bar of one symbol to its decision", one),
        ("a quote to its decision", quotes),
    ):
        middle, late = show(title, times)
        targets += [(f"{title}, p50 in ms", middle, P50), (f"{title}, p99 in ms", late, P99)]
    show("a moment with ledger and exchange", whole)
    return [(*target, True) for target in targets]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", help="an interpreter with nautilus_trader")
    parser.add_argument("--latency", action="store_true", help="the times of decisions alone")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="harmony-session-") as folder:
        targets = latencies(prepared(Path(folder)), Path(folder))
    lines, met = list[str](), True
    if not chosen.latency:
        peers = ["--peers", chosen.peers] if chosen.peers else []
        for script in (["quote_session.py", *peers], ["session_soak.py"]):
            command = [sys.executable, str(Path(__file__).with_name(script[0])), *script[1:]]
            done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=False)
            said = done.stdout.splitlines()
            print("\n".join(said))
            lines += [line for line in said if ", wanted " in line]
            met = met and done.returncode == 0
    print("\ntargets")
    for name, value, wanted, most in targets:
        met = judge(name, value, wanted, most=most) and met
    print("\n".join(lines))
    sys.exit(0 if met else 1)


if __name__ == "__main__":
    main()
