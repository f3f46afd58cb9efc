"""Retries, with a sleep that does not wait where the wait itself is not the subject."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.source_settings import RetrySettings
from harmony_pipeline.market.sources.retry import (
    NoAnswer,
    RetriesExhausted,
    RetryPolicy,
    answered_at,
    retry_after_seconds,
)


def failing(times, error=ConnectionError("reset by peer")):
    """A function that raises `times` times, then answers how often it was called."""
    calls = itertools.count(1)

    def ask():
        call = next(calls)
        if call <= times:
            raise error
        return call

    return ask


@given(st.integers(1, 12), st.integers(0, 15))
def test_it_asks_until_an_answer_comes_or_the_attempts_are_used_up(attempts, failures):
    slept = []
    policy = RetryPolicy(RetrySettings(attempts=attempts, limit_seconds=1e9), slept.append)
    if failures < attempts:
        assert policy.call(failing(failures), "a supplier", ConnectionError) == failures + 1
        assert len(slept) == policy.retries == failures
    else:
        with pytest.raises(RetriesExhausted) as raised:
            policy.call(failing(failures), "a supplier", ConnectionError)
        assert raised.value.attempts == attempts
        assert len(slept) == policy.retries == attempts - 1


@given(st.floats(0.01, 10), st.floats(0.01, 100))
def test_a_wait_lies_between_nothing_and_the_doubled_base_under_the_cap(base, cap):
    slept = []
    policy = RetryPolicy(
        RetrySettings(attempts=50, base_seconds=base, cap_seconds=cap, limit_seconds=1e9),
        slept.append,
    )
    policy.call(failing(49), "a supplier", ConnectionError)
    assert all(0.0 <= wait <= min(cap, base * 2**at) for at, wait in enumerate(slept))


def test_waits_fill_the_whole_range():
    slept = []
    policy = RetryPolicy(RetrySettings(attempts=2, base_seconds=4.0), slept.append)
    for _ in range(4000):
        policy.call(failing(1), "a supplier", ConnectionError)
    waits = sorted(slept)
    assert waits[0] < 0.05 and waits[-1] > 3.95
    assert waits[2000] == pytest.approx(2.0, abs=0.2)


def test_the_wait_that_a_supplier_names_is_kept_in_full():
    slept = []
    assert (
        RetryPolicy(RetrySettings(base_seconds=0.5), slept.append).call(
            failing(1, NoAnswer("429", 7.0)), "a supplier"
        )
        == 2
    )
    assert 7.0 <= slept[0] <= 7.5


def test_a_wait_beyond_the_limit_is_not_begun():
    slept = []
    with pytest.raises(RetriesExhausted, match="after 1 attempt"):
        RetryPolicy(RetrySettings(limit_seconds=60.0), slept.append).call(
            failing(1, NoAnswer("418", 120.0)), "a supplier"
        )
    assert slept == []


def test_all_attempts_and_waits_together_stay_within_the_limit():
    policy = RetryPolicy(RetrySettings(attempts=50, base_seconds=0.001, limit_seconds=0.5))
    with pytest.raises(RetriesExhausted) as raised:
        policy.call(failing(50, NoAnswer("503", 0.2)), "a supplier")
    assert 1 <= policy.retries <= 2
    assert raised.value.attempts == policy.retries + 1


def test_an_error_that_is_not_worth_it_is_raised_at_once_and_unchanged():
    slept, error = [], KeyError("unknown symbol")
    with pytest.raises(KeyError) as raised:
        RetryPolicy(sleep=slept.append).call(failing(1, error), "a supplier", ConnectionError)
    assert raised.value is error
    assert slept == []


def test_giving_up_is_one_line_that_says_what_was_asked_and_what_came_back():
    page = "<html>\n<body>\n" + "busy " * 500
    with pytest.raises(DataError) as raised:
        RetryPolicy(RetrySettings(attempts=2), lambda _: None).call(
            failing(9, ConnectionError(page)), "Yahoo for AAPL", ConnectionError
        )
    line = str(raised.value)
    assert (
        "asking Yahoo for AAPL" in line
        and "2 attempt(s)" in line
        and "<html> <body> busy" in line
        and "market.patience.attempts" in line
    )
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
        ("Wed, 21 Oct 2015 07:28:00 -0000", 30.0),
        ("Wed, 21 Oct 2015 07:00:00 GMT", 0.0),
        ("soon", None),
        ("Wed, 21 Oct 20155 07:28:00 GMT", None),
    ],
)
def test_retry_after_is_read_as_seconds_or_as_a_date(header, seconds):
    assert retry_after_seconds(header, now=1445412450.0) == seconds


@pytest.mark.parametrize(
    ("header", "moment"),
    [
        ("Wed, 21 Oct 2015 07:28:00 GMT", 1445412480.0),
        ("now", 7.0),
        ("Wed, 21 Oct 20155 07:28:00 GMT", 7.0),
        (None, 7.0),
    ],
)
def test_an_answer_was_given_when_its_date_says_and_now_where_it_says_none(header, moment):
    assert answered_at({} if header is None else {"Date": header}, 7.0) == moment
