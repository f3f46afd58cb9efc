"""Alpaca as a source: raw bars of one feed, ticks, corporate actions, assets, calendar.

A bar is handed out when it has ended and not before. Alpaca hands out the bar in progress as if it
were whole, so the newest ones are held back here by the clock (`now`), and with them everything
that the plan does not allow to be seen yet (`sip_delay_minutes`).

Symbols are tickers as traded at the time (`asof=-`): Alpaca's own mapping would give the past of
today's META under META, and the universe of the past would then know the future. Prices are raw:
the lake adjusts forward by its own factors.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, time, timedelta
from functools import cached_property, partial
from itertools import chain
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.source_settings import AlpacaSourceSettings
from harmony_pipeline.market.sources.alpaca import translate
from harmony_pipeline.market.sources.alpaca.client import COIN_BARS, AlpacaClient
from harmony_pipeline.market.sources.base import (
    SOURCE_BAR_DTYPES,
    MarketDataSource,
    Request,
    SourceCapabilities,
    SourceResult,
    split_requests,
)
from harmony_pipeline.market.timeframes import TIMEFRAME_MINUTES

_EXTENDED_MINUTES = 960  # 04:00 to 20:00 New York: the most minute bars that a session can have
_ACTION_PAGE = 1_000  # the most that Alpaca gives
_ACTIONS = "forward_split,reverse_split,stock_dividend,cash_dividend"
_ENDINGS = "name_change,worthless_removal,cash_merger,stock_merger,stock_and_cash_merger"
# Alpaca looks actions up by the day they are processed: for cash the payment, up to a year after
# the ex-date
_PROCESSED_LATER = timedelta(days=400)
_CLOCK_SECONDS, _AHEAD = 5.0, timedelta(days=60)
_ONE_STEP = timedelta(microseconds=1)


@dataclass(frozen=True)
class MarketClock:
    """What Alpaca's clock says, UTC."""

    timestamp: datetime
    is_open: bool
    next_open: datetime
    next_close: datetime


