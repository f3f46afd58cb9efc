"""A venue for the tests of ingest: the simulated market, asked piece by piece, that can be cut off
and can correct itself.
"""

from collections.abc import Sequence
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from harmony_pipeline.market.sources.base import MarketDataSource, Request, split_requests
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.testing.tiny import tiny_market


class PowerCut(BaseException):
    """The process ends here."""


class Venue(MarketDataSource):
    """The simulated market behind a counter: it answers in pieces, can be cut at any question, and
    can correct itself.
    """

    name = "venue"
    identity = "venue raw"

    def __init__(self, inside: MarketDataSource) -> None:
        self.inside = inside
        self.asked: list[Request] = []
        self.cut_at: int | None = None
        self.corrections: dict[tuple[str, datetime], float] = {}

    def requests(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> list[Request]:
        return split_requests(symbols, start, end, 2, timedelta(days=20))

    def bars(
        self, symbols: Sequence[str] | None, start: datetime, end: datetime, timeframe: str
    ) -> pl.DataFrame:
        if self.cut_at is not None and len(self.asked) == self.cut_at:
            raise PowerCut
        self.asked.append(Request(None if symbols is None else tuple(symbols), start, end))
        frame = self.inside.bars(symbols, start, end, timeframe).with_columns(
            source=pl.lit(self.name)
        )
        for (symbol, stamp), close in self.corrections.items():
            here = (pl.col("symbol") == symbol) & (pl.col("timestamp") == stamp)
            frame = frame.with_columns(
                close=pl.when(here).then(close).otherwise("close"),
                high=pl.when(here).then(pl.max_horizontal("high", pl.lit(close))).otherwise("high"),
            )
        return frame

    def corporate_actions(self, symbols: Sequence[str] | None) -> pl.DataFrame:
        return self.inside.corporate_actions(symbols)

    def universe(self) -> pl.DataFrame:
        return self.inside.universe()


def market_over(folder: Path, **options: Any) -> tuple[PipelineContext, Venue]:
    """A pipeline context whose source is a venue; three symbols are asked for by name."""
    inside = tiny_market(folder)
    names = sorted(inside.source.universe()["symbol"].unique())[:3]
    pipeline = tiny_market(folder, **{"symbols": tuple(names), "end": date(2024, 3, 1), **options})
    venue = Venue(inside.source)
    pipeline.__dict__["source"] = venue
    return pipeline, venue
