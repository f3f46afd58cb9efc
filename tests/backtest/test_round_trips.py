"""Round trips that are made in one go leave behind what the loop leaves that takes every bar and
every order by itself: the same tables, events and state, bit for bit.

A run that also knows a symbol without any bar takes every bar through the loop.
"""

from datetime import date, timedelta

import numpy as np
import polars as pl
import pytest
from backtest.random_markets import CALENDAR, Market, rules
from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.backtest import loop, orders_table, simulator
from harmony_pipeline.backtest.books import cursor_at_start
from harmony_pipeline.backtest.input_arrays import checked_signals
from harmony_pipeline.backtest.logs import SESSION, TRIPS
from harmony_pipeline.backtest.round_trips import makes_plain_trips, pass_round_trips
from harmony_pipeline.backtest.run_books import opened_books, rule_stretches
from harmony_pipeline.backtest.runs import Market as ReadyMarket
from harmony_pipeline.backtest.runs import Run
from harmony_pipeline.backtest.simulator import SessionReturns, run_backtest
from harmony_pipeline.backtest.uneventful_bars import BarRange
from harmony_pipeline.execution import id_columns
from harmony_pipeline.portfolio.state import TradingState
from harmony_pipeline.risk.settings import SIZINGS

TIMEFRAME = "5Min"
FIRST = date(2024, 6, 27)  # with a half-day (3 July), a holiday (4 July) and a weekend to come
TABLES = ("orders", "fills", "trades", "equity", "row", "position_actions", "order_events")

RULES = st.builds(
    rules,
    risk=st.fixed_dictionaries(
        {
            "allow_short": st.sampled_from([True, True, False]),
            "target_trade_volatility": st.sampled_from([0.004, 0.02]),
            "max_position": st.sampled_from([0.15, 0.9, 2.0]),
            "max_net_exposure": st.sampled_from([0.6, 3.0]),
            "max_gross_exposure": st.sampled_from([1.0, 3.0]),
            "max_daily_loss": st.sampled_from([0.002, 0.02, 1.0]),
            "max_weekly_loss": st.sampled_from([None, 0.01]),
            "max_drawdown": st.sampled_from([0.004, 0.03, 1.0, 1.0]),
            "max_consecutive_losses": st.sampled_from([0, 0, 2]),
            "minimum_order_value": st.sampled_from([0.0, 5000.0]),
            "sizing": st.sampled_from(SIZINGS),
            "size_fraction": st.just(0.4),
            "size_shares": st.just(120.0),
            "size_value": st.just(8000.0),
            "risk_per_trade": st.just(0.01),
            "assumed_probability": st.sampled_from([None, 0.7]),
            "target_wealth": st.just(150_000.0),
            "target_trades": st.just(20),
            "assumed_sharpe": st.just(1.0),
            "trades_per_year": st.just(50.0),
            "target_session_volatility": st.just(0.01),
            "cash_buffer": st.sampled_from([None, 0.1]),
        }
    ),
    costs=st.fixed_dictionaries(
        {
            "half_spread_bps": st.sampled_from([0.0, 1.0, 25.0]),
            "impact_coefficient": st.sampled_from([0.0, 0.5]),
            "fee_bps": st.sampled_from([0.0, 1.3]),
            "fee_per_share": st.sampled_from([0.0, 0.005]),
            "max_participation": st.sampled_from([0.02, 1.0]),
            "lot_size": st.sampled_from([1.0, 0.001, 10.0]),
            "maker_fee_bps": st.sampled_from([None, -0.7]),
            "preset": st.sampled_from([None, None, "alpaca"]),
            "borrow_rate": st.sampled_from([0.0, 0.35]),
            "interest_rate": st.sampled_from([0.0, 0.05]),
        }
    ),
    labels=st.fixed_dictionaries(
        {
            "profit_take": st.sampled_from([0.5, 2.0]),
            "stop_loss": st.sampled_from([0.4, 1.0]),
            "minimum_barrier_bps": st.sampled_from([0.0, 15.0]),
        }
    ),
    horizon=st.sampled_from([1, 3, 12, 100]),
)


