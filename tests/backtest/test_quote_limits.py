"""Every limit of the risk engine stands before the orders of a machine on quotes: it makes them
smaller, queues or refuses them with its name, and lets through what only reduces.
"""

from dataclasses import replace
from datetime import timedelta

import polars as pl
import pytest
from backtest.quote_cases import CALENDAR, Busy, rules, sessions_tape
from execution.engine_cases import OPEN
from execution.tick_cases import quotes_of, trades_of
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.backtest.quote_driver import run_quote_backtest
from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.execution.matching_engine import EngineSettings
from harmony_pipeline.market.instruments import Instruments
from harmony_pipeline.strategies.events import Enter, Leave, Post, Withdraw

DAY = 24 * 3600


class Script:
    """Says what stands for the number of its quote."""

    def __init__(self, said):
        self.said, self.count, self.fills = said, 0, []

    def required_features(self):
        return ()

    def on_bar(self, bar):
        return ()

    def on_quote(self, quote):
        self.count += 1
        return self.said.get(self.count - 1, ())

    def on_fill(self, fill):
        self.fills.append((fill.side, fill.quantity, fill.price))
        return ()


def steady(*seconds, bid=100.0, ask=100.5, size=10_000):
    return [(second, bid, size, ask, size) for second in seconds]


def trade(said, quotes, trades=(), risk=None, latency=0, more=(), **given):
    """Run a script over quotes of AAA, and those of other symbols."""
    frames = [quotes_of(*quotes)]
    frames += [quotes_of(*rows).with_columns(symbol=pl.lit(name)) for name, rows in more]
    machine = Script(said)
    result = run_quote_backtest(
        machine, pl.concat(frames).sort("symbol", "timestamp", maintain_order=True),
        trades_of(*trades), rules(risk, **given), CALENDAR,
        EngineSettings(latency=timedelta(seconds=latency)),
    )  # fmt: skip
    return machine, result


def answers(result):
    """(side, wanted, quantity, verdict, limit) of the judged orders, in order."""
    judged = result.orders.filter(pl.col("verdict").is_not_null()).sort(
        pl.col("order_id").str.split("-").list.last().cast(int)
    )
    return judged.select("side", "wanted_quantity", "quantity", "verdict", "risk_limit").rows()


BUY, SELL = Post("AAA", 1, 100.0, 100.0), Post("AAA", -1, 100.5, 100.0)
MARGIN = {"kind": "margin", "intraday_multiplier": 4.0}


@pytest.mark.parametrize(
    ("risk", "intent", "answer"),
    [
        ({}, BUY, ("buy", 100.0, 100.0, "approve", None)),
        ({"max_position": 0.05}, BUY, ("buy", 100.0, 50.0, "resize", "max_position")),
        ({"max_gross_exposure": 0.05}, BUY, ("buy", 100.0, 50.0, "resize", "max_gross_exposure")),
        ({"max_net_exposure": 0.05}, BUY, ("buy", 100.0, 50.0, "resize", "max_net_exposure")),
        ({"max_net_exposure": 0.05}, SELL, ("sell", 100.0, 49.0, "resize", "max_net_exposure")),
        ({"cash_buffer": 0.95}, BUY, ("buy", 100.0, 50.0, "resize", "cash_buffer")),
        ({"max_sector_exposure": 0.05}, BUY, ("buy", 100.0, 50.0, "resize", "max_sector_exposure")),
        ({"max_position": 0.05, "over_limit": "refuse"}, BUY, ("buy", 100.0, 0.0, "refuse", "max_position")),
        ({"minimum_order_value": 20_000.0}, BUY, ("buy", 100.0, 0.0, "refuse", "minimum_order_value")),
        ({"allow_short": False}, SELL, ("sell", 100.0, 0.0, "refuse", "allow_short")),
        ({"state": "reducing"}, BUY, ("buy", 100.0, 0.0, "halt", "kill_switch")),
        ({"state": "halted"}, SELL, ("sell", 100.0, 0.0, "halt", "kill_switch")),
        ({"price_collar": 0.01}, Post("AAA", 1, 90.0, 10.0), ("buy", 10.0, 0.0, "refuse", "price_collar")),
        ({"account": {"kind": "cash"}}, SELL, ("sell", 100.0, 0.0, "refuse", "cash_account")),
        ({"account": {"kind": "cash"}}, Post("AAA", 1, 100.0, 1000.0), ("buy", 1000.0, 961.0, "resize", "unsettled_cash")),
        ({"account": MARGIN | {"day_trading": "pattern"}}, Post("AAA", 1, 100.0, 3000.0), ("buy", 3000.0, 2000.0, "resize", "buying_power")),
        ({"account": MARGIN | {"day_trading": "intraday_margin"}}, Post("AAA", 1, 100.0, 5000.0), ("buy", 5000.0, 4000.0, "resize", "buying_power")),
        ({"sizing": "fixed_shares", "size_shares": 70.0}, Post("AAA", 1, 100.0), ("buy", 70.0, 70.0, "approve", None)),
        ({"sizing": "fixed_value", "size_value": 8_000.0, "max_position": 0.06}, Enter("AAA", 1), ("buy", 79.0, 59.0, "resize", "max_position")),
        ({"sizing": "volatility_target"}, Enter("AAA", -1), ("sell", None, 0.0, "refuse", "bad_input")),
    ],
)  # fmt: skip
def test_an_order_is_answered_as_the_limit_says(risk, intent, answer):
    _, result = trade({0: (intent,)}, steady(1, 2), risk=risk)
    assert answers(result) == [answer]
    events = result.order_events.filter(pl.col("event").is_in(["approved", "resized", "refused"]))
    assert events["reason"].to_list() == [answer[-1]]
    refused = result.lifecycle.filter(pl.col("event") == "refused")
    assert refused["reason"].to_list() == ([answer[-1]] if answer[2] == 0.0 else [])


