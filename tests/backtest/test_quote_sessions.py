"""What a session begins with changes positions, cash and the orders at rest of a machine on quotes
before its first tick: splits, dividends, ends of listings, changes of symbol, margin calls.
"""

from datetime import date, timedelta

import polars as pl
import pytest
from backtest.quote_cases import CALENDAR, actions_of, rules
from execution.engine_cases import OPEN
from execution.tick_cases import quotes_of, trades_of

from harmony_pipeline.backtest.quote_driver import run_quote_backtest
from harmony_pipeline.market.lives import LIFE_EVENTS
from harmony_pipeline.strategies.events import Adjusted, Enter, Fill, Leave, Post, Quote

DAY = 24 * 3600
LATE = 7 * 3600  # after the close, from which a day order goes over the night
TUESDAY = date(2024, 7, 2)


class Script:
    """Says what stands for the number of its quote, and keeps what it hears."""

    def __init__(self, said):
        self.said, self.heard = said, []

    def required_features(self):
        return ()

    def on_bar(self, bar):
        return ()

    def on_quote(self, quote):
        number = len(self.of(Quote))
        self.heard.append(quote)
        return self.said.get(number, ())

    def on_fill(self, fill):
        self.heard.append(fill)
        return ()

    def on_adjusted(self, adjusted):
        self.heard.append(adjusted)
        return ()

    def of(self, kind):
        return [one for one in self.heard if isinstance(one, kind)]


def row(second, bid, ask, size=10_000):
    return (second, bid, size, ask, size)


def lives_of(*rows):
    return pl.DataFrame(list(rows), schema=LIFE_EVENTS, orient="row")


def trade(said, quotes, trades=(), actions=(), lives=None, chosen=None, other=()):
    frame = quotes_of(*quotes)
    if other:
        frame = pl.concat([frame, quotes_of(*other).with_columns(symbol=pl.lit("BBB"))])
    machine = Script(said)
    result = run_quote_backtest(
        machine, frame, trades_of(*trades), chosen or rules(), CALENDAR,
        actions=actions_of(*actions), lives=lives,
    )  # fmt: skip
    return machine, result


def test_a_split_over_a_night_adjusts_the_open_position_and_the_order_at_rest():
    quotes = [row(1, 100.0, 100.5), row(LATE, 100.0, 100.5), row(DAY + 1, 66.6, 66.9)]
    said = {0: (Post("AAA", 1, 100.0, 101.0),), 1: (Post("AAA", -1, 102.0, 61.0),)}
    machine, result = trade(
        said, quotes, [(2, 99.0, 500), (DAY + 2, 70.0, 500)], [("AAA", TUESDAY, "split", 1.5)]
    )
    (told,) = machine.of(Adjusted)
    assert (told.kind, told.value, told.position) == ("split", 1.5, 151.0)
    assert told.timestamp == OPEN + timedelta(days=1, seconds=1)
    sold = machine.of(Fill)[1]
    assert (sold.quantity, sold.price) == (91.0, 68.0)  # 61 x 1.5, and 102 / 1.5
    assert result.positions == {"AAA": 60.0}
    (action,) = result.position_actions.iter_rows(named=True)
    assert (action["quantity_before"], action["quantity_after"]) == (101.0, 151.0)
    middle = 100.25 / 1.5
    assert action["cash"] == round(0.5 * middle, 4)
    cash = 100_000.0 - 101.0 * 100.0 + action["cash"] + 91.0 * 68.0
    assert result.account["cash"][-1] == pytest.approx(cash, abs=1e-9)
    adjusted = result.order_events.filter(pl.col("event") == "adjusted")
    assert adjusted.select("quantity", "reason").rows() == [(91.0, "split")]
    # an order of 102 that was not adjusted could not have been filled at 70
    assert [one.position for one in machine.of(Adjusted)] == [151.0]


def test_an_order_that_a_reverse_split_leaves_nothing_of_is_canceled():
    quotes = [row(1, 10.0, 10.5), row(LATE, 10.0, 10.5), row(DAY + 1, 100.0, 100.5)]
    said = {1: (Post("AAA", 1, 9.0, 7.0), Post("AAA", -1, 11.0, 25.0))}
    _, result = trade(said, quotes, (), [("AAA", TUESDAY, "split", 0.1)])
    ends = result.orders.select("side", "status").rows()
    assert sorted(ends) == [("buy", "canceled"), ("sell", "open")]
    changed = result.order_events.filter(pl.col("event").is_in(["canceled", "adjusted"]))
    assert sorted(changed.select("event", "quantity", "reason").rows()) == [
        ("adjusted", 2.0, "split"), ("canceled", 0.0, "split"),
    ]  # fmt: skip
    assert result.position_actions.is_empty()


def test_a_dividend_is_paid_on_what_is_held_and_lowers_a_limit_to_buy():
    quotes = [row(1, 100.0, 100.5), row(LATE, 100.0, 100.5), row(DAY + 1, 99.0, 99.5)]
    said = {
        0: (Post("AAA", 1, 100.0, 50.0),),
        1: (Post("AAA", 1, 99.0, 10.0), Post("AAA", -1, 103.0, 10.0)),
    }
    machine, result = trade(
        said, quotes, [(2, 99.0, 500), (DAY + 2, 98.4, 500)], [("AAA", TUESDAY, "dividend", 0.755)]
    )
    assert [one.price for one in machine.of(Fill)] == [100.0]  # not by the trade at 98.40
    adjusted = result.order_events.filter(pl.col("event") == "adjusted")
    assert adjusted.select("price", "reason").rows() == [(98.24, "dividend")]
    assert result.account["cash"][-1] == 100_000.0 - 5_000.0 + 37.75
    first = result.equity.filter(pl.col("timestamp") < OPEN + timedelta(hours=1))["equity"][-1]
    assert first == 100_000.0 + 50 * 0.25
    assert result.trades["pnl"].to_list() == [None]


