"""Compile every kernel into the cache once, so that no first run waits: `python -m
harmony_pipeline.cli.compile_kernels`, part of `make setup`.

It runs the smallest whole chain there is, a few weeks of two simulated symbols, in a temporary
folder, and beside it, in a second process, what compiles the kernels that the chain does not need.
"""

import os
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from pathlib import Path

from rich.console import Console

from harmony_pipeline.cli.side_by_side import Step, run_side_by_side
from harmony_pipeline.stages.context import PipelineContext

_PROCESSES = 2  # a third would compile again what the others are compiling


def main() -> None:
    """Run every step and say how long the kernels took; on a terminal also what is compiled now."""
    started = time.monotonic()
    console = Console(stderr=True)
    shown = console.status("compiling the kernels") if console.is_terminal else nullcontext()
    with tempfile.TemporaryDirectory(prefix="harmony-warm-") as folder, shown as status:

        def tell(running: list[str], ended: int) -> None:
            if status is not None:
                status.update(
                    f"compiling the kernels, {ended} of {len(STEPS)} steps done,"
                    f" {time.monotonic() - started:.0f} s: {', '.join(running)}"
                )

        run_side_by_side(STEPS, Path(folder), min(_PROCESSES, os.cpu_count() or 1), tell)
    sys.stdout.write(
        f"compiled the kernels in {time.monotonic() - started:.0f} s (cached from now on)\n"
    )


def _on_the_market(steps: tuple[Callable[[PipelineContext], None], ...], folder: Path) -> None:
    """Steps on the small market, whose lake lies in the folder."""
    from harmony_pipeline.testing.tiny import tiny_market

    pipeline = tiny_market(folder)
    for step in steps:
        step(pipeline)


def _alone(steps: tuple[Callable[[], None], ...], _folder: Path) -> None:
    """Steps that need no market."""
    for step in steps:
        step()


def _make_bars(pipeline: PipelineContext) -> None:
    """The bars of the small market."""
    from assets.chain import run_stages
    from assets.groups import INGEST

    run_stages(pipeline, INGEST)


def _run_the_chain(pipeline: PipelineContext) -> None:
    """From the bars to replayed sessions."""
    from assets.chain import run_stages

    run_stages(pipeline)


def _make_signals(pipeline: PipelineContext) -> None:
    """The strategies that are compiled themselves."""
    from harmony_pipeline.features.catalog import FeatureSet
    from harmony_pipeline.features.compute import compute_features
    from harmony_pipeline.strategies.base import Strategy, signals_of
    from harmony_pipeline.strategies.pairs import PairsTrading
    from harmony_pipeline.strategies.rule_library import RuleLibrary
    from harmony_pipeline.strategies.z_score_momentum import ZScoreMomentum

    bars = pipeline.lake.read("bars")
    strategies: tuple[Strategy, ...] = (
        ZScoreMomentum(),
        PairsTrading(formation_days=20, refit="month", level=0.1),
        RuleLibrary(formation_days=20, refit="month", minimum_t=0.0),
    )
    for strategy in strategies:
        features = FeatureSet.of(strategy.required_features())
        table = compute_features(bars, features, None, pipeline.calendar, pipeline.timeframe).table
        signals_of(strategy, table, lambda: bars)


def _label_every_way(pipeline: PipelineContext) -> None:
    """Labels by the methods and options that the tiny chain does not use."""
    import polars as pl

    from harmony_pipeline.labels.labelling import label_events
    from harmony_pipeline.labels.settings import LabelSettings

    bars = pipeline.lake.read("bars")
    side, volatility = pl.lit(1, pl.Int8), pl.lit(0.01)
    events = bars.select("symbol", "timestamp", side=side, volatility=volatility)
    trends = LabelSettings(method="trend_scanning")
    for chosen in (trends, LabelSettings(vertical="sessions", touch="close", horizons_bars=(1,))):
        label_events(bars, events, chosen, pipeline.calendar, pipeline.timeframe)


def _draw_events() -> None:
    """A sequential bootstrap."""
    import numpy as np

    from harmony_pipeline.models.sequential_bootstrap import sequential_draws

    sequential_draws(np.arange(3), np.arange(3) + 1, 2, 0)


def _make_bars_of_trades(pipeline: PipelineContext) -> None:
    """A day of simulated quotes and trades, and bars of them, whole and one by one."""
    from harmony_pipeline.market.ticks.bars import BarKind, LiveTradeBars, trade_bars
    from harmony_pipeline.market.ticks.threshold_bars import threshold_bars
    from harmony_pipeline.stages import ticks

    days = pipeline.sessions()[:1]
    ticks.quote_ticks(pipeline, days)
    ticks.trade_ticks(pipeline, days)
    trades = pipeline.lake.read("trade_ticks")
    kind = BarKind.of("1Min")
    threshold_bars(
        trade_bars(trades, kind, pipeline.calendar), BarKind.of("1000Volume"), pipeline.calendar
    )
    first = trades.row(0, named=True)
    LiveTradeBars(kind, pipeline.calendar).update(
        first["symbol"], first["timestamp"], first["price"], first["size"]
    )


