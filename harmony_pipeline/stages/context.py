"""`PipelineContext`: the settings, the lake and the clock they imply, handed to every stage
together.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from typing import Any, TypeVar

import polars as pl

from harmony_pipeline.config import Settings
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.features.catalog import CUSUM_EVENT, FeatureSet, Peers
from harmony_pipeline.hashing import short_hash
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.market.bar_grid import AUTO, BarGrid
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.grid_detection import grids_differ
from harmony_pipeline.market.instrument_defaults import apply_terms, default_terms
from harmony_pipeline.market.instruments import Instruments
from harmony_pipeline.market.periods import (
    DayCut,
    Period,
    hours_of,
    period_from_key,
    period_of,
    periods_between,
)
from harmony_pipeline.market.sources.base import MarketDataSource
from harmony_pipeline.market.sources.registry import build_source
from harmony_pipeline.market.timeframes import TIMEFRAME_SECONDS
from harmony_pipeline.models.registry import ModelRegistry
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.schemas import features_table
from harmony_pipeline.stages.code_identity import library_versions
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.stages.verdicts import require_sound
from harmony_pipeline.strategies.registry import build_strategy, with_fill_price
from harmony_pipeline.strategies.settings import StrategySettings, acts_on_quotes
from harmony_pipeline.suggestions import unknown_name

Answer = TypeVar("Answer")


def _silent(_stage: str, _done: int, _total: int) -> None:
    """Nobody watches."""


def _unrecorded(_asset: str, _result: StageResult) -> None:
    """Nobody keeps it."""


@dataclass(frozen=True)
class PipelineContext:
    """One market with its lake and state; cheap to make, everything heavy is made on first use."""

    settings: Settings
    progress: Callable[[str, int, int], None] = _silent
    """Called with (stage, steps done, steps in all) as long work moves on."""
    record: Callable[[str, StageResult], None] = _unrecorded
    """Called with (asset, what its stage had to show) by whoever runs the graph in this process."""
    again: bool = False
    """Make every partition again, also one whose inputs, settings and code are unchanged."""

    @cached_property
    def lake(self) -> Lake:
        """The lake, with the features table that the settings ask for; under `as_of` as it was
        known then, and what is made goes beside it.
        """
        settings, tables = self.settings, {"features": features_table(self.feature_set.names)}
        return Lake(
            settings.lake_root,
            tables,
            as_of=settings.as_of,
            overlay=None if settings.as_of is None else settings.state_root / "lake",
            lock_timeout_seconds=settings.lake.lock_timeout_seconds,
            endpoint=settings.lake.endpoint,
        ).open()

    def strategy_settings(self, name: str) -> StrategySettings:
        """The settings of a strategy, with the price at which its orders fill where it compares
        fills. Raises ConfigError where that is set twice.
        """
        entry = self.settings.labels_of(name).entry
        return with_fill_price(name, self.settings.strategies[name], entry)

    @cached_property
    def exchange(self) -> Calendar:
        """The exchange's sessions, whatever grid bars start on."""
        return Calendar.of(self.settings.market.calendar)

    @cached_property
    def calendar(self) -> Calendar:
        """The exchange's calendar with the grid of this market's bars: that of the settings, else
        the one that the lake remembers.
        """
        chosen = self.settings.market.grid
        if chosen != AUTO:
            return self.exchange.on_grid(BarGrid.of(chosen))
        if not grids_differ(self.exchange, self.timeframe):
            return self.exchange
        known = self.lake.read("bar_grid", ["all"])
        mine = known.filter(pl.col("timeframe") == self.timeframe)["grid"].to_list()
        return self.exchange.on_grid(BarGrid.of(mine[0])) if mine else self.exchange

    def forget_grid(self) -> None:
        """Look again at what the lake remembers of the grid: it has just been written."""
        self.__dict__.pop("calendar", None)

    @cached_property
    def source(self) -> MarketDataSource:
        """Where bars come from."""
        return build_source(self.settings.market, self.settings.folder)

    @cached_property
    def registry(self) -> ModelRegistry:
        """Trained models and the promoted pointer."""
        behind = (
            None if self.settings.as_of is None else self.settings.present_state_root / "models"
        )
        return ModelRegistry(self.settings.state_root / "models", behind, self.settings.as_of)

    @cached_property
    def kept_samples(self) -> dict[str, dict[int, Samples]]:
        """The events by horizon that `model` read and `predictions` takes over, under what they
        were read from.
        """
        return {}

    @cached_property
    def feature_set(self) -> FeatureSet:
        """Chosen features and those that active strategies need, `volatility_20` that scales risk
        and barriers, and last the events that models read.
        """
        needed = [
            name
            for strategy, chosen in self.settings.active_strategies.items()
            if not acts_on_quotes(chosen)
            for name in build_strategy(self.strategy_settings(strategy)).required_features()
        ]
        names = dict.fromkeys((*self.settings.features.names, "volatility_20", *sorted(needed)))
        names.pop(CUSUM_EVENT, None)
        return self.feature_set_of((*names, CUSUM_EVENT))

    def feature_set_of(self, names: Sequence[str]) -> FeatureSet:
        """The set of these columns, by the settings' threshold, benchmark and sectors."""
        features = self.settings.features
        peers = Peers(self.settings.market.benchmark, features.sectors, features.sectors_as_known)
        return FeatureSet.of(tuple(names), features.cusum_threshold, peers)

    @property
    def instruments(self) -> Instruments:
        """The terms that symbols are traded by, as the lake knows them; a symbol it does not know
        has the defaults of the market.
        """
        return self.while_unchanged("instruments", ["instruments"], self._read_instruments)

    def _read_instruments(self) -> Instruments:
        market = self.settings.market
        default = apply_terms(default_terms("", market)[0], market.instruments.defaults, "settings")
        return Instruments.of_table(self.lake.read("instruments"), default)

    @property
    def timeframe(self) -> str:
        """Size of a bar."""
        return self.settings.market.timeframe

    @property
    def zone(self) -> str:
        """The zone whose days cut periods: the exchange's, but UTC for daily and weekly bars, which
        are stamped midnight UTC.
        """
        return self.day_cut.zone

    @property
    def day_cut(self) -> DayCut:
        """When the trading day of a date begins: midnight, or the evening before where sessions
        start then.
        """
        return DayCut.of(self.exchange, self.timeframe)

    @property
    def bar(self) -> timedelta:
        """Length of a bar."""
        return timedelta(seconds=TIMEFRAME_SECONDS[self.timeframe])

    @property
    def end_date(self) -> date:
        """First exchange date that is not part of this market yet."""
        return self.settings.market.end or (datetime.now(UTC).date() + timedelta(days=1))

    @property
    def market_close(self) -> datetime:
        """The instant at which `end_date` begins: no bar of this market is later."""
        return self.trading_day_start(self.end_date)

    def trading_day_start(self, day: date) -> datetime:
        """The instant at which an exchange date begins, UTC."""
        return period_of(day, "day", self.day_cut).start

    def trading_periods(self) -> list[Period]:
        """Every trading period, oldest first."""
        return periods_between(
            self.settings.market.start,
            self.end_date,
            self.settings.market.partitions.trading_period,
            self.day_cut,
        )

    def retraining_periods(self) -> list[Period]:
        """Every retraining period, oldest first; of hours those in which the market is open."""
        if self.retrains_hourly:
            days = self.exchange.schedule(self.settings.market.start, self.end_date)
            extended = self.settings.market.extended_hours
            span = ("pre_open", "post_close") if extended else ("open", "close")
            return hours_of(days.select(span).iter_rows(), self.day_cut)
        return periods_between(
            self.settings.market.start,
            self.end_date,
            self.settings.market.partitions.retraining_period,
            self.day_cut,
        )

    @property
    def retrains_hourly(self) -> bool:
        """Whether models change within a day."""
        return self.settings.market.partitions.retraining_period == "hour"

    def trading_period(self, key: str) -> Period:
        """The trading period named `key`."""
        size = self.settings.market.partitions.trading_period
        try:
            return period_from_key(key, size, self.day_cut)
        except ConfigError:
            raise ConfigError(
                f"'{key}' is no {size}: if it is a partition of this lake, set"
                " market.partitions.trading_period to the size that the lake was made with"
            ) from None

    def retraining_period(self, key: str) -> Period:
        """The retraining period named `key`."""
        return period_from_key(key, self.settings.market.partitions.retraining_period, self.day_cut)

    def retraining_period_of(self, day: date) -> Period:
        """The retraining period whose model is in force on `day`."""
        return period_of(day, self.settings.market.partitions.retraining_period, self.day_cut)

    def overlapping(self, start: datetime, end: datetime) -> list[str]:
        """Keys of the trading periods that hold any moment of `start <= t < end`."""
        return [
            period.key
            for period in self.trading_periods()
            if period.start < end and period.end > start
        ]

    def sessions(self) -> list[date]:
        """Every trading day of this market, oldest first."""
        return self.exchange.sessions(self.settings.market.start, self.end_date)

    def strategy(self, name: str) -> str:
        """`name` when it is an active strategy or portfolio; ConfigError with the valid ones
        otherwise.
        """
        if name not in self.settings.backtest_names:
            raise ConfigError(unknown_name("active strategy", name, self.settings.backtest_names))
        return name

    def fingerprint(self, *parts: object) -> str:
        """Short hash of settings or hashes that something was made from."""
        text = json.dumps(
            [
                part.model_dump(mode="json") if hasattr(part, "model_dump") else part
                for part in parts
            ],
            sort_keys=True,
            default=str,
        )
        return short_hash(text, 8)

    def made_from(
        self, tables: Mapping[str, Sequence[str] | Mapping[str, str]], *parts: object
    ) -> dict[str, str]:
        """What a partition is made from: content hashes of its inputs, a hash of the settings that
        shaped it, the libraries that computed it.

        An input is a list of partition keys, or their content hashes where a caller that asks for
        many partitions has read them once. Raises NotReady when an input failed a blocking check
        and stands refused (stages/verdicts.py).
        """
        require_sound(self, {name: list(keys) for name, keys in tables.items()})
        hashes = {
            name: keys if isinstance(keys, Mapping) else self.lake.content_hashes(name, list(keys))
            for name, keys in tables.items()
        }
        inputs = {name: self.fingerprint(found) for name, found in hashes.items()}
        market = self.settings.market
        settings = self.fingerprint(
            market.calendar, market.timeframe, market.partitions, self.calendar.grid.text, *parts
        )
        return {**inputs, "settings": settings, "libraries": library_versions()}

    def while_unchanged(
        self, name: str, tables: Sequence[str], make: Callable[[], Answer]
    ) -> Answer:
        """What `make` makes of these tables, under `name`; it is made again once one of their
        partitions is another, or was written by somebody who left no hash.
        """
        hashes: list[dict[str, str]] = []
        for table in tables:
            keys = self.lake.partitions(table)
            hashes.append(self.lake.content_hashes(table, keys))
            if len(hashes[-1]) < len(keys):
                return make()
        kept = self._made.get(name)
        if kept is None or kept[0] != hashes:
            kept = self._made[name] = (hashes, make())
        answer: Answer = kept[1]
        return answer

    @cached_property
    def _made(self) -> dict[str, tuple[list[dict[str, str]], Any]]:
        """What was made of tables, with their content hashes."""
        return {}

    def hashes_until(self, table: str, ends: Sequence[datetime]) -> list[dict[str, str]]:
        """Content hashes of the trading periods that begin before each of `ends`; every partition
        is looked at once.
        """
        known = self.lake.content_hashes(table)
        starts = {period.key: period.start for period in self.trading_periods()}
        return [
            {key: value for key, value in known.items() if key in starts and starts[key] < end}
            for end in ends
        ]


def refuse_the_past(pipeline: PipelineContext) -> None:
    """Raises ConfigError under --as-of: what was not known then cannot be fetched now, and nobody
    trades there.
    """
    if pipeline.settings.as_of is not None:
        raise ConfigError(
            "--as-of shows the lake as it was known then: nothing can be fetched or traded in the"
            " past, leave --as-of out for that"
        )
