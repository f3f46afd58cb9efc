"""The embargo leaves the number of the market's own bars that it names, over nights, weekends and
holidays.
"""

from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.config import load_settings
from harmony_pipeline.labels.labelling import label_events
from harmony_pipeline.market.bar_grid import BarGrid
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import DayCut, period_at, period_of, periods_between
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES, TIMEFRAME_SECONDS
from harmony_pipeline.models.cross_validation import folds, group_numbers
from harmony_pipeline.models.embargo import embargo_start
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.models.settings import ModelSettings
from harmony_pipeline.models.walk_forward import split, train_period
from harmony_pipeline.schemas import TIME

NYSE = Calendar.of("XNYS")
EXAMPLES = sorted((Path(__file__).resolve().parents[2] / "examples").rglob("*.toml"))


def regular_bars(calendar: Calendar, timeframe: str, first: date, end: date) -> pl.DataFrame:
    """timestamp and bar_end of every regular bar, by asking the calendar about every possible
    start.
    """
    begin = datetime(first.year, first.month, first.day, tzinfo=UTC)
    stop = datetime(end.year, end.month, end.day, tzinfo=UTC)
    if timeframe in LONG_TIMEFRAMES:
        step = timedelta(days=1)
    else:
        # starts of every grid lie on multiples of a quarter of an hour, or of the bar
        step = timedelta(seconds=min(TIMEFRAME_SECONDS[timeframe], 900))
    stamps = pl.datetime_range(begin, stop, step, closed="left", eager=True).alias("timestamp")
    frame = calendar.with_session(pl.DataFrame({"timestamp": stamps.cast(TIME)}), timeframe)
    frame = frame.filter(pl.col("session") == "regular")
    if timeframe in LONG_TIMEFRAMES or step == timedelta(seconds=TIMEFRAME_SECONDS[timeframe]):
        return frame.select("timestamp", "bar_end")
    minutes = TIMEFRAME_SECONDS[timeframe] // 60
    if calendar.grid.from_session:
        parts = calendar.parts(frame["timestamp"])
        offset = (frame["timestamp"] - parts["stretch_start"]).dt.total_minutes()
    else:
        wall = frame["timestamp"].dt.convert_time_zone(calendar.zone)
        offset = (
            wall.dt.hour().cast(pl.Int64) * 60 + wall.dt.minute() - calendar.grid.offset_minutes
        )
    return frame.filter(offset % minutes == 0).select("timestamp", "bar_end")


@pytest.mark.parametrize(
    ("timeframe", "bars", "first_of_period", "expected"),
    [
        # Monday 2 January 2023 is a holiday: Friday's last two hours
        ("15Min", 8, date(2023, 1, 1), datetime(2022, 12, 30, 19, 0, tzinfo=UTC)),
        # 3 July 2023 is a half-day until 13:00 (14 quarters); 12 more of Friday 30 June
        ("15Min", 26, date(2023, 7, 4), datetime(2023, 6, 30, 17, 0, tzinfo=UTC)),
        ("1Day", 3, date(2023, 7, 5), datetime(2023, 6, 29, tzinfo=UTC)),
        ("1Week", 2, date(2023, 2, 1), datetime(2023, 1, 17, tzinfo=UTC)),
        ("1Hour", 1, date(2023, 3, 1), datetime(2023, 2, 28, 20, 0, tzinfo=UTC)),
    ],
)
def test_the_bars_of_an_embargo_by_hand(timeframe, bars, first_of_period, expected):
    start = period_of(first_of_period, "day", DayCut.of(NYSE, timeframe)).start
    assert embargo_start(NYSE, timeframe, start, bars) == expected


@given(st.integers(0, 2_000), st.integers(0, 2_000), st.sampled_from(["1Min", "15Min", "1Hour"]))
@settings(max_examples=25, deadline=None)
def test_where_trading_never_stops_it_is_clock_time(bars, days, timeframe):
    clock = Calendar.of("24/7")
    start = datetime(2020, 1, 1, tzinfo=UTC) + timedelta(days=days)
    expected = start - timedelta(seconds=bars * TIMEFRAME_SECONDS[timeframe])
    assert embargo_start(clock, timeframe, start, bars) == expected