class AlpacaSource(MarketDataSource):
    """Market data over Alpaca's REST and streaming interfaces. Cheap to build; the first question
    proves the keys.
    """

    name = translate.NAME

    def __init__(
        self,
        settings: AlpacaSourceSettings,
        market: MarketSettings,
        *,
        client: AlpacaClient | None = None,
        now: Callable[[], datetime] = lambda: datetime.now(UTC),
    ) -> None:
        self.settings = settings
        self.market = market
        self.client = client or AlpacaClient(settings, market.patience)
        self._now = now
        delay = timedelta(minutes=settings.sip_delay_minutes if settings.feed == "sip" else 0)
        self.capabilities = SourceCapabilities(
            universe_of_today=True,
            stream=True,
            instruments=True,
            quotes=True,
            trades=True,
            self_check=True,
            publication_delay=delay,
        )

    @property
    def identity(self) -> str:
        """Feed and adjustment: iex and sip see different trades, so their bars are different
        bars.
        """
        return f"{self.name} {self.origin}"

    @property
    def origin(self) -> str:
        """What stands in the column `origin`."""
        return f"{self.settings.feed} {self.settings.adjustment}"

    # --- bars -------------------------------------------------------------------------------------

    def requests(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> list[Request]:
        """Pieces of about one page: symbols together where the range is short, one after the other
        where it is long. Each names its symbols.
        """
        names = self._names_of(symbols)
        if not names:
            return []
        symbol_sessions = max(
            1, self.settings.page_rows // max(1, _EXTENDED_MINUTES // _minutes(timeframe))
        )
        together = min(len(names), self.settings.symbols_per_request, symbol_sessions)
        days = max(1, symbol_sessions // together * 7 // 5)
        return split_requests(names, start, end, together, timedelta(days=days))

    def bars(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> pl.DataFrame:
        """Raw bars in `start <= timestamp < end` that have ended; `symbols` None asks for every
        active asset.

        Raises ConfigError when Alpaca refuses the keys or the plan, DataError for a symbol that it
        cannot read and when it does not answer.
        """
        known = self._known_until()
        first, last = _window(start, end, timeframe)
        last = min(last, known)
        if start >= end or first > last:
            return pl.DataFrame(schema=SOURCE_BAR_DTYPES)
        names = self._names_of(symbols)
        shares, pairs = split_pairs(names)
        more = {"timeframe": timeframe, "adjustment": self.settings.adjustment}
        pages = chain(
            self._pages("/stocks/bars", shares, first, last, more) if shares else (),
            self._coin_pages(pairs, first, last, timeframe) if pairs else (),
        )
        bars = translate.bars_of_pages(pages, timeframe, self.origin)
        return bars.filter(
            (pl.col("timestamp") >= start)
            & (pl.col("timestamp") < end)
            & (self._ends(bars, timeframe) <= known)
        )

    def read_bars(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> SourceResult:
        """`bars`, and how often Alpaca had to be asked again."""
        return self._with_retries(lambda: self.bars(symbols, start, end, timeframe))

    def _with_retries(self, read: Callable[[], pl.DataFrame]) -> SourceResult:
        before = self.client.retries
        return SourceResult(read(), retries=self.client.retries - before)

    def stream(self, symbols: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        """Bars of the market's size as they end, and again when Alpaca corrects a minute: a
        correction is a frame of its own with an earlier timestamp.

        Alpaca streams minutes; longer bars are summed from them. `symbols` None listens to every
        symbol; a break is then filled for those that were heard of. Raises ConfigError for daily
        bars and when the plan does not allow the stream, DataError when it fails for good.
        """
        from harmony_pipeline.market.sources.alpaca.longer import Longer
        from harmony_pipeline.market.sources.alpaca.stream import AlpacaBarStream

        size = self.market.timeframe
        if size == "1Day":
            raise ConfigError(
                "Alpaca streams minutes, and market.timeframe is 1Day: ingest daily bars after the"
                " close, or set market.timeframe to 1Hour or less"
            )
        self.client.prove_keys()
        named = None if symbols is None else self._names_of(symbols)
        fetch, longer = (
            partial(self.bars, timeframe="1Min"),
            (None if size == "1Min" else Longer(self._calendar, size)),
        )
        yield from AlpacaBarStream(
            self.settings,
            self.market.patience,
            self.client.keys(),
            named,
            self.origin,
            fetch,
            self._known_until,
            longer,
        ).frames()

    def _ends(self, bars: pl.DataFrame, timeframe: str) -> pl.Series | pl.Expr:
        """When each bar is over: a daily one at its session's close."""
        if timeframe == "1Day":
            return self._calendar.with_session(bars, timeframe)["bar_end"]
        return pl.col("timestamp") + timedelta(minutes=_minutes(timeframe))

    def _known_until(self) -> datetime:
        return self._now().astimezone(UTC) - self.capabilities.publication_delay

    # --- ticks ------------------------------------------------------------------------------------

    def quotes(self, symbols: Sequence[str] | None, start: datetime, end: datetime) -> pl.DataFrame:
        """The feed's best bid and offer at each change, in the columns of SOURCE_QUOTE_DTYPES;
        sizes in shares (`quote_lot_shares`).
        """
        pages = self._tick_pages("/stocks/quotes", symbols, start, end)
        return _within(
            translate.quotes_of_pages(pages, self.settings.quote_lot_shares, self.origin),
            start,
            end,
        )

    def trades(self, symbols: Sequence[str] | None, start: datetime, end: datetime) -> pl.DataFrame:
        """Every trade that the feed reports, in the columns of SOURCE_TRADE_DTYPES."""
        return _within(
            translate.trades_of_pages(
                self._tick_pages("/stocks/trades", symbols, start, end), self.origin
            ),
            start,
            end,
        )

    def read_quotes(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime
    ) -> SourceResult:
        """`quotes`, and how often Alpaca had to be asked again."""
        return self._with_retries(lambda: self.quotes(symbols, start, end))

    def read_trades(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime
    ) -> SourceResult:
        """`trades`, and how often Alpaca had to be asked again."""
        return self._with_retries(lambda: self.trades(symbols, start, end))

    def _tick_pages(
        self, path: str, symbols: Sequence[str] | None, start: datetime, end: datetime
    ) -> Iterator[Any]:
        last = min(end, self._known_until())
        return (
            self._pages(path, self._names_of(symbols), start, last, {})
            if start < last
            else iter(())
        )

    # --- what there is ----------------------------------------------------------------------------

    def corporate_actions(self, symbols: Sequence[str] | None) -> pl.DataFrame:
        """Splits, stock dividends (as splits) and cash dividends from the market's start to today,
        in the columns of CORPORATE_ACTIONS.
        """
        today = self._today()
        pages = [
            page
            for group in self._groups(symbols)
            for page in self._actions(_ACTIONS, group, today + _PROCESSED_LATER)
        ]
        actions = translate.corporate_actions_of_pages(pages, self.market.start, today)
        return actions if symbols is None else actions.filter(pl.col("symbol").is_in(list(symbols)))

    def universe(self) -> pl.DataFrame:
        """Every US equity that Alpaca lists or listed, as known today, dated by the next session to
        open: Alpaca keeps no history, so asking each day makes one.
        """
        today, calendar = self._today(), self._calendar
        late = not calendar.is_session(today) or self._now() >= calendar.session_open(today)
        endings = translate.endings_of_pages(self._actions(_ENDINGS, None, today), today)
        return translate.universe_of_assets(
            self._assets, endings, today, calendar.next_session(today) if late else today
        )

    def instruments(self) -> pl.DataFrame:
        """What Alpaca says of every asset today: whether it can be sold short, and steps and
        smallest orders where it states them (crypto).
        """
        return translate.instruments_of_assets(self._assets, self._today())

    def calendar(self, first: date, end: date) -> pl.DataFrame:
        """Alpaca's sessions in `first <= date < end`, in the columns of `Calendar.schedule`, so
        that the two can be compared.
        """
        question = {"start": first.isoformat(), "end": (end - timedelta(days=1)).isoformat()}
        days = self.client.page("trading", "/calendar", question) if first < end else []
        return translate.schedule_of_days(days).filter(
            (pl.col("date") >= first) & (pl.col("date") < end)
        )

    def clock(self) -> MarketClock:
        """Alpaca's time and its view of the session: what an own clock and calendar should agree
        with.
        """
        answer = self.client.page("trading", "/clock", {})
        return MarketClock(
            translate.instant(answer["timestamp"]),
            answer["is_open"],
            *(translate.instant(answer[name]) for name in ("next_open", "next_close")),
        )

    def self_check(self) -> str:
        """Ask Alpaca for its clock and its next sessions, and say that they agree with this machine
        and our calendar. Raises ConfigError or DataError if not.
        """
        asked = self._now()
        clock = self.clock()
        off = max(asked - clock.timestamp, clock.timestamp - self._now()).total_seconds()
        if off > _CLOCK_SECONDS:
            raise DataError(
                f"this machine's clock and Alpaca's are {off:.0f} s apart, and bars are held back"
                " by it: set the clock"
            )
        first, end = self._today(), self._today() + _AHEAD
        theirs, ours = (
            frame.select("date", "open", "close")
            for frame in (self.calendar(first, end), self._calendar.schedule(first, end))
        )
        strange = pl.concat([theirs, ours]).unique(keep="none").sort("date")
        if strange.height:
            raise DataError(
                f"Alpaca and the calendar {self.market.calendar} differ on {strange['date'][0]}:"
                " set market.calendar, or update exchange_calendars"
            )
        return (
            f"keys accepted, clocks agree, {theirs.height} sessions ahead agree with"
            f" {self.market.calendar}"
        )

    def _actions(self, types: str, symbols: Sequence[str] | None, last: date) -> Iterator[Any]:
        question = {
            "types": types,
            "start": self.market.start.isoformat(),
            "end": last.isoformat(),
            "limit": _ACTION_PAGE,
            "sort": "asc",
        }
        return self.client.pages(
            "actions",
            "/corporate-actions",
            {**question, **({"symbols": ",".join(symbols)} if symbols else {})},
        )

    @cached_property
    def _assets(self) -> Sequence[Mapping[str, Any]]:
        found = self.client.page("trading", "/assets", {"asset_class": "us_equity"})
        if not isinstance(found, list):
            raise DataError(
                "Alpaca answered /assets with no list: look at market.alpaca.trading_url"
            )
        return found

    @cached_property
    def _calendar(self) -> Calendar:
        return Calendar.of(self.market.calendar)

    def _today(self) -> date:
        return self._now().astimezone(ZoneInfo(translate.ZONE)).date()

    # --- questions --------------------------------------------------------------------------------

    def _names_of(self, symbols: Sequence[str] | None) -> list[str]:
        """The symbols asked for, sorted and once each; None means every active asset that can be
        traded.
        """
        if symbols is None:
            return sorted(
                {
                    asset["symbol"]
                    for asset in self._assets
                    if asset["status"] == "active" and asset["tradable"]
                }
            )
        return sorted(set(symbols))

    def _groups(self, symbols: Sequence[str] | None) -> list[list[str] | None]:
        if symbols is None:
            return [None]
        names, most = self._names_of(symbols), self.settings.symbols_per_request
        return [names[at : at + most] for at in range(0, len(names), most)]

    def _coin_pages(
        self, names: Sequence[str], first: datetime, last: datetime, timeframe: str
    ) -> Iterator[Any]:
        """Every page of pairs' bars, which have one feed and no adjustment."""
        shared = {"start": _iso(first), "end": _iso(last), "limit": self.settings.page_rows}
        asked = {**shared, "timeframe": timeframe, "sort": "asc"}
        for group in self._groups(names):
            yield from self.client.pages(
                "coins", COIN_BARS, {"symbols": ",".join(group or ()), **asked}
            )

    def _pages(
        self,
        path: str,
        names: Sequence[str],
        first: datetime,
        last: datetime,
        more: Mapping[str, Any],
    ) -> Iterator[Any]:
        """Every page in `first <= t <= last` (Alpaca's ends are inclusive)."""
        shared = {
            "start": _iso(first),
            "end": _iso(last),
            "limit": self.settings.page_rows,
            "feed": self.settings.feed,
            "asof": "-",
            "sort": "asc",
            **more,
        }
        for group in self._groups(names):
            yield from self.client.pages("data", path, {"symbols": ",".join(group or ()), **shared})


def split_pairs(names: Sequence[str]) -> tuple[list[str], list[str]]:
    """(shares, pairs of coins) among these names: a pair's holds a slash."""
    return [name for name in names if "/" not in name], [name for name in names if "/" in name]


def _minutes(timeframe: str) -> int:
    if timeframe not in TIMEFRAME_MINUTES:
        raise DataError(
            f"Alpaca is asked for {timeframe} bars, and Harmony knows"
            f" {', '.join(TIMEFRAME_MINUTES)}: set market.timeframe to one of them"
        )
    return TIMEFRAME_MINUTES[timeframe]


def _window(start: datetime, end: datetime, timeframe: str) -> tuple[datetime, datetime]:
    """First and last instant to ask for, so that every bar stamped in `start <= timestamp < end` is
    whole and none after it is asked for.

    Daily bars: New York's midnights of the session dates whose midnight UTC lies in the range.
    """
    first, last = start.astimezone(UTC), end.astimezone(UTC)
    if timeframe == "1Day":
        first, last = (_new_york_midnight(_next_midnight(moment)) for moment in (first, last))
    else:
        size = timedelta(minutes=_minutes(timeframe))
        first -= (first - datetime.min.replace(tzinfo=UTC)) % size
    return first, last - _ONE_STEP


def _next_midnight(moment: datetime) -> date:
    """Date of the first midnight UTC at or after `moment`."""
    return moment.date() if moment.time() == time() else moment.date() + timedelta(days=1)


def _new_york_midnight(day: date) -> datetime:
    return datetime.combine(day, time(), ZoneInfo(translate.ZONE)).astimezone(UTC)


def _within(frame: pl.DataFrame, start: datetime, end: datetime) -> pl.DataFrame:
    return frame.filter((pl.col("timestamp") >= start) & (pl.col("timestamp") < end))


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
