"""Absent bars: found by the calendar, told apart by evidence, judged by the past alone."""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from market.raw_rows import utc

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.expected_bars import Slots, find_slots
from harmony_pipeline.market.gap_kinds import mark_refused_bars
from harmony_pipeline.market.gaps import find_gaps
from harmony_pipeline.market.settings import GapSettings
from harmony_pipeline.market.trading_activity import expected_silences
from harmony_pipeline.schemas import GAPS, QUARANTINE, TIME

NYSE, CLOCK = Calendar.of("XNYS"), Calendar.of("24/7")
NO_LIVES = pl.DataFrame(schema={"symbol": pl.String(), "first": pl.Date(), "end": pl.Date()})
SETTINGS = GapSettings()


def market(slots: Slots, symbols: dict[str, np.ndarray], volume: float = 100_000.0) -> pl.DataFrame:
    """Bars of every symbol at the slots where its mask is true."""
    frames = [
        pl.DataFrame(
            {
                "symbol": [name] * int(mask.sum()),
                "timestamp": pl.Series(slots.stamp[mask]).cast(TIME),
            },
            schema_overrides={"symbol": pl.String()},
        )
        for name, mask in sorted(symbols.items())
    ]
    return pl.concat(frames).with_columns(
        volume=pl.lit(volume), trade_count=pl.lit(None, pl.Float64())
    )


def gaps(
    slots: Slots, bars: pl.DataFrame, lives: pl.DataFrame = NO_LIVES, **other: bool
) -> pl.DataFrame:
    return find_gaps([bars], slots, lives, SETTINGS, **other)


def lives(*rows: tuple[str, date | None, date | None]) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=NO_LIVES.schema, orient="row")


def naive_absent(slots: Slots, mask: np.ndarray) -> list[tuple[int, int]]:
    """Runs of absent target slots within a session, one slot at a time."""
    runs: list[tuple[int, int]] = []
    for slot in range(slots.target, len(slots.stamp)):
        if mask[slot]:
            continue
        if runs and runs[-1][1] == slot - 1 and slots.session[slot] == slots.session[slot - 1]:
            runs[-1] = (runs[-1][0], slot)
        else:
            runs.append((slot, slot))
    return runs


@pytest.mark.parametrize("name", ["XNYS", "XTKS", "XLON", "24/7", "CMES"])
@pytest.mark.parametrize("timeframe", ["1Min", "5Min", "15Min", "30Min", "1Hour", "1Day"])
def test_slots_are_the_regular_bars_that_the_calendar_counts(name: str, timeframe: str) -> None:
    calendar = Calendar.of(name)
    # Holidays, half-days and both changes of the clock, in America and in Europe.
    slots = find_slots(calendar, timeframe, date(2023, 11, 1), date(2024, 4, 10))
    counted = calendar.expected_bars(timeframe).filter(
        pl.col("date").is_between(date(2023, 11, 1), date(2024, 4, 9))
    )
    assert np.bincount(slots.session).tolist() == counted["expected_regular_bars"].to_list()
    assert (np.diff(slots.stamp) > 0).all()
    placed = calendar.with_session(
        pl.DataFrame({"timestamp": pl.Series(slots.stamp).cast(TIME)}), timeframe
    )
    assert placed["session"].unique().to_list() == ["regular"]
    assert placed["session_date"].to_list() == slots.dates.gather(slots.session).to_list()


@given(st.data())
def test_runs_are_those_that_a_walk_over_the_slots_finds(data: st.DataObject) -> None:
    # the 3rd is a half-day, the 4th a holiday
    slots = find_slots(NYSE, "1Hour", date(2024, 7, 2), date(2024, 7, 9), past_sessions=3)
    size = len(slots.stamp)
    masks = {
        name: np.array(data.draw(st.lists(st.booleans(), min_size=size, max_size=size)))
        for name in ("A", "B", "C")
    }
    everyone = lives(*((name, date(2024, 1, 1), None) for name in masks))
    found = gaps(slots, market(slots, masks), everyone)
    # Runs are cut where a silence of the whole market begins or ends, so absent slots are compared,
    # and then that runs only touch there.
    absent = {
        (row["symbol"], int(slot))
        for row in found.iter_rows(named=True)
        for slot in slots_of(slots, row)
    }
    assert absent == {
        (name, slot)
        for name, mask in masks.items()
        for first, last in naive_absent(slots, mask)
        for slot in range(first, last + 1)
    }
    assert found["bars"].sum() == len(absent)
    market_silent = ~(masks["A"] | masks["B"] | masks["C"])
    for name, mask in masks.items():
        if not (market_silent & ~mask).any():
            assert found.filter(pl.col("symbol") == name).height == len(naive_absent(slots, mask))


