"""The law of the session: a replayed day is the backtest of that day, order by order, to the cent
and to the last bit.
"""

import math
from collections.abc import Callable, Sequence
from datetime import date
from functools import cache
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from session.day_chains import assert_same_course, run_days, whole_backtest
from session.days import (
    CALENDAR,
    DAYS,
    DIVIDEND_DAY,
    SPLIT_DAY,
    SYMBOLS,
    TIMEFRAME,
    Contrarian,
    ContrarianInFrames,
    fresh_ledger,
    market,
    plan_of,
    rules,
)

from harmony_pipeline.errors import DataError
from harmony_pipeline.execution import events as ev
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.session.day_backtest import backtest_day, day_signals
from harmony_pipeline.session.divergence import compare
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.opening import opening_of
from harmony_pipeline.session.reconcile import reconcile
from harmony_pipeline.session.replay import broker_as_left, replay_day
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.strategies.base import (
    Stepwise,
    Strategy,
    remembers_the_market,
    signals_of,
    strategy_rows,
)
from harmony_pipeline.strategies.breakout import OpeningRangeBreakout
from harmony_pipeline.strategies.events import Bar, Enter, Intent, Leave
from harmony_pipeline.strategies.meta import MetaOver
from harmony_pipeline.strategies.z_score_momentum import ZScoreMomentum

BARS = market()
BIG = {
    "sizing": "fixed_fraction", "size_fraction": 3.0, "max_position": 9.0, "max_net_exposure": 9.0,
    "max_gross_exposure": 9.0, "max_daily_loss": 1.0, "max_drawdown": 1.0, "max_participation": 1.0,
}  # fmt: skip
CALLED = {
    "kind": "margin", "initial_margin": 0.3, "maintenance_long": 0.299, "maintenance_short": 0.299,
    "day_trading": "intraday_margin",
}  # fmt: skip
COUNTED = {"kind": "margin", "day_trading": "pattern"}
CASES: dict[str, TradingRules] = {
    "brackets": rules("barriers"),
    "signals": rules("signal"),
    "closes touch": rules("barriers", touch="close"),
    "one session": rules("barriers", vertical="sessions", horizons_bars=(1,)),
    "closes touch, two sessions, bad luck": rules(
        "barriers",
        touch="close",
        vertical="sessions",
        horizons_bars=(2,),
        reject_probability=0.15,
        partial_fill_probability=0.3,
    ),
    "brackets with bad luck": rules(
        "barriers", reject_probability=0.15, partial_fill_probability=0.3
    ),
    "signals with bad luck": rules(
        "signal", reject_probability=0.15, partial_fill_probability=0.3, seed=5
    ),
    "nights cost": rules("signal", borrow_rate=0.7, interest_rate=0.05, debit_rate=0.09),
    "orders need time": rules(
        "signal", latency_milliseconds=250.0, latency_bars=1, late_bar_probability=0.2
    ),
    "thin": rules("barriers", max_participation=0.01),
    "no shorts, few positions": rules("signal", allow_short=False, max_open_positions=1),
    "breakers": rules("signal", max_daily_loss=0.002, max_drawdown=0.01),
    "drawdowns that end": rules(
        "signal",
        max_drawdown=0.004,
        drawdown_cooldown_sessions=1,
        rearm_on=(DAYS[1], DAYS[4]),
        max_weekly_loss=0.02,
    ),
    "pauses": rules(
        "signal",
        symbol_cooldown_minutes=150.0,
        max_consecutive_losses=2,
        consecutive_loss_cooldown_minutes=100.0,
        duplicate_window_minutes=45.0,
        price_collar=0.008,
    ),
    "pauses over night": rules("barriers", symbol_cooldown_minutes=1440.0),
    "queue": rules("barriers", max_orders_per_minute=1, max_participation=1.0),
    "rate refused": rules("signal", max_orders_per_minute=1, over_rate="refuse"),
    "exposure": rules(
        "barriers",
        over_limit="refuse",
        cash_buffer=0.8,
        stale_after_minutes=20.0,
        max_sector_exposure=0.2,
        sizing="performance_adaptive",
    ),
    "cash account": rules("signal", **BIG, account={"kind": "cash", "settlement_days": 2}),
    "margin account": rules("signal", **BIG, account=CALLED),
    "too many day trades": rules("signal", **BIG, initial_cash=20_000.0, account=COUNTED),
    "sized by the stop": rules("barriers", sizing="stop_distance", cash_buffer=0.8),
    "closes, brackets": rules("barriers", entry="close"),
    "closes, reversals": rules("signal", entry="close"),
    "closes, bad luck": rules(
        "barriers",
        entry="close",
        reject_probability=0.15,
        partial_fill_probability=0.3,
        latency_bars=1,
        late_bar_probability=0.2,
    ),
    "closes that touch, one session": rules(
        "barriers", entry="close", touch="close", vertical="sessions", horizons_bars=(1,)
    ),
    "closes, thin": rules("signal", entry="close", max_participation=0.01),
    "closes, queue": rules("barriers", entry="close", max_orders_per_minute=1),
    "closes, breakers": rules("signal", entry="close", max_daily_loss=0.002, max_drawdown=0.01),
    "closes, cash account": rules(
        "signal", entry="close", **BIG, account={"kind": "cash", "settlement_days": 2}
    ),
}


