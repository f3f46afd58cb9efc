"""Every bad input has its rule and its sentence; every raw row is accounted for; nothing later than
a bar decides about it.
"""

from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from market.raw_rows import (
    LEARNED,
    NO_ACTIONS,
    NOTHING_BEFORE,
    actions,
    bar,
    daily,
    quarter_hours,
    raw,
    utc,
)
from polars.testing import assert_frame_equal

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.quality_settings import QualitySettings
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.source_settings import FileSourceSettings
from harmony_pipeline.market.sources.files import FileSource
from harmony_pipeline.market.validation.validate import Validated, validate
from harmony_pipeline.schemas import BARS, QUARANTINE, RAW_BARS

NYSE = Calendar.of("XNYS")
OPEN = utc(2024, 1, 2, 14, 30)
BEFORE = pl.DataFrame(
    {
        "symbol": ["AAA"],
        "close": [100.0],
        "adjustment_factor": [2.0],
        "timestamp": [utc(2023, 12, 29, 20, 45)],
    },
    schema_overrides=NOTHING_BEFORE.schema,
)


def judged(
    rows: pl.DataFrame,
    before: pl.DataFrame = NOTHING_BEFORE,
    acts: pl.DataFrame = NO_ACTIONS,
    timeframe: str = "15Min",
    **settings: Any,
) -> Validated:
    result = validate(rows, before, acts, NYSE, timeframe, MarketSettings(**settings))
    assert (
        rows.height
        == result.bars.height + result.quarantine.height
        == result.counts["rows_bars"] + result.counts["rows_quarantine"]
    )
    assert dict(result.bars.schema) == BARS.dtypes
    assert dict(result.quarantine.schema) == QUARANTINE.dtypes
    assert sum(result.counts["rules"].values()) == result.quarantine.height
    return result


def only(result: Validated) -> tuple[str, str]:
    """Rule and reason of the one quarantined row."""
    assert result.quarantine.height == 1, result.quarantine
    row = result.quarantine.row(0, named=True)
    return row["rule"], row["reason"]


def test_a_sound_row_becomes_a_bar() -> None:
    result = judged(raw(bar(OPEN, vwap=100.1, trade_count=3.0)))
    assert result.bars.row(0, named=True) == {
        "symbol": "AAA", "timeframe": "15Min", "timestamp": OPEN, "session": "regular",
        "open": 100.0, "high": 100.0, "low": 100.0, "close": 100.0, "volume": 1000.0,
        "trade_count": 3.0, "vwap": 100.1, "adjustment_factor": 1.0,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("change", "rule", "reason"),
    [
        ({"close": None, "defect": "close is 'abc', expected a number"}, "unreadable", "AAA.csv row 2: close is 'abc', expected a number"),
        ({"high": None}, "missing_price", "AAA.csv row 2: high is missing, expected a price: fill the cell, or fetch the bar again"),
        ({"open": float("nan")}, "missing_price", "AAA.csv row 2: open is missing"),
        ({"volume": None}, "missing_volume", "AAA.csv row 2: volume is missing"),
        ({"open": 0.0, "low": 0.0}, "non_positive_price", "AAA.csv row 2: open is 0.0, expected a price above 0"),
        ({"low": -1.0}, "non_positive_price", "AAA.csv row 2: low is -1.0"),
        ({"volume": -5.0}, "negative_volume", "AAA.csv row 2: volume is -5.0, expected 0 or more"),
        ({"high": 99.0, "low": 100.0}, "high_below_low", "AAA.csv row 2: high 99.0 is below low 100.0"),
        ({"open": 101.0}, "open_or_close_outside_range", "open 101.0 or close 100.0 lies outside low 100.0 to high 100.0"),
        ({"close": 99.0}, "open_or_close_outside_range", "open 100.0 or close 99.0 lies outside"),
        ({"timestamp": utc(2024, 1, 2, 14, 37)}, "misaligned_timestamp", "(Tue 2024-01-02 09:37:00 in America/New_York) is not on the 15Min grid"),
        ({"timestamp": utc(2024, 1, 2, 14, 30, 1)}, "misaligned_timestamp", "2024-01-02T14:30:01Z"),
        ({"timestamp": utc(2024, 1, 2, 6)}, "outside_session", "(Tue 2024-01-02 01:00:00 in America/New_York) is outside every session of XNYS"),
        ({"timestamp": utc(2024, 1, 6, 15)}, "outside_session", "Sat 2024-01-06"),
        ({"timestamp": utc(2024, 7, 4, 15)}, "outside_session", "Thu 2024-07-04"),
        ({"timestamp": utc(2024, 7, 4, 15), "volume": 0.0}, "closed_market_filler", "Thu 2024-07-04"),
        ({"timestamp": utc(2024, 1, 6, 15), "volume": 0.0}, "closed_market_filler", "has no volume and one price"),
        ({"timestamp": utc(2024, 1, 6, 15), "volume": 0.0, "high": 101.0}, "outside_session", "Sat 2024-01-06"),
    ],
)  # fmt: skip
def test_each_bad_row_has_its_rule_and_says_where_what_and_how(
    change: dict[str, Any], rule: str, reason: str
) -> None:
    found, said = only(judged(raw(bar(OPEN) | change)))
    assert found == rule
    assert reason in said


