"""The account of a machine on quotes is that of every backtest: a ledger in plain Python, the bar
driver on the same rule, and the public tables all say the same, to the cent.
"""

from datetime import timedelta
from decimal import Decimal

import numpy as np
import polars as pl
from backtest.quote_cases import CALENDAR, DAYS, Busy, actions_of, recompute, rules, sessions_tape
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline import schemas
from harmony_pipeline.backtest.quote_driver import run_quote_backtest
from harmony_pipeline.execution.matching_engine import EngineSettings
from harmony_pipeline.strategies.events import Adjusted

FREQUENT = {"borrow_rate": 0.05, "interest_rate": 0.03, "debit_rate": 0.09}
ACTION = st.tuples(
    st.sampled_from(["AAA", "BBB"]),
    st.sampled_from(DAYS[1:4]),
    st.one_of(
        st.tuples(st.just("split"), st.sampled_from([2.0, 4.0, 0.5, 1.5])),
        st.tuples(st.just("dividend"), st.sampled_from([0.25, 0.88, 1.5])),
    ),
).map(lambda one: (one[0], one[1], *one[2]))
ACTIONS = st.lists(ACTION, max_size=4, unique_by=lambda one: one[:3])


def run(seed, actions=(), chosen=None, latency=0, entering=True, symbols=("AAA", "BBB")):
    quotes, trades = sessions_tape(seed, symbols, actions=actions)
    machine = Busy(seed, entering)
    known = pl.DataFrame(
        {"symbol": symbols, "known_at": [quotes["timestamp"].min()] * len(symbols),
         "volatility": [0.004] * len(symbols)}
    )  # fmt: skip
    result = run_quote_backtest(
        machine, quotes, trades, chosen or rules(**FREQUENT, fee_per_share=0.0035, sell_fee_bps=0.3),
        CALENDAR, EngineSettings(latency=timedelta(milliseconds=latency)),
        actions=actions_of(*actions), volatilities=known, strategy="busy", book="b",
    )  # fmt: skip
    return machine, quotes, result


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), ACTIONS, st.sampled_from([0, 700, 5000]))
def test_a_ledger_in_plain_python_has_the_same_cash_shares_fees_and_equity(seed, actions, latency):
    chosen = rules(**FREQUENT, fee_per_share=0.0035, sell_fee_bps=0.3)
    unit = Decimal(int(chosen.records(["AAA"], DAYS[0])["fee_unit"][0])) / 10_000
    _, quotes, result = run(seed, actions, chosen, latency)
    ledger, after_fills, rows = recompute(
        result, quotes, actions, DAYS[:4], fee_per_share=0.0035, sell_fee_bps=0.3, fee_unit=unit,
        **FREQUENT,
    )  # fmt: skip
    assert result.fills.height > 20
    booked = result.account.filter(pl.col("symbol").is_not_null())
    shown = {at: Decimal(str(cash)) for at, cash in booked.select("timestamp", "cash").iter_rows()}
    assert shown == after_fills and booked.height == result.fills.height
    assert Decimal(str(result.account["cash"][-1])) == ledger.cash
    assert result.positions == {name: float(one.shares) for name, one in ledger.held.items()}
    table = {
        row["timestamp"]: (Decimal(str(row["cash"])), Decimal(str(row["equity"])))
        for row in result.equity.iter_rows(named=True)
    }
    assert table.keys() == rows.keys()
    for minute, (cash, equity) in rows.items():
        assert table[minute][0] == cash
        assert abs(table[minute][1] - equity) <= Decimal("0.0002"), minute  # of two values
    assert round(result.row["fees"][0], 4) == round(result.account["fees"][-1], 4)


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), ACTIONS)
def test_round_trips_go_from_flat_to_flat_and_hold_every_payment(seed, actions):
    _, quotes, result = run(seed, actions)
    chosen = rules(**FREQUENT, fee_per_share=0.0035, sell_fee_bps=0.3)
    unit = Decimal(int(chosen.records(["AAA"], DAYS[0])["fee_unit"][0])) / 10_000
    ledger, _, _ = recompute(
        result, quotes, actions, DAYS[:4], fee_per_share=0.0035, sell_fee_bps=0.3, fee_unit=unit,
        **FREQUENT,
    )  # fmt: skip
    closed = result.trades.filter(pl.col("pnl").is_not_null())
    wanted = sorted(one for held in ledger.held.values() for one in held.trades)
    found = sorted(closed.select("symbol", "quantity", "pnl").rows())
    assert len(found) == len(wanted) > 0
    for one, other in zip(found, wanted, strict=True):
        assert one[0] == other[0]
        np.testing.assert_allclose(one[1:], other[1:], rtol=0, atol=1e-9)
    still = result.trades.filter(pl.col("pnl").is_null())
    assert still.height == sum(shares != 0.0 for shares in result.positions.values())
    assert result.trades["trade_id"].is_unique().all()


