"""Several strategies on one account in a session: a replayed day is the portfolio's backtest of
that day, order by order and strategy by strategy, to the last bit.
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from session.day_chains import CURVE_COLUMNS, FILL_COLUMNS, together
from session.days import (
    ACTIONS,
    CALENDAR,
    DAYS,
    TIMEFRAME,
    Contrarian,
    fresh_ledger,
    market,
    plan_of,
    rules,
)
from session.portfolio_days import (
    Failing,
    Trend,
    portfolio_plan,
    three,
    three_of_their_own,
)

from harmony_pipeline.backtest.shared_account import Member, run_shared_backtest
from harmony_pipeline.errors import DataError
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.session.day_backtest import backtest_day
from harmony_pipeline.session.divergence import by_strategy, compare
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.ledger_rebuild import books_from_events, differing_rows
from harmony_pipeline.session.live_signals import complete_signals
from harmony_pipeline.session.plan import MemberPlan, SessionPlan
from harmony_pipeline.session.reconcile import reconcile
from harmony_pipeline.session.replay import broker_as_left, replay_day
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.session_replay import replay_session

BARS = market()
LUCK = {"reject_probability": 0.15, "partial_fill_probability": 0.3}
ROOM = {"max_position": 0.6, "max_gross_exposure": 3.0, "max_net_exposure": 3.0}
CASES: dict[str, dict[str, Any]] = {
    "as they are": {},
    "bad luck": LUCK,
    "thin": {"max_participation": 0.02, **ROOM, "sizing": "fixed_fraction", "size_fraction": 1.5},
    "late": {"latency_milliseconds": 250.0, "latency_bars": 1, "late_bar_probability": 0.2},
    "pauses": {"symbol_cooldown_minutes": 150.0, "duplicate_window_minutes": 45.0},
    "few positions": {"max_open_positions": 2, "max_daily_loss": 0.003},
}


def run_days(
    ledger: Ledger, members: Sequence[MemberPlan], days: Sequence[date] = DAYS, **options: Any
) -> list[tuple[SessionPlan, SessionResult]]:
    """Every day in turn, each compared with the portfolio's backtest of it."""
    found = []
    for day in days:
        plan = portfolio_plan(day, ledger, BARS, members, **options)
        result = replay_day(plan, BARS, ledger)
        twin = backtest_day(plan, BARS)
        divergence = compare(result, twin)
        assert divergence.equal, divergence.summary()
        closing, expected = result.closing.pruned(), twin.state.pruned()
        assert closing.portfolio.to_dict() == expected.portfolio.to_dict()
        assert closing.exchange.to_dict() == expected.exchange.to_dict()
        for name in ("orders", "fills"):  # whose each row is
            ours, theirs = getattr(result, name), getattr(twin, name)
            keys = ["order_id", "strategy"]
            carried = {order.terms.order_id for order in result.carried}
            shown = theirs.filter(~pl.col("order_id").is_in(list(carried)) | (name == "fills"))
            assert ours.select(keys).sort(keys).equals(shown.select(keys).sort(keys))
        found.append((plan, result))
    for plan, _ in found:
        assert reconcile(ledger, plan.session_id, broker_as_left(plan, ledger)).agrees
    return found


@pytest.mark.parametrize("case", CASES)
def test_every_day_equals_the_backtest_of_the_portfolio(case: str, tmp_path: Path) -> None:
    ledger = fresh_ledger(tmp_path)
    found = run_days(ledger, three(**CASES[case]))
    fills = together([result for _, result in found], "fills")
    assert set(fills["strategy"]) == {"slow", "fast", "against"}
    # two strategies hold one symbol at one time, and opposite sides are refused
    orders = together([result for _, result in found], "orders")
    assert "opposite_position" in set(orders["reason"])
    held = pl.concat(result.tables["session_positions"] for _, result in found)
    sides = (
        held.with_columns(side=pl.col("quantity").sign())
        .group_by("session_id", "symbol")
        .agg(pl.col("side").n_unique(), pl.len())
    )
    assert sides["side"].max() == 1
    assert set(differing_rows(ledger, books_from_events(ledger)).values()) == {0}


