"""The lives of securities by examples that can be followed with a pencil: one or two symbols, round
numbers, daily bars.
"""

import json
from datetime import date, datetime
from typing import Any

import polars as pl
import pytest
from backtest.random_markets import Market, rules
from backtest.test_simulator_examples import (
    CALENDAR,
    DAYS,
    FLAT,
    FREE,
    WIDE,
    day,
    market,
    only_trade,
)

from harmony_pipeline.backtest.simulator import BacktestResult, run_backtest
from harmony_pipeline.market.lives import LIFE_EVENTS
from harmony_pipeline.portfolio.state import TradingState


def lived(*rows: tuple[Any, ...]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=LIFE_EVENTS, orient="row")


def simulate(
    *parts: Market,
    lives: pl.DataFrame,
    exits: str = "barriers",
    horizon: int = 40,
    until: date | None = None,
    state: Any = None,
    **settings: Any,
) -> BacktestResult:
    joined = [
        pl.concat([getattr(part, name) for part in parts])
        for name in ("bars", "signals", "actions")
    ]
    chosen = rules(WIDE, FREE, exits=exits, horizon=horizon, **settings)
    return run_backtest(
        *joined, chosen, CALENDAR, "1Day", state, backtest_id="b", lives=lives, until=until
    )


def later(
    prices: list[Any], sides: dict[int, int], symbol: str, first: int, **options: Any
) -> Market:
    """A market whose first bar is that of day `first`."""
    whole = market([FLAT] * first + prices, sides, symbol, **options)
    keep = pl.col("timestamp") >= day(first)
    return Market(whole.bars.filter(keep), whole.signals.filter(keep), whole.actions)


OTHER = market([FLAT] * 10, {}, symbol="ZZZ")


def orders(result: BacktestResult, *columns: str) -> list[tuple[Any, ...]]:
    return result.orders.sort("timestamp", "symbol", "order_id").select(columns).rows()


# --- delisting ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("recovery", "setting", "price"),
    [(None, 1.0, 102.0), (None, 0.4, 40.8), (95.5, 1.0, 95.5), (0.0, 1.0, 0.0)],
)
@pytest.mark.parametrize("side", [1, -1])
def test_a_delisted_position_is_paid_out_and_its_bracket_canceled(
    recovery: float | None, setting: float, price: float, side: int
) -> None:
    dead = market([FLAT, FLAT, (100.0, 102.5, 99.5, 102.0)], {0: side})
    result = simulate(
        dead,
        OTHER,
        lives=lived((DAYS[3], "delisting", "AAA", None, recovery)),
        delisting_recovery=setting,
    )
    trade = only_trade(result)
    assert (trade["exit_timestamp"], trade["exit_price"], trade["exit_reason"]) == (
        day(3),
        pytest.approx(price),
        "delisting",
    )
    assert trade["pnl"] == pytest.approx(side * trade["quantity"] * (price - 100.0))
    assert orders(result, "status", "reason")[1:] == [
        ("canceled", "delisted"),
        ("canceled", "delisted"),
    ]
    after = result.equity.filter(pl.col("timestamp") >= day(3))
    assert set(after["gross_exposure"]) == {0.0}
    assert after["cash"].to_list() == after["equity"].to_list()
    assert result.metrics["trades"] == 1.0
    assert result.notes == []
    applied = result.position_actions.select(
        "timestamp", "symbol", "date", "kind", "value", "quantity_before", "quantity_after", "cash"
    ).rows()
    assert applied == [
        (
            day(3),
            "AAA",
            DAYS[3],
            "delisting",
            pytest.approx(price),
            side * trade["quantity"],
            0.0,
            pytest.approx(side * trade["quantity"] * price),
        )
    ]


def test_what_was_decided_at_the_last_bar_is_canceled_and_later_signals_are_refused() -> None:
    dead = market([FLAT] * 6, {2: 1, 4: 1})  # goes on printing bars, as some vendors have it
    result = simulate(dead, OTHER, lives=lived((DAYS[3], "delisting", "AAA", None, None)))
    assert orders(result, "status", "reason") == [("canceled", "delisted"), ("refused", "delisted")]
    assert result.trades.is_empty()


def test_nothing_of_a_delisting_is_used_before_its_day() -> None:
    dead = market([FLAT] * 4, {0: 1, 2: -1})
    plain, told = (
        simulate(dead, OTHER, lives=events, exits="signal")
        for events in (lived(), lived((DAYS[4], "delisting", "AAA", None, 1.0)))
    )
    early = pl.col("timestamp") < day(4)
    assert plain.fills.filter(early).equals(told.fills.filter(early))
    assert plain.equity.filter(early).equals(told.equity.filter(early))


