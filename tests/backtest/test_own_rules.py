"""What a strategy has of its own (bracket, size, tighter limits), by itself and on a shared account:
the same numbers wherever they are written, each member left by its own rule, and no limit broken.
"""

from collections import defaultdict
from datetime import timedelta

import polars as pl
import pytest
from backtest.random_markets import (
    CALENDAR,
    FIRST,
    TIMEFRAME,
    Market,
    random_market,
    rules,
    run,
    with_lives,
)
from backtest.shared_accounts import (
    CHANCE,
    HOSTILE,
    NAMES,
    TABLES,
    THIRDS,
    NaiveBook,
    cut_in_two,
    ids_dropped,
    shared,
    signals_of,
)
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from harmony_pipeline.backtest.shared_account import Member

SEEDS = st.integers(0, 10**6)
SIZES = (
    {"sizing": "stop_distance", "risk_per_trade": 0.02},
    {"sizing": "fixed_value", "size_value": 4_000.0},
    {"sizing": "kelly", "assumed_probability": 0.6, "kelly_fraction": 0.5},
    {"target_trade_volatility": 0.02},
)
BRACKETS = (
    {"profit_take": 0.4, "stop_loss": 2.5, "minimum_barrier_bps": 40.0},
    {"touch": "close", "stop_loss": 0.5},
    {"vertical": "sessions", "profit_take": 3.0},
)
LIMITS = (
    {"max_position": 0.04, "max_open_positions": 2},
    {"max_gross_exposure": 0.2, "allow_short": False},
    {"max_net_exposure": 0.08},
    {"symbol_cooldown_minutes": 400.0},
    {"max_daily_loss": 0.002},
)


def same_tables(one, other):
    assert_frame_equal(one.equity, other.equity)
    for table in TABLES:
        assert_frame_equal(ids_dropped(getattr(one, table)), ids_dropped(getattr(other, table)))
    assert_frame_equal(ids_dropped(one.order_events), ids_dropped(other.order_events))
    assert one.metrics == other.metrics


def market_of(seed):
    return with_lives(random_market(seed), seed)


# --- by itself ------------------------------------------------------------------------------------


@given(seed=SEEDS, size=st.sampled_from(SIZES), bracket=st.sampled_from(BRACKETS))
@settings(max_examples=15)
def test_a_bracket_and_a_size_of_its_own_are_those_numbers_of_labels_and_risk(seed, size, bracket):
    market, horizon = market_of(seed), 2 if "vertical" in bracket else 4
    shared_by_all = rules(risk=size, labels=bracket, luck=CHANCE, horizon=horizon)
    own = rules(own=size, bracket=bracket, luck=CHANCE, horizon=horizon)
    same_tables(run(market, own), run(market, shared_by_all))


@given(seed=SEEDS, limits=st.sampled_from(LIMITS), exits=st.sampled_from(["barriers", "signal"]))
@settings(max_examples=20)
def test_limits_of_its_own_are_those_of_an_account_that_it_has_to_itself(seed, limits, exits):
    """They bind as the account's would, under names of their own."""
    market, size = market_of(seed), {"target_trade_volatility": 0.03}
    account = run(market, rules(risk={**size, **limits}, luck=CHANCE, exits=exits))
    own = run(market, rules(risk=size, own=limits, luck=CHANCE, exits=exits))
    plain = {
        column: pl.col(column).str.strip_prefix("strategy_") for column in ("reason", "risk_limit")
    }
    events = {"reason": plain["reason"]}
    assert_frame_equal(own.orders.with_columns(**plain), account.orders)
    assert_frame_equal(own.order_events.with_columns(**events), account.order_events)
    for table in ("fills", "trades", "position_actions", "equity"):
        assert_frame_equal(getattr(own, table), getattr(account, table))


@pytest.mark.parametrize("limits", LIMITS)
def test_each_limit_of_its_own_binds_somewhere(limits):
    """Else the test above would say nothing of it."""
    size, found = {"target_trade_volatility": 0.03}, set()
    for seed in range(6):
        market = random_market(seed)
        own = run(market, rules(risk=size, own=limits))
        free = run(market, rules(risk=size))
        found |= {own.orders.height == free.orders.height and own.fills.equals(free.fills)}
    assert False in found