def intraday_market(seed: int, kept: float, scale: float, days: int = 5) -> Market:
    """Five-minute bars of one symbol with holes, empty bars, splits, dividends and a misprint;
    signals at the part `kept` of the bars, some of them nonsense, some at moments without a bar.
    """
    own = np.random.default_rng(seed)
    stamps, factors, actions, factor = [], [], [], 1.0
    for day in CALENDAR.sessions(FIRST, FIRST + timedelta(days=3 * days))[:days]:
        if own.random() < 0.3:
            ratio = float(own.choice([2.0, 0.5]))
            actions.append(("AAA", day, "split", ratio))
            factor *= ratio
        if own.random() < 0.3:
            actions.append(("AAA", day, "dividend", 0.02))
            factor *= 1.001
        opening, closing = CALENDAR.session_open(day), CALENDAR.session_close(day)
        count = (closing - opening) // timedelta(minutes=5)
        stamps += [opening + timedelta(minutes=5 * number) for number in range(count)]
        factors += [factor] * count
    rows = len(stamps)
    steps = own.normal(0, scale, (rows, 4)).cumsum().reshape(rows, 4)
    prices = np.round(float(own.choice([0.8, 30.0, 400.0])) * np.exp(steps), 2) + 0.01
    prices /= np.array(factors)[:, None]
    if own.random() < 0.2:  # another factor for one bar
        factors[rows // 2] *= 1.5
    bars = pl.DataFrame(
        {
            "symbol": "AAA",
            "timestamp": pl.Series(stamps, dtype=pl.Datetime("us", "UTC")),
            "session": "regular",
            "open": prices[:, 0],
            "high": prices.max(axis=1),
            "low": prices.min(axis=1),
            "close": prices[:, 3],
            "volume": np.floor(own.exponential(20_000.0, rows)) * (own.random(rows) > 0.03),
            "adjustment_factor": factors,
        }
    )
    signals = bars.select("symbol", "timestamp").with_columns(
        side=pl.Series(own.choice([-1, 0, 1], rows), dtype=pl.Int8),
        strength=pl.Series(own.choice([1.0, 0.5, 0.0], rows, p=[0.7, 0.25, 0.05])),
        volatility=pl.Series(own.choice([scale, 3 * scale, np.nan], rows, p=[0.7, 0.25, 0.05])),
        probability=pl.Series(np.where(own.random(rows) < 0.5, np.nan, own.random(rows))),
        model_id=pl.Series(own.choice(["m1", "m2"], rows)),
    )
    heard = pl.Series(own.random(rows) < kept)
    schema = {"symbol": pl.String, "date": pl.Date, "kind": pl.String, "value": pl.Float64}
    return Market(
        bars.filter(pl.Series(own.random(rows) < 0.97)),
        signals.filter(heard).with_columns(pl.col("probability").fill_nan(None)),
        pl.DataFrame(actions, schema=schema, orient="row"),
    )


def run(market, chosen, state=None):
    parts = (market.bars, market.signals, market.actions, chosen, CALENDAR, TIMEFRAME, state)
    return run_backtest(*parts, backtest_id="b")


def bar_by_bar(market, chosen):
    """The run with a second symbol, which has no bar."""
    return run(market, chosen, TradingState.opening(("AAA", "ZZZ"), chosen.initial_cash))


def positions(result):
    """The record of each symbol that has bars."""
    state = result.state
    records = zip(state.symbols, state.portfolio.positions, strict=True)
    return {symbol: record.tobytes() for symbol, record in records if symbol != "ZZZ"}


@given(
    st.integers(0, 2**31),
    RULES,
    st.sampled_from([0.03, 0.3, 1.0]),
    st.sampled_from([0.0004, 0.002, 0.01]),
)
def test_trips_in_one_go_equal_trips_bar_by_bar(seed, chosen, kept, scale):
    market = intraday_market(seed, kept, scale)
    passed, looked_at = run(market, chosen), bar_by_bar(market, chosen)
    for name in TABLES:
        assert getattr(passed, name).equals(getattr(looked_at, name)), name
    assert passed.state.portfolio.account.tobytes() == looked_at.state.portfolio.account.tobytes()
    assert positions(passed) == positions(looked_at)


@given(st.integers(0, 2**31), RULES, st.sampled_from([0.03, 0.3]))
def test_without_logs_the_returns_are_the_same(seed, chosen, kept):
    market = intraday_market(seed, kept, 0.002)
    ready = ReadyMarket.of(market.bars, market.actions, CALENDAR, TIMEFRAME)
    runs = SessionReturns(ready, chosen)
    found = runs.of(market.signals)
    longs, nothing = market.signals.filter(pl.col("side") > 0), market.signals.clear()
    several = runs.each([market.signals, longs, nothing])
    for one, alone in zip(several, (found, runs.of(longs), runs.of(nothing)), strict=True):
        assert one.equals(alone)
    equity = bar_by_bar(market, chosen).equity
    last = equity.group_by(pl.col("timestamp").dt.date(), maintain_order=True).last()["equity"]
    before = last.shift(fill_value=chosen.initial_cash)
    assert found["return"].to_list() == (last / before - 1.0).to_list()


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {(orders_table, "_MORE_ROWS"): 0, (orders_table, "_MARGIN"): 1},  # soon without room
        {(orders_table, "MOST_ROWS"): 100, (id_columns, "MOST_ROWS"): 100},
    ],
)
def test_tables_written_in_parts_and_runs_in_threads_are_the_same(monkeypatch, changed):
    """As long runs are."""
    chosen, market = rules(costs={"max_participation": 1.0}), intraday_market(6, 0.3, 0.0005)
    ready = ReadyMarket.of(market.bars, market.actions, CALENDAR, TIMEFRAME)
    parts = [market.signals.filter(pl.col("strength") > least) for least in (0.0, 0.5, 1.0)]
    whole = run(market, chosen)
    alone = [SessionReturns(ready, chosen).of(part) for part in parts]
    monkeypatch.setattr(simulator, "_PART_ROWS", 37)
    monkeypatch.setattr(simulator, "_SHORT_RUN", 0)
    for (module, name), value in changed.items():
        monkeypatch.setattr(module, name, value)
    in_parts = run(market, chosen)
    for name in TABLES:
        assert getattr(in_parts, name).equals(getattr(whole, name)), name
    together = SessionReturns(ready, chosen).each(parts)
    assert [one.to_dict(as_series=False) for one in together] == [
        one.to_dict(as_series=False) for one in alone
    ]
    assert alone[0]["return"].abs().max() > 0.0


