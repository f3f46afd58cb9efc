"""When trading stops, and that it stays stopped."""

from datetime import date, timedelta

import numpy as np
import pytest

from harmony_pipeline.portfolio.kernel_types import ACCOUNT, RULES
from harmony_pipeline.risk.breakers import check_breakers, iso_week, open_session


class Account:
    def __init__(self, **limits):
        self.rules, self.account = np.zeros(1, RULES), np.zeros(1, ACCOUNT)
        for name, value in {"max_daily_loss": 0.02, "max_drawdown": 0.25, **limits}.items():
            self.rules[name] = value
        for name in ("equity", "peak", "day_equity"):
            self.account[name] = 1_000_000

    def mark(self, date, equity):
        open_session(self.account[0], date)
        self.account["equity"] = equity
        check_breakers(self.rules[0], self.account[0])
        return bool(self.account["entries_stopped"][0]), bool(self.account["halted"][0])


def test_a_daily_loss_stops_entries_until_the_next_session():
    account = Account()
    assert account.mark(1, 980_000) == (False, False)  # exactly the limit is not beyond it
    assert account.mark(1, 979_999) == (True, False)
    assert account.mark(1, 1_000_000) == (True, False)  # a recovery does not lift it
    assert account.mark(2, 1_000_000) == (False, False)


def test_the_daily_loss_is_measured_from_the_end_of_the_previous_session():
    account = Account()
    account.mark(1, 985_000)
    assert account.mark(2, 970_000) == (False, False)  # 1.5 % below yesterday
    assert account.mark(2, 965_000) == (True, False)


def test_a_gap_over_night_counts_to_the_new_day():
    account = Account()
    account.mark(1, 1_000_000)
    assert account.mark(2, 950_000) == (True, False)


def test_a_drawdown_from_the_peak_halts_for_good():
    account = Account(max_daily_loss=1.0)
    account.mark(1, 2_000_000)
    assert account.mark(2, 1_500_000) == (False, False)
    assert account.mark(2, 1_499_999) == (False, True)
    assert account.mark(9, 3_000_000) == (False, True)


def test_a_breaker_announces_itself_once():
    account = Account()
    account.mark(1, 900_000)
    assert account.account["tripped"][0] == 1
    account.account["tripped"] = 0
    account.mark(1, 890_000)
    assert account.account["tripped"][0] == 0


# 1970-01-05 was a Monday: dates 4 to 10 are one ISO week, 11 to 17 the next.
MONDAY, TUESDAY, FRIDAY, NEXT_TUESDAY = 4, 5, 8, 12


def weekly(account):
    return bool(account.account["week_stopped"][0])


def test_a_weekly_loss_stops_entries_until_the_first_session_of_the_next_week():
    account = Account(max_daily_loss=1.0, max_weekly_loss=0.03)
    account.mark(1, 2_000_000)  # the week before
    account.mark(MONDAY, 1_950_000)
    account.mark(TUESDAY, 1_940_000)  # exactly the limit, counted from the end of the week before
    assert not weekly(account)
    account.mark(TUESDAY, 1_939_999)
    assert weekly(account)
    account.mark(FRIDAY, 2_100_000)  # a recovery, a new session: not lifted
    assert weekly(account)
    account.mark(NEXT_TUESDAY, 2_050_000)  # Monday was a holiday
    assert not weekly(account)
    account.mark(NEXT_TUESDAY, 2_036_999)  # 3 % below Friday's end
    assert weekly(account)


def test_iso_weeks_begin_on_monday_whatever_the_year():
    days = [date(2020, 12, 28) + timedelta(days=n) for n in range(800)]
    numbers = [iso_week((day - date(1970, 1, 1)).days) for day in days]
    weeks = [day.isocalendar()[:2] for day in days]
    for k in range(1, len(days)):
        assert numbers[k] - numbers[k - 1] == (weeks[k] != weeks[k - 1])


def test_a_drawdown_rests_so_many_whole_sessions_and_counts_from_there():
    account = Account(max_daily_loss=1.0, max_drawdown=0.2, drawdown_cooldown_sessions=2)
    account.mark(1, 1_000_000)
    assert account.mark(1, 799_999) == (False, True)
    assert account.mark(2, 800_000)[1]
    assert account.mark(3, 800_000)[1]
    assert not account.mark(4, 780_000)[1]  # after two whole sessions, from 780 000 on
    assert account.account["peak"][0] == 1_000_000  # the highest there was stays
    assert not account.mark(5, 624_000)[1]
    assert account.mark(5, 623_999)[1]
    account.mark(6, 650_000)
    account.mark(7, 650_000)
    assert not account.mark(8, 650_000)[1]
    account.mark(9, 900_000)  # a new peak, below the old one
    assert account.mark(10, 719_999)[1]


def test_somebody_re_arms_the_breaker_on_a_later_day():
    account = Account(max_daily_loss=1.0, max_drawdown=0.2)
    account.mark(1, 1_000_000)
    account.rules["rearm_on"] = 3
    assert account.mark(3, 790_000)[1]  # it tripped on the day itself: that is not lifted
    assert account.mark(9, 790_000)[1]
    account.rules["rearm_on"] = 10
    assert account.mark(9, 790_000)[1]  # not yet
    assert account.mark(11, 790_000) == (False, False)  # the 10th was no session
    assert account.mark(11, 700_000) == (False, False)
    assert account.mark(11, 631_999)[1]  # it trips again, and the same date does not help
    assert account.mark(12, 631_999)[1]


def test_the_variance_of_session_returns_is_smoothed():
    account = Account(max_daily_loss=1.0, max_drawdown=1.0)
    curve = [1_000_000, 1_010_000, 1_010_000, 989_800, 995_000]
    for day, equity in enumerate(curve, start=1):
        account.mark(day, equity)
        account.mark(day, equity)
    account.mark(len(curve) + 1, 1)
    expected = 0.0
    for before, after in zip([1_000_000, *curve], curve, strict=False):
        square = (after / before - 1) ** 2
        expected = 0.94 * expected + 0.06 * square if expected else square
    assert account.account["variance"][0] == pytest.approx(expected, rel=1e-12)
