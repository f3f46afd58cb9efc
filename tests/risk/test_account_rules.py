"""What an account may do: dates of the rules, the queue of settlement, day trades, margin."""

import json
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.portfolio.kernel_types import (
    ACCOUNT,
    BUYING_POWER,
    CASH,
    ENTRY,
    EXIT,
    MARGIN,
    MARGIN_CALL,
    MONEY,
    NO_REASON,
    ORDER,
    ORDER_OPEN,
    PATTERN_DAY_TRADING,
    POSITION,
    REPORT,
    RULES,
    UNSETTLED_CASH,
    records,
)
from harmony_pipeline.portfolio.margin_calls import margin_call
from harmony_pipeline.portfolio.portfolio_state import PortfolioState
from harmony_pipeline.risk.account_rules import (
    account_room,
    barred,
    begin_account_session,
    buying_power,
    margin_deficit,
    note_fill,
    settled_cash,
)
from harmony_pipeline.risk.account_settings import AccountSettings
from harmony_pipeline.risk.settings import RiskSettings

DAY = 20_000


def account_of(cash: float = 100_000.0, **fields: float):
    account = np.zeros(1, ACCOUNT)[0]
    account["cash"] = account["equity"] = account["day_equity"] = round(cash * MONEY)
    account["date"] = DAY
    for name, value in fields.items():
        account[name] = value
    return account


def rules_of(kind: int, **fields: float):
    rules = np.zeros(1, RULES)[0]
    for name, value in AccountSettings(day_trading="pattern").kernel_values(date.max).items():
        rules[name] = value
    rules["account_kind"], rules["multiplier"], rules["settlement_days"] = kind, 1.0, 1
    for name, value in fields.items():
        rules[name] = value
    return rules


def fill(role: int, side: int, value: float, number: int = 1, fee: float = 0.0):
    report = np.zeros(1, REPORT)[0]
    report["role"], report["side"], report["number"] = role, side, number
    report["price"], report["quantity"], report["fee"] = value, 1.0, round(fee * MONEY)
    return report


# --- dates ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("day", "asset_class", "sessions"),
    [
        (date(2017, 9, 1), "us_equity", 3),
        (date(2017, 9, 5), "us_equity", 2),
        (date(2024, 5, 24), "us_equity", 2),
        (date(2024, 5, 28), "us_equity", 1),
        (date.max, "us_equity", 1),
        (date(2020, 1, 1), "crypto", 0),
        (date(2020, 1, 1), "fx", 0),
    ],
)
def test_proceeds_settle_by_the_rule_of_the_day(day, asset_class, sessions):
    assert AccountSettings(kind="cash").settles_after(asset_class, day) == sessions
    assert AccountSettings(kind="cash", settlement_days=4).settles_after(asset_class, day) == 4


def test_day_trades_are_counted_until_the_rule_was_replaced():
    counts = {
        (chosen, day): AccountSettings(day_trading=chosen).kernel_values(day)["counts_day_trades"]
        for chosen in ("by_date", "pattern", "intraday_margin")
        for day in (date(2026, 6, 3), date(2026, 6, 4))
    }
    assert list(counts.values()) == [True, False, True, True, False, False]


def test_an_account_without_rules_changes_no_id_and_no_record():
    assert "account" not in RiskSettings().model_dump(mode="json")
    assert "account" in RiskSettings(account={"kind": "cash"}).model_dump(mode="json")
    assert not AccountSettings().changes()
    assert date(2024, 5, 28) in AccountSettings(kind="cash").changes()


# --- cash -----------------------------------------------------------------------------------------

SALES = st.lists(st.tuples(st.integers(0, 5), st.integers(0, 500), st.booleans()), max_size=30)