def test_a_row_stands_in_quarantine_once_under_the_first_rule_it_breaks() -> None:
    assert (
        only(judged(raw(bar(utc(2024, 1, 6, 15, 1), high=-1.0, volume=-1.0))))[0]
        == "non_positive_price"
    )


def test_an_unknown_symbol_is_named_only_where_the_universe_is_given() -> None:
    rule, reason = only(judged(raw(bar(OPEN, symbol="ZZZ")), symbols=("AAA",)))
    assert rule == "unknown_symbol"
    assert "symbol 'ZZZ' is not among market.symbols" in reason
    assert judged(raw(bar(OPEN, symbol="ZZZ"))).bars.height == 1


def test_extended_hours_are_bars_or_are_set_aside_without_blame() -> None:
    rows = raw(bar(utc(2024, 1, 2, 13, 0)), bar(OPEN), bar(utc(2024, 1, 2, 21, 0)))
    assert judged(rows).bars["session"].to_list() == ["pre", "regular", "post"]
    off = judged(rows, extended_hours=False)
    assert off.quarantine["rule"].to_list() == ["extended_hours_off"] * 2
    assert off.counts["quarantined_fraction"] == 0.0


def test_zero_volume_is_allowed_unless_the_settings_forbid_it() -> None:
    rows = raw(bar(OPEN, volume=0.0))
    assert judged(rows).bars.height == 1
    assert only(judged(rows, quality=QualitySettings(allow_zero_volume=False)))[0] == "zero_volume"


def test_hourly_bars_stand_on_the_hour_of_the_exchanges_clock() -> None:
    hourly = raw(
        bar(utc(2024, 1, 2, 14), timeframe="1Hour"), bar(utc(2024, 1, 2, 15, 30), timeframe="1Hour")
    )
    result = judged(hourly, timeframe="1Hour")
    assert result.bars["timestamp"].to_list() == [utc(2024, 1, 2, 14)]
    assert only(result)[0] == "misaligned_timestamp"


def test_a_daily_bar_that_is_not_at_midnight_or_on_a_holiday_is_quarantined() -> None:
    rows = raw(
        *(
            bar(stamp, timeframe="1Day")
            for stamp in (utc(2024, 7, 3), utc(2024, 7, 4), utc(2024, 7, 5, 4))
        )
    )
    assert judged(rows, timeframe="1Day").quarantine["rule"].to_list() == [
        "outside_session",
        "misaligned_timestamp",
    ]


def test_fillers_of_a_closed_market_are_no_faults_and_other_bars_there_are() -> None:
    """A vendor that writes every hour of the week has more of them than any bound of faults."""
    night = [utc(2024, 1, 6, hour) for hour in range(2, 17)]
    fillers = [bar(stamp, row=row, volume=0.0) for row, stamp in enumerate(night, 3)]
    found = judged(raw(bar(OPEN), *fillers)).counts
    assert found["rules"] == {"closed_market_filler": 15}
    assert found["quarantined_fraction"] == 0.0
    traded = [row | {"volume": 1.0} for row in fillers]
    assert judged(raw(bar(OPEN), *traded)).counts["quarantined_fraction"] == 15 / 16


def test_raw_rows_without_a_required_column_are_refused() -> None:
    with pytest.raises(DataError, match="lack the column"):
        judged(raw(bar(OPEN)).drop("source"))


def test_no_rows_give_no_bars() -> None:
    assert judged(RAW_BARS.empty()).counts["quarantined_fraction"] == 0.0


# --- duplicates -----------------------------------------------------------------------------------


