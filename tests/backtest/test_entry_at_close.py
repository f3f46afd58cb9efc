"""Entries at the close of the bar after the signal's, by examples: daily bars and round numbers.

Random markets are in the twins, laws and labels beside this file, which all draw `entry`, too.
"""

from datetime import timedelta

import polars as pl
import pytest
from backtest.random_markets import CALENDAR as HOURS
from backtest.random_markets import Market, rules, run
from backtest.test_simulator_examples import (
    CALENDAR,
    DAYS,
    FLAT,
    FREE,
    WIDE,
    day,
    market,
    only_trade,
    simulate,
)

from harmony_pipeline.backtest.quote_driver import run_quote_backtest
from harmony_pipeline.backtest.shared_account import Member, run_shared_backtest
from harmony_pipeline.backtest.simulator import run_backtest
from harmony_pipeline.errors import ConfigError
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.portfolio.state import TradingState
from harmony_pipeline.strategies.market_maker import MarketMaker

CLOSE = {"entry": "close"}
BUSY = (101.0, 115.0, 85.0, 102.0)  # its range is beyond every barrier


def at_close(*parts, **other):
    return simulate(*parts, labels=CLOSE, **other)


def closing(number):
    return CALENDAR.session_close(DAYS[number])


def test_it_fills_at_the_close_of_the_next_bar_whose_range_touches_nothing():
    result = at_close(
        market([FLAT, BUSY, (101.0, 103.0, 100.5, 101.0), (99.0, 99.5, 98.0, 98.5), FLAT], {0: 1})
    )
    trade = only_trade(result)
    # 50 000 of equity / 100 = 500 shares at 102.00; stop at 102 * 0.98 = 99.96, passed by an open
    assert (trade["quantity"], trade["entry_timestamp"], trade["entry_price"]) == (
        500.0,
        day(1),
        102.0,
    )
    left = ("exit_timestamp", "exit_price", "exit_reason", "pnl")
    assert [trade[name] for name in left] == [day(3), 99.0, "stop", -1500.0]
    assert result.orders["time_in_force"].to_list() == ["cls", "gtc", "gtc"]
    assert result.orders["stop_price"].drop_nulls().to_list() == [99.96]
    assert result.equity["equity"].to_list() == [100_000.0, 100_000.0, 99_500.0, 98_500.0, 98_500.0]
    assert result.equity["gross_exposure"].to_list() == [0.0, 51_000.0, 50_500.0, 0.0, 0.0]


def test_the_fill_and_its_legs_are_known_at_the_end_of_the_bar():
    bars = [FLAT, BUSY, (102.0, 102.5, 101.5, 102.0)]
    events = at_close(market(bars, {0: 1})).order_events
    own = events.select("timestamp", "known_at", "event", role=pl.col("order_id").str.slice(-5))
    entry = own.filter(pl.col("role") == "entry").drop("role")
    assert entry.rows() == [
        *(
            (closing(0), closing(0), event)
            for event in ("intent", "approved", "submitted", "accepted")
        ),
        (day(1), closing(1), "filled"),
    ]
    legs = own.filter(pl.col("role") != "entry").drop("role")
    placed = [(day(1), closing(1), event) for event in ("intent", "submitted", "accepted")]
    assert legs.rows() == [*placed, *placed]


def test_of_an_entry_at_an_open_they_are_known_at_once():
    events = simulate(market([FLAT, FLAT], {0: 1})).order_events
    assert (events["known_at"] == events["timestamp"]).all()


@pytest.mark.parametrize(
    ("vertical", "horizon", "left"),
    [("bars", 1, 3), ("bars", 3, 5), ("sessions", 1, 3), ("sessions", 3, 5)],
)
def test_a_horizon_begins_with_the_bar_after_the_entry(vertical, horizon, left):
    flat = market([FLAT] * 8, {0: 1})
    trade = only_trade(simulate(flat, horizon=horizon, labels={**CLOSE, "vertical": vertical}))
    assert (trade["entry_timestamp"], trade["exit_timestamp"]) == (day(1), day(left))
    assert trade["exit_reason"] == "vertical"


