"""Answers of a source that are not in the lake yet, one file a request.

The law: an answer is on disk, whole, before the next question is asked, and stays until its rows are in the lake. A download that is killed
at any page therefore goes on with the first request that has no file; nothing is asked twice and nothing is lost.
"""

import json
import time
from collections.abc import Callable, Sequence
from datetime import datetime
from pathlib import Path

import polars as pl

from harmony_pipeline.files import replacing
from harmony_pipeline.hashing import short_hash
from harmony_pipeline.market.sources.base import MarketDataSource, Request

_FORGOTTEN_AFTER_SECONDS = 7 * 86_400.0


class DownloadCache:
    """The answers for one source and timeframe below `folder`; processes that share it fetch the same answers at worst twice."""

    def __init__(self, folder: Path, source: MarketDataSource, timeframe: str) -> None:
        self.source = source
        self.timeframe = timeframe
        self.folder = folder / short_hash(f"{source.identity} {timeframe}", 8)

    def fetch(self, requests: Sequence[Request], progress: Callable[[int, int], None], arrived: Callable[[Request], None] | None = None) -> list[Path]:
        """Have an answer to every request on disk; those that are there already are not asked for again. Returns the files."""
        self.folder.mkdir(parents=True, exist_ok=True)
        files = []
        for number, request in enumerate(requests, start=1):
            path = self._path(request)
            if not path.exists():
                symbols = None if request.symbols is None else list(request.symbols)
                self._keep(path, self.source.bars(symbols, request.start, request.end, self.timeframe))
                if arrived is not None:
                    arrived(request)
            files.append(path)
            progress(number, len(requests))
        return files

    def forget(self, files: Sequence[Path]) -> None:
        """Remove answers whose rows are in the lake, and those that no run came back for: a later ingest asks for other stretches."""
        old = time.time() - _FORGOTTEN_AFTER_SECONDS
        for path in [*files, *(path for path in self.folder.iterdir() if path.stat().st_mtime < old)]:
            path.unlink(missing_ok=True)

    def _path(self, request: Request) -> Path:
        asked = json.dumps([request.symbols, _iso(request.start), _iso(request.end)])
        return self.folder / f"{request.start:%Y%m%d}-{short_hash(asked, 12)}.parquet"

    def _keep(self, path: Path, frame: pl.DataFrame) -> None:
        with replacing(path) as temporary:
            frame.write_parquet(temporary, compression="zstd")


def _iso(moment: datetime) -> str:
    return moment.isoformat(timespec="microseconds")