@pytest.mark.parametrize("case", ["as they are", "bad luck", "late", "pauses"])
def test_members_with_rules_of_their_own_are_their_backtest_too(case: str, tmp_path: Path) -> None:
    ledger = fresh_ledger(tmp_path)
    found = run_days(ledger, three_of_their_own(**CASES[case]))
    orders = together([result for _, result in found], "orders")
    assert {"strategy_max_open_positions", "strategy_max_daily_loss"} <= {*orders["reason"]}
    assert "strategy_max_position" in {*orders["risk_limit"]}
    closed = pl.concat(result.trades for _, result in found)
    reasons = closed.group_by("strategy").agg(pl.col("exit_reason").unique())
    left_by = {name: set(reason) for name, reason in reasons.iter_rows()}
    assert {"stop", "take", "vertical"} <= left_by["slow"] | left_by["against"]
    assert "vertical" not in left_by["fast"]
    legs = orders.filter(pl.col("kind") != "market")
    assert set(legs["strategy"]) == {"slow"}  # closes touch the other's barriers
    assert set(differing_rows(ledger, books_from_events(ledger)).values()) == {0}


def test_a_strategy_with_rules_of_its_own_is_the_same_alone_and_in_a_portfolio(
    tmp_path: Path,
) -> None:
    chosen = three_of_their_own()[0].rules
    one, other = fresh_ledger(tmp_path / "a"), fresh_ledger(tmp_path / "b")
    member = (MemberPlan("contrarian", Contrarian(), chosen),)
    for day in DAYS[:4]:
        plan = plan_of(day, one, BARS, chosen)
        alone = replay_day(plan, BARS, one)
        assert compare(alone, backtest_day(plan, BARS)).equal
        shared = replay_day(portfolio_plan(day, other, BARS, member), BARS, other)
        ids = {"session_id", "client_order_id", "order_id", "parent_id", "fill_id"}
        for name in ("session_orders", "session_fills", "session_positions", "session_equity"):
            kept = [column for column in alone.tables[name].columns if column not in ids]
            assert alone.tables[name].select(kept).equals(shared.tables[name].select(kept)), name


def test_rules_of_its_own_are_part_of_a_plan_and_their_absence_is_not(tmp_path: Path) -> None:
    ledger = fresh_ledger(tmp_path)
    plans = [
        portfolio_plan(DAYS[0], ledger, BARS, members)
        for members in (three(), three_of_their_own(), three())
    ]
    assert plans[0].hash == plans[2].hash != plans[1].hash
    assert plans[0].rules.terms == ()  # type: ignore[attr-defined]
    own = {"bracket": {"stop_loss": 0.8}, "risk": {"kelly_fraction": 0.25}}
    alone = [plan_of(DAYS[0], ledger, BARS, rules("barriers", given)) for given in (None, own)]
    assert alone[0].hash != alone[1].hash  # the limits that are written are part of it


def test_strategies_hold_one_symbol_together_and_each_has_its_own_bracket(tmp_path: Path) -> None:
    """Somewhere on the way; the broker counts one position of both."""
    ledger = fresh_ledger(tmp_path)
    found = run_days(ledger, three(**ROOM))
    held = pl.concat(result.tables["session_positions"] for _, result in found)
    shared = held.group_by("session_id", "symbol").agg(pl.col("strategy"), pl.col("quantity"))
    both = shared.filter(pl.col("strategy").list.len() > 1)
    assert both.height > 0
    for session_id, symbol, _, quantities in both.iter_rows():
        plan, result = next(each for each in found if each[0].session_id == session_id)
        there = {row.symbol: row.quantity for row in broker_as_left(plan, ledger).positions()}
        assert there[symbol] == sum(quantities) == result.shares[symbol]


