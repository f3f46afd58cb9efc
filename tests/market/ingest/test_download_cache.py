"""What a download says of its answers, beside the rows on disk."""

from datetime import UTC, datetime

import polars as pl
from polars.testing import assert_frame_equal

from harmony_pipeline.market.ingest.download_cache import DownloadCache
from harmony_pipeline.market.sources.base import (
    SOURCE_BAR_DTYPES,
    MarketDataSource,
    Request,
    SourceResult,
)

START, MIDDLE, END = (datetime(2024, 1, day, tzinfo=UTC) for day in (2, 3, 4))
REQUESTS = [
    Request(("A",), START, MIDDLE, note="kept for 30 days"),
    Request(("A",), MIDDLE, END, note="kept for 30 days"),
]


class Busy(MarketDataSource):
    """A supplier that answers at the third attempt, and remarks on each answer."""

    name = "busy"

    def __init__(self):
        self.asked = []

    def bars(self, symbols, start, end, timeframe):
        return self.read_bars(symbols, start, end, timeframe).rows

    def read_bars(self, symbols, start, end, timeframe):
        self.asked.append(start)
        return SourceResult(
            pl.DataFrame({"symbol": symbols, "timestamp": [start]}), notes=("thin",), retries=2
        )


def test_notes_are_said_once_and_retries_are_counted_over_all_requests(tmp_path):
    source = Busy()
    download = DownloadCache(tmp_path, source, "1Min").fetch(REQUESTS, lambda *_: None)
    assert download.notes == [
        "kept for 30 days",
        "thin",
        "busy had to be asked again 4 time(s): it was busy, broken or silent",
    ]
    assert_frame_equal(
        pl.read_parquet(download.files).select("symbol"), pl.DataFrame({"symbol": ["A", "A"]})
    )
    assert source.asked == [START, MIDDLE]


def test_an_answer_on_disk_is_not_requested_again_and_says_nothing(tmp_path):
    source = Busy()
    cache = DownloadCache(tmp_path, source, "1Min")
    cache.fetch(REQUESTS[:1], lambda *_: None)
    download = cache.fetch(REQUESTS, lambda *_: None)
    assert source.asked == [START, MIDDLE]
    assert "busy had to be asked again 2 time(s): it was busy, broken or silent" in download.notes


def test_a_source_without_remarks_needs_only_bars(tmp_path):
    class Plain(MarketDataSource):
        name = "plain"

        def bars(self, symbols, start, end, timeframe):
            return pl.DataFrame(schema=SOURCE_BAR_DTYPES)

    download = DownloadCache(tmp_path, Plain(), "1Min").fetch(
        [Request(None, START, END)], lambda *_: None
    )
    assert download.notes == []
    assert len(download.files) == 1