def test_an_order_may_only_add_what_the_position_and_its_other_orders_leave():
    said = {
        1: (Post("AAA", 1, 100.0, 60.0),), 3: (Post("AAA", 1, 100.0, 60.0),),
        4: (Post("BBB", 1, 50.0, 300.0),), 5: (Post("AAA", -1, 100.5, 300.0),),
    }  # fmt: skip
    _, result = trade(
        said, steady(1, 2, 4, 6, 8), [(3, 99.0, 500)],
        {"max_position": 0.1, "max_gross_exposure": 0.15},
        more=[("BBB", [(0.5, 50.0, 100, 50.25, 100)])],
    )  # fmt: skip
    assert [row[2:] for row in answers(result)] == [
        (60.0, "approve", None),
        (39.0, "resize", "max_position"),  # 60 are held at 100.25
        (101.0, "resize", "max_gross_exposure"),  # beside 60 and 39 of AAA
        (159.0, "resize", "max_gross_exposure"),  # 60 of them close, and BBB rests
    ]


def test_what_only_reduces_is_never_judged_and_what_turns_is_cut_to_it():
    risk = {"max_daily_loss": 0.0005, "allow_short": False}
    quotes = [*steady(1), *steady(3, bid=99.0, ask=99.5), *steady(5, 7, bid=99.0, ask=99.5)]
    said = {
        0: (BUY,), 1: (BUY,),
        2: (Post("AAA", -1, 99.5, 30.0),), 3: (Post("AAA", -1, 99.5, 200.0),),
    }  # fmt: skip
    machine, result = trade(said, quotes, [(2, 99.0, 500), (6, 101.0, 900), (8, 101.0, 900)], risk)
    assert answers(result) == [
        ("buy", 100.0, 100.0, "approve", None), ("buy", 100.0, 0.0, "halt", "max_daily_loss"),
        ("sell", 30.0, 30.0, "approve", None), ("sell", 200.0, 70.0, "resize", "max_daily_loss"),
    ]  # fmt: skip
    assert machine.fills == [(1, 100.0, 100.0), (-1, 30.0, 99.5), (-1, 70.0, 99.5)]
    assert result.positions == {"AAA": 0.0}


def test_a_breaker_cancels_the_orders_that_could_add_and_leaves_those_that_reduce():
    quotes = [*steady(1), *steady(3, bid=95.0, ask=95.5), *steady(5, bid=95.0, ask=95.5)]
    said = {0: (Post("BBB", 1, 40.0, 10.0),), 1: (BUY,), 2: (Post("AAA", -1, 104.0, 50.0),)}
    _, result = trade(
        said, quotes, [(2, 99.0, 500)], {"max_daily_loss": 0.004},
        more=[("BBB", [(0.5, 41.0, 100, 41.25, 100)])],
    )  # fmt: skip
    ends = dict(result.orders.select(pl.col("order_id").str.slice(9), "status").rows())
    assert ends == {"BBB-buy-1": "canceled", "AAA-buy-2": "filled", "AAA-sell-3": "open"}
    canceled = result.lifecycle.filter(pl.col("event") == "canceled")["timestamp"].to_list()
    assert canceled == [OPEN + timedelta(seconds=3)]


