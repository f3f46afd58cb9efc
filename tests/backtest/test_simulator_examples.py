"""The trading rule by examples that can be followed with a pencil: one symbol, round numbers, daily
bars.
"""

from datetime import UTC, date, datetime

import polars as pl
import pytest
from backtest.random_markets import Market, rules

from harmony_pipeline.backtest.simulator import run_backtest
from harmony_pipeline.market.calendars import Calendar

CALENDAR = Calendar.of("XNYS")
DAYS = CALENDAR.sessions(date(2024, 3, 1), date(2024, 4, 1))
FREE = {
    "half_spread_bps": 0.0,
    "impact_coefficient": 0.0,
    "sell_fee_bps": 0.0,
    "max_participation": 1.0,
}
WIDE = {
    "max_position": 1.0,
    "max_net_exposure": 1.0,
    "max_daily_loss": 1.0,
    "max_drawdown": 1.0,
    "target_trade_volatility": 0.01,
}
# with horizon 4: one unit of barrier is 2 %, and a full trade is half of the equity
VOLATILITY = 0.01


def day(number):
    return datetime.combine(DAYS[number], datetime.min.time(), UTC)


def market(prices, sides, symbol="AAA", factors=None, volumes=None, actions=()):
    """prices: (open, high, low, close) by day; sides: {day number: side}."""
    stamps = [day(number) for number in range(len(prices))]
    bars = pl.DataFrame(prices, schema=["open", "high", "low", "close"], orient="row").with_columns(
        symbol=pl.lit(symbol),
        timestamp=pl.Series(stamps).cast(pl.Datetime("us", "UTC")),
        session=pl.lit("regular"),
        volume=pl.Series(volumes or [1e6] * len(prices)),
        adjustment_factor=pl.Series(factors or [1.0] * len(prices)),
    )
    signals = pl.DataFrame(
        [
            (symbol, day(number), side, 1.0, VOLATILITY, None, None)
            for number, side in sides.items()
        ],
        schema={
            "symbol": pl.String,
            "timestamp": pl.Datetime("us", "UTC"),
            "side": pl.Int8,
            "strength": pl.Float64,
            "volatility": pl.Float64,
            "probability": pl.Float64,
            "model_id": pl.String,
        },
        orient="row",
    )
    known = pl.DataFrame(
        list(actions),
        schema={"symbol": pl.String, "date": pl.Date, "kind": pl.String, "value": pl.Float64},
        orient="row",
    )
    return Market(bars, signals, known)


def simulate(*parts, exits="barriers", horizon=4, costs=FREE, risk=WIDE, labels=None, luck=None):
    joined = Market(
        *(
            pl.concat([getattr(part, name) for part in parts])
            for name in ("bars", "signals", "actions")
        )
    )
    return run_backtest(
        joined.bars,
        joined.signals,
        joined.actions,
        rules(risk, costs, luck, labels, exits=exits, horizon=horizon),
        CALENDAR,
        "1Day",
        backtest_id="b",
    )


FLAT = (100.0, 100.5, 99.5, 100.0)


def only_trade(result):
    assert result.trades.height == 1
    return result.trades.row(0, named=True)


