"""The simulated exchange, one order and one bar at a time."""

import json

import numpy as np
import pytest

from harmony_pipeline.execution import exchange
from harmony_pipeline.execution.exchange import MAX_REPORTS, ExchangeState, status_after
from harmony_pipeline.execution.random_draws import uniform
from harmony_pipeline.execution.settings import CostSettings, ExecutionNoiseSettings
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.portfolio.kernel_types import (
    BAR,
    CANCEL,
    CANCELED,
    ENTRY,
    EXIT,
    EXPIRE,
    FILL,
    FILLED,
    ORDER,
    ORDER_OPEN,
    PARTIALLY_FILLED,
    REFUSED,
    REJECT,
    REJECTED,
    REPORT,
    STOP,
    TAKE,
    records,
)
from harmony_pipeline.portfolio.parameters import TradingRules
from harmony_pipeline.portfolio.settings import BacktestSettings
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.strategies.settings import StrategySettings

FREE = {"half_spread_bps": 0.0, "impact_coefficient": 0.0, "sell_fee_bps": 0.0}


class Floor:
    """An exchange with two symbols; each method returns the reports it caused."""

    def __init__(self, luck=None, **costs):
        parts = (
            RiskSettings(),
            CostSettings(**{**FREE, **costs}),
            ExecutionNoiseSettings(**(luck or {})),
            LabelSettings(),
        )
        self.rules = TradingRules.of(
            *parts, StrategySettings(use="tests:none"), BacktestSettings()
        ).records(["AAA"])[0]
        self.state = ExchangeState.empty(["AAA", "BBB"])
        self.reports = records(MAX_REPORTS, REPORT)

    def said(self, count):
        return [
            (
                int(report["kind"]),
                int(report["role"]),
                float(report["quantity"]),
                float(report["price"]),
                int(report["closed"]),
            )
            for report in self.reports[:count]
        ]

    def submit(
        self,
        role,
        side,
        quantity=100.0,
        status=ORDER_OPEN,
        level=0.0,
        decided_at=0,
        since=0,
        after_exit=0,
        volatility=0.01,
    ):
        intent = records(1, ORDER)[0]
        for name, value in {
            "role": role,
            "side": side,
            "status": status,
            "quantity": quantity,
            "remaining": quantity,
            "level": level,
            "factor": 1.0,
        }.items():
            intent[name] = value
        intent["decided_at"], intent["since"], intent["after_exit"], intent["volatility"] = (
            decided_at,
            since,
            after_exit,
            volatility,
        )
        return self.said(
            exchange.submit(self.state.orders, self.state.keys, self.rules, intent, self.reports, 0)
        )

    def bracket(self, side, quantity, stop, take, since=0):
        self.submit(STOP, -side, quantity, level=stop, since=since)
        self.submit(TAKE, -side, quantity, level=take, since=since)

    def bar(self, prices, at=10, volume=1e6, factor=1.0):
        bar = records(1, BAR)[0]
        bar["open"], bar["high"], bar["low"], bar["close"] = prices
        bar["at"], bar["end"], bar["volume"], bar["factor"] = at, at + 5, volume, factor
        return bar

    def open(self, *bar, **more):
        return self.said(
            exchange.match_open(
                self.state.orders,
                self.state.keys,
                self.rules,
                self.bar(*bar, **more),
                self.reports,
                0,
            )
        )

    def range(self, *bar, **more):
        return self.said(
            exchange.match_range(
                self.state.orders,
                self.state.keys,
                self.rules,
                self.bar(*bar, **more),
                self.reports,
                0,
            )
        )

    def split(self, ratio):
        return self.said(
            exchange.split_orders(self.state.orders, self.rules, 0, ratio, 10, self.reports, 0)
        )

    @property
    def working(self):
        return {
            int(role)
            for symbol, role in zip(
                *np.nonzero(self.state.orders["status"] == ORDER_OPEN), strict=True
            )
        }


CALM = (50.0, 51.0, 49.0, 50.5)


# --- market orders --------------------------------------------------------------------------------


def test_a_market_order_fills_at_the_open_of_the_first_bar_after_its_decision():
    floor = Floor()
    floor.submit(ENTRY, 1, decided_at=10)
    assert floor.open(CALM, at=9) == []
    assert floor.open(CALM, at=10) == [(FILL, ENTRY, 100.0, 50.0, 1)]
    assert floor.working == set()


def test_an_entry_beyond_the_volume_fills_in_part_and_the_rest_expires():
    floor = Floor(max_participation=0.05)
    floor.submit(ENTRY, 1, 100.0)
    said = floor.open(CALM, volume=1_239.0)
    assert [(kind, role, quantity, closed) for kind, role, quantity, _, closed in said] == [
        (FILL, ENTRY, 61.0, 0),
        (EXPIRE, ENTRY, 0.0, 1),
    ]
    assert floor.working == set()


