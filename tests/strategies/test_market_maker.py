"""Market making as a pure machine on quotes: the formulas by hand, and rules that no sequence of
quotes and fills breaks.
"""

import math
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.strategies.events import Bar, Fill, Leave, Post, Quote, SetTimer, Withdraw
from harmony_pipeline.strategies.machines import MachineRun
from harmony_pipeline.strategies.market_maker import MarketMaker
from harmony_pipeline.strategies.registry import build_machine, build_strategy
from harmony_pipeline.strategies.settings import QUOTE_MACHINES, StrategySettings

OPEN = datetime(2024, 3, 4, 14, 30, tzinfo=UTC)  # 09:30 in New York
AT_ONCE = {"refresh_seconds": 0.0, "refresh_ticks": 0.0}  # follows every quote
RULE = MarketMaker(
    risk_aversion=0.1, intensity=40.0, variance_quotes=5, horizon_seconds=60.0, **AT_ONCE
)


def quote(seconds, bid=10.0, ask=10.04, symbol="A"):
    return Quote(symbol, OPEN + timedelta(seconds=seconds), bid, 500.0, ask, 500.0)


def test_the_prices_are_those_of_the_paper():
    # gamma 0.1, kappa 40, variance 0.0004 per second, tau 60: risk 0.0024
    # half spread 0.0012 + ln(1 + 0.1 / 40) / 0.1 = 0.0012 + 0.024969 = 0.026169
    half = 0.0012 + math.log(1.0025) / 0.1
    assert half == pytest.approx(0.0261688, abs=1e-6)
    assert RULE.prices(quote(0), 0.0, 0.0004, 60.0) == (9.99, 10.05)  # 9.9938, 10.0462, outwards
    # 200 shares are two orders: the middle moves down by 2 * 0.0024
    fine = RULE.model_copy(update={"tick": 1e-6})
    bid, ask = fine.prices(quote(0), 200.0, 0.0004, 60.0)
    assert bid == pytest.approx(10.02 - 0.0048 - half, abs=2e-6)
    assert ask == pytest.approx(10.02 - 0.0048 + half, abs=2e-6)


positive = st.floats(0.01, 500.0)


@settings(max_examples=150, deadline=None)
@given(
    positive, st.floats(0.01, 5.0), st.floats(-2000.0, 2000.0), st.floats(0.0, 1.0),
    st.floats(0.0, 3600.0), st.floats(1e-3, 5.0), st.floats(0.1, 1e9), st.sampled_from([0.01, 0.05, 0.0001]),
)  # fmt: skip
def test_quotes_never_cross_each_other_or_the_market_and_lean_against_the_inventory(
    bid, width, inventory, variance, tau, gamma, kappa, tick
):
    rule = MarketMaker(risk_aversion=gamma, intensity=kappa, tick=tick)
    market = quote(0, bid, bid + width)
    ours = rule.prices(market, inventory, variance, tau)
    assert ours[0] < ours[1]
    assert ours[0] < market.ask
    assert ours[1] > market.bid
    assert all(abs(price / tick - round(price / tick)) < 1e-6 for price in ours)
    flat = rule.prices(market, 0.0, variance, tau)
    longer = rule.prices(market, inventory + 100.0, variance, tau)
    assert longer[0] <= ours[0] and longer[1] <= ours[1], "more inventory lowers both"
    if inventory > 0:
        assert ours[0] <= flat[0] and ours[1] <= flat[1]
    if inventory < 0:
        assert ours[0] >= flat[0] and ours[1] >= flat[1]


def test_more_risk_aversion_or_variance_widens_the_quotes():
    wide = RULE.model_copy(update={"risk_aversion": 5.0})
    calm, wild = (RULE.prices(quote(0), 0.0, variance, 60.0) for variance in (0.0, 0.01))
    assert wild[0] < calm[0] and wild[1] > calm[1]
    bid, ask = wide.prices(quote(0), 0.0, 0.0004, 60.0)
    assert bid < calm[0] and ask > calm[1]


def warm(rule=RULE):
    run = MachineRun(MarketMaker(**rule.model_dump()), "maker")  # of its own memory
    intents = []
    for number in range(6):
        moved = 0.01 * (number % 2)
        intents += run.handle(quote(number, 10.0 + moved, 10.04 + moved))
    return run, intents


def test_it_waits_for_its_variance_and_then_posts_both_sides():
    _, intents = warm()
    assert [type(one) for one in intents] == [SetTimer, Post, Post]
    assert intents[0].at == datetime(2024, 3, 4, 20, 50, tzinfo=UTC)
    bid, ask = intents[1:]
    assert (bid.side, ask.side) == (1, -1)
    assert bid.quantity == ask.quantity == 100.0


def test_an_order_that_would_not_change_is_left_alone():
    calm = RULE.model_copy(update={"tick": 0.05})
    run, _ = warm(calm)
    assert run.handle(quote(6, 10.01, 10.05)) == []


