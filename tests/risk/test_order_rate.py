"""No minute holds more entries than it may, wherever it begins."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.portfolio.kernel_types import ACCOUNT, RULES
from harmony_pipeline.risk.order_rate import MINUTE, NEVER, release_time

SECOND = 1_000_000
START = 1_720_000_000_000_000


def released(most, moments, queue=True, longest=10**15):
    """When each entry leaves; None where it is refused."""
    rules, account = np.zeros(1, RULES), np.zeros(1, ACCOUNT)
    rules["max_orders_per_minute"], rules["queue_orders"] = most, queue
    rules["longest_queue"] = longest
    found = [release_time(rules[0], account[0], now) for now in moments]
    return [
        None if at == NEVER else now if at == 0 else at
        for now, at in zip(moments, found, strict=True)
    ]


MOMENTS = st.lists(st.integers(0, 200), min_size=1, max_size=60).map(
    lambda gaps: [START + int(second) * SECOND for second in np.cumsum(gaps)]
)
BURSTS = st.lists(st.sampled_from([0, 0, 0, 1, 29, 59, 60, 61]), min_size=1, max_size=80).map(
    lambda gaps: [START + int(second) * SECOND for second in np.cumsum(gaps)]
)


@given(most=st.integers(1, 5), moments=st.one_of(MOMENTS, BURSTS), queue=st.booleans())
def test_no_minute_holds_more_than_it_may(most, moments, queue):
    left = [at for at in released(most, moments, queue) if at is not None]
    assert left == sorted(left)
    for at in left:
        assert sum(at <= other < at + MINUTE for other in left) <= most


@given(most=st.integers(1, 5), moments=st.one_of(MOMENTS, BURSTS))
def test_a_queue_loses_nothing_and_keeps_the_order(most, moments):
    left = released(most, moments)
    assert None not in left
    assert all(at >= now for at, now in zip(left, moments, strict=True))


@given(moments=MOMENTS, most=st.integers(1, 4))
def test_entries_far_enough_apart_leave_at_once(moments, most):
    apart = [START + k * (MINUTE // most + SECOND) for k in range(len(moments))]
    late = [
        at - now
        for at, now in zip(released(1, apart[:: most + 1]), apart[:: most + 1], strict=True)
    ]
    assert set(late) == {0}


def test_a_burst_leaves_by_the_minute_and_a_long_wait_is_refused():
    burst = [START] * 7
    assert released(2, burst) == [START + k // 2 * MINUTE for k in range(7)]
    assert released(2, burst, longest=MINUTE) == [*[START] * 2, *[START + MINUTE] * 2, *[None] * 3]
    assert released(2, burst, queue=False) == [START, START, *[None] * 5]
    assert released(0, burst) == burst


def test_what_was_refused_takes_no_place():
    moments = [START, START, START + MINUTE, START + MINUTE]
    assert released(1, moments, queue=False) == [START, None, START + MINUTE, None]
