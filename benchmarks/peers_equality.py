"""Whether Harmony's backtest and those of other libraries tell the same trades and equity.

    python benchmarks/peers_equality.py --peers PYTHON

--peers is an interpreter that has the other libraries (their locks do not go with ours): make one
with `pip install vectorbt==1.2.0 vectorbt-rust==1.2.0 raptorbt==0.13.4 backtesting==0.6.6`. Every
library runs in a process of its own on the same bars, signals and rules, without costs: decided at
a bar's close, filled at the next open, 100 shares of one symbol. Compared are the trades (bars,
side, quantity, prices) and the equity of every bar, to the cent.

Where a library has another rule the difference is expected, and DIFFERENT says it. The command ends
with 1 where a case differs that should be equal, and where an expected difference is gone: then
docs/peers.md, which says who does what, has to change.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
CASH, SHARES = 100_000.0, 100.0
STOP, TAKE = 0.01, 0.02  # of the entry price
SILENT = 2  # no signal; 1 and -1 are sides, 0 gets out
START_NS, MINUTE_NS = 1_704_067_200_000_000_000, 60_000_000_000
CENT = 0.005
PEERS = ("vectorbt", "backtesting.py", "raptorbt")


@dataclass
class Case:
    """Bars, what is said at the close of each, and how a position ends: by signal, or by brackets
    of STOP and TAKE around the entry price. whole: a trade takes the whole account. untimed: the
    library fills when it does so by default; unplaced: its brackets are where it puts them by
    default.
    """

    name: str
    bars: list[tuple[float, float, float, float]]
    said: list[int]
    brackets: bool = False
    whole: bool = False
    untimed: bool = False
    unplaced: bool = False

    @property
    def prices(self) -> dict[str, Any]:
        columns = np.array(self.bars, dtype=np.float64).T
        return dict(
            zip(("open", "high", "low", "close"), map(np.ascontiguousarray, columns), strict=True)
        )

    @property
    def shorts(self) -> bool:
        return -1 in self.said


# trades: (entry bar, exit bar or None, side, quantity, entry price, exit price or None)
Trade = tuple[int, int | None, int, float, float, float | None]


@dataclass
class Answer:
    """What a library told of one case, or why it told nothing."""

    trades: list[Trade] = field(default_factory=list)
    equity: list[float] = field(default_factory=list)
    refused: str = ""


# --- cases ----------------------------------------------------------------------------------------


def quiet(price: float) -> tuple[float, float, float, float]:
    return price, price + 0.2, price - 0.2, price


def moved(price: float, opened: float, high: float, low: float, close: float) -> tuple[float, ...]:
    """A bar whose prices are parts of `price`, on the cent."""
    return tuple(round(price * part, 2) for part in (opened, high, low, close))


# What happens to a long position entered at 1, with its stop at 0.99 and its profit at 1.02: the
# entry bar and the bar after it.
QUIET = (1.0, 1.002, 0.998, 1.0)
EVENTS = {
    "stop inside a bar": (QUIET, (1.0, 1.002, 0.985, 0.99)),
    "profit inside a bar": (QUIET, (1.0, 1.025, 0.998, 1.01)),
    "gap through the stop": (QUIET, (0.97, 0.975, 0.965, 0.97)),
    "gap through the profit": (QUIET, (1.04, 1.045, 1.035, 1.04)),
    "both in one bar": (QUIET, (1.0, 1.025, 0.985, 1.0)),
    "stop in the entry bar": ((1.0, 1.002, 0.985, 0.995), QUIET),
    "profit in the entry bar": ((1.0, 1.025, 0.998, 1.01), QUIET),
    "both in the entry bar": ((1.0, 1.025, 0.985, 1.0), QUIET),
    "stop after a higher close": ((1.0, 1.008, 0.998, 1.006), (1.0, 1.002, 0.985, 0.99)),
}


def mirrored(bar: tuple[float, ...]) -> tuple[float, ...]:
    """The same for a short position."""
    opened, high, low, close = (2.0 - part for part in bar)
    return opened, low, high, close


def brackets(name: str, side: int = 1, trades: int = 12) -> Case:
    """The event over and over, at whole prices, with pauses between."""
    source = np.random.default_rng(len(name))
    bars, said = [quiet(100.0)] * 2, [SILENT] * 2
    for price in source.integers(75, 130, trades).astype(float):
        entry, event = (bar if side > 0 else mirrored(bar) for bar in EVENTS[name])
        last = round(price * event[3], 2)
        bars += [quiet(price), moved(price, *entry), moved(price, *event), quiet(last), quiet(last)]
        # what is still held leaves by signal; raptorbt needs one after a stop, too
        said += [side, SILENT, SILENT, 0, SILENT]
    title = name if side > 0 else f"short: {name}"
    return Case(title, bars, said, brackets=True)


def crossing(seed: int, *, reverses: bool) -> Case:
    """Two averages over a walk around 100: in at one crossing, out (or about) at the other."""
    source = np.random.default_rng(seed)
    rows, fast, slow = 3_000, 5, 20
    log = np.zeros(rows)
    for row in range(1, rows):
        log[row] = 0.99 * log[row - 1] + 0.004 * source.standard_normal()
    close = np.round(100.0 * np.exp(log), 2)
    opened = np.round(
        np.concatenate([[100.0], close[:-1]]) * (1 + 0.001 * source.standard_normal(rows)), 2
    )
    reach = np.abs(source.standard_normal((2, rows))) * 0.1
    high = np.round(np.maximum(opened, close) + reach[0], 2)
    low = np.round(np.minimum(opened, close) - reach[1], 2)
    mean = lambda span: np.convolve(close, np.ones(span) / span)[:rows]  # noqa: E731
    above = mean(fast) > mean(slow)
    above[:slow] = False
    said = np.full(rows, SILENT)
    turns = np.flatnonzero(np.diff(above.astype(int))) + 1
    said[turns] = np.where(above[turns], 1, -1 if reverses else 0)
    said[-5:] = SILENT
    said[-5] = 0  # nothing is open at the end
    name = "crossover, long and short" if reverses else "crossover, long only"
    return Case(name, list(zip(opened, high, low, close, strict=True)), said.tolist())


def held(name: str, said: dict[int, int], rows: int = 8, **more: Any) -> Case:
    """Quiet bars that rise by a dollar each."""
    bars = [quiet(100.0 + row) for row in range(rows)]
    return Case(name, bars, [said.get(row, SILENT) for row in range(rows)], **more)


def cases() -> list[Case]:
    found = [crossing(1, reverses=False), crossing(2, reverses=True)]
    found += [brackets(name) for name in EVENTS]
    found += [brackets(name, side=-1) for name in EVENTS]
    found += [
        replace(
            brackets("stop after a higher close"),
            name="levels as they are by default",
            unplaced=True,
        ),
        gap_before_entry(),
        signal_while_stopped(),
        held("repeated entry signal", {2: 1, 3: 1, 4: 1, 6: 0}, rows=10),
        held("open at the end", {2: 1}),
        held("exit decided on the last bar", {2: 1, 7: 0}),
        held("entry decided on the last bar", {7: 1}),
        held("the whole account", {2: 1, 5: 0}, whole=True),
        held("fills as they are by default", {2: 1, 5: 0}, untimed=True),
    ]
    return found


def gap_before_entry() -> Case:
    """Decided at 100, entered at 103; the stop of the entry price is 101.97, that of the decision
    99.
    """
    bars = [quiet(100.0)] * 3 + [
        quiet(103.0),
        (103.0, 103.2, 101.5, 102.0),
        quiet(102.0),
        quiet(102.0),
    ]
    return Case("gap before the entry", bars, [SILENT, SILENT, 1, *[SILENT] * 4], brackets=True)


def signal_while_stopped() -> Case:
    """The bar that stops a position says to enter again; the second one takes its profit."""
    bars = [quiet(100.0)] * 4 + [
        (100.0, 100.2, 98.5, 99.0),
        quiet(99.0),
        (99.0, 102.0, 98.8, 101.0),
    ]
    bars += [quiet(101.0)] * 3
    said = [SILENT, SILENT, 1, SILENT, 1, *[SILENT] * 5]
    return Case("signal on the bar of the stop", bars, said, brackets=True)


# --- Harmony --------------------------------------------------------------------------------------


def harmony(case: Case) -> Answer:
    """Bars and signals as frames of a market that never closes."""
    import polars as pl

    from harmony_pipeline.backtest.simulator import run_backtest
    from harmony_pipeline.market.calendars import Calendar
    from harmony_pipeline.schemas import CORPORATE_ACTIONS

    rows = len(case.bars)
    stamps = pl.Series([START_NS + row * MINUTE_NS for row in range(rows)]) // 1_000
    times = stamps.cast(pl.Datetime("us", "UTC"))
    bars = pl.DataFrame({"timestamp": times, **case.prices}).with_columns(
        symbol=pl.lit("S"),
        session=pl.lit("regular"),
        volume=pl.lit(1e9),
        adjustment_factor=pl.lit(1.0),
    )
    signals = pl.DataFrame({"timestamp": times, "side": case.said}).filter(pl.col("side") != SILENT)
    signals = signals.with_columns(
        symbol=pl.lit("S"), strength=pl.lit(1.0), volatility=pl.lit(1e-4),
        probability=pl.lit(None, pl.Float64), model_id=pl.lit(None, pl.String),
    )  # fmt: skip
    result = run_backtest(
        bars, signals, CORPORATE_ACTIONS.empty(), trading_rules(case), Calendar.of("24/7"), "1Min"
    )
    place = {stamp: row for row, stamp in enumerate(times)}
    trades = [
        (
            place[row["entry_timestamp"]],
            None if row["exit_timestamp"] is None else place[row["exit_timestamp"]],
            1 if row["side"] == "long" else -1,
            row["quantity"], row["entry_price"], row["exit_price"],
        )
        for row in result.trades.iter_rows(named=True)
    ]  # fmt: skip
    return Answer(trades, result.equity["equity"].to_list())


def trading_rules(case: Case) -> Any:
    """No cost, no limit that would bind, a tick far below the cent."""
    from harmony_pipeline.execution.settings import CostSettings, ExecutionNoiseSettings
    from harmony_pipeline.labels.settings import LabelSettings
    from harmony_pipeline.market.instruments import Instrument, Instruments
    from harmony_pipeline.portfolio.parameters import TradingRules
    from harmony_pipeline.portfolio.settings import BacktestSettings
    from harmony_pipeline.risk.settings import RiskSettings
    from harmony_pipeline.strategies.settings import StrategySettings

    size = (
        {"sizing": "fixed_fraction", "size_fraction": 1.0}
        if case.whole
        else {"sizing": "fixed_shares"}
    )
    risk = RiskSettings(
        max_position=1.0, max_gross_exposure=1.0, max_net_exposure=1.0, max_daily_loss=1.0,
        max_drawdown=1.0, size_shares=SHARES, **size,
    )  # fmt: skip
    costs = CostSettings(
        half_spread_bps=0.0, impact_coefficient=0.0, sell_fee_bps=0.0, max_participation=1.0
    )
    # a distance is multiple * volatility * sqrt(horizon), and the square root of 10,000 is 100
    exits = "barriers" if case.brackets else "signal"
    labels = LabelSettings(profit_take=TAKE * 100, stop_loss=STOP * 100)
    strategy = StrategySettings(use="peers:none", exits=exits, horizon_bars=10_000)
    terms = Instrument("S", tick_size=1e-6, small_tick_size=None, small_tick_below=None)
    return TradingRules.of(
        risk, costs, ExecutionNoiseSettings(), labels, strategy,
        BacktestSettings(initial_cash=CASH), Instruments.of([terms]),
    )  # fmt: skip


# --- peers ----------------------------------------------------------------------------------------


def vectorbt(case: Case) -> Answer:
    """Signals are moved to the next bar, whose open is the price; by default it is their close."""
    import pandas as pd
    import vectorbt as vbt

    prices, said = case.prices, np.array(case.said)
    if not case.untimed:
        said = np.concatenate([[SILENT], said[:-1]])
    index = pd.date_range("2024-01-01", periods=len(said), freq="min")
    frame = {name: pd.Series(values, index) for name, values in prices.items()}
    is_said = {side: pd.Series(said == side, index) for side in (1, 0, -1)}
    more = {} if case.untimed else {"price": frame["open"]}
    if case.brackets:
        more |= {"sl_stop": STOP, "tp_stop": TAKE}
    if not case.unplaced:
        more |= {"stop_entry_price": "fillprice"}
    found = vbt.Portfolio.from_signals(
        frame["close"], entries=is_said[1], exits=is_said[0], short_entries=is_said[-1],
        short_exits=is_said[0], open=frame["open"], high=frame["high"],
        low=frame["low"], size=np.inf if case.whole else SHARES, init_cash=CASH, fees=0.0,
        slippage=0.0, upon_opposite_entry="reverse", freq="1min", **more,
    )  # fmt: skip
    trades = [
        (
            int(row.entry_idx), None if row.status == 0 else int(row.exit_idx),
            1 if row.direction == 0 else -1, float(row.size), float(row.entry_price),
            None if row.status == 0 else float(row.exit_price),
        )
        for row in found.trades.records.itertuples()
    ]  # fmt: skip
    return Answer(trades, found.value().tolist())


def backtesting(case: Case) -> Answer:
    """Levels are absolute and set with the order: the adapter reckons them from the next open."""
    import pandas as pd
    from backtesting import Backtest, Strategy

    prices = case.prices
    frame = pd.DataFrame(
        {name.capitalize(): values for name, values in prices.items()},
        index=pd.date_range("2024-01-01", periods=len(case.said), freq="min"),
    )

    class Follows(Strategy):  # type: ignore[misc]
        def init(self) -> None:
            pass

        def next(self) -> None:
            row = len(self.data) - 1
            side = case.said[row]
            if side in (0, -1, 1) and self.position and np.sign(self.position.size) != side:
                self.position.close()
            if side in (1, -1) and np.sign(self.position.size) != side:
                self._enter(row, side)

        def _enter(self, row: int, side: int) -> None:
            levels = {}
            if case.brackets:
                entry = prices["open"][row + 1]
                levels = {"sl": entry * (1 - side * STOP), "tp": entry * (1 + side * TAKE)}
            trade = self.buy if side > 0 else self.sell
            trade(size=0.9999999 if case.whole else int(SHARES), **levels)

    run = Backtest(frame, Follows, cash=CASH, commission=0.0, finalize_trades=False)
    found = run.run()
    trades = [
        (
            int(row.EntryBar), int(row.ExitBar), int(np.sign(row.Size)), float(abs(row.Size)),
            float(row.EntryPrice), float(row.ExitPrice),
        )
        for row in found["_trades"].itertuples()
    ]  # fmt: skip
    trades += [
        (
            trade.entry_bar,
            None,
            int(np.sign(trade.size)),
            float(abs(trade.size)),
            float(trade.entry_price),
            None,
        )
        for trade in found["_strategy"].trades
    ]
    return Answer(trades, found["_equity_curve"]["Equity"].tolist())


def raptorbt(case: Case) -> Answer:
    """Signals as arrays where all trades are long. Its arrays hold one side, and a short one's
    equity is that of a long one, so a case with shorts goes through a strategy with a margin
    account.
    """
    import raptorbt as library

    timing = {} if case.untimed else {"fill_timing": "next_bar_open"}
    config = library.BacktestConfig(initial_capital=CASH, fees=0.0, slippage=0.0, **timing)
    prices, rows = case.prices, len(case.said)
    stamps = START_NS + np.arange(rows, dtype=np.int64) * MINUTE_NS
    columns = (stamps, *prices.values(), np.full(rows, 1e9))
    if case.shorts:
        found = _raptorbt_strategy(case, library, columns, config)
    else:
        if case.brackets:
            config.set_fixed_stop(STOP)
            config.set_fixed_target(TAKE)
        said = np.array(case.said)
        # two lots of a hundred are never within the money, so a trade has a hundred shares
        size = library.InstrumentConfig(lot_size=SHARES, alloted_capital=13_300.0)
        found = library.run_single_backtest(
            *columns, said == 1, said == 0, 1, 1.0, "S", config,
            None, None if case.whole else size,
        )  # fmt: skip
    trades = [
        (
            row.entry_idx, row.exit_idx, row.direction, row.size, row.entry_price, row.exit_price,
        )
        for row in found.trades()
    ]  # fmt: skip
    return Answer(trades, found.equity_curve().tolist())


def _raptorbt_strategy(case: Case, library: Any, columns: Any, config: Any) -> Any:
    from raptorbt.strategy import orders

    class Follows(library.Strategy):  # type: ignore[misc]
        def on_bar(self, context: Any) -> None:
            side, row = case.said[context.idx], context.idx
            held = context.position
            if held is not None and side in (0, -1, 1):
                self.close_position()
            if side in (1, -1):
                levels = {}
                if case.brackets:
                    entry = case.prices["open"][row + 1]
                    levels["stop_price"] = float(entry * (1 - side * STOP))
                    levels["target_price"] = float(entry * (1 + side * TAKE))
                name = "buy" if side > 0 else "sell"
                self.submit_order(orders.Market(side=name, units=SHARES, **levels))

    names = ("timestamps", "open", "high", "low", "close", "volume")
    return library.run_strategy_backtest(
        Follows, **dict(zip(names, columns, strict=True)), config=config, account_type="margin"
    )


RUNNERS: dict[str, Callable[[Case], Answer]] = {
    "Harmony": harmony,
    "vectorbt": vectorbt,
    "backtesting.py": backtesting,
    "raptorbt": raptorbt,
}


# --- comparing ------------------------------------------------------------------------------------

_LATER = "a position is first looked at in the bar after its entry"
_LATER_CLASS = "levels of a strategy's order work from the bar after; those of the arrays at once"
_TARGET = "a profit that the open is beyond fills at the level"
_CLOSED = "what is held is closed at the last close, as EndOfData"
_CLOSE = "fills at the close of the signal's bar"
DIFFERENT: dict[tuple[str, str], str] = {
    **{
        (f"{side}{kind} in the entry bar", "vectorbt"): _LATER
        for side in ("", "short: ")
        for kind in ("stop", "profit", "both")
    },
    **{
        (f"short: {kind} in the entry bar", "raptorbt"): _LATER_CLASS
        for kind in ("stop", "profit", "both")
    },
    ("gap through the profit", "raptorbt"): _TARGET,
    ("short: gap through the profit", "raptorbt"): _TARGET,
    (
        "gap before the entry",
        "backtesting.py",
    ): "levels must lie around the close of the signal's bar",
    ("signal on the bar of the stop", "raptorbt"): "no entry after a stop before an exit signal",
    ("open at the end", "raptorbt"): _CLOSED,
    ("exit decided on the last bar", "raptorbt"): _CLOSED,
    ("the whole account", "vectorbt"): "fractions of a share, reckoned at the price of the fill",
    ("the whole account", "backtesting.py"): "whole shares, reckoned at the price of the fill",
    ("the whole account", "raptorbt"): "fractions of a share, reckoned at the price of the fill",
    ("levels as they are by default", "vectorbt"): "levels are around the entry bar's close",
    ("fills as they are by default", "vectorbt"): _CLOSE,
    ("fills as they are by default", "raptorbt"): _CLOSE,
}


def difference(case: Case, ours: Answer, theirs: Answer) -> str:
    """What differs first, in words; empty where nothing does."""
    if theirs.refused:
        return f"refused: {theirs.refused}"
    for number, (own, other) in enumerate(zip(ours.trades, theirs.trades, strict=False), 1):
        found = _trade_difference(own, other)
        if found:
            return f"trade {number}: {found}"
    if len(ours.trades) != len(theirs.trades):
        return f"{len(theirs.trades)} trades, Harmony {len(ours.trades)}"
    apart = np.abs(np.array(ours.equity) - np.array(theirs.equity))
    row = int(apart.argmax())
    if apart[row] >= CENT:
        return f"equity of bar {row}: {theirs.equity[row]:.2f}, Harmony {ours.equity[row]:.2f}"
    return ""


def _trade_difference(own: Trade, other: Trade) -> str:
    names = ("entered at bar", "left at bar", "side", "quantity", "entry price", "exit price")
    for name, mine, its in zip(names, own, other, strict=True):
        apart = mine != its if mine is None or its is None else abs(mine - its) > 1e-6
        if apart:
            return f"{name} {_shown(its)}, Harmony {_shown(mine)}"
    return ""


def _shown(value: float | None) -> str:
    return "none (open)" if value is None else f"{value:g}"


def answers(name: str, python: str) -> list[Answer]:
    """All cases, by one library in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "POLARS_ENGINE_AFFINITY": "in-memory"}
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder) / "answers.json"
        command = [python, str(Path(__file__).resolve()), "--task", name, "--out", str(out)]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
        if done.returncode:
            sys.exit(f"{name}: {done.stderr.strip()[-2000:]}")
        return [
            Answer([tuple(t) for t in one["trades"]], one["equity"], one["refused"])
            for one in json.loads(out.read_text())
        ]