def test_the_chain_of_sessions_is_one_long_backtest_of_the_portfolio(tmp_path: Path) -> None:
    members, weights = three(**LUCK), (0.5, 0.3, 0.2)
    found = run_days(fresh_ledger(tmp_path), members, weights=weights)
    plan = found[0][0]
    traded = BARS.filter(pl.col("session_date") >= DAYS[0])
    features = compute_features(
        traded, plan.feature_set, plan.feature_states, CALENDAR, TIMEFRAME
    ).table
    whole = run_shared_backtest(
        {
            member.name: Member(
                complete_signals(
                    plan.alone(member), member.strategy.signals(features), features
                ),
                member.rules,
            )
            for member in members
        },
        traded, ACTIONS, ((DAYS[0], weights),), CALENDAR, TIMEFRAME, book="paper",
    )  # fmt: skip
    results = [result for _, result in found]
    columns = [*FILL_COLUMNS, "strategy"]
    live = together(results, "fills").select(columns).sort(columns)
    assert live.equals(whole.fills.select(columns).sort(columns))
    curve = together(results, "equity").select(CURVE_COLUMNS)
    assert curve.equals(whole.equity.select(CURVE_COLUMNS))
    assert live.height > 60
    trades = pl.concat(result.trades for result in results)
    profit = dict(trades.group_by("strategy").agg(pl.col("pnl").sum().round(4)).iter_rows())
    closed = whole.trades.filter(pl.col("exit_timestamp").is_not_null())
    assert profit == dict(closed.group_by("strategy").agg(pl.col("pnl").sum().round(4)).iter_rows())


@pytest.mark.parametrize("exits", ["signal", "barriers"])
def test_a_portfolio_of_one_strategy_is_the_session_of_that_strategy(
    exits: str, tmp_path: Path
) -> None:
    chosen = rules(exits, **LUCK)
    one, other = fresh_ledger(tmp_path / "a"), fresh_ledger(tmp_path / "b")
    member = (MemberPlan("contrarian", Contrarian(), chosen),)
    for day in DAYS[:5]:
        alone = replay_day(plan_of(day, one, BARS, chosen), BARS, one)
        shared = replay_day(portfolio_plan(day, other, BARS, member), BARS, other)
        assert alone.fills.height > 0
        for name in ("session_orders", "session_fills", "session_positions", "session_equity"):
            ids = {"session_id", "client_order_id", "order_id", "parent_id", "fill_id"}
            kept = [column for column in alone.tables[name].columns if column not in ids]
            assert alone.tables[name].select(kept).equals(shared.tables[name].select(kept)), name
        kept = [column for column in alone.trades.columns if column != "strategy"]
        assert alone.trades.select(kept).equals(shared.trades.select(kept))


def test_each_strategy_keeps_what_it_holds_when_others_come_and_go(tmp_path: Path) -> None:
    ledger, chosen = fresh_ledger(tmp_path), rules("barriers")
    one, two = MemberPlan("one", Contrarian(), chosen), MemberPlan("two", Trend(0.004), chosen)
    carried = []
    for day, members in zip(DAYS[:4], [(one,), (two, one), (one, two), (two, one)], strict=True):
        plan = portfolio_plan(day, ledger, BARS, members)
        result = replay_day(plan, BARS, ledger)
        assert compare(result, backtest_day(plan, BARS)).equal
        assert reconcile(ledger, plan.session_id, broker_as_left(plan, ledger)).agrees
        carried += [(day, order.terms.strategy) for order in result.carried]
    assert {"one", "two"} == {name for _, name in carried}
    assert set(differing_rows(ledger, books_from_events(ledger)).values()) == {0}


