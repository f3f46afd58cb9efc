"""Sessions against dates and clock times that the exchanges published."""

from datetime import date, timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from market.raw_rows import utc

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.calendars import Calendar

NYSE = Calendar.of("XNYS")
CLOCK = Calendar.of("24/7")


def placed(calendar: Calendar, timeframe: str, *stamps: object) -> pl.DataFrame:
    frame = pl.DataFrame(
        {"timestamp": list(stamps)}, schema={"timestamp": pl.Datetime("us", "UTC")}
    )
    return calendar.with_session(frame, timeframe)


def test_it_covers_1998_to_2027() -> None:
    assert NYSE.is_session(date(1998, 1, 2))
    assert NYSE.is_session(date(2027, 12, 31))
    assert len(NYSE.sessions(date(2024, 1, 1), date(2025, 1, 1))) == 252


def test_holidays_weekends_and_unscheduled_closures_are_no_sessions() -> None:
    closed = [
        date(2024, 7, 4),
        date(2024, 7, 6),
        date(2001, 9, 11),
        date(2001, 9, 14),
        date(2012, 10, 29),
        date(2025, 1, 9),
    ]
    assert not any(NYSE.is_session(day) for day in closed)
    assert NYSE.next_session(date(2001, 9, 10)) == date(2001, 9, 17)
    assert NYSE.previous_session(date(2024, 7, 5)) == date(2024, 7, 3)
    assert NYSE.sessions(date(2024, 7, 3), date(2024, 7, 8)) == [date(2024, 7, 3), date(2024, 7, 5)]
    assert NYSE.sessions(date(2024, 7, 8), date(2024, 7, 3)) == []


def test_opens_follow_daylight_saving_and_half_days_close_at_one() -> None:
    assert NYSE.session_open(date(2024, 3, 8)) == utc(2024, 3, 8, 14, 30)
    assert NYSE.session_open(date(2024, 3, 11)) == utc(2024, 3, 11, 13, 30)
    assert NYSE.session_close(date(2024, 7, 3)) == utc(2024, 7, 3, 17, 0)
    assert NYSE.session_close(date(2024, 11, 29)) == utc(2024, 11, 29, 18, 0)
    assert NYSE.session_close(date(2024, 7, 5)) == utc(2024, 7, 5, 20, 0)


def test_late_trading_of_a_half_day_ends_at_five() -> None:
    half, full = NYSE.schedule(date(2024, 7, 3), date(2024, 7, 6)).rows()
    assert half == (
        date(2024, 7, 3),
        utc(2024, 7, 3, 8, 0),
        utc(2024, 7, 3, 13, 30),
        utc(2024, 7, 3, 17, 0),
        utc(2024, 7, 3, 21, 0),
    )
    assert full == (
        date(2024, 7, 5),
        utc(2024, 7, 5, 8, 0),
        utc(2024, 7, 5, 13, 30),
        utc(2024, 7, 5, 20, 0),
        utc(2024, 7, 6, 0, 0),
    )


def test_asking_for_a_day_that_is_no_session_says_so() -> None:
    with pytest.raises(DataError, match="2024-07-04 is no session of XNYS"):
        NYSE.session_open(date(2024, 7, 4))


def test_an_unknown_exchange_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"market\.calendar is 'XNOWHERE'"):
        Calendar.of("XNOWHERE")


@pytest.mark.parametrize(
    ("timeframe", "bars"),
    [("1Min", 390), ("5Min", 78), ("15Min", 26), ("30Min", 13), ("1Hour", 7), ("1Day", 1)],
)
def test_bars_of_a_full_day(timeframe: str, bars: int) -> None:
    assert NYSE.bars_per_session(timeframe) == bars


def test_half_days_expect_fewer_bars() -> None:
    hourly = dict(NYSE.expected_bars("1Hour").iter_rows())
    minutes = dict(NYSE.expected_bars("1Min").iter_rows())
    assert (hourly[date(2024, 7, 3)], hourly[date(2024, 7, 5)]) == (4, 7)
    assert (minutes[date(2024, 7, 3)], minutes[date(2024, 7, 5)]) == (210, 390)


def test_years_are_252_sessions_in_new_york_and_365_around_the_clock() -> None:
    assert (NYSE.sessions_per_year, CLOCK.sessions_per_year) == (252, 365)
    assert (NYSE.zone, CLOCK.zone) == ("America/New_York", "UTC")


