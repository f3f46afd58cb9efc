"""The simulated source as a source: the contract, exact cuts, sound bars, corporate actions,
listings, halts.
"""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market.simulated_worlds import EVER, everything, marked, validated, world
from polars.testing import assert_frame_equal

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.simulation.companies import LOW_FLOAT, listings, symbol_name
from harmony_pipeline.market.source_settings import SimulatedSourceSettings
from harmony_pipeline.market.sources.simulated import SimulatedSource
from harmony_pipeline.testing.source_contract import SourceContract

SYMBOLS = sorted(symbol_name(number) for number in (0, 1, 2, 3, 4, 5, LOW_FLOAT, LOW_FLOAT + 1))


class TestSimulatedSourceContract(SourceContract):
    timeframe, symbols = "15Min", SYMBOLS[:3]
    start, end = datetime(2023, 1, 5, tzinfo=UTC), datetime(2023, 1, 12, tzinfo=UTC)
    tick_start, tick_end = (
        datetime(2023, 1, 5, 14, 30, tzinfo=UTC),
        datetime(2023, 1, 5, 15, 0, tzinfo=UTC),
    )

    @pytest.fixture
    def source(self) -> SimulatedSource:
        return world()


# --- the same bits, however one asks --------------------------------------------------------------


@pytest.fixture(scope="module")
def whole() -> pl.DataFrame:
    return everything(world(end=date(2023, 2, 15), edge="planted"))


@given(
    symbols=st.lists(st.sampled_from(SYMBOLS), min_size=1, unique=True),
    hours=st.tuples(st.integers(0, 24 * 44), st.integers(0, 24 * 44)).map(sorted),
    asked_before=st.lists(st.integers(0, 40), max_size=2),
)
@settings(max_examples=12, deadline=None)
def test_any_range_and_symbols_in_any_order_of_calls_are_a_cut_from_the_whole(
    whole: pl.DataFrame, symbols: list[str], hours: list[int], asked_before: list[int]
) -> None:
    start, end = (
        datetime(2023, 1, 2, tzinfo=UTC) + timedelta(hours=hour, minutes=7) for hour in hours
    )
    source = world(end=date(2023, 2, 15), edge="planted")
    for day in asked_before:
        source.bars(
            symbols[:1],
            datetime(2023, 1, 3, tzinfo=UTC) + timedelta(days=day),
            datetime(2023, 1, 5, tzinfo=UTC) + timedelta(days=day),
            "15Min",
        )
    cut = whole.filter(
        pl.col("symbol").is_in(symbols)
        & (pl.col("timestamp") >= start)
        & (pl.col("timestamp") < end)
    )
    assert_frame_equal(source.bars(symbols, start, end, "15Min"), cut, check_exact=True)


def test_a_later_end_and_more_symbols_change_no_row(whole: pl.DataFrame) -> None:
    more = everything(world(end=date(2023, 4, 1), edge="planted", symbols=9, low_float_symbols=3))
    same = more.filter(
        pl.col("symbol").is_in(SYMBOLS) & (pl.col("timestamp") <= whole["timestamp"].max())
    )
    assert_frame_equal(same, whole, check_exact=True)


def test_the_stream_is_the_whole_market_in_order_of_time() -> None:
    source = world(end=date(2023, 1, 10))
    streamed = pl.concat(list(source.stream(None)))
    assert_frame_equal(streamed, everything(source).sort("timestamp", "symbol"), check_exact=True)


def test_another_seed_is_another_market() -> None:
    assert not everything(world(end=date(2023, 1, 10), seed=8)).equals(
        everything(world(end=date(2023, 1, 10), seed=7))
    )


# --- sound bars -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("calendar", "timeframe", "extended_hours"),
    [
        ("XNYS", "1Min", True),
        ("XNYS", "1Hour", True),
        ("XNYS", "1Hour", False),
        ("XNYS", "1Day", True),
        ("24/7", "5Min", True),
        ("24/7", "1Day", False),
        ("XTKS", "15Min", True),
        ("XLON", "30Min", True),
    ],
)
def test_every_bar_is_sound_and_lies_in_a_session_at_any_size_and_on_any_exchange(
    calendar: str, timeframe: str, extended_hours: bool
) -> None:
    days = 6 if timeframe in {"1Min", "5Min"} else 60
    source = world(
        calendar=calendar,
        timeframe=timeframe,
        extended_hours=extended_hours,
        start=date(2023, 11, 20),
        end=date(2023, 11, 20) + timedelta(days=days),
    )
    result = validated(source)
    assert result.bars.height > 20
    assert result.quarantine.height == 0
    per_session = (
        Calendar.of(calendar)
        .with_session(result.bars.drop("session"), timeframe)
        .filter(pl.col("session") == "regular")
        .group_by("symbol", "session_date")
        .len()
    )
    assert per_session["len"].max() <= Calendar.of(calendar).bars_per_session(timeframe)
    if not extended_hours:
        assert set(result.bars["session"].unique()) == {"regular"}


