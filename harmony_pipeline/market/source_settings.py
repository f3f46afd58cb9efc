"""Settings of the sources of bars: what each is asked, and how."""

from datetime import date, datetime
from typing import Literal

from pydantic import Field, field_validator

from harmony_pipeline.market.sources.server_clock import ServerClock
from harmony_pipeline.settings_base import FrozenSettings


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