def test_of_bars_within_a_day_its_session_counts_though_its_last_bar_does_not():
    """Entered at Monday's last close, one session: decided at Tuesday's first close."""
    stamps = [
        HOURS.session_open(date).replace(minute=0) + timedelta(hours=hour)
        for date in DAYS[:2]
        for hour in range(7)
    ]
    whole = market([FLAT] * 14, {5: 1})
    moments = dict(zip([day(number) for number in range(14)], stamps, strict=True))
    frames = [
        frame.with_columns(
            pl.col("timestamp").replace_strict(moments, return_dtype=frame.schema["timestamp"])
        )
        for frame in (whole.bars, whole.signals)
    ]
    chosen = rules(WIDE, FREE, None, {**CLOSE, "vertical": "sessions"}, horizon=1)
    trade = only_trade(run(Market(*frames, whole.actions), chosen))
    assert (trade["entry_timestamp"], trade["exit_timestamp"]) == (stamps[6], stamps[8])


def test_where_closes_touch_the_first_is_that_of_the_bar_after():
    bars = [FLAT, BUSY, (101.0, 103.0, 80.0, 99.0), (97.0, 98.0, 96.0, 97.0)]
    trade = only_trade(simulate(market(bars, {0: 1}), labels={**CLOSE, "touch": "close"}))
    left = ("entry_price", "exit_timestamp", "exit_price", "exit_reason")
    assert [trade[name] for name in left] == [102.0, day(3), 97.0, "stop"]


def test_a_split_before_it_changes_its_shares():
    halved = (50.0, 50.5, 49.5, 51.0)
    split = [("AAA", DAYS[1], "split", 2.0)]
    bars = market([FLAT, halved, halved], {0: 1}, factors=[1.0, 2.0, 2.0], actions=split)
    trade = only_trade(at_close(bars))
    assert (trade["quantity"], trade["entry_price"]) == (1000.0, 51.0)


def test_a_bar_without_volume_gives_nothing_and_a_thin_one_a_part():
    halted = at_close(market([FLAT] * 3, {0: 1}, volumes=[1e6, 0.0, 1e6]))
    assert halted.orders.select("status", "reason").rows() == [("canceled", "no_volume")]
    (ended,) = halted.order_events.filter(pl.col("event") == "expired").rows(named=True)
    assert (ended["timestamp"], ended["known_at"]) == (day(1), closing(1))
    thin = at_close(market([FLAT] * 3, {0: 1}, volumes=[1e6, 300.0, 1e6]))
    assert only_trade(thin)["quantity"] == 300.0
    assert thin.orders["status"].to_list()[0] == "partially_filled"


def test_one_that_is_canceled_before_its_close_is_known_to_be_canceled_then():
    """By a split that leaves nothing of it, and since the position before could not be left."""
    halved = [("AAA", DAYS[1], "split", 0.001)]
    bars = [FLAT, *[(100_000.0, 101_000.0, 99_000.0, 100_000.0)] * 2]
    split = at_close(market(bars, {0: 1}, factors=[1.0, 0.001, 0.001], actions=halved))
    kept = at_close(
        market([FLAT] * 5, {0: 1, 1: 1, 2: -1, 3: -1}, volumes=[1e6, 1e6, 1e6, 100.0, 1e6]),
        exits="signal",
        risk={**WIDE, "max_position": 0.2},
    )
    for result, at in ((split, day(1)), (kept, day(3))):
        ended = result.order_events.filter(pl.col("event") == "canceled")
        (row,) = ended.filter(pl.col("order_id").str.ends_with("entry")).rows(named=True)
        assert (row["timestamp"], row["known_at"]) == (at, at)


