"""The forward factor, recomputed by hand."""

from datetime import date, datetime
from typing import Any

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from market.raw_rows import NO_ACTIONS, NOTHING_BEFORE, actions, bar, daily, raw, utc
from polars.testing import assert_frame_equal

from harmony_pipeline.market.adjustments import shares_on, split_ratios
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.validation.validate import Validated, validate

NYSE = Calendar.of("XNYS")
DAYS = NYSE.sessions(date(2024, 1, 2), date(2024, 1, 20))


def days(*closes: float) -> pl.DataFrame:
    return daily(dict(zip(DAYS, closes, strict=False)))


def validated(
    rows: pl.DataFrame,
    acts: pl.DataFrame,
    before: pl.DataFrame = NOTHING_BEFORE,
    timeframe: str = "1Day",
) -> Validated:
    settings = MarketSettings(quality={"rules": {"wrong_scale": "off"}})  # type: ignore[arg-type] - any price may follow any other here
    return validate(rows, before, acts, NYSE, timeframe, settings)


def factors(
    rows: pl.DataFrame, *rows_of_actions: tuple[str, date, str, float], **other: Any
) -> list[float]:
    return validated(rows, actions(*rows_of_actions), **other).bars["adjustment_factor"].to_list()


def test_without_actions_the_factor_is_one() -> None:
    assert validated(days(10, 11, 12), NO_ACTIONS).bars["adjustment_factor"].to_list() == [
        1.0,
        1.0,
        1.0,
    ]


def test_a_split_multiplies_from_its_ex_date_on() -> None:
    assert factors(days(100, 101, 25, 26), ("AAA", DAYS[2], "split", 4.0)) == [1.0, 1.0, 4.0, 4.0]


def test_a_reverse_split_divides() -> None:
    assert factors(days(1, 1, 20), ("AAA", DAYS[2], "split", 0.05)) == [1.0, 1.0, 0.05]


def test_a_dividend_is_put_back_at_the_previous_close() -> None:
    assert factors(days(100, 50, 49), ("AAA", DAYS[2], "dividend", 2.0)) == [
        1.0,
        1.0,
        50 / (50 - 2.0),
    ]


def test_a_dividend_and_a_split_of_one_day_multiply_with_cash_in_old_shares() -> None:
    assert factors(
        days(100, 25), ("AAA", DAYS[1], "split", 4.0), ("AAA", DAYS[1], "dividend", 1.0)
    ) == [1.0, pytest.approx(4.0 * 100 / 99)]


def test_actions_on_or_before_the_first_bar_do_not_count() -> None:
    assert factors(
        days(100, 101), ("AAA", DAYS[0], "split", 4.0), ("AAA", date(2020, 1, 2), "split", 2.0)
    ) == [1.0, 1.0]


def test_actions_after_the_last_bar_do_not_count_yet() -> None:
    assert factors(days(100, 101), ("AAA", DAYS[5], "split", 4.0)) == [1.0, 1.0]


def test_an_ex_date_without_a_bar_counts_at_the_next_bar() -> None:
    rows = days(100, 101, 25, 26).filter(pl.col("timestamp").dt.date() != DAYS[2])
    assert factors(rows, ("AAA", DAYS[2], "split", 4.0)) == [1.0, 1.0, 4.0]


def test_a_close_from_before_a_missed_split_is_brought_to_the_shares_of_the_ex_date() -> None:
    rows = days(100, 0.1, 24).filter(pl.col("close") != 0.1)
    # 100 in old shares are 25 in new ones, of which 0.50 were paid
    expected = 4.0 * 25 / (25 - 0.5)
    assert factors(rows, ("AAA", DAYS[1], "split", 4.0), ("AAA", DAYS[2], "dividend", 0.5)) == [
        1.0,
        pytest.approx(expected),
    ]


def test_each_symbol_has_its_own_factor() -> None:
    both = pl.concat([days(100, 101), daily(dict(zip(DAYS, (50.0, 51.0), strict=False)), "BBB")])
    assert factors(both, ("BBB", DAYS[1], "split", 2.0)) == [1.0, 1.0, 1.0, 2.0]


def test_premarket_bars_of_the_ex_date_carry_the_new_factor_and_late_closes_are_not_the_previous_close() -> (
    None
):
    def stamped(clock: datetime, close: float) -> dict[str, Any]:
        return bar(clock, close)

    rows = raw(
        stamped(utc(2024, 1, 2, 20, 45), 50.0),
        stamped(utc(2024, 1, 2, 22, 0), 60.0),
        stamped(utc(2024, 1, 3, 13, 0), 48.0),
        stamped(utc(2024, 1, 3, 14, 30), 48.0),
    )
    assert factors(rows, ("AAA", date(2024, 1, 3), "dividend", 2.0), timeframe="15Min") == [
        1.0,
        1.0,
        50 / 48,
        50 / 48,
    ]