@settings(max_examples=20)
@given(sales=SALES)
def test_the_queue_of_settlement_is_that_of_a_list_of_sales(sales):
    account, position = account_of(), np.zeros(1, POSITION)[0]
    position["side"], naive, session = 1, [], 0
    for days, value, sleeps in sales:
        rules = rules_of(CASH, settlement_days=days)
        if sleeps:
            session += 1
            begin_account_session(account, rules, DAY + session)
            account["date"] = DAY + session
        note_fill(position, account, rules, fill(EXIT, -1, float(value), fee=0.01))
        naive.append((session + days, max(round(value * MONEY) - 100, 0)))
        waits = sum(amount for since, amount in naive if since > session)
        assert settled_cash(account) == account["cash"] - waits


def test_what_waits_comes_back_from_a_saved_state():
    state = PortfolioState.opening(["A"], 1000.0)
    state.account[0]["unsettled"][2], state.account[0]["day_trades"][4] = 77, 3
    again = PortfolioState.from_dict(json.loads(json.dumps(state.to_dict())))
    assert (again.account == state.account).all()
    saved = state.to_dict()
    for name in ("unsettled", "day_trades", "trades", "pattern_day_trader", "day_power"):
        del saved["account"][name]
    for name in ("opened_on", "day_traded"):
        del saved["positions"][name]
    assert settled_cash(PortfolioState.from_dict(saved).account[0]) == 1000 * MONEY


# --- day trades -----------------------------------------------------------------------------------


def day_trades(*fills):
    """Those of one symbol: FINRA's examples, as (role, side, number) of each fill."""
    account, position, rules = account_of(), np.zeros(1, POSITION)[0], rules_of(MARGIN)
    for role, side, number, after in fills:
        note_fill(position, account, rules, fill(role, side, 10.0, number))
        position["side"] = after
    return int(account["day_trades"][0]), int(account["trades"][0])


def test_day_trades_are_counted_as_finra_does():
    bought, sold = (ENTRY, 1, 1, 1), (EXIT, -1, 1, 0)
    assert day_trades(bought, (ENTRY, 1, 2, 1), sold) == (1, 2)
    assert day_trades(bought, (EXIT, -1, 1, 1), (EXIT, -1, 2, 0)) == (1, 2)
    assert day_trades(bought, sold, bought, sold) == (2, 4)
    assert day_trades((ENTRY, -1, 1, -1), (EXIT, 1, 1, 0)) == (1, 2)


@pytest.mark.parametrize(
    ("before", "trades", "opened", "waiting", "equity", "flagged", "expected"),
    [
        (3, 6, 0, 0, 24_999.0, 0, PATTERN_DAY_TRADING),
        (2, 6, 0, 0, 24_999.0, 0, NO_REASON),
        (2, 6, 1, 0, 24_999.0, 0, PATTERN_DAY_TRADING),
        (2, 6, 0, 1, 24_999.0, 0, PATTERN_DAY_TRADING),
        (3, 6, 0, 0, 25_000.0, 0, NO_REASON),
        (0, 0, 0, 0, 24_999.0, 1, PATTERN_DAY_TRADING),
        (0, 0, 0, 0, 25_000.0, 1, NO_REASON),
        (3, 64, 0, 0, 24_999.0, 0, PATTERN_DAY_TRADING),  # 4 of 66
        (3, 65, 0, 0, 24_999.0, 0, NO_REASON),  # 4 of 67 are less than 6 %
    ],
)
def test_an_entry_that_could_become_the_fourth_day_trade_is_barred(
    before, trades, opened, waiting, equity, flagged, expected
):
    account = account_of(equity, pattern_day_trader=flagged)
    account["day_trades"][4], account["trades"][3] = before, trades
    positions = np.zeros(3, POSITION)
    positions[1]["quantity"], positions[1]["opened_on"] = opened, DAY
    positions[2]["entry_working"] = waiting
    assert barred(positions, account, rules_of(MARGIN), 0, 1) == expected
    assert barred(positions, account, rules_of(MARGIN, counts_day_trades=0), 0, 1) == NO_REASON
    begin_account_session(account, rules_of(MARGIN), DAY + 1)
    assert int(account["day_trades"].sum()) == 0  # the oldest session leaves the window


