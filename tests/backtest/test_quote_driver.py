"""A machine on quotes: its orders meet the tape and nothing beyond the machine's clock, its account
is that of its fills to the cent, and a mistake ends the run with a reason.
"""

import math
from dataclasses import replace
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from backtest.quote_cases import Busy
from backtest.random_markets import rules as trading_rules
from execution.engine_cases import CALENDAR, FREE, OPEN
from execution.tick_cases import quotes_of, random_tape, trades_of
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.backtest import quote_driver
from harmony_pipeline.backtest.quote_driver import run_quote_backtest
from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.execution.matching_engine import EngineSettings, MatchingEngine
from harmony_pipeline.strategies.events import (
    Enter,
    Fill,
    Leave,
    Post,
    Quote,
    SetTimer,
    Timer,
    Withdraw,
)
from harmony_pipeline.strategies.market_maker import MarketMaker

WIDE = {
    "max_position": 50.0, "max_gross_exposure": 50.0, "max_net_exposure": 50.0,
    "max_daily_loss": 1.0, "max_drawdown": 1.0, "minimum_order_value": 0.0,
}  # fmt: skip


def rules(risk=None, **costs):
    chosen = trading_rules({**WIDE, **(risk or {})}, {**FREE, "max_participation": 1.0, **costs})
    return replace(chosen, barriers=False)


def backtest(machine, quotes, trades, chosen=None, venue=None):
    return run_quote_backtest(machine, quotes, trades, chosen or rules(), CALENDAR, venue)


def at(seconds):
    return OPEN + timedelta(seconds=seconds)


class Script:
    """Returns what `said` has for the number of the quote, and writes down what it hears."""

    def __init__(self, said, on_fill=()):
        self.said, self.answer, self.heard = said, on_fill, []

    def required_features(self):
        return ()

    def on_bar(self, bar):
        return ()

    def on_quote(self, quote):
        number = sum(isinstance(one, Quote) for one in self.heard)
        self.heard.append(quote)
        answer = self.said.get(number, ())
        return answer(quote) if callable(answer) else answer

    def on_fill(self, fill):
        self.heard.append(fill)
        answer, self.answer = self.answer, ()  # to the first fill alone
        return answer

    def on_timer(self, timer):
        self.heard.append(timer)
        return (Post("AAA", 1, 99.0, 10.0),)

    @property
    def fills(self):
        return [one for one in self.heard if isinstance(one, Fill)]


class Dealer(Busy):
    """Posts, withdraws and leaves by the numbers of the quote and of its fills."""

    leaves_each = 3

    def on_quote(self, quote):
        self.heard.append(quote)
        if not quote.bid < quote.ask:
            return ()
        symbol, draw = quote.symbol, (round(quote.bid * 4) + self.seed + len(self.heard)) % 7
        if draw == 0:
            return (Withdraw(symbol, 1),)
        if draw == 1:
            return (Leave(symbol),)
        lots = 10.0 * (1 + draw)
        return (Post(symbol, 1, quote.bid, lots), Post(symbol, -1, quote.ask + 0.25, lots))


def two_symbols(seed):
    """Two random tapes, merged by time."""
    parts = [random_tape(np.random.default_rng([seed, number])) for number in (1, 2)]
    named = [
        (quotes.with_columns(symbol=pl.lit(name)), trades.with_columns(symbol=pl.lit(name)))
        for (quotes, trades), name in zip(parts, ("AAA", "BBB"), strict=True)
    ]
    return tuple(
        pl.concat([pair[place] for pair in named]).sort("symbol", "timestamp", maintain_order=True)
        for place in (0, 1)
    )


def random_venue(seed):
    own = np.random.default_rng([seed, 3])
    return EngineSettings(
        queue=str(own.choice(["none", "quoted", "pro_rata"])),
        latency=timedelta(milliseconds=int(own.choice([0, 700, 5000]))),
    )


# --- by hand -------------------------------------------------------------------------------------


