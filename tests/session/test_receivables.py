"""Cash of corporate actions that is paid later, otherwise, under another word, or never: what the
broker must have is what it has, to the last money unit.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import date, timedelta
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.execution.brokers.base import CashActivity
from harmony_pipeline.portfolio.kernel_types import MONEY
from harmony_pipeline.session.receivables import Receivables

FIRST = date(2024, 6, 3)
SYMBOLS = ("AAA", "BBB")
KINDS = {"dividend": "dividend", "split": "split", "delisting": "payout"}


def activity(
    number: int, kind: str, symbol: str | None, day: date, units: int, name: str = "DIV"
) -> CashActivity:
    return CashActivity(f"a-{number}", kind, name, symbol, day, units / MONEY)  # type: ignore[arg-type]


@dataclass
class Account:
    """A broker's cash and activities beside our books, each changed by itself. `tells`: whether it
    tells its activities.
    """

    tells: bool
    books: int = 1_000_000_0000
    cash: int = 1_000_000_0000
    today: date = FIRST
    owed: Receivables = field(default_factory=Receivables)
    told: list[CashActivity] = field(default_factory=list)
    booked: int = 0
    due: dict[tuple[str, str, date], int] = field(default_factory=dict)  # at the broker
    is_late: bool = False  # tells an activity after its cash
    silent: int = 0  # of `told`, the last ones, which the broker does not tell yet

    def accrue(self, action: str, symbol: str, units: int) -> None:
        self.books += units
        self.owed.accrue(symbol, action, self.today, units)
        key = (action, symbol, self.today)
        self.due[key] = self.due.get(key, 0) + units  # positions in a symbol are paid together

    def pay(self, place: int, more: int, *, under: str | None, tax: int) -> None:
        """The broker pays one of what is due, perhaps `more` of it, and keeps a tax."""
        if not self.due:
            return
        action, symbol, _ = key = sorted(self.due)[place % len(self.due)]
        paid = self.due.pop(key) + more
        self._move(KINDS[action], under or symbol, paid)
        if tax:
            self._move("other", symbol, -tax)

    def _move(self, kind: str, symbol: str, units: int) -> None:
        self.cash += units
        self.told.append(activity(len(self.told), kind, symbol, self.today, units))
        self.silent += self.is_late

    def look(self) -> None:
        """As reconciliation does; the state goes through a snapshot each time."""
        saved = json.loads(json.dumps(self.owed.checkpoint()))
        self.owed = Receivables.restored(saved)
        assert self.owed.checkpoint() == saved
        if self.difference and self.tells:
            self.owed.settle_told(self._asked())
            self.owed.read_until(self.today)
        if self.difference:
            self.owed.settle_shown(self.difference)

    def look_told(self) -> None:
        """By its activities alone."""
        self.owed = Receivables.restored(json.loads(json.dumps(self.owed.checkpoint())))
        self.owed.settle_told(self._asked())
        self.owed.read_until(self.today)

    def _asked(self) -> Sequence[CashActivity]:
        since = self.owed.since
        told = self.told[: len(self.told) - self.silent]
        return [each for each in told if since is None or each.date >= since]

    def next_session(self) -> None:
        """Books take what was paid otherwise."""
        self.books += self.owed.unbooked
        self.booked += self.owed.unbooked
        self.owed.unbooked = 0
        self.today += timedelta(days=1)
        self.owed.forget(self.today)

    @property
    def difference(self) -> int:
        return self.cash - self.owed.broker_cash(self.books)


ACCRUALS = st.tuples(
    st.just("accrue"), st.sampled_from(sorted(KINDS)), st.sampled_from(SYMBOLS),
    st.integers(-50_0000, 50_0000).filter(lambda units: abs(units) > 10_000),
)  # fmt: skip
PAYMENTS = st.tuples(
    st.just("pay"), st.integers(0, 20),
    st.one_of(st.just(0), st.integers(-50, 50), st.integers(-3000, 3000)),
    st.sampled_from([None, None, "ZZZ"]), st.sampled_from([0, 0, 15_000]),
)  # fmt: skip
STEPS = st.lists(
    st.one_of(
        ACCRUALS, PAYMENTS, st.tuples(st.just("look")), st.tuples(st.just("night")),
        st.tuples(st.just("write_off"), st.integers(0, 5)),
    ),
    max_size=40,
)  # fmt: skip


def run(account: Account, steps: Sequence[tuple[Any, ...]]) -> None:
    for step in steps:
        match step:
            case ("accrue", action, symbol, units):
                account.accrue(action, symbol, units)
            case ("pay", place, more, under, tax):
                account.pay(place, more, under=under, tax=tax)
            case ("look",):
                account.look()
            case ("night",):
                account.next_session()
            case ("write_off", days):
                account.look()
                for item in account.owed.overdue(account.today, days):
                    account.owed.write_off(item)


@settings(max_examples=200, deadline=None)
@given(steps=STEPS)
def test_a_broker_that_tells_its_activities_is_known_to_the_unit(steps: list[Any]) -> None:
    """However much it pays, whatever it keeps, whether or not it was written off, once told."""
    account = Account(tells=True)
    run(account, steps)
    account.look()
    assert account.difference == 0
    account.next_session()
    assert account.difference == 0
    # whoever has paid everything owes nothing, and the books have exactly what was paid
    while account.due:
        account.pay(0, 0, under=None, tax=0)
    account.look()
    account.next_session()
    for item in account.owed.open:
        account.owed.write_off(item)
    account.next_session()
    assert account.books == account.cash


@settings(max_examples=100, deadline=None)
@given(
    steps=st.lists(
        st.one_of(ACCRUALS, st.tuples(st.just("pay"), st.integers(0, 20), st.integers(-49, 49))),
        max_size=10,
    )
)
def test_a_broker_that_tells_nothing_is_known_by_its_cash(
    steps: list[Any],
) -> None:
    """Each payment is looked for as it comes, in whole cents of what was booked."""
    account = Account(tells=False)
    for step in steps:
        if step[0] == "accrue":
            account.accrue(*step[1:])
        else:
            account.pay(step[1], step[2], under=None, tax=0)
            account.look()
        assert account.difference == 0


TOLD = st.tuples(st.just("tell"), st.integers(0, 3))


@settings(max_examples=200, deadline=None)
@given(steps=st.lists(st.one_of(ACCRUALS, PAYMENTS, TOLD, st.just(("look",))), max_size=30))
def test_cash_that_is_seen_before_it_is_told_is_known_to_the_unit_once_told(
    steps: list[Any],
) -> None:
    """Whatever was guessed meanwhile of what paid it."""
    account = Account(tells=True, is_late=True)
    for step in [*steps, ("tell", 0)]:
        if step[0] == "tell":
            account.silent = min(account.silent, step[1])
        else:
            # what an action of a day owes is known when it is paid
            run(account, [("night",), step] if step[0] == "accrue" else [step])
        account.look()
    assert account.difference == 0


def paid_before_it_is_told(account: Account, action: str, symbol: str) -> None:
    """Cash alone is looked at."""
    [place] = [
        place for place, key in enumerate(sorted(account.due)) if key[:2] == (action, symbol)
    ]
    account.pay(place, 0, under=None, tax=0)
    account.look()


def test_a_guess_that_an_activity_contradicts_is_taken_back() -> None:
    """Two dividends of one amount: the cash of the second is taken for the first's, until told."""
    account = Account(tells=True, is_late=True)
    for symbol, units in (("AAA", 12_3400), ("BBB", 12_3400), ("CCC", 5_0000)):
        account.accrue("dividend", symbol, units)
    paid_before_it_is_told(account, "dividend", "BBB")
    assert [item.symbol for item in account.owed.open] == ["BBB", "CCC"]
    account.silent, account.is_late = 0, False
    paid_before_it_is_told(account, "dividend", "CCC")
    assert account.difference == 0
    assert [item.symbol for item in account.owed.open] == ["AAA"]
    paid_before_it_is_told(account, "dividend", "AAA")
    account.next_session()
    assert account.books == account.cash
    assert account.owed.open == []