def task(name: str, out: Path) -> None:
    """All cases in this process."""
    found = []
    for case in cases():
        try:
            answer = RUNNERS[name](case)
        except ValueError as error:  # an order that the library does not take
            answer = Answer(refused=str(error).splitlines()[0])
        found.append(vars(answer))
    out.write_text(json.dumps(found))


def compared(told: dict[str, list[Answer]]) -> Iterator[tuple[Case, str, str, bool]]:
    """(case, library, difference, whether it is as expected)."""
    for row, case in enumerate(cases()):
        for peer in PEERS:
            found = difference(case, told["Harmony"][row], told[peer][row])
            yield case, peer, found, bool(found) == ((case.name, peer) in DIFFERENT)


def show(told: dict[str, list[Answer]]) -> bool:
    """Print a line for every case and library; whether all is as expected."""
    fine = True
    for case, peer, found, expected in compared(told):
        count = len(told["Harmony"][cases_named().index(case.name)].trades)
        why = DIFFERENT.get((case.name, peer), "")
        verdict = (
            f"differs, as expected: {why}; {found}" if found and expected else found or "equal"
        )
        if not expected:
            verdict = f"DIFFERS: {found}" if found else f"EQUAL, but expected to differ: {why}"
            fine = False
        print(f"{case.name:32s} {count:4d} trades  {peer:15s} {verdict}")
    return fine


