"""What the page of trades shows is what the backtest did: levels, fills and moments, for every kind
of instrument.
"""

import re
from datetime import UTC, datetime, timedelta

import polars as pl
import pytest
from backtest.instrument_markets import (
    BTC,
    ES,
    EURUSD,
    NSE,
    PENNY,
    SHIB,
    TIMEFRAME,
    TOKYO,
    US,
    bars,
    rules,
    signals,
)
from backtest.random_markets import Market, random_market, run
from backtest.random_markets import rules as random_rules
from backtest.test_label_is_the_trade import FREE, UNBOUND
from backtest.test_simulator_examples import CALENDAR, FLAT, market, simulate
from reports import report_samples as samples

from harmony_pipeline.backtest.simulator import run_backtest
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.instruments import Instrument
from harmony_pipeline.reports.figures import trade_on_candles
from harmony_pipeline.reports.trade_figures import _level_stretches, headline
from harmony_pipeline.reports.trade_page import trade_page
from harmony_pipeline.reports.trade_views import chosen_trades, exchange_time, trade_view
from harmony_pipeline.schemas import CORPORATE_ACTIONS, TRADES

HORIZON = 5


def is_png(picture):
    return picture.startswith(b"\x89PNG") and picture.endswith(b"IEND\xaeB`\x82")


def backtested(calendar, traded, exits="barriers", seed=3):
    """Bars and the result of a real backtest over them."""
    rows = bars(calendar, (traded,), seed)
    chosen = rules((traded,), exits, 5_000_000.0, minimum_order_value=0.0, fee_bps=1.0)
    said = signals(rows, seed, traded.scale)
    return rows, run_backtest(
        rows, said, CORPORATE_ACTIONS.empty(), chosen, Calendar.of(calendar), TIMEFRAME
    )


def views_of(calendar, traded, exits="barriers", horizon: int | None = HORIZON):
    rows, result = backtested(calendar, traded, exits)
    found = [
        trade_view(
            trade,
            why,
            rows,
            result.orders,
            result.fills,
            traded.terms,
            Calendar.of(calendar),
            TIMEFRAME,
            horizon,
        )
        for trade, why in chosen_trades(result.trades)
    ]
    assert found
    assert None not in found
    return found, result


MARKETS = [
    ("FX", EURUSD, 5),
    ("24/7", SHIB, 8),
    ("CMES", ES, 2),
    ("XBOM", NSE, 2),
    ("24/7", BTC, 2),
    ("XNYS", US, 2),
    ("XTKS", TOKYO, 1),
]


@pytest.mark.parametrize(
    ("calendar", "traded", "decimals"),
    MARKETS,
    ids=[traded.terms.symbol for _, traded, _ in MARKETS],
)
def test_the_page_has_the_decimals_of_the_instrument_and_every_fill(calendar, traded, decimals):
    views, result = views_of(calendar, traded)
    views = views[:2]  # pictures take time
    page = re.sub(r'<img src="[^"]*"', "<img", trade_page("demo", "demo-1", views, "demo.html"))
    prices = re.findall(r'<td class="number">([\d,]+\.\d+)</td><td class="number">[^<]', page)
    assert prices
    assert {len(price.split(".")[1]) for price in prices} == {decimals}
    shown = {step.price for view in views for step in view.steps if step.kind in ("entry", "exit")}
    ids = [view.trade["trade_id"] for view in views]
    own = result.orders.filter(
        pl.col("order_id").is_in([f"{one}-entry" for one in ids])
        | pl.col("parent_id").is_in([f"{one}-entry" for one in ids])
    )
    assert shown == set(
        result.fills.filter(pl.col("order_id").is_in(own["order_id"].to_list()))["price"].to_list()
    )


@pytest.mark.parametrize(
    ("calendar", "traded"), [("FX", EURUSD), ("24/7", SHIB), ("CMES", ES), ("XNYS", PENNY)]
)
def test_the_entry_lies_between_the_barriers_and_the_exit_is_where_its_reason_says(
    calendar, traded
):
    for view in views_of(calendar, traded)[0]:
        trade, upper, lower = view.trade, dict(view.upper), dict(view.lower)
        entry = view.of_kind("entry")[0]
        assert lower[entry.place] < entry.price < upper[entry.place]
        assert set(upper) == set(lower)
        if not view.of_kind("exit"):
            continue
        leave = view.of_kind("exit")[0]  # what a stop could not sell at once is sold later
        bar = view.bars.row(leave.place, named=True)
        assert bar["timestamp"] == leave.timestamp
        sign, (profit, loss) = (
            (1, (upper, lower)) if trade["side"] == "long" else (-1, (lower, upper))
        )
        if leave.note == "take":
            assert (
                bar["low"] <= profit[leave.place] <= bar["high"]
                or sign * (bar["open"] - profit[leave.place]) >= 0.0
            )
        elif leave.note == "stop":
            assert (
                bar["low"] <= loss[leave.place] <= bar["high"]
                or sign * (loss[leave.place] - bar["open"]) >= 0.0
            )
        elif leave.note == "vertical" and view.limit is not None:
            # the barriers are watched until the time is up
            assert leave.place > view.limit == max(upper)