@pytest.mark.parametrize("tells", [True, False])
def test_cash_is_taken_for_what_is_nearest_to_it(tells: bool) -> None:
    """The price of a part of a share is the broker's; a dividend's is known."""
    account = Account(tells=tells, is_late=True)
    account.accrue("split", "AAA", 10_0000)
    account.next_session()
    account.accrue("dividend", "BBB", 11_0000)
    paid_before_it_is_told(account, "dividend", "BBB")
    assert [item.symbol for item in account.owed.open] == ["AAA"]
    account.silent = 0
    paid_before_it_is_told(account, "split", "AAA")
    assert account.difference == account.owed.unbooked == 0
    assert account.owed.open == []


def test_cash_is_that_of_any_one_action_however_many_are_owed() -> None:
    account = Account(tells=False)
    for number in range(20):
        account.accrue("dividend", f"S{number:02}", (1 << number) * 1_0000)
        account.next_session()
    paid_before_it_is_told(account, "dividend", "S19")
    assert account.difference == 0
    assert len(account.owed.open) == 19


def test_an_activity_that_is_told_twice_in_one_answer_is_paid_once() -> None:
    account = Account(tells=True)
    account.accrue("dividend", "AAA", 12_3400)
    account.cash += 12_3400
    account.told = [activity(0, "dividend", "AAA", FIRST, 12_3400)] * 2
    account.look()
    assert account.difference == 0


def test_several_positions_in_a_symbol_are_paid_together() -> None:
    account = Account(tells=True)
    account.accrue("dividend", "AAA", 10_0000)
    account.accrue("dividend", "AAA", -4_0000)
    [item] = account.owed.open
    assert item.amount == 6_0000
    account.accrue("dividend", "AAA", -6_0000)
    assert account.owed.open == []


def test_the_payment_of_a_symbol_that_changed_is_known_by_its_amount() -> None:
    account = Account(tells=True)
    account.accrue("dividend", "OLD", 12_3400)
    account.pay(0, 0, under="NEW", tax=0)
    account.look()
    assert account.owed.open == []
    assert account.owed.unbooked == 0


