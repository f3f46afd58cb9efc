"""The backtest of several strategies on one account, through the same loop as that of one.

Every strategy has a slot in every symbol (portfolio/sleeves.py, which has the rule). Slots of one
symbol walk over the same bars in memory. The tables are those of `run_backtest`; the column
`strategy` of orders, fills, trades and position_actions says whose they are.

>>> members = {"trend": Member(trend_signals, trend_rules), "pullback": Member(...)}
>>> run_shared_backtest(members, bars, actions, weights, calendar, "15Min").trades
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.backtest.input_arrays import (
    SIGNAL_DTYPES,
    MarketBars,
    SymbolRows,
    checked_signals,
    market_bars,
)
from harmony_pipeline.backtest.order_events import OrderHistory
from harmony_pipeline.backtest.run_books import rule_stretches
from harmony_pipeline.backtest.runs import Market, Run
from harmony_pipeline.backtest.shared_machines import (
    HeardMachine,
    MachineInputs,
    simulate_machines,
)
from harmony_pipeline.backtest.simulator import BacktestResult, result_of, simulate
from harmony_pipeline.backtest.table_columns import RunLabel
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.instruments import Instruments
from harmony_pipeline.portfolio.allocation import Weights
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.sleeves import (
    SharedRules,
    Sleeves,
    name_in_ids,
    state_for_tables,
    symbol_of,
    with_keys_of_symbols,
)
from harmony_pipeline.portfolio.state import TradingState
from harmony_pipeline.schemas import TABLES, Table


@dataclass(frozen=True)
class Member:
    """One strategy of an account: its signals, as `run_backtest` takes them, and its own rules; a
    machine with `on_fill` has its inputs in place of signals, which are empty.
    """

    signals: pl.DataFrame
    rules: TradingRules
    machine: MachineInputs | None = None


@dataclass(frozen=True)
class SharedMarket(Market):
    """A market whose every symbol is traded once by each strategy. Actions and events are of slots;
    `bars` of symbols.
    """

    sleeves: Sleeves

    @staticmethod
    def shared(market: Market, sleeves: Sleeves) -> "SharedMarket":
        """The market as the slots of `sleeves` see it."""
        own = {entry.name: getattr(market, entry.name) for entry in fields(Market)}
        own["actions"] = sleeves.frame(market.actions)
        events = sleeves.frame(market.events, ("symbol", "successor"))
        # of one day, in the order in which they happen to a symbol
        own["events"] = events.sort("date", maintain_order=True)
        return SharedMarket(**own, sleeves=sleeves)

    @property
    def names(self) -> tuple[str, ...]:
        """The slots of all symbols with bars."""
        return self.sleeves.slots(self.bars.names)

    def columns(self, names: Sequence[str]) -> MarketBars:
        """The bars of slots; those of one symbol are the same rows."""
        symbols = [symbol_of(slot) for slot in names]
        known = sorted(set(symbols))
        of_symbols = market_bars(self.bars, known)
        of_slots = np.searchsorted(np.array(known, np.str_), np.array(symbols, np.str_))
        return of_symbols._replace(begin=of_symbols.begin[of_slots], end=of_symbols.end[of_slots])


def run_shared_backtest(
    members: Mapping[str, Member],
    bars: pl.DataFrame,
    actions: pl.DataFrame,
    weights: Weights,
    calendar: Calendar,
    timeframe: str,
    state: TradingState | None = None,
    *,
    backtest_id: str = "backtest",
    book: str | None = None,
    strategy: str = "",
    parameters: Mapping[str, Any] | None = None,
    lives: pl.DataFrame | None = None,
    until: date | None = None,
) -> BacktestResult:
    """Trade the signals of all members over the regular rows of `bars` on one account.

    members: by name, those whose entries are judged first come first. Their rules differ in what a
    strategy has of its own (exits, bracket, size, its limits), else ConfigError is raised. weights:
    portfolio/allocation.py, one for each member. state: where an earlier run of the same members
    ended. strategy: the name of the whole. The rest as in `run_backtest`.
    """
    _refuse_other_rules({name: member.rules for name, member in members.items()})
    market = Market.of(bars, actions, calendar, timeframe, lives=lives, until=until)
    return simulate_shared(
        market, members, weights, state,
        RunLabel(backtest_id, book or backtest_id, strategy, parameters or {}),
    )  # fmt: skip


def simulate_shared(
    market: Market,
    members: Mapping[str, Member],
    weights: Weights,
    state: TradingState | None,
    label: RunLabel,
) -> BacktestResult:
    """`run_shared_backtest` over a market that is ready."""
    sleeves = Sleeves(tuple(members))
    shared = SharedMarket.shared(market, sleeves)
    rules = SharedRules.shared(sleeves, [one.rules for one in members.values()], weights)
    machines = {
        rank: HeardMachine(one.machine, name, rank)
        for rank, (name, one) in enumerate(members.items())
        if one.machine is not None
    }
    frames = [
        machines[rank].said.frame() if rank in machines else one.signals
        for rank, one in enumerate(members.values())
    ]
    run = _run(shared, checked_signals(_signals_of_slots(sleeves, frames)), rules, state)
    initial = run.equity()
    if machines:
        first_rows = [sum(frame.height for frame in frames[:rank]) for rank in machines]
        logs = simulate_machines(run, rules, list(machines.values()), first_rows)
    else:
        logs = simulate(run, rules, list(rule_stretches(run, rules)), keeps_tables=True)
    found = result_of(
        replace(run, state=state_for_tables(run.state)),
        logs, shared, _named_as_in_tables(rules), label, initial,
    )  # fmt: skip
    named: dict[str, Any] = {
        entry.name: _by_strategy(getattr(found, entry.name), TABLES[entry.name])
        for entry in fields(BacktestResult)
        if entry.name in TABLES and "symbol" in TABLES[entry.name].columns
    }
    shown = tuple(symbol_of(slot) for slot in run.state.symbols)
    assert isinstance(found.history, OrderHistory)
    found = replace(found, history=replace(found.history, shown=shown))
    return replace(found, **named, state=run.state.pruned())


def _run(
    market: SharedMarket, said: SymbolRows, rules: SharedRules, state: TradingState | None
) -> Run:
    run = Run.of(market, said, rules, state)
    expected = market.sleeves.slots(symbol_of(slot) for slot in run.state.symbols)
    if run.state.symbols != expected:
        raise ConfigError(
            "the state is of other strategies than this account has: start it from cash, or give"
            f" it {', '.join(market.sleeves.strategies)} in this order"
        )
    return replace(run, state=with_keys_of_symbols(run.state))


def _signals_of_slots(sleeves: Sleeves, signals: Sequence[pl.DataFrame]) -> pl.DataFrame:
    """The signals of all strategies, by slot."""
    return pl.concat(
        frame.select(list(SIGNAL_DTYPES)).with_columns(
            symbol=pl.lit(sleeves.slot(rank, "")) + pl.col("symbol")
        )
        for rank, frame in enumerate(signals)
    )


def _refuse_other_rules(rules: Mapping[str, TradingRules]) -> None:
    """Raises ConfigError where strategies of one account differ in what is the account's."""
    first_name = next(iter(rules))
    first = rules[first_name].of_the_account()
    for name, one in rules.items():
        own = one.of_the_account()
        if own != first:
            differs = [
                entry.name
                for entry in fields(TradingRules)
                if getattr(own, entry.name) != getattr(first, entry.name)
            ]
            raise ConfigError(
                f"{name} and {first_name} share an account and differ in {', '.join(differs)}: one"
                " account has one of each"
            )


def _named_as_in_tables(rules: SharedRules) -> SharedRules:
    """`rules` with the terms of slots under the names that tables have."""
    terms = rules.instruments
    named = (replace(row, symbol=name_in_ids(row.symbol)) for row in terms.rows)
    return replace(rules, instruments=Instruments.of(named, terms.default))


def _by_strategy(frame: pl.DataFrame, table: Table) -> pl.DataFrame:
    """`frame` with strategy and symbol in place of the names of slots."""
    names = [name for name in ("symbol", "successor") if name in frame.columns]
    parts = pl.col("symbol").str.splitn("/", 2)
    columns = {name: pl.col(name).str.splitn("/", 2).struct.field("field_1") for name in names}
    return table.conform(frame.with_columns(strategy=parts.struct.field("field_0"), **columns))