def test_identical_rows_leave_one_bar() -> None:
    result = judged(raw(bar(OPEN), bar(OPEN, row=3)))
    assert result.bars.height == 1
    assert only(result) == (
        "duplicate",
        "AAA.csv row 2: the same bar as AAA.csv row 3, learned at the same moment: nothing is lost",
    )


LATER = LEARNED + timedelta(days=1)


def test_of_two_versions_the_one_learned_last_is_the_bar_and_the_older_one_is_no_fault() -> None:
    result = judged(raw(bar(OPEN, 99.0, ingested_at=LATER), bar(OPEN, 100.0, row=9, volume=5000.0)))
    assert result.bars["close"].to_list() == [99.0]
    rule, reason = only(result)
    assert rule == "superseded"
    assert reason.startswith(
        "AAA.csv row 9: learned again on 2024-06-02T00:00:00Z (AAA.csv row 2), which is kept: open"
        " 100.0 against 99.0"
    )
    assert result.counts["quarantined_fraction"] == 0.0


def test_a_faulty_newest_version_does_not_hide_a_sound_older_one() -> None:
    by_its_own_values = judged(
        raw(bar(OPEN, 100.0), bar(OPEN, 101.0, high=1.0, ingested_at=LATER, row=3))
    )
    assert by_its_own_values.bars["close"].to_list() == [100.0]
    assert only(by_its_own_values)[0] == "high_below_low"
    by_its_past = judged(
        raw(bar(OPEN, 100.0), bar(OPEN, 101.0, open=500.0, high=500.0, ingested_at=LATER, row=3)),
        BEFORE,
    )
    assert by_its_past.bars["open"].to_list() == [100.0]
    assert only(by_its_past)[0] == "bad_print"


def test_a_faulty_row_that_was_learned_again_soundly_is_mended_and_no_fault() -> None:
    result = judged(raw(bar(OPEN, 100.0, high=1.0), bar(OPEN, 101.0, ingested_at=LATER, row=3)))
    assert result.bars["close"].to_list() == [101.0]
    assert only(result)[0] == "superseded"
    assert result.counts["quarantined_fraction"] == 0.0


def test_learned_together_the_values_decide_and_never_the_place() -> None:
    result = judged(
        raw(
            bar(OPEN, 101.0, origin="b.csv", row=2),
            bar(OPEN, 102.0, origin="a.csv", row=9, volume=2000.0),
            bar(OPEN, 103.0, origin="a.csv", row=3),
        )
    )
    assert result.bars["close"].to_list() == [102.0]
    assert result.quarantine["rule"].to_list() == ["conflicting_duplicate"] * 2


def test_a_broken_row_never_displaces_a_sound_one() -> None:
    result = judged(raw(bar(OPEN, 100.0), bar(OPEN, 101.0, high=1.0, low=2.0, row=3)))
    assert result.bars["close"].to_list() == [100.0]


# --- bad prints -----------------------------------------------------------------------------------


def spiked(close: float, **other: float) -> Validated:
    return judged(raw(bar(OPEN, close, **other)), BEFORE)


def test_prices_that_neither_the_previous_nor_the_own_close_supports_are_bad_prints() -> None:
    rule, reason = only(spiked(100.0, open=200.0, high=200.0))
    assert rule == "bad_print"
    assert (
        "open is 200.0, more than 60% from both the previous close 100.0 and the bar's own close"
        " 100.0" in reason
    )
    assert only(spiked(99.0, low=1.0, high=100.0, open=100.0))[0] == "bad_print"
    assert only(spiked(100.0, high=1000.0))[0] == "bad_print"


def test_real_moves_pass() -> None:
    # a crash overnight: AIG 2008-09-15
    assert spiked(40.0, open=38.0, high=41.0, low=35.0).bars.height == 1
    assert spiked(220.0, open=210.0, high=230.0, low=200.0).bars.height == 1  # a takeover
    # panic and half of it back: AIG 2008-09-16
    assert spiked(80.0, open=82.0, high=83.0, low=25.0).bars.height == 1
    # a small stock runs up and fades
    assert spiked(110.0, open=105.0, high=180.0, low=104.0).bars.height == 1
    assert spiked(100.0, open=130.0, high=130.0).bars.height == 1


def test_a_symbols_first_bar_has_nothing_to_be_judged_by() -> None:
    assert judged(raw(bar(OPEN, 100.0, open=200.0, high=200.0))).bars.height == 1


