"""Settings of the market: which market, which bars, from which source."""

import re
from datetime import date, datetime
from pathlib import Path
from typing import ClassVar, Literal, Self

from pydantic import ConfigDict, Field, field_validator, model_validator

from harmony_pipeline.market.bar_grid import AUTO, CLOCK_GRID, BarGrid
from harmony_pipeline.market.sources.server_clock import ServerClock
from harmony_pipeline.market.steps import tick_fraction
from harmony_pipeline.market.validation.catalog import Severity, refused_choice
from harmony_pipeline.settings_base import FrozenSettings

Timeframe = Literal[
    "1Sec", "5Sec", "10Sec", "15Sec", "30Sec", "1Min", "5Min", "15Min", "30Min", "1Hour", "1Day",
    "1Week",
]  # fmt: skip
PeriodSize = Literal["day", "week", "month", "quarter", "year"]
RetrainingSize = Literal["hour", "day", "week", "month", "quarter", "year"]

TIMEFRAME_SECONDS: dict[str, int] = {
    "1Sec": 1,
    "5Sec": 5,
    "10Sec": 10,
    "15Sec": 15,
    "30Sec": 30,
    "1Min": 60,
    "5Min": 300,
    "15Min": 900,
    "30Min": 1800,
    "1Hour": 3600,
    "1Day": 86_400,
    "1Week": 604_800,
}
TIMEFRAME_MINUTES: dict[str, int] = {
    name: seconds // 60 for name, seconds in TIMEFRAME_SECONDS.items() if seconds >= 60
}
"""the lengths that vendors have bars of; shorter ones come from files or are made of trades"""
# stamped midnight UTC of their first session date, known at the close of their last
LONG_TIMEFRAMES = ("1Day", "1Week")


_WITHOUT_WEEKS = ("simulated", "alpaca", "yahoo", "crypto", "mt5")
_WITHOUT_SECONDS = _WITHOUT_WEEKS
TRADE_TIME_BARS, _NO_TRADE_BARS = "time", "none"
_TRADE_BARS = re.compile(r"none|time|(?=.*[1-9])\d+(\.\d+)?(Tick|Volume|Dollar)")


class FileSourceSettings(FrozenSettings):
    """Bars from CSV or Parquet files."""

    paths: tuple[str, ...] = Field(
        (), description="files, folders or globs; $VARIABLES are expanded"
    )
    columns: dict[str, str] = Field(
        {},
        description=(
            "our column name = the file's column name, where it is unusual; volume = none where no"
            " column holds it"
        ),
    )
    symbol_from_filename: str = Field(
        "auto",
        description=(
            "how the file's name gives the symbol when no column does: auto knows the vendors'"
            " forms; else a regular expression whose group 1 it is"
        ),
    )
    timezone: str = Field(
        "UTC",
        description=(
            "zone of timestamps that carry none, or a clock whole hours ahead of one, such as"
            " America/New_York+7"
        ),
    )
    wall_clock: bool = Field(
        default=False,
        description=(
            "timestamps show the clock of `timezone` even where they are typed as UTC or written"
            " with an offset"
        ),
    )
    stamp: Literal["auto", "start", "end"] = Field(
        "auto",
        description=(
            "what a bar's timestamp is; auto reads starts, moves bars that can only be stamped at"
            " their end, and reports what it finds"
        ),
    )
    timestamp_format: str | None = Field(
        None, description="strptime format, where the usual ones do not fit"
    )
    price_scale: float | None = Field(
        None,
        gt=0.0,
        le=1.0,
        description=(
            "worth of one unit of the prices: 1e-9, 1e-4, 0.01; 1 takes them as written; none"
            " recognises Databento's and notes other suspicious prices"
        ),
    )
    decimal: Literal["auto", ".", ","] = Field(
        "auto", description="sign that separates decimals; auto reads what can mean one number only"
    )
    max_text_megabytes: int = Field(
        4096, ge=1, description="a text file that is longer, once unpacked, is refused"
    )
    max_unpack_ratio: int = Field(
        200,
        ge=2,
        description=(
            "a compressed file that unpacks to more than 64 MB and to so many times its size is"
            " refused"
        ),
    )
    quotes: tuple[str, ...] = Field(
        (), description="files, folders or globs of best bids and offers"
    )
    trades: tuple[str, ...] = Field((), description="files, folders or globs of single trades")
    quote_columns: dict[str, str] = Field({}, description="as columns, for the files of quotes")
    trade_columns: dict[str, str] = Field({}, description="as columns, for the files of trades")
    corporate_actions: str | None = Field(
        None,
        description=(
            "CSV of symbol,date,kind,value; kinds split, dividend, symbol_change (value: the new"
            " symbol), delisting"
        ),
    )
    universe: str | None = Field(
        None, description="CSV of the columns of the `universe` view; a folder or glob of them"
    )
    universe_columns: dict[str, str] = Field(
        {}, description="our column name = the file's column name, where it is unusual"
    )
    universe_date: date | None = Field(
        None, description="from when the rows of a universe file without dates were known"
    )
    universe_snapshots: bool = Field(
        default=False,
        description=(
            "each date of the universe files names everyone who traded on it, known after its close"
        ),
    )
    listings: str | None = Field(
        None,
        description="CSV of the columns of the `listings` view, at least symbol and valid_from",
    )


