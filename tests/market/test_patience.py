"""Patience, with a clock and a sleep of our own: no test waits."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.settings import PatienceSettings
from harmony_pipeline.market.sources.retry import OutOfPatience, RetryPolicy, retry_after_seconds


class Hours:
    """A clock that only sleeping moves."""

    def __init__(self):
        self.now, self.slept = 100.0, []

    def sleep(self, seconds):
        self.slept.append(seconds)
        self.now += seconds

    def clock(self):
        return self.now


def patience(hours, seed=1, **settings):
    return RetryPolicy(PatienceSettings(**settings), seed, hours.sleep, hours.clock)


def failing(times, error=ConnectionError("reset by peer")):
    """A function that raises `times` times, then answers how often it was called."""
    calls = itertools.count(1)

    def ask():
        call = next(calls)
        if call <= times:
            raise error
        return call

    return ask


@given(st.integers(1, 12), st.integers(0, 15), st.integers(0, 2**32))
def test_it_asks_until_an_answer_comes_or_the_attempts_are_used_up(attempts, failures, seed):
    hours = Hours()
    settled = patience(hours, seed, attempts=attempts, limit_seconds=1e9)
    if failures < attempts:
        assert settled.call(failing(failures), ConnectionError) == failures + 1
        assert len(hours.slept) == failures
    else:
        with pytest.raises(OutOfPatience) as raised:
            settled.call(failing(failures), ConnectionError)
        assert raised.value.attempts == attempts
        assert len(hours.slept) == attempts - 1


@given(st.integers(1, 60), st.integers(0, 2**32), st.floats(0.01, 10), st.floats(0.01, 100))
def test_a_wait_lies_between_nothing_and_the_doubled_base_under_the_cap(attempt, seed, base, cap):
    wait = RetryPolicy(PatienceSettings(base_seconds=base, cap_seconds=cap), seed).wait_after(attempt)
    assert 0.0 <= wait <= min(cap, base * 2 ** (attempt - 1))


def test_waits_fill_the_whole_range_evenly():
    settled = RetryPolicy(PatienceSettings(base_seconds=1.0), seed=3)
    waits = sorted(settled.wait_after(3) for _ in range(4000))
    assert waits[0] < 0.02 and waits[-1] > 3.98
    assert waits[2000] == pytest.approx(2.0, abs=0.1)


def test_two_callers_without_a_seed_do_not_wait_in_step():
    assert [RetryPolicy().wait_after(5) for _ in range(3)] != [RetryPolicy().wait_after(5) for _ in range(3)]


def test_the_wait_that_a_supplier_names_is_kept_in_full():
    hours = Hours()
    assert patience(hours, base_seconds=0.5).call(failing(1), ConnectionError, wanted=lambda _: 7.0) == 2
    assert 7.0 <= hours.slept[0] <= 7.5


def test_a_wait_beyond_the_limit_is_not_begun():
    hours = Hours()
    with pytest.raises(OutOfPatience, match="after 1 attempt"):
        patience(hours, limit_seconds=60.0).call(failing(1), ConnectionError, wanted=lambda _: 120.0)
    assert hours.slept == []


def test_an_error_that_is_not_worth_it_is_raised_at_once_and_unchanged():
    hours, error = Hours(), KeyError("unknown symbol")
    with pytest.raises(KeyError) as raised:
        patience(hours).call(failing(1, error), retry_on=lambda found: isinstance(found, ConnectionError))
    assert raised.value is error
    assert hours.slept == []


def test_giving_up_is_one_line_that_says_what_was_asked_and_what_came_back():
    page = "<html>\n<body>\n" + "busy " * 500
    with pytest.raises(DataError) as raised:
        patience(Hours(), attempts=2).call(failing(9, ConnectionError(page)), ConnectionError, asking="Yahoo for AAPL")
    line = str(raised.value)
    assert "asking Yahoo for AAPL" in line and "2 attempt(s)" in line and "<html> <body> busy" in line and "market.patience.attempts" in line
    assert "\n" not in line and len(line) < 500
    assert isinstance(raised.value.__cause__, ConnectionError)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        (None, None),
        ("", None),
        ("12", 12.0),
        ("0.5", 0.5),
        ("-3", 0.0),
        ("Wed, 21 Oct 2015 07:28:00 GMT", 30.0),
        ("Wed, 21 Oct 2015 07:00:00 GMT", 0.0),
        ("soon", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header, seconds):
    assert retry_after_seconds(header, now=1445412450.0) == seconds