def test_a_post_rests_is_filled_by_a_trade_that_goes_through_it_and_the_machine_hears_it_at_once():
    quotes = quotes_of((1, 100.0, 200, 100.5, 200), (5, 100.0, 200, 100.5, 200))
    trades = trades_of((3, 99.75, 500), (4, 100.3, 500), (6, 100.75, 500))
    machine = Script({0: (Post("AAA", 1, 100.0, 100.0),)}, (Post("AAA", -1, 100.25, 100.0),))
    chosen = rules(fee_per_share=0.003)
    result = backtest(machine, quotes, trades, chosen)
    bought, sold = machine.fills
    assert (bought.timestamp, bought.side, bought.quantity, bought.price) == (
        at(3),
        1,
        100.0,
        100.0,
    )
    assert [type(one) for one in machine.heard] == [Quote, Fill, Fill, Quote]
    assert (sold.timestamp, sold.price) == (at(4), 100.25)
    last = result.account.row(-1, named=True)
    assert last["cash"] == 100_000.0 + 25.0 - 0.6
    assert (last["fees"], last["equity"]) == (0.6, last["cash"])
    assert result.positions == {"AAA": 0.0}
    assert result.summary()["profit"] == 24.4
    assert result.fills["liquidity"].to_list() == ["maker", "maker"]
    assert result.account["position"].to_list() == [100.0, 0.0, None]


def test_a_new_post_takes_the_place_of_the_one_before_and_withdraw_ends_it():
    quotes = quotes_of(*((second, 100.0, 200, 100.5, 200) for second in (1, 2, 3, 4)))
    said = {
        0: (Post("AAA", 1, 99.0, 100.0), Post("AAA", -1, 101.0, 50.0)),
        1: (Post("AAA", 1, 99.5, 60.0),),
        2: (Withdraw("AAA", -1), Withdraw("AAA", -1)),
    }
    result = backtest(Script(said), quotes, trades_of((5, 98.0, 500)))
    ends = result.lifecycle.group_by("order_id", maintain_order=True).last()
    found = {row["order_id"]: row["to_status"] for row in ends.rows(named=True)}
    assert found == {
        "backtest-AAA-buy-1": "canceled",
        "backtest-AAA-sell-2": "canceled",
        "backtest-AAA-buy-3": "filled",
    }
    assert result.fills.select("order_id", "quantity", "price").rows() == [
        ("backtest-AAA-buy-3", 60.0, 99.5)
    ]


def test_leave_withdraws_both_sides_and_sells_what_is_held_at_the_bid():
    quotes = quotes_of(
        (1, 100.0, 50, 100.5, 50), (4, 100.0, 70, 100.5, 50), (6, 99.75, 90, 100.5, 9)
    )
    said = {0: (Post("AAA", 1, 100.0, 100.0), Post("AAA", -1, 102.0, 10.0)), 1: (Leave("AAA"),)}
    machine = Script(said)
    result = backtest(machine, quotes, trades_of((2, 99.0, 500)))
    assert [(one.side, one.quantity, one.price) for one in machine.fills] == [
        (1, 100.0, 100.0),
        (-1, 70.0, 100.0),  # all that was bid
        (-1, 30.0, 99.75),  # of the next quote
    ]
    assert result.positions == {"AAA": 0.0}
    assert result.fills["liquidity"].to_list() == ["maker", "taker", "taker"]


def test_a_post_that_would_trade_on_arrival_is_rejected_by_the_venue():
    """With a latency the market has moved: what was a bid is now above the offer."""
    quotes = quotes_of((1, 100.0, 50, 100.5, 50), (2, 99.0, 50, 99.5, 50), (9, 99.0, 50, 99.5, 50))
    venue = EngineSettings(latency=timedelta(seconds=3))
    result = backtest(Script({0: (Post("AAA", 1, 100.0, 10.0),)}), quotes, trades_of(), venue=venue)
    last = result.lifecycle.row(-1, named=True)
    assert (last["event"], last["reason"], last["timestamp"]) == ("rejected", "post_only", at(4))
    assert result.fills.is_empty()


def test_a_timer_comes_at_its_own_moment_before_the_ticks_of_that_moment():
    quotes = quotes_of(
        (1, 100.0, 50, 100.5, 50), (4, 100.0, 50, 100.5, 50), (6, 100.0, 9, 100.5, 9)
    )
    for seconds, before in ((2.5, 2), (4.0, 2), (3.0, 2)):
        machine = Script({0: (SetTimer(at(seconds), "now"),)})
        result = backtest(machine, quotes, trades_of((2, 100.25, 10), (3, 98.0, 500)))
        events = [type(one) for one in machine.heard]
        assert events.index(Timer) == before - 1 + (1 if len(machine.fills) == 9 else 0)
        assert result.lifecycle["timestamp"][0] == at(seconds)
        # an order of 2.5 s is filled by the trade of 3 s, one of 3 s and later is not
        assert len(machine.fills) == (1 if seconds < 3.0 else 0)