def test_parts_of_a_session_and_their_edges() -> None:
    stamps = [
        utc(2024, 7, 2, *clock)
        for clock in ((7, 59), (8, 0), (13, 29), (13, 30), (19, 59), (20, 0), (23, 59))
    ]
    frame = placed(NYSE, "1Min", *stamps, utc(2024, 7, 3, 0, 0))
    assert frame["session"].to_list() == [
        None,
        "pre",
        "pre",
        "regular",
        "regular",
        "post",
        "post",
        None,
    ]
    assert frame["session_date"].to_list() == [None, *[date(2024, 7, 2)] * 6, None]
    assert frame["bar_end"].to_list() == [
        stamp + timedelta(minutes=1) for stamp in frame["timestamp"]
    ]


def test_a_bar_that_straddles_the_open_is_regular_and_none_ends_after_the_close() -> None:
    frame = placed(
        NYSE,
        "1Hour",
        utc(2024, 7, 2, 12),
        utc(2024, 7, 2, 13),
        utc(2024, 7, 2, 19),
        utc(2024, 7, 3, 16),
        utc(2024, 7, 3, 17),
    )
    assert frame["session"].to_list() == ["pre", "regular", "regular", "regular", "post"]
    assert frame["bar_end"].to_list() == [
        utc(2024, 7, 2, 13),
        utc(2024, 7, 2, 14),
        utc(2024, 7, 2, 20),
        utc(2024, 7, 3, 17),
        utc(2024, 7, 3, 18),
    ]
    straddling_the_close = placed(NYSE, "30Min", utc(2024, 7, 2, 19, 45))
    assert straddling_the_close.row(0)[1:] == (date(2024, 7, 2), "regular", utc(2024, 7, 2, 20))


def test_after_hours_past_midnight_utc_belong_to_the_session_that_went_before() -> None:
    frame = placed(NYSE, "1Min", utc(2024, 1, 3, 0, 30))
    assert frame.row(0)[1:] == (date(2024, 1, 2), "post", utc(2024, 1, 3, 0, 31))


def test_a_daily_bar_is_known_at_its_sessions_close() -> None:
    frame = placed(NYSE, "1Day", utc(2024, 7, 3), utc(2024, 7, 4))
    assert frame["session_date"].to_list() == [date(2024, 7, 3), None]
    assert frame["session"].to_list() == ["regular", None]
    assert frame["bar_end"][0] == utc(2024, 7, 3, 17)


def test_around_the_clock_every_bar_is_regular() -> None:
    frame = placed(CLOCK, "1Hour", utc(2024, 2, 29, 0), utc(2024, 2, 29, 23))
    assert frame["session"].to_list() == ["regular", "regular"]
    assert frame["session_date"].to_list() == [date(2024, 2, 29)] * 2
    assert frame["bar_end"][1] == utc(2024, 3, 1)
    assert CLOCK.bars_per_session("1Hour") == 24


def test_a_lunch_break_is_outside_the_session() -> None:
    tokyo = Calendar.of("XTKS")  # 09:00-11:30 and 12:30-15:00 in 2024, UTC+9
    frame = placed(
        tokyo, "30Min", utc(2024, 6, 3, 2), utc(2024, 6, 3, 2, 30), utc(2024, 6, 3, 3, 30)
    )
    assert frame["session"].to_list() == ["regular", None, "regular"]


@given(
    st.integers(0, 40 * 365 * 1440 - 1),
    st.sampled_from(["1Min", "5Min", "15Min", "30Min", "1Hour"]),
)
def test_a_regular_bar_overlaps_regular_hours_and_no_other_does(
    minute: int, timeframe: str
) -> None:
    start = utc(1990, 1, 1) + timedelta(minutes=minute)
    _, day, session, bar_end = placed(NYSE, timeframe, start).row(0)
    length = timedelta(
        minutes={"1Min": 1, "5Min": 5, "15Min": 15, "30Min": 30, "1Hour": 60}[timeframe]
    )
    near = [start.date() + timedelta(days=days) for days in (-1, 0, 1)]
    overlapping = [
        each
        for each in near
        if NYSE.is_session(each)
        and start < NYSE.session_close(each)
        and start + length > NYSE.session_open(each)
    ]
    assert (session == "regular") == bool(overlapping)
    if overlapping:
        assert day == overlapping[0]
        assert bar_end == min(start + length, NYSE.session_close(day))