@pytest.mark.parametrize("name", ["XNYS", "XTKS", "CMES", "FX", "24/7"])
@pytest.mark.parametrize("timeframe", ["15Min", "1Hour", "1Day"])
@pytest.mark.parametrize("grid", ["clock", "session"])
def test_exactly_so_many_bars_lie_between(name, timeframe, grid):
    calendar = Calendar.of(name, BarGrid.of(grid))
    bars = regular_bars(calendar, timeframe, date(2023, 1, 1), date(2023, 6, 1))
    for month in (4, 5):
        start = period_of(date(2023, month, 1), "month", DayCut.of(calendar, timeframe)).start
        for count in (1, 8, 30):
            begin = embargo_start(calendar, timeframe, start, count)
            inside = bars.filter((pl.col("timestamp") >= begin) & (pl.col("bar_end") <= start))
            assert inside.height == count
            assert inside["timestamp"].min() == begin


def _example_samples(calendar, timeframe, first, end, horizon):
    """Two symbols with an event at every bar, at equal times, each settled `horizon` bars on."""
    bars = regular_bars(calendar, timeframe, first, end)
    ends = bars["bar_end"].shift(-horizon)
    frame = pl.concat(
        bars.select(
            "timestamp", symbol=pl.lit(symbol), side=pl.lit(1, pl.Int8), end_timestamp=ends,
            label=(pl.int_range(pl.len()) % 2).cast(pl.Int8), weight=pl.lit(1.0),
        ).with_columns(pl.lit(0.0).alias("return"))
        for symbol in ("AAA", "BBB")
    ).sort("timestamp", "symbol")  # fmt: skip
    return bars, Samples(frame, np.zeros((frame.height, 1)), ("x",))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_no_training_label_overlaps_the_test_period_of_an_example(file):
    chosen = load_settings(file, environment={})
    market, horizon = chosen.market, max(chosen.labels.horizons_bars)
    grid = "clock" if market.grid == "auto" else market.grid
    calendar = Calendar.of(market.calendar, BarGrid.of(grid))
    cut = DayCut.of(calendar, market.timeframe)
    size = market.partitions.retraining_period
    end = market.end or date(2024, 1, 1)
    if size == "hour":
        close = calendar.schedule(end - timedelta(days=10), end)["close"][-1]
        last = period_at(close - timedelta(minutes=1), size, cut)
        before, reach = period_at(last.start - timedelta(minutes=1), size, cut), 3
    else:
        last = period_of(end - timedelta(days=1), size, cut)
        before = period_of(last.first_date - timedelta(days=1), size, cut)
        reach = 400 if market.timeframe in LONG_TIMEFRAMES else 40
    first = before.first_date - timedelta(days=reach)
    bars, samples = _example_samples(calendar, market.timeframe, first, last.end_date, horizon)
    for period in (before, last):
        parts = split(samples, period, calendar, market.timeframe, chosen.model)
        assert parts.train.any()
        assert parts.test.any()
        trained, tested = samples.frame.filter(parts.train), samples.frame.filter(parts.test)
        assert trained["end_timestamp"].max() <= parts.train_end <= period.start
        assert trained["end_timestamp"].max() <= tested["timestamp"].min()
        fitted, calibrating = (samples.frame.filter(mask) for mask in (parts.fit, parts.calibrate))
        if fitted.height:
            assert fitted["end_timestamp"].max() <= calibrating["timestamp"].min()
        between = bars.filter(
            (pl.col("timestamp") >= parts.train_end) & (pl.col("bar_end") <= period.start)
        )
        assert between.height == chosen.model.embargo_bars
        # each symbol lost the same events
        purged = samples.frame.filter(parts.purged)
        assert purged["symbol"].value_counts()["count"].n_unique() == 1
        assert purged.height == 2 * (chosen.model.embargo_bars + horizon)


def test_the_row_of_a_fold_tells_the_embargo_that_was_kept():
    bars, samples = _example_samples(NYSE, "15Min", date(2023, 1, 1), date(2023, 4, 1), 8)
    period = period_of(date(2023, 3, 1), "month", NYSE.zone)
    chosen = ModelSettings(
        forecaster="harmony_pipeline.models.logistic:Logistic", minimum_train_rows=50
    )
    row = train_period(samples, period, 8, NYSE, "15Min", chosen, "f").fold_row.row(0, named=True)
    kept = bars.filter(
        (pl.col("timestamp") >= row["train_last_end"]) & (pl.col("bar_end") <= row["test_start"])
    )
    assert row["train_end"] == row["train_last_end"] == datetime(2023, 2, 28, 19, 0, tzinfo=UTC)
    assert kept.height == row["embargo"] == 8