# --- properties ----------------------------------------------------------------------------------


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000))
def test_the_account_is_the_sum_of_its_fills_to_the_cent(seed):
    quotes, trades = two_symbols(seed)
    machine = Dealer(seed)
    chosen = rules(fee_per_share=0.0035, sell_fee_bps=0.3)
    result = backtest(machine, quotes, trades, chosen, random_venue(seed))
    cash, held = Decimal(100_000), {"AAA": 0.0, "BBB": 0.0}
    for row in result.fills.iter_rows(named=True):
        sign = 1 if row["side"] == "buy" else -1
        cash -= sign * Decimal(str(row["price"])) * Decimal(str(row["quantity"]))
        cash -= Decimal(str(row["fee"]))
        held[row["symbol"]] += sign * row["quantity"]
    last = result.account.row(-1, named=True)
    assert Decimal(str(last["cash"])) == cash
    assert result.positions == held
    assert result.account.height == result.fills.height + 1
    value = Decimal(0)
    for symbol, shares in held.items():
        if shares:
            sided = quotes.filter(
                (pl.col("symbol") == symbol)
                & (pl.col("bid") > 0)
                & (pl.col("bid") <= pl.col("ask"))
            )
            middle = Decimal(str(sided["bid"][-1])) / 2 + Decimal(str(sided["ask"][-1])) / 2
            value += middle * Decimal(str(shares))
    assert abs(Decimal(str(last["equity"])) - cash - value) < Decimal("0.0002")
    heard = [one for one in machine.heard if isinstance(one, Fill)]
    found = result.fills.with_columns(
        side=pl.when(pl.col("side") == "buy").then(1).otherwise(-1)
    ).select("symbol", "timestamp", "side", "quantity", "price", "fee")
    assert sorted(
        (one.symbol, one.timestamp, one.side, one.quantity, one.price, one.fee) for one in heard
    ) == sorted(found.rows())


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000))
def test_everything_is_heard_in_order_of_time_and_every_quote_once(seed):
    quotes, trades = two_symbols(seed)
    machine = Dealer(seed)
    backtest(machine, quotes, trades, None, random_venue(seed))
    stamps = [one.timestamp for one in machine.heard]
    assert stamps == sorted(stamps)
    heard = [(one.timestamp, one.symbol) for one in machine.heard if isinstance(one, Quote)]
    assert heard == sorted(quotes.select("timestamp", "symbol").rows())
    for one, following in pairwise(machine.heard):
        if one.timestamp == following.timestamp and isinstance(one, Quote):
            assert not isinstance(following, Timer), "timers come before the ticks of their moment"


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000), st.integers(10, 100))
def test_the_future_of_the_tape_moves_nothing_that_the_machine_has_heard(seed, count):
    quotes, trades = two_symbols(seed)
    moment = pl.concat([quotes["timestamp"], trades["timestamp"]]).sort()[count]
    past = pl.col("timestamp") < moment
    whole, cut = Dealer(seed), Dealer(seed)
    venue = random_venue(seed)
    backtest(whole, quotes, trades, None, venue)
    backtest(cut, quotes.filter(past), trades.filter(past), None, venue)
    # as text, since a price of NaN is unlike itself
    assert [*map(repr, whole.heard[: len(cut.heard)])] == [*map(repr, cut.heard)]
    later = whole.heard[len(cut.heard) :]
    assert not [one for one in later if isinstance(one, Quote) and one.timestamp < moment]


