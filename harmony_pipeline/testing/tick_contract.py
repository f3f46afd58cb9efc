"""The obligations of a source of ticks as tests: a source with quotes and trades inherits them and
supplies facts.

    class TestMyTicks(TickContract):
        start, end = datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 3, tzinfo=UTC)
        symbols = ("AAPL", "MSFT")

        @pytest.fixture
        def source(self, tmp_path): ...

`start` to `end` must hold quotes and trades of every symbol at more than one time.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from harmony_pipeline.errors import HarmonyError
from harmony_pipeline.market.sources.base import (
    SOURCE_QUOTE_DTYPES,
    SOURCE_TRADE_DTYPES,
    MarketDataSource,
)
from harmony_pipeline.schemas import QUOTE_TICKS, TRADE_TICKS

KINDS = ("quotes", "trades")


@pytest.mark.parametrize("kind", KINDS)
class TickContract:
    """Tests that every source of ticks must pass; each is a sentence of the obligations."""

    start: datetime
    end: datetime
    symbols: Sequence[str]
    unknown_symbol: str = "NO-SUCH-SYMBOL"

    def _ticks(
        self,
        source: MarketDataSource,
        kind: str,
        symbols: Sequence[str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> pl.DataFrame:
        ask = source.quotes if kind == "quotes" else source.trades
        return ask(
            self.symbols if symbols is None else symbols, start or self.start, end or self.end
        )

    def test_it_has_ticks_of_every_symbol(self, source: MarketDataSource, kind: str) -> None:
        assert source.capabilities.quotes and source.capabilities.trades
        ticks = self._ticks(source, kind)
        assert set(ticks["symbol"].unique()) == set(self.symbols)
        assert ticks["timestamp"].n_unique() > 1

    def test_columns_and_types_are_exact(self, source: MarketDataSource, kind: str) -> None:
        ticks = self._ticks(source, kind).drop("defect", strict=False)
        assert dict(ticks.schema) == (
            SOURCE_QUOTE_DTYPES if kind == "quotes" else SOURCE_TRADE_DTYPES
        )
        assert not sum(ticks[name].null_count() for name in ("symbol", "timestamp", "source"))

    def test_rows_are_sorted(self, source: MarketDataSource, kind: str) -> None:
        ticks = self._ticks(source, kind)
        assert_frame_equal(
            ticks,
            ticks.sort((QUOTE_TICKS if kind == "quotes" else TRADE_TICKS).key, maintain_order=True),
        )

    def test_the_range_is_half_open(self, source: MarketDataSource, kind: str) -> None:
        stamps = self._ticks(source, kind)["timestamp"].unique().sort()
        first, last = stamps[0].astimezone(UTC), stamps[-1].astimezone(UTC)
        inside = self._ticks(source, kind, start=first, end=last)["timestamp"]
        assert inside.min() == first
        assert inside.max() < last  # type: ignore[operator]

    def test_an_empty_range_gives_no_rows_of_the_right_shape(
        self, source: MarketDataSource, kind: str
    ) -> None:
        empty = self._ticks(source, kind, end=self.start)
        assert empty.is_empty()
        assert empty.schema == self._ticks(source, kind).schema

    def test_reads_of_adjoining_ranges_make_up_one_read_and_the_same_call_gives_the_same_frame(
        self, source: MarketDataSource, kind: str
    ) -> None:
        whole = self._ticks(source, kind)
        stamps = whole["timestamp"].unique().sort()
        cut = stamps[len(stamps) // 2].astimezone(UTC)
        parts = pl.concat(
            [self._ticks(source, kind, end=cut), self._ticks(source, kind, start=cut)]
        )
        assert_frame_equal(
            parts.sort((QUOTE_TICKS if kind == "quotes" else TRADE_TICKS).key, maintain_order=True),
            whole,
            check_exact=True,
        )

    def test_one_symbol_is_its_part_of_all(self, source: MarketDataSource, kind: str) -> None:
        chosen = self.symbols[0]
        assert_frame_equal(
            self._ticks(source, kind, [chosen]),
            self._ticks(source, kind).filter(pl.col("symbol") == chosen),
            check_exact=True,
        )

    def test_an_unknown_symbol_gives_no_rows_or_an_error_that_names_it(
        self, source: MarketDataSource, kind: str
    ) -> None:
        try:
            assert self._ticks(source, kind, [self.unknown_symbol]).is_empty()
        except HarmonyError as error:
            assert self.unknown_symbol in str(error)
