"""The sleeves of an account that several strategies share: each strategy has a position of its own
in each symbol.

What kernels call a symbol is here a *slot*: one strategy in one symbol. It has the bars, corporate
actions, instrument and costs of its symbol, and the signals, exits and share of its strategy. So
one cash account, one risk engine and the same kernels serve all. Slots are in order of strategies,
as the settings list them, then of symbols. Every strategy has a slot in every symbol.

A slot is named `000/rsi_momentum/AAPL` in the state, where names are sorted, and
`rsi_momentum/AAPL` in ids.

The rule, which risk/limits.py judges:

- Of one moment, exits are decided before entries, and entries in order of slots. What is left of a
  limit of the account is the earlier strategy's.
- An account is never long and short in one symbol. An entry is refused as `opposite_position` while
  another strategy holds the symbol, or waits to enter it, on the other side.
- Positions of several strategies on the same side stand beside each other, each with its own exits.
  Together they stay within `max_position`, and their fills of one bar within its participation.
- A strategy holds no more than its share of each limit of exposure (`max_strategy_share`), as if
  that part of the equity were its account; of a tighter limit of its own, where it has one
  (risk/strategy_limits.py). Every limit of the account holds for the sum.
- Chance at the exchange is that of symbol, moment and kind of order: two strategies have it in
  common.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from datetime import date

import numpy as np
import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.execution.random_draws import symbol_keys
from harmony_pipeline.market.instruments import Instruments
from harmony_pipeline.market.sectors import Sectors
from harmony_pipeline.portfolio.allocation import Weights
from harmony_pipeline.portfolio.kernel_types import Records
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.state import TradingState

_DIGITS = 3


@dataclass(frozen=True)
class Sleeves:
    """The strategies of an account, in order."""

    strategies: tuple[str, ...]

    def slot(self, rank: int, symbol: str) -> str:
        """The slot of the strategy number `rank` in a symbol."""
        return f"{rank:0{_DIGITS}d}/{self.strategies[rank]}/{symbol}"

    def slots(self, symbols: Iterable[str]) -> tuple[str, ...]:
        """Every slot of these symbols, sorted."""
        names = sorted(set(symbols))
        return tuple(
            self.slot(rank, name) for rank in range(len(self.strategies)) for name in names
        )

    def frame(self, frame: pl.DataFrame, columns: Sequence[str] = ("symbol",)) -> pl.DataFrame:
        """`frame` once for each strategy, with slots in place of symbols."""
        if not self.strategies:
            return frame.clear()
        return pl.concat(
            frame.with_columns(
                pl.concat_str(pl.lit(self.slot(rank, "")), name).alias(name) for name in columns
            )
            for rank in range(len(self.strategies))
        )


def symbol_of(slot: str) -> str:
    """The symbol of a slot."""
    return slot.split("/", 2)[2]


def rank_of(slot: str) -> int:
    """The place of a slot's strategy."""
    return int(slot[:_DIGITS])


def strategy_of(slot: str) -> str:
    """The strategy of a slot."""
    return slot.split("/", 2)[1]


def name_in_ids(slot: str) -> str:
    """Strategy and symbol of a slot."""
    return slot[_DIGITS + 1 :]