def test_a_signal_is_traded_at_the_next_open_and_stopped_at_its_level():
    result = simulate(
        market([FLAT, (101.0, 101.5, 100.5, 101.0), (100.5, 101.0, 98.0, 98.5), FLAT], {0: 1})
    )
    trade = only_trade(result)
    # 50 000 of equity / 100 = 500 shares at 101.00; stop at 101 * 0.98 = 98.98, profit at 101 *
    # 1.04 = 105.04
    assert (trade["quantity"], trade["entry_timestamp"], trade["entry_price"]) == (
        500.0,
        day(1),
        101.0,
    )
    assert (trade["exit_timestamp"], trade["exit_price"], trade["exit_reason"], trade["pnl"]) == (
        day(2),
        98.98,
        "stop",
        -1010.0,
    )
    assert trade["return"] == pytest.approx(-1010.0 / 50_500.0)
    stop, take = (
        result.orders.filter(pl.col("kind") == kind).row(0, named=True)
        for kind in ("stop", "limit")
    )
    assert (stop["stop_price"], stop["status"], take["limit_price"], take["status"]) == (
        98.98,
        "filled",
        105.04,
        "canceled",
    )
    assert (stop["parent_id"], stop["order_id"], take["order_id"]) == (
        "b-AAA-20240301T210000-entry",
        "b-AAA-20240301T210000-stop",
        "b-AAA-20240301T210000-take",
    )
    assert result.fills["fill_id"].to_list() == [
        "b-AAA-20240301T210000-entry-1",
        "b-AAA-20240301T210000-stop-1",
    ]
    assert trade["trade_id"] == "b-AAA-20240301T210000"
    assert result.equity["equity"].to_list() == [100_000.0, 100_000.0, 98_990.0, 98_990.0]


def test_a_short_takes_its_profit_below():
    trade = only_trade(simulate(market([FLAT, FLAT, (99.0, 99.5, 95.0, 96.0)], {0: -1})))
    assert (trade["side"], trade["exit_price"], trade["exit_reason"], trade["pnl"]) == (
        "short",
        96.0,
        "take",
        2_000.0,
    )


def test_when_one_bar_holds_both_barriers_the_stop_wins_unless_it_opens_beyond_the_profit():
    both = only_trade(simulate(market([FLAT, FLAT, (100.0, 105.0, 97.0, 100.0)], {0: 1})))
    assert (both["exit_reason"], both["exit_price"]) == ("stop", 98.0)
    gap = only_trade(simulate(market([FLAT, FLAT, (104.5, 105.0, 97.0, 100.0)], {0: 1})))
    assert (gap["exit_reason"], gap["exit_price"]) == ("take", 104.5)


def test_the_entry_bar_itself_can_stop_the_trade():
    trade = only_trade(simulate(market([FLAT, (100.0, 101.0, 97.0, 98.0)], {0: 1})))
    assert (trade["entry_timestamp"], trade["exit_timestamp"], trade["exit_price"]) == (
        day(1),
        day(1),
        98.0,
    )


def test_after_the_horizon_the_trade_ends_at_the_next_open():
    result = simulate(market([FLAT] * 5 + [(100.3, 100.5, 99.5, 100.0), FLAT], {0: 1}))
    trade = only_trade(result)
    # bars 1, 2, 3, 4 are the horizon; the exit is decided at the end of day 4 and fills at the open
    # of day 5
    assert (trade["exit_timestamp"], trade["exit_price"], trade["exit_reason"]) == (
        day(5),
        100.3,
        "vertical",
    )
    leaving = result.orders.filter(pl.col("order_id").str.ends_with("-exit")).row(0, named=True)
    assert (leaving["order_id"], leaving["parent_id"], leaving["reason"]) == (
        "b-AAA-20240307T210000-exit",
        "b-AAA-20240301T210000-entry",
        "vertical",
    )
    assert result.orders.filter(pl.col("kind") != "market")["status"].to_list() == [
        "canceled",
        "canceled",
    ]


def test_a_signal_while_a_position_is_open_does_not_add():
    result = simulate(market([FLAT] * 4, {0: 1, 1: 1, 2: -1}))
    assert result.orders.filter(pl.col("kind") == "market").height == 1


def test_an_unfinished_trade_has_no_exit():
    trade = only_trade(simulate(market([FLAT] * 3, {0: 1})))
    assert [
        trade[name] for name in ("exit_timestamp", "exit_price", "exit_reason", "pnl", "return")
    ] == [None] * 5


# --- exits by signal ------------------------------------------------------------------------------


