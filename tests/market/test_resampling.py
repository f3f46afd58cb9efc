"""Longer bars out of shorter ones: conservation, nesting, no look-ahead, sessions, clocks that
change, ex-dates, real hours.
"""

from datetime import UTC, date, datetime, timedelta
from functools import cache

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from market.simulated_worlds import validated, world
from polars.testing import assert_frame_equal

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.bar_time import floor_to_clock, slot_end
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.resampling import Size, resample
from harmony_pipeline.market.source_settings import FileSourceSettings
from harmony_pipeline.market.sources.files import FileSource
from harmony_pipeline.schemas import BARS, TIME

NYSE, CLOCK = Calendar.of("XNYS"), Calendar.of("24/7")
VALUES = ("open", "high", "low", "close", "volume", "trade_count")
sizes = st.sampled_from(
    [
        "5Min",
        "10Min",
        "15Min",
        "20Min",
        "30Min",
        "1Hour",
        "2Hour",
        "7Hour",
        "1Day",
        "1Week",
        "1Month",
    ]
)


@cache
def simulated() -> pl.DataFrame:
    """Five-minute bars around Thanksgiving 2023: a holiday, a half-day, and the change of clocks on
    5 November.
    """
    return validated(
        world(
            start=date(2023, 10, 30),
            end=date(2023, 12, 2),
            timeframe="5Min",
            symbols=2,
            low_float_symbols=1,
        )
    ).bars


def made(
    bars: pl.DataFrame, timeframe: str, calendar: Calendar = NYSE, **how: object
) -> pl.DataFrame:
    return resample(bars.lazy(), timeframe, calendar, **how).collect(engine="in-memory")  # type: ignore[arg-type]


def base(
    *rows: tuple[datetime, float, float], timeframe: str = "1Min", **other: object
) -> pl.DataFrame:
    """(timestamp, price, volume) a row."""
    columns = [
        {"symbol": "AAA", "timeframe": timeframe, "timestamp": at, "session": "regular",
        "volume": volume, "adjustment_factor": 1.0}
        | dict.fromkeys(("open", "high", "low", "close"), price) | other
        for at, price, volume in rows
    ]  # fmt: skip
    return BARS.conform(
        pl.DataFrame(
            columns,
            schema_overrides={
                name: dtype for name, dtype in BARS.dtypes.items() if name in columns[0]
            },
        )
    )


# --- laws -----------------------------------------------------------------------------------------


@given(sizes)
def test_shares_and_trades_are_conserved(timeframe: str) -> None:
    bars = simulated()
    bars = bars if Size.of(timeframe).seconds else bars.filter(pl.col("session") == "regular")
    for name in ("volume", "trade_count"):
        assert made(bars, timeframe)[name].sum() == bars[name].sum()


@pytest.mark.parametrize(
    ("middle", "long"),
    [
        ("15Min", "30Min"),
        ("15Min", "1Hour"),
        ("30Min", "1Hour"),
        ("15Min", "1Day"),
        ("1Hour", "1Day"),
        ("1Day", "1Week"),
        ("1Day", "1Month"),
    ],
)
def test_by_way_of_a_middle_size_gives_the_same_bits(middle: str, long: str) -> None:
    direct, stepped = (
        made(simulated(), long),
        made(made(simulated(), middle).drop("known_at"), long),
    )
    exact = (
        "symbol",
        "timeframe",
        "timestamp",
        "session",
        *VALUES,
        "adjustment_factor",
        "known_at",
    )
    assert_frame_equal(stepped.select(exact), direct.select(exact), check_exact=True)
    assert_frame_equal(stepped.select("vwap"), direct.select("vwap"), rel_tol=1e-12)


def test_the_own_size_changes_nothing() -> None:
    own = made(simulated(), "5Min")
    assert_frame_equal(own.select(list(BARS.columns)), simulated(), rel_tol=1e-15)
    assert_frame_equal(own.select(VALUES), simulated().select(VALUES), check_exact=True)