class SimulatedSourceSettings(FrozenSettings):
    """A seeded stand-in for US equities; see `market/sources/simulated.py`."""

    seed: int = 7
    symbols: int = Field(24, ge=2, le=5000, description="ordinary symbols, spread over sectors")
    low_float_symbols: int = Field(6, ge=0, le=500, description="small names with premarket gaps")
    edge: Literal["none", "planted"] = "planted"
    edge_strength: float = Field(
        0.20,
        ge=0.0,
        le=1.0,
        description=(
            "correlation of the predictable part with the next regular bar's return; a model sees"
            " about a third of it"
        ),
    )
    annual_volatility: float = Field(0.28, gt=0.0, le=3.0)
    halts_per_year: float = Field(4.0, ge=0.0, description="per symbol")
    missing_minute_probability: float = Field(0.002, ge=0.0, lt=1.0)


class YahooSettings(FrozenSettings):
    """Bars from Yahoo Finance through yfinance; see `market/sources/yahoo.py`."""

    rename: dict[str, str] = Field(
        {}, description="our symbol = Yahoo's, where they differ: BRK.B = BRK-B"
    )
    extended_hours: bool = Field(
        False,
        description=(
            "intraday bars before and after the session too; Yahoo reports no volume for them"
        ),
    )
    settle_seconds: float = Field(
        30.0,
        ge=0.0,
        description="an intraday bar is taken when Yahoo's last trade is this much past its end",
    )
    timeout_seconds: float = Field(15.0, gt=0.0, description="for one answer")
    base_url: str | None = Field(
        None, description="another host that speaks Yahoo's protocol; none means Yahoo"
    )


class CryptoSettings(FrozenSettings):
    """Bars and trades of a crypto exchange through ccxt; see `market/sources/crypto.py`."""

    exchange: str = Field(
        "binance", description="any exchange id of ccxt; its spot market is read, without keys"
    )
    quote: str | None = Field(
        "USDT",
        description=(
            "when no symbols are named: every listed pair against this currency; none means every"
            " pair"
        ),
    )
    page_rows: int = Field(
        1000,
        ge=2,
        le=10_000,
        description="candles or trades in one request; no more than the exchange allows",
    )
    rate_limit_seconds: float | None = Field(
        None,
        ge=0.0,
        description=(
            "pause for one unit of request weight; none means ccxt's value for the exchange"
        ),
    )
    settle_seconds: float = Field(
        5.0,
        ge=0.0,
        description="a candle is taken when it ended this long ago by the exchange's clock",
    )
    timeout_seconds: float = Field(15.0, gt=0.0, description="for one answer")
    base_url: str | None = Field(
        None,
        description="another host that speaks the exchange's protocol; none means the exchange",
    )