def test_orders_rest_for_their_time_and_until_the_market_has_moved():
    """Both are then replaced, from one quote; a fill moves them at once."""
    rule = RULE.model_copy(
        update={"risk_aversion": 1e-6, "refresh_seconds": 4.0, "refresh_ticks": 2.0}
    )
    run, first = warm(rule)
    before = {one.side: one for one in first if isinstance(one, Post)}
    assert run.handle(quote(7, 10.5, 10.54)) == [], "too soon"
    assert run.handle(quote(9.5, 10.02, 10.06)) == [], "near to where it was"
    moved = run.handle(quote(10, 10.5, 10.54))
    assert [(type(one), one.side) for one in moved] == [(Post, 1), (Post, -1)]
    assert moved[0].price > before[-1].price
    now = OPEN + timedelta(seconds=10.1)
    leaned = run.handle(Fill("A", now, 1, 40.0, moved[0].price))
    assert [(type(one), one.side) for one in leaned] == [(Post, 1)]
    assert leaned[0].quantity == 100.0
    assert run.handle(quote(14, 10.9, 10.94)) == [], "its time begins anew with the fill"
    assert len(run.handle(quote(14.2, 10.9, 10.94))) == 2


def test_an_order_that_follows_every_quote_is_not_reached_where_one_that_rests_is():
    """The market swings by ten ticks, and every trade is at a quote that came before it."""
    fills = {}
    for name, update in (("at once", AT_ONCE), ("rests", {"refresh_seconds": 30.0})):
        rule = RULE.model_copy(update={"variance_quotes": 10, **update})
        run, resting, reached = MachineRun(MarketMaker(**rule.model_dump()), "maker"), {}, 0
        for number in range(400):
            middle = 10.0 + 0.05 * math.sin(number / 3.0)
            bid, ask = round(middle - 0.005, 2), round(middle + 0.015, 2)
            for one in run.handle(quote(number, bid, ask)):
                if isinstance(one, Post):
                    resting[one.side] = one
            at = OPEN + timedelta(seconds=number + 0.5)
            for side, price in ((1, bid), (-1, ask)):
                order = resting.get(side)
                if order is not None and side * (order.price - price) > 0.0:
                    del resting[side]
                    reached += 1
                    for one in run.handle(Fill("A", at, side, order.quantity, order.price)):
                        if isinstance(one, Post):
                            resting[one.side] = one
        fills[name] = reached
    assert fills["at once"] == 0
    assert fills["rests"] > 10


def test_a_purchase_lowers_both_quotes_and_the_limit_withdraws_the_bid():
    rule = RULE.model_copy(update={"risk_aversion": 3.0, "maximum_inventory": 150.0})
    run, first = warm(rule)
    before = {one.side: one for one in first if isinstance(one, Post)}
    now = OPEN + timedelta(seconds=5.5)
    after = {one.side: one for one in run.handle(Fill("A", now, 1, 100.0, before[1].price))}
    assert after[1].price < before[1].price
    assert after[-1].price < before[-1].price
    assert after[1].quantity == 50.0, "the room that is left"
    last = run.handle(Fill("A", now, 1, 50.0, after[1].price))
    assert not any(isinstance(one, Post) and one.side == 1 for one in last)
    assert run.machine.inventory("A") == 150.0


@pytest.mark.parametrize(
    ("bid", "ask"),
    [(10.04, 10.04), (10.05, 10.04), (0.0, 10.0), (10.0, math.inf), (math.nan, 10.0)],
)
def test_a_market_that_is_locked_crossed_or_empty_gets_no_quotes(bid, ask):
    run, _ = warm()
    assert [type(one) for one in run.handle(quote(7, bid, ask))] == [Withdraw, Withdraw]
    assert run.handle(quote(8, bid, ask)) == []
    assert [type(one) for one in run.handle(quote(9))] == [Post, Post], "and is quoted again"


def test_at_the_end_all_is_withdrawn_the_inventory_left_and_nothing_posted_until_tomorrow():
    run, first = warm()
    run.handle(Fill("A", OPEN + timedelta(seconds=5.5), -1, 30.0, first[-1].price))
    late = (datetime(2024, 3, 4, 20, 50, tzinfo=UTC) - OPEN).total_seconds()
    said = run.handle(quote(late + 1))
    assert [type(one) for one in said] == [Withdraw, Withdraw, Leave]
    assert run.handle(quote(late + 2, 11.0, 11.04)) == []
    tomorrow = [run.handle(quote(86_400 + number)) for number in range(6)]
    assert isinstance(tomorrow[0][0], SetTimer)
    assert [type(one) for one in tomorrow[-1]] == [Post, Post]