def test_prices_lie_on_the_tick_and_numbers_make_sense() -> None:
    bars = everything(world())
    prices = bars.select("open", "high", "low", "close").to_numpy()
    ticks = np.where(prices >= 1.0, 100.0, 10_000.0)
    assert np.array_equal(np.round(prices * ticks) / ticks, prices)
    assert (prices[:, 1] == prices.max(axis=1)).all()
    assert (prices[:, 2] == prices.min(axis=1)).all()
    volume, trades, vwap = (bars[name].to_numpy() for name in ("volume", "trade_count", "vwap"))
    assert (volume >= 1.0).all()
    assert np.array_equal(np.floor(volume), volume)
    assert np.array_equal(np.floor(trades), trades)
    assert ((trades >= 1.0) & (trades <= volume)).all()
    assert ((vwap >= prices[:, 2]) & (vwap <= prices[:, 1])).all()


def test_coarser_bars_are_summed_from_the_market_s_own() -> None:
    source = world(end=date(2023, 1, 20))
    own = everything(source).filter(pl.col("symbol") == SYMBOLS[0])
    hours = source.bars([SYMBOLS[0]], *EVER, "1Hour")
    ten = datetime(2023, 1, 10, 15, tzinfo=UTC)
    parts = own.filter(
        (pl.col("timestamp") >= ten) & (pl.col("timestamp") < ten + timedelta(hours=1))
    )
    row = hours.row(by_predicate=pl.col("timestamp") == ten, named=True)
    assert [row["open"], row["close"]] == [parts["open"][0], parts["close"][-1]]
    assert [row["high"], row["low"]] == [parts["high"].max(), parts["low"].min()]
    assert row["volume"] == parts["volume"].sum()
    assert row["vwap"] == pytest.approx(
        (parts["vwap"] * parts["volume"]).sum() / parts["volume"].sum()
    )
    day = source.bars([SYMBOLS[0]], *EVER, "1Day").row(
        by_predicate=pl.col("timestamp") == datetime(2023, 1, 10, tzinfo=UTC), named=True
    )
    regular = own.filter(
        pl.col("timestamp").is_between(
            datetime(2023, 1, 10, 14, 30, tzinfo=UTC), datetime(2023, 1, 10, 20, 59, tzinfo=UTC)
        )
    )
    assert [day["open"], day["close"], day["volume"]] == [
        regular["open"][0],
        regular["close"][-1],
        regular["volume"].sum(),
    ]


def test_bars_finer_than_the_market_are_refused_with_the_cure() -> None:
    with pytest.raises(DataError, match=r"set market\.timeframe"):
        world().bars(None, *EVER, "1Min")


def test_an_unknown_symbol_is_named() -> None:
    with pytest.raises(DataError, match="'AAPL'"):
        world().bars(["AAPL"], *EVER, "15Min")


def test_names_are_unique_for_the_largest_market() -> None:
    found = listings(SimulatedSourceSettings(symbols=5000, low_float_symbols=500), 252)
    names = [listing.symbol for listing in found]
    assert len(set(names)) == 5500
    assert names == sorted(names)
    assert all(name.isalpha() and name.isupper() and 4 <= len(name) <= 5 for name in names)


# --- companies come, split, pay and go ------------------------------------------------------------


@pytest.fixture(scope="module")
def years() -> SimulatedSource:
    """Eighteen months of the default companies."""
    return world(
        start=date(2022, 1, 3),
        end=date(2023, 7, 1),
        timeframe="1Hour",
        extended_hours=False,
        symbols=24,
        low_float_symbols=6,
    )


def test_splits_and_dividends_leave_the_value_of_a_holding_alone(years: SimulatedSource) -> None:
    actions = years.corporate_actions(None)
    counts = dict(actions.group_by("kind").len().iter_rows())
    assert counts["split"] >= 3
    assert counts["dividend"] >= 12
    rows = marked(years).with_columns(
        change=(pl.col("open") / pl.col("close").shift(1).over("symbol")).log()
    )
    on_the_day = rows.filter("first").join(
        actions, left_on=["symbol", "session_date"], right_on=["symbol", "date"]
    )
    assert on_the_day.height == actions.filter(pl.col("date") < date(2023, 7, 1)).height
    # a night's move, where raw prices halve or double at a split
    assert on_the_day["change"].abs().max() < 0.25
    assert abs(on_the_day["change"].mean()) < 0.01