def test_a_refusal_names_the_limit_of_the_strategy():
    said = set()
    for limits in LIMITS:
        orders = run(
            random_market(1), rules(risk={"target_trade_volatility": 0.1}, own=limits)
        ).orders
        said |= {*orders["risk_limit"].drop_nulls(), *orders["reason"].drop_nulls()}
    assert {
        "strategy_max_position", "strategy_max_open_positions", "strategy_max_gross_exposure",
        "strategy_max_net_exposure", "strategy_max_daily_loss", "symbol_cooldown", "allow_short",
    } <= said  # fmt: skip


# --- on a shared account --------------------------------------------------------------------------

OWN = (
    {"bracket": BRACKETS[0], "own": {**SIZES[0], "max_position": 0.1, "max_daily_loss": 0.01}},
    {"bracket": BRACKETS[1], "own": {**SIZES[1], "symbol_cooldown_minutes": 500.0}},
    {"exits": "signal", "own": {**SIZES[3], "max_gross_exposure": 0.3, "max_open_positions": 2}},
)


def members_of(market, chosen=None, own=OWN):
    return {
        name: Member(signals_of(market, number), rules(**{**(chosen or {}), **own[number]}))
        for number, name in enumerate(NAMES)
    }


@given(seed=SEEDS, number=st.integers(0, 2))
@settings(max_examples=20)
def test_a_member_alone_in_an_account_is_its_own_backtest(seed, number):
    market = market_of(seed)
    own = rules(luck=CHANCE, **OWN[number])
    alone = run(market, own)
    same_tables(shared(market, {"s": Member(market.signals, own)}, ((FIRST, (1.0,)),)), alone)


@given(seed=SEEDS)
@settings(max_examples=15)
def test_members_that_repeat_what_all_share_are_as_if_they_said_nothing(seed):
    """Value for value: what is written under a strategy is what is written for all."""
    market, size, bracket = market_of(seed), SIZES[0], BRACKETS[0]
    plain = [{}, {"exits": "signal"}, {}]
    of_all = {"risk": size, "labels": bracket, "luck": CHANCE}
    repeated = [{**one, "own": size, "bracket": bracket} for one in plain]
    one = shared(market, members_of(market, of_all, plain))
    for chosen in (of_all, {"luck": CHANCE}):
        other = shared(market, members_of(market, chosen, repeated))
        same_tables(other, one)
        assert other.state.to_dict() == one.state.to_dict()


@given(seed=SEEDS)
@settings(max_examples=10)
def test_members_are_left_by_their_own_brackets(seed):
    """Where nothing is refused or resized, each trade in the account begins and ends as in the
    strategy's own backtest.
    """
    whole = random_market(seed, volume=1e9)
    market = Market(whole.bars, whole.signals, whole.actions.clear())
    free = {
        "costs": {"half_spread_bps": 0.0, "impact_coefficient": 0.0, "max_participation": 1.0,
                  "lot_size": 1e-6},
        "risk": {"sizing": "fixed_fraction", "size_fraction": 1e-3, "minimum_order_value": 0.0,
                 "max_daily_loss": 1.0, "max_drawdown": 1.0},
    }  # fmt: skip
    own = [
        {"bracket": BRACKETS[0], "horizon": 7},
        {"bracket": BRACKETS[1], "horizon": 3},
        {"bracket": BRACKETS[2], "horizon": 1},
    ]
    parts = [("AAA",), ("BBB",), tuple(set(whole.bars["symbol"].unique()) - {"AAA", "BBB"})]
    members = {
        name: Member(
            market.signals.filter(pl.col("symbol").is_in(parts[number])),
            rules(**free, **own[number]),
        )
        for number, name in enumerate(NAMES)
    }
    found = shared(market, members).trades
    columns = ["symbol", "side", "entry_timestamp", "exit_timestamp", "exit_price", "exit_reason"]
    for name, one in members.items():
        alone = run(Market(market.bars, one.signals, market.actions), one.rules).trades
        own_rows = found.filter(pl.col("strategy") == name).select(columns)
        assert_frame_equal(own_rows, alone.select(columns), check_row_order=False)