class Mt5Settings(FrozenSettings):
    """Bars and quotes of a MetaTrader 5 terminal; see `market/sources/mt5.py`. The account is never
    a setting: MT5_LOGIN, MT5_PASSWORD and MT5_SERVER, or the one that the terminal is logged in to.
    """

    server_clock: str = Field(
        "America/New_York+7",
        description=(
            "the broker's clock, in which the terminal writes times as if they were UTC:"
            " America/New_York+7 (most brokers), or a zone; `harmony doctor` checks it"
        ),
    )
    terminal: str | None = Field(
        None, description="path of terminal64.exe; none means the one that is running or installed"
    )
    portable: bool = Field(False, description="start that terminal in portable mode")
    group: str | None = Field(
        None,
        description=(
            "when no symbols are named: those of this group (*USD*,!*JPY*); none means the ones"
            " shown in Market Watch"
        ),
    )
    volume: Literal["ticks", "real"] = Field(
        "ticks",
        description=(
            "a bar's volume: its number of quotes, or what was traded, where an exchange tells it"
        ),
    )
    page_rows: int = Field(
        50_000,
        ge=100,
        description="bars in one question; no more than the terminal's Max bars in chart",
    )
    settle_seconds: float = Field(
        5.0, ge=0.0, description="a bar is taken when it ended this long ago"
    )
    history_attempts: int = Field(
        12,
        ge=2,
        le=100,
        description="answers in all while the terminal fetches a range from the broker",
    )
    timeout_seconds: float = Field(60.0, gt=0.0, description="for the terminal to start")

    @field_validator("server_clock")
    @classmethod
    def _check_clock(cls, text: str) -> str:
        ServerClock.of(text)
        return text


class ReplaySettings(FrozenSettings):
    """A lake as a source, replayed in order."""

    lake: str = Field(
        "data_lake",
        description=(
            "folder of the replayed lake; another one than `paths.lake`, when bars are ingested"
            " from it"
        ),
    )
    as_of: datetime | None = Field(
        None, description="only what was known at this instant; none means all"
    )
    speed: float = Field(
        0.0,
        ge=0.0,
        description=(
            "1 replays a minute in a minute, 60 in a second, 0 as fast as possible; nights and"
            " weekends pass as one bar"
        ),
    )


class RetrySettings(FrozenSettings):
    """Retries of a source over a network; see `market/sources/retry.py`."""

    attempts: int = Field(6, ge=1, le=50, description="requests in all before a failure is final")
    base_seconds: float = Field(
        0.5,
        gt=0.0,
        description="longest wait after the first failure; it doubles with each further one",
    )
    cap_seconds: float = Field(30.0, gt=0.0, description="no wait is drawn longer than this")
    limit_seconds: float = Field(
        300.0,
        gt=0.0,
        description="longest time of one request in all, with waits named by the supplier",
    )