def test_a_delisting_after_the_last_bar_of_all_is_booked_by_the_last_day_of_the_market() -> None:
    dead = market([FLAT] * 3, {0: 1})
    # a Saturday: the session after it is Monday's
    events = lived((date(2024, 3, 9), "delisting", "AAA", None, 90.0))
    closed = simulate(dead, lives=events, until=date(2024, 3, 12))
    assert only_trade(closed)["exit_timestamp"] == datetime.fromisoformat(
        "2024-03-11T00:00:00+00:00"
    )
    # 158 shares at 90
    assert closed.equity.row(-1)[1:3] == (
        datetime.fromisoformat("2024-03-11T00:00:00+00:00"),
        98_420.0,
    )
    held = simulate(dead, lives=events)
    assert only_trade(held)["exit_timestamp"] is None


def test_dividends_and_splits_since_the_last_bar_come_before_the_payout() -> None:
    dead = market(
        [FLAT] * 3,
        {0: 1},
        actions=[("AAA", DAYS[3], "split", 2.0), ("AAA", DAYS[4], "dividend", 1.0)],
    )
    result = simulate(dead, OTHER, lives=lived((DAYS[5], "delisting", "AAA", None, None)))
    quantity = only_trade(result)["quantity"]
    shown = result.position_actions.select(
        "kind", "value", "quantity_before", "quantity_after", "cash"
    ).rows()
    assert shown == [
        ("split", 2.0, quantity, 2 * quantity, 0.0),
        ("dividend", 1.0, 2 * quantity, 2 * quantity, 2 * quantity),
        ("delisting", pytest.approx(49.0), 2 * quantity, 0.0, pytest.approx(98 * quantity)),
    ]
    assert only_trade(result)["pnl"] == 0.0


# --- change of symbol -----------------------------------------------------------------------------


def test_a_renamed_position_keeps_entry_bars_held_and_levels() -> None:
    # entered at 100 on day 1, horizon 4: stop 98, profit 104
    old = market([FLAT, FLAT, FLAT], {0: 1})
    new = later([FLAT, FLAT, FLAT], {}, "NEW", 3)
    result = simulate(
        old, new, lives=lived((DAYS[3], "symbol_change", "AAA", "NEW", None)), horizon=4
    )
    trade = only_trade(result)
    assert (trade["symbol"], trade["trade_id"], trade["entry_timestamp"], trade["entry_price"]) == (
        "NEW",
        "b-AAA-20240301T210000",
        day(1),
        100.0,
    )
    # bars 1, 2 as AAA and 3, 4 as NEW are the horizon
    assert (trade["exit_timestamp"], trade["exit_reason"]) == (day(5), "vertical")
    assert orders(
        result, "order_id", "parent_id", "symbol", "status", "reason", "stop_price", "limit_price"
    ) == [
        ("b-AAA-20240301T210000-entry", None, "AAA", "filled", "signal", None, None),
        (
            "b-AAA-20240301T210000-stop",
            "b-AAA-20240301T210000-entry",
            "AAA",
            "canceled",
            "renamed",
            98.0,
            None,
        ),
        (
            "b-AAA-20240301T210000-take",
            "b-AAA-20240301T210000-entry",
            "AAA",
            "canceled",
            "renamed",
            None,
            104.0,
        ),
        (
            "b-NEW-20240306T000000-stop",
            "b-AAA-20240301T210000-entry",
            "NEW",
            "canceled",
            "stop",
            98.0,
            None,
        ),
        (
            "b-NEW-20240306T000000-take",
            "b-AAA-20240301T210000-entry",
            "NEW",
            "canceled",
            "take",
            None,
            104.0,
        ),
        (
            "b-NEW-20240307T210000-exit",
            "b-AAA-20240301T210000-entry",
            "NEW",
            "filled",
            "vertical",
            None,
            None,
        ),
    ]
    assert result.fills.select("symbol", "order_id").rows() == [
        ("AAA", "b-AAA-20240301T210000-entry"),
        ("NEW", "b-NEW-20240307T210000-exit"),
    ]