def slots_of(slots: Slots, row: dict[str, object]) -> range:
    stamps = pl.Series(slots.stamp).cast(TIME)
    first, last = (
        int(stamps.search_sorted(row[name], side="left"))
        for name in ("first_missing", "last_missing")
    )
    assert last - first + 1 == row["bars"]
    return range(first, last + 1)


@given(st.integers(0, 2**32 - 1))
def test_cutting_symbols_into_batches_and_time_into_periods_changes_nothing(seed: int) -> None:
    draw = np.random.default_rng(seed)
    # daylight saving begins on the 10th
    whole = find_slots(NYSE, "30Min", date(2024, 3, 4), date(2024, 3, 29), past_sessions=8)
    masks = {
        name: draw.random(len(whole.stamp)) < share
        for name, share in (("A", 0.995), ("B", 0.9), ("C", 0.5), ("D", 0.05))
    }
    bars = market(whole, masks)
    everyone = lives(*((name, date(2024, 1, 1), None) for name in masks))
    settings = GapSettings(lookback_sessions=8)
    once = find_gaps([bars], whole, everyone, settings)
    parts = [
        find_slots(NYSE, "30Min", first, end, past_sessions=8)
        for first, end in (
            (date(2024, 3, 4), date(2024, 3, 15)),
            (date(2024, 3, 15), date(2024, 3, 29)),
        )
    ]
    cut = []
    for part in parts:
        start, end = pl.Series([part.stamp[0], part.stamp[-1]]).cast(TIME).to_list()
        within = bars.filter(pl.col("timestamp").is_between(start, end))
        cut.append(
            find_gaps(
                [within.filter(pl.col("symbol") < "C"), within.filter(pl.col("symbol") >= "C")],
                part,
                everyone,
                settings,
            )
        )
    assert pl.concat(cut).sort(GAPS.key).equals(once)


@given(st.integers(0, 2**32 - 1), st.integers(3, 17))
def test_later_sessions_change_no_verdict_on_earlier_ones(seed: int, day: int) -> None:
    draw = np.random.default_rng(seed)
    slots = find_slots(NYSE, "30Min", date(2024, 1, 2), date(2024, 2, 1))
    masks = {
        name: draw.random(len(slots.stamp)) < share
        for name, share in (("A", 0.99), ("B", 0.8), ("C", 0.4))
    }
    changed = {
        name: np.where(slots.session >= day, draw.random(len(mask)) < 0.5, mask)
        for name, mask in masks.items()
    }
    everyone = lives(*((name, date(2024, 1, 1), None) for name in masks))
    future = (
        pl.col("timestamp") >= pl.Series([slots.stamp[slots.session_bounds[day]]]).cast(TIME)[0]
    )
    other = market(slots, changed).with_columns(
        volume=pl.when(future).then(7.0).otherwise("volume")
    )
    earlier = pl.col("date") < slots.dates[day]
    assert (
        gaps(slots, market(slots, masks), everyone)
        .filter(earlier)
        .equals(gaps(slots, other, everyone).filter(earlier))
    )


def one_kind(found: pl.DataFrame, symbol: str, day: date) -> list[tuple[int, str]]:
    return (
        found.filter((pl.col("symbol") == symbol) & (pl.col("date") == day))
        .select("bars", "kind")
        .rows()
    )


@pytest.fixture
def month() -> tuple[Slots, dict[str, np.ndarray]]:
    """A month of minutes: three busy symbols, and QUIET, which trades in a third of its minutes."""
    slots = find_slots(NYSE, "1Min", date(2024, 1, 2), date(2024, 2, 1))
    size = len(slots.stamp)
    masks = {name: np.ones(size, np.bool_) for name in ("AAA", "BBB", "CCC")}
    masks["QUIET"] = np.random.default_rng(5).random(size) < 0.33
    return slots, masks


LAST = date(2024, 1, 31)


def minutes_of(slots: Slots, day: date, first: int, count: int) -> slice:
    start = int(slots.session_bounds[slots.dates.to_list().index(day)])
    return slice(start + first, start + first + count)