def test_an_entry_on_a_bar_without_volume_expires():
    floor = Floor()
    floor.submit(ENTRY, 1)
    assert [kind for kind, *_ in floor.open(CALM, volume=0.0)] == [EXPIRE]


def test_an_exit_beyond_the_volume_goes_on_at_the_next_opens():
    floor = Floor(max_participation=0.1)
    floor.submit(EXIT, -1, 100.0)
    seen = [floor.open(CALM, at=at, volume=450.0) for at in (10, 20, 30)]
    assert [report[0][2] for report in seen] == [45.0, 45.0, 10.0]
    assert [report[0][4] for report in seen] == [0, 0, 1]
    assert int(floor.reports[0]["number"]) == 3


def test_a_reversing_entry_fills_after_its_exit_at_the_same_open():
    floor = Floor()
    floor.submit(EXIT, -1, 100.0)
    floor.submit(ENTRY, -1, 80.0, after_exit=1)
    assert [(kind, role, quantity) for kind, role, quantity, *_ in floor.open(CALM)] == [
        (FILL, EXIT, 100.0),
        (FILL, ENTRY, 80.0),
    ]


def test_a_reversing_entry_is_canceled_when_its_exit_is_not_done_at_that_open():
    floor = Floor(max_participation=0.05)
    floor.submit(EXIT, -1, 100.0)
    floor.submit(ENTRY, -1, 80.0, after_exit=1)
    assert [(kind, role) for kind, role, *_ in floor.open(CALM, volume=1_000.0)] == [
        (FILL, EXIT),
        (CANCEL, ENTRY),
    ]
    assert floor.working == {EXIT}


def test_a_reversing_entry_without_a_working_exit_is_canceled_at_once():
    assert [(kind, role) for kind, role, *_ in Floor().submit(ENTRY, -1, after_exit=1)] == [
        (CANCEL, ENTRY)
    ]


# --- brackets -------------------------------------------------------------------------------------

LONG = {"side": 1, "quantity": 100.0, "stop": 48.0, "take": 53.0}
SHORT = {"side": -1, "quantity": 100.0, "stop": 52.0, "take": 47.0}


@pytest.mark.parametrize(
    ("bracket", "prices", "leg", "price"),
    [
        (LONG, (50.0, 52.9, 48.1, 50.0), None, None),
        (LONG, (50.0, 51.0, 48.0, 49.0), STOP, 48.0),  # reached exactly
        (LONG, (50.0, 53.0, 49.0, 52.0), TAKE, 53.0),
        (LONG, (50.0, 60.0, 40.0, 50.0), STOP, 48.0),  # both inside one bar: the stop wins
        (LONG, (47.0, 54.0, 46.0, 50.0), STOP, 47.0),  # opens beyond the stop: filled there
        # opens beyond the profit: settled before the low
        (LONG, (54.5, 55.0, 47.0, 50.0), TAKE, 54.5),
        (SHORT, (50.0, 52.0, 49.0, 51.0), STOP, 52.0),
        (SHORT, (50.0, 51.0, 47.0, 48.0), TAKE, 47.0),
        (SHORT, (50.0, 60.0, 40.0, 50.0), STOP, 52.0),
        (SHORT, (53.0, 54.0, 46.0, 50.0), STOP, 53.0),
        (SHORT, (46.5, 55.0, 46.0, 50.0), TAKE, 46.5),
    ],
)
def test_a_bracket_meets_a_bar_as_the_trading_rule_says(bracket, prices, leg, price):
    floor = Floor()
    floor.bracket(**bracket)
    said = floor.range(prices)
    if leg is None:
        assert said == []
        assert floor.working == {STOP, TAKE}
        return
    other = TAKE if leg == STOP else STOP
    assert [(kind, role) for kind, role, *_ in said] == [(FILL, leg), (CANCEL, other)]
    assert said[0][3] == price
    assert floor.working == set()


def test_on_the_entry_bar_the_open_is_the_entry_and_settles_nothing():
    """50 lies on the take level: on a later bar that open would be the fill; on the entry bar only
    the low counts, and it reaches the stop.
    """
    prices, bracket = (
        (50.0, 50.0, 47.0, 48.0),
        {
            "side": 1,
            "quantity": 100.0,
            "stop": 48.0,
            "take": 50.0,
        },
    )
    later, entry = Floor(), Floor()
    later.bracket(**bracket, since=5)
    entry.bracket(**bracket, since=10)
    assert [later.range(prices, at=10)[0][1], entry.range(prices, at=10)[0][1]] == [TAKE, STOP]


