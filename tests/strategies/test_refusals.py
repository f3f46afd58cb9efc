"""What is no signal is refused with the strategy, the symbol and the time; nothing of it is kept."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from harmony_pipeline.errors import DataError, NotReady
from harmony_pipeline.strategies.base import Stepwise, signals_of
from harmony_pipeline.strategies.events import (
    Bar,
    Enter,
    Fill,
    Leave,
    Post,
    Quote,
    SetTimer,
    Withdraw,
)
from harmony_pipeline.strategies.machines import MachineRun, run_events
from harmony_pipeline.testing.strategy_contract import StrategyContract

START = datetime(2024, 3, 4, 14, 30, tzinfo=UTC)
TIME = pl.Datetime("us", "UTC")
AT = "A at 2024-03-04 14:45"


def rows():
    stamps = [START + i * timedelta(minutes=15) for i in range(3)]
    return pl.DataFrame(
        {"symbol": ["A"] * 3, "timestamp": stamps}, schema_overrides={"timestamp": TIME}
    )


class Columns:
    """Returns the columns that it was made with."""

    def __init__(self, **columns):
        self.columns = columns

    def required_features(self):
        return ()

    def signals(self, features):
        frame = features.with_columns(side=pl.lit(1, pl.Int8), strength=pl.lit(1.0))
        return frame.with_columns(
            pl.Series(name, values, strict=False) for name, values in self.columns.items()
        )


class Returns:
    def __init__(self, answer):
        self.answer = answer

    def required_features(self):
        return ()

    def signals(self, features):
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


@pytest.mark.parametrize(
    ("strategy", "words"),
    [
        (Columns(side=[1, 2, 0]), f"strategy mine, {AT}.*: side 2: a side is -1, 0 or 1"),
        (Columns(side=[1, None, 0]), f"strategy mine, {AT}.*: side None"),
        (Columns(side=[0.0, float("nan"), 1.0]), f"strategy mine, {AT}.*: side nan"),
        (Columns(side=[0.0, 0.5, 1.0]), f"strategy mine, {AT}.*: side 0.5"),
        (Columns(strength=[1.0, float("nan"), 1.0]), f"strategy mine, {AT}.*: strength nan"),
        (Columns(strength=[1.0, None, 1.0]), f"strategy mine, {AT}.*: strength None"),
        (Columns(strength=[1.0, 1.1, 1.2]), f"strategy mine, {AT}.*strength 1.1.*2 such rows"),
        (Columns(strength=[1.0, float("inf"), 1.0]), f"strategy mine, {AT}.*: strength inf"),
        (Columns(symbol=["A", "ZZ", "A"]), "mine, ZZ at 2024-03-04 14:45.*given no bars of this"),
        (Columns(side=["long"] * 3), "strategy mine returned side as String"),
        (Returns(None), "strategy mine returned NoneType: signals are a Polars DataFrame"),
        (Returns(rows()), "strategy mine returned no column side"),
        (
            Returns(ZeroDivisionError("division by zero")),
            "strategy mine raised ZeroDivisionError: division by zero .it was given 3 rows of A, 2024",
        ),
    ],
)
def test_a_column_strategy_that_returns_no_signals_is_refused(strategy, words):
    with pytest.raises(DataError, match=words):
        signals_of(strategy, rows(), rows, "mine")


def test_what_a_strategy_refuses_itself_keeps_its_kind_and_gets_its_name():
    with pytest.raises(NotReady, match="strategy mine: nothing yet"):
        signals_of(Returns(NotReady("nothing yet")), rows(), rows, "mine")


def test_the_class_is_the_name_of_a_strategy_without_one():
    with pytest.raises(DataError, match="strategy Returns returned NoneType"):
        signals_of(Returns(None), rows(), rows)


class Says:
    """Answers the second bar with what it was made with."""

    def __init__(self, answer):
        self.answer, self.bars = answer, 0

    def required_features(self):
        return ()

    def on_bar(self, bar):
        self.bars += 1
        if self.bars != 2:
            return ()
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer


def bars():
    class Contract(StrategyContract):
        def strategy(self):
            return Stepwise(lambda: Says(()))

    return Contract().bars().filter(pl.col("symbol") == "BB").head(4)


MACHINE = [
    ((Enter("BB", 2),), "side 2 of Enter: it is -1 or 1"),
    ((Enter("BB", 0),), "side 0 of Enter"),
    ((Enter("BB", float("nan")),), "side nan of Enter"),
    ((Enter("BB", 1, float("nan")),), "strength nan of Enter: above 0 and up to 1"),
    ((Enter("BB", 1, 0.0),), "strength 0.0 of Enter"),
    ((Enter("BB", 1, 1.5),), "strength 1.5 of Enter"),
    ((Enter("ZZ", 1),), "Enter of 'ZZ': it was given no data of this symbol"),
    ((Leave("ZZ"),), "Leave of 'ZZ'"),
    (("BUY",), "it returned 'BUY', which is no intent"),
    (None, "it returned NoneType: return a tuple or list of intents"),
    (Enter("BB", 1), "it returned Enter: return a tuple or list"),
    (KeyError("close"), "it raised KeyError: 'close'"),
    ((Post("BB", 1, 10.0, 100.0),), "Post needs quotes: run it over ticks"),
    ((Withdraw("BB", 1),), "Withdraw needs quotes"),
    (
        (SetTimer(START - timedelta(days=1), "past"),),
        "timer 'past' at .*: it lies after the event that sets it",
    ),
]


@pytest.mark.parametrize(("answer", "words"), MACHINE)
def test_a_machine_that_goes_wrong_in_the_middle_of_a_day_is_refused(answer, words):
    frame = bars()
    second = frame["timestamp"][1]
    features = frame.select("symbol", "timestamp")
    with pytest.raises(
        DataError, match=f"strategy Says, BB at {second}.*: {words}".replace("+", ".")
    ):
        signals_of(Stepwise(lambda: Says(answer)), features, lambda: frame)


class Recorder:
    """Keeps what it was given; sets a timer with every quote of B."""

    def __init__(self):
        self.heard = []

    def required_features(self):
        return ()

    def on_bar(self, bar):
        self.heard.append(("bar", bar.symbol))
        return ()

    def on_quote(self, quote):
        self.heard.append(("quote", quote.symbol))
        return (SetTimer(quote.timestamp + timedelta(seconds=10), "later"),)

    def on_fill(self, fill):
        self.heard.append(("fill", fill.quantity))
        return (Leave(fill.symbol),)

    def on_timer(self, timer):
        self.heard.append(("timer", timer.timestamp))
        return (Enter("B", -1),)


def quote(seconds, symbol="B"):
    return Quote(symbol, START + timedelta(seconds=seconds), 10.0, 1.0, 10.1, 1.0)


def test_events_reach_their_methods_and_timers_come_once_and_in_time():
    machine = Recorder()
    last = Fill("B", START + timedelta(seconds=40), 1, 5.0, 10.0)
    said = list(run_events(machine, [quote(0), quote(4), quote(20), last]))
    ten = START + timedelta(seconds=14)
    assert machine.heard == [
        ("quote", "B"),
        ("quote", "B"),
        ("timer", ten),  # that of the first quote was replaced
        ("quote", "B"),
        ("timer", START + timedelta(seconds=30)),
        ("fill", 5.0),
    ]
    assert [type(intent).__name__ for _, intent in said] == [
        "SetTimer", "SetTimer", "Enter", "SetTimer", "Enter", "Leave"
    ]  # fmt: skip


def test_a_machine_without_a_method_is_not_given_the_event():
    assert list(run_events(Says(()), [quote(0), Fill("B", START, 1, 1.0, 1.0)])) == []


def test_a_timer_acts_between_two_bars():
    machine = Recorder()
    run = MachineRun(machine, "recorder")
    run.handle(quote(0))
    bar = Bar("B", START + timedelta(seconds=10), "regular", 10.0, 10.0, 10.0, 10.0, 1.0)
    assert run.handle_bar(bar) == (-1, 1.0)
    assert machine.heard[-2:] == [("timer", bar.timestamp), ("bar", "B")]


@pytest.mark.parametrize(
    ("price", "quantity"), [(0.0, 1.0), (1.0, 0.0), (float("nan"), 1.0), (1.0, float("inf"))]
)
def test_a_post_without_a_price_or_a_quantity_is_refused(price, quantity):
    class Posts(Recorder):
        def on_quote(self, quote):
            return (Post(quote.symbol, 1, price, quantity),)

    with pytest.raises(DataError, match="of Post: both are above 0"):
        list(run_events(Posts(), [quote(0)]))


class Sleeper:
    """Sets a timer of one name with every bar and every fill, and enters when it comes."""

    def __init__(self):
        self.heard = []

    def required_features(self):
        return ()

    def on_bar(self, bar):
        return (SetTimer(bar.timestamp + timedelta(minutes=30), "wake"),)

    def on_fill(self, fill):
        return (SetTimer(fill.timestamp + timedelta(minutes=10), "wake"),)

    def on_timer(self, timer):
        self.heard.append(timer.timestamp)
        return (Enter("B", 1),)


def test_a_driver_may_ask_for_the_next_timer_and_fire_it_at_its_moment():
    run = MachineRun(Sleeper(), "sleeper")
    assert run.hears_fills and not run.hears_quotes
    assert run.next_timer is None
    run.handle_bar(Bar("B", START, "regular", 1.0, 1.0, 1.0, 1.0, 1.0))
    assert run.next_timer == START + timedelta(minutes=30)
    run.hear_fill(Fill("B", START + timedelta(minutes=5), 1, 1.0, 1.0))
    later = START + timedelta(minutes=15)
    assert run.next_timer == later, "the timer of the same name is replaced"
    assert run.hear_timers(later - timedelta(seconds=1)) == []
    assert run.hear_timers(later) == [Enter("B", 1)]
    assert run.next_timer is None
    assert run.holding == {"B": (1, 1.0)}
    run.hear_fill(Fill("B", later, 1, 1.0, 1.0))
    run.hear_fill(Fill("B", later + timedelta(hours=1), 1, 1.0, 1.0))
    assert run.machine.heard == [later, later + timedelta(minutes=10)], "before the fill"