def test_splits_scale_the_volume(years: SimulatedSource) -> None:
    split = (
        years.corporate_actions(None)
        .filter((pl.col("kind") == "split") & (pl.col("value") >= 2.0))
        .row(0, named=True)
    )
    bars = (
        everything(years)
        .filter(pl.col("symbol") == split["symbol"])
        .with_columns(day=pl.col("timestamp").dt.date())
    )
    near = pl.col("day").is_between(
        split["date"] - timedelta(days=30), split["date"] + timedelta(days=30)
    )
    usual = (
        bars.filter(near)
        .group_by(pl.col("day") >= split["date"])
        .agg(pl.col("volume").median())
        .sort("day")["volume"]
    )
    assert usual[1] / usual[0] == pytest.approx(split["value"], rel=0.5)


def test_companies_trade_from_their_listing_to_their_delisting_and_not_beyond(
    years: SimulatedSource,
) -> None:
    universe, bars = years.universe(), marked(years)
    span = bars.group_by("symbol").agg(
        pl.col("session_date").min().alias("first"), pl.col("session_date").max().alias("last")
    )
    facts = (
        universe.group_by("symbol")
        .agg(pl.col("listed").first(), pl.col("delisted").max())
        .join(span, on="symbol")
    )
    late = facts.filter(pl.col("listed") >= years.market.start)
    gone = facts.filter(pl.col("delisted").is_not_null())
    assert late.height == 2
    assert gone.height == 1
    assert late.filter(pl.col("first") != pl.col("listed")).height == 0
    sessions = Calendar.of("XNYS").previous_session(gone["delisted"][0])
    assert gone["last"][0] == sessions
    assert facts.filter(pl.col("listed") < years.market.start)["first"].unique().to_list() == [
        years.market.start
    ]


def test_the_universe_says_only_what_was_known_on_its_date(years: SimulatedSource) -> None:
    universe = years.universe()
    gone = universe.filter(pl.col("delisted").is_not_null())["symbol"][0]
    rows = universe.filter(pl.col("symbol") == gone)
    announced = rows.filter(pl.col("delisted").is_not_null())["date"].min()
    assert (
        rows.filter(pl.col("date") < announced)["delisted"].null_count()
        == rows.filter(pl.col("date") < announced).height
    )
    assert announced < rows["delisted"].max()
    assert universe.filter(pl.col("listed") > pl.col("date")).height == 0
    assert universe.filter(pl.col("float") > pl.col("market_cap")).height < universe.height
    split = years.corporate_actions(None).filter(pl.col("kind") == "split").row(0, named=True)
    floats = universe.filter(pl.col("symbol") == split["symbol"])
    before, after = (
        floats.filter(pl.col("date") < split["date"])["float"][-1],
        floats.filter(pl.col("date") == split["date"])["float"][0],
    )
    assert after / before == pytest.approx(split["value"], rel=1e-5)


def test_low_float_names_are_small_and_cheap(years: SimulatedSource) -> None:
    first = years.universe().group_by("symbol", maintain_order=True).first()
    small = {symbol_name(LOW_FLOAT + number) for number in range(6)}
    low, other = (
        first.filter(pl.col("symbol").is_in(small)),
        first.filter(~pl.col("symbol").is_in(small)),
    )
    assert low["float"].max() < 3e7 < other["float"].median()
    assert low["market_cap"].max() < 5e8 < other["market_cap"].median()
    assert first["sector"].n_unique() == 8


def test_halts_take_bars_out_of_the_middle_of_a_day() -> None:
    def missing(source: SimulatedSource) -> int:
        regular = marked(source).filter(
            (pl.col("session") == "regular")
            & ~pl.col("symbol").is_in([symbol_name(LOW_FLOAT), symbol_name(LOW_FLOAT + 1)])
        )
        return int((26 - regular.group_by("symbol", "session_date").len()["len"]).clip(0).sum())

    calm = world(halts_per_year=0.0, missing_minute_probability=0.0, extended_hours=False)
    halted = world(halts_per_year=126.0, missing_minute_probability=0.0, extended_hours=False)
    assert missing(calm) == 0
    assert missing(halted) > 100


def test_minutes_go_missing_as_often_as_asked() -> None:
    source = world(
        timeframe="1Min",
        end=date(2023, 1, 20),
        extended_hours=False,
        missing_minute_probability=0.05,
        halts_per_year=0.0,
    )
    liquid = max(source.universe().iter_rows(named=True), key=lambda row: row["market_cap"])[
        "symbol"
    ]
    bars = source.bars([liquid], *EVER, "1Min").height
    assert 1.0 - bars / (12 * 390) == pytest.approx(0.05, abs=0.012)


def test_half_days_end_early() -> None:
    rows = marked(world(start=date(2023, 11, 20), end=date(2023, 11, 28)))
    friday = rows.filter(pl.col("session_date") == date(2023, 11, 24))
    last = friday.filter(pl.col("session") == "regular")["timestamp"].max()
    assert last == datetime(2023, 11, 24, 17, 45, tzinfo=UTC)
    assert rows.filter(pl.col("session_date") == date(2023, 11, 23)).height == 0