def test_steps_come_in_order_of_time_with_the_signal_a_bar_before_the_entry():
    for view in views_of("CMES", ES)[0]:
        stamps = [step.timestamp for step in view.steps]
        assert stamps == sorted(stamps)
        assert view.steps[0].kind == "signal"
        assert view.steps[1].kind == "entry"
        assert view.steps[0].place + 1 == view.steps[1].place


def test_a_strategy_that_follows_its_signal_has_no_barriers():
    views, _result = views_of("FX", EURUSD, exits="signal")
    assert all(not view.upper and not view.lower and view.limit is None for view in views)
    assert "barrier" not in trade_page("demo", "demo-1", views)
    assert is_png(trade_on_candles(views[0]))


def test_barriers_move_with_a_split():
    # a 4-for-1 split on the fourth day: 102.5 becomes 25.625, and so do the barriers
    quarter = tuple(price / 4 for price in FLAT)
    made = market(
        [FLAT] * 3 + [quarter] * 5,
        {0: 1},
        factors=[1.0] * 3 + [4.0] * 5,
        actions=[("AAA", datetime(2024, 3, 6, tzinfo=UTC).date(), "split", 4.0)],
    )
    result = simulate(made, horizon=6)
    rows = made.bars.with_columns(timeframe=pl.lit("1Day"))
    trade = result.trades.row(0, named=True)
    view = trade_view(
        trade,
        ("latest",),
        rows,
        result.orders,
        result.fills,
        Instrument("AAA"),
        CALENDAR,
        "1Day",
        6,
    )
    before, after = view.upper[0][1], view.upper[-1][1]
    assert after == before / 4.0
    assert view.lower[-1][1] == view.lower[0][1] / 4.0
    assert [step.place for step in view.of_kind("factor")] == [3]
    assert "4 times" in view.of_kind("factor")[0].note


@pytest.mark.parametrize(("entry", "price", "limit"), [("open", 101.0, 3), ("close", 102.0, 4)])
def test_an_entry_is_shown_at_its_bar_and_price_and_the_horizon_from_there(entry, price, limit):
    bars = [FLAT, (101.0, 102.5, 100.5, 102.0)] + [(101.5, 102.0, 101.0, 101.5)] * 6
    made = market(bars, {0: 1})
    result = simulate(made, horizon=3, labels={"entry": entry})
    trade = result.trades.row(0, named=True)
    rows = made.bars.with_columns(timeframe=pl.lit("1Day"))
    view = trade_view(
        trade, ("latest",), rows, result.orders, result.fills, Instrument("AAA"), CALENDAR, "1Day", 3
    )  # fmt: skip
    entered, left = view.of_kind("entry")[0], view.of_kind("exit")[0]
    assert (entered.place, entered.price) == (1, price)
    assert (view.limit, left.place) == (limit, limit + 1)
    watched = list(range(limit - 2, limit + 1))  # of an entry at a close its own bar is not
    assert [place for place, _level in view.upper] == watched
    assert [place for place, _level in view.lower] == watched


@pytest.mark.parametrize("entry", ["open", "close"])
@pytest.mark.parametrize("sessions", [1, 2])
def test_a_horizon_in_sessions_ends_at_the_first_bar_of_the_session_so_many_later(entry, sessions):
    made = random_market(5, days=16)
    bars = made.bars.with_columns(volume=pl.lit(1e9))
    labels = {
        "vertical": "sessions", "entry": entry, "profit_take": 9.0, "stop_loss": 9.0,
    }  # fmt: skip
    chosen = random_rules(UNBOUND, FREE, labels=labels, horizon=sessions)
    result = run(Market(bars, made.signals, made.actions), chosen)
    ended = result.trades.filter(pl.col("exit_reason") == "vertical")
    assert ended.height > 10
    places = set()
    for trade in ended.iter_rows(named=True):
        view = trade_view(
            trade, ("latest",), bars.filter(symbol=trade["symbol"]), result.orders,
            result.fills, Instrument(trade["symbol"]), CALENDAR, TIMEFRAME,
            chosen.horizon, chosen.vertical_sessions,
        )  # fmt: skip
        # decided at that bar's close, the exit fills with the next bar
        assert view.of_kind("exit")[0].place == view.limit + 1
        dates = view.bars["session_date"]
        entered = view.of_kind("entry")[0].place
        between = dates[entered : view.limit + 1].unique()
        assert between.len() == sessions + 1
        assert dates[view.limit] != dates[view.limit - 1]
        places.add(view.limit - entered)
    assert len(places) > 2, "no number of bars"