def test_actions_that_happened_are_in_the_table_and_told_to_the_machine():
    actions = [
        ("AAA", DAYS[1], "split", 2.0), ("BBB", DAYS[1], "dividend", 0.5),
        ("AAA", DAYS[3], "dividend", 1.0),
    ]  # fmt: skip
    seen = 0
    for seed in range(12):
        machine, _, result = run(seed, actions)
        told = [
            (one.symbol, one.timestamp, one.kind, one.value, one.position)
            for one in machine.of(Adjusted)
        ]
        kept = result.position_actions
        assert told == kept.select("symbol", "timestamp", "kind", "value", "quantity_after").rows()
        for row in kept.iter_rows(named=True):
            first = {"AAA": row["quantity_before"] * 2.0}.get(row["symbol"], row["quantity_before"])
            if row["kind"] == "split":
                assert row["quantity_after"] == first and row["cash"] == 0.0
            else:
                assert row["cash"] == row["quantity_before"] * row["value"]
        seen += kept.height
    assert seen > 10


def test_two_runs_give_the_same_tables_and_every_table_is_one_of_the_schema():
    actions = [("AAA", DAYS[2], "split", 2.0)]
    (_, _, one), (_, _, two) = run(5, actions, latency=700), run(5, actions, latency=700)
    for name, frame in one.frames().items():
        assert frame.equals(two.frames()[name]), name
        table = schemas.TABLES[name]
        assert table.conform(frame).equals(frame), name
        assert frame.height > 0 or name == "position_actions"


@settings(max_examples=8, deadline=None)
@given(st.integers(0, 10_000))
def test_orders_events_and_fills_tell_the_same_story(seed):
    _, _, result = run(seed, latency=700)
    orders, events = result.orders, result.order_events
    assert orders["order_id"].is_unique().all()
    assert {*events["order_id"]} == {*orders["order_id"]}
    first = events.filter(pl.col("sequence") == 1)
    assert (first["event"] == "intent").all() and first["from_status"].null_count() == first.height
    follows = events.with_columns(before=pl.col("to_status").shift().over("order_id")).filter(
        pl.col("sequence") > 1
    )
    assert (follows["from_status"] == follows["before"]).all()
    steps = events.select(pl.col("timestamp").diff().over("order_id")).to_series().drop_nulls()
    assert (steps >= timedelta()).all()
    filled = result.fills.group_by("order_id").agg(pl.col("quantity").sum())
    both = orders.join(filled, on="order_id", how="left", suffix="_filled")
    done = both.filter(pl.col("status") == "filled")
    assert (done["quantity"] == done["quantity_filled"]).all()
    part = both.filter(pl.col("status") == "partially_filled")
    assert (part["quantity"] > part["quantity_filled"]).all()
    none = both.filter(~pl.col("status").is_in(["filled", "partially_filled"]))
    assert none["quantity_filled"].null_count() == none.height
    judged = orders.filter(pl.col("verdict").is_not_null())
    assert judged.height > 20
    parents = orders.filter(pl.col("parent_id").is_not_null())["parent_id"]
    assert {*parents} <= {*result.fills["order_id"]}