SELDOM = (
    "breakers", "cash account", "too many day trades", "closes, breakers", "closes, cash account",
)  # fmt: skip
# a session gives the strategy of these a frame of each moment, that of the others arrays
IN_FRAMES = ("brackets", "signals with bad luck", "closes, reversals")
Lived = Callable[[str], tuple[Ledger, list[SessionResult]]]


def strategy_of(name: str) -> Strategy:
    return ContrarianInFrames() if name in IN_FRAMES else Contrarian()


@pytest.fixture(scope="module")
def lived(tmp_path_factory: pytest.TempPathFactory) -> Lived:
    """The days of a case, traded once and read by several tests, with their ledger."""

    @cache
    def days_of(name: str) -> tuple[Ledger, list[SessionResult]]:
        ledger = fresh_ledger(tmp_path_factory.mktemp("days"))
        return ledger, run_days(ledger, CASES[name], BARS, strategy=strategy_of(name))

    return days_of


@pytest.mark.parametrize("name", CASES)
def test_every_day_equals_its_backtest(name: str, lived: Lived) -> None:
    _, results = lived(name)
    assert len(results) >= 5
    traded = sum(result.fills.height > 0 for result in results)
    assert traded >= (1 if name in SELDOM else 5)


def test_the_nasty_cases_really_happened(lived: Lived) -> None:
    _, results = lived("brackets with bad luck")
    orders, fills = (
        pl.concat(result.orders for result in results),
        pl.concat(result.fills for result in results),
    )
    events = pl.concat(result.tables["session_events"] for result in results)
    assert {"filled", "rejected", "canceled", "partially_filled"} <= set(orders["status"])
    assert {"maker", "taker"} == set(fills["liquidity"])
    assert {"stop", "take", "vertical"} <= set(
        pl.concat(result.trades for result in results)["exit_reason"]
    )
    assert events.filter(pl.col("kind") == "partially_filled").height > 0
    assert any(result.carried for result in results)  # orders that worked overnight
    applied = events.filter(pl.col("kind") == "corporate_action_applied")
    assert set(applied["date"]) == {SPLIT_DAY, DIVIDEND_DAY}


@pytest.mark.parametrize(
    ("name", "reasons"),
    [
        ("cash account", {"unsettled_cash", "cash_account"}),
        ("margin account", {"buying_power", "margin_call"}),
        ("too many day trades", {"pattern_day_trading"}),
    ],
)
def test_the_rules_of_the_account_are_met_in_a_session(
    name: str, reasons: set[str], lived: Lived
) -> None:
    _, results = lived(name)
    orders = pl.concat(result.orders for result in results)
    assert {*orders["reason"], *orders["risk_limit"]} >= reasons


def test_limits_answer_in_the_ledger_and_a_breaker_that_is_lifted_is_told(lived: Lived) -> None:
    _, results = lived("drawdowns that end")
    kinds = pl.concat(result.tables["session_events"] for result in results)["kind"].to_list()
    tripped, lifted = (
        [n for n, kind in enumerate(kinds) if kind == name]
        for name in ("breaker_tripped", "breaker_rearmed")
    )
    assert lifted
    assert tripped[0] < lifted[0]
    ledger, queued = lived("queue")
    terms = [
        event.order
        for result in queued
        for _, event in ledger.events(result.session_id, after=0)
        if isinstance(event, ev.OrderIntended) and event.order.role == "entry"
    ]
    assert {order.verdict for order in terms} >= {"approve", "queue"}
    assert all((order.release_at is not None) == (order.verdict == "queue") for order in terms)
    assert {order.limit for order in terms if order.verdict == "resize"} <= {
        "max_position", "max_gross_exposure", "max_net_exposure",
    }  # fmt: skip


