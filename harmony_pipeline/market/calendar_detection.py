"""Detection of the market behind some bars: calendar, bar size, zone and span, from rows and symbol
names.

The chosen calendar is the one whose regular sessions the bars fill best. Its score is the share of
bars that lie in a session, times the share of a session's bars that exist. Weekend bars and names
of coins mean a market that never closes. Two currency codes in a name make the week of currencies
likely, gold or silver in one that week or the hours of spot metals. The result is written into a
settings file for a person to correct. Nothing else relies on it.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.file_clock import file_clock
from harmony_pipeline.market.session_tables import CURRENCIES, METALS, ROUND_THE_CLOCK
from harmony_pipeline.market.timeframe_detection import Spacing, guess_timeframe
from harmony_pipeline.market.timeframes import TIMEFRAME_SECONDS

Read = Callable[[str, str, str], pl.DataFrame]
"""(calendar, timeframe, zone of stamps that carry none) -> rows with symbol and timestamp."""

_SUFFIXES = {
    ".NS": "XBOM", ".BO": "XBOM", ".L": "XLON", ".DE": "XETR", ".F": "XFRA", ".PA": "XPAR",
    ".T": "XTKS", ".HK": "XHKG", ".TO": "XTSE",
    ".AX": "XASX", ".SS": "XSHG", ".SZ": "XSHG", ".KS": "XKRX", ".SW": "XSWX", ".MI": "XMIL",
    ".MC": "XMAD", ".AS": "XAMS",
    ".ST": "XSTO", "=F": "CMES", "=X": CURRENCIES,
}  # fmt: skip
"""Endings of Yahoo's symbols, and the calendar of their exchange."""
_USUAL = (
    "XNYS",
    "CMES",
    CURRENCIES,
    "XBOM",
    "XLON",
    "XETR",
    "XTKS",
    "XHKG",
    "XTSE",
    "XASX",
    "XSHG",
    ROUND_THE_CLOCK,
)
_CODES = (
    "AUD|BRL|CAD|CHF|CNH|CNY|CZK|DKK|EUR|GBP|HKD|HUF|ILS|INR|JPY|KRW|MXN"
    "|NOK|NZD|PLN|RUB|SEK|SGD|THB|TRY|TWD|USD|XAG|XAU|ZAR"
)
_PAIR = re.compile(rf"({_CODES})[/_.-]?({_CODES})(=X)?")
_METAL = re.compile(rf"(XAU|XAG)[/_.-]?({_CODES})[A-Z0-9._+#-]{{0,4}}")
"""Spot gold and silver, with what brokers put behind them: XAUUSD, XAUUSDm, XAGEUR.r."""
_COINS = (
    "ADA|ATOM|AVAX|BCH|BNB|BTC|DOGE|DOT|ETC|ETH|LINK|LTC|MATIC|NEAR|PEPE"
    "|SHIB|SOL|TON|TRX|UNI|XBT|XLM|XMR|XRP"
)
_COIN = re.compile(rf"({_COINS})[/_.:-]?(USD[TC]?|EUR|GBP|JPY|BTC|XBT|ETH|BUSD|FDUSD)")
_FUTURE = re.compile(
    r"(ES|NQ|YM|RTY|MES|MNQ|M2K|MYM|CL|MCL|NG|RB|HO|GC|MGC|SI|HG|PL|ZN|ZB|ZF|ZT|UB|ZC|ZS|ZW|ZM|ZL"
    r"|6[ABCEJMNS]|HE|LE|GF|BTC|MBT)([FGHJKMNQUVXZ]\d{1,2}|[._-]?[cvn][._-]?\d)",
    re.IGNORECASE,
)
"""Contracts of CME Group, ESZ24, and Databento's continuous ones, ES.c.0."""
_CONVINCING, _POOR = 0.85, 0.3
# how much it counts that sessions begin with a bar: it tells zones apart that differ by an hour
_OPENING = 0.1
_WEEKEND = 0.05
# share of the sessions with a bar before the open from which on a market has a premarket: a late
# open makes one of regular bars
_PREMARKET = 0.1
_SAMPLED_SYMBOLS, _SAMPLED_ROWS = 20, 50_000
_SECONDS_A_DAY = 86_400
_SATURDAY, _SUNDAY = 6, 7
_STANDARD_TIME = {CURRENCIES: ("Etc/GMT+5",), METALS: ("Etc/GMT+5",)}
"""New York's clock without daylight saving, on which HistData writes."""