@dataclass(frozen=True)
class SharedRules(TradingRules):
    """The rules of an account with sleeves, whose symbols are slots. Build it by
    `SharedRules.shared`. What is not said here is the same for all its strategies.
    """

    sleeves: Sleeves = Sleeves(())
    exits: tuple[tuple[bool, int, int], ...] = ()
    """(barriers, horizon, vertical_sessions) of each strategy."""
    weights: Weights = ()
    terms: tuple[Mapping[str, float], ...] = ()
    """What else each strategy has of its own, as fields of RULES; none: all are alike."""

    @staticmethod
    def shared(sleeves: Sleeves, rules: Sequence[TradingRules], weights: Weights) -> "SharedRules":
        """From the rules of each strategy by itself, which are alike `of_the_account`."""
        first, ranks = rules[0], range(len(sleeves.strategies))
        values = {entry.name: getattr(first, entry.name) for entry in fields(TradingRules)}
        terms = first.instruments
        values["instruments"] = Instruments.of(
            (
                replace(row, symbol=sleeves.slot(rank, row.symbol))
                for rank in ranks
                for row in terms.rows
            ),
            terms.default,
        )
        values["sectors"] = Sectors(
            tuple(
                (sleeves.slot(rank, symbol), day, sector)
                for rank in ranks
                for symbol, day, sector in first.sectors.rows
            )
        )
        costs = {
            sleeves.slot(rank, symbol): own
            for rank in ranks
            for symbol, own in first.costs.symbols.items()
        }
        values["costs"] = first.costs.model_copy(update={"symbols": costs})
        exits = tuple((one.barriers, one.horizon, one.vertical_sessions) for one in rules)
        own = tuple(one.of_the_strategy() for one in rules)
        return SharedRules(
            **values, sleeves=sleeves, exits=exits, weights=weights,
            terms=() if all(one == own[0] for one in own) else own,
        )  # fmt: skip

    def records(self, symbols: Sequence[str], day: date = date.max) -> Records:
        """`TradingRules.records` of slots: all of some symbols, in order."""
        size = len(symbols) // len(self.exits)
        # the terms of a symbol are the same in every sleeve
        table = np.tile(super().records(symbols[:size], day), len(self.exits))
        known = [weights for since, weights in self.weights if since <= day]
        shares = known[-1] if known else self.weights[0][1] if self.weights else ()
        for rank, (barriers, horizon, sessions) in enumerate(self.exits):
            own = table[rank * size : (rank + 1) * size]
            own["barriers"], own["horizon"] = barriers, horizon
            own["vertical_sessions"] = sessions
            own["sleeve_symbols"] = size
            own["share"] = shares[rank] if shares else 0.0
            for name, value in self.terms[rank].items() if self.terms else ():
                own[name] = value
        table["watches_strategies"] = table["watches_strategies"].max(initial=0)
        return table

    def changes(self, symbols: Iterable[str]) -> list[date]:
        """Dates on which the records of one of these slots change: the weights, too."""
        return sorted({*super().changes(symbols), *(since for since, _ in self.weights)})


def with_keys_of_symbols(state: TradingState) -> TradingState:
    """`state` of slots with each slot's random draws being those of its symbol."""
    keys = symbol_keys([symbol_of(slot) for slot in state.symbols])
    return replace(state, exchange=replace(state.exchange, keys=keys))


def moved_state(state: TradingState, owners: Sequence[str], sleeves: Sleeves) -> TradingState:
    """`state`, which has slots of the strategies `owners`, under those of `sleeves`; none on either
    side: one strategy has the account, and symbols are plain.

    What a strategy that is not of `sleeves` remembers without a position or an order is dropped.
    Raises DataError where such a one holds something: its orders and trades have its name.
    """
    ranks = {name: rank for rank, name in enumerate(sleeves.strategies)}
    whose = [strategy_of(name) if owners else None for name in state.symbols]
    left = sorted(
        {whose[row] or "one strategy" for row in state.busy_rows() if whose[row] not in ranks}
    )
    if left:
        raise DataError(
            f"the session before left positions or working orders of {', '.join(left)}, which the"
            f" next one does not trade ({', '.join(ranks) or 'it is of one strategy'}): let the"
            " same strategies trade until they are closed, or end a day with"
            " session.flatten_at_close = true"
        )
    return state.renamed(
        {
            name: sleeves.slot(ranks[owner], symbol_of(name))
            for name, owner in zip(state.symbols, whose, strict=True)
            if owner in ranks
        }
    )


def state_for_tables(state: TradingState) -> TradingState:
    """`state` of slots under the names that ids have."""
    names = tuple(name_in_ids(slot) for slot in state.symbols)
    return replace(state, portfolio=replace(state.portfolio, symbols=names))