@given(seed=SEEDS, cut=st.integers(1, 40))
@settings(max_examples=15)
def test_a_run_that_is_cut_in_two_is_the_run_in_one_piece(seed, cut):
    """Also in the middle of a session in which a strategy was stopped, or pauses."""
    market = market_of(seed)
    moments = market.bars["timestamp"].unique().sort()
    moment = moments[min(cut, len(moments) - 1)]
    tight = [
        {**one, "own": {**one["own"], "max_daily_loss": 0.003, "symbol_cooldown_minutes": 600.0}}
        for one in OWN
    ]
    members = members_of(market, {"luck": CHANCE}, tight)
    whole = shared(market, members)
    before, after = cut_in_two(market, members, THIRDS, moment)
    assert_frame_equal(pl.concat([before.equity, after.equity]), whole.equity)
    fills = pl.concat([before.fills, after.fills])
    assert_frame_equal(fills, whole.fills, check_row_order=False)


# --- no limit is broken ---------------------------------------------------------------------------

SHARE = dict(zip(NAMES, (0.5, 0.3, 0.2), strict=True))
TIGHT = (
    {"max_position": 0.1, "max_gross_exposure": 0.5, "max_open_positions": 2},
    {"max_net_exposure": 0.2, "allow_short": False},
    {"max_position": 0.25, "max_net_exposure": 0.3, "symbol_cooldown_minutes": 300.0},
)


@given(seed=SEEDS)
@settings(max_examples=20)
def test_no_limit_of_a_member_is_broken_by_members_that_want_everything(seed):
    whole = random_market(seed, missing=0.2)
    market = Market(whole.bars, whole.signals, whole.actions.clear())
    sides = ("signal", "barriers", "signal")
    own = [{"exits": one, "own": limits} for one, limits in zip(sides, TIGHT, strict=True)]
    members = members_of(market, {"risk": HOSTILE}, own)
    result = shared(market, members, ((FIRST, tuple(SHARE.values())),))
    equity = dict(result.equity.select("timestamp", "equity").iter_rows())
    losses = result.trades.filter(pl.col("pnl") < 0.0).select(
        "strategy", "symbol", "exit_timestamp"
    )
    book, entered = NaiveBook(market, result), 0
    for at, whose, symbol, shares in book.moments():
        limits = {**HOSTILE, **TIGHT[NAMES.index(whose)]}
        worst, money = book.worst((whose, symbol)), SHARE[whose] * equity[at] + 0.01
        own_rows = {key: ends for key, ends in worst.items() if key[0] == whose}
        gross = {key: max(abs(low), abs(high)) for key, (low, high) in own_rows.items()}
        reach = sum(high if shares > 0 else -low for low, high in own_rows.values())
        assert gross[whose, symbol] <= limits["max_position"] * money
        assert sum(gross.values()) <= limits["max_gross_exposure"] * money
        assert reach <= limits["max_net_exposure"] * money + 0.01
        assert len([one for one in gross.values() if one > 0.0]) <= limits["max_open_positions"]
        assert shares > 0 or limits.get("allow_short", True)
        if "symbol_cooldown_minutes" in limits:
            pause = timedelta(minutes=limits["symbol_cooldown_minutes"])
            ends = at + timedelta(hours=1)
            for loser, where, left in losses.iter_rows():
                if (loser, where) == (whose, symbol) and left <= at:
                    assert ends >= left + pause
        # and the account's hold for the sum
        total = sum(max(abs(low), abs(high)) for low, high in worst.values())
        assert total <= HOSTILE["max_gross_exposure"] * equity[at] + 0.01
        entered += 1
    assert entered > 10