class AlpacaSourceSettings(FrozenSettings):
    """Bars, ticks and corporate actions from Alpaca; see docs/sources.md. The keys are never
    settings: APCA_API_KEY_ID and APCA_API_SECRET_KEY.
    """

    feed: Literal["iex", "sip"] = Field(
        "iex",
        description=(
            "iex is free and holds a few percent of the volume; sip is the whole market and recent"
            " data of it needs a plan"
        ),
    )
    adjustment: Literal["raw"] = Field(
        "raw",
        description=(
            "the lake holds raw prices and adjusts forward by itself; no other choice is taken"
        ),
    )
    data_url: str = Field(
        "https://data.alpaca.markets",
        description="bars, ticks, corporate actions; no slash at the end",
    )
    trading_url: str = Field(
        "https://paper-api.alpaca.markets",
        description="assets, calendar, clock; live keys need https://api.alpaca.markets",
    )
    stream_url: str | None = Field(
        None,
        description=(
            "whole address of the bar stream; none means wss://stream.data.alpaca.markets/v2/FEED"
        ),
    )
    page_rows: int = Field(
        10_000, ge=1, le=10_000, description="rows a page; a request is cut to about one page"
    )
    symbols_per_request: int = Field(100, ge=1, le=500, description="symbols named in one request")
    requests_per_minute: int = Field(
        200, ge=1, description="what the plan allows: 200 is the free one's"
    )
    connect_timeout_seconds: float = Field(3.05, gt=0.0)
    read_timeout_seconds: float = Field(
        30.0, gt=0.0, description="silence after which a request is repeated"
    )
    sip_delay_minutes: int = Field(
        0,
        ge=0,
        description="how old sip data must be: 15 without a plan, 0 with one; iex has no delay",
    )
    quote_lot_shares: float = Field(
        100.0,
        gt=0.0,
        description=(
            "shares in one unit of a quote's size: 100 where the feed counts round lots, 1 where it"
            " counts shares"
        ),
    )
    stream_gather_seconds: float = Field(
        1.0,
        gt=0.0,
        description=(
            "a minute's bars are handed out when none came for so long, or at the next minute's"
            " first"
        ),
    )
    stream_silence_seconds: float | None = Field(
        None,
        description=(
            "reconnect when nothing came for so long; none trusts the connection's own pings"
        ),
    )
    stream_lookback_minutes: int = Field(
        10,
        ge=1,
        description=(
            "time before a break whose bars are requested again, since corrections may have been"
            " missed too"
        ),
    )


class Allowance(FrozenSettings):
    """Rows of one symbol to which one rule does not apply for a while: odd and checked
    to be real.
    """

    model_config = ConfigDict(populate_by_name=True)

    symbol: str
    rule: str = Field(description="name of the rule that does not apply")
    first: date = Field(alias="from", description="first exchange date")
    end: date = Field(alias="to", description="exclusive")
    why: str = Field(min_length=3, description="what makes it right; for whoever reads this later")

    @model_validator(mode="after")
    def _check_allowance(self) -> Self:
        if refused := refused_choice(self.rule, "off"):
            raise ValueError(f"rule: {refused}")
        if self.end <= self.first:
            raise ValueError(f"to: {self.end} is not after from {self.first}")
        return self