@pytest.mark.parametrize(
    ("action", "note"),
    [
        (
            ("AAA", DAYS[1], "dividend", 100.0),
            (
                "dividend of AAA on 2024-01-03 (100.0) is not applied: it is not below the previous"
                " close 100.0"
            ),
        ),
        (
            ("AAA", DAYS[1], "split", 0.0),
            "split of AAA on 2024-01-03 (0.0) is not applied: its value is not above 0",
        ),
        (("AAA", DAYS[1], "spinoff", 1.0), "its kind is neither split nor dividend"),
    ],
)
def test_an_action_that_cannot_be_applied_is_noted(
    action: tuple[str, date, str, float], note: str
) -> None:
    result = validated(days(100, 101), actions(action))
    assert result.bars["adjustment_factor"].to_list() == [1.0, 1.0]
    assert note in result.counts["notes"][0]


def test_a_dividend_before_any_regular_close_is_noted() -> None:
    rows = raw(bar(utc(2024, 1, 2, 13, 0), 50.0), bar(utc(2024, 1, 3, 14, 30), 50.0))
    result = validated(rows, actions(("AAA", date(2024, 1, 3), "dividend", 1.0)), timeframe="15Min")
    assert result.bars["adjustment_factor"].to_list() == [1.0, 1.0]
    assert "no regular close before it is known" in result.counts["notes"][0]


_ACTION = st.tuples(
    st.just("AAA"),
    st.sampled_from(DAYS),
    st.sampled_from(["split", "dividend"]),
    st.sampled_from([0.1, 0.5, 2.0, 3.0, 7.0]),
)


@given(
    st.lists(st.floats(5.0, 50.0), min_size=3, max_size=len(DAYS)),
    st.lists(_ACTION, max_size=8, unique_by=lambda row: row[1:3]),
    st.sets(st.integers(1, len(DAYS) - 1), max_size=3),
    st.integers(1, len(DAYS) - 1),
)
def test_cutting_time_into_periods_changes_no_bit_and_the_future_changes_no_past(
    closes: list[float],
    rows_of_actions: list[tuple[str, date, str, float]],
    missing: set[int],
    cut: int,
) -> None:
    rows = days(*closes).filter(~pl.col("row").is_in([2 + at for at in missing]))
    acts, edge = (
        actions(*rows_of_actions),
        datetime(
            DAYS[cut].year, DAYS[cut].month, DAYS[cut].day, tzinfo=rows["timestamp"][0].tzinfo
        ),
    )
    whole = validated(rows, acts).bars
    first = validated(
        rows.filter(pl.col("timestamp") < edge), acts.filter(pl.col("date") < DAYS[cut])
    ).bars
    assert_frame_equal(first, whole.filter(pl.col("timestamp") < edge), check_exact=True)
    second = validated(
        rows.filter(pl.col("timestamp") >= edge), acts, first.tail(1).select(NOTHING_BEFORE.columns)
    ).bars
    assert_frame_equal(pl.concat([first, second]), whole, check_exact=True)


@given(
    st.lists(st.floats(5.0, 50.0), min_size=2, max_size=len(DAYS)),
    st.lists(_ACTION, max_size=8, unique_by=lambda row: row[1:3]),
)
def test_it_is_what_a_loop_over_days_gives(
    closes: list[float], rows_of_actions: list[tuple[str, date, str, float]]
) -> None:
    factor, expected = 1.0, [1.0]
    for at in range(1, len(closes)):
        for _, day, kind, value in sorted(rows_of_actions, key=lambda row: row[2]):
            if day == DAYS[at] and (kind == "split" or value < closes[at - 1]):
                factor *= value if kind == "split" else closes[at - 1] / (closes[at - 1] - value)
        expected.append(factor)
    assert factors(days(*closes), *rows_of_actions) == pytest.approx(expected, rel=1e-12)


def test_an_adjusted_price_holds_no_knowledge_of_a_later_split() -> None:
    rows = days(100, 101, 25)
    known_then = validated(rows.filter(pl.col("timestamp") < utc(2024, 1, 4)), NO_ACTIONS).bars
    known_now = validated(rows, actions(("AAA", DAYS[2], "split", 4.0))).bars
    assert_frame_equal(known_now.head(2), known_then, check_exact=True)
    assert (known_now["close"] * known_now["adjustment_factor"]).to_list() == [100.0, 101.0, 100.0]


@pytest.mark.parametrize("seed", range(5))
def test_the_order_of_the_rows_that_are_handed_in_changes_nothing(seed: int) -> None:
    bars = NYSE.with_session(
        pl.concat(
            [days(100, 50, 49, 12), daily(dict(zip(DAYS, (8, 8, 16, 16), strict=False)), "BBB")]
        ),
        "1Day",
    )
    due = actions(
        ("AAA", DAYS[2], "dividend", 2.0), ("AAA", DAYS[3], "split", 4.0),
        ("BBB", DAYS[2], "split", 0.5), ("BBB", DAYS[3], "dividend", 1.0)
    )  # fmt: skip
    shuffled = bars.sample(fraction=1.0, shuffle=True, seed=seed)
    assert shares_on(
        shuffled, "session_date", split_ratios(due).reverse(), include_same_day=True
    ).to_list() == [
        shares_on(row, "session_date", split_ratios(due), include_same_day=True)[0]
        for row in shuffled.iter_slices(1)
    ]
