"""State machines: the adapter says what a plain run says, and the opening-range breakout does what
its page says.
"""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from harmony_pipeline.errors import DataError
from harmony_pipeline.strategies.base import Bar, Enter, Leave, StateMachine, Stepwise, signals_of
from harmony_pipeline.strategies.breakout import OpeningRangeBreakout
from harmony_pipeline.testing.strategy_contract import StrategyContract

MONDAY = datetime(2024, 3, 4, 14, 30, tzinfo=UTC)  # 09:30 in New York


def bar(number, close, high=None, low=None, session="regular", day=0, symbol="A"):
    at = MONDAY + timedelta(days=day, minutes=15 * number)
    return Bar(
        symbol,
        at,
        session,
        close,
        close if high is None else high,
        close if low is None else low,
        close,
        1000.0,
    )


def said(machine, *bars):
    return [
        (type(intent).__name__, getattr(intent, "side", 0))
        for heard in bars
        for intent in machine.on_bar(heard)
    ]


def test_the_first_close_above_the_range_is_followed_once_a_day():
    machine = OpeningRangeBreakout(range_bars=2)
    forming = said(machine, bar(0, 100, 101, 99), bar(1, 100, 102, 98))
    assert forming == []
    assert said(machine, bar(2, 102)) == [], "on the edge is not outside"
    assert said(machine, bar(3, 102.01)) == [("Enter", 1)]
    assert said(machine, bar(4, 103), bar(5, 98)) == []
    assert said(machine, bar(6, 97.9)) == [("Leave", 0)]
    assert said(machine, bar(7, 103)) == [], "one entry a day"


def test_a_close_below_the_range_goes_short_and_the_day_s_end_closes_it():
    machine = OpeningRangeBreakout(range_bars=1)
    assert said(machine, bar(0, 100, 101, 99), bar(1, 98)) == [("Enter", -1)]
    assert said(machine, bar(23, 97)) == [], "15:15 is before exit_at"
    assert said(machine, bar(24, 97)) == [("Leave", 0)]


def test_no_entry_late_in_the_day():
    machine = OpeningRangeBreakout(range_bars=1)
    assert said(machine, bar(0, 100, 101, 99), bar(23, 105)) == []


def test_extended_hours_neither_set_nor_break_the_range():
    machine = OpeningRangeBreakout(range_bars=1)
    assert said(machine, bar(-4, 50, 500, 5, session="pre"), bar(0, 100, 101, 99), bar(1, 102)) == [
        ("Enter", 1)
    ]


def test_what_a_half_day_left_open_is_left_on_the_next_day_s_first_bar():
    machine = OpeningRangeBreakout(range_bars=1)
    assert said(machine, bar(0, 100, 101, 99), bar(1, 102)) == [("Enter", 1)]
    assert said(machine, bar(-20, 102, session="pre", day=1)) == [("Leave", 0)]


def test_the_exchange_s_clock_follows_daylight_saving():
    summer = datetime(2024, 7, 1, 13, 30, tzinfo=UTC)
    machine = OpeningRangeBreakout(range_bars=1)
    heard = [
        Bar("A", summer + timedelta(minutes=15 * i), "regular", p, h, low, p, 1.0)
        for i, p, h, low in [(0, 100, 101, 99), (1, 102, 102, 102), (24, 102, 102, 102)]
    ]
    assert said(machine, *heard) == [("Enter", 1), ("Leave", 0)]


def test_symbols_do_not_mix():
    machine = OpeningRangeBreakout(range_bars=1)
    assert isinstance(machine, StateMachine)
    assert said(
        machine,
        bar(0, 100, 101, 99),
        bar(0, 10, 11, 9, symbol="B"),
        bar(1, 10, symbol="B"),
        bar(1, 102),
    ) == [("Enter", 1)]


class Echo:
    """Holds the sign of its feature while it is not zero; half strength."""

    def required_features(self):
        return ("momentum_5",)

    def on_bar(self, bar):
        (momentum,) = bar.features
        return (
            (Enter(bar.symbol, 1 if momentum > 0 else -1, 0.5),)
            if abs(momentum) > 1
            else (Leave(bar.symbol),)
        )


class TestEcho(StrategyContract):
    def strategy(self):
        return Stepwise(Echo)


@pytest.mark.parametrize("machine", [Echo, OpeningRangeBreakout])
def test_the_adapter_equals_a_plain_run(machine):
    class Contract(StrategyContract):
        def strategy(self):
            return Stepwise(machine)

    contract = Contract()
    features, bars = contract.features(), contract.bars()
    needed = machine().required_features()
    told = bars.join(features, on=["symbol", "timestamp"]).sort("timestamp", "symbol")
    plain, now, heard = machine(), {}, []
    for row in told.iter_rows(named=True):
        if any(row[name] is None for name in needed):
            continue
        prices = {name: row[name] for name in ("session", "open", "high", "low", "close", "volume")}
        for intent in plain.on_bar(
            Bar(
                row["symbol"],
                row["timestamp"],
                **prices,
                features=tuple(row[name] for name in needed),
            )
        ):
            now[intent.symbol] = intent
        last = now.get(row["symbol"])
        heard.append(
            (
                row["symbol"],
                row["timestamp"],
                last.side if isinstance(last, Enter) else 0,
                last.strength if isinstance(last, Enter) else 0.0,
            )
        )
    assert signals_of(Stepwise(machine), features, lambda: bars).rows() == sorted(heard)


def test_a_machine_without_bars_is_told_how_to_get_them():
    features = pl.DataFrame({"symbol": ["A"], "timestamp": [MONDAY], "momentum_5": [1.0]})
    with pytest.raises(DataError, match=r"lacks session, open, .*signals_of"):
        Stepwise(Echo).signals(features)


def test_bars_are_not_asked_for_by_a_column_strategy():
    from harmony_pipeline.strategies.rsi import RsiMomentum

    def never():
        raise AssertionError("it asked")

    features = pl.DataFrame(
        {"symbol": ["A"], "timestamp": [MONDAY], "rsi_14": [70.0]},
        schema_overrides={"timestamp": pl.Datetime("us", "UTC")},
    )
    assert signals_of(RsiMomentum(), features, never)["side"].to_list() == [1]
