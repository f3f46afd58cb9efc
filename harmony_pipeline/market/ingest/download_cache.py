"""Answers of a source that are not in the lake yet, one file a request.

An answer is on disk, whole, before the next question is asked, and stays until its rows are in the
lake. A download that is killed at any page therefore goes on with the first request that has no
file; nothing is asked twice and nothing is lost.
"""

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from harmony_pipeline.files import replacing
from harmony_pipeline.hashing import short_hash
from harmony_pipeline.market.periods import Period
from harmony_pipeline.market.sources.base import SOURCE_BAR_ORDER, MarketDataSource, Request

_FORGOTTEN_AFTER_SECONDS = 7 * 86_400.0
_BATCH_ROWS = 1_000_000  # rows in memory at a time


@dataclass(frozen=True)
class Download:
    """The files that answer some requests, and what is to be said of the answers that were fetched
    now.
    """

    files: list[Path]
    notes: list[str]

    def batches(self, period: Period) -> Iterator[pl.DataFrame]:
        """The answers' rows of a period, whole symbols at a time, sorted as a source sorts them."""
        if not self.files:
            return
        rows = pl.scan_parquet(self.files).filter(
            pl.col("timestamp").is_between(period.start, period.end, closed="left")
        )
        counts = rows.group_by("symbol").len().sort("symbol").collect(engine="in-memory")
        group = (pl.col("len").cum_sum() - 1) // _BATCH_ROWS
        for names in (
            counts.group_by(group.alias("group"), maintain_order=True)
            .agg("symbol")["symbol"]
            .to_list()
        ):
            yield (
                rows.filter(pl.col("symbol").is_in(names))
                .collect(engine="in-memory")
                .sort(SOURCE_BAR_ORDER, maintain_order=True)
            )


class DownloadCache:
    """The answers for one source and timeframe below `folder`; processes that share it fetch the
    same answers at worst twice.
    """

    def __init__(self, folder: Path, source: MarketDataSource, timeframe: str) -> None:
        self.source = source
        self.timeframe = timeframe
        self.folder = folder / short_hash(f"{source.identity} {timeframe}", 8)

    def fetch(self, requests: Sequence[Request], progress: Callable[[int, int], None]) -> Download:
        """Have an answer to every request on disk; those that are there already are not requested
        again.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        files, retries = [], 0
        notes = [request.note for request in requests if request.note]
        for number, request in enumerate(requests, start=1):
            path = self._path(request)
            if not path.exists():
                symbols = None if request.symbols is None else list(request.symbols)
                answer = self.source.read_bars(symbols, request.start, request.end, self.timeframe)
                self._keep(path, answer.rows)
                notes += answer.notes
                retries += answer.retries
            files.append(path)
            progress(number, len(requests))
        return Download(files, [*dict.fromkeys(notes), *retry_notes(self.source.name, retries)])

    def forget(self, files: Sequence[Path]) -> None:
        """Remove answers whose rows are in the lake, and those that no run came back for: a later
        ingest asks for other stretches.
        """
        old = time.time() - _FORGOTTEN_AFTER_SECONDS
        for path in [
            *files,
            *(path for path in self.folder.iterdir() if path.stat().st_mtime < old),
        ]:
            path.unlink(missing_ok=True)

    def _path(self, request: Request) -> Path:
        asked = json.dumps([request.symbols, _iso(request.start), _iso(request.end)])
        return self.folder / f"{request.start:%Y%m%d}-{short_hash(asked, 12)}.parquet"

    def _keep(self, path: Path, frame: pl.DataFrame) -> None:
        with replacing(path) as temporary:
            frame.write_parquet(temporary, compression="zstd")


def retry_notes(name: str, retries: int) -> list[str]:
    """What to say of a supplier that had to be asked again; nothing where it answered at once."""
    return (
        [f"{name} had to be asked again {retries} time(s): it was busy, broken or silent"]
        if retries
        else []
    )


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")