def test_an_order_that_is_late_waits_for_the_next_close():
    flat = market([FLAT, BUSY, FLAT, FLAT], {0: 1})
    trade = only_trade(at_close(flat, luck={"latency_bars": 1}))
    assert (trade["entry_timestamp"], trade["entry_price"]) == (day(2), 100.0)


def test_a_reversal_leaves_at_the_open_and_enters_at_the_close_of_one_bar():
    bars = [FLAT, FLAT, FLAT, (100.0, 101.0, 99.0, 99.5), FLAT]
    whole = market(bars, {0: 1, 1: 1, 2: -1, 3: -1})
    found = at_close(whole, exits="signal", risk={**WIDE, "max_position": 0.2})
    sides = found.fills.select("timestamp", "side", "quantity", "price").rows()
    assert sides == [
        (day(1), "buy", 200.0, 100.0), (day(3), "sell", 200.0, 99.5), (day(3), "sell", 200.0, 100.0),
    ]  # fmt: skip
    thin = market(bars, {0: 1, 1: 1, 2: -1, 3: -1}, volumes=[1e6, 1e6, 1e6, 300.0, 1e6])
    shared = at_close(thin, exits="signal", risk={**WIDE, "max_position": 0.2})
    assert shared.fills["quantity"].to_list() == [200.0, 100.0, 200.0]


def test_a_signal_at_the_end_of_the_entry_bar_may_leave_what_has_just_begun():
    found = at_close(market([FLAT] * 4, {0: 1, 1: 0}), exits="signal")
    trade = only_trade(found)
    assert (trade["entry_timestamp"], trade["exit_timestamp"]) == (day(1), day(2))


def test_opens_of_a_bar_come_before_its_closes_whoever_is_first():
    """Ten shares may be bought of the bar; the strategy of the open takes them."""
    bars = market([FLAT] * 4, {0: 1}, volumes=[1e6, 10.0, 1e6, 1e6])
    costs = {**FREE, "impact_coefficient": 0.0}
    members = {
        name: Member(bars.signals, rules(WIDE, costs, bracket={"entry": entry}))
        for name, entry in (("first", "close"), ("second", "open"))
    }
    found = run_shared_backtest(
        members, bars.bars, bars.actions, ((DAYS[0], (0.5, 0.5)),), CALENDAR, "1Day"
    )
    assert found.fills.select("strategy", "quantity").rows() == [("second", 10.0)]
    missed = found.orders.filter(pl.col("strategy") == "first")
    assert missed["reason"].to_list() == ["max_participation"]


def test_a_state_keeps_what_waits_for_a_close_and_others_have_their_old_text():
    whole = market([FLAT, FLAT, FLAT], {0: 1})
    first, rest = (
        type(whole)(whole.bars.filter(here), whole.signals.filter(here), whole.actions)
        for here in (pl.col("timestamp") == day(0), pl.col("timestamp") > day(0))
    )
    for labels, shown in ((CLOSE, True), ({}, False)):
        saved = simulate(first, labels=labels).state.to_dict()
        assert ("at_close" in saved["exchange"]["orders"]) == shown
        assert TradingState.from_dict(saved).to_dict() == saved
    opened = TradingState.from_dict(simulate(first, labels=CLOSE).state.to_dict())
    goes_on = run_backtest(
        rest.bars,
        rest.signals,
        rest.actions,
        rules(WIDE, FREE, labels=CLOSE),
        CALENDAR,
        "1Day",
        opened,
    )
    assert goes_on.fills["timestamp"].to_list() == [day(1)]


def test_ids_of_entries_at_opens_are_what_they_were():
    assert "entry" not in LabelSettings().model_dump(mode="json")
    assert LabelSettings(entry="close").model_dump(mode="json")["entry"] == "close"


def test_over_quotes_it_is_refused():
    chosen = rules(labels=CLOSE, exits="signal")
    with pytest.raises(ConfigError, match=r'labels.entry = "close" is of bars'):
        run_quote_backtest(MarketMaker(), pl.DataFrame(), pl.DataFrame(), chosen, CALENDAR)