@dataclass(frozen=True)
class DetectedMarket:
    """The detected market. `reasons` has one sentence for each conclusion."""

    calendar: str
    timeframe: str
    timezone: str
    start: date
    end: date
    trading_period: str
    retraining_period: str
    symbols: tuple[str, ...]
    rows: int
    premarket: bool
    reasons: tuple[str, ...]


def detect_market(
    read: Read, clocks: Callable[[], Sequence[str]] = tuple, timeframe: str | None = None
) -> DetectedMarket:
    """Guess the market behind `read`. `clocks` are those on which the vendors of the rows read so
    far write, beside UTC and the exchange's own; `timeframe` is that of the bars, where it is
    known. Raises DataError when there is no readable row, or the bars have a length that Harmony
    lacks.
    """
    rows = read(ROUND_THE_CLOCK, "1Min", "UTC")
    if rows.is_empty():
        raise DataError(
            "no row of these files could be read: see that they hold bars with a time and open,"
            " high, low, close"
        )
    symbols = tuple(sorted(set(rows["symbol"].to_list()) - {""}))
    reasons: list[str] = []
    stamps = rows.select("symbol", "timestamp").unique()
    if timeframe is None:
        timeframe = guess_timeframe(Spacing.of(stamps["timestamp"], stamps["symbol"]), reasons)
    sample = _sample(rows)
    calendar, zone = _detect_calendar(sample, symbols, timeframe, read, reasons, clocks())
    chosen = read(calendar, timeframe, zone)
    found = Calendar.of(calendar)
    dates = found.with_session(chosen.select("timestamp"), timeframe)
    days = dates["session_date"].drop_nulls()
    if days.is_empty():
        days = chosen["timestamp"].dt.date()
    first, last = days.min(), days.max()
    assert isinstance(first, date)
    assert isinstance(last, date)
    span = (last - first).days
    return DetectedMarket(
        calendar=calendar,
        timeframe=timeframe,
        timezone=zone,
        start=first,
        end=last + timedelta(days=1),
        trading_period=_trading_period(timeframe),
        retraining_period=_retraining_period(timeframe, span),
        symbols=symbols,
        rows=rows.height,
        premarket=_has_premarket(dates),
        reasons=tuple(reasons),
    )


def _has_premarket(dates: pl.DataFrame) -> bool:
    """Whether sessions have bars before their open as a rule, not on a day of a late open alone.
    dates: session and session_date of each bar.
    """
    early = dates.filter(pl.col("session") == "pre")["session_date"].n_unique()
    return early > 0 and early >= _PREMARKET * dates["session_date"].drop_nulls().n_unique()


