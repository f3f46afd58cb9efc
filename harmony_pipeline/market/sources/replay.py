"""A lake as a source: its raw bars, replayed in the order in which they were known.

Of every symbol and timestamp exactly one row is given, the version learned last (up to `as_of`,
when that is given), with the values that were learned and nothing made up. Memory is bounded by
`_ROWS_AT_ONCE` and a partition's row groups, however long the lake is.

>>> source = ReplaySource(Lake(Path("data_lake")), "1Min")
>>> for frame in source.stream(["AAPL"]):  # one frame a timestamp
"""

import time
from collections.abc import Callable, Iterator, Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.lake.lake import Lake
from harmony_pipeline.market.ingest.versions import WITHDRAWN, latest_versions
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.sources.base import (
    SOURCE_BAR_DTYPES,
    SOURCE_BAR_ORDER,
    MarketDataSource,
    SourceCapabilities,
    SourceResult,
)
from harmony_pipeline.market.timeframes import TIMEFRAME_SECONDS, check_timeframe
from harmony_pipeline.schemas import CORPORATE_ACTIONS, LISTINGS, UNIVERSE
from harmony_pipeline.settings_base import absolute_path

# rows of a partition that the stream holds (about 120 MB); a partition is read once for every so
# many
_ROWS_AT_ONCE = 1_000_000
# by the length of a key: 2024-01-31 (day, week), 2024-01 (month, quarter), 2024; statistics prune
# the rest
_LONGEST_PERIOD_DAYS = {10: 7, 7: 93, 4: 367}


