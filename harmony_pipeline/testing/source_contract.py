"""The obligations of `MarketDataSource` as tests: a new source inherits them and supplies facts.

    class TestMySource(SourceContract):
        timeframe, start, end = "1Min", datetime(2024, 1, 2, tzinfo=UTC), datetime(2024, 1, 5,
        tzinfo=UTC) symbols = ("AAPL", "MSFT")

        @pytest.fixture
        def source(self, tmp_path): ...

`start` to `end` must hold bars of every symbol on more than one timestamp. What the source declares
in `capabilities` must work, and what it does not declare must raise a ConfigError. What its data
cannot show is named in `lacks`, with the reason: the obligation is then skipped in sight, and one
that is neither kept nor excused fails. `python -m harmony_pipeline.testing.contract_report` lists
all of it.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from itertools import islice
from typing import ClassVar

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from harmony_pipeline.errors import ConfigError, HarmonyError
from harmony_pipeline.market.sources.base import (
    SOURCE_BAR_DTYPES,
    SOURCE_BAR_ORDER,
    SOURCE_QUOTE_DTYPES,
    SOURCE_TRADE_DTYPES,
    MarketDataSource,
)
from harmony_pipeline.schemas import (
    CORPORATE_ACTIONS,
    INSTRUMENTS,
    LISTINGS,
    QUOTE_TICKS,
    TRADE_TICKS,
    UNIVERSE,
    Table,
)

_STREAMED = 5


class SourceContract:
    """What every source must pass; each test is a sentence of the obligations."""

    timeframe: str
    start: datetime
    end: datetime
    symbols: Sequence[str]
    tick_start: datetime
    tick_end: datetime
    """a range with quotes and trades of `symbols`, where the source has them"""
    lacks: Mapping[str, str] = {}
    """what this source (or its test data) has not, with the reason: unique rows, corporate actions,
    universe, quotes, trades
    """
    unknown_symbol: str = "NO-SUCH-SYMBOL"
    _read: ClassVar[tuple[MarketDataSource, type, pl.DataFrame] | None] = None

    def _bars(
        self,
        source: MarketDataSource,
        symbols: Sequence[str] | None = None,
        start: datetime | None = None,
        end: datetime | None = None,
    ) -> pl.DataFrame:
        return source.bars(
            self.symbols if symbols is None else symbols,
            start or self.start,
            end or self.end,
            self.timeframe,
        )

    def _whole(self, source: MarketDataSource) -> pl.DataFrame:
        """The bars of all symbols and of the whole range: read once of one source object."""
        kept = SourceContract._read
        if kept is None or kept[0] is not source or kept[1] is not type(self):
            kept = SourceContract._read = (source, type(self), self._bars(source))
        return kept[2]

    def _methods(self, source: MarketDataSource) -> dict[str, Callable[[], object]]:
        """The methods that a source has to declare, by the name of their flag."""
        return {
            "stream": lambda: next(iter(source.stream(self.symbols))),
            "listings": source.listings,
            "instruments": source.instruments,
            "quotes": lambda: source.quotes(self.symbols, self.start, self.end),
            "trades": lambda: source.trades(self.symbols, self.start, self.end),
            "fingerprint": source.fingerprint,
            "self_check": source.self_check,
        }

    def _skip_undeclared(self, source: MarketDataSource, name: str) -> None:
        if not asdict(source.capabilities)[name]:
            pytest.skip(f"the source declares no {name}")

    def _skip_without(self, name: str) -> None:
        if name in self.lacks:
            pytest.skip(self.lacks[name])

    def _assert_ticks(
        self,
        ask: Callable[[Sequence[str], datetime, datetime], pl.DataFrame],
        dtypes: Mapping[str, object],
        table: Table,
    ) -> None:
        """Exact columns (a text column `defect` may come along), sorted by key, and adjoining reads
        that make up the whole.
        """
        start, end = self.tick_start, self.tick_end
        whole = ask(self.symbols, start, end)
        assert whole.height
        assert {name: dtype for name, dtype in whole.schema.items() if name != "defect"} == dtypes
        assert_frame_equal(whole, whole.sort(table.key, maintain_order=True))
        assert whole["timestamp"].is_between(start, end, closed="left").all()
        cut = whole["timestamp"].sort()[whole.height // 2].astimezone(UTC)
        parts = pl.concat([ask(self.symbols, start, cut), ask(self.symbols, cut, end)])
        assert_frame_equal(parts.sort(table.key, maintain_order=True), whole, check_exact=True)

    def test_it_is_a_market_data_source_with_a_name(self, source: MarketDataSource) -> None:
        assert isinstance(source, MarketDataSource)
        assert source.name

    def test_its_identity_is_a_text_and_stays(self, source: MarketDataSource) -> None:
        assert source.identity
        assert source.identity == source.identity

    def test_its_requests_make_up_the_whole(self, source: MarketDataSource) -> None:
        pieces = [
            self._bars(source, each.symbols, each.start, each.end)
            for each in source.requests(self.symbols, self.start, self.end, self.timeframe)
        ]
        assert_frame_equal(
            pl.concat(pieces).sort(SOURCE_BAR_ORDER, maintain_order=True),
            self._whole(source),
            check_exact=True,
        )

    def test_it_has_bars_of_every_symbol(self, source: MarketDataSource) -> None:
        bars = self._whole(source)
        assert set(bars["symbol"].unique()) == set(self.symbols)
        assert bars["timestamp"].n_unique() > 1

    def test_columns_and_types_are_exact(self, source: MarketDataSource) -> None:
        assert dict(self._whole(source).schema) == SOURCE_BAR_DTYPES

    def test_what_identifies_a_row_is_never_null(self, source: MarketDataSource) -> None:
        bars = self._whole(source)
        assert not sum(
            bars[name].null_count() for name in ("symbol", "timeframe", "timestamp", "source")
        )
        assert bars["timeframe"].unique().to_list() == [self.timeframe]

    def test_rows_are_sorted(self, source: MarketDataSource) -> None:
        bars = self._whole(source)
        assert_frame_equal(bars, bars.sort(SOURCE_BAR_ORDER, maintain_order=True))

    def test_a_symbol_and_timestamp_come_once(self, source: MarketDataSource) -> None:
        self._skip_without("unique rows")
        assert not self._whole(source).select("symbol", "timestamp").is_duplicated().any()

    def test_the_range_is_half_open(self, source: MarketDataSource) -> None:
        stamps = self._whole(source)["timestamp"].unique().sort()
        first, last = stamps[0].astimezone(UTC), stamps[-1].astimezone(UTC)
        inside = self._bars(source, start=first, end=last)["timestamp"]
        assert inside.min() == first
        assert last not in inside.unique().to_list()

    def test_an_empty_range_gives_no_rows_of_the_right_shape(
        self, source: MarketDataSource
    ) -> None:
        bars = self._bars(source, end=self.start)
        assert bars.height == 0
        assert dict(bars.schema) == SOURCE_BAR_DTYPES

    def test_the_same_call_gives_the_same_frame(self, source: MarketDataSource) -> None:
        assert_frame_equal(self._bars(source), self._bars(source), check_exact=True)

    def test_reads_of_adjoining_ranges_make_up_one_read(self, source: MarketDataSource) -> None:
        stamps = self._whole(source)["timestamp"].unique().sort()
        cut = stamps[len(stamps) // 2].astimezone(UTC)
        parts = pl.concat([self._bars(source, end=cut), self._bars(source, start=cut)])
        assert_frame_equal(
            parts.sort(SOURCE_BAR_ORDER, maintain_order=True), self._whole(source), check_exact=True
        )

    def test_one_symbol_is_its_part_of_all(self, source: MarketDataSource) -> None:
        chosen = self.symbols[0]
        assert_frame_equal(
            self._bars(source, [chosen]),
            self._whole(source).filter(pl.col("symbol") == chosen),
            check_exact=True,
        )

    def test_no_symbols_named_means_every_symbol(self, source: MarketDataSource) -> None:
        everything = source.bars(None, self.start, self.end, self.timeframe)
        assert set(self.symbols) <= set(everything["symbol"].unique())

    def test_an_unknown_symbol_gives_no_rows_or_an_error_that_names_it(
        self, source: MarketDataSource
    ) -> None:
        try:
            assert self._bars(source, [self.unknown_symbol]).height == 0
        except HarmonyError as error:
            assert self.unknown_symbol in str(error)

    def test_corporate_actions_and_universe_have_their_columns(
        self, source: MarketDataSource
    ) -> None:
        assert dict(source.corporate_actions(None).schema) == CORPORATE_ACTIONS.dtypes
        assert dict(source.universe().schema) == UNIVERSE.dtypes

    def test_corporate_actions_are_one_a_symbol_date_and_kind_and_positive(
        self, source: MarketDataSource
    ) -> None:
        self._skip_without("corporate actions")
        actions = source.corporate_actions(None)
        _assert_keyed(actions, CORPORATE_ACTIONS)
        assert set(actions["kind"].unique()) <= {"split", "dividend"}
        assert (actions["value"] > 0.0).all()
        assert_frame_equal(
            source.corporate_actions(self.symbols),
            actions.filter(pl.col("symbol").is_in(list(self.symbols))),
            check_exact=True,
        )

    def test_the_universe_names_a_symbol_once_a_date_and_lists_it_before_it_ends(
        self, source: MarketDataSource
    ) -> None:
        self._skip_without("universe")
        universe = source.universe()
        _assert_keyed(universe, UNIVERSE)
        assert not universe.filter(pl.col("delisted") < pl.col("listed")).height

    def test_what_it_does_not_declare_is_refused_in_one_line(
        self, source: MarketDataSource
    ) -> None:
        declared = asdict(source.capabilities)
        for name, use in self._methods(source).items():
            if not declared[name]:
                with pytest.raises(ConfigError) as refused:
                    use()
                assert "\n" not in str(refused.value)

    def test_listings_have_their_columns(self, source: MarketDataSource) -> None:
        self._skip_undeclared(source, "listings")
        assert dict(source.listings().schema) == LISTINGS.dtypes

    def test_terms_of_instruments_are_one_row_a_symbol_and_say_since_when(
        self, source: MarketDataSource
    ) -> None:
        self._skip_undeclared(source, "instruments")
        rows = source.instruments()
        assert set(rows.columns) <= {*INSTRUMENTS.columns, "since_ever"}
        assert not rows["symbol"].is_duplicated().any()
        assert not sum(rows[name].null_count() for name in ("symbol", "valid_from", "since_ever"))

    def test_its_fingerprint_stays_while_nothing_changes(self, source: MarketDataSource) -> None:
        self._skip_undeclared(source, "fingerprint")
        assert source.fingerprint() == source.fingerprint()

    def test_its_check_of_itself_says_what_it_found(self, source: MarketDataSource) -> None:
        self._skip_undeclared(source, "self_check")
        self._skip_without("self check")
        assert source.self_check()

    def test_batches_of_whole_symbols_make_up_the_whole(self, source: MarketDataSource) -> None:
        results = list(source.read_batches(self.start, self.end, self.timeframe, 1))
        whole = source.read_bars(None, self.start, self.end, self.timeframe)
        assert_frame_equal(
            pl.concat(result.rows for result in results), whole.rows, check_exact=True
        )
        symbols = [set(result.rows["symbol"]) for result in results]
        assert sum(map(len, symbols)) == len(set().union(*symbols))

    def test_accounts_add_up_to_the_rows(self, source: MarketDataSource) -> None:
        self._skip_undeclared(source, "accounts")
        results = list(source.read_batches(self.start, self.end, self.timeframe, 1))
        assert sum(account.inside for result in results for account in result.accounts) == sum(
            result.rows.height for result in results
        )

    def test_trades_are_half_open_sorted_and_add_up(self, source: MarketDataSource) -> None:
        self._skip_undeclared(source, "trades")
        self._skip_without("trades")
        self._assert_ticks(source.trades, SOURCE_TRADE_DTYPES, TRADE_TICKS)

    def test_quotes_are_half_open_sorted_and_add_up(self, source: MarketDataSource) -> None:
        self._skip_undeclared(source, "quotes")
        self._skip_without("quotes")
        self._assert_ticks(source.quotes, SOURCE_QUOTE_DTYPES, QUOTE_TICKS)

    def test_the_stream_goes_forward_one_timestamp_at_a_time(
        self, source: MarketDataSource
    ) -> None:
        self._skip_undeclared(source, "stream")
        frames = list(islice(source.stream(self.symbols), _STREAMED))
        stamps = [frame["timestamp"].unique().to_list() for frame in frames]
        assert all(len(each) == 1 for each in stamps)
        assert stamps == sorted(stamps)
        assert all(dict(frame.schema) == SOURCE_BAR_DTYPES for frame in frames)


def _assert_keyed(rows: pl.DataFrame, table: Table) -> None:
    """Some rows, sorted by the table's key, one a key."""
    assert rows.height
    assert_frame_equal(rows, rows.sort(table.key, maintain_order=True), check_exact=True)
    assert not rows.select(table.key).is_duplicated().any()