@pytest.mark.parametrize("filed_under", [["AAA"], ["NEW"], ["AAA", "NEW"]])
def test_a_split_on_the_day_of_a_rename_moves_shares_and_levels_once(
    filed_under: list[str],
) -> None:
    # a distribution on day 2 takes the levels, 98 and 104, down to 78.4 and 83.2; the split to 39.2
    # and 41.6
    old = market([FLAT, FLAT, (80.0, 80.5, 79.5, 80.0)], {0: 1}, factors=[1.0, 1.0, 1.25])
    actions = [(name, DAYS[3], "split", 2.0) for name in filed_under]
    new = later([(40.0, 40.5, 39.5, 40.2), (40.0, 40.2, 39.0, 39.1)], {}, "NEW", 3, actions=actions)
    result = simulate(
        old, new, lives=lived((DAYS[3], "symbol_change", "AAA", "NEW", None)), horizon=4
    )
    trade = only_trade(result)
    assert (trade["exit_timestamp"], trade["exit_price"], trade["exit_reason"]) == (
        day(4),
        pytest.approx(39.2),
        "stop",
    )
    assert result.fills["quantity"].to_list() == [trade["quantity"], 2 * trade["quantity"]]


def test_a_rename_whose_new_symbol_never_has_a_bar_is_named_and_then_given_up() -> None:
    old, events = market([FLAT] * 3, {0: 1}), lived((DAYS[3], "symbol_change", "AAA", "NEW", None))
    held = simulate(old, OTHER, lives=events, presume_delisted_after_sessions=0)
    assert only_trade(held)["symbol"] == "NEW"
    assert only_trade(held)["exit_timestamp"] is None
    assert held.notes[0].startswith(
        "NEW: 158 shares are held at the price 100, and the symbol has had no bar for 7 sessions"
    )
    given_up = only_trade(simulate(old, OTHER, lives=events, presume_delisted_after_sessions=4))
    assert (
        given_up["symbol"],
        given_up["exit_timestamp"],
        given_up["exit_reason"],
        given_up["exit_price"],
    ) == ("NEW", day(7), "presumed_delisted", 100.0)


def test_a_chain_of_names_is_followed_and_ends_in_a_delisting() -> None:
    events = lived(
        (DAYS[3], "symbol_change", "AAA", "BBB", None),
        (DAYS[5], "symbol_change", "BBB", "CCC", None),
        (DAYS[7], "delisting", "CCC", None, 120.0),
    )
    result = simulate(
        market([FLAT] * 3, {0: 1}),
        later([FLAT, FLAT], {}, "BBB", 3),
        later([FLAT, FLAT], {}, "CCC", 5),
        OTHER,
        lives=events,
    )
    trade = only_trade(result)
    assert (trade["symbol"], trade["trade_id"], trade["exit_price"]) == (
        "CCC",
        "b-AAA-20240301T210000",
        120.0,
    )
    assert set(result.orders.filter(pl.col("kind") != "market")["parent_id"]) == {
        "b-AAA-20240301T210000-entry"
    }
    assert [row["symbol"] for row in result.position_actions.iter_rows(named=True)] == [
        "AAA",
        "BBB",
        "CCC",
    ]


def test_who_takes_a_symbol_is_not_the_position_of_who_had_it() -> None:
    """A ticker passes to another security at ten times the price: the old position ends at its own
    last price.
    """
    dear = [(1000.0, 1005.0, 995.0, 1000.0)] * 4
    reused = market([FLAT] * 3 + dear, {0: 1, 5: 1})
    trades = simulate(
        reused, lives=lived((DAYS[3], "listing", "AAA", None, None)), exits="signal"
    ).trades.sort("entry_timestamp")
    assert trades.select("exit_timestamp", "exit_price", "exit_reason", "pnl").row(0) == (
        day(3),
        100.0,
        "delisting",
        0.0,
    )
    assert trades.select("entry_timestamp", "entry_price", "exit_timestamp").row(1) == (
        day(6),
        1000.0,
        None,
    )


def test_a_rename_into_a_symbol_of_another_security_pays_that_one_out_first() -> None:
    old, taken = (
        market([FLAT] * 3, {0: 1}),
        market([(50.0, 50.5, 49.5, 50.0)] * 3 + [FLAT] * 3, {0: -1}, symbol="NEW"),
    )
    result = simulate(
        old, taken, lives=lived((DAYS[3], "symbol_change", "AAA", "NEW", None)), exits="signal"
    )
    rows = {
        row["trade_id"]: (row["symbol"], row["exit_reason"], row["exit_price"])
        for row in result.trades.iter_rows(named=True)
    }
    assert rows == {
        "b-NEW-20240301T210000": ("NEW", "delisting", 50.0),
        "b-AAA-20240301T210000": ("NEW", None, None),
    }