@settings(max_examples=6, deadline=None)
@given(st.integers(0, 10_000))
def test_its_orders_handed_over_ahead_of_their_time_have_the_same_lives(seed):
    """Stops of the engine at each fill change nothing: all orders and cancels at once, one call."""
    quotes, trades = two_symbols(seed)
    told = []

    class Recording(MatchingEngine):
        def submit(self, *tickets):
            answer = super().submit(*tickets)
            told.extend(("submit", one) for one in tickets if answer[one.order_id] is None)
            return answer

        def cancel(self, order_id, at):
            answer = super().cancel(order_id, at)
            if answer is None:
                told.append(("cancel", (order_id, at)))
            return answer

    venue = replace(random_venue(seed), latency=timedelta(milliseconds=700))
    chosen = rules()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quote_driver, "MatchingEngine", Recording)
        result = backtest(Dealer(seed), quotes, trades, chosen, venue)
    symbols = ["AAA", "BBB"]
    engine = MatchingEngine(symbols, chosen.records(symbols), CALENDAR, venue)
    for kind, what in told:
        if kind == "submit":
            assert engine.submit(what) == {what.order_id: None}
    for kind, what in told:
        if kind == "cancel":
            assert engine.cancel(*what) is None
    engine.run_ticks(quotes, trades)
    engine.advance(pl.concat([quotes["timestamp"], trades["timestamp"]]).max())
    assert result.lifecycle.height > 30
    assert sorted_rows(result.lifecycle) == sorted_rows(engine.lifecycle())


def sorted_rows(lifecycle):
    """Without what only tells whether a request came before or after a fill of its moment."""
    rows = lifecycle.filter(pl.col("event") != "cancel_requested")
    return sorted(map(repr, rows.drop("sequence", "from_status", "to_status").rows()))


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 30))
def test_batches_of_ticks_change_nothing(seed, size):
    quotes, trades = two_symbols(seed)
    whole = backtest(Dealer(seed), quotes, trades)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quote_driver, "BATCH", size)
        pieces = backtest(Dealer(seed), quotes, trades)
    assert pieces.lifecycle.equals(whole.lifecycle)
    assert pieces.account.equals(whole.account)


# --- limits --------------------------------------------------------------------------------------


@settings(max_examples=5, deadline=None)
@given(st.integers(0, 10_000))
def test_limits_hold_whatever_the_machine_posts(seed):
    quotes, trades = two_symbols(seed)
    chosen = rules({"allow_short": False, "max_position": 0.05, "cash_buffer": 0.93})
    result = backtest(Dealer(seed), quotes, trades, chosen)
    held = result.account["position"].drop_nulls()
    assert held.len() == 0 or held.min() >= 0.0
    left = result.account["cash"] - 0.93 * result.account["equity"]
    assert left.min() >= -100.0  # prices move between the order and its fill
    limited = result.orders.filter(pl.col("verdict").is_in(["refuse", "resize"]))
    assert {*limited["risk_limit"]} <= {"allow_short", "max_position", "cash_buffer"}
    assert "allow_short" in limited["risk_limit"]
    asked = limited["wanted_quantity"].fill_null(1e9)
    assert (limited["quantity"] < asked).all()


@pytest.mark.parametrize(
    ("risk", "reason"),
    [
        ({"max_position": 0.09}, "max_position"),
        ({"max_gross_exposure": 0.09}, "max_gross_exposure"),
        ({"cash_buffer": 0.95}, "cash_buffer"),
    ],
)
def test_a_post_beyond_a_limit_is_refused_or_made_smaller_with_its_name(risk, reason):
    quotes = quotes_of((1, 100.0, 50, 100.5, 50), (2, 100.0, 50, 100.5, 50))
    said = {0: (Post("AAA", 1, 99.0, 100.0),), 1: (Post("AAA", 1, 99.0, 10.0),)}
    refusing = rules(risk | {"over_limit": "refuse"})
    result = backtest(Script(said), quotes, trades_of((3, 98.0, 500)), refusing)
    assert result.lifecycle.filter(pl.col("event") == "refused")["reason"].to_list() == [reason]
    assert result.summary()["refused_orders"] == 1
    assert result.fills["quantity"].to_list() == [10.0]
    only = {0: said[0]}
    result = backtest(Script(only), quotes, trades_of((3, 98.0, 500)), rules(risk))
    (order,) = result.orders.iter_rows(named=True)
    most = math.floor(100_000.0 * (risk.get("cash_buffer", 0.91) - 1.0) / -99.0)
    assert result.fills["quantity"].to_list() == [most] == [order["quantity"]]
    assert order["verdict"] == "resize" and order["risk_limit"] == reason
    assert order["wanted_quantity"] == 100.0