def test_a_level_is_one_line_until_a_split_makes_it_another():
    assert _level_stretches([(3, 5.0), (4, 5.0), (5, 2.5), (6, 2.5), (7, 2.5)]) == [
        (5.0, (3, 4)),
        (2.5, (5, 7)),
    ]
    assert _level_stretches([]) == []


def test_the_tick_of_low_prices_is_told():
    assert "Tick 0.01, 0.0001 below 1.00 (" in trade_page(
        "demo", "demo-1", views_of("XNYS", PENNY)[0][:1]
    )
    assert "Tick 0.00000001 (" in trade_page("demo", "demo-1", views_of("24/7", SHIB)[0][:1])


def test_the_rule_of_choice():
    trades = samples.trades(40)
    chosen = chosen_trades(trades)
    reasons = {why: trade for trade, every in chosen for why in every}
    closed = trades.sort("return", "trade_id")
    assert reasons["best"]["return"] == closed["return"].max()
    assert reasons["worst"]["return"] == closed["return"].min()
    assert reasons["median"]["trade_id"] == closed["trade_id"][19]
    assert reasons["latest"]["trade_id"] == trades.sort("entry_timestamp")["trade_id"][-1]
    for reason in ("take_profit", "stop_loss", "horizon"):
        mine = trades.filter(pl.col("exit_reason") == reason).sort("exit_timestamp", "trade_id")
        assert reasons[f"latest by {reason.replace('_', ' ')}"]["trade_id"] == mine["trade_id"][-1]
    assert len({trade["trade_id"] for trade, _why in chosen}) == len(chosen)


def test_one_trade_is_all_of_them_and_none_is_none():
    ((trade, why),) = chosen_trades(samples.trades(1))
    assert why == ("best", "worst", "median", "latest", "latest by take profit")
    assert trade["trade_id"] == "AAA-0000"
    assert chosen_trades(TRADES.empty()) == []


def lone(trade_changes, count=400):
    """A view of a trade without orders, as the tables of an old backtest might leave it."""
    trade = {**samples.trades(1).row(0, named=True), **trade_changes}
    rows = samples.bars(count)
    empty = backtested("FX", EURUSD)[1]
    return trade_view(
        trade,
        ("latest",),
        rows,
        empty.orders.clear(),
        empty.fills.clear(),
        Instrument("AAA"),
        Calendar.of("XNYS"),
        "15Min",
    )


def test_of_a_long_trade_the_middle_is_left_out_and_said():
    times = samples.bars(400)["timestamp"]
    view = lone({"entry_timestamp": times[20], "exit_timestamp": times[380]})
    assert view.bars.height == 150
    place, skipped = view.skipped
    assert skipped + view.bars.height == 381 + 8 - (20 - 12)
    assert view.bars["timestamp"][place - 1] < view.bars["timestamp"][place] - timedelta(days=1)
    assert view.bars["timestamp"][-9] == times[380]
    assert is_png(trade_on_candles(view))


def test_an_open_trade_and_a_payment_without_an_order():
    view = lone(
        {
            "exit_timestamp": None,
            "exit_price": None,
            "exit_reason": None,
            "pnl": None,
            "return": None,
        }
    )
    assert headline(view) == "AAA short, still open"
    assert "Still open" in trade_page("demo", "demo-1", [view])
    times = samples.bars(400)["timestamp"]
    paid = lone({"exit_timestamp": times[30], "exit_price": 12.5, "exit_reason": "delisting"})
    assert [(step.kind, step.price, step.note) for step in paid.of_kind("payment")] == [
        ("payment", 12.5, "delisting")
    ]


def test_a_trade_without_bars_has_no_view_and_a_picture_that_says_so():
    assert lone({"entry_timestamp": datetime(2031, 1, 1, tzinfo=UTC)}) is None
    assert is_png(trade_on_candles(None))
    assert "no trade" in trade_page("demo", "demo-1", [])


def test_times_are_those_of_the_exchange():
    moment = datetime(2024, 7, 5, 22, 0, tzinfo=UTC)
    assert exchange_time(moment, "America/Chicago", "1Hour") == "2024-07-05 17:00"
    assert exchange_time(moment, "Asia/Kolkata", "30Min") == "2024-07-06 03:30"
    assert (
        exchange_time(datetime(2024, 7, 5, tzinfo=UTC), "America/New_York", "1Day") == "2024-07-05"
    )


def test_the_page_is_one_file_and_text_is_escaped():
    views, _result = views_of("XNYS", US)
    page = trade_page("<b>me</b>", "demo-1", views, "demo.html")
    assert "<b>me</b>" not in page
    assert not re.search(r'(src|href)="(?!data:|demo\.html)', page)
    assert page.count("<img") == len(views)
    assert "America/New_York" in page