def test_a_minute_of_a_busy_symbol_is_missing_and_one_of_a_quiet_symbol_did_not_trade(
    month,
) -> None:
    slots, masks = month
    masks["AAA"][minutes_of(slots, LAST, 100, 1)] = False
    found = gaps(slots, market(slots, masks))
    assert one_kind(found, "AAA", LAST) == [(1, "missing")]
    quiet = found.filter(pl.col("symbol") == "QUIET", pl.col("date") > date(2024, 1, 10))
    assert quiet["kind"].unique().to_list() == ["no_trade"]
    assert quiet["usual_silence"].mean() == pytest.approx(0.67, abs=0.05)


def test_an_hour_without_a_quiet_symbol_is_missing_too(month) -> None:
    slots, masks = month
    masks["QUIET"][minutes_of(slots, LAST, 60, 120)] = False
    assert "missing" in [
        kind
        for bars, kind in one_kind(gaps(slots, market(slots, masks)), "QUIET", LAST)
        if bars >= 120
    ]


def test_everyone_silent_for_minutes_is_a_halt_and_for_a_session_is_missing(month) -> None:
    slots, masks = month
    for mask in masks.values():
        # a market-wide circuit breaker lasts fifteen minutes
        mask[minutes_of(slots, LAST, 4, 15)] = False
        mask[minutes_of(slots, date(2024, 1, 25), 0, 390)] = False
    found = gaps(slots, market(slots, masks))
    for name in masks:
        assert (15, "halt") in one_kind(found, name, LAST)
        assert one_kind(found, name, date(2024, 1, 25)) == [(390, "missing")]


def test_an_outage_does_not_teach_that_silence_is_usual(month) -> None:
    slots, masks = month
    masks["AAA"][minutes_of(slots, date(2024, 1, 29), 0, 390)] = False
    masks["AAA"][minutes_of(slots, date(2024, 1, 30), 90, 60)] = False
    masks["AAA"][minutes_of(slots, LAST, 100, 1)] = False
    assert one_kind(gaps(slots, market(slots, masks)), "AAA", LAST) == [(1, "missing")]


def test_a_silence_that_ends_in_a_burst_is_a_halt_of_that_stock(month) -> None:
    slots, masks = month
    pause = minutes_of(slots, LAST, 100, 6)
    masks["BBB"][pause] = False
    reopening = pl.Series([slots.stamp[pause.stop]]).cast(TIME)[0]
    burst = (
        pl.when((pl.col("symbol") == "BBB") & (pl.col("timestamp") == reopening))
        .then(1e6)
        .otherwise("volume")
    )
    assert one_kind(gaps(slots, market(slots, masks).with_columns(volume=burst)), "BBB", LAST) == [
        (6, "halt")
    ]


def test_a_bar_that_came_and_was_refused_is_missing_and_says_why(month) -> None:
    slots, masks = month
    found = gaps(slots, market(slots, masks))
    silent = found.filter(pl.col("symbol") == "QUIET", pl.col("date") == LAST, pl.col("bars") == 3)[
        "first_missing"
    ][0]
    refused = [
        ("QUIET", silent + timedelta(minutes=1), "bad_print"),
        ("QUIET", silent + timedelta(minutes=2), "superseded"),
        ("QUIET", silent - timedelta(minutes=1), "bad_print"),
    ]
    rows = [
        {
            "symbol": symbol,
            "timeframe": "1Min",
            "timestamp": at,
            "source": "test",
            "row": 1,
            "rule": rule,
            "reason": "",
        }
        for symbol, at, rule in refused
    ]
    marked = mark_refused_bars(
        found, QUARANTINE.conform(pl.DataFrame(rows, schema_overrides={"timestamp": TIME}))
    )
    changed = marked.join(found, on=["symbol", "first_missing", "kind", "evidence"], how="anti")
    assert changed.select("first_missing", "kind").rows() == [(silent, "missing")]
    assert changed["evidence"][0].startswith(
        "1 of these bars came and are in quarantine (bad_print); silent in"
    )
    assert marked.drop("kind", "evidence").equals(found.drop("kind", "evidence"))


def test_without_a_past_nothing_is_claimed() -> None:
    slots = find_slots(NYSE, "1Min", date(2024, 1, 2), date(2024, 1, 3))
    mask = np.ones(len(slots.stamp), np.bool_)
    mask[50] = False
    found = gaps(slots, market(slots, {"NEW": mask}, volume=1_000.0))
    assert found.select("bars", "kind", "past_sessions", "usual_silence").rows() == [
        (1, "unknown", 0, None)
    ]
    assert "too little to tell" in found["evidence"][0]


def test_where_a_source_writes_every_bar_what_is_absent_is_missing(month) -> None:
    slots, masks = month
    assert gaps(slots, market(slots, masks), every_bar=True)["kind"].unique().to_list() == [
        "missing"
    ]