def test_a_drawdown_leaves_everything_and_nothing_is_added_any_more():
    quotes = quotes_of(
        (1, 100.0, 500, 100.5, 500), (4, 60.0, 500, 60.5, 500), (5, 60.0, 500, 60.5, 500),
        (6, 60.0, 500, 60.5, 500),
    )  # fmt: skip
    said = {0: (Post("AAA", 1, 100.0, 500.0),), 3: (Post("AAA", 1, 59.0, 10.0),)}
    machine = Script(said)
    chosen = rules({"max_drawdown": 0.1})
    result = backtest(machine, quotes, trades_of((2, 99.0, 900)), chosen)
    assert [(one.side, one.quantity, one.price) for one in machine.fills] == [
        (1, 500.0, 100.0),
        (-1, 500.0, 60.0),
    ]
    assert result.lifecycle.filter(pl.col("event") == "refused")["reason"].to_list() == [
        "max_drawdown"
    ]
    daily = rules({"max_daily_loss": 0.1})
    result = backtest(Script(said), quotes, trades_of((2, 99.0, 900)), daily)
    assert result.positions == {"AAA": 500.0}
    assert result.lifecycle.filter(pl.col("event") == "refused")["reason"].to_list() == [
        "max_daily_loss"
    ]


# --- bad input -----------------------------------------------------------------------------------


def raises(quote):
    raise ZeroDivisionError("no variance yet")