@pytest.mark.parametrize(
    "name",
    [
        "brackets with bad luck",
        "pauses over night",
        "drawdowns that end",
        "pauses",
        "queue",
        "cash account",
        "margin account",
        "too many day trades",
        "closes, brackets",
        "closes, reversals",
        "closes, bad luck",
        "closes that touch, one session",
    ],
)
def test_the_chain_of_sessions_is_one_long_backtest(
    name: str, lived: Lived, tmp_path: Path
) -> None:
    """Overnight positions keep their brackets and bars held, limits what they remember: ten
    openings and closings change nothing.
    """
    chosen, (ledger, results) = CASES[name], lived(name)
    whole = whole_backtest(tmp_path, BARS, chosen, strategy=strategy_of(name))
    assert_same_course(results, whole)
    final = {
        row["order_id"]: row["status"]
        for row in ledger.table("session_orders").iter_rows(named=True)
    }
    assert final == dict(whole.orders.select("order_id", "status").iter_rows())


@pytest.mark.parametrize("strategy", [Contrarian(), ContrarianInFrames()], ids=["rows", "frames"])
def test_live_signals_are_the_signals_of_the_whole_day(strategy: Strategy, tmp_path: Path) -> None:
    """Seen through the orders that they caused, and directly: batch by batch equals all at once."""
    from harmony_pipeline.session.clock import ReplayClock
    from harmony_pipeline.session.live_signals import LiveSignals
    from harmony_pipeline.session.replay import day_bars
    from harmony_pipeline.session.stream import ReplayStream

    ledger = fresh_ledger(tmp_path)
    plan = plan_of(DAYS[2], ledger, BARS, CASES["signals"], strategy=strategy)
    frame = day_bars(plan, BARS)
    live = LiveSignals(plan)
    rows = [
        row
        for batch in ReplayStream(frame, ReplayClock(frame["timestamp"][0])).moments()
        for row in live.update(batch).values()
    ]
    expected = day_signals(plan, BARS)
    assert pl.DataFrame(rows, schema=expected.schema).sort("symbol", "timestamp").equals(expected)
    assert expected.height > 30
    other = plan_of(DAYS[2], ledger, BARS, CASES["signals"], strategy=ContrarianInFrames())
    assert expected.equals(day_signals(other, BARS))


def test_a_state_machine_is_replayed_like_any_strategy(tmp_path: Path) -> None:
    machine = Stepwise(lambda: OpeningRangeBreakout(range_bars=1))
    results = run_days(fresh_ledger(tmp_path), CASES["signals"], BARS, strategy=machine)
    assert sum(result.fills.height for result in results) > 5


REMEMBERED = FeatureSet.of(
    ("volatility_20", "momentum_2", "log_return", "natr_14", "rsi_14", "cusum_event"), 0.4
)


class LongMachine:
    """Holds the side of the first bar that closed above its open since the market began."""

    memory = "market"

    def __init__(self) -> None:
        self.risen: dict[str, int] = {}

    def required_features(self) -> tuple[str, ...]:
        return ("momentum_2",)

    def on_bar(self, bar: Bar) -> Sequence[Intent]:
        self.risen[bar.symbol] = self.risen.get(bar.symbol, 0) + (bar.close > bar.open)
        odd = self.risen[bar.symbol] % 7 < 3
        return (Enter(bar.symbol, 1, 0.5),) if odd else (Leave(bar.symbol),)


REMEMBERING: dict[str, Strategy] = {
    "columns": ZScoreMomentum(
        window=2, volatility_window=20, entry_z=0.6, trail_ranges=2.0, exit_z=-1.0
    ),
    "machine": Stepwise(LongMachine),
    "meta over a machine, by day": MetaOver(
        primary="harmony_pipeline.strategies.breakout:OpeningRangeBreakout",
        primary_parameters={"range_bars": 1},
    ),
    "meta over columns, entries": MetaOver(
        primary="harmony_pipeline.strategies.rsi:RsiMomentum", candidates="entries"
    ),
}


