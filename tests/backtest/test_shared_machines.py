"""Machines that hear their fills on a shared account: one alone is its own backtest, and what
several said, told again as signals, gives the same tables.
"""

from datetime import date, timedelta

import polars as pl
from backtest.random_markets import CALENDAR, FIRST, TIMEFRAME, rules
from backtest.shared_accounts import CHANCE, ids_dropped, signals_of
from backtest.test_event_driver import (
    Nervous,
    Recorder,
    fill_rows,
    market_of,
    random_rules,
    told,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from harmony_pipeline.backtest.input_arrays import SIGNAL_DTYPES
from harmony_pipeline.backtest.shared_account import Member, run_shared_backtest
from harmony_pipeline.backtest.shared_machines import MachineInputs

NOTHING = pl.DataFrame(schema=SIGNAL_DTYPES)
TABLES = ("orders", "fills", "trades", "position_actions", "equity")
WEIGHTS = ((FIRST, (0.5, 0.3, 0.2)), (FIRST + timedelta(days=4), (0.2, 0.2, 0.6)))
SEEDS = st.integers(0, 10_000)


class Late(Nervous):
    """The same by other cents, so that two machines do not agree."""

    def on_bar(self, bar):
        return super().on_bar(bar) if round(bar.close * 100) % 8 else ()


def shared(market, members, weights: tuple[tuple[date, tuple[float, ...]], ...]):
    return run_shared_backtest(
        members, market.bars, market.actions, weights, CALENDAR, TIMEFRAME, backtest_id="b",
        strategy="p", lives=market.lives,
    )  # fmt: skip


def as_signals(recorder, scale):
    """What a Recorder held after each bar, as signals."""
    schema = {name: SIGNAL_DTYPES[name] for name in ("symbol", "timestamp", "side", "strength")}
    said = pl.DataFrame(recorder.said, schema=schema, orient="row")
    return said.join(scale, on=["symbol", "timestamp"], how="left").with_columns(
        probability=pl.lit(None, pl.Float64), model_id=pl.lit(None, pl.String)
    )


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.booleans())
def test_a_machine_alone_on_the_account_is_its_own_backtest_to_the_cent(seed, dies):
    market, scale = market_of(seed, dies=dies)
    chosen = random_rules(seed)
    alone = told(market, scale, Recorder(Nervous()), chosen)
    inputs = MachineInputs(lambda: Recorder(Nervous()), market.bars, scale)
    found = shared(market, {"s": Member(NOTHING, chosen, inputs)}, ((FIRST, (1.0,)),))
    for table in TABLES:
        assert_frame_equal(ids_dropped(getattr(found, table)), ids_dropped(getattr(alone, table)))
    assert found.metrics == alone.metrics


@settings(max_examples=10, deadline=None)
@given(SEEDS, st.booleans())
def test_what_machines_said_gives_the_same_tables_when_it_is_told_again(seed, dies):
    market, scale = market_of(seed, dies=dies)
    recorders = {"first": Recorder(Nervous()), "last": Recorder(Late())}
    column = Member(signals_of(market, seed), rules(luck=CHANCE))
    turning = rules(luck=CHANCE, exits="signal")
    machines = {
        name: Member(NOTHING, turning, MachineInputs(lambda one=one: one, market.bars, scale))
        for name, one in recorders.items()
    }
    members = {"first": machines["first"], "column": column, "last": machines["last"]}
    found = shared(market, members, WEIGHTS)
    again = {
        name: Member(as_signals(recorders[name], scale), turning) if name in recorders else column
        for name in members
    }
    repeated = shared(market, again, WEIGHTS)
    for table in TABLES:
        assert_frame_equal(getattr(found, table), getattr(repeated, table))
    # each hears the fills of its own orders and no other's
    signed = found.fills.with_columns(side=pl.when(pl.col("side") == "buy").then(1).otherwise(-1))
    columns = ("symbol", "timestamp", "side", "quantity", "price", "fee")
    for name, recorder in recorders.items():
        own = signed.filter(pl.col("strategy") == name).select(columns)
        assert sorted(fill_rows(recorder.heard)) == sorted(own.rows())


def test_the_cases_really_happen():
    market, scale = market_of(4)
    recorder = Recorder(Nervous())
    inputs = MachineInputs(lambda: recorder, market.bars, scale)
    turning = rules(exits="signal")
    members = {
        "machine": Member(NOTHING, turning, inputs),
        "column": Member(signals_of(market, 4), turning),
    }
    found = shared(market, members, ((FIRST, (0.5, 0.5)),))
    assert set(found.fills["strategy"]) == {"machine", "column"}
    assert len(fill_rows(recorder.heard)) >= 10
    assert "opposite_position" in set(found.orders["reason"])