BAD = {
    "raises": (raises, "it raised ZeroDivisionError: no variance yet"),
    "price of NaN": ((Post("AAA", 1, float("nan"), 1.0),), "price nan and quantity 1.0 of Post"),
    "limit of zero": ((Post("AAA", 1, 0.0, 1.0),), "price 0.0 and quantity 1.0 of Post"),
    "quantity below zero": ((Post("AAA", 1, 99.0, -1.0),), "price 99.0 and quantity -1.0 of Post"),
    "side of 2": ((Post("AAA", 2, 99.0, 1.0),), "side 2 of Post: it is -1 or 1"),
    "withdraw of side 0": ((Withdraw("AAA", 0),), "side 0 of Withdraw: it is -1 or 1"),
    "unknown symbol": ((Post("QQQ", 1, 99.0, 1.0),), "Post of 'QQQ': it was given no data"),
    "strength of NaN": ((Enter("AAA", 1, float("nan")),), "strength nan of Enter"),
    "no sequence": (None, "it returned NoneType"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_machine_that_errs_in_the_middle_of_a_day_ends_the_run_with_its_symbol_and_time(name):
    answer, message = BAD[name]
    quotes = quotes_of(*((second, 100.0, 50, 100.5, 50) for second in (1, 2, 3)))
    with pytest.raises(
        DataError, match=rf"^strategy Script, AAA at 2024-07-01 13:30:02.*: {message}"
    ):
        backtest(Script({0: (Post("AAA", 1, 99.0, 1.0),), 1: answer}), quotes, trades_of())


def test_an_order_that_the_venue_refuses_stands_in_the_lifecycle_and_the_run_goes_on():
    quotes = quotes_of(*((second, 100.0, 50, 100.5, 50) for second in (1, 2, 3)))
    said = {0: (Post("AAA", 1, 99.001, 1.0), Post("AAA", -1, 101.0, 1.5))}
    machine = Script(said)
    result = backtest(machine, quotes, trades_of((4, 98.0, 500)))
    refused = result.lifecycle.filter(pl.col("event") == "refused")["reason"].to_list()
    assert refused == ["tick_size", "lot_size"]
    assert len(machine.heard) == 3 and result.fills.is_empty()
    assert result.summary()["final_equity"] == 100_000.0


@pytest.mark.parametrize(("halted", "event"), [("hold", "filled"), ("refuse", "rejected")])
def test_an_order_of_a_halted_symbol_waits_or_is_rejected(halted, event):
    quotes = quotes_of(*((second, 100.0, 50, 100.5, 50) for second in (1, 2, 3, 9)))
    trades = trades_of((4, 98.0, 500), (10, 98.0, 500))
    stops = pl.col("timestamp").is_between(at(2), at(8))
    machine = Script({1: (Post("AAA", 1, 99.0, 10.0),)})
    result = backtest(
        machine, quotes.with_columns(halted=stops), trades.with_columns(halted=stops),
        venue=EngineSettings(halted=halted),
    )  # fmt: skip
    last = result.lifecycle.row(-1, named=True)
    assert last["event"] == event
    assert last["reason"] == (None if event == "filled" else "halted")
    assert [one.timestamp for one in machine.fills] == ([at(10)] if event == "filled" else [])


def test_rules_without_cash_a_machine_of_bars_and_unsorted_ticks_are_refused():
    quotes = quotes_of((1, 100.0, 50, 100.5, 50), (2, 100.0, 50, 100.5, 50))
    with pytest.raises(ConfigError, match=r"backtest\.initial_cash = -1\.0: it is above 0"):
        backtest(Script({}), quotes, trades_of(), replace(rules(), initial_cash=-1.0))

    class OfBars:
        required_features = tuple

        def on_bar(self, bar):
            return ()

    with pytest.raises(ConfigError, match="strategy OfBars has no on_quote: run it over bars"):
        backtest(OfBars(), quotes, trades_of())
    with pytest.raises(DataError, match=r"quotes are not in order of time"):
        backtest(Script({}), quotes.reverse(), trades_of())


def test_no_ticks_give_empty_tables():
    result = backtest(Script({}), quotes_of(), trades_of())
    assert result.lifecycle.is_empty() and result.fills.is_empty() and result.account.is_empty()
    assert result.summary()["final_equity"] == 100_000.0


# --- the shipped market maker --------------------------------------------------------------------


def late_tape(seed, minutes=30):
    """Quotes each second from 15:35 New York on, on a walk of cents, and trades around them."""
    own = np.random.default_rng(seed)
    begin, middle, quotes, trades = 365 * 60, 100.0, [], []
    for second in range(begin, begin + 60 * minutes):
        middle = round(middle + 0.01 * int(own.integers(-2, 3)), 2)
        quotes.append((second, round(middle - 0.01, 2), 300.0, round(middle + 0.01, 2), 300.0))
        if own.random() < 0.7:
            price = round(middle + 0.01 * int(own.integers(-6, 7)), 2)
            trades.append((second + 0.5, price, float(own.integers(1, 9) * 50)))
    return quotes_of(*quotes), trades_of(*trades)


def check_maker(result, maker, limit):
    """Its own count of the inventory is the venue's, within its limit; it only makes liquidity but
    for the order that leaves at the end.
    """
    for symbol, shares in result.positions.items():
        assert maker.inventory(symbol) == shares
    assert result.summary()["largest_position"] <= limit
    takers = result.fills.filter(pl.col("liquidity") == "taker")
    makers = result.fills.filter(pl.col("liquidity") == "maker")
    posts = makers["order_id"].unique()
    assert not takers["order_id"].is_in(posts.implode()).any()
    assert result.summary()["refused_orders"] == 0


def test_the_market_maker_keeps_its_limit_and_is_flat_after_its_end():
    maker = MarketMaker(risk_aversion=0.02, maximum_inventory=300.0, variance_quotes=20)
    quotes, trades = late_tape(4)
    result = backtest(maker, quotes, trades, rules(fee_per_share=0.002))
    check_maker(result, maker, 300.0)
    assert result.summary()["maker_fills"] > 50
    assert result.positions == {"AAA": 0.0}
    ended = OPEN + timedelta(hours=6, minutes=20)  # 15:50 in New York
    late = result.fills.filter(pl.col("timestamp") > ended)
    assert (late["liquidity"] == "taker").all()
    ends = result.lifecycle.group_by("order_id").last()["to_status"].unique().to_list()
    assert {*ends} <= {"filled", "canceled", "rejected"}, "nothing rests"


def test_the_market_maker_on_real_quotes_and_trades(market_data):
    """IBM on 2013-10-08, from before the open to 9:40 New York."""
    ticks = market_data / "us_equity_ticks"
    first = pl.datetime(2013, 10, 8, 13, 40, time_zone="UTC")
    quotes, trades = (
        pl.read_parquet(ticks / f"{kind}_IBM_2013-10-08.parquet").filter(
            pl.col("timestamp") < first
        )
        for kind in ("quotes", "trades")
    )
    maker = MarketMaker(risk_aversion=0.01, intensity=50.0, maximum_inventory=300.0)
    result = run_quote_backtest(
        maker, quotes, trades, rules(fee_per_share=0.002), CALENDAR, codes="lean"
    )
    check_maker(result, maker, 300.0)
    assert result.summary()["maker_fills"] > 100