def _measure_bars_by_ticks(pipeline: PipelineContext) -> None:
    """Spread, imbalances and Kyle's lambda of the bars of that day."""
    from harmony_pipeline.features.tick_columns import tick_columns

    quotes, trades = (pipeline.lake.read(table) for table in ("quote_ticks", "trade_ticks"))
    bars = pipeline.lake.read("bars")
    tick_columns(bars, quotes, trades, pipeline.calendar, pipeline.timeframe, kyle_bars=2)


def _rest_orders(pipeline: PipelineContext) -> None:
    """A limit order that rests through those quotes and trades."""
    from harmony_pipeline.execution.limit_order_replay import rest_limit_orders

    quotes = pipeline.lake.read("quote_ticks")
    order = quotes.head(1).select(
        "symbol", "timestamp", until="timestamp", side=1, limit_price="bid", quantity="bid_size"
    )
    rest_limit_orders(order, quotes, pipeline.lake.read("trade_ticks"), pipeline.calendar)


def _match_tickets(pipeline: PipelineContext) -> None:
    """A bracket, a limit and a trailing stop through a day of bars, and through its ticks."""
    from harmony_pipeline.execution.matching_engine import MatchingEngine
    from harmony_pipeline.execution.order_types import OrderTicket, bracket
    from harmony_pipeline.stages.trading_rules import trading_rules

    rules = trading_rules(pipeline, pipeline.settings.session.strategy)
    quotes, trades = pipeline.lake.read("quote_ticks"), pipeline.lake.read("trade_ticks")
    symbol = quotes["symbol"][0]
    bars = pipeline.lake.read("bars").filter(symbol=symbol).head(100)
    for moment, on_ticks in ((bars["timestamp"][0], False), (quotes["timestamp"][0], True)):
        engine = MatchingEngine([symbol], rules.records([symbol]), pipeline.calendar)
        ticket = {"symbol": symbol, "side": 1, "quantity": 1.0, "submitted_at": moment}
        engine.submit(
            *bracket(OrderTicket(order_id="market", kind="market", **ticket), 1e5, 0.01),
            OrderTicket(
                order_id="limit", kind="limit", limit_price=1.0, time_in_force="gtc", **ticket
            ),
            OrderTicket(
                order_id="trail",
                kind="trailing_stop",
                trail_percent=5.0,
                time_in_force="gtc",
                **ticket,
            ),
        )
        if on_ticks:
            engine.run_ticks(quotes.filter(symbol=symbol), trades.filter(symbol=symbol))
        else:
            engine.run_bars(bars, pipeline.timeframe)
        engine.lifecycle()


def _fill_a_machine(pipeline: PipelineContext) -> None:
    """A machine that is always in the market and hears its fills."""
    from harmony_pipeline.backtest.event_driver import run_machine_backtest
    from harmony_pipeline.stages.trading_rules import trading_rules
    from harmony_pipeline.strategies.events import Bar, Enter, Fill, Intent

    class Holder:
        def required_features(self) -> tuple[str, ...]:
            return ()

        def on_bar(self, bar: Bar) -> tuple[Intent, ...]:
            return (Enter(bar.symbol, 1),)

        def on_fill(self, fill: Fill) -> tuple[Intent, ...]:
            return ()

    bars = pipeline.lake.read("bars")
    run_machine_backtest(
        Holder(),
        bars,
        bars.select("symbol", "timestamp", volatility=0.01),
        pipeline.lake.read("corporate_actions"),
        trading_rules(pipeline, pipeline.settings.session.strategy),
        pipeline.calendar,
        pipeline.timeframe,
    )


def _quote_a_machine(pipeline: PipelineContext) -> None:
    """A machine on quotes over those of that day, with a split before them."""
    from dataclasses import replace

    import polars as pl

    from harmony_pipeline.backtest.quote_driver import run_quote_backtest
    from harmony_pipeline.stages.trading_rules import trading_rules
    from harmony_pipeline.strategies.events import Bar, Enter, Intent, Post, Quote

    class Quoter:
        def required_features(self) -> tuple[str, ...]:
            return ()

        def on_bar(self, bar: Bar) -> tuple[Intent, ...]:
            return ()

        def on_quote(self, quote: Quote) -> tuple[Intent, ...]:
            return (Post(quote.symbol, 1, 1.0, 1.0), Enter(quote.symbol, 1))

    quotes, trades = (
        pipeline.lake.read(table).head(400) for table in ("quote_ticks", "trade_ticks")
    )
    symbol, day = quotes["symbol"][0], quotes["timestamp"][0].date()
    split = {"symbol": [symbol], "date": [day], "kind": ["split"], "value": [2.0]}
    rules = trading_rules(pipeline, pipeline.settings.session.strategy)
    run_quote_backtest(
        Quoter(),
        quotes,
        trades,
        replace(rules, barriers=False),
        pipeline.exchange,
        actions=pl.DataFrame(split),
        volatilities=quotes.select("symbol", known_at="timestamp", volatility=0.01).head(1),
    )