def test_a_short_position_pays_the_dividend_and_the_fee_of_the_loan():
    quotes = [row(1, 100.0, 100.5), row(DAY + 1, 100.0, 100.5), row(DAY + 5, 100.0, 100.5)]
    said = {0: (Enter("AAA", -1),), 1: (Leave("AAA"),)}
    chosen = rules({"sizing": "fixed_shares", "size_shares": 100.0}, borrow_rate=0.36)
    _, result = trade(said, quotes, (), [("AAA", TUESDAY, "dividend", 1.0)], chosen=chosen)
    night = 100 * 100.25 * 0.36 / 360
    (trip,) = result.trades.iter_rows(named=True)
    assert trip["pnl"] == pytest.approx(-100 * 0.5 - 100.0 - night, abs=1e-9)
    assert result.account["cash"][-1] == pytest.approx(100_000.0 + trip["pnl"], abs=1e-9)


@pytest.mark.parametrize(("recovery", "paid"), [(7.0, 7.0), (None, 100.25)])
def test_a_delisting_pays_out_cancels_orders_and_lets_nothing_be_entered(recovery, paid):
    quotes = [row(1, 100.0, 100.5), row(LATE, 100.0, 100.5), row(DAY + 5, 50.0, 50.5)]
    said = {
        0: (Post("AAA", 1, 100.0, 50.0),), 1: (Post("AAA", -1, 103.0, 10.0),),
        3: (Post("AAA", 1, 50.0, 10.0),),
    }  # fmt: skip
    lives = lives_of((TUESDAY, "delisting", "AAA", None, recovery))
    machine, result = trade(
        said, quotes, [(2, 99.0, 500)], lives=lives, other=[row(DAY + 1, 9, 9.5)]
    )
    (told,) = machine.of(Adjusted)
    assert (told.kind, told.value, told.position) == ("delisting", paid, 0.0)
    assert result.account["cash"][-1] == 100_000.0 - 5_000.0 + 50 * paid
    orders = result.orders.sort("timestamp").select("status", "reason").rows()
    assert orders == [("filled", "signal"), ("canceled", "delisted"), ("refused", "delisted")]
    assert result.trades["exit_reason"].to_list() == ["delisting"]
    assert result.positions == {"AAA": 0.0, "BBB": 0.0}


def test_a_change_of_symbol_goes_on_under_the_new_one():
    quotes = [row(1, 100.0, 100.5)]
    other = [row(DAY + 1, 101.0, 101.5), row(DAY + 3, 101.0, 101.5)]
    said = {0: (Post("AAA", 1, 100.0, 50.0),), 1: (Leave("BBB"),)}
    lives = lives_of((TUESDAY, "symbol_change", "AAA", "BBB", None))
    machine, result = trade(said, quotes, [(2, 99.0, 500)], lives=lives, other=other)
    (told,) = machine.of(Adjusted)
    assert (told.kind, told.successor, told.position) == ("symbol_change", "BBB", 50.0)
    assert [(one.symbol, one.side, one.price) for one in machine.of(Fill)] == [
        ("AAA", 1, 100.0), ("BBB", -1, 101.0),
    ]  # fmt: skip
    (trip,) = result.trades.iter_rows(named=True)
    assert (trip["symbol"], trip["pnl"]) == ("BBB", 50.0)
    closing = result.orders.filter(pl.col("symbol") == "BBB")
    assert closing["parent_id"].to_list() == ["backtest-AAA-buy-1"]


def test_a_margin_call_closes_at_the_sessions_beginning_what_the_equity_does_not_carry():
    account = {"kind": "margin", "day_trading": "intraday_margin", "maintenance_long": 0.25}
    quotes = [row(1, 100.0, 100.5), row(3, 100.0, 100.5), row(DAY + 1, 100.0, 100.5)]
    said = {0: (Post("AAA", 1, 100.0, 3_000.0),)}
    machine, result = trade(
        said, [*quotes, row(DAY + 2, 100.0, 100.5)], [(2, 99.0, 90_000)],
        chosen=rules({"account": account}),
    )  # fmt: skip
    assert [(one.side, one.quantity) for one in machine.of(Fill)] == [(1, 3_000.0), (-1, 3_000.0)]
    closing = result.orders.filter(pl.col("verdict").is_null())
    assert closing["reason"].to_list() == ["margin_call"]
    assert result.trades["exit_reason"].to_list() == ["margin_call"]


def test_terms_of_a_later_day_are_used_from_its_first_tick_on():
    """The SEC fee of sales was 27.80 dollars a million until 2025-05-13, and none after it."""
    tick = pl.col("timestamp")
    shift = timedelta(days=(date(2025, 5, 13) - date(2024, 7, 1)).days)
    quotes = quotes_of(row(1, 100.0, 100.5), row(DAY + 1, 100.0, 100.5), row(DAY + 9, 100.0, 100.5))
    chosen = rules({"sizing": "fixed_shares"}, regulatory_fees=True)
    machine = Script({0: (Enter("AAA", -1),), 1: (Leave("AAA"),), 2: (Enter("AAA", -1),)})
    result = run_quote_backtest(
        machine, quotes.with_columns(tick + shift), trades_of(), chosen, CALENDAR
    )
    assert result.fills["side"].to_list() == ["sell", "buy", "sell"]
    before, _, after = result.fills["fee"]
    assert round(before - after, 2) == 0.28  # of 10,000 dollars, up to the cent