def test_bars_tell_it_nothing_and_symbols_do_not_mix():
    run, _ = warm()
    bar = Bar("A", OPEN, "regular", 10.0, 10.0, 10.0, 10.0, 1.0)
    assert run.machine.on_bar(bar) == ()
    run.handle(Fill("B", OPEN + timedelta(seconds=6), 1, 10.0, 5.0))
    assert (run.machine.inventory("A"), run.machine.inventory("B")) == (0.0, 10.0)


steps = st.lists(
    st.tuples(st.sampled_from(["quote", "buy", "sell"]), st.integers(-3, 3), st.integers(1, 6), st.floats(0.05, 1.0)),
    min_size=20, max_size=120,
)  # fmt: skip


@settings(max_examples=75, deadline=None)
@given(
    steps, st.floats(0.01, 5.0), st.sampled_from([100.0, 130.0, 500.0]), st.sampled_from([0.0, 3.5])
)
def test_no_sequence_of_quotes_and_fills_carries_the_inventory_beyond_its_limit(
    found, gamma, limit, seconds
):
    """A venue that fills only what rests: each fill is of a resting order, up to all of it."""
    rule = MarketMaker(
        risk_aversion=gamma, variance_quotes=3, maximum_inventory=limit, refresh_seconds=seconds
    )
    run, resting, middle, last = MachineRun(rule, "maker"), {}, 1000, None
    for number, (kind, move, width, share) in enumerate(found):
        at = OPEN + timedelta(seconds=number)
        if kind == "quote":
            middle += move
            last = Quote("A", at, middle / 100, 1.0, (middle + width) / 100, 1.0)
            intents = run.handle(last)
        else:
            side = 1 if kind == "buy" else -1
            if side not in resting:
                continue
            order = resting[side]
            filled = order.quantity * share
            left = order.quantity - filled
            if left > 0.0:
                resting[side] = Post("A", side, order.price, left)
            else:
                del resting[side]
            intents = run.handle(Fill("A", at, side, filled, order.price))
        for one in intents:
            if isinstance(one, Post):
                resting[one.side] = one
                assert one.price < last.ask if one.side > 0 else one.price > last.bid
            elif isinstance(one, Withdraw):
                resting.pop(one.side, None)
        assert abs(run.machine.inventory("A")) <= limit + 1e-6
        for side, order in resting.items():
            assert abs(run.machine.inventory("A") + side * order.quantity) <= limit + 1e-6
        if len(resting) == 2:
            assert resting[1].price < resting[-1].price


def test_on_real_quotes_it_keeps_its_rules_and_is_filled_only_where_a_trade_went_through(
    market_data,
):
    """IBM on 2013-10-08. A resting order is filled by a trade beyond its price, never at it."""
    quotes, trades = (
        pl.read_parquet(market_data / "us_equity_ticks" / f"{kind}_IBM_2013-10-08.parquet")
        for kind in ("quotes", "trades")
    )
    columns = ("timestamp", "bid", "bid_size", "ask", "ask_size")
    events = [(row[0], 0, Quote("IBM", *row)) for row in quotes.select(columns).iter_rows()]
    events += [(row[0], 1, row[1]) for row in trades.select("timestamp", "price").iter_rows()]
    rule = MarketMaker(risk_aversion=0.01, intensity=50.0, maximum_inventory=300.0, **AT_ONCE)
    run, resting, said, last = MachineRun(rule, "maker"), {}, [], None

    def obey(intents):
        for one in intents:
            said.append(type(one))
            if isinstance(one, Post):
                assert one.price < last.ask if one.side > 0 else one.price > last.bid
                resting[one.side] = one
            elif isinstance(one, Withdraw):
                resting.pop(one.side, None)
        if len(resting) == 2:
            assert resting[1].price < resting[-1].price

    fills = 0
    for at, kind, event in sorted(events, key=lambda one: one[:2]):
        if kind == 0:
            last = event
            obey(run.handle(event))
            continue
        for side in (1, -1):
            order = resting.get(side)
            if order is not None and side * (order.price - event) > 0.0:
                del resting[side]
                fills += 1
                obey(run.handle(Fill("IBM", at, side, order.quantity, order.price)))
                assert abs(run.machine.inventory("IBM")) <= 300.0
    assert fills > 500
    assert said.count(SetTimer) == 1
    assert not resting, "nothing rests after the end"


def test_it_needs_quotes_and_its_refusal_names_what_runs_it():
    chosen = StrategySettings(use=QUOTE_MACHINES[0], parameters={"quantity": 10.0})
    assert build_machine(chosen).quantity == 10.0
    with pytest.raises(ConfigError, match=r"acts on quotes, .*\.backtest_quotes\("):
        build_strategy(chosen)
    columns = StrategySettings(use="harmony_pipeline.strategies.rsi:RsiMomentum")
    with pytest.raises(ConfigError, match="is made of columns"):
        build_machine(columns)