class QualitySettings(FrozenSettings):
    """Which rows may become `bars`; see docs/quality.md and `market/validation/catalog.py` for each
    rule.
    """

    max_quarantined_fraction: float = Field(
        0.05, ge=0.0, le=1.0, description="more than this blocks the period"
    )
    max_bar_return: float = Field(
        0.60, gt=0.0, description="absolute move against both neighbours that marks a bad print"
    )
    min_price: float = Field(
        1e-8, gt=0.0, description="a smaller price is no price: price_out_of_bounds"
    )
    max_price: float = Field(1e12, gt=0.0, lt=float("inf"), description="nor is a larger one")
    max_volume: float = Field(
        1e18, gt=0.0, lt=float("inf"), description="a larger volume is none: volume_out_of_bounds"
    )
    scale_bars: int = Field(
        3,
        ge=1,
        le=1000,
        description=(
            "bars in a row on another scale that are refused before the level is taken as real"
        ),
    )
    allow_zero_volume: bool = Field(
        True, description="false is the same as rules.zero_volume = quarantine"
    )
    rules: dict[str, Severity] = Field(
        {}, description="rule = quarantine, warn or off, where it is not to be the default"
    )
    symbols: dict[str, dict[str, Severity]] = Field(
        {}, description="the same for one symbol: [market.quality.symbols.IBM]"
    )
    allow: tuple[Allowance, ...] = Field(
        (), description="symbol, rule, from, to, why: what a rule lets pass for a while"
    )
    outlier_z: float = Field(
        12.0,
        gt=0.0,
        description="robust z of a bar's log return against the regular bars before it",
    )
    outlier_return: float = Field(
        0.08, gt=0.0, description="smaller log returns are never outliers"
    )
    volume_spike_z: float = Field(
        8.0,
        gt=0.0,
        description="robust z of log volume against the largest bar of each session before",
    )
    volume_spike_ratio: float = Field(
        20.0, gt=1.0, description="and this many times the largest of them"
    )
    stale_bars: int = Field(3, ge=2, description="bars in a row with the same five values")
    stale_flat_bars: int = Field(
        20, ge=2, description="the same, of bars without a range, which thin stocks do repeat"
    )
    frozen_bars: int = Field(
        20, ge=2, description="bars in a row with the same four prices while the volume moves"
    )
    frozen_flat_bars: int = Field(
        30, ge=2, description="the same, of bars without a range, which thin stocks do repeat"
    )
    split_tolerance: float = Field(
        0.025, gt=0.0, lt=0.2, description="distance of a jump from the ratio of a split"
    )
    split_calm: float = Field(
        0.25, gt=0.0, description="log range of the bar above which a jump is no split"
    )
    split_turnover: float = Field(
        3.0,
        gt=0.0,
        description=(
            "times the largest traded value of a bar before, above which a jump is news and no"
            " split"
        ),
    )
    reuse_sessions: int = Field(
        60, ge=1, description="sessions of absence that make another price level suspicious"
    )
    reuse_price_factor: float = Field(2.0, gt=1.0, description="what another price level is")
    reuse_sessions_alone: int = Field(
        1260, ge=1, description="sessions of absence that are suspicious at any price"
    )
    waive: tuple[str, ...] = Field(
        (),
        description=(
            "blocking checks whose verdict is ignored: CHECK, or CHECK:PARTITION like"
            " bars_are_sound:2024-01"
        ),
    )
    unit_bars: int = Field(
        20,
        ge=2,
        description="regular bars, or five sessions of volume, that a changed unit has to last",
    )

    @model_validator(mode="after")
    def _check_rules(self) -> Self:
        wrong = [
            f"rules: {found}"
            for name, severity in self.rules.items()
            if (found := refused_choice(name, severity))
        ]
        for symbol, chosen in self.symbols.items():
            wrong += [
                f"symbols.{symbol}: {found}"
                for name, severity in chosen.items()
                if (found := refused_choice(name, severity))
            ]
        if self.max_price <= self.min_price:
            wrong.append(f"max_price: {self.max_price:g} is not above min_price {self.min_price:g}")
        if wrong:
            raise ValueError("; ".join(wrong))
        return self

    def severity(self, rule: str, default: Severity, symbol: str | None = None) -> Severity:
        """The severity of a rule, for one symbol or for symbols without their own setting."""
        if rule == "zero_volume" and not self.allow_zero_volume:
            default = "quarantine"
        return self.symbols.get(symbol or "", {}).get(rule, self.rules.get(rule, default))


class GapSettings(FrozenSettings):
    """How absent bars are classified; see `market/gaps.py`."""

    lookback_sessions: int = Field(
        20, ge=5, le=250, description="past sessions of a symbol's activity profile"
    )
    every_bar: bool | None = Field(
        None,
        description=(
            "whether the source writes a bar when nothing traded; none means the source's own value"
            " (daily bars: yes)"
        ),
    )
    shares_per_trade: float = Field(
        100.0,
        gt=0.0,
        description="to estimate the trades of a bar from its volume, where they are not counted",
    )
    fill: Literal["none", "previous_close"] = Field(
        "none",
        description=(
            "bars for absent ones in studies (`filled_bars`); never in `bars`, never traded on"
        ),
    )
    forget_after_sessions: int = Field(
        60,
        ge=1,
        description=(
            "a symbol without bars for so long is no longer expected, unless listings know it"
        ),
    )


class IngestSettings(FrozenSettings):
    """How much a source over a network is asked for; see `stages/ingest.py`."""

    recheck_sessions: int = Field(
        2, ge=0, description="latest sessions requested again at each ingest, for late corrections"
    )


