"""Several strategies on one account: one of them equals itself alone, money is conserved, and no
limit is broken by their sum.
"""

from datetime import timedelta
from itertools import permutations

import numpy as np
import polars as pl
import pytest
from backtest.random_markets import FIRST, Market, random_market, rules, run, with_lives
from backtest.shared_accounts import (
    CHANCE,
    HOSTILE,
    NAMES,
    SECTORS,
    TABLES,
    THIRDS,
    NaiveBook,
    cut_in_two,
    ids_dropped,
    shared,
    three,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from harmony_pipeline.backtest.shared_account import Member
from harmony_pipeline.errors import ConfigError

SEEDS = st.integers(0, 10**6)
EXITS = st.sampled_from(["barriers", "signal"])
ENTRIES = st.sampled_from(["open", "close"])

# --- one strategy is itself -----------------------------------------------------------------------


@given(seed=SEEDS, exits=EXITS)
@settings(max_examples=20)
def test_a_portfolio_of_one_strategy_is_its_own_backtest_to_the_cent(seed, exits):
    market = with_lives(random_market(seed), seed)
    risk = {"max_sector_exposure": 0.3, "cash_buffer": 0.1, "symbol_cooldown_minutes": 100.0}
    own = rules(luck=CHANCE, exits=exits, risk=risk if seed % 2 else {})
    alone = run(market, own)
    found = shared(market, {"s": Member(market.signals, own)}, ((FIRST, (1.0,)),))
    assert_frame_equal(found.equity, alone.equity)
    for table in TABLES:
        assert_frame_equal(ids_dropped(getattr(found, table)), ids_dropped(getattr(alone, table)))
    assert_frame_equal(ids_dropped(found.order_events), ids_dropped(alone.order_events))
    assert found.metrics == alone.metrics


def test_a_share_of_one_half_trades_half_of_each_size():
    market = Market(*vars(random_market(3)).values())
    own = rules(risk={"sizing": "fixed_fraction", "size_fraction": 0.1, "max_daily_loss": 1.0,
                      "minimum_order_value": 0.0}, costs={"max_participation": 1.0})  # fmt: skip
    whole = shared(market, {"s": Member(market.signals, own)}, ((FIRST, (1.0,)),))
    half = shared(market, {"s": Member(market.signals, own)}, ((FIRST, (0.5,)),))
    first = [
        one.orders.filter(pl.col("status") != "refused").row(0, named=True) for one in (whole, half)
    ]
    assert first[1]["timestamp"] == first[0]["timestamp"]
    assert first[1]["quantity"] == pytest.approx(first[0]["quantity"] / 2, abs=1.0)


# --- money ----------------------------------------------------------------------------------------


@given(seed=SEEDS)
def test_profits_of_all_strategies_add_up_to_the_change_of_equity(seed):
    market = with_lives(random_market(seed), seed)
    result = shared(market, three(market, {"luck": CHANCE}))
    positions = result.state.portfolio.positions
    closed = sum(round(pnl * 10_000) for pnl in result.trades["pnl"].drop_nulls())
    still_open = int((positions["cash_flow"] + positions["value"]).sum())
    assert closed + still_open == round((result.equity["equity"][-1] - 100_000.0) * 10_000)


@given(seed=SEEDS)
def test_cash_follows_from_the_fills_of_all_strategies(seed):
    whole = random_market(seed)
    market = Market(whole.bars, whole.signals, whole.actions.clear())
    result = shared(market, three(market, {"luck": CHANCE}))
    sign = pl.when(pl.col("side") == "buy").then(1.0).otherwise(-1.0)
    paid = result.fills.select(
        (sign * pl.col("price") * pl.col("quantity") * 10_000).round(mode="half_to_even")
        + (pl.col("fee") * 10_000).round()
    ).to_series()
    assert round(result.equity["cash"][-1] * 10_000) == 100_000 * 10_000 - round(paid.sum())
    # every fill and every trade names the strategy of its order
    orders = result.orders.select("order_id", whose="strategy")
    assert (
        result.fills.join(orders, on="order_id")
        .filter(pl.col("whose") != pl.col("strategy"))
        .is_empty()
    )
    assert set(result.trades["strategy"]) <= set(NAMES)
    assert result.orders["order_id"].is_unique().all()
    assert result.trades["trade_id"].is_unique().all()


@given(seed=SEEDS, cut=st.integers(1, 6))
def test_a_run_that_is_cut_in_two_is_the_run_in_one_piece(seed, cut):
    market = with_lives(random_market(seed), seed)
    weights = (*THIRDS, (FIRST + timedelta(days=4), (0.2, 0.5, 0.3)))
    moment = market.bars["timestamp"].dt.truncate("1d").unique().sort()[cut]
    members = three(market, {"luck": CHANCE})
    whole = shared(market, members, weights)
    before, after = cut_in_two(market, members, weights, moment)
    assert_frame_equal(pl.concat([before.equity, after.equity]), whole.equity)
    assert after.metrics.keys() == whole.metrics.keys()
    for table in ("fills", "position_actions"):
        pieces = pl.concat([getattr(before, table), getattr(after, table)])
        columns = [name for name in pieces.columns if name != "sequence"]
        assert_frame_equal(
            pieces.select(columns), getattr(whole, table).select(columns), check_row_order=False
        )


# --- limits ---------------------------------------------------------------------------------------


@given(seed=SEEDS)
def test_no_limit_is_broken_by_strategies_that_all_want_everything(seed):
    whole = random_market(seed, missing=0.2)
    market = Market(whole.bars, whole.signals, whole.actions.clear())
    weights = ((FIRST, (0.5, 0.3, 0.2)), (FIRST + timedelta(days=1), (0.1, 0.1, 0.8)))
    result = shared(market, three(market, {"risk": HOSTILE, "sectors": SECTORS}), weights)
    equity, book, entered = (
        dict(result.equity.select("timestamp", "equity").iter_rows()),
        NaiveBook(market, result),
        0,
    )
    for at, whose, symbol, shares in book.moments():
        entered += 1
        worst, money = book.worst((whose, symbol)), equity[at] + 0.01
        gross = {key: max(abs(low), abs(high)) for key, (low, high) in worst.items()}
        share = dict(zip(NAMES, weights[int(at.date() > FIRST)][1], strict=True))[whose]
        reach = {key: high if shares > 0 else -low for key, (low, high) in worst.items()}
        own, same = (
            [key for key in worst if key[0] == whose],
            [key for key in worst if key[1] == symbol],
        )
        assert sum(gross[key] for key in same) <= 0.3 * money
        assert gross[whose, symbol] <= 0.3 * share * money
        assert sum(gross.values()) <= 0.9 * money
        assert sum(gross[key] for key in own) <= 0.9 * share * money
        assert sum(reach[key] for key in own) <= 0.5 * share * money + 0.01
        assert sum(
            gross[key] for key in worst if key[1] in ("AAA", "BBB")
        ) <= 0.6 * money or symbol not in ("AAA", "BBB")
        assert len({key[1] for key in worst if gross[key] > 0.0}) <= 3
        for one, other in permutations(book.sides(symbol).values(), 2):
            assert not {(a, b) for a in one for b in other if a != b}
    assert entered > 10


@given(seed=SEEDS, exits=EXITS, entries=st.lists(ENTRIES, min_size=3, max_size=3))
def test_strategies_share_the_volume_of_a_bar(seed, exits, entries):
    whole = random_market(seed, volume=300.0)
    market = Market(whole.bars, whole.signals, whole.actions.clear())
    risk = {**HOSTILE, "max_net_exposure": 5.0, "max_gross_exposure": 5.0, "max_position": 3.0}
    each = [rules(exits=exits, risk=risk, bracket={"entry": entry}) for entry in entries]
    members = {name: Member(market.signals, own) for name, own in zip(NAMES, each, strict=True)}
    result = shared(market, members)
    taken = result.fills.group_by("symbol", "timestamp", "side").agg(
        pl.col("quantity").sum(), pl.col("strategy").n_unique()
    )
    assert taken["strategy"].max() > 1
    both = taken.join(market.bars, on=["symbol", "timestamp"])
    assert both.filter(
        pl.col("quantity") > each[0].costs.max_participation * pl.col("volume")
    ).is_empty()


def test_the_earlier_strategy_takes_the_side_and_the_later_one_is_refused():
    market = random_market(1, symbols=("AAA",), missing=0.0)
    market = Market(market.bars, market.signals, market.actions.clear())
    first = market.bars.head(1).select(
        "symbol", "timestamp", side=pl.lit(1, pl.Int8), strength=pl.lit(1.0), volatility=pl.lit(0.02),
        probability=pl.lit(None, pl.Float64), model_id=pl.lit(None, pl.String),
    )  # fmt: skip
    opposite = first.with_columns(side=pl.lit(-1, pl.Int8))
    own = rules(costs={"max_participation": 1.0, "zero_volume": "fill"})

    def orders(**members):
        shares = ((FIRST, (1 / len(members),) * len(members)),)
        found = shared(market, {name: Member(one, own) for name, one in members.items()}, shares)
        entries = found.orders.filter(pl.col("parent_id").is_null())
        return {
            row["strategy"]: (row["side"], row["reason"]) for row in entries.iter_rows(named=True)
        }

    assert orders(z=first, a=opposite) == {
        "z": ("buy", "signal"),
        "a": ("sell", "opposite_position"),
    }
    assert orders(a=opposite, z=first) == {
        "a": ("sell", "signal"),
        "z": ("buy", "opposite_position"),
    }
    both = orders(a=first, z=first)
    assert {name: side for name, (side, _) in both.items()} == {"a": "buy", "z": "buy"}
    assert "opposite_position" not in {reason for _, reason in both.values()}


# --- what does not matter -------------------------------------------------------------------------


@given(seed=SEEDS)
def test_names_of_strategies_and_order_of_rows_change_nothing(seed):
    market = with_lives(random_market(seed), seed)
    members = three(market, {"luck": CHANCE})
    other = {
        f"other {number}": Member(one.signals.sort("timestamp", "symbol"), one.rules)
        for number, one in enumerate(members.values())
    }
    mixed = Market(
        market.bars.sample(fraction=1.0, shuffle=True, seed=1),
        market.signals,
        market.actions,
        market.lives,
    )
    assert_frame_equal(shared(market, members).equity, shared(mixed, other).equity)


def test_uncorrelated_strategies_are_calmer_together():
    market = random_market(11, days=40, missing=0.0, volume=1e6, scale=0.01)
    market = Market(market.bars, market.signals, market.actions.clear())
    own = rules(exits="signal", risk={"max_net_exposure": 1.0, "max_position": 0.5})
    parts = [
        market.signals.filter(pl.col("symbol").is_in(names))
        for names in (("AAA", "BBB"), ("CCC", "DDD"))
    ]
    alone = [shared(market, {"s": Member(one, own)}, ((FIRST, (1.0,)),)) for one in parts]
    both = shared(
        market, {"a": Member(parts[0], own), "b": Member(parts[1], own)}, ((FIRST, (0.5, 0.5)),)
    )
    assert both.metrics["annual_volatility"] < 0.8 * np.mean(
        [one.metrics["annual_volatility"] for one in alone]
    )


# --- refusals -------------------------------------------------------------------------------------


def test_strategies_of_one_account_have_one_set_of_limits():
    market = random_market(2)
    members = {
        "careful": Member(market.signals, rules()),
        "bold": Member(market.signals, rules(risk={"max_position": 0.9})),
    }
    with pytest.raises(ConfigError, match="bold and careful share an account and differ in risk"):
        shared(market, members, ((FIRST, (0.5, 0.5)),))


def test_a_state_of_other_strategies_is_refused():
    market = random_market(2)
    one = shared(market, {"a": Member(market.signals, rules())}, ((FIRST, (1.0,)),))
    with pytest.raises(ConfigError, match="the state is of other strategies"):
        shared(market, three(market, {}), state=one.state)
