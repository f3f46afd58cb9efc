"""Bars and quotes of a broker, through a MetaTrader 5 terminal on this machine (Windows).

What to know of it:

- Times are the server's wall clock written as if it were UTC (server_clock.py). `self_check`
  compares it with the last quote and with the hours of the market's calendar.
- Prices of bars are bids. Currencies and metals have no common volume: `tick_volume` counts the
  broker's own quotes. A bar in which none came has no row.
- A range is asked in pages, since the terminal gives no more bars than its charts may show, and
  until its answer no longer grows (mt5_terminal.py). What the terminal goes on to have none of is
  told in a note and leaves no rows, if it has later bars of the symbol; else it is an error.
- The running bar is held back. Daily bars bear the server's date.
- Quotes are the terminal's ticks whose bid or ask changed; `conditions` has their flags. There are
  no corporate actions, and what was listed in the past nobody tells.
- A quantity is in lots: terms of instruments are the symbol's digits, tick size, contract size and
  steps of volume.
"""

import difflib
import time
from collections.abc import Callable, Mapping, Sequence
from datetime import date, datetime, timedelta
from typing import Any

import numpy as np
import polars as pl

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.sources.base import (
    SOURCE_BAR_DTYPES,
    SOURCE_BAR_ORDER,
    SOURCE_QUOTE_DTYPES,
    Request,
    SourceCapabilities,
    SourceResult,
    split_requests,
)
from harmony_pipeline.market.sources.mt5_terminal import HistoryNotThere, Terminal
from harmony_pipeline.market.sources.polling import PolledSource, utc_now
from harmony_pipeline.market.sources.retry import RetryPolicy
from harmony_pipeline.market.sources.server_clock import ServerClock
from harmony_pipeline.market.timeframes import TIMEFRAME_MINUTES
from harmony_pipeline.schemas import QUOTE_TICKS, TIME, UNIVERSE
from harmony_pipeline.text import listing

_THEIRS = {"1Min": "TIMEFRAME_M1", "5Min": "TIMEFRAME_M5", "15Min": "TIMEFRAME_M15",
           "30Min": "TIMEFRAME_M30", "1Hour": "TIMEFRAME_H1", "1Day": "TIMEFRAME_D1"}  # fmt: skip
_DAY = timedelta(days=1)
_CLOCK_CHANGE = timedelta(hours=2)  # no clock is put on or back by more
_TICKS_AT_ONCE = timedelta(hours=6)
_PROBE = timedelta(days=14)  # a market that trades at all has a bar in these
_TERMS: dict[str, Any] = {
    "symbol": pl.String, "valid_from": pl.Date, "since_ever": pl.Boolean, "currency": pl.String,
    "tick_size": pl.Float64, "lot_size": pl.Float64, "minimum_quantity": pl.Float64,
    "multiplier": pl.Float64,
}  # fmt: skip
_QUOTES = {**SOURCE_QUOTE_DTYPES, "defect": pl.String()}
_NO_SUCH_HOUR = (
    "the server's clock leaves this hour out: compare market.mt5.server_clock with the clock of"
    " Market Watch, harmony doctor does it"
)
_FRESH, _CHECKED_BARS, _INSIDE = timedelta(minutes=3), 50, 0.98


