"""A replayed day is the backtest of that day, whatever is traded and whenever: currencies, coins,
futures, board lots, sub-penny shares.
"""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from backtest.instrument_markets import FIRST, MARKETS, TIMEFRAME, bars, rules
from session.days import FEATURES, Contrarian, fresh_ledger

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.multipliers import contract_multipliers
from harmony_pipeline.schemas import CORPORATE_ACTIONS
from harmony_pipeline.session.day_backtest import backtest_day
from harmony_pipeline.session.day_plan import plan_day, states_before
from harmony_pipeline.session.divergence import compare
from harmony_pipeline.session.opening import opening_of
from harmony_pipeline.session.replay import replay_day

DAYS = 2


@pytest.mark.parametrize(
    ("calendar", "exits"),
    [
        ("FX", "barriers"),
        ("24/7", "barriers"),
        ("CMES", "signal"),
        ("XTKS", "barriers"),
        ("XNYS", "barriers"),
    ],
)
def test_every_day_equals_its_backtest(calendar: str, exits: str, tmp_path: Path) -> None:
    traded, exchange = MARKETS[calendar], Calendar.of(calendar)
    market = bars(calendar, traded, seed=11, days=DAYS + 6)
    chosen = rules(
        traded,
        exits,
        cash=50_000_000.0,
        minimum_order_value=0.0,
        reject_probability=0.1,
        partial_fill_probability=0.2,
        max_net_exposure=1.0,
    )
    ledger, filled, reasons = fresh_ledger(tmp_path), 0, set()
    days = exchange.sessions(FIRST, FIRST + timedelta(days=20))[6 : 6 + DAYS]
    for day in days:
        start = exchange.schedule(day, day + timedelta(days=1))["pre_open"][0]
        opening = opening_of(ledger, "paper", day, chosen.initial_cash)
        plan = plan_day(
            day, opening, [one.terms.symbol for one in traded], strategy_name="contrarian",
            strategy=Contrarian(0.2 * traded[0].scale), rules=chosen,
            feature_set=FEATURES,
            feature_states=states_before(start, market, FEATURES, None, exchange, TIMEFRAME),
            calendar=exchange,
            timeframe=TIMEFRAME, actions=CORPORATE_ACTIONS.empty(),
        )  # fmt: skip
        result, twin = replay_day(plan, market, ledger), backtest_day(plan, market)
        divergence = compare(result, twin)
        assert divergence.equal, divergence.summary()
        assert (
            result.closing.pruned().portfolio.to_dict() == twin.state.pruned().portfolio.to_dict()
        )
        filled += result.fills.height
        reasons |= set(result.orders["reason"])
    assert filled > 0
    if calendar == "XTKS":
        assert "shortable" in reasons


def test_the_days_report_counts_what_a_contract_is_worth(tmp_path: Path) -> None:
    """Slippage and value of a future from its fills by hand; cash says that the multiplier is the
    one that was paid.
    """
    one, exchange = MARKETS["CMES"][0], Calendar.of("CMES")
    worth = one.terms.multiplier
    assert worth > 1.0
    market = bars("CMES", (one,), seed=11, days=8)
    chosen = rules((one,), "signal", cash=5e7, minimum_order_value=0.0, max_net_exposure=1.0)
    ledger, day = fresh_ledger(tmp_path), exchange.sessions(FIRST, FIRST + timedelta(days=20))[6]
    start = exchange.schedule(day, day + timedelta(days=1))["pre_open"][0]
    plan = plan_day(
        day, opening_of(ledger, "paper", day, chosen.initial_cash), [one.terms.symbol],
        strategy_name="contrarian", strategy=Contrarian(0.2 * one.scale), rules=chosen,
        feature_set=FEATURES,
        feature_states=states_before(start, market, FEATURES, None, exchange, TIMEFRAME),
        calendar=exchange, timeframe=TIMEFRAME, actions=CORPORATE_ACTIONS.empty(),
    )  # fmt: skip
    result = replay_day(plan, market, ledger)
    multipliers = contract_multipliers(chosen.instruments, [one.terms.symbol], exchange, TIMEFRAME)
    report = result.report(multipliers)
    fills = list(result.fills.iter_rows(named=True))
    slippage = sum(row["slippage"] * row["quantity"] * worth for row in fills)
    assert slippage > 0.0
    assert report["summary"]["slippage"] == pytest.approx(slippage)
    value = [row["price"] * row["quantity"] * worth for row in fills]
    assert report["activity"]["value"].to_list() == pytest.approx([sum(value)])
    paid = sum(
        (1 if row["side"] == "buy" else -1) * each + row["fee"]
        for row, each in zip(fills, value, strict=True)
    )
    assert result.equity["cash"][-1] == pytest.approx(5e7 - paid)


def test_other_terms_are_another_session(tmp_path: Path) -> None:
    traded, exchange = MARKETS["24/7"], Calendar.of("24/7")
    market = bars("24/7", traded, seed=11, days=3)
    day = exchange.sessions(FIRST, FIRST + timedelta(days=4))[1]
    ids = set()
    for lot in (1.0, 10.0):
        one = replace(traded[0], terms=replace(traded[0].terms, lot_size=lot))
        plan = plan_day(
            day, opening_of(fresh_ledger(tmp_path / str(lot)), "paper", day, 1e6),
            [one.terms.symbol], strategy_name="contrarian", strategy=Contrarian(),
            rules=rules((one,)), feature_set=FEATURES,
            feature_states=states_before(exchange.session_open(day), market, FEATURES, None, exchange, TIMEFRAME),
            calendar=exchange, timeframe=TIMEFRAME, actions=CORPORATE_ACTIONS.empty(),
        )  # fmt: skip
        ids.add(plan.session_id)
    assert len(ids) == 2