def _labelled_walk(calendar, timeframe, first, end, chosen):
    """Labels of two random walks by an example's own `[labels]`, up to 4,000 events a symbol."""
    bars = regular_bars(calendar, timeframe, first, end)
    generator = np.random.default_rng(bars.height)
    frames = []
    for symbol in ("AAA", "BBB"):
        close = 100.0 * np.exp(np.cumsum(generator.normal(0.0, 0.003, bars.height)))
        opened = np.r_[100.0, close[:-1]]
        prices = {"high": np.maximum(opened, close), "low": np.minimum(opened, close)}
        frames.append(
            bars.select(
                "timestamp", symbol=pl.lit(symbol), session=pl.lit("regular"),
                adjustment_factor=pl.lit(1.0),
            ).with_columns(open=pl.Series(opened), close=pl.Series(close), **{
                name: pl.Series(values) for name, values in prices.items()
            })
        )  # fmt: skip
    market = pl.concat(frames)
    events = market.gather_every(max(1, market.height // 8_000))
    side = pl.Series(generator.choice([-1, 1], events.height), dtype=pl.Int8)
    events = events.select("symbol", "timestamp", side=side, volatility=pl.lit(0.003))
    table = label_events(market, events, chosen.labels, calendar, timeframe).table
    longest = table.filter(pl.col("horizon") == max(chosen.labels.horizons_bars))
    frame = longest.select(
        "symbol", "timestamp", "side", "end_timestamp", "return", "label", "weight"
    ).sort("timestamp", "symbol")
    return bars, Samples(frame, np.zeros((frame.height, 1)), ("x",))


@pytest.mark.parametrize("file", EXAMPLES, ids=lambda file: file.stem)
def test_no_label_of_any_fold_of_an_example_lives_in_its_test_period(file):
    """Every retraining period of the example's span, and every choice of test groups of the
    combinatorial purged cross-validation.
    """
    chosen = load_settings(file, environment={})
    market = chosen.market
    calendar = Calendar.of(
        market.calendar, BarGrid.of("clock" if market.grid == "auto" else market.grid)
    )
    end = market.end or date(2024, 1, 1)
    start = max(market.start, end - timedelta(days=3650))
    periods = periods_between(
        start, end, market.partitions.retraining_period, DayCut.of(calendar, market.timeframe)
    )
    bars, samples = _labelled_walk(calendar, market.timeframe, start, end, chosen)
    born, died = pl.col("timestamp"), pl.col("end_timestamp")
    trained_folds = 0
    for period in periods:
        parts = split(samples, period, calendar, market.timeframe, chosen.model)
        trained = samples.frame.filter(parts.train)
        assert trained.filter((born < period.end) & (died > period.start)).is_empty()
        assert not (parts.train & parts.test).any()
        assert not (parts.fit & parts.calibrate).any()
        lives = samples.frame.filter(parts.fit)["end_timestamp"].max()
        first = samples.frame.filter(parts.calibrate)["timestamp"].min()
        assert lives is None or first is None or lives <= first
        begun = bars.filter(pl.col("bar_end") <= period.start).height
        if trained.height and begun >= chosen.model.embargo_bars:
            between = (pl.col("timestamp") >= trained["end_timestamp"].max()) & (
                pl.col("bar_end") <= period.start
            )
            assert bars.filter(between).height >= chosen.model.embargo_bars
        trained_folds += trained.height > 0
    a_few_days = len(periods) == 1 or bars.height < 100
    assert trained_folds > 0 or a_few_days
    settled = samples.frame.filter(died.is_not_null())["timestamp"].n_unique()
    if settled < chosen.cross_validation.groups:
        return  # a few days of data: nothing is cross-validated
    group = group_numbers(samples, chosen.cross_validation.groups)
    for fold in folds(
        samples, calendar, market.timeframe, chosen.model.embargo_bars, chosen.cross_validation
    ):
        trained = samples.frame.filter(pl.Series(fold.train))
        for number in fold.test_groups:
            tested = samples.frame.filter(pl.Series(group == number))
            inside = (born < tested["end_timestamp"].max()) & (died > tested["timestamp"].min())
            assert trained.filter(inside).is_empty()