def test_to_add_to_a_position_of_today_is_no_day_trade_of_its_own():
    account = account_of(24_999.0)
    account["day_trades"][1], account["trades"][1] = 2, 4
    positions = np.zeros(2, POSITION)
    positions[1]["quantity"], positions[1]["side"], positions[1]["opened_on"] = 50.0, 1, DAY
    rules = rules_of(MARGIN)
    assert barred(positions, account, rules, 1, 1) == NO_REASON
    assert barred(positions, account, rules, 0, 1) == PATTERN_DAY_TRADING
    assert barred(positions, account, rules, 1, -1) == PATTERN_DAY_TRADING


# --- margin ---------------------------------------------------------------------------------------


def test_buying_power_is_twice_or_four_times_the_equity():
    rules = rules_of(MARGIN)
    assert buying_power(account_of(30_000.0), rules) == 60_000 * MONEY
    trader = account_of(30_000.0, pattern_day_trader=1)
    assert buying_power(trader, rules) == 120_000 * MONEY
    trader["day_equity"] = 24_999 * MONEY
    assert buying_power(trader, rules) == 60_000 * MONEY
    lost = account_of(30_000.0, pattern_day_trader=1, day_equity=40_000 * MONEY)
    assert buying_power(lost, rules) == 120_000 * MONEY
    assert buying_power(account_of(5_000.0), rules_of(MARGIN, counts_day_trades=0)) == (
        20_000 * MONEY
    )
    positions = np.zeros(2, POSITION)
    positions[0]["gross"] = 10_000 * MONEY
    held = account_of(30_000.0, gross=45_000 * MONEY)
    assert account_room(positions, held, rules, 0, -1) == (25_000 * MONEY, BUYING_POWER)
    assert account_room(positions, held, rules, 1, 1) == (15_000 * MONEY, BUYING_POWER)
    positions[0]["value"] = 4_000 * MONEY  # of a cash account, paid already
    own = rules_of(CASH, price_reserve=0.0)
    assert account_room(positions, account_of(6_000.0), own, 0, 1) == (
        10_000 * MONEY, UNSETTLED_CASH,
    )  # fmt: skip


VALUES = st.lists(st.integers(-40_000, 40_000), min_size=1, max_size=8)


@settings(max_examples=20)
@given(values=VALUES, cash=st.integers(-60_000, 60_000), beyond=st.booleans())
def test_a_margin_call_removes_the_deficit_and_closes_no_more_than_it_must(values, cash, beyond):
    positions, rules = np.zeros(len(values), POSITION), np.zeros(len(values), RULES)
    rules[:] = rules_of(MARGIN)
    for position, value in zip(positions, values, strict=True):
        position["quantity"], position["side"] = float(value), int(np.sign(value))
        position["value"] = value * int(MONEY)
    account = account_of(0.0, equity=(cash + sum(values)) * int(MONEY), day_power=int(beyond))
    intents = records(4 * len(values), ORDER)
    before = margin_deficit(positions, account, rules[0], 5, beyond)
    count = margin_call(positions, account, rules, 5, intents, 0)
    closed = [int(intent["symbol"]) for intent in intents[:count]]
    assert all(i["reason"] == MARGIN_CALL and i["status"] == ORDER_OPEN for i in intents[:count])
    assert (count > 0) == (before > 0 and any(values))
    left = margin_deficit(positions, account, rules[0], 5, beyond)
    assert left <= 0 or len(closed) == sum(value != 0 for value in values)
    assert [abs(values[s]) for s in closed] == sorted(map(abs, values), reverse=True)[: len(closed)]
    if closed and left <= 0:
        positions[closed[-1]]["exit_working"] = positions[closed[-1]]["exit_at"] = 0
        assert margin_deficit(positions, account, rules[0], 5, beyond) > 0
    assert account["day_power"] == 0


def test_impossible_account_settings_are_refused():
    for wrong in ({"kind": "portfolio"}, {"initial_margin": 0.0}, {"settlement_days": 6}):
        with pytest.raises((ValueError, ConfigError)):
            RiskSettings(account=wrong)