def show_first_trades(told: dict[str, list[Answer]]) -> None:
    """What each library did with the first trade of a case: bars held, price against the entry."""
    print(f"\n{'first trade':32s}" + "".join(f"{name:>22s}" for name in told))
    for row, name in enumerate(cases_named()):
        line = [_first_trade(answers_of[row]) for answers_of in told.values()]
        print(f"{name:32s}" + "".join(f"{text:>22s}" for text in line))


def cases_named() -> list[str]:
    return [case.name for case in cases()]


def _first_trade(answer: Answer) -> str:
    if answer.refused:
        return "refused"
    if not answer.trades:
        return "no trade"
    entry, leave, _, quantity, paid, got = answer.trades[0]
    if leave is None or got is None:
        return f"{quantity:g} open from {entry}"
    return f"{quantity:g}: {entry} to {leave}, {got / paid:.4f}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peers", help="an interpreter with the other libraries")
    parser.add_argument("--task", choices=RUNNERS)
    parser.add_argument("--out", type=Path)
    chosen = parser.parse_args()
    if chosen.task:
        task(chosen.task, chosen.out)
        return
    if not chosen.peers:
        print("needs --peers PYTHON, an interpreter with the libraries: see the docstring")
        return
    told = {"Harmony": answers("Harmony", sys.executable)}
    told |= {peer: answers(peer, chosen.peers) for peer in PEERS}
    fine = show(told)
    show_first_trades(told)
    sys.exit(0 if fine else 1)


if __name__ == "__main__":
    main()