def test_where_bars_are_made_of_trades_an_absent_one_had_none_unless_nobody_has_it(month) -> None:
    slots, masks = month
    found = gaps(slots, market(slots, masks), of_trades=True)
    assert found.height
    assert found["kind"].unique().to_list() == ["no_trade"]
    nobody = {name: mask & (slots.session != slots.session[-1]) for name, mask in masks.items()}
    lost = gaps(slots, market(slots, nobody), of_trades=True).filter(pl.col("date") == LAST)
    assert lost["kind"].unique().to_list() == ["missing"]


def test_nothing_is_expected_before_a_listing_or_after_a_delisting() -> None:
    slots = find_slots(NYSE, "1Day", date(2024, 1, 2), date(2024, 2, 1))
    bars = market(
        slots,
        {
            "A": slots.dates.is_in([date(2024, 1, 10), date(2024, 1, 12)]).to_numpy(),
            "B": np.ones(len(slots.stamp), np.bool_),
        },
    )
    found = gaps(slots, bars, lives(("A", date(2024, 1, 9), date(2024, 1, 16))), every_bar=True)
    assert found.select("symbol", "date", "kind").rows() == [
        ("A", day, "missing") for day in (date(2024, 1, 9), date(2024, 1, 11))
    ]
    # from its first bar on, and nobody said that it ended
    unnamed = gaps(slots, bars, every_bar=True)
    # the 15th is a holiday
    assert unnamed["date"].to_list()[:2] == [date(2024, 1, 11), date(2024, 1, 16)]


def test_a_symbol_that_is_expected_and_never_came_is_missing_whole() -> None:
    slots = find_slots(NYSE, "1Hour", date(2024, 7, 2), date(2024, 7, 6))
    found = gaps(
        slots,
        market(slots, {"A": np.ones(len(slots.stamp), np.bool_)}),
        lives(("A", date.min, None), ("GHOST", date.min, None)),
    )
    assert found.select("symbol", "date", "bars", "session_bars").rows() == [
        ("GHOST", date(2024, 7, 2), 7, 7), ("GHOST", date(2024, 7, 3), 4, 4),
        ("GHOST", date(2024, 7, 5), 7, 7),
    ]  # fmt: skip


def test_bars_that_have_not_ended_are_not_yet_expected() -> None:
    slots = find_slots(
        NYSE, "1Min", date(2024, 1, 2), date(2024, 1, 4), known_until=utc(2024, 1, 2, 14, 40)
    )
    assert len(slots.stamp) == 10
    assert not len(
        find_slots(
            NYSE, "1Day", date(2024, 1, 2), date(2024, 1, 4), known_until=utc(2024, 1, 2, 20, 59)
        ).stamp
    )


def test_crypto_is_expected_around_the_clock() -> None:
    slots = find_slots(CLOCK, "1Min", date(2024, 3, 9), date(2024, 3, 11))
    mask = np.ones(len(slots.stamp), np.bool_)
    mask[[0, 1439, 1440, 2000]] = False
    found = gaps(slots, market(slots, {"BTC": mask, "ETH": ~np.zeros(len(mask), np.bool_)}))
    assert found["first_missing"].to_list() == [
        utc(2024, 3, 9),
        utc(2024, 3, 9, 23, 59),
        utc(2024, 3, 10),
        utc(2024, 3, 10) + timedelta(minutes=560),
    ]


@given(st.floats(0.01, 0.99), st.integers(1, 30))
def test_silences_in_a_row_come_more_often_than_if_each_bar_were_drawn_alone(
    share: float, length: int
) -> None:
    one = expected_silences(np.array([share]), np.array([1.0]), np.array([390.0]))[0]
    several = expected_silences(np.array([share]), np.array([float(length)]), np.array([390.0]))[0]
    assert one == pytest.approx(390.0 * share)
    assert several >= 390.0 * share**length * (1 - 1e-9)
    assert several <= one * (1 + 1e-9)


def test_no_bars_and_no_sessions_give_no_gaps() -> None:
    slots = find_slots(NYSE, "1Min", date(2024, 1, 6), date(2024, 1, 8))  # a weekend
    assert find_gaps([], slots, NO_LIVES, SETTINGS).equals(GAPS.empty())
    assert find_gaps(
        [], find_slots(NYSE, "1Min", date(2024, 1, 2), date(2024, 1, 3)), NO_LIVES, SETTINGS
    ).equals(GAPS.empty())
