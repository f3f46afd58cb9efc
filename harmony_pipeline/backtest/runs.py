"""What a run trades on: a market that is ready, and the arrays that the kernels read of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np
import polars as pl

from harmony_pipeline.backtest.input_arrays import (
    MarketBars,
    SessionColumns,
    SignalColumns,
    SymbolRows,
    market_bars,
    regular_bars,
    session_columns,
    signal_columns,
)
from harmony_pipeline.errors import DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.lives import (
    actions_by_new_symbol,
    empty_events,
    relevant_events,
    symbols_of,
)
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES
from harmony_pipeline.portfolio.corporate_actions import packed_actions, packed_lives
from harmony_pipeline.portfolio.kernel_types import MONEY, Records
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.state import TradingState
from harmony_pipeline.schemas import TIME

_EPOCH = date(1970, 1, 1)


@dataclass(frozen=True)
class Market:
    """Bars that are ready to be traded on: checked once, for any number of runs."""

    bars: SymbolRows
    actions: pl.DataFrame
    events: pl.DataFrame
    calendar: Calendar
    timeframe: str
    sessions: SessionColumns
    first: date | None
    last: date | None

    @staticmethod
    def of(
        bars: pl.DataFrame,
        actions: pl.DataFrame,
        calendar: Calendar,
        timeframe: str,
        *,
        lives: pl.DataFrame | None = None,
        until: date | None = None,
    ) -> "Market":
        """The frames of `run_backtest`, which see for what is raised."""
        traded, sessions = regular_bars(bars), session_columns(calendar, timeframe)
        first, last = _span(traded, sessions)
        events = empty_events() if lives is None else lives
        named = actions_by_new_symbol(actions, events)
        return Market(traded, named, events, calendar, timeframe, sessions, first, until or last)

    @property
    def names(self) -> tuple[str, ...]:
        """What is traded, sorted."""
        return self.bars.names

    def columns(self, names: Sequence[str]) -> MarketBars:
        """The bars of `names`, which are all that a run knows, as the loop walks them."""
        return market_bars(self.bars, names)


@dataclass(frozen=True)
class Run:
    """What one run trades on, as the kernels read it, and the state that it changes."""

    state: TradingState
    bars: MarketBars
    signals: SignalColumns
    sessions: SessionColumns
    actions: Records
    lives: Records
    moments: Mapping[int, tuple[int, int]]
    """For each day of an event of lives: the moment of it where no bar tells, and its session."""

    @staticmethod
    def of(
        market: Market, said: SymbolRows, rules: TradingRules, state: TradingState | None
    ) -> "Run":
        """A run over `market` by the signals `said`, from `state` or from cash."""
        names = market.names
        models = said.rows["model_id"].drop_nulls().unique().to_list()
        start = TradingState.opening(names, rules.initial_cash) if state is None else state
        behind, ahead = _split_events(market.events, start, names, market.first, market.last)
        now = start.extended([*names, *symbols_of(ahead)], models)
        now.mark_ended(behind)
        return Run(
            now,
            market.columns(now.symbols),
            signal_columns(said, now.symbols, now.portfolio.models),
            market.sessions,
            packed_actions(market.actions, now.symbols),
            packed_lives(ahead, now.symbols),
            _moments(ahead, market.calendar, market.timeframe),
        )

    @property
    def is_alone(self) -> bool:
        """Whether it knows one symbol, so that each row of its curve is a bar."""
        return len(self.bars.begin) == 1

    def equity(self) -> float:
        """The account's equity as it stands, in the market's currency."""
        return int(self.state.portfolio.account["equity"][0]) / MONEY


def _span(bars: SymbolRows, sessions: SessionColumns) -> tuple[date | None, date | None]:
    """Session dates of the first and the last bar. Raises DataError for a later bar."""
    if not len(bars.at):
        return None, None
    moments = (bars.first_moment(), bars.last_moment())
    places = [int(np.searchsorted(sessions.until, at, side="right")) for at in moments]
    if places[-1] >= len(sessions.until):
        raise DataError("bars hold rows after the last session of the calendar")
    first, last = (_EPOCH + timedelta(days=int(sessions.date[place])) for place in places)
    return first, last


def _split_events(
    events: pl.DataFrame,
    start: TradingState,
    symbols: Iterable[str],
    first: date | None,
    last: date | None,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Events that are behind the run, and those of the run's symbols that happen within it."""
    if last is None or events.is_empty():
        return events.clear(), events.clear()
    since = start.booked_until(last if first is None else first)
    return events.filter(pl.col("date") <= since), relevant_events(
        events.filter(pl.col("date") > since), {*start.symbols, *symbols}, last
    )


def _moments(lives: pl.DataFrame, calendar: Calendar, timeframe: str) -> dict[int, tuple[int, int]]:
    """Day of an event -> the start of the first session on or after it, which is what a bar of that
    day would be stamped, and the date of that session. All since 1970.
    """
    if lives.is_empty():
        return {}
    days = lives["date"].unique().sort()
    table = calendar.table
    place = table["date"].search_sorted(days, side="left").clip(0, table.height - 1)
    column = table["date"] if timeframe in LONG_TIMEFRAMES else table["open"]
    stamps = column.gather(place).cast(TIME)
    dates = calendar.with_session(pl.DataFrame({"timestamp": stamps}), timeframe)["session_date"]
    pairs = zip(stamps.to_physical().to_list(), dates.to_physical().to_list(), strict=True)
    return dict(zip(days.to_physical().to_list(), pairs, strict=True))
