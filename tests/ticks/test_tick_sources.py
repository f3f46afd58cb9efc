"""The sources of ticks that need no network, under the contract of ticks."""

from datetime import UTC, date, datetime

import pytest
from market.simulated_worlds import world

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.source_settings import FileSourceSettings
from harmony_pipeline.market.sources.files import FileSource
from harmony_pipeline.testing.tick_contract import TickContract


class TestFiles(TickContract):
    start, end = datetime(2024, 7, 2, tzinfo=UTC), datetime(2024, 7, 3, tzinfo=UTC)
    symbols = ("AAA", "BBB")

    @pytest.fixture
    def source(self, tmp_path):
        for symbol in self.symbols:
            rows = [
                f"2024-07-02T13:{minute:02}:00Z,{10 + minute % 3},{9 + minute % 3},100"
                for minute in (30, 30, 31, 45)
            ]
            for kind, header in (
                ("trades", "timestamp,price,fair,size"),
                ("quotes", "timestamp,ask,bid,size"),
            ):
                (tmp_path / f"{kind}_{symbol}_2024-07-02.csv").write_text(
                    "\n".join([header, *rows]) + "\n"
                )
        return FileSource(
            FileSourceSettings(trades=("trades_*.csv",), quotes=("quotes_*.csv",)),
            Calendar.of("XNYS"),
            tmp_path,
        )


SIMULATED = world(
    start=date(2024, 7, 2), end=date(2024, 7, 4), timeframe="15Min", symbols=2, low_float_symbols=0
)


class TestSimulated(TickContract):
    start, end = datetime(2024, 7, 2, tzinfo=UTC), datetime(2024, 7, 4, tzinfo=UTC)

    @property
    def symbols(self):
        return tuple(SIMULATED._listings)

    @pytest.fixture
    def source(self):
        return SIMULATED
