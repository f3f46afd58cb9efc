"""Gap momentum: each way through its phases, by hand."""

import math
from datetime import UTC, datetime, time, timedelta

import pytest

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.strategies.events import Bar, Enter, Leave
from harmony_pipeline.strategies.gap_momentum import GapMomentum
from harmony_pipeline.strategies.machines import MachineRun
from harmony_pipeline.strategies.registry import build_strategy
from harmony_pipeline.strategies.settings import StrategySettings

MONDAY = datetime(2024, 3, 4, 14, 30, tzinfo=UTC)  # 09:30 in New York


def bar(
    number,
    close,
    high=None,
    low=None,
    session="regular",
    day=0,
    symbol="A",
    volume=500.0,
    factor=1.0,
):
    at = MONDAY + timedelta(days=day, minutes=15 * number)
    return Bar(
        symbol, at, session, close, close if high is None else high, close if low is None else low,
        close, volume, factor,
    )  # fmt: skip


PREMARKET = (bar(-4, 107, 108, 106, "pre"), bar(-2, 109, 110, 108, "pre"))


def yesterday(close=100.0, factor=1.0):
    """The last regular bar of the day before, and one after hours that sets no close."""
    return bar(25, close, day=-1, factor=factor), bar(
        27, 109, session="post", day=-1, factor=factor
    )


def said(machine, *bars, before=None):
    run, found = MachineRun(machine, "gap"), []
    for heard in (*(yesterday() if before is None else before), *bars):
        intents = [one for one in run.handle(heard) if isinstance(one, Enter | Leave)]
        found += [(getattr(one, "side", 0), one.reason) for one in intents]
    return found


BROKE = (1, "broke the premarket high")


def test_the_first_close_above_the_premarket_high_is_bought():
    assert said(GapMomentum(), *PREMARKET, bar(0, 109, 110.5, 107), bar(1, 110)) == []
    assert said(GapMomentum(), *PREMARKET, bar(0, 109, 110.5, 107), bar(1, 110.1)) == [BROKE]
    assert said(GapMomentum(), *PREMARKET, bar(0, 110.1)) == [BROKE], "the first bar may break it"


def test_without_a_premarket_the_first_bar_is_the_level_and_does_not_break_it():
    assert said(GapMomentum(), bar(0, 109, 109, 107), bar(1, 109)) == []
    assert said(GapMomentum(), bar(0, 109, 109, 107), bar(1, 109.1)) == [BROKE]


def test_the_strength_grows_with_the_gap():
    run = MachineRun(GapMomentum(full_gap=0.1), "gap")
    for heard in (*yesterday(111 / math.exp(0.08)), *PREMARKET, bar(0, 111)):
        run.handle(heard)
    assert run.holding["A"] == (1, pytest.approx(0.8))


@pytest.mark.parametrize(
    ("settings", "before"),
    [
        ({}, yesterday(109 / math.exp(0.0299))),
        ({}, yesterday(150.0)),
        ({}, ()),  # nothing is known of the day before
        ({"minimum_premarket_volume": 1001.0}, yesterday()),
    ],
)
def test_a_small_gap_or_a_thin_premarket_is_done_for_the_day(settings, before):
    assert said(GapMomentum(**settings), *PREMARKET, bar(0, 109), bar(1, 150), before=before) == []


def test_a_split_is_no_gap():
    # two for one over night: 100 * 1.0 yesterday is 54.5 * 2.0 today, a rise of 9 %
    halves = [
        bar(-4, 54, 55, 53, "pre", factor=2.0),
        bar(0, 54.5, factor=2.0),
        bar(1, 56, factor=2.0),
    ]
    assert said(GapMomentum(minimum_gap=0.08), *halves) == [BROKE]
    assert said(GapMomentum(minimum_gap=0.09), *halves) == []


def test_the_stop_is_the_low_since_the_open_and_follows_the_best_close():
    opening = (*PREMARKET, bar(0, 109, 110, 108), bar(1, 111))
    rule = {"trail": 0.10}
    assert said(GapMomentum(**rule), *opening, bar(2, 108.1)) == [BROKE]
    assert said(GapMomentum(**rule), *opening, bar(2, 108.0)) == [BROKE, (0, "stopped")]
    assert said(GapMomentum(**rule), *opening, bar(2, 130), bar(3, 117.1)) == [BROKE]
    assert said(GapMomentum(**rule), *opening, bar(2, 130), bar(3, 117.0), bar(4, 140)) == [
        BROKE, (0, "stopped"),
    ]  # fmt: skip


def test_nothing_is_opened_late_and_everything_is_closed_by_the_clock():
    last = bar(8, 109)  # 11:30
    assert said(GapMomentum(), *PREMARKET, bar(0, 109), last, bar(8, 112)) == [BROKE]
    assert said(GapMomentum(), *PREMARKET, bar(0, 109), bar(9, 112)) == []
    assert said(GapMomentum(), *PREMARKET, bar(0, 111), bar(23, 112)) == [BROKE]
    assert said(GapMomentum(), *PREMARKET, bar(0, 111), bar(24, 111)) == [BROKE, (0, "end of day")]


def test_the_end_of_the_day_does_not_wait_for_the_symbol_to_trade():
    heard = (*PREMARKET, bar(0, 111), bar(25, 20, symbol="B"))
    assert said(GapMomentum(), *heard) == [BROKE, (0, "end of day")]


def test_after_hours_neither_stop_nor_open():
    quiet = GapMomentum(last_entry=time(18, 0), exit_at=time(19, 0))
    assert said(quiet, *PREMARKET, bar(0, 109), bar(27, 150, session="post")) == []
    assert said(quiet, *PREMARKET, bar(0, 111), bar(27, 50, session="post")) == [BROKE]


def test_a_half_day_is_left_by_the_next_days_first_bar_and_that_day_begins_anew():
    first = (*PREMARKET, bar(0, 111))
    second = bar(-4, 120, 121, 119, "pre", day=1), bar(0, 120, day=1), bar(1, 122, day=1)
    assert said(GapMomentum(), *first, *second) == [BROKE, (0, "end of day"), BROKE]


@pytest.mark.parametrize("parameters", [{"zone": "Mars"}, {"last_entry": "16:00"}, {"trail": 1.0}])
def test_parameters_that_cannot_be_are_refused(parameters):
    use = "harmony_pipeline.strategies.gap_momentum:GapMomentum"
    with pytest.raises(ConfigError, match=str(next(iter(parameters.values())))):
        build_strategy(StrategySettings(use=use, parameters=parameters))
