"""Rows in many chunks, on two threads: pieces decide as one frame does, and the kernel is compiled
once for all kinds of columns.
"""

import itertools
from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from market.raw_rows import LEARNED, NOTHING_BEFORE, actions
from polars.testing import assert_frame_equal

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.ingest.versions import WITHDRAWN
from harmony_pipeline.market.quality_settings import QualitySettings
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.text_columns import run_starts
from harmony_pipeline.market.validation.batch import split_chunks, split_in_halves
from harmony_pipeline.market.validation.kernel import judge_rows
from harmony_pipeline.market.validation.validate import Validated, validate
from harmony_pipeline.schemas import RAW_BARS

NYSE = Calendar.of("XNYS")
DAYS = 105  # times 390 minutes times three symbols: more rows than one thread judges
ACTIONS = actions(
    ("BBB", date(2024, 2, 1), "split", 2.0),
    ("BBB", date(2024, 3, 1), "dividend", 1e9),
    ("CCC", date(2024, 1, 3), "spinoff", 1.0),
)


def minutes(symbol: str, random: np.random.Generator) -> pl.DataFrame:
    """Regular minutes of one symbol with faults of every family: bad prices, volumes, prints,
    versions.
    """
    opens = (
        NYSE.schedule(date(2024, 1, 2), date(2024, 8, 1))["open"]
        .head(DAYS)
        .dt.epoch("us")
        .to_numpy()
    )
    stamps = (opens[:, None] + np.arange(390) * 60_000_000).ravel()
    close = np.round(100.0 * np.exp(np.cumsum(random.normal(0.0, 3e-4, stamps.size))), 2)
    if symbol == "BBB":
        close = np.where(
            stamps >= np.datetime64("2024-02-01", "us").astype(np.int64),
            np.round(close / 2, 2),
            close,
        )
    volume = random.integers(0, 20_000, stamps.size).astype(float)
    high, low = close + 0.01, close - 0.01
    for column, factor in ((high, 100.0), (low, -1.0), (volume, 300.0)):
        column[random.choice(stamps.size, 12, replace=False)] *= factor
    rows = pl.DataFrame(
        {
            "timestamp": stamps,
            "open": close,
            "high": high,
            "low": low,
            "close": close,
            "volume": volume,
        }
    ).with_columns(
        pl.col("timestamp").cast(pl.Datetime("us", "UTC")),
        symbol=pl.lit(symbol),
        timeframe=pl.lit("1Min"),
        vwap=pl.when(pl.int_range(pl.len()) % 7 == 0).then(None).otherwise("close"),
        source=pl.lit("test"),
        origin=pl.lit(f"{symbol}.csv"),
        row=pl.int_range(2, pl.len() + 2),
        ingested_at=pl.lit(LEARNED),
    )
    return RAW_BARS.conform(rows)


def with_versions(rows: pl.DataFrame, every: int) -> pl.DataFrame:
    """`rows` with later and equal versions of some of them, and a withdrawal now and then."""
    some = rows.gather_every(every)
    later = some.with_columns(
        ingested_at=pl.lit(LEARNED + timedelta(days=1)), close=pl.col("close") + 0.01
    )
    gone = some.gather_every(5).with_columns(
        ingested_at=pl.lit(LEARNED + timedelta(days=2)), defect=pl.lit(WITHDRAWN)
    )
    return RAW_BARS.conform(pl.concat([rows, some, later, gone]))


@pytest.fixture(scope="module")
def market() -> pl.DataFrame:
    random = np.random.default_rng(7)
    return pl.concat([minutes(symbol, random) for symbol in ("AAA", "BBB", "CCC")]).rechunk()


def in_chunks(rows: pl.DataFrame, edges: list[int]) -> pl.DataFrame:
    cuts = [0, *edges, rows.height]
    parts = [
        pl.DataFrame(rows[start:end].to_dict(as_series=False), schema=rows.schema)
        for start, end in itertools.pairwise(cuts)
    ]
    return pl.concat(parts, rechunk=False)


def judge(rows: pl.DataFrame) -> Validated:
    return validate(
        rows,
        NOTHING_BEFORE,
        ACTIONS,
        NYSE,
        "1Min",
        MarketSettings(timeframe="1Min", quality=QualitySettings()),
    )


def assert_same(one: Validated, other: Validated) -> None:
    for name in ("bars", "quarantine", "warnings", "after"):
        assert_frame_equal(getattr(one, name), getattr(other, name), check_exact=True)
    assert one.counts == other.counts


@pytest.mark.parametrize("versions", [0, 400])
def test_chunks_that_end_inside_symbols_change_no_verdict_and_no_bit(
    market: pl.DataFrame, versions: int
) -> None:
    rows = with_versions(market, versions) if versions else market
    edges = [rows.height * part // 7 + 3 for part in range(1, 7)]
    chunked = in_chunks(rows, edges)
    begin = run_starts(chunked["symbol"])
    assert len(split_chunks(chunked, begin, ("timestamp", "close"))) == 7
    whole, cut = judge(rows.rechunk()), judge(chunked)
    assert whole.quarantine.height > 30
    assert_same(whole, cut)


def test_symbols_judged_alone_on_one_thread_give_what_two_threads_give(
    market: pl.DataFrame,
) -> None:
    together = judge(market)
    alone = [judge(market.filter(pl.col("symbol") == symbol)) for symbol in ("AAA", "BBB", "CCC")]
    for name in ("bars", "quarantine", "warnings", "after"):
        assert_frame_equal(
            getattr(together, name),
            pl.concat([getattr(one, name) for one in alone]).select(
                getattr(together, name).columns
            ),
            check_exact=True,
        )


def test_versions_of_one_bar_in_two_chunks_are_judged_together(market: pl.DataFrame) -> None:
    rows = with_versions(market, 400)
    repeated = (rows["timestamp"] == rows["timestamp"].shift()).arg_true()
    edge = int(repeated[repeated.len() // 2])  # a chunk begins with a version of the bar before it
    assert_same(judge(rows.rechunk()), judge(in_chunks(rows, [edge])))


def test_more_findings_than_there_is_room_for_are_judged_again(market: pl.DataFrame) -> None:
    broken = market.with_columns(
        low=pl.when(pl.int_range(pl.len()) % 9 == 0).then(pl.col("low") * 1e-3).otherwise("low")
    )
    one, other = judge(broken), judge(in_chunks(broken, [broken.height // 3]))
    assert one.quarantine.height > 2 * 4096
    assert_same(one, other)


def test_halves_share_no_symbol_and_lose_no_row(market: pl.DataFrame) -> None:
    begin = run_starts(market["symbol"])
    parts = split_chunks(in_chunks(market, [50_000]), begin, ("timestamp",))
    first, second = split_in_halves(parts, begin)
    assert [part.rows.stop - part.rows.start for part in (*first, *second)] == [
        int(part.begin[-1]) for part in (*first, *second)
    ]
    assert sum(int(part.begin[-1]) for part in (*first, *second)) == market.height
    assert first[-1].segments.stop == second[0].segments.start


def test_the_kernel_is_compiled_once_whatever_columns_a_batch_has(market: pl.DataFrame) -> None:
    few = market.head(500)
    unread = few.with_columns(
        defect=pl.when(pl.int_range(pl.len()) == 3).then(pl.lit("close is 'x'"))
    )
    for rows in (few, with_versions(few, 50), unread, with_versions(unread, 50)):
        judge(RAW_BARS.conform(rows))
    assert len(judge_rows.signatures) == 1, (
        "each further kind of array costs a user half a minute of compilation"
    )