class DayBook:
    """What each strategy made in each session, recomputed from fills and closes alone."""

    def __init__(self, market, result):
        self.bars = market.bars.sort("timestamp")
        self.fills = defaultdict(list)
        for row in result.fills.iter_rows(named=True):
            self.fills[row["timestamp"]].append(row)

    def moments(self):
        """(moment, session date, what each strategy has made by the moment's closes)."""
        dated = CALENDAR.with_session(self.bars, TIMEFRAME)
        price, shares, cash = {}, defaultdict(float), defaultdict(float)
        for (at,), rows in dated.group_by("timestamp", maintain_order=True):
            for row in self.fills[at]:
                signed = row["quantity"] if row["side"] == "buy" else -row["quantity"]
                shares[row["strategy"], row["symbol"]] += signed
                cash[row["strategy"]] -= signed * row["price"] + row["fee"]
            price |= dict(rows.select("symbol", "close").iter_rows())
            made = dict(cash)
            for (name, symbol), held in shares.items():
                made[name] = made.get(name, 0.0) + held * price.get(symbol, 0.0)
            yield at, rows["session_date"][0], made


@given(seed=SEEDS)
@settings(max_examples=20)
def test_a_strategy_that_lost_its_limit_of_a_day_enters_nothing_until_the_next(seed):
    """The others go on."""
    limit = {"trend": 0.004, "reversal": 0.002, "noise": None}
    whole = random_market(seed, volume=1e6)
    market = Market(whole.bars, whole.signals, whole.actions.clear())
    wild = {"sizing": "fixed_fraction", "size_fraction": 0.5, "max_daily_loss": 1.0,
            "max_drawdown": 1.0, "max_position": 0.5, "max_net_exposure": 1.0}  # fmt: skip
    own = [
        {"exits": "signal", "own": {} if one is None else {"max_daily_loss": one}}
        for one in limit.values()
    ]
    result = shared(market, members_of(market, {"risk": wild}, own))
    equity = dict(result.equity.select("timestamp", "equity").iter_rows())
    entries = defaultdict(list)
    for row in result.orders.filter(pl.col("parent_id").is_null()).iter_rows(named=True):
        entries[row["signal_timestamp"]].append(row)
    day, began, money, base, last = None, 1e5, 1e5, {}, {}
    lost, nearly = set(), set()
    for at, date, made in DayBook(market, result).moments():
        if date != day:
            day, began, base, lost, nearly = date, money, last, set(), set()
        for name, most in limit.items():
            loss = base.get(name, 0.0) - made.get(name, 0.0)
            if most is not None and loss > most * began / 3 - 0.05:
                nearly.add(name)
                if loss > most * began / 3 + 0.05:
                    lost.add(name)
        for row in entries[at]:
            if row["strategy"] in lost:
                assert row["status"] == "refused"
            if row["reason"] == "strategy_max_daily_loss":
                assert row["verdict"] == "halt"
                assert row["strategy"] in nearly
        last, money = made, equity[at]
    assert set(result.orders["strategy"]) == set(NAMES)


def test_some_strategies_are_stopped_by_the_day_while_others_trade():
    """So that the law above is not empty."""
    refused, sent = 0, 0
    for seed in range(6):
        market = random_market(seed, volume=1e6)
        wild = {"sizing": "fixed_fraction", "size_fraction": 0.5, "max_daily_loss": 1.0,
                "max_drawdown": 1.0, "max_position": 0.5, "max_net_exposure": 1.0}  # fmt: skip
        own = [{"exits": "signal", "own": {"max_daily_loss": 0.002}}, {}, {}]
        orders = shared(market, members_of(market, {"risk": wild}, own)).orders
        stopped = orders.filter(pl.col("reason") == "strategy_max_daily_loss")
        assert set(stopped["strategy"]) <= {"trend"}
        refused += stopped.height
        moments = set(stopped["signal_timestamp"])
        sent += orders.filter(
            (pl.col("strategy") != "trend")
            & (pl.col("status") != "refused")
            & pl.col("signal_timestamp").is_in(list(moments))
        ).height
    assert refused > 0
    assert sent > 0