def history_before(day: date, strategy: Strategy) -> pl.DataFrame | None:
    """What a plan gives a strategy that remembers: all bars of the random market before the day."""
    if not remembers_the_market(strategy):
        return None
    before = BARS.filter(pl.col("session_date") < day)
    features = compute_features(before, REMEMBERED, None, CALENDAR, TIMEFRAME).table
    return strategy_rows(strategy, before, features)


@pytest.mark.parametrize("name", REMEMBERING)
def test_a_strategy_that_remembers_more_than_a_batch_is_replayed_as_it_is_backtested(
    name: str, tmp_path: Path
) -> None:
    strategy, ledger = REMEMBERING[name], fresh_ledger(tmp_path)
    filled, carried = 0, 0
    features = compute_features(BARS, REMEMBERED, None, CALENDAR, TIMEFRAME).table
    whole = signals_of(strategy, features, lambda: BARS)
    for day in DAYS:
        plan = plan_of(
            day, ledger, BARS, CASES["signals"], strategy=strategy, feature_set=REMEMBERED,
            history=history_before(day, strategy),
        )  # fmt: skip
        result = replay_day(plan, BARS, ledger)
        assert compare(result, backtest_day(plan, BARS)).equal
        filled += result.fills.height
        carried += result.tables["session_positions"].height
        # the signals of the day are those of the whole market, cut
        mine = day_signals(plan, BARS)
        kept = whole.join(mine, on=["symbol", "timestamp"], how="semi").select("side", "strength")
        assert mine.select("side", "strength").equals(kept)
    assert filled > 4
    assert carried > 0 or "by day" in name


def test_a_plan_without_the_history_that_its_strategy_needs_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="remembers the whole market: its plan needs"):
        plan_of(
            DAYS[0], fresh_ledger(tmp_path), BARS, CASES["signals"],
            strategy=REMEMBERING["columns"], feature_set=REMEMBERED,
        )  # fmt: skip


def test_another_history_is_another_session(tmp_path: Path) -> None:
    strategy, ids = REMEMBERING["columns"], set()
    history = history_before(DAYS[0], strategy)
    assert history is not None
    for given in (history, history, history.with_columns(close=pl.col("close") * 1.001)):
        plan = plan_of(
            DAYS[0], fresh_ledger(tmp_path), BARS, CASES["signals"], strategy=strategy,
            feature_set=REMEMBERED, history=given,
        )  # fmt: skip
        ids.add(plan.session_id)
    assert len(ids) == 2


def test_a_held_symbol_stays_in_the_session_when_it_is_not_watched(tmp_path: Path) -> None:
    ledger, chosen = fresh_ledger(tmp_path), CASES["brackets"]
    first = replay_day(plan_of(DAYS[0], ledger, BARS, chosen), BARS, ledger)
    held = set(first.tables["session_positions"]["symbol"])
    assert held
    opening = opening_of(ledger, "paper", DAYS[1], chosen.initial_cash)
    assert held <= set(opening.held)
    plan = plan_of(DAYS[1], ledger, BARS, chosen, watched=())
    assert set(plan.symbols) == set(opening.held)
    assert plan.previous_session_id == first.session_id
    assert compare(replay_day(plan, BARS, ledger), backtest_day(plan, BARS)).equal


def test_symbols_and_the_bars_order_do_not_matter(tmp_path: Path) -> None:
    one, other = fresh_ledger(tmp_path / "a"), fresh_ledger(tmp_path / "b")
    chosen = CASES["signals"]
    first = replay_day(plan_of(DAYS[0], one, BARS, chosen), BARS, one)
    shuffled = BARS.sample(fraction=1.0, shuffle=True, seed=1)
    second = replay_day(
        plan_of(DAYS[0], other, BARS, chosen, watched=SYMBOLS[::-1]), shuffled, other
    )
    assert first.session_id == second.session_id
    assert first.fills.equals(second.fills)


def test_a_finished_session_is_read_and_not_run_again(tmp_path: Path) -> None:
    ledger, chosen = fresh_ledger(tmp_path), CASES["signals"]
    plan = plan_of(DAYS[0], ledger, BARS, chosen)
    first = replay_day(plan, BARS, ledger)
    again = replay_day(plan, BARS, ledger)
    assert {
        name: frame.equals(again.tables[name]) for name, frame in first.tables.items()
    } == dict.fromkeys(first.tables, True)
    assert len(ledger.runs(plan.session_id)) == 1


