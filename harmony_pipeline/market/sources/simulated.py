"""A seeded stand-in for US equities: credible bars, corporate actions and a universe without any
vendor.

What is simulated: a market factor, sector factors and residuals; calm, normal and stressed regimes
with volatility that clusters by day and by bar; jumps, earnings and nights; U-shaped volume; thin
trading before the open and after the close; low-float names that gap on news days; splits,
dividends, halts, missing minutes, late listings and a delisting. `edge="none"` makes every price a
martingale, `edge="planted"` hides a drift that volume gives away;
`market/simulation/price_process.py` has the equations.

Rows depend on the settings and on their own symbol and session alone. Any range, any choice of
symbols and any order of calls give the rows of one great call, bit for bit, and neither `end` nor
the number of symbols changes a row. The market is made of bars of `market.timeframe` from
`market.start` on; coarser bars are summed from those.

To recompute a session one needs the state at the end of the one before. These states (80 bytes a
symbol and session) are kept as they become known, so a later range costs its own bars only.
"""

import math
from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.frames import format_columns
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.simulation import trades_and_quotes as tape
from harmony_pipeline.market.simulation.companies import Listing, listings
from harmony_pipeline.market.simulation.market_clock import MarketClock, build_clock
from harmony_pipeline.market.simulation.price_process import (
    PRICE,
    REGULAR_CLOSE,
    SPLITS,
    STATE_SIZE,
    Rules,
    simulate_prices,
)
from harmony_pipeline.market.simulation.random_keys import PATHS, VOLATILITY, key_of
from harmony_pipeline.market.simulation.reference_data import corporate_actions, universe
from harmony_pipeline.market.simulation.resample import resample_session_bars
from harmony_pipeline.market.simulation.volatility import LEVELS, STAYS, market_volatility
from harmony_pipeline.market.source_settings import SimulatedSourceSettings
from harmony_pipeline.market.sources.base import (
    SOURCE_BAR_DTYPES,
    SOURCE_QUOTE_DTYPES,
    SOURCE_TRADE_DTYPES,
    MarketDataSource,
    SourceCapabilities,
)
from harmony_pipeline.market.timeframes import TIMEFRAME_MINUTES

# regular bars in which the planted drift falls to 1/e: half of it is gone after six
EDGE_MEMORY_BARS = 9.0
_SURPRISE_SCALE = 1.254653559262258  # 1 / sqrt(E[tanh(2 v)^2]) for a standard normal v
_MOOD_MEMORY_MINUTES = 240.0  # in which the volatility and volume of single bars forget