def test_an_exit_that_waits_is_placed_again_under_the_new_name() -> None:
    old, new = market([FLAT] * 3, {0: 1, 2: 0}), later([(97.0, 97.5, 96.5, 97.0)] * 2, {}, "NEW", 3)
    result = simulate(
        old, new, lives=lived((DAYS[3], "symbol_change", "AAA", "NEW", None)), exits="signal"
    )
    assert (
        only_trade(result)["exit_timestamp"],
        only_trade(result)["exit_price"],
        only_trade(result)["exit_reason"],
    ) == (day(3), 97.0, "signal")
    assert orders(result, "symbol", "status", "reason")[1:] == [
        ("AAA", "canceled", "renamed"),
        ("NEW", "filled", "signal"),
    ]


# --- units ----------------------------------------------------------------------------------------


def test_orders_fills_and_trades_can_be_recomputed_from_the_tables_over_a_split() -> None:
    """28 shares are ordered, 56 are bought: each number is in the shares of its own moment, and the
    actions lead from one to the other.
    """
    prices = [
        FLAT,
        (50.0, 50.5, 49.5, 50.0),
        (50.0, 50.5, 49.5, 50.0),
        (25.0, 25.2, 24.8, 25.0),
        (25.0, 28.5, 24.9, 28.2),
    ]
    splits = [("AAA", DAYS[1], "split", 2.0), ("AAA", DAYS[3], "split", 2.0)]
    halved = market(prices, {0: 1}, factors=[1.0, 2.0, 2.0, 4.0, 4.0], actions=splits)
    result = run_backtest(
        halved.bars,
        halved.signals,
        halved.actions,
        rules(WIDE | {"max_position": 0.02835}, FREE, horizon=40),
        CALENDAR,
        "1Day",
        backtest_id="b",
    )
    entry, exit_fill = result.fills.sort("timestamp").iter_rows(named=True)
    ordered = result.orders.filter(pl.col("order_id") == entry["order_id"]).row(0, named=True)
    assert (ordered["quantity"], entry["quantity"]) == (28.0, 56.0)

    def shares(quantity: float, since: date, until: date) -> float:
        due = halved.actions.filter(
            (pl.col("kind") == "split") & (pl.col("date") > since) & (pl.col("date") <= until)
        )
        return quantity * float(due["value"].product() if due.height else 1.0)

    assert entry["quantity"] == shares(
        ordered["quantity"], ordered["timestamp"].date(), entry["timestamp"].date()
    )
    leg = result.orders.filter(pl.col("order_id") == exit_fill["order_id"]).row(0, named=True)
    assert leg["quantity"] == entry["quantity"]  # a leg is in the shares of its entry's fill
    assert (
        exit_fill["quantity"]
        == shares(leg["quantity"], entry["timestamp"].date(), exit_fill["timestamp"].date())
        == 112.0
    )
    applied = result.position_actions.select(
        "kind", "value", "quantity_before", "quantity_after"
    ).rows()
    assert applied == [("split", 2.0, 56.0, 112.0)]
    trade = only_trade(result)
    assert trade["quantity"] == entry["quantity"]
    assert trade["pnl"] == pytest.approx(
        exit_fill["price"] * exit_fill["quantity"] - entry["price"] * entry["quantity"]
    )


def test_a_state_saved_before_securities_had_lives_goes_on() -> None:
    half = market([FLAT] * 3, {0: 1})
    saved = json.loads(json.dumps(simulate(half, OTHER, lives=lived()).state.to_dict()))
    for name in ("entry_symbol", "last_factor", "silent", "gone"):
        del saved["portfolio"]["positions"][name]
    del saved["exchange"]["orders"]["entry_symbol"]
    rest = market([FLAT] * 12, {}, symbol="ZZZ")
    rest = Market(rest.bars.filter(pl.col("timestamp") >= day(10)), rest.signals, rest.actions)
    result = simulate(
        rest,
        lives=lived((DAYS[10], "delisting", "AAA", None, 99.0)),
        state=TradingState.from_dict(saved),
    )
    trade = only_trade(result)
    assert (trade["symbol"], trade["trade_id"], trade["exit_price"]) == (
        "AAA",
        "b-AAA-20240301T210000",
        99.0,
    )