def test_what_a_strategy_holds_that_is_not_there_any_more_is_refused(tmp_path: Path) -> None:
    ledger, chosen = fresh_ledger(tmp_path), rules("barriers")
    one, two = MemberPlan("one", Contrarian(), chosen), MemberPlan("two", Trend(0.004), chosen)
    result = replay_day(portfolio_plan(DAYS[0], ledger, BARS, (one, two)), BARS, ledger)
    assert set(result.tables["session_positions"]["strategy"]) == {"two"}
    with pytest.raises(DataError, match="positions or working orders of two, which the next one"):
        portfolio_plan(DAYS[1], ledger, BARS, (one,))
    with pytest.raises(
        DataError, match=r"of one, two, which the next .* \(it is of one strategy\)"
    ):
        plan_of(DAYS[1], ledger, BARS, chosen)
    # a day that closes everything ends that
    plan = portfolio_plan(
        DAYS[1], ledger, BARS, tuple(replace(each, rules=rules("barriers", max_participation=1.0))
                                     for each in (one, two)), flatten_at_close=True,
    )  # fmt: skip
    assert replay_day(plan, BARS, ledger).shares == {}
    alone = plan_of(DAYS[2], ledger, BARS, chosen)
    assert compare(replay_day(alone, BARS, ledger), backtest_day(alone, BARS)).equal


def test_a_strategy_that_raises_is_stopped_and_the_others_go_on(tmp_path: Path) -> None:
    ledger = fresh_ledger(tmp_path)
    signal, barriers = rules("signal"), rules("barriers")
    members = (
        MemberPlan("faulty", Failing(), signal),
        MemberPlan("faulty too", Failing(17), barriers),
        MemberPlan("sound", Contrarian(0.001), signal),
    )
    plan = portfolio_plan(DAYS[0], ledger, BARS, members)
    result = replay_day(plan, BARS, ledger)
    assert result.state == "completed"
    assert result.stopped == ("faulty", "faulty too")
    told = result.tables["session_events"].filter(pl.col("kind") == "strategy_stopped")
    moments = dict(zip(("faulty", "faulty too"), told["known_at"], strict=True))
    assert "ZeroDivisionError: a strategy with a fault" in told["detail"][0]
    for name, moment in moments.items():
        own = result.orders.filter(pl.col("strategy") == name)
        entries = own.filter(pl.col("parent_id").is_null() & (pl.col("status") != "refused"))
        assert entries.height > 0
        assert entries["timestamp"].max() < moment  # type: ignore[operator]
    assert result.orders.filter(
        (pl.col("strategy") == "sound") & (pl.col("timestamp") > max(moments.values()))
    ).height
    # what only its signals would have closed is closed at once; brackets go on
    left = result.tables["session_positions"].filter(pl.col("strategy") == "faulty")
    assert left.is_empty()
    reasons = result.orders.filter(
        (pl.col("strategy") == "faulty") & (pl.col("timestamp") >= moments["faulty"])
    )["reason"]
    assert set(reasons) <= {"unprotected"}
    # the day's backtest goes without them, and says whose rows differ
    whose = by_strategy(compare(result, backtest_day(plan, BARS, result.stopped)).table)
    assert set(whose.filter(pl.col("different") > 0)["strategy"]) >= {"faulty", "faulty too"}
    again = replay_session(plan, BARS, ledger, tmp_path / "again.sqlite")
    assert again.equal, again.summary()


def test_weights_and_members_make_another_session(tmp_path: Path) -> None:
    ledger = fresh_ledger(tmp_path)
    plans = [
        portfolio_plan(DAYS[0], ledger, BARS, three()),
        portfolio_plan(DAYS[0], ledger, BARS, three(), (0.5, 0.3, 0.2)),
        portfolio_plan(DAYS[0], ledger, BARS, three()[:2]),
        portfolio_plan(DAYS[0], ledger, BARS, three()[::-1]),
    ]
    assert len({plan.session_id for plan in plans}) == len(plans)
    assert plans[0].session_id.startswith(f"{DAYS[0]}-together-")
