"""Settings of the market: which market, which bars, from which source."""

import re
from datetime import date
from typing import ClassVar, Literal, Self

from pydantic import Field, field_validator, model_validator

from harmony_pipeline.market.bar_grid import AUTO, CLOCK_GRID, BarGrid
from harmony_pipeline.market.quality_settings import QualitySettings
from harmony_pipeline.market.source_settings import (
    AlpacaSourceSettings,
    CryptoSettings,
    FileSourceSettings,
    Mt5Settings,
    ReplaySettings,
    RetrySettings,
    SimulatedSourceSettings,
    YahooSettings,
)
from harmony_pipeline.market.steps import tick_fraction
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES, TIMEFRAME_SECONDS, Timeframe
from harmony_pipeline.settings_base import FrozenSettings

PeriodSize = Literal["day", "week", "month", "quarter", "year"]
RetrainingSize = Literal["hour", "day", "week", "month", "quarter", "year"]


_WITHOUT_WEEKS_OR_SECONDS = ("simulated", "alpaca", "yahoo", "crypto", "mt5")
TRADE_TIME_BARS, _NO_TRADE_BARS = "time", "none"
_TRADE_BARS = re.compile(r"none|time|(?=.*[1-9])\d+(\.\d+)?(Tick|Volume|Dollar)")


class GapSettings(FrozenSettings):
    """How absent bars are classified; see `market/gap_kinds.py`."""

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
        if self.timeframe == "1Week" and self.source in _WITHOUT_WEEKS_OR_SECONDS:
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
        if short and self.source in _WITHOUT_WEEKS_OR_SECONDS and not self.ticks.makes_bars:
            raise ValueError(
                f"timeframe: {self.source} gives no bars of seconds: make them of its trades with"
                ' [market.ticks] bars = "time", where it has trades, or set 1Min'
            )
        return self