def _match_orders() -> None:
    """An order book that grows, and is read."""
    from harmony_pipeline.execution.order_book import ADD, BUY, OrderBook, operations

    book = OrderBook()
    prices = [100 * number for number in range(1_100)]
    book.run(operations([ADD] * len(prices), range(len(prices)), BUY, prices, 1))
    book.depth(BUY), book.queue(prices[-1]), book.order(1)


def _fold_every_indicator() -> None:
    """The kernels of the whole catalog, of which a market uses some."""
    import numpy as np

    from harmony_pipeline.features.bar_fold import bar_fold
    from harmony_pipeline.features.catalog import FeatureSet, Peers, compiled_calls
    from harmony_pipeline.features.moments import peer_arrays
    from harmony_pipeline.features.reference import EXAMPLES
    from harmony_pipeline.features.symbol_fold import steps_of

    every = FeatureSet.of(EXAMPLES, peers=Peers(sectors={"A": "any"}))
    for number, comparisons in enumerate(every.rounds):
        compiled_calls(every, number)
        for column in comparisons:
            column.kernel(
                np.zeros(2, np.int64), *peer_arrays((), every.peers), np.empty(0), np.empty(0)
            )
    bar_fold(every, 0)
    folds = (FeatureSet.of([name], peers=every.peers) for name in EXAMPLES)
    for fold in folds:
        if not fold.compares:
            steps_of(fold, ())


def _predict_a_sequence() -> None:
    """The forward pass of the recurrent network, of which a market may use none."""
    import numpy as np

    from harmony_pipeline.models.gated_recurrence import Weights, recurrent_margins

    shapes = ((1, 3), (1, 3), (1, 3), (3,), (1,), (2,))
    recurrent_margins(np.zeros((1, 1, 1)), np.zeros((1, 1)), Weights(*map(np.zeros, shapes)))


def _predict_by_trees() -> None:
    """Margins of boosted trees, of which a market may use none."""
    import numpy as np

    from harmony_pipeline.models.tree_margins import TreeNodes, tree_margins

    place, real = np.zeros(1, np.uint32), np.zeros(1)
    nodes = TreeNodes(place, np.zeros(1, np.int64), place, real, real > 0, place, place, real)
    tree_margins(np.zeros((1, 1)), nodes)


def _look_at_a_trade() -> None:
    """What a learned policy of size looks at, which its learner asks trade by trade."""
    from harmony_pipeline.risk import policy_kernels

    policy_kernels.edge_signal(0.5, 2.0, 1.0)
    policy_kernels.move_signal(0.01, 6)
    policy_kernels.unrest_signal(0.0, 0.01)
    policy_kernels.drawdown_signal(1.0, 1.0, 0.25)


def _meet_a_close() -> None:
    """An entry at a close in a session, of which a market may have none."""
    from harmony_pipeline.execution.brokers.simulated import SimulatedBroker
    from harmony_pipeline.execution.exchange import ExchangeState
    from harmony_pipeline.portfolio.kernel_types import BAR, RULES, records
    from harmony_pipeline.portfolio.moments import mark_entry_at
    from harmony_pipeline.portfolio.state import TradingState

    bars, rules = records(1, BAR), records(1, RULES)
    books = TradingState.opening(["A"], 0.0).portfolio
    SimulatedBroker(ExchangeState.empty(["A"]), rules).match_close(bars[0])
    mark_entry_at(books.positions, books.account, rules, bars, 0)


STEPS = {
    "bars": Step(partial(_on_the_market, (_make_bars,))),
    "indicators": Step(partial(_alone, (_fold_every_indicator,))),
    "the chain": Step(partial(_on_the_market, (_run_the_chain,)), after="bars"),
    # the loop of the backtest, which the chain then finds
    "a backtest": Step(partial(_on_the_market, (_fill_a_machine,)), after="bars"),
    "ticks": Step(
        partial(
            _on_the_market,
            (
                _make_bars_of_trades,
                _measure_bars_by_ticks,
                _rest_orders,
                _match_tickets,
                _quote_a_machine,
            ),
        ),
        after="bars",
    ),
    "strategies and labels": Step(
        partial(_on_the_market, (_make_signals, _label_every_way)), after="bars"
    ),
    "forecasts": Step(
        partial(
            _alone,
            (
                _match_orders,
                _draw_events,
                _predict_a_sequence,
                _predict_by_trees,
                _look_at_a_trade,
                _meet_a_close,
            ),
        )
    ),
}
"""What is compiled, in the order in which it begins where what it needs is there."""


if __name__ == "__main__":
    main()