def test_a_weekly_loss_holds_to_the_next_week_and_a_daily_one_to_the_next_day():
    friday = 4 * DAY
    quotes = [
        *steady(friday + 1), *steady(friday + 3, bid=90.0, ask=90.5),
        *steady(3 * DAY + friday + 1, bid=90.0, ask=90.5), *steady(3 * DAY + friday + 9, bid=90.0, ask=90.5),
    ]  # fmt: skip
    bought = [(friday + 2, 99.0, 500)]
    low = Post("AAA", 1, 90.0, 10.0)
    said = {0: (BUY,), 1: (low,), 2: (low,)}
    _, result = trade(said, quotes, bought, {"max_weekly_loss": 0.005})
    assert [row[3:] for row in answers(result)] == [
        ("approve", None), ("halt", "max_weekly_loss"), ("approve", None),
    ]  # fmt: skip
    tuesday = [*steady(1), *steady(3, bid=90.0, ask=90.5), *steady(DAY + 1, bid=90.0, ask=90.5)]
    for risk, later in (
        ({"max_weekly_loss": 0.005}, "halt"),
        ({"max_daily_loss": 0.005}, "approve"),
    ):
        _, result = trade(said, tuesday, [(2, 99.0, 500)], risk)
        assert [row[3] for row in answers(result)] == ["approve", "halt", later]


def test_a_drawdown_breaker_closes_all_and_is_armed_again_after_its_rest():
    quotes = [*steady(1), *steady(3, bid=80.0, ask=80.5)]
    quotes += [row for day in (1, 2, 3) for row in steady(day * DAY + 1, day * DAY + 5, bid=80.0, ask=80.5)][:4]  # fmt: skip
    said = {0: (BUY,), **{number: (Post("AAA", 1, 80.0, 10.0),) for number in (1, 2, 3, 4, 5)}}
    risk = {"max_drawdown": 0.01, "drawdown_cooldown_sessions": 1}
    machine, result = trade(said, quotes, [(2, 99.0, 500)], risk)
    assert machine.fills[:2] == [(1, 100.0, 100.0), (-1, 100.0, 80.0)]
    assert [row[3] for row in answers(result)] == ["approve", "halt", "halt", "halt", "approve", "approve"]  # fmt: skip
    closing = result.orders.filter(pl.col("verdict").is_null())
    assert closing.select("reason", "parent_id", "kind").rows() == [
        ("drawdown_breaker", "backtest-AAA-buy-1", "market")
    ]
    assert result.trades["exit_reason"].to_list() == ["drawdown_breaker"]


def test_pauses_after_losses_and_repeated_intents():
    quotes = [*steady(1), *steady(3, bid=99.0, ask=99.5), *steady(4, 40, 200, bid=99.0, ask=99.5)]
    said = {
        0: (BUY,),
        1: (Leave("AAA"),),
        **dict.fromkeys((2, 3, 4), (Post("AAA", 1, 99.0, 10.0),)),
    }
    for risk, reason in (
        ({"symbol_cooldown_minutes": 2.0}, "symbol_cooldown"),
        ({"max_consecutive_losses": 1, "consecutive_loss_cooldown_minutes": 2.0}, "consecutive_losses"),
        ({"duplicate_window_minutes": 3.0}, "duplicate_intent"),
    ):  # fmt: skip
        _, result = trade(said, quotes, [(2, 99.0, 500)], risk)
        assert [row[3:] for row in answers(result)] == [
            ("approve", None), ("refuse", reason), ("refuse", reason), ("approve", None),
        ]  # fmt: skip


def test_old_prices_of_what_is_held_stop_entries_and_cancel_those_that_wait():
    said = {0: (BUY,), 2: (Post("BBB", 1, 50.0, 10.0),), 3: (Post("BBB", 1, 49.0, 10.0),)}
    more = [("BBB", [(second, 50.0, 100, 50.25, 100) for second in (2.5, 100, 200)])]
    _, result = trade(
        {**said, 1: (Post("BBB", 1, 49.5, 10.0),)}, steady(1), [(2, 99.0, 500)],
        {"stale_after_minutes": 1.0}, more=more,
    )  # fmt: skip
    assert [row[3:] for row in answers(result)] == [
        ("approve", None), ("approve", None), ("halt", "stale_data"), ("halt", "stale_data"),
    ]  # fmt: skip
    assert result.orders.filter(pl.col("status") == "canceled")["limit_price"].to_list() == [49.5]


def test_an_order_over_the_rate_leaves_later_or_not_at_all():
    said = {0: (BUY,), 1: (Post("AAA", 1, 99.5, 10.0),), 2: (Withdraw("AAA", 1),), 3: (SELL,)}
    quotes = steady(1, 5, 30, 50, 200)
    risk = {"max_orders_per_minute": 1}
    _, result = trade({0: (BUY,), 1: (SELL,)}, quotes, [(20, 101.0, 900), (70, 101.0, 900)], risk)
    assert [row[3] for row in answers(result)] == ["approve", "queue"]
    (fill,) = result.fills.rows(named=True)  # not by the trade of 20 s
    assert fill["timestamp"] == OPEN + timedelta(seconds=70)
    sent = result.order_events.filter(pl.col("order_id").str.ends_with("2"))
    assert sent.select("event", pl.col("timestamp") - OPEN).rows()[:4] == [
        ("intent", timedelta(seconds=5)), ("queued", timedelta(seconds=5)),
        ("submitted", timedelta(seconds=61)), ("accepted", timedelta(seconds=61)),
    ]  # fmt: skip
    _, result = trade(said, quotes, [(100, 90.0, 900)], risk)
    assert result.fills.is_empty()  # withdrawn before it left
    _, result = trade(said, quotes, (), risk | {"over_rate": "refuse"})
    assert [row[4] for row in answers(result)] == [None, "order_rate", "order_rate"]


