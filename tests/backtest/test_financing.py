"""What a night costs: borrowed shares and interest, against decimal arithmetic."""

import math
from datetime import date
from decimal import Decimal

import numpy as np
from backtest.random_markets import rules
from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.portfolio.financing import accrue_financing
from harmony_pipeline.portfolio.portfolio_state import PortfolioState
from harmony_pipeline.portfolio.position_accounting import revalue

FRIDAY = (date(2024, 6, 28) - date(1970, 1, 1)).days
SYMBOLS = ["AAA", "BBB", "CCC"]


def books(cash=100_000.0, day=FRIDAY, shares=(0.0, 0.0, 0.0), price=50.0, **costs):
    """A portfolio at the end of the session `day`, and its rules."""
    table = rules(costs=costs).records(SYMBOLS)
    state = PortfolioState.opening(SYMBOLS, cash)
    state.account["date"] = day
    for position, of_symbol, quantity in zip(state.positions, table, shares, strict=True):
        position["quantity"] = quantity
        revalue(position, state.account[0], of_symbol, price)
    return state, table


def night(state, table, date):
    accrue_financing(state.positions, state.account[0], table, date)
    return state


def half_up(amount):
    return math.floor(amount + Decimal("0.5"))


def test_a_weekend_of_a_borrowed_share_costs_three_days():
    state, table = books(shares=(-100.0, 200.0, 0.0), borrow_rate=0.36)
    night(state, table, FRIDAY + 3)  # 5,000 * 0.36 * 3 / 360 = 15
    assert state.positions["cash_flow"].tolist() == [-150_000, 0, 0]
    account = state.account[0]
    assert (account["borrow"], account["interest"]) == (150_000, 0)
    assert account["cash"] == 1_000_000_000 - 150_000


def test_a_symbol_has_its_own_borrow_rate():
    state, table = books(
        shares=(-100.0, -100.0, 0.0), borrow_rate=0.036, symbols={"BBB": {"borrow_rate": 0.72}}
    )
    night(state, table, FRIDAY + 1)
    assert state.positions["cash_flow"].tolist() == [-5_000, -100_000, 0]


def test_cash_earns_but_not_what_a_short_sale_brought():
    state, table = books(cash=100_000.0, shares=(-400.0, 0.0, 0.0), interest_rate=0.036)
    night(state, table, FRIDAY + 1)  # 100,000 - 20,000 = 80,000, at 0.036 / 360: 8
    assert state.account["interest"][0] == 80_000
    assert state.account["cash"][0] == 1_000_080_000
    assert state.positions["cash_flow"].tolist() == [0, 0, 0]


def test_a_debit_pays_its_own_rate():
    state, table = books(cash=10.0, shares=(100.0, 0.0, 0.0), interest_rate=0.02, debit_rate=0.072)
    state.account["cash"] = -50_000_000  # 5,000 lent to us
    night(state, table, FRIDAY + 1)
    assert state.account["interest"][0] == -10_000


def test_nothing_is_charged_before_the_first_session_nor_twice_in_one():
    for day in (FRIDAY, FRIDAY - 1):
        state, table = books(shares=(-1.0, 0.0, 0.0), borrow_rate=1.0, interest_rate=1.0)
        before = state.copy()
        night(state, table, day)
        assert (state.account == before.account).all()
    first = PortfolioState.opening(SYMBOLS, 1e6)
    night(first, table, FRIDAY)
    assert first.account["cash"][0] == 10_000_000_000


def test_rates_of_nothing_move_no_money():
    state, table = books(shares=(-7.0, 3.0, 0.0))
    before = state.copy()
    night(state, table, FRIDAY + 3)
    assert (state.account == before.account).all()
    assert (state.positions == before.positions).all()


@given(
    cash=st.integers(-(10**12), 10**12),
    shares=st.tuples(*[st.integers(-(10**4), 10**4)] * 3),
    cents=st.integers(1, 10**5),
    nights=st.integers(1, 5),
    rates=st.tuples(*[st.sampled_from([0.0, 0.003, 0.05, 0.4])] * 3),
)
def test_every_amount_is_what_decimal_arithmetic_says(cash, shares, cents, nights, rates):
    borrow, interest, debit = rates
    state, table = books(
        shares=tuple(map(float, shares)), price=cents / 100, borrow_rate=borrow,
        interest_rate=interest, debit_rate=debit,
    )  # fmt: skip
    state.account["cash"] = cash
    night(state, table, FRIDAY + nights)
    values = [100 * cents * quantity for quantity in shares]
    short = [max(-value, 0) for value in values]
    lent = [Decimal(value) * Decimal(borrow) * nights / 360 for value in short]
    paid = [half_up(amount) for amount in lent]
    own = cash - sum(paid) - sum(short)
    earned = Decimal(own) * Decimal(interest if own > 0 else debit) * nights / 360
    ties = [amount % 1 for amount in (*lent, earned)]
    if any(abs(part - Decimal("0.5")) < Decimal("1e-4") for part in ties):
        return  # a tie that binary floats may see on either side
    assert (-state.positions["cash_flow"]).tolist() == paid
    assert state.account["borrow"][0] == sum(paid)
    assert state.account["interest"][0] == half_up(earned)
    assert state.account["cash"][0] == cash - sum(paid) + half_up(earned)


def test_a_saved_account_without_financing_begins_at_nothing():
    state, table = books(shares=(-1.0, 0.0, 0.0), borrow_rate=0.36, interest_rate=0.036)
    night(state, table, FRIDAY + 1)
    again = PortfolioState.from_dict(state.to_dict())
    assert (again.account == state.account).all()
    saved = state.to_dict()
    del saved["account"]["borrow"], saved["account"]["interest"]
    old = PortfolioState.from_dict(saved)
    assert (old.account["borrow"][0], old.account["interest"][0]) == (0, 0)
    assert np.array_equal(old.account["cash"], state.account["cash"])