def test_a_stop_pays_the_spread_and_a_profit_does_not():
    floor = Floor(half_spread_bps=10.0)
    floor.bracket(**LONG)
    assert floor.range((50.0, 51.0, 47.0, 48.0))[0][3] == 47.95  # 48 * 0.999 = 47.952, down
    assert int(floor.reports[0]["maker"]) == 0
    floor.bracket(**LONG)
    assert floor.range((50.0, 53.5, 49.0, 53.0))[0][3] == 53.0
    assert (int(floor.reports[0]["maker"]), float(floor.reports[0]["slippage"])) == (1, 0.0)


def test_levels_move_with_splits_and_dividends():
    floor = Floor()
    floor.bracket(**LONG)
    floor.split(2.0)
    assert floor.range((25.0, 26.0, 24.1, 25.0), factor=2.0) == []
    said = floor.range((25.0, 26.0, 24.0, 25.0), factor=2.0)
    assert (said[0][2], said[0][3]) == (200.0, 24.0)


@pytest.mark.parametrize(
    ("prices", "leg"), [((50.0, 51.0, 47.0, 48.0), STOP), ((50.0, 54.0, 49.0, 53.0), TAKE)]
)
def test_a_leg_beyond_the_volume_fills_in_part_and_the_bracket_ends(prices, leg):
    floor = Floor(max_participation=0.1)
    floor.bracket(**LONG)
    said = floor.range(prices, volume=333.0)
    assert [(kind, role, quantity) for kind, role, quantity, *_ in said] == [
        (FILL, leg, 33.0),
        (EXPIRE, leg, 0.0),
        (CANCEL, TAKE if leg == STOP else STOP, 0.0),
    ]
    floor.bracket(**LONG)
    assert [(kind, role) for kind, role, *_ in floor.range(prices, volume=0.0)] == [
        (EXPIRE, leg),
        (CANCEL, TAKE if leg == STOP else STOP),
    ]
    assert floor.working == set()


# --- cancel, refuse, split, chance ----------------------------------------------------------------


def test_a_cancel_ends_what_works_and_is_silent_otherwise():
    floor = Floor()
    floor.submit(EXIT, -1)
    assert [(kind, role) for kind, role, *_ in floor.submit(EXIT, 0, status=CANCELED)] == [
        (CANCEL, EXIT)
    ]
    assert floor.submit(EXIT, 0, status=CANCELED) == []
    assert floor.open(CALM) == []


def test_a_refused_order_never_reaches_the_exchange():
    floor = Floor()
    assert floor.submit(ENTRY, 1, status=REFUSED) == []
    assert floor.working == set()


def test_a_reverse_split_keeps_whole_lots_and_cancels_what_vanishes():
    floor = Floor()
    floor.submit(EXIT, -1, 25.0)
    floor.submit(ENTRY, -1, 9.0)
    assert [(kind, role) for kind, role, *_ in floor.split(0.1)] == [(CANCEL, ENTRY)]
    assert float(floor.state.orders[0, EXIT]["remaining"]) == 2.0


def test_rejection_is_drawn_by_the_decision_and_its_kind():
    outcome = {}
    for decided_at in range(200):
        floor = Floor(luck={"reject_probability": 0.3, "seed": 5})
        outcome[decided_at] = bool(floor.submit(ENTRY, 1, decided_at=decided_at))
    key = ExchangeState.empty(["AAA", "BBB"]).keys[0]
    assert outcome == {at: uniform(np.uint64(5), key, at, ENTRY, 0) < 0.3 for at in range(200)}
    assert 30 < sum(outcome.values()) < 90


def test_legs_are_never_rejected():
    floor = Floor(luck={"reject_probability": 1.0})
    floor.bracket(**LONG)
    assert floor.working == {STOP, TAKE}


def test_a_partial_fill_is_drawn_by_the_bar():
    key = ExchangeState.empty(["AAA", "BBB"]).keys[0]
    for at in range(10, 60):
        floor = Floor(luck={"partial_fill_probability": 0.5, "seed": 5})
        floor.submit(EXIT, -1, 100.0)
        floor.open(CALM, at=at)
        cut = uniform(np.uint64(5), key, at, EXIT, 1) < 0.5
        expected = np.floor(100.0 * uniform(np.uint64(5), key, at, EXIT, 2)) if cut else 100.0
        assert 100.0 - float(floor.state.orders[0, EXIT]["remaining"]) == expected