@pytest.mark.parametrize(
    "changed",
    [
        {"luck": {"latency_bars": 1}},
        {"luck": {"reject_probability": 0.1}},
        {"luck": {"partial_fill_probability": 0.1}},
        {"risk": {"max_orders_per_minute": 1}},
        {"risk": {"symbol_cooldown_minutes": 30.0}},
        {"risk": {"account": {"kind": "cash"}}},
        {"labels": {"touch": "close"}},
        {"labels": {"entry": "close"}},
        {"labels": {"vertical": "sessions"}},
        {"exits": "signal"},
    ],
)
def test_other_rules_take_the_loop(changed):
    assert makes_plain_trips(rules().records(["AAA"])[0])
    assert not makes_plain_trips(rules(**changed).records(["AAA"])[0])


def test_most_trips_of_a_session_are_made_in_one_go():
    """Else there would be nothing to compare above."""
    chosen = rules(costs={"max_participation": 1.0})
    market = intraday_market(6, 0.3, 0.0005)
    ready = ReadyMarket.of(market.bars, market.actions, CALENDAR, TIMEFRAME)
    run = Run.of(ready, checked_signals(market.signals), chosen, None)
    stretches = list(rule_stretches(run, chosen))
    books, curve = opened_books(run, chosen, stretches, keeps_tables=True)
    cursor, session = cursor_at_start(run.bars, run.signals), run.sessions
    books.at[SESSION] = np.searchsorted(session.until, cursor.at.min(), side="right")
    begun = int(run.bars.at[0]) + 1
    assert loop.run(books, run.bars, run.signals, session, cursor, curve, begun)
    place = int(books.at[SESSION])
    span = BarRange(1, int(cursor.signal[0]), int(session.date[place]), int(session.until[place]))
    last = pass_round_trips(books, run.bars, run.signals, session, span, curve, cursor.moment[0])
    assert last > 50
    assert books.at[TRIPS] >= 5