def test_the_week_of_currencies_runs_from_sunday_to_friday_at_five_in_new_york() -> None:
    week = Calendar.of("FX")
    assert week.sessions(date(2024, 3, 8), date(2024, 3, 12)) == [
        date(2024, 3, 8),
        date(2024, 3, 11),
    ]
    assert week.session_close(date(2024, 3, 8)) == utc(2024, 3, 8, 22)  # winter
    # summer time began that morning
    assert week.session_open(date(2024, 3, 11)) == utc(2024, 3, 10, 21)
    assert (
        week.session_close(date(2024, 3, 11))
        == week.session_open(date(2024, 3, 12))
        == utc(2024, 3, 11, 21)
    )
    assert week.sessions_per_year == 261
    # the Sunday evening, which exchange_calendars leaves out
    assert Calendar.of("24/5").session_open(date(2024, 3, 11)) == utc(2024, 3, 10, 21)


def test_globex_pauses_for_an_hour_each_afternoon() -> None:
    globex = Calendar.of("CMES")
    assert globex.session_open(date(2024, 1, 8)) == utc(2024, 1, 7, 23)
    assert globex.session_close(date(2024, 1, 8)) == utc(2024, 1, 8, 22)  # 16:00 in Chicago
    # the day after Thanksgiving
    assert globex.session_close(date(2023, 11, 24)) == utc(2023, 11, 24, 18)
    assert (globex.bars_per_session("1Hour"), globex.bars_per_session("1Min")) == (23, 1380)
    assert globex.day_start == timedelta(hours=-7)
    assert (NYSE.day_start, CLOCK.day_start) == (timedelta(), timedelta())


def test_metals_are_quoted_23_hours_from_the_evening_before_and_keep_the_holidays_of_the_futures():
    metals = Calendar.of("METALS")
    assert (metals.zone, metals.bars_per_session("1Hour")) == ("America/New_York", 23)
    monday = date(2024, 1, 8)
    # Sunday 18:00 in New York to Monday 17:00, then an hour of pause
    assert metals.session_open(monday) == utc(2024, 1, 7, 23)
    assert metals.session_close(monday) == utc(2024, 1, 8, 22)
    assert metals.session_open(date(2024, 1, 9)) == utc(2024, 1, 8, 23)
    # in summer everything is an hour earlier in UTC
    assert metals.session_open(date(2024, 7, 8)) == utc(2024, 7, 7, 22)
    assert not metals.is_session(date(2024, 3, 29))  # Good Friday
    assert not metals.is_session(date(2023, 12, 25))
    assert metals.session_close(date(2023, 11, 23)) == utc(2023, 11, 23, 18)
    outside = pl.Series([utc(2024, 1, 8, 22, 30)], dtype=pl.Datetime("us", "UTC"))
    assert metals.parts(outside)["session"].to_list() == [None]


@pytest.mark.parametrize("calendar", [NYSE, CLOCK], ids=["XNYS", "24/7"])
def test_few_instants_and_many_are_placed_alike(calendar: Calendar) -> None:
    """Each alone, all together, and beside one that is missing: from before the first session to
    after the last.
    """
    whole = calendar.table.select(pl.col("pre_open", "open", "close", "post_close"))
    ends = [calendar.table["date"][row] for row in (0, -1)]
    span = pl.datetime_range(
        pl.lit(ends[0]).cast(pl.Datetime("us", "UTC")) - timedelta(days=3),
        pl.lit(ends[1]).cast(pl.Datetime("us", "UTC")) + timedelta(days=3),
        "53h7m",
    )
    stamps = pl.concat(
        [pl.select(at=span)["at"], *(whole[name].tail(700).alias("at") for name in whole.columns)]
    ).cast(pl.Datetime("us", "UTC"))
    many = calendar.with_session(stamps.alias("timestamp").to_frame(), "15Min")
    assert many.height > 5_000
    for start in (0, 4_000, many.height - 2_000):
        few = stamps.slice(start, 2_000).alias("timestamp").to_frame()
        assert calendar.with_session(few, "15Min").equals(many.slice(start, 2_000))
        missing = few.with_columns(
            pl.when(pl.int_range(pl.len()) == 5)
            .then(None)
            .otherwise("timestamp")
            .alias("timestamp")
        )
        found = calendar.with_session(missing, "15Min")
        assert found.filter(pl.int_range(pl.len()) != 5).equals(
            many.slice(start, 2_000).filter(pl.int_range(pl.len()) != 5)
        )