def test_a_position_follows_its_signal_and_silence_means_hold():
    result = simulate(
        market([FLAT, FLAT, FLAT, FLAT, (101.0, 102.0, 100.0, 101.5), FLAT], {0: 1, 3: 0}),
        exits="signal",
    )
    trade = only_trade(result)
    assert (
        trade["entry_timestamp"],
        trade["exit_timestamp"],
        trade["exit_reason"],
        trade["pnl"],
    ) == (day(1), day(4), "signal", 500.0)
    assert result.orders.filter(pl.col("kind") != "market").is_empty()


def test_a_reversal_leaves_and_enters_at_the_same_open():
    result = simulate(
        market(
            [FLAT, FLAT, (102.0, 103.0, 101.0, 102.0), (102.0, 103.0, 101.0, 102.0)], {0: 1, 1: -1}
        ),
        exits="signal",
    )
    assert result.fills.select("side", "quantity", "price").rows() == [
        ("buy", 500.0, 100.0),
        ("sell", 500.0, 102.0),
        ("sell", 500.0, 102.0),
    ]
    assert result.trades.select("side", "entry_timestamp", "exit_timestamp").rows() == [
        ("long", day(1), day(2)),
        ("short", day(2), None),
    ]


# --- participation, splits, dividends -------------------------------------------------------------


def test_an_entry_is_capped_by_the_volume_and_the_exit_takes_several_opens():
    prices = [
        FLAT,
        FLAT,
        (98.0, 98.5, 97.0, 98.0),
        (98.0, 98.5, 97.0, 98.0),
        (97.0, 98.5, 97.0, 98.0),
    ]
    result = simulate(
        market(prices, {0: 1}, volumes=[1e6, 3_000.0, 1_000.0, 1_000.0, 2_000.0]),
        costs={**FREE, "max_participation": 0.1},
    )
    # 300 of 500 shares enter; the stop opens through and sells 100, the rest goes at the next two
    # opens
    assert result.fills.select("timestamp", "side", "quantity", "price").rows() == [
        (day(1), "buy", 300.0, 100.0),
        (day(2), "sell", 100.0, 98.0),
        (day(3), "sell", 100.0, 98.0),
        (day(4), "sell", 100.0, 97.0),
    ]
    trade = only_trade(result)
    assert (trade["quantity"], trade["exit_reason"], trade["exit_timestamp"], trade["pnl"]) == (
        300.0,
        "stop",
        day(4),
        -700.0,
    )
    assert trade["exit_price"] == pytest.approx((98.0 + 98.0 + 97.0) / 3)
    statuses = dict(result.orders.select("order_id", "status").rows())
    assert list(statuses.values()) == ["partially_filled", "partially_filled", "canceled", "filled"]


def test_a_split_moves_shares_and_levels_and_pays_the_rest_in_cash():
    odd = market(
        [FLAT, (101.0, 101.5, 100.5, 101.0), (40.4, 40.6, 40.2, 40.4), (40.4, 42.1, 40.2, 42.0)],
        {0: 1},
        factors=[1.0, 1.0, 2.5, 2.5],
        actions=[("AAA", DAYS[2], "split", 2.5)],
    )
    result = simulate(odd, risk={**WIDE, "target_trade_volatility": 0.00999})
    trade = only_trade(result)
    # 499 shares become 1247.5: 1247 and half a share at 40.40; the profit lies at 105.04 / 2.5 =
    # 42.016, and is filled on the tick below
    assert trade["quantity"] == 499.0
    assert result.fills["quantity"].to_list() == [499.0, 1247.0]
    assert trade["exit_price"] == 42.01
    assert trade["pnl"] == pytest.approx(-499 * 101.0 + 20.2 + 1247 * 42.01)