def test_a_split_explains_what_would_be_a_bad_print() -> None:
    split = actions(("AAA", date(2024, 1, 2), "split", 10.0))
    # the first trade was booked before the books were turned
    in_old_shares = raw(bar(OPEN, 10.0, open=100.0, high=100.0))
    assert judged(in_old_shares, BEFORE, split).bars.height == 1
    assert judged(raw(bar(OPEN, 10.0)), BEFORE, split).bars.height == 1
    assert only(judged(raw(bar(OPEN, 10.0, open=30.0, high=30.0)), BEFORE, split))[0] == "bad_print"


def test_a_bad_print_is_not_the_next_bars_past() -> None:
    first, second, third = quarter_hours(OPEN, 3)
    rows = [
        bar(first, 114.0, open=200.0, high=200.0),
        bar(second, 129.0, open=250.0, high=250.0),
        bar(third, 100.0),
    ]
    result = judged(raw(*rows), BEFORE)
    # 129 agrees with the first bar's 114 but not with the 100 before it; since the first bar is
    # out, 100 is the second bar's past.
    assert result.quarantine["timestamp"].to_list() == [first]
    assert result.bars["timestamp"].to_list() == [second, third]


@given(
    st.lists(
        st.tuples(
            st.sampled_from([40.0, 95.0, 100.0, 105.0, 114.0, 130.0, 250.0]),
            st.sampled_from([1.0, 1.7, 2.1, 12.0]),
            st.sampled_from([1.0, 0.1]),
        ),
        min_size=2,
        max_size=12,
    ),
    st.data(),
)
def test_a_verdict_does_not_depend_on_later_rows_nor_on_where_time_is_cut(
    shapes: list[tuple[float, float, float]], data: st.DataObject
) -> None:
    stamps = quarter_hours(OPEN, len(shapes))
    rows = raw(
        *(
            bar(stamp, close, high=close * up, low=close * down)
            for stamp, (close, up, down) in zip(stamps, shapes, strict=True)
        )
    )
    cut = data.draw(st.integers(1, len(shapes) - 1))
    whole = judged(rows, BEFORE)
    first = judged(rows.filter(pl.col("timestamp") < stamps[cut]), BEFORE)
    assert_frame_equal(first.bars, whole.bars.filter(pl.col("timestamp") < stamps[cut]))
    assert_frame_equal(first.quarantine, whole.quarantine.filter(pl.col("timestamp") < stamps[cut]))
    carried = pl.concat([BEFORE, first.bars.select(BEFORE.columns)]).tail(1)
    second = judged(rows.filter(pl.col("timestamp") >= stamps[cut]), carried)
    assert_frame_equal(pl.concat([first.bars, second.bars]), whole.bars)


# --- time zones -----------------------------------------------------------------------------------


def test_a_wrong_time_zone_is_suspected_and_the_shift_is_named() -> None:
    seven_hours_late = [stamp + timedelta(hours=7) for stamp in quarter_hours(OPEN, 26)]
    result = judged(raw(*(bar(stamp, row=row) for row, stamp in enumerate(seven_hours_late, 2))))
    outside = result.quarantine.filter(pl.col("rule") == "outside_session")
    assert outside.height
    assert all("shifted by -7 hours 100% would" in reason for reason in outside["reason"])
    assert any("shifted by -7 hours" in note for note in result.counts["notes"])


def test_new_york_stamps_read_as_utc_are_noticed_although_stocks_trade_then() -> None:
    as_if_utc = [
        datetime(2024, month, 9, 9, 30, tzinfo=UTC) + timedelta(minutes=15 * at)
        for month in (1, 7)
        for at in range(26)
    ]
    result = judged(raw(*(bar(stamp, row=row) for row, stamp in enumerate(as_if_utc, 2))))
    assert result.counts["notes"] == [
        (
            "only 31% of the rows of AAA.csv lie in regular hours; read as America/New_York time 100%"
            ' would: if they should, set market.files.timezone = "America/New_York" (and'
            " market.files.wall_clock = true where the stamps name a zone themselves)"
        )
    ]


def test_a_file_of_sound_stamps_raises_no_suspicion() -> None:
    assert (
        judged(raw(*(bar(stamp) for stamp in quarter_hours(utc(2024, 1, 2, 9), 64)))).counts[
            "notes"
        ]
        == []
    )


# --- laws -----------------------------------------------------------------------------------------