class Mt5Source(PolledSource):
    """A source over one terminal."""

    name = "mt5"

    def __init__(
        self,
        market: MarketSettings,
        package: Any = None,
        retry: RetryPolicy | None = None,
        now: Callable[[], datetime] = utc_now,
        sleep: Callable[[float], None] = time.sleep,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """All but `market` is for tests. Nothing is imported or asked before the first question."""
        self.settings = market.mt5
        super().__init__(market, self.settings.settle_seconds, now, sleep)
        self.clock = ServerClock.of(market.mt5.server_clock)
        self._terminal = Terminal(
            market.mt5, retry or RetryPolicy(market.patience), package, environment, sleep
        )
        self._known: dict[str, Any] = {}
        self.capabilities = SourceCapabilities(
            universe_of_today=True,
            stream=True,
            instruments=True,
            quotes=True,
            self_check=True,
            publication_delay=timedelta(minutes=1, seconds=market.mt5.settle_seconds),
        )

    @property
    def identity(self) -> str:
        """The broker's server, its clock and what volume counts."""
        settings = self.settings
        return f"mt5 {self._terminal.server} on {settings.server_clock}, volume {settings.volume}"

    def requests(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> list[Request]:
        """One symbol and one page each."""
        if start >= end:
            return []
        span = timedelta(minutes=_minutes(timeframe)) * self.settings.page_rows
        return split_requests(self._choose(symbols), start, end, 1, span)

    def bars(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> pl.DataFrame:
        """Bars that are over, in `start <= timestamp < end`. Raises DataError for a symbol that the
        broker does not have.
        """
        return self.read_bars(symbols, start, end, timeframe).rows

    def read_bars(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> SourceResult:
        """`bars`, what the terminal had none of, and how often it had to be asked again."""
        _minutes(timeframe)
        before, over = (
            self._terminal.retries,
            self._now() - timedelta(seconds=self.settings.settle_seconds),
        )
        frames, notes = [pl.DataFrame(schema=SOURCE_BAR_DTYPES)], list[str]()
        for request in self.requests(symbols, start, end, timeframe):
            assert request.symbols is not None
            frames.append(
                self._page(request.symbols[0], request.start, request.end, timeframe, notes)
            )
        whole = pl.concat(frames)
        ended = self._ends(whole["timestamp"], timeframe) <= over
        rows = whole.filter(ended)
        return SourceResult(
            rows.sort(SOURCE_BAR_ORDER, maintain_order=True),
            tuple(dict.fromkeys(notes)),
            retries=self._terminal.retries - before,
        )

    def universe(self) -> pl.DataFrame:
        """The chosen symbols, under today's date; what the broker had before it does not tell."""
        rows = [{"date": self._now().date(), "symbol": symbol} for symbol in self._choose(None)]
        return UNIVERSE.conform(
            pl.DataFrame(rows, schema={name: UNIVERSE.dtypes[name] for name in ("date", "symbol")})
        )

    def instruments(self) -> pl.DataFrame:
        """Tick, lot and contract of each chosen symbol, as the broker states them today; older
        terms are not told, so they stand for the past too.
        """
        today = self._now().date()
        rows = [self._terms(self._symbol(symbol), today) for symbol in self._choose(None)]
        return pl.DataFrame(rows, schema=_TERMS)

    def quotes(self, symbols: Sequence[str] | None, start: datetime, end: datetime) -> pl.DataFrame:
        """Every change of bid or ask in `start <= timestamp < end`; a side of 0 is none."""
        return self.read_quotes(symbols, start, end).rows

    def read_quotes(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime
    ) -> SourceResult:
        """`quotes`, and what the terminal had none of."""
        before, notes = self._terminal.retries, list[str]()
        frames = [pl.DataFrame(schema=_QUOTES)]
        for symbol in self._choose(symbols):
            self._symbol(symbol)
            for each in split_requests([symbol], start, end, 1, _TICKS_AT_ONCE):
                frames.append(self._ticks(symbol, each.start, each.end, notes))
        rows = pl.concat(frames).sort(QUOTE_TICKS.key, maintain_order=True)
        return SourceResult(
            rows, tuple(dict.fromkeys(notes)), retries=self._terminal.retries - before
        )

    def self_check(self) -> str:
        """Compare the server's clock with ours and its bars with the calendar; what was found.
        Raises ConfigError when `server_clock` is another.
        """
        symbol = self._choose(None)[0]
        last, now = self._last_quote(self._symbol(symbol)), self._now()
        if last - now > _FRESH:
            raise ConfigError(
                f'market.mt5.server_clock: by "{self.settings.server_clock}" the last quote of'
                f" {symbol} is of {last:%Y-%m-%d %H:%M} UTC, which is still to come: the server is"
                f" at least {_hours(self.clock.offset(now) + (last - now))} of UTC, set its clock"
            )
        return (
            f"{symbol} at {self._terminal.server}: its last quote is of {last:%Y-%m-%d %H:%M} UTC,"
            f" {self._check_hours(symbol)}"
        )

    # --- the check --------------------------------------------------------------------------------

    def _last_quote(self, info: Any) -> datetime:
        read = self.clock.utc(pl.Series([int(info.time)]))[0]
        if read is None:
            raise ConfigError(f"market.mt5.server_clock: {_NO_SUCH_HOUR}")
        moment: datetime = read
        return moment

    def _check_hours(self, symbol: str) -> str:
        """How many hourly bars of the last weeks lie inside sessions. Raises ConfigError with the
        clock that would fit, where this one does not.
        """
        end = self._now()
        stamps = self.bars([symbol], end - 2 * _PROBE, end, "1Hour")["timestamp"]
        if len(stamps) < _CHECKED_BARS:
            return f"{len(stamps)} hourly bars of four weeks are too few to compare with sessions"
        own = self._inside(stamps, timedelta())
        if own >= _INSIDE:
            return f"{own:.1%} of {len(stamps)} hourly bars lie inside the calendar's sessions"
        others = {hours: self._inside(stamps, timedelta(hours=hours)) for hours in range(-12, 13)}
        best = max(others, key=lambda hours: (others[hours], -abs(hours)))
        cure = (
            f"moved by {best:+d} hours {others[best]:.1%} would: set it so"
            if others[best] >= _INSIDE
            else "no other clock fits either: is market.calendar that of this symbol?"
        )
        raise ConfigError(
            f'market.mt5.server_clock: by "{self.settings.server_clock}" only {own:.1%} of'
            f" {len(stamps)} hourly bars of {symbol} lie inside sessions of"
            f" {self.market.calendar}, {cure}"
        )

    def _inside(self, stamps: pl.Series, moved: timedelta) -> float:
        parts = Calendar.of(self.market.calendar).parts((stamps + moved).cast(TIME))
        return float(parts["session"].is_not_null().mean() or 0.0)  # type: ignore[arg-type]

    # --- pages ------------------------------------------------------------------------------------

    def _page(
        self, symbol: str, start: datetime, end: datetime, timeframe: str, notes: list[str]
    ) -> pl.DataFrame:
        """The bars of one page, in UTC; no rows and a note where the terminal has none."""
        self._symbol(symbol)
        about = f"{timeframe} bars of {symbol}"
        try:
            rates = self._rates(symbol, timeframe, start, end, about)
        except HistoryNotThere as error:
            if not self._is_open(start, end):
                return pl.DataFrame(schema=SOURCE_BAR_DTYPES)
            self._require_later(symbol, timeframe, end, error)
            notes.append(
                f"the terminal has no {about} from {start:%Y-%m-%d} to {end:%Y-%m-%d}: the broker's"
                " history may begin later, or Tools, Options, Charts, Max bars in chart is too low"
            )
            return pl.DataFrame(schema=SOURCE_BAR_DTYPES)
        rows = self._bars_frame(rates, symbol, timeframe)
        return rows.filter(pl.col("timestamp").is_between(start, end, closed="left"))

    def _rates(
        self, symbol: str, timeframe: str, start: datetime, end: datetime, about: str
    ) -> Any:
        first, last = self._readings(start, end, timeframe)
        return self._terminal.history(
            lambda package: package.copy_rates_range(
                symbol, vars(package)[_THEIRS[timeframe]], first, last
            ),
            about,
        )

    def _require_later(
        self, symbol: str, timeframe: str, end: datetime, error: HistoryNotThere
    ) -> None:
        """Raises the error when the terminal has no late bars of the symbol either."""
        now = self._now()
        if end >= now - _PROBE:
            raise error
        self._rates(symbol, timeframe, now - _PROBE, now, f"{timeframe} bars of {symbol}")

    def _is_open(self, start: datetime, end: datetime) -> bool:
        """Whether the market's calendar trades in any moment of the range."""
        days = Calendar.of(self.market.calendar).schedule(
            start.date() - _DAY, end.date() + 2 * _DAY
        )
        return not days.filter(pl.col("post_close") > start, pl.col("pre_open") < end).is_empty()

    def _readings(self, start: datetime, end: datetime, timeframe: str = "") -> tuple[int, int]:
        """The server's readings that hold all of `start` to `end`, whatever its clock does in
        between.
        """
        if timeframe == "1Day":
            days = (int(moment.timestamp()) for moment in (start, end))
            return next(days), next(days)
        return (
            self.clock.seconds(start - _CLOCK_CHANGE),
            self.clock.seconds(end + _CLOCK_CHANGE),
        )

    def _bars_frame(self, rates: Any, symbol: str, timeframe: str) -> pl.DataFrame:
        time_of = pl.Series(np.ascontiguousarray(rates["time"]).astype(np.int64))
        # a day bears the server's date: midnight UTC of it, as the server writes it
        stamps = (
            (time_of * 1_000_000).cast(TIME) if timeframe == "1Day" else self.clock.utc(time_of)
        )
        volume = rates["tick_volume" if self.settings.volume == "ticks" else "real_volume"]
        frame = pl.DataFrame(
            {
                "stamp": stamps,
                "other": stamps if timeframe == "1Day" else self._past_gap(time_of),
                **{
                    name: np.ascontiguousarray(rates[name])
                    for name in ("open", "high", "low", "close")
                },
                "volume": np.ascontiguousarray(volume).astype(np.float64),
            }
        ).with_columns(
            timestamp=pl.coalesce("stamp", "other"),
            defect=pl.when(pl.col("stamp").is_null()).then(pl.lit(_NO_SUCH_HOUR)),
            symbol=pl.lit(symbol),
            timeframe=pl.lit(timeframe),
            source=pl.lit(self.name),
            origin=pl.lit(f"{self._terminal.server} {symbol}"),
        )
        return frame.select(
            pl.col(name).cast(kind) if name in frame.columns else pl.lit(None, kind).alias(name)
            for name, kind in SOURCE_BAR_DTYPES.items()
        )

    def _past_gap(self, readings: pl.Series, per_second: int = 1) -> pl.Series:
        """Instants of readings in an hour that the clock leaves out: read on from the hour
        before.
        """
        return self.clock.utc(readings + 3600 * per_second, per_second) - timedelta(hours=1)

    def _ends(self, stamps: pl.Series, timeframe: str) -> pl.Series:
        """The moment after which each bar is over."""
        if timeframe != "1Day":
            return stamps + timedelta(minutes=_minutes(timeframe))
        written = stamps.dt.epoch("s") + 86_400
        return self.clock.utc(written).fill_null(strategy="forward")

    def _ticks(self, symbol: str, start: datetime, end: datetime, notes: list[str]) -> pl.DataFrame:
        """Quotes of one stretch of hours; no rows and a note where the terminal has none."""
        first, last = self._readings(start, end)
        about = f"ticks of {symbol}"
        try:
            ticks = self._terminal.history(
                lambda package: package.copy_ticks_range(
                    symbol, first, last, package.COPY_TICKS_INFO
                ),
                about,
            )
        except HistoryNotThere:
            self._require_ticks(symbol)
            if not self._is_open(start, end):
                return pl.DataFrame(schema=_QUOTES)
            notes.append(
                f"the terminal has no {about} from {start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M}"
            )
            return pl.DataFrame(schema=_QUOTES)
        columns = {name: np.ascontiguousarray(ticks[name]) for name in ("bid", "ask", "flags")}
        readings = pl.Series(np.ascontiguousarray(ticks["time_msc"]))
        stamps, others = self.clock.utc(readings, 1000), self._past_gap(readings, 1000)
        frame = pl.DataFrame({"stamp": stamps, "other": others, **columns}).with_columns(
            timestamp=pl.coalesce("stamp", "other"),
            defect=pl.when(pl.col("stamp").is_null()).then(pl.lit(_NO_SUCH_HOUR)),
        )
        frame = frame.filter(pl.col("timestamp").is_between(start, end, closed="left"))
        frame = frame.with_columns(
            pl.when(pl.col(side) > 0.0).then(side).alias(side) for side in ("bid", "ask")
        ).with_columns(
            symbol=pl.lit(symbol),
            conditions=pl.col("flags").cast(pl.String),
            source=pl.lit(self.name),
            origin=pl.lit(f"{self._terminal.server} ticks of {symbol}"),
            row=pl.int_range(1, pl.len() + 1).over("timestamp"),
        )
        return frame.select(
            pl.col(name).cast(kind) if name in frame.columns else pl.lit(None, kind).alias(name)
            for name, kind in _QUOTES.items()
        )

    def _require_ticks(self, symbol: str) -> None:
        """Raises HistoryNotThere when the terminal lacks even the ticks around the last quote: what
        it then says of other hours must not replace what is known of them.
        """
        last = int(self._symbol(symbol).time)
        self._terminal.history(
            lambda package: package.copy_ticks_range(
                symbol, last - 3600, last, package.COPY_TICKS_INFO
            ),
            f"ticks of {symbol}",
        )

    # --- symbols ----------------------------------------------------------------------------------

    def _choose(self, symbols: Sequence[str] | None) -> list[str]:
        """The symbols asked, or those of the settings, of the group, or shown in Market Watch."""
        named = symbols if symbols is not None else self.market.symbols or None
        if named is not None:
            return sorted(set(named))
        group = self.settings.group
        there = self._terminal.ask(
            lambda package: package.symbols_get() if group is None else package.symbols_get(group),
            "its list of symbols",
        )
        chosen = sorted(each.name for each in there if group is not None or each.visible)
        if not chosen:
            raise ConfigError(
                "Market Watch of the terminal shows no symbol: name some in market.symbols"
                if group is None
                else f"market.mt5.group is '{group}', and the broker has no symbol of it"
            )
        return chosen

    def _symbol(self, symbol: str) -> Any:
        """What the broker says of a symbol, which is put into Market Watch: others have no history.
        Raises DataError with names like it when the broker has none of that name.
        """
        if symbol not in self._known:
            there = self._terminal.ask(lambda package: package.symbols_get(), "its symbols")
            names = [each.name for each in there]
            if symbol not in names:
                near = difflib.get_close_matches(symbol, names, n=3, cutoff=0.5) + [
                    name for name in names if symbol.lower() in name.lower()
                ]
                raise DataError(
                    f"the broker has no symbol {listing([symbol])}: it may have an ending of its"
                    f" own; names like it are {listing(dict.fromkeys(near), 5)}"
                )
            self._terminal.ask(
                lambda package: package.symbol_select(symbol, True), f"{symbol} in Market Watch"
            )
            self._known[symbol] = True
        return self._terminal.ask(
            lambda package: package.symbol_info(symbol), f"the terms of {symbol}"
        )

    def _terms(self, info: Any, today: date) -> dict[str, Any]:
        """Terms of one symbol, in lots."""
        tick = info.trade_tick_size or info.point
        return {
            "symbol": info.name,
            "valid_from": today,
            "since_ever": True,
            "currency": info.currency_profit or None,
            "tick_size": round(tick, info.digits) if tick else None,
            "lot_size": info.volume_step or None,
            "minimum_quantity": info.volume_min or None,
            "multiplier": info.trade_contract_size or None,
        }


def _minutes(timeframe: str) -> int:
    if timeframe not in _THEIRS:
        raise ConfigError(
            f"the timeframe is '{timeframe}', and bars of MetaTrader 5 are taken of"
            f" {', '.join(_THEIRS)}: set market.timeframe to one of them"
        )
    return TIMEFRAME_MINUTES[timeframe]


def _hours(apart: timedelta) -> str:
    hours = round(apart / timedelta(minutes=15)) / 4
    return f"{abs(hours):g} hours {'ahead' if hours > 0 else 'behind'}"