def test_a_dividend_is_paid_to_who_held_before_the_open_and_lowers_the_barriers():
    prices = [FLAT, FLAT, (99.0, 99.5, 97.5, 98.0), (98.0, 98.5, 97.0, 97.5)]
    factor = 100.0 / 99.0
    paid = simulate(
        market(
            prices,
            {0: 1},
            factors=[1.0, 1.0, factor, factor],
            actions=[("AAA", DAYS[2], "dividend", 1.0)],
        )
    )
    # the stop lies at 98 / factor = 97.02 now and 97.5 does not reach it
    assert paid.equity["cash"].to_list()[2] == 50_000.0 + 500.0
    assert only_trade(paid)["exit_timestamp"] == day(3)
    late = simulate(
        market(
            prices,
            {1: 1},
            factors=[1.0, 1.0, factor, factor],
            actions=[("AAA", DAYS[2], "dividend", 1.0)],
        )
    )
    assert late.fills["timestamp"][0] == day(2)
    # bought without the dividend
    assert late.equity["cash"].to_list()[2] == 100_000.0 - late.fills["quantity"][0] * 99.0


def test_a_short_pays_the_dividend():
    prices, factor = [FLAT, FLAT, FLAT], 100.0 / 99.5
    result = simulate(
        market(
            prices, {0: -1}, factors=[1.0, 1.0, factor], actions=[("AAA", DAYS[2], "dividend", 0.5)]
        )
    )
    assert result.equity["cash"].to_list() == [100_000.0, 150_000.0, 149_750.0]


def test_a_position_that_a_reverse_split_leaves_without_a_share_is_paid_out():
    prices = [FLAT, FLAT, (100_000.0, 100_100.0, 99_900.0, 100_000.0), FLAT]
    result = simulate(
        market(
            prices,
            {0: 1},
            factors=[1.0, 1.0, 0.001, 0.001],
            actions=[("AAA", DAYS[2], "split", 0.001)],
        )
    )
    trade = only_trade(result)
    assert (trade["exit_reason"], trade["exit_timestamp"], trade["pnl"]) == (
        "cash_in_lieu",
        day(2),
        0.0,
    )
    assert result.orders.filter(pl.col("kind") != "market")["status"].to_list() == [
        "canceled",
        "canceled",
    ]


# --- breakers -------------------------------------------------------------------------------------


def test_a_daily_loss_refuses_entries_until_the_next_session():
    fall = [FLAT, FLAT, (100.0, 100.0, 98.5, 98.6), FLAT, FLAT, FLAT]
    other = market([FLAT] * 6, {2: 1, 3: 1}, symbol="BBB")
    result = simulate(market(fall, {0: 1}), other, risk={**WIDE, "max_daily_loss": 0.005})
    entries = (
        result.orders.filter(pl.col("symbol") == "BBB", pl.col("kind") == "market")
        .select("timestamp", "status", "reason")
        .rows()
    )
    assert [(at.date(), status, reason) for at, status, reason in entries] == [
        (DAYS[2], "refused", "max_daily_loss"),
        (DAYS[3], "filled", "signal"),
    ]


def test_a_drawdown_closes_everything_and_ends_trading():
    fall = [FLAT, FLAT, (100.0, 100.0, 98.2, 98.3), (98.2, 98.4, 98.1, 98.2), FLAT, FLAT]
    held = market([FLAT] * 6, {1: -1, 4: 1}, symbol="BBB")
    result = simulate(market(fall, {0: 1, 3: 1}), held, risk={**WIDE, "max_drawdown": 0.005})
    assert result.trades.select("symbol", "exit_timestamp", "exit_reason").rows() == [
        ("AAA", day(3), "drawdown_breaker"),
        ("BBB", day(3), "drawdown_breaker"),
    ]
    late = (
        result.orders.filter(pl.col("timestamp") > day(3), pl.col("kind") == "market")
        .select("symbol", "status", "reason")
        .rows()
    )
    assert late == [("AAA", "refused", "max_drawdown"), ("BBB", "refused", "max_drawdown")]
    assert result.state.portfolio.account["halted"][0] == 1