def test_another_model_threshold_or_rule_is_another_session(tmp_path: Path) -> None:
    ledger = fresh_ledger(tmp_path)
    ids = {plan_of(DAYS[0], ledger, BARS, chosen).session_id for chosen in CASES.values()}
    ids.add(plan_of(DAYS[0], ledger, BARS, CASES["signals"], strategy=Contrarian(0.003)).session_id)
    assert len(ids) == len(CASES) + 1


def test_a_difference_is_found_and_told(tmp_path: Path) -> None:
    ledger = fresh_ledger(tmp_path)
    plan = plan_of(DAYS[0], ledger, BARS, CASES["signals"])
    result = replay_day(plan, BARS, ledger)
    dearer = plan_of(DAYS[0], ledger, BARS, rules("signal", half_spread_bps=8.0))
    found = compare(result, backtest_day(dearer, BARS))
    assert not found.equal
    assert found.summary()["fills_different"] > 0
    assert "live" in str(found.summary()["first_difference"])


def test_flatten_at_close_leaves_nothing_overnight(tmp_path: Path) -> None:
    ledger = fresh_ledger(tmp_path)
    plan = plan_of(
        DAYS[0], ledger, BARS, rules("signal", max_participation=1.0), flatten_at_close=True
    )
    result = replay_day(plan, BARS, ledger)
    assert result.tables["session_positions"].is_empty()
    assert "flatten" in set(result.orders["reason"])
    last = result.orders.filter(pl.col("timestamp") >= CALENDAR.session_close(DAYS[0]) - plan.bar)
    assert set(last.filter(pl.col("order_id").str.ends_with("entry"))["status"]) <= {"refused"}


def test_the_days_report_adds_up(tmp_path: Path) -> None:
    ledger = fresh_ledger(tmp_path)
    result = replay_day(plan_of(DAYS[0], ledger, BARS, CASES["brackets"]), BARS, ledger)
    report = result.report()
    assert report["activity"]["fills"].sum() == result.fills.height == report["summary"]["fills"]
    assert report["summary"]["equity"] == result.equity["equity"][-1]
    assert {"session_started", "session_ended"} <= set(report["notable"]["kind"])
    cash = 50_000.0 - sum(
        (1 if row["side"] == "buy" else -1) * row["price"] * row["quantity"] + row["fee"]
        for row in result.fills.iter_rows(named=True)
    )
    assert result.equity["cash"][-1] == pytest.approx(cash)


def test_a_day_without_bars_and_a_day_that_is_no_session_are_said_so(tmp_path: Path) -> None:
    ledger = fresh_ledger(tmp_path)
    plan = plan_of(DAYS[0], ledger, BARS, CASES["signals"])
    with pytest.raises(DataError, match="no bars"):
        replay_day(plan, BARS.filter(pl.col("session_date") != DAYS[0]), ledger)


def test_the_nights_are_in_the_books_of_the_session_and_of_the_exchange(tmp_path: Path) -> None:
    """Each night by hand from the books of the evening: simple interest over the days between the
    sessions, half up to 1/10000.
    """
    chosen = rules("signal", borrow_rate=0.7, interest_rate=0.05, debit_rate=0.09)
    ledger, evenings = fresh_ledger(tmp_path), []
    for day in DAYS:
        plan = plan_of(day, ledger, BARS, chosen)
        result = replay_day(plan, BARS, ledger)
        assert reconcile(ledger, plan.session_id, broker_as_left(plan, ledger)).agrees
        evenings.append(result.closing.portfolio)
    for evening, following in pairwise(evenings):
        account, after = evening.account[0], following.account[0]
        nights = int(after["date"] - account["date"])
        short = [-int(value) for value in evening.positions["value"] if value < 0]
        lent = sum(math.floor(value * 0.7 * nights / 360 + 0.5) for value in short)
        own = int(account["cash"]) - lent - sum(short)
        rate = 0.05 if own > 0 else 0.09
        assert after["borrow"] - account["borrow"] == lent
        assert after["interest"] - account["interest"] == math.floor(
            own * rate * nights / 360 + 0.5
        )
    assert evenings[-1].account["borrow"][0] > 0
    assert evenings[-1].account["interest"][0] != 0