class TickSettings(FrozenSettings):
    """Quotes and trades: which are kept, the form of their conditions, and whether bars are made of
    trades; see docs/ticks.md.
    """

    LATER: ClassVar[frozenset[str]] = frozenset({"bars"})

    bars: str = Field(
        _NO_TRADE_BARS,
        description=(
            "none: bars are the source's own; time: bars of `market.timeframe` are made of the"
            " source's trades; 1000Tick, 50000Volume, 1000000Dollar: bars of so much, that end on"
            " the grid of `market.timeframe`"
        ),
    )

    condition_codes: Literal["sip", "lean", "none"] = Field(
        "sip",
        description=(
            "trade conditions as the tapes' letters, as QuantConnect's flags, or not looked at"
        ),
    )
    locked_quotes: Literal["keep", "warn", "quarantine"] = Field(
        "keep", description="bid equal to ask"
    )
    crossed_quotes: Literal["warn", "quarantine"] = Field(
        "quarantine", description="bid above ask; warn keeps them"
    )

    @field_validator("bars")
    @classmethod
    def _check_bars(cls, kind: str) -> str:
        if not _TRADE_BARS.fullmatch(kind):
            raise ValueError(
                f"'{kind}' is no kind of bar: use none, time, or a threshold like 1000Tick,"
                " 50000Volume, 1000000Dollar"
            )
        return kind

    @property
    def makes_bars(self) -> bool:
        """Whether bars are made of trades."""
        return self.bars != _NO_TRADE_BARS


AssetClass = Literal["us_equity", "equity", "fx", "crypto", "future", "index"]
VolumeKind = Literal["traded", "indicative"]


class InstrumentTerms(FrozenSettings):
    """Terms of an instrument from the settings. Other terms come from the source, the data or the
    defaults.
    """

    asset_class: AssetClass | None = None
    venue: str | None = None
    currency: str | None = None
    tick_size: float | None = Field(
        None, gt=0.0, description="smallest step of a price, a decimal number"
    )
    small_tick_size: float | None = Field(None, gt=0.0, description="step below small_tick_below")
    small_tick_below: float | None = Field(
        None, gt=0.0, description="price under which the small step holds"
    )
    lot_size: float | None = Field(None, gt=0.0, description="smallest step of a quantity")
    minimum_quantity: float | None = Field(None, ge=0.0)
    minimum_notional: float | None = Field(
        None, ge=0.0, description="smallest value of an order, in the currency"
    )
    multiplier: float | None = Field(None, gt=0.0, description="value of one unit at a price of 1")
    fee_unit: float | None = Field(
        None, ge=0.0001, description="fees are rounded to it, in the currency"
    )
    shortable: bool | None = None
    volume: VolumeKind | None = Field(
        None,
        description=(
            "traded: participation goes by it; indicative: the market has no common volume (FX)"
        ),
    )

    @field_validator("tick_size", "small_tick_size")
    @classmethod
    def _check_decimal(cls, tick: float | None) -> float | None:
        if tick is not None:
            tick_fraction(tick)
        return tick

    @model_validator(mode="after")
    def _check_ticks(self) -> Self:
        if (self.small_tick_size is None) != (self.small_tick_below is None):
            raise ValueError(
                "small_tick_size and small_tick_below belong together: give both or neither"
            )
        if self.small_tick_size is not None and self.small_tick_below is not None:
            border, steps = (
                tick_fraction(self.small_tick_below),
                [
                    self.small_tick_size,
                    self.tick_size or self.small_tick_size,
                ],
            )
            if any((border / tick_fraction(step)).denominator != 1 for step in steps):
                raise ValueError(
                    f"small_tick_below: {self.small_tick_below} is no price on both ticks; use one,"
                    " like 1.0"
                )
        return self


class InstrumentSettings(FrozenSettings):
    """Terms of instruments that differ from the inferred ones; see docs/instruments.md."""

    defaults: InstrumentTerms = Field(InstrumentTerms(), description="of every symbol")
    symbols: dict[str, InstrumentTerms] = Field(
        {}, description='of one symbol: [market.instruments.symbols."BTC/USD"]'
    )


class PartitionSettings(FrozenSettings):
    """Sizes of partitions. A trading period holds bars; a retraining period holds one model."""

    trading_period: PeriodSize = Field(
        "month",
        description="left out: a month for minutes, a year for hourly, daily and weekly bars",
    )
    retraining_period: RetrainingSize = Field(
        "quarter",
        description="hour: for studies of a few days by the second; no session trades such models",
    )