def _sample(rows: pl.DataFrame) -> pl.DataFrame:
    """Rows of some evenly chosen symbols, without fillers of weekends (none are told where a symbol
    never has a volume). Two rows of one time stay two.
    """
    weekend = pl.col("timestamp").dt.weekday() >= _SATURDAY
    still = pl.all_horizontal(pl.col("high", "low", "close") == pl.col("open"))
    counted = (pl.col("volume") > 0).any().over("symbol")
    filler = weekend & still & (pl.col("volume") == 0) & counted
    traded = rows.filter(~filler.fill_null(value=False))
    rows = rows if traded.is_empty() else traded
    names = rows["symbol"].unique().sort()
    kept = names.gather_every(max(1, len(names) // _SAMPLED_SYMBOLS))[:_SAMPLED_SYMBOLS]
    return (
        rows.filter(pl.col("symbol").is_in(kept.to_list()))
        .select("symbol", "timestamp")
        .sort("symbol", "timestamp")
        .head(_SAMPLED_ROWS)
    )


def _detect_calendar(
    sample: pl.DataFrame,
    symbols: Sequence[str],
    timeframe: str,
    read: Read,
    reasons: list[str],
    clocks: Sequence[str],
) -> tuple[str, str]:
    """The calendar that the bars fill best, and the zone of stamps without one."""
    coins = sum(_is_coin(symbol) for symbol in symbols)
    if 2 * coins > len(symbols):
        reasons.append("the symbols are names of coins, so this market never closes")
        if clocks and TIMEFRAME_SECONDS[timeframe] < _SECONDS_A_DAY:
            reasons.append(
                "the vendor's stamps are on a clock of its own, which bars of a market that never"
                f' closes cannot tell: set market.files.timezone, such as "{clocks[0]}", or'
                ' "Etc/UTC" if it is UTC'
            )
        return ROUND_THE_CLOCK, "UTC"
    saturdays = float((sample["timestamp"].dt.weekday() == _SATURDAY).mean() or 0.0)  # type: ignore[arg-type]
    if saturdays >= _WEEKEND:
        reasons.append(f"{saturdays:.0%} of the bars are on Saturdays, so this market never closes")
        return ROUND_THE_CLOCK, "UTC"
    daily = TIMEFRAME_SECONDS[timeframe] >= _SECONDS_A_DAY
    naive = not daily and _lacks_zone(sample, timeframe, read)
    named = _likely_calendars(symbols)
    scores: list[tuple[float, str, str]] = []
    for name in _candidates(symbols):
        calendar = Calendar.of(name)
        own_clocks = (calendar.zone, *clocks, *_STANDARD_TIME.get(name, ()))
        zones = dict.fromkeys(("UTC", *own_clocks)) if naive else ("UTC",)
        for zone in zones:
            # days depend on the calendar
            own = _sample(read(name, timeframe, zone)) if daily else sample
            shown = own if zone == "UTC" else _on_clock(own, zone)
            scores.append((_session_fit(calendar, shown, timeframe), name, zone))
        best = max(scores, key=lambda one: one[0])
        if best[0] >= _CONVINCING and name not in named[:-1]:
            break
    if best[0] < _CONVINCING and named:
        # bars that fit nothing well are thin or scattered: the names say more
        scores = [one for one in scores if one[1] in named]
    score, name, zone = max(scores, key=lambda one: one[0])
    if score < _CONVINCING and not naive and not daily:
        reasons += _other_wall_clock(sample, symbols, timeframe)
    if daily and timeframe == "1Day" and name in _STANDARD_TIME:
        reasons += _days_of_utc(sample)
    if score < _POOR:
        name, zone = scores[0][1], "UTC"
        reasons.append(
            f"no calendar fits these bars well ({score:.0%} at best): {name} is only an assumption"
        )
    else:
        clock = f", read on the clock of {zone}" if naive else ""
        reasons.append(f"the bars{clock} fill the sessions of {name} to {score:.0%}")
    return name, zone


def _other_wall_clock(
    sample: pl.DataFrame, symbols: Sequence[str], timeframe: str
) -> Iterator[str]:
    """What to say of stamps that name a zone, where only another clock makes sense of what they
    show: some exports call New York's clock UTC.
    """
    for name in _candidates(symbols):
        calendar = Calendar.of(name)
        shown = _on_clock(sample, calendar.zone)
        if calendar.zone != "UTC" and _session_fit(calendar, shown, timeframe) >= _CONVINCING:
            yield (
                "the stamps name a zone or are epochs, and were read so; what they show would fill"
                f" the sessions of {name} on the clock of {calendar.zone}: if that is meant, set"
                f' market.calendar = "{name}", market.files.timezone = "{calendar.zone}" and'
                " market.files.wall_clock = true"
            )
            return


def _days_of_utc(sample: pl.DataFrame) -> Iterator[str]:
    """What to say of daily bars of currencies that are cut at midnight UTC, so that a Sunday's
    hours are a bar of their own.
    """
    sundays = float((sample["timestamp"].dt.weekday() == _SUNDAY).mean() or 0.0)  # type: ignore[arg-type]
    if sundays >= _WEEKEND:
        yield (
            f"{sundays:.0%} of the bars are on Sundays, so these days end at midnight UTC and not"
            " at 17:00 in New York, and the few hours of a Sunday are no session: they go to"
            " quarantine. Make days of hourly bars, take the Sundays out, or allow that many in"
            " market.quality.max_quarantined_fraction"
        )


def _is_coin(symbol: str) -> bool:
    """Whether a symbol is that of a coin, with or without a market before it: a colon may also
    stand between the two (Bitfinex's BTC:USD).
    """
    return bool(_COIN.fullmatch(symbol.upper()) or _COIN.fullmatch(_bare(symbol)))


def _bare(symbol: str) -> str:
    """A symbol in capitals without the market that some put before it: C:EURUSD, FX:EURUSD."""
    return symbol.upper().rpartition(":")[2]


def _candidates(symbols: Sequence[str]) -> Iterator[str]:
    """Calendars in order of likelihood, those of the symbols' names first."""
    likely = _likely_calendars(symbols)
    # there was no bar on a Saturday, and currencies rest from Friday to Sunday
    usual = [name for name in _USUAL if name != ROUND_THE_CLOCK or CURRENCIES not in likely]
    yield from dict.fromkeys((*likely, *usual))


def _likely_calendars(symbols: Sequence[str]) -> list[str]:
    """Calendars that the names of most symbols tell."""
    endings = [
        calendar
        for symbol in symbols
        for ending, calendar in _SUFFIXES.items()
        if symbol.upper().endswith(ending)
    ]
    metals = sum(bool(_METAL.fullmatch(_bare(symbol))) for symbol in symbols)
    if 2 * metals > len(symbols):
        # some quote them all day, as currencies
        return [METALS, CURRENCIES]
    pairs = sum(bool(_PAIR.fullmatch(_bare(symbol))) for symbol in symbols)
    likely = ([max(set(endings), key=endings.count)] if 2 * len(endings) > len(symbols) else []) + (
        [CURRENCIES] if 2 * pairs > len(symbols) else []
    )
    futures = sum(bool(_FUTURE.fullmatch(_bare(symbol))) for symbol in symbols)
    return likely + (["CMES"] if 2 * futures > len(symbols) else [])


def _session_fit(calendar: Calendar, sample: pl.DataFrame, timeframe: str) -> float:
    """How well bars fill the sessions of a calendar: 1 if every bar lies in one and none is
    missing.
    """
    seconds = TIMEFRAME_SECONDS[timeframe]
    if seconds >= _SECONDS_A_DAY:
        return _daily_fit(calendar, sample, seconds)
    parts = pl.concat([sample, calendar.parts(sample["timestamp"])], how="horizontal")
    regular = parts.filter(pl.col("session") == "regular")
    extended = parts["session"].is_in(["pre", "post"]).sum()
    inside = (regular.height + 0.9 * float(extended)) / max(1, parts.height)
    schedule = calendar.table.select(
        "open", session_date="date", length=(pl.col("close") - pl.col("open")).dt.total_seconds()
    )
    days = parts.drop_nulls("session_date").join(
        schedule, on="session_date", how="left", maintain_order="left"
    )
    until_open = (pl.col("open") - pl.col("timestamp")).dt.total_seconds()
    by_day = days.group_by("symbol", "session_date").agg(
        pl.col("length").first(),
        opened=((until_open >= 0) & (until_open < seconds)).any(),
        regular=(pl.col("session") == "regular").any(),
    )
    expected = float(by_day.filter("regular")["length"].sum()) / seconds
    if not expected:
        return 0.0
    opened = float(by_day["opened"].mean() or 0.0)  # type: ignore[arg-type]
    return inside * min(1.0, regular.height / expected) * (1.0 - _OPENING + _OPENING * opened)


def _daily_fit(calendar: Calendar, sample: pl.DataFrame, seconds: int) -> float:
    """The fit of daily and weekly bars, by date, of the symbol with most of them."""
    dates = (
        sample.with_columns(date=pl.col("timestamp").dt.date())
        .group_by("symbol")
        .agg("date")
        .sort(pl.col("date").list.len())
    )
    own = dates["date"][-1].sort()
    first, last = own[0], own[-1]
    sessions = set(calendar.sessions(first, last + timedelta(days=1)))
    if seconds > _SECONDS_A_DAY or not sessions:
        return 1.0 if sessions else 0.0
    met = len(sessions & set(own.to_list()))
    return met * met / (len(own) * len(sessions))


def _lacks_zone(sample: pl.DataFrame, timeframe: str, read: Read) -> bool:
    """Whether the stamps depend on the zone in which they are read."""
    elsewhere = read(ROUND_THE_CLOCK, timeframe, "Asia/Tokyo")["timestamp"]
    return (
        bool(elsewhere.is_in(sample["timestamp"].to_list()).mean() != 1.0)
        and elsewhere.min() != sample["timestamp"].min()
    )


def _on_clock(sample: pl.DataFrame, zone: str) -> pl.DataFrame:
    clock = file_clock(zone)
    wall = (pl.col("timestamp").dt.replace_time_zone(None) - clock.ahead).dt.replace_time_zone(
        clock.zone, ambiguous="earliest", non_existent="null"
    )
    return sample.with_columns(wall.dt.convert_time_zone("UTC").alias("timestamp")).drop_nulls(
        "timestamp"
    )


def _trading_period(timeframe: str) -> str:
    return "month" if TIMEFRAME_SECONDS[timeframe] < TIMEFRAME_SECONDS["1Hour"] else "year"


def _retraining_period(timeframe: str, days: int) -> str:
    """A size that gives about a dozen models over the span, none of them from a handful of bars."""
    if TIMEFRAME_SECONDS[timeframe] >= _SECONDS_A_DAY:
        return "year" if days > 3 * 365 else "quarter"
    return "year" if days > 6 * 365 else "quarter" if days > 365 else "month"
