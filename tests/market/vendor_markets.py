"""A market over files that a test writes as a vendor would, ingested and judged in process."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl

from harmony_pipeline.config import load_settings
from harmony_pipeline.lake import sql
from harmony_pipeline.stages import ingest, market
from harmony_pipeline.stages.context import PipelineContext

HEADER = "timestamp,open,high,low,close,volume"


def walk(at: int) -> float:
    """A price that is never far from the one before, and never twice the same in a row."""
    return 100.0 + 0.1 * (at % 7) + 0.01 * (at % 11)


def lines(stamps: Sequence[object], volumes: Sequence[float] | None = None) -> list[str]:
    """One sound row a stamp."""
    rows = []
    for at, stamp in enumerate(stamps):
        price, volume = walk(at), 1000.0 + at if volumes is None else volumes[at]
        rows.append(
            f"{stamp},{price:.2f},{price + 0.5:.2f},{price - 0.5:.2f},{price + 0.1:.2f},{volume}"
        )
    return rows


def write(path: Path, stamps: Sequence[object], volumes: Sequence[float] | None = None) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("\n".join([HEADER, *lines(stamps, volumes)]) + "\n")
    return path


@dataclass(frozen=True)
class Market:
    """What one ingest left behind."""

    pipeline: PipelineContext
    notes: list[str]

    def rows(self, query: str) -> list[tuple[object, ...]]:
        return sql.query(self.pipeline.lake, query).rows()

    @property
    def bars(self) -> pl.DataFrame:
        return self.pipeline.lake.read("bars").sort("symbol", "timestamp")

    @property
    def refused(self) -> pl.DataFrame:
        return self.pipeline.lake.read("quarantine")


def ingested(folder: Path, settings: str, *, files: str = "") -> Market:
    """Ingest and validate the files of `folder`/data under the [market] lines of `settings`."""
    text = (
        '[paths]\nlake = "lake"\nstate = "state"\n[market]\nsource ='
        f' "files"\n{settings}\n[market.files]\npaths = ["data"]\n{files}\n'
    )
    (folder / "harmony.toml").write_text(text)
    pipeline = PipelineContext(load_settings(folder / "harmony.toml", {}))
    periods = pipeline.trading_periods()
    notes = [*ingest.raw_bars(pipeline, periods).notes, *market.bars(pipeline, periods).notes]
    market.daily_summary(pipeline, periods)
    return Market(pipeline, notes)


def local(zone: str, day: date, *clocks: str) -> list[datetime]:
    """Instants of these times of day on the clock of `zone`."""
    moments = (
        datetime.fromisoformat(f"{day} {clock}").replace(tzinfo=ZoneInfo(zone)) for clock in clocks
    )
    return [moment.astimezone(ZoneInfo("UTC")) for moment in moments]


def every(zone: str, day: date, first: str, last: str, minutes: int) -> list[datetime]:
    """Instants from `first` to `last` on the clock of `zone`, `minutes` apart."""
    begin, end = local(zone, day, first, last)
    return [
        begin + timedelta(minutes=minutes * at)
        for at in range(int((end - begin) / timedelta(minutes=minutes)) + 1)
    ]


def iso(stamps: Sequence[datetime]) -> list[str]:
    return [f"{stamp:%Y-%m-%dT%H:%M:%SZ}" for stamp in stamps]