class MarketSettings(FrozenSettings):
    """The market."""

    LATER: ClassVar[frozenset[str]] = frozenset({"mt5"})

    calendar: str = Field(
        "XNYS",
        description=(
            "an exchange_calendars code, FX (the week of currencies), METALS (spot gold and silver)"
            " or 24/7"
        ),
    )
    timeframe: Timeframe = "15Min"
    grid: Literal["auto", "clock", "session"] | int = Field(
        "auto",
        description=(
            "where bars start: clock (an hour at 09:00), session (at 09:30, with the open), minutes"
            " after midnight; auto looks at the first bars"
        ),
    )
    symbols: tuple[str, ...] = Field(
        (), description="the universe; empty means every symbol that the source has"
    )
    benchmark: str | None = Field(
        None, description="symbol behind the regimes; none means the equal-weighted universe"
    )
    start: date = date(2023, 1, 3)
    end: date | None = Field(date(2024, 7, 1), description="exclusive; none means up to today")
    extended_hours: bool = True
    source: str = Field(
        "simulated",
        description=(
            "simulated, files, alpaca, yahoo, crypto, mt5, replay, or an import path module:Class;"
            " docs/sources.md"
        ),
    )
    files: FileSourceSettings = FileSourceSettings()
    simulated: SimulatedSourceSettings = SimulatedSourceSettings()
    yahoo: YahooSettings = YahooSettings()
    crypto: CryptoSettings = CryptoSettings()
    mt5: Mt5Settings = Mt5Settings()
    replay: ReplaySettings = ReplaySettings()
    alpaca: AlpacaSourceSettings = AlpacaSourceSettings()
    patience: RetrySettings = RetrySettings()
    quality: QualitySettings = QualitySettings()
    gaps: GapSettings = GapSettings()
    ingest: IngestSettings = IngestSettings()
    ticks: TickSettings = TickSettings()
    instruments: InstrumentSettings = InstrumentSettings()
    partitions: PartitionSettings = PartitionSettings()

    @model_validator(mode="after")
    def _check_symbols(self) -> Self:
        if any(not symbol.strip() for symbol in self.symbols):
            raise ValueError(
                "symbols holds an empty name: take it out; no symbols at all means every symbol"
                " that the source has"
            )
        return self

    @model_validator(mode="after")
    def _fit_periods(self) -> Self:
        if (
            "trading_period" not in self.partitions.model_fields_set
            and TIMEFRAME_SECONDS[self.timeframe] >= TIMEFRAME_SECONDS["1Hour"]
        ):
            object.__setattr__(
                self, "partitions", self.partitions.model_copy(update={"trading_period": "year"})
            )
        return self

    @model_validator(mode="after")
    def _check_grid_and_timeframe(self) -> Self:
        BarGrid.of(self.grid if self.grid != AUTO else CLOCK_GRID)
        if self.timeframe == "1Week" and self.source in _WITHOUT_WEEKS:
            raise ValueError(
                f"timeframe: {self.source} gives no weekly bars: ingest 1Day, and read weeks with"
                " bars_at('1Week') in SQL"
            )
        long = self.timeframe in LONG_TIMEFRAMES
        if self.ticks.makes_bars and long:
            raise ValueError(
                f"ticks.bars: bars of trades lie within a day, and timeframe is {self.timeframe}:"
                " set it to 1Sec, 1Min, ... or ticks.bars to none"
            )
        short = TIMEFRAME_SECONDS[self.timeframe] < TIMEFRAME_SECONDS["1Min"]
        if short and self.source in _WITHOUT_SECONDS and not self.ticks.makes_bars:
            raise ValueError(
                f"timeframe: {self.source} gives no bars of seconds: make them of its trades with"
                ' [market.ticks] bars = "time", where it has trades, or set 1Min'
            )
        return self


def lake_path(text: str, base: Path) -> Path:
    """`text` as an absolute path, relative ones taken from the folder of the settings file."""
    path = Path(text).expanduser()
    return path if path.is_absolute() else (base / path).resolve()
