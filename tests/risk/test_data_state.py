"""The age of held prices decides what may leave."""

import numpy as np

from harmony_pipeline.portfolio.kernel_types import (
    ACCOUNT,
    ACTIVE,
    BAR,
    HALTED,
    POSITION,
    REDUCING,
    RULES,
)
from harmony_pipeline.risk.data_state import judge_data, track_bar

MINUTE = 60_000_000


class Account:
    """Three symbols; 10 minutes may pass."""

    def __init__(self, values, seen):
        self.positions, self.account = np.zeros(len(values), POSITION), np.zeros(1, ACCOUNT)
        self.rules = np.zeros(1, RULES)
        self.rules["stale_after"] = 10 * MINUTE
        self.positions["value"], self.positions["quantity"] = values, np.sign(values)
        self.positions["seen_end"] = np.array(seen) * MINUTE
        self.account["gross_value"], self.account["date"] = np.abs(values).sum(), 7

    def judged(self, minute, start=0):
        judge_data(self.positions, self.account[0], self.rules[0], start * MINUTE, minute * MINUTE)
        return int(self.account["data_state"][0])


def test_one_stale_price_reduces_and_most_of_the_value_halts():
    account = Account([100, -50, 0], [0, 0, 0])
    assert account.judged(10) == ACTIVE
    assert account.judged(11) == HALTED  # both are stale
    account.positions["seen_end"][0] = 11 * MINUTE
    assert account.judged(11) == REDUCING  # 50 of 150
    account.positions["seen_end"][:2] = np.array([0, 11]) * MINUTE
    assert account.judged(11) == HALTED  # 100 of 150
    account.positions["seen_end"][0] = 12 * MINUTE
    assert account.judged(12) == ACTIVE


def test_what_is_not_held_may_be_as_old_as_it_likes():
    assert Account([0, 0, 0], [0, 0, 0]).judged(10_000) == ACTIVE


def test_the_night_does_not_count():
    account = Account([100, 0, 0], [0, 0, 0])
    assert account.judged(1_010, start=1_000) == ACTIVE
    assert account.judged(1_011, start=1_005) == HALTED  # counted from the session's first bar
    account.account["date"] = 8
    assert account.judged(2_010, start=2_000) == ACTIVE


def test_the_price_before_is_the_last_close_of_the_session_in_todays_prices():
    positions, bars = np.zeros(1, POSITION), np.zeros(4, BAR)
    bars["date"], bars["close"], bars["factor"] = (
        [5, 5, 6, 6],
        [100.0, 102.0, 51.0, 50.0],
        [1, 1, 2, 2],
    )
    found = []
    for bar in bars:
        track_bar(positions[0], bar)
        found.append(float(positions["prior_price"][0]))
        positions["last_price"], positions["last_date"] = bar["close"], bar["date"]
    assert found == [0.0, 100.0, 0.0, 51.0]
    late = np.zeros(1, BAR)  # a factor that moves within a session
    late["date"], late["factor"] = 6, 4.0
    track_bar(positions[0], late[0])
    assert positions["prior_price"][0] == 25.0