def test_the_state_survives_json_to_the_last_bit():
    floor = Floor()
    floor.submit(EXIT, -1, 1 / 3, volatility=0.1 + 0.2)
    floor.bracket(1, 1e-7, 48.000000000001, 53.0)
    restored = ExchangeState.from_dict(json.loads(json.dumps(floor.state.to_dict())))
    assert (restored.orders == floor.state.orders).all()
    assert (restored.keys == floor.state.keys).all()
    copy = floor.state.copy()
    floor.open(CALM)
    assert copy.to_dict() != floor.state.to_dict()


def test_the_status_of_an_order_follows_from_its_reports():
    assert status_after(0, REJECT, 1) == REJECTED
    assert status_after(1, FILL, 1) == FILLED
    assert status_after(1, FILL, 0) == PARTIALLY_FILLED
    assert (status_after(0, CANCEL, 1), status_after(0, EXPIRE, 1)) == (CANCELED, CANCELED)
    assert (status_after(2, CANCEL, 1), status_after(1, EXPIRE, 1)) == (
        PARTIALLY_FILLED,
        PARTIALLY_FILLED,
    )


def waits(**luck):
    """Numbers of the bars, from 0 on, at which an entry decided at 10 fills; bars start at 10, 15,
    20 ...
    """
    floor = Floor(luck=luck)
    floor.submit(ENTRY, 1, decided_at=10)
    bars = range(30)
    return next(
        bar for bar in bars if any(row[0] == FILL for row in floor.open(CALM, at=10 + 5 * bar))
    )


def test_an_order_that_needs_time_misses_the_bars_that_start_earlier():
    assert waits() == 0
    assert waits(latency_milliseconds=0.001) == 1  # a microsecond is too late for the first open
    assert waits(latency_milliseconds=0.005) == 1
    assert waits(latency_milliseconds=0.006) == 2
    assert waits(latency_bars=3) == 3
    assert waits(latency_bars=3, latency_milliseconds=0.006) == 5


def test_a_bar_with_a_spread_of_its_own_is_traded_at_that_one():
    floor = Floor(half_spread_bps=10.0)
    prices = []
    for estimate in (0.0, 40.0):
        floor.submit(ENTRY, 1, decided_at=10)
        bar = floor.bar(CALM)
        bar["half_spread_bps"] = estimate
        count = exchange.match_open(
            floor.state.orders, floor.state.keys, floor.rules, bar, floor.reports, 0
        )
        prices += [price for _, _, _, price, _ in floor.said(count)]
    assert prices == [50.05, 50.2]


def test_a_late_bar_is_drawn_by_symbol_and_time():
    key = ExchangeState.empty(["AAA", "BBB"]).keys[0]
    found = {}
    for decided_at in range(200):
        floor = Floor(luck={"late_bar_probability": 0.3, "late_bars": 2, "seed": 5})
        floor.submit(EXIT, -1, decided_at=decided_at)
        bars = [bool(floor.open(CALM, at=decided_at + bar)) for bar in range(3)]
        found[decided_at] = bars.index(True)
    late = {at: uniform(np.uint64(5), key, at, 0, 3) < 0.3 for at in range(200)}
    assert found == {at: 2 if late[at] else 0 for at in range(200)}
    assert 30 < sum(late.values()) < 90


def test_a_reversal_stays_together_on_a_late_bar():
    for decided_at in range(20):
        floor = Floor(luck={"late_bar_probability": 0.5, "latency_bars": 1})
        floor.submit(EXIT, -1, decided_at=decided_at)
        floor.submit(ENTRY, -1, decided_at=decided_at, after_exit=1)
        met = [floor.open(CALM, at=decided_at + bar) for bar in range(3)]
        assert [[row[:2] for row in rows] for rows in met if rows] == [
            [(FILL, EXIT), (FILL, ENTRY)]
        ]


def test_the_legs_wait_at_the_exchange_already():
    floor = Floor(luck={"latency_bars": 5, "late_bar_probability": 1.0})
    floor.bracket(**LONG)
    assert floor.range((50.0, 50.5, 45.0, 46.0))[0][:2] == (FILL, STOP)


def test_what_an_order_has_waited_survives_a_restart_and_older_states_have_waited_nothing():
    floor = Floor(luck={"latency_bars": 2})
    floor.submit(ENTRY, 1, decided_at=10)
    floor.open(CALM, at=10)
    saved = json.loads(json.dumps(floor.state.to_dict()))
    assert ExchangeState.from_dict(saved).orders[0, ENTRY]["waited"] == 1
    del saved["orders"]["waited"]
    assert ExchangeState.from_dict(saved).orders[0, ENTRY]["waited"] == 0