@pytest.mark.parametrize("late", [False, True])
def test_what_its_cash_showed_first_is_not_taken_twice_when_it_is_told(late: bool) -> None:
    account = Account(tells=False)
    account.accrue("dividend", "AAA", 12_3400)
    account.pay(0, 0, under=None, tax=0)
    account.look()
    assert account.owed.open == []
    account.tells = True
    account.accrue("dividend", "BBB", 7_0000)
    account.pay(0, 0, under=None, tax=0)
    if late:
        account.next_session()
    account.look()
    assert account.owed.open == []
    assert account.difference == account.owed.unbooked == 0


def test_what_comes_after_it_was_written_off_is_in_the_books_again() -> None:
    for tells in (True, False):
        account = Account(tells=tells)
        account.accrue("dividend", "AAA", 12_3400)
        account.owed.write_off(account.owed.open[0])
        account.next_session()
        assert account.books == account.cash == 1_000_000_0000
        account.pay(0, 0, under=None, tax=0)
        account.look()
        account.next_session()
        assert account.books == account.cash == 1_000_012_3400
        assert account.owed.open == []


def test_cash_in_lieu_is_paid_at_the_brokers_price() -> None:
    for tells, more in ((True, 9_0000), (False, 1_5000)):
        account = Account(tells=tells)
        account.accrue("split", "AAA", 10_0000)
        account.pay(0, more, under=None, tax=0)
        account.look()
        assert account.owed.open == []
        account.next_session()
        assert account.books == account.cash


def test_another_difference_is_no_payment() -> None:
    account = Account(tells=True)
    account.accrue("dividend", "AAA", 12_3400)
    account.cash -= 50_0000
    account.look()
    assert account.difference == -50_0000
    assert [item.amount for item in account.owed.open] == [12_3400]


FEE_STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("trade"), st.integers(1, 30_000)),
        st.tuples(st.just("charge"), st.integers(1, 40_000), st.booleans()),
        st.tuples(st.just("dividend"), st.integers(20_000, 90_000)),
        st.tuples(st.just("look")), st.tuples(st.just("night")), st.tuples(st.just("close")),
    ),
    max_size=40,
)  # fmt: skip


@settings(max_examples=200, deadline=None)
@given(steps=FEE_STEPS)
def test_a_broker_has_no_more_than_our_cash_and_the_fees_that_it_has_not_told(
    steps: list[Any],
) -> None:
    """Whenever it books them, of whichever day, more or less than was estimated, or never."""
    account = Account(tells=True)
    for step in steps:
        match step:
            case ("trade", fee):
                account.books -= fee
                account.owed.accrue_fees(account.today, fee)
            case ("charge", fee, is_named):
                account._move("fee", None, -fee)  # type: ignore[arg-type]
                if is_named:
                    last = account.told.pop()
                    account.told.append(replace(last, traded_on=account.today - timedelta(days=1)))
            case ("dividend", units):
                account._move("dividend", "AAA", units)
            case ("look",):
                account.look_told()
                assert account.difference == account.owed.uncharged
            case ("night",):
                account.next_session()
            case ("close",):
                account.look_told()
                account.owed.close_fees(account.today, account.difference)
                assert account.difference == account.owed.uncharged
    account.look_told()
    assert account.difference == account.owed.uncharged >= 0
    account.today += timedelta(days=9)
    closed = account.owed.close_fees(account.today, account.difference)
    assert account.owed.uncharged == account.difference == 0
    assert all(each.paid == 0 for each in closed)  # none of them was ever taken
    account.next_session()
    assert account.books == account.cash


def test_fees_that_were_taken_without_a_word_are_not_given_back() -> None:
    owed = Receivables()
    owed.accrue_fees(FIRST, 12_000)
    owed.accrue_fees(FIRST + timedelta(days=6), 3_000)
    [closed] = owed.close_fees(FIRST + timedelta(days=6), more=3_000)
    assert (closed.paid, owed.unbooked, owed.uncharged) == (-12_000, 0, 3_000)


@pytest.mark.parametrize("tells", [True, False])
def test_what_is_booked_beside_what_was_paid_is_owed_by_itself(tells: bool) -> None:
    """A strategy's shares are booked at its first bar, when those of another were paid already."""
    account = Account(tells=tells, is_late=True)
    account.accrue("dividend", "AAA", 500_000)
    account.pay(0, 0, under=None, tax=0)
    account.look()
    assert account.difference == 0
    account.accrue("dividend", "AAA", 200_000)
    assert [item.amount for item in account.owed.open] == [200_000]
    assert account.difference == 0
    account.silent = 0
    account.look()
    assert account.difference == 0
    account.pay(0, 0, under=None, tax=0)
    account.silent = 0
    account.look()
    assert account.owed.open == []
    assert account.difference == 0
    account.next_session()
    assert account.books == account.cash


def test_what_is_booked_beside_what_was_written_off_is_owed_by_itself() -> None:
    account = Account(tells=False)
    account.accrue("dividend", "AAA", 500_000)
    [item] = account.owed.open
    account.owed.write_off(item)
    account.accrue("dividend", "AAA", 200_000)
    [again] = account.owed.open
    assert again.key != item.key
    assert account.difference == 0