_PRICES = st.sampled_from([-1.0, 0.0, 0.5, 99.0, 100.0, 101.0, 250.0, None])


@st.composite
def messy_rows(draw: st.DrawFn) -> pl.DataFrame:
    stamps = st.sampled_from(
        [*quarter_hours(OPEN, 3), utc(2024, 1, 2, 13), utc(2024, 1, 6, 15), utc(2024, 1, 2, 14, 31)]
    )
    one = st.fixed_dictionaries(
        {
            "timestamp": stamps,
            "symbol": st.sampled_from(["AAA", "BBB", ""]),
            "open": _PRICES,
            "high": _PRICES,
            "low": _PRICES,
            "close": _PRICES,
            "volume": st.sampled_from([-1.0, 0.0, 5.0]),
        }
    )
    return raw(
        *(
            bar(OPEN) | each | {"row": at}
            for at, each in enumerate(draw(st.lists(one, min_size=1, max_size=25)), 2)
        )
    )


@given(messy_rows(), st.booleans(), st.sampled_from([(), ("AAA",)]))
def test_every_row_is_accounted_for_once(
    rows: pl.DataFrame, extended: bool, symbols: tuple[str, ...]
) -> None:
    result = judged(rows, BEFORE, extended_hours=extended, symbols=symbols)
    assert not result.bars.select("symbol", "timestamp").is_duplicated().any()
    assert_frame_equal(result.bars, result.bars.sort("symbol", "timestamp"))
    sound = result.bars.select(
        (
            (pl.col("high") >= pl.max_horizontal("open", "close"))
            & (pl.col("low") <= pl.min_horizontal("open", "close"))
            & (pl.col("low") > 0)
        ).all()
    )
    assert sound.item() is True
    assert set(result.quarantine["row"]) <= set(rows["row"])
    assert result.quarantine["row"].n_unique() == result.quarantine.height
    assert all(reason.startswith("AAA.csv row ") for reason in result.quarantine["reason"])


@given(messy_rows(), st.randoms(use_true_random=False))
def test_the_order_of_raw_rows_does_not_matter(rows: pl.DataFrame, random: Any) -> None:
    rows = rows.with_columns(
        pl.format("{}.csv", pl.col("row") % 2).alias("origin"), pl.col("row") // 2
    )
    order = list(range(rows.height))
    random.shuffle(order)
    one, other = judged(rows, BEFORE), judged(rows[order], BEFORE)
    assert_frame_equal(one.bars, other.bars)
    assert_frame_equal(one.quarantine, other.quarantine)


_LINES = [
    f"{stamp:%Y-%m-%dT%H:%M:%SZ},{price},{price + 2},{price - 1},{price + 1},100"
    for price, stamp in zip((100.5, 101.25, 99.0, 300.0, 98.7), quarter_hours(OPEN, 5), strict=True)
]


def _bars_of(folder: Path, files: Sequence[Sequence[str]]) -> pl.DataFrame:
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    for number, lines in enumerate(files):
        (folder / f"{number}.csv").write_text(
            "\n".join(["timestamp,open,high,low,close,volume", *lines]) + "\n"
        )
    source = FileSource(FileSourceSettings(paths=(".",), symbol_from_filename="^(.)"), NYSE, folder)
    found = source.bars(None, utc(2024, 1, 1), utc(2024, 2, 1), "15Min").with_columns(
        symbol=pl.lit("AAA"), ingested_at=pl.lit(LEARNED)
    )
    return judged(found).bars


@given(st.data())
def test_shuffled_repeated_and_split_over_files_the_same_rows_give_the_same_bars(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    folder = tmp_path_factory.getbasetemp() / "permuted"
    lines = data.draw(
        st.permutations(_LINES + data.draw(st.lists(st.sampled_from(_LINES), max_size=5)))
    )
    cuts = sorted(data.draw(st.lists(st.integers(0, len(lines)), max_size=3)))
    files = [lines[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(lines)], strict=True)]
    assert_frame_equal(
        _bars_of(folder / "shuffled", files), _bars_of(folder / "straight", [_LINES])
    )


def test_daily_bars_have_no_hint_of_a_zone() -> None:
    assert (
        judged(
            daily({date(2024, 7, 4): 1.0, date(2024, 7, 6): 1.0, date(2024, 7, 7): 1.0}),
            timeframe="1Day",
        ).counts["notes"]
        == []
    )