class ReplaySource(MarketDataSource):
    """A source over the tables `raw_bars`, `corporate_actions` and `universe` of a lake."""

    name = "replay"
    capabilities = SourceCapabilities(remote=False, stream=True, listings=True)

    def __init__(
        self,
        lake: Lake,
        timeframe: str,
        as_of: datetime | None = None,
        speed: float = 0.0,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        """`timeframe` is that of `stream`; `speed` 1 replays at the pace of the market, 0 without
        waiting; `as_of` is an aware instant.
        """
        if as_of is not None and as_of.tzinfo is None:
            raise ConfigError(
                f"market.replay.as_of is {as_of}, which names no time zone: write it like"
                f" {as_of.isoformat()}Z"
            )
        self.lake, self.timeframe, self.as_of, self.speed = lake, timeframe, as_of, speed
        self._then = lake if as_of is None else Lake(lake.root, as_of=as_of)
        self._sleep = sleep

    @classmethod
    def of(cls, market: MarketSettings, base: Path) -> "ReplaySource":
        """The source that `market.replay` describes. Raises ConfigError when no lake lies there."""
        text = market.replay.lake
        lake = Lake(text if "://" in text else absolute_path(text, base))
        if not lake.partitions("raw_bars"):
            raise ConfigError(
                f"market.replay.lake is '{text}', but {lake.root} holds no raw bars: name the"
                " folder or URL of a lake that was filled"
            )
        return cls(lake, market.timeframe, market.replay.as_of, market.replay.speed)

    @property
    def identity(self) -> str:
        """The lake, and the moment up to which its versions count."""
        moment = f" as of {self.as_of.astimezone(UTC).isoformat()}" if self.as_of else ""
        return f"{self.name} of {self.lake.root}{moment}"

    def bars(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> pl.DataFrame:
        """The last known version of every raw bar in `start <= timestamp < end`, read from the
        partitions that can hold it.
        """
        keys = [key for key in self.lake.partitions("raw_bars") if _may_hold(key, start, end)]
        return self._latest(
            self._versions(keys, symbols, timeframe).filter(
                pl.col("timestamp").is_between(start, end, closed="left")
            )
        )

    def read_batches(
        self, start: datetime, end: datetime, timeframe: str, rows: int
    ) -> Iterator[SourceResult]:
        """What `bars` of every symbol has, in frames of whole symbols in order and about `rows`
        versions, so that a month of thousands fits into memory.
        """
        keys = [key for key in self.lake.partitions("raw_bars") if _may_hold(key, start, end)]
        inside = self._versions(keys, None, timeframe).filter(
            pl.col("timestamp").is_between(start, end, closed="left")
        )
        counts = inside.group_by("symbol").len().sort("symbol").collect(engine="in-memory")
        group = (pl.col("len").cast(pl.Int64).cum_sum() - 1) // rows
        for names in (
            counts.group_by(group.alias("group"), maintain_order=True)
            .agg("symbol")["symbol"]
            .to_list()
        ):
            yield SourceResult(self._latest(inside.filter(pl.col("symbol").is_in(names))))

    def stream(self, symbols: Sequence[str] | None) -> Iterator[pl.DataFrame]:
        """Every bar of `timeframe` that the lake knows, oldest first, one frame a timestamp; ends
        with the lake.
        """
        before: datetime | None = None
        for key in self.lake.partitions("raw_bars"):
            rows = self._versions([key], symbols, self.timeframe)
            first, last, count = (
                rows.select(
                    pl.col("timestamp").min(), pl.col("timestamp").max().alias("last"), pl.len()
                )
                .collect(engine="in-memory")
                .row(0)
            )
            if not count:
                continue
            for start, end in _blocks(first, last, count):
                block = self._latest(
                    rows.filter(pl.col("timestamp").is_between(start, end, closed="left"))
                ).sort("timestamp", "symbol")
                for frame in block.partition_by("timestamp", maintain_order=True):
                    stamp = frame["timestamp"][0]
                    self._wait(before, stamp)
                    before = stamp
                    yield frame

    def corporate_actions(self, symbols: Sequence[str] | None) -> pl.DataFrame:
        """The lake's own, of `symbols` or of all, as known at `as_of`."""
        actions = CORPORATE_ACTIONS.conform(self._then.read("corporate_actions"))
        return actions if symbols is None else actions.filter(pl.col("symbol").is_in(list(symbols)))

    def universe(self) -> pl.DataFrame:
        """The lake's own, as known at `as_of`."""
        return UNIVERSE.conform(self._then.read("universe"))

    def listings(self) -> pl.DataFrame:
        """Symbols through time, as the lake knows them."""
        return LISTINGS.conform(self.lake.read("listings"))

    # --- reading ----------------------------------------------------------------------------------

    def _versions(
        self, keys: Sequence[str], symbols: Sequence[str] | None, timeframe: str
    ) -> pl.LazyFrame:
        """Every version of the rows asked that was known at `as_of`, not yet read."""
        check_timeframe(timeframe)
        rows = self.lake.scan("raw_bars", keys).filter(pl.col("timeframe") == timeframe)
        if symbols is not None:
            rows = rows.filter(pl.col("symbol").is_in(list(symbols)))
        return rows if self.as_of is None else rows.filter(pl.col("ingested_at") <= self.as_of)

    def _latest(self, versions: pl.LazyFrame) -> pl.DataFrame:
        """One row a symbol and timestamp, in the shape and order of a source's bars: the one that
        becomes the bar at ingest too.
        """
        latest = latest_versions(versions.collect(engine="in-memory")).filter(
            pl.col("defect").ne_missing(WITHDRAWN)
        )
        named = latest.with_columns(
            source=pl.lit(self.name),
            origin=pl.concat_str("source", "origin", separator=": ", ignore_nulls=True),
        )
        return named.select(
            pl.col(name).cast(dtype) for name, dtype in SOURCE_BAR_DTYPES.items()
        ).sort(SOURCE_BAR_ORDER, maintain_order=True)

    def _wait(self, before: datetime | None, stamp: datetime) -> None:
        """The time between two timestamps by `speed`, and never more than one bar's: nobody waits
        for a night to pass.
        """
        if self.speed and before is not None:
            bar = timedelta(seconds=TIMEFRAME_SECONDS[self.timeframe])
            self._sleep(min(stamp - before, bar).total_seconds() / self.speed)


def _blocks(first: datetime, last: datetime, count: int) -> list[tuple[datetime, datetime]]:
    """Half-open stretches of whole UTC days that cover `first` to `last`, each of about
    `_ROWS_AT_ONCE` of the `count` rows, at least a day.
    """
    start = first.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    days = (last - start).days + 1
    step = min(days, max(1, days * _ROWS_AT_ONCE // count))
    return [
        (start + timedelta(days=at), start + timedelta(days=at + step))
        for at in range(0, days, step)
    ]


def _may_hold(key: str, start: datetime, end: datetime) -> bool:
    """Whether a partition of that key can hold a row of the range, whatever its size and zone; a
    key of another form always may.
    """
    try:
        first = date.fromisoformat(f"{key}-01-01"[:10])
    except ValueError:
        return True
    margin = timedelta(days=1)
    opens = datetime(first.year, first.month, first.day, tzinfo=UTC) - margin
    return (
        opens < end
        and start < opens + timedelta(days=_LONGEST_PERIOD_DAYS.get(len(key), 367)) + 2 * margin
    )