@given(sizes, st.integers(0, 3_000), st.booleans())
def test_nothing_after_a_moment_moves_a_bar_known_by_then(
    timeframe: str, place: int, mix_parts: bool
) -> None:
    bars = simulated()
    now = bars["timestamp"].unique().sort()[place % bars["timestamp"].n_unique()]
    ended = NYSE.with_session(bars, "5Min")["bar_end"] <= now
    wild = bars.with_columns(ended=ended).with_columns(
        pl.when("ended").then(name).otherwise(pl.col(name) * 3.0).alias(name)
        for name in ("open", "high", "low", "close", "volume", "adjustment_factor")
    )
    known = made(bars, timeframe, mix_parts=mix_parts).filter(pl.col("known_at") <= now)
    assert_frame_equal(
        made(wild.drop("ended"), timeframe, mix_parts=mix_parts, as_of=now), known, check_exact=True
    )
    assert_frame_equal(
        made(bars.filter(ended), timeframe, mix_parts=mix_parts, as_of=now), known, check_exact=True
    )


@given(sizes)
def test_a_choice_of_symbols_gives_their_rows_of_all(timeframe: str) -> None:
    symbol = simulated()["symbol"][0]
    lazily = resample(simulated().lazy(), timeframe, NYSE).filter(pl.col("symbol") == symbol)
    chosen = lazily.collect(engine="in-memory")
    assert chosen.height
    assert_frame_equal(
        made(simulated().filter(pl.col("symbol") == symbol), timeframe), chosen, check_exact=True
    )
    plan = lazily.explain()
    assert plan.index("FILTER") > plan.index("AGGREGATE")  # below it: the filter reaches the files


@given(sizes)
def test_no_bar_holds_two_parts_of_a_session_and_each_is_over_by_its_end(timeframe: str) -> None:
    bars = made(simulated(), timeframe)
    assert not bars.select("symbol", "timestamp", "session").is_duplicated().any()
    parts = NYSE.parts(bars["known_at"] - timedelta(microseconds=1))
    assert (parts["session"] == bars["session"]).all()


moments = st.builds(
    lambda start, seconds: start + timedelta(seconds=seconds),
    st.sampled_from([datetime(2023, 3, 11, tzinfo=UTC), datetime(2023, 11, 4, tzinfo=UTC)]),
    st.integers(0, 172_800),
)


@given(moments, st.sampled_from([1, 7, 30, 60, 300, 420, 3600, 5400, 14_400, 28_800]))
def test_slots_hold_the_instant_and_start_on_the_clock_even_when_it_changes(
    moment: datetime, seconds: int
) -> None:
    frame = pl.DataFrame({"t": [moment]}, schema={"t": TIME}).with_columns(
        slot=floor_to_clock(pl.col("t"), seconds, "America/New_York")
    )
    row = frame.with_columns(
        end=slot_end(pl.col("slot"), seconds, "America/New_York"),
        wall=pl.col("slot").dt.convert_time_zone("America/New_York"),
    ).row(0, named=True)
    assert row["slot"] <= row["t"]
    assert row["end"] > row["slot"]
    folded = (
        row["wall"].utcoffset()
        != frame["t"].dt.convert_time_zone("America/New_York")[0].utcoffset()
    )
    assert row["t"] < row["end"] or folded  # an hour that the clock repeats is longer than it looks
    wall = row["wall"]
    since_midnight = wall.hour * 3600 + wall.minute * 60 + wall.second
    gap = row["wall"].hour == 3 and row["wall"].day == 12 and row["wall"].month == 3
    assert since_midnight % seconds == 0 or gap


# --- examples -------------------------------------------------------------------------------------


def test_the_hour_of_the_open_is_stamped_nine_and_holds_half_an_hour() -> None:
    opening = NYSE.session_open(date(2024, 7, 2))
    bars = base(*((opening + timedelta(minutes=at), 10.0 + at, 1.0) for at in range(60)))
    hours = made(bars, "1Hour")
    assert hours.select("timestamp", "known_at", "volume", "open", "close").rows() == [
        (
            datetime(2024, 7, 2, 13, tzinfo=UTC),
            datetime(2024, 7, 2, 14, tzinfo=UTC),
            30.0,
            10.0,
            39.0,
        ),
        (
            datetime(2024, 7, 2, 14, tzinfo=UTC),
            datetime(2024, 7, 2, 15, tzinfo=UTC),
            30.0,
            40.0,
            69.0,
        ),
    ]


def test_a_half_day_is_known_at_one_o_clock() -> None:
    close = NYSE.session_close(date(2024, 7, 3))
    bars = base((close - timedelta(minutes=1), 10.0, 5.0))
    assert [made(bars, size)["known_at"][0] for size in ("1Min", "2Hour", "1Day")] == [close] * 3
    assert made(bars, "1Week")["known_at"][0] == NYSE.session_close(date(2024, 7, 5))
    assert made(bars, "1Month")["known_at"][0] == NYSE.session_close(date(2024, 7, 31))