class SimulatedSource(MarketDataSource):
    """A source that makes its own market. Cheap to build; the first question for bars compiles or
    loads the kernel.
    """

    name = "simulated"
    capabilities = SourceCapabilities(remote=False, stream=True, quotes=True, trades=True)

    def __init__(self, settings: SimulatedSourceSettings, market: MarketSettings) -> None:
        self.settings = settings
        self.market = market
        self._states: dict[str, FloatArray] = {}
        self._walked: dict[str, int] = {}

    @property
    def identity(self) -> str:
        """The settings that shape the market, apart from its length and breadth, which change no
        row.
        """
        shape = self.settings.model_dump(exclude={"symbols", "low_float_symbols"})
        return f"{self.name} {self.market.timeframe} from {self.market.start}: {shape}"

    def bars(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> pl.DataFrame:
        """Raw bars in `start <= timestamp < end`. Raises DataError for an unknown symbol or bars
        finer than the market's own.
        """
        own = self.market.timeframe
        if (
            timeframe not in TIMEFRAME_MINUTES
            or TIMEFRAME_MINUTES[timeframe] % TIMEFRAME_MINUTES[own]
        ):
            raise DataError(
                f"the simulated market is made of {own} bars and cannot give {timeframe}: set"
                f' market.timeframe = "{timeframe}" or ask for a multiple of {own}'
            )
        first, last = (moment.astimezone(UTC).date() for moment in (start, end))
        sessions = self._clock.sessions(first - timedelta(days=1), last + timedelta(days=2))
        frame = self._rows(self._choose(symbols), *sessions)
        if timeframe != own:
            frame = resample_session_bars(frame, self._calendar, own, timeframe)
        return frame.filter((pl.col("timestamp") >= start) & (pl.col("timestamp") < end))

    def stream(self, symbols: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        """Every bar of the market as it ends, oldest first, one frame a timestamp; stops at the
        market's end.
        """
        chosen = self._choose(symbols)
        for session in range(len(self._clock.dates)):
            day = self._rows(chosen, session, session + 1).sort("timestamp", "symbol")
            yield from day.partition_by("timestamp", maintain_order=True)

    def trades(self, symbols: Sequence[str] | None, start: datetime, end: datetime) -> pl.DataFrame:
        """The trades behind the bars, which they add up to; see
        market/simulation/trades_and_quotes.py. Raises DataError for an unknown symbol.
        """
        frames = [
            self._tape(listing, bars, quotes=False)
            for listing, bars in self._sessions_of(symbols, start, end)
        ]
        return self._within(
            pl.concat([pl.DataFrame(schema=SOURCE_TRADE_DTYPES), *frames]), start, end
        )

    def quotes(self, symbols: Sequence[str] | None, start: datetime, end: datetime) -> pl.DataFrame:
        """The quotes around those trades. Raises DataError for an unknown symbol."""
        frames = [
            self._tape(listing, bars, quotes=True)
            for listing, bars in self._sessions_of(symbols, start, end)
        ]
        return self._within(
            pl.concat([pl.DataFrame(schema=SOURCE_QUOTE_DTYPES), *frames]), start, end
        )

    def corporate_actions(self, symbols: Sequence[str] | None) -> pl.DataFrame:
        """Splits and cash dividends up to the market's end."""
        chosen = self._choose(symbols)
        return corporate_actions(chosen, self._all_states(chosen), self._clock.dates.to_list())

    def universe(self) -> pl.DataFrame:
        """Every company as known when it listed, each quarter, at splits and at the announcement of
        a delisting.
        """
        chosen = self._choose(None)
        return universe(chosen, self._all_states(chosen), self._clock.dates.to_list())

    # --- the market -------------------------------------------------------------------------------

    @cached_property
    def _calendar(self) -> Calendar:
        return Calendar.of(self.market.calendar)

    @cached_property
    def _clock(self) -> MarketClock:
        end = self.market.end or datetime.now(UTC).date()
        return build_clock(
            self._calendar,
            self.market.timeframe,
            self.market.start,
            max(end, self.market.start),
            extended_hours=self.market.extended_hours,
            missing_minute_probability=self.settings.missing_minute_probability,
        )

    @cached_property
    def _listings(self) -> dict[str, Listing]:
        found = listings(self.settings, self._calendar.sessions_per_year)
        return {listing.symbol: listing for listing in found}

    @cached_property
    def _volatility(self) -> FloatArray:
        return market_volatility(
            key_of(self.settings.seed, VOLATILITY), self._clock.arrays.ordinal, LEVELS, STAYS
        )

    @cached_property
    def _rules(self) -> Rules:
        per_year = self._calendar.sessions_per_year
        minutes = min(TIMEFRAME_MINUTES[self.market.timeframe], 390)
        return Rules(
            key=key_of(self.settings.seed, PATHS),
            strength=self.settings.edge_strength if self.settings.edge == "planted" else 0.0,
            persistence=math.exp(-1.0 / EDGE_MEMORY_BARS),
            surprise_scale=_SURPRISE_SCALE,
            bar_memory=math.exp(-minutes / _MOOD_MEMORY_MINUTES),
            halt_probability=self.settings.halts_per_year / per_year,
            sessions_per_year=float(per_year),
        )

    def _choose(self, symbols: Sequence[str] | None) -> list[Listing]:
        if symbols is None:
            return list(self._listings.values())
        unknown = sorted(set(symbols) - set(self._listings))
        if unknown:
            some = ", ".join(list(self._listings)[:5])
            raise DataError(
                f"the simulated market has no symbol '{unknown[0]}', its names are invented"
                f" ({some}, ...): leave market.symbols empty for all"
            )
        return [self._listings[symbol] for symbol in sorted(set(symbols))]

    # --- ticks ------------------------------------------------------------------------------------

    def _sessions_of(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime
    ) -> Iterator[tuple[Listing, pl.DataFrame]]:
        """Each company's bars of the sessions that may have ticks in the range, with the moments
        between which each trades.
        """
        first, last = (moment.astimezone(UTC).date() for moment in (start, end))
        sessions = self._clock.sessions(first - timedelta(days=1), last + timedelta(days=2))
        opens = self._calendar.table.select(session_date="date", opening="open")
        begin = (
            pl.when(pl.col("session") == "regular")
            .then(pl.max_horizontal("timestamp", "opening"))
            .otherwise("timestamp")
        )
        for listing in self._choose(symbols):
            bars = self._calendar.with_session(
                self._rows([listing], *sessions), self.market.timeframe
            )
            yield (
                listing,
                bars.join(opens, on="session_date", how="left", maintain_order="left").with_columns(
                    begin=begin
                ),
            )

    def _tape(self, listing: Listing, frame: pl.DataFrame, *, quotes: bool) -> pl.DataFrame:
        """Ticks of whole sessions; `row` counts the trades of a session, and a quote has that of
        the trade it stands behind.
        """
        key = key_of(self.settings.seed, tape.TAPE, listing.company.number)
        stamps = (
            frame[name].dt.epoch("us").to_numpy() for name in ("timestamp", "begin", "bar_end")
        )
        bars = tape.Bars(
            *stamps,
            *(
                frame[name].to_numpy()
                for name in ("open", "high", "low", "close", "volume", "trade_count")
            ),
        )
        counts = tape.count_trades(bars)
        room = int(counts.sum())
        moments, prices, sizes = np.empty(room, np.int64), np.empty(room), np.empty(room)
        tape.generate_trades(key, bars, moments, prices, sizes)
        place = pl.DataFrame(
            {"date": frame["session_date"].gather(np.repeat(np.arange(len(counts)), counts))}
        )
        place = place.select("date", row=pl.int_range(1, pl.len() + 1).over("date"))
        if not quotes:
            return self._ticks(
                listing,
                place,
                {"timestamp": moments, "price": prices, "size": sizes},
                SOURCE_TRADE_DTYPES,
            )
        quoted, values, behind = (
            np.empty(room, np.int64),
            np.empty((room, 4)),
            np.empty(room, np.int64),
        )
        number = tape.generate_quotes(key, bars, counts, moments, prices, quoted, values, behind)
        sides = {
            name: values[:number, column].copy()
            for column, name in enumerate(("bid", "bid_size", "ask", "ask_size"))
        }
        return self._ticks(
            listing,
            place[behind[:number]],
            {"timestamp": quoted[:number], **sides},
            SOURCE_QUOTE_DTYPES,
        )

    def _ticks(
        self,
        listing: Listing,
        place: pl.DataFrame,
        columns: Mapping[str, npt.NDArray[np.generic]],
        dtypes: Mapping[str, Any],
    ) -> pl.DataFrame:
        frame = place.with_columns(
            pl.Series(name, values) for name, values in columns.items()
        ).with_columns(
            symbol=pl.lit(listing.symbol),
            source=pl.lit(self.name),
            origin=format_columns(f"seed {self.settings.seed}, {{}}", "date"),
        )
        return frame.select(
            pl.col(name).cast(dtype) if name in frame.columns else pl.lit(None, dtype).alias(name)
            for name, dtype in dtypes.items()
        )

    def _within(self, ticks: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
        return ticks.filter((pl.col("timestamp") >= start) & (pl.col("timestamp") < end))

    # --- walking ----------------------------------------------------------------------------------

    def _rows(self, chosen: Sequence[Listing], begin: int, end: int) -> pl.DataFrame:
        """Bars of sessions `begin <= session < end`, sorted by symbol and timestamp."""
        walked = [self._walk(listing, begin, end) for listing in chosen]
        stamps = np.concatenate([stamp for stamp, _ in walked]) if walked else np.empty(0, np.int64)
        values = np.concatenate([value for _, value in walked]) if walked else np.empty((0, 7))
        which = (
            np.repeat(np.arange(len(walked)), [len(stamp) for stamp, _ in walked])
            if walked
            else np.empty(0, np.int64)
        )
        numbers = {
            name: np.ascontiguousarray(values[:, column])
            for column, name in enumerate(
                ("open", "high", "low", "close", "volume", "trade_count", "vwap")
            )
        }
        frame = pl.DataFrame({"timestamp": stamps, **numbers}).with_columns(
            pl.Series("symbol", [listing.symbol for listing in chosen], dtype=pl.String).gather(
                which
            ),
            timeframe=pl.lit(self.market.timeframe),
            source=pl.lit(self.name),
            origin=pl.lit(f"seed {self.settings.seed}"),
            row=pl.lit(None),
            defect=pl.lit(None),
        )
        return frame.select(pl.col(name).cast(dtype) for name, dtype in SOURCE_BAR_DTYPES.items())

    def _walk(self, listing: Listing, begin: int, end: int) -> tuple[IntArray, FloatArray]:
        """One company's bars of the sessions asked, going through earlier ones when they are not
        known yet.

        Two threads may do the same walk at once: both write the same bits, so nothing is locked.
        """
        symbol = listing.symbol
        states = self._states.setdefault(symbol, self._first_states(listing))
        known = min(self._walked.get(symbol, 0), begin)
        room = self._clock.bars_between(begin, end)
        stamps, values = np.empty(room, np.int64), np.empty((room, 7))
        rows = simulate_prices(
            listing.company,
            self._rules,
            self._clock.arrays,
            self._volatility,
            states,
            known,
            end,
            begin,
            stamps,
            values,
        )
        self._walked[symbol] = max(self._walked.get(symbol, 0), end)
        return stamps[:rows], values[:rows]

    def _first_states(self, listing: Listing) -> FloatArray:
        states = np.zeros((len(self._clock.dates) + 1, STATE_SIZE))
        states[0, [PRICE, REGULAR_CLOSE]] = listing.company.price
        states[0, SPLITS] = 1.0
        return states

    def _all_states(self, chosen: Sequence[Listing]) -> dict[str, FloatArray]:
        sessions = len(self._clock.dates)
        for listing in chosen:
            if self._walked.get(listing.symbol, 0) < sessions:
                self._walk(listing, sessions, sessions)
        return {
            listing.symbol: self._states[listing.symbol]
            for listing in chosen
            if listing.symbol in self._states
        }
