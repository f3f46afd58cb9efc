"""What a rebuilt period says of itself."""

from datetime import timedelta

import polars as pl
from market.raw_rows import utc

from harmony_pipeline.market.ingest.revision_report import compare_bars
from harmony_pipeline.schemas import BARS

OPEN = utc(2024, 6, 3, 14, 30)


def bars(*closes: float, symbol: str = "AAA") -> pl.DataFrame:
    rows = [
        {"symbol": symbol, "timeframe": "15Min", "timestamp": OPEN + timedelta(minutes=15 * at),
        "session": "regular", "open": close, "high": close,
         "low": close, "close": close, "volume": 1.0, "adjustment_factor": 1.0}
        for at, close in enumerate(closes)
    ]  # fmt: skip
    return BARS.conform(
        pl.DataFrame(rows, schema_overrides={"timestamp": BARS.dtypes["timestamp"]})
    )


def test_the_same_bars_say_nothing():
    assert compare_bars(bars(1.0, 2.0), bars(1.0, 2.0)).sentences("2024-06") == []


def test_growth_alone_is_no_news():
    found = compare_bars(bars(1.0), bars(1.0, 2.0))
    assert (found.added, found.removed, found.changed_bars) == (1, 0, 0)
    assert found.sentences("2024-06") == []


def test_each_value_that_moved_is_named_with_both_values():
    found = compare_bars(bars(1.0, 2.0, 3.0), bars(1.0, 2.5))
    assert (found.added, found.removed, found.changed_bars) == (0, 1, 1)
    assert found.changed["column"].to_list() == ["close", "high", "low", "open"]
    [sentence] = found.sentences("2024-06")
    assert sentence.startswith(
        "2024-06 rebuilt: 1 bars changed, 1 left, 0 came: AAA 2024-06-03 14:45Z close was 2.0, is"
        " 2.5; "
    )


def test_many_changes_are_counted_after_the_first_few():
    [sentence] = compare_bars(bars(*[1.0] * 9), bars(*[2.0] * 9)).sentences("2024-06")
    assert sentence.endswith("; and 31 more values")
