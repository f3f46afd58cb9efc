"""When trading stops, and that it stays stopped."""

import numpy as np

from harmony_pipeline.portfolio.kernel_types import ACCOUNT, RULES
from harmony_pipeline.risk.breakers import check_breakers, open_session


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