def test_the_same_hour_of_the_clock_before_and_after_it_changes() -> None:
    mornings = [NYSE.session_open(date(2023, 11, day)) for day in (3, 6)]
    assert made(base(*((at, 10.0, 1.0) for at in mornings)), "1Hour")["timestamp"].to_list() == [
        datetime(2023, 11, 3, 13, tzinfo=UTC),
        datetime(2023, 11, 6, 14, tzinfo=UTC),
    ]


def test_a_market_that_never_closes_has_whole_days() -> None:
    start = datetime(2024, 3, 30, tzinfo=UTC)
    bars = base(*((start + timedelta(hours=at), 10.0, 1.0) for at in range(72)), timeframe="1Hour")
    assert made(bars, "1Day", CLOCK)["volume"].to_list() == [24.0] * 3
    assert made(bars, "4Hour", CLOCK)["volume"].to_list() == [4.0] * 18
    assert made(bars, "1Month", CLOCK).select("timestamp", "volume", "known_at").rows() == [
        (datetime(2024, 3, 1, tzinfo=UTC), 48.0, datetime(2024, 4, 1, tzinfo=UTC)),
        (datetime(2024, 4, 1, tzinfo=UTC), 24.0, datetime(2024, 5, 1, tzinfo=UTC)),
    ]


def test_a_week_over_a_split_is_put_together_in_adjusted_terms() -> None:
    days = [datetime(2024, 6, day, tzinfo=UTC) for day in (10, 11)]  # two for one on the 11th
    bars = pl.concat(
        [
            base((days[0], 100.0, 10.0), timeframe="1Day"),
            base((days[1], 51.0, 30.0), timeframe="1Day", adjustment_factor=2.0),
        ]
    )
    week = made(bars, "1Week").row(0, named=True)
    assert (week["open"], week["high"], week["low"], week["close"]) == (50.0, 51.0, 50.0, 51.0)
    assert (week["volume"], week["adjustment_factor"]) == (40.0, 2.0)
    assert week["open"] * week["adjustment_factor"] == 100.0


def test_a_tape_of_plain_clock_hours_mixes_the_parts_when_asked() -> None:
    opening = NYSE.session_open(date(2024, 7, 2))
    bars = pl.concat(
        [
            base((opening - timedelta(minutes=1), 9.0, 1.0), session="pre"),
            base((opening, 10.0, 2.0)),
        ]
    )
    assert made(bars, "1Hour").select("session", "volume").rows() == [
        ("pre", 1.0),
        ("regular", 2.0),
    ]
    assert made(bars, "1Hour", mix_parts=True).select("session", "volume").rows() == [("pre", 3.0)]


def test_what_cannot_be_made_is_refused() -> None:
    with pytest.raises(ConfigError, match="'1Fortnight' is no length of a bar"):
        resample(simulated().lazy(), "1Fortnight", NYSE)
    for size in ("2Day", "1440Min", "0Min"):
        with pytest.raises(ConfigError):
            Size.of(size)
    with pytest.raises(
        DataError, match="7Min bars cannot be made of 5Min bars: ask for a multiple of 5Min"
    ):
        made(simulated(), "7Min")


def test_no_bars_make_no_bars() -> None:
    assert made(BARS.empty(), "1Hour").is_empty()


def test_the_hours_of_apple_have_the_volume_of_the_hourly_vendor(market_data) -> None:
    span = (datetime(2014, 6, 5, tzinfo=UTC), datetime(2014, 6, 6, tzinfo=UTC))
    minutes, hours = (
        FileSource(FileSourceSettings(paths=(path,)), NYSE, market_data).bars(["AAPL"], *span, size)
        for path, size in (
            ("us_equity_minute/lean_2008_2023_trades.csv", "1Min"),
            ("us_equity_hourly/AAPL.csv", "1Hour"),
        )
    )
    marked = minutes.with_columns(NYSE.with_session(minutes, "1Min")["session"]).filter(
        pl.col("session") == "regular"
    )
    rolled = made(marked, "1Hour")
    assert rolled["timestamp"].to_list() == hours["timestamp"].to_list()
    assert rolled["volume"].to_list() == hours["volume"].to_list()
    assert (rolled["close"] - hours["close"]).abs().max() <= 0.12  # DATA.md: filtered separately