def test_day_trades_are_counted_and_the_fourth_is_not_begun():
    quotes = [one for number in range(6) for one in steady(10 * number + 1, 10 * number + 5)]
    said = {2 * number: (BUY,) for number in range(6)} | {2 * number + 1: (Leave("AAA"),) for number in range(6)}  # fmt: skip
    trades = [(10 * number + 3, 99.0, 500) for number in range(6)]
    account = {"kind": "margin", "day_trading": "pattern", "day_trader_equity": 200_000.0}
    _, result = trade(said, quotes, trades, {"account": account})
    assert [row[3:] for row in answers(result)] == [
        *[("approve", None)] * 3, *[("refuse", "pattern_day_trading")] * 3,
    ]  # fmt: skip
    assert result.trades.height == 3


def test_proceeds_settle_before_they_buy_again():
    quotes = [*steady(1, 4, 6), *steady(DAY + 1)]
    again = Post("AAA", 1, 100.0, 900.0)
    said = {0: (again,), 1: (Leave("AAA"),), 2: (again,), 3: (again,)}
    _, result = trade(said, quotes, [(2, 99.0, 5_000)], {"account": {"kind": "cash"}})
    first, second, third = answers(result)
    assert first[2:] == third[2:] == (900.0, "approve", None)
    assert second[2] == 96.0 and second[4] == "unsettled_cash"  # of 10,000 that were never spent


def test_a_symbol_that_cannot_be_borrowed_is_not_sold_short():
    terms = Instruments.of([replace(rules().instruments.at("AAA"), symbol="AAA", shortable=False)])
    chosen = replace(rules(), instruments=terms)
    machine = Script({0: (SELL,)})
    result = run_quote_backtest(machine, quotes_of(*steady(1)), trades_of(), chosen, CALENDAR)
    assert answers(result)[0][3:] == ("refuse", "shortable")


@settings(max_examples=12, deadline=None)
@given(
    st.integers(0, 10_000), st.sampled_from([0, 700, 5000]), st.sampled_from([0.05, 0.2]),
    st.sampled_from([0.08, 0.3]), st.booleans(),
)  # fmt: skip
def test_no_sequence_of_intents_leads_beyond_a_limit(seed, latency, position, gross, short):
    quotes, trades = sessions_tape(seed)
    known = pl.DataFrame({"symbol": ["AAA", "BBB"], "known_at": [quotes["timestamp"].min()] * 2, "volatility": [0.004] * 2})  # fmt: skip
    risk = {"max_position": position, "max_gross_exposure": gross, "allow_short": short}
    result = run_quote_backtest(
        Busy(seed), quotes, trades, rules(risk), CALENDAR,
        EngineSettings(latency=timedelta(milliseconds=latency)), volatilities=known,
    )  # fmt: skip
    held = {"AAA": 0.0, "BBB": 0.0}
    for row in result.account.iter_rows(named=True):
        if row["symbol"] is None:
            continue
        held[row["symbol"]] = row["position"]
        assert short or row["position"] >= 0.0
        room = 1.15 * row["equity"]  # prices move between a decision and its fill
        assert abs(held[row["symbol"]]) * 90.0 <= position * room
        assert sum(abs(shares) for shares in held.values()) * 90.0 <= gross * room
    assert result.account["equity"].is_finite().all() and result.fills.height > 3
    assert {*result.orders["risk_limit"].drop_nulls()} <= {"max_position", "max_gross_exposure", "allow_short", "lot_size", "bad_input", "duplicate_intent"}  # fmt: skip


def test_exits_by_barriers_and_sizes_without_a_volatility_are_refused_in_words():
    barriers = replace(rules(), barriers=True)
    with pytest.raises(ConfigError, match=r'strategy Script: exits = "barriers" are counted'):
        run_quote_backtest(Script({}), quotes_of(*steady(1)), trades_of(), barriers, CALENDAR)
    with pytest.raises(DataError, match="the volatilities lack known_at"):
        run_quote_backtest(
            Script({}), quotes_of(*steady(1)), trades_of(), rules(), CALENDAR,
            volatilities=pl.DataFrame({"symbol": ["AAA"], "volatility": [0.1]}),
        )  # fmt: skip
