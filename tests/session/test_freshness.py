"""Silence makes a session careful, and only news makes it bold again."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.execution import events as ev
from harmony_pipeline.session.freshness import (
    BAR_STREAM,
    ORDER_STREAM,
    QUOTE_STREAM,
    Freshness,
    stricter,
)

ORDER_OPEN = datetime(2024, 3, 5, 14, 30, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


def at(minutes: float) -> datetime:
    return ORDER_OPEN + minutes * MINUTE


def watched() -> Freshness:
    # two minutes of silence are allowed
    return Freshness.of(MINUTE, stale_after_seconds=60.0).expect_from(ORDER_OPEN)


def test_silence_reduces_then_halts_and_news_restores() -> None:
    state, seen = watched(), []
    for minute in (1, 2, 2.1, 4, 4.1):
        state, _ = state.judge(at(minute))
        seen.append(state.state)
    assert seen == ["ACTIVE", "ACTIVE", "REDUCING", "REDUCING", "HALTED"]
    state, facts = state.heard(BAR_STREAM, at(4.2)).judge(at(4.3))
    assert state.state == "ACTIVE"
    assert [type(fact) for fact in facts] == [ev.StreamRecovered, ev.RiskStateChanged]


def test_each_change_is_told_once_with_its_reason() -> None:
    state, facts = watched().judge(at(3))
    assert [type(fact) for fact in facts] == [ev.StreamStale, ev.RiskStateChanged]
    assert isinstance(facts[1], ev.RiskStateChanged)
    assert "no bars for 180 s" in facts[1].reason
    assert state.judge(at(3.5))[1] == []


def test_an_order_stream_that_is_down_halts_at_once() -> None:
    state, facts = watched().line(ORDER_STREAM, is_up=False).judge(at(0.5))
    assert state.state == "HALTED"
    assert isinstance(facts[0], ev.RiskStateChanged)
    assert facts[0].reason == "the order stream is down"
    assert state.line(ORDER_STREAM, is_up=True).judge(at(0.6))[0].state == "ACTIVE"


def test_quotes_that_a_strategy_waits_for_may_not_be_silent() -> None:
    state = Freshness.of(MINUTE, 60.0, quotes=True).expect_from(ORDER_OPEN)
    state = state.heard(BAR_STREAM, at(1)).heard(QUOTE_STREAM, at(1))
    assert state.judge(at(2))[0].state == "ACTIVE"
    silent, facts = state.judge(at(2.1))
    assert silent.state == "REDUCING"
    assert isinstance(facts[0], ev.StreamStale)
    assert facts[0].stream == QUOTE_STREAM
    assert silent.heard(QUOTE_STREAM, at(2.2)).judge(at(2.2))[0].state == "ACTIVE"


def test_silence_before_the_open_is_no_fault() -> None:
    state = Freshness.of(MINUTE, 60.0).heard(BAR_STREAM, at(-300)).expect_from(ORDER_OPEN)
    assert state.judge(at(1))[0].state == "ACTIVE"


def test_the_stricter_state_wins() -> None:
    assert stricter("ACTIVE", "HALTED", "REDUCING") == "HALTED"
    assert stricter("ACTIVE") == "ACTIVE"


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0.01, 3.0), st.booleans()), max_size=30))
def test_active_means_that_the_last_word_is_recent(steps: list[tuple[float, bool]]) -> None:
    state, now, last = watched(), ORDER_OPEN, ORDER_OPEN
    for wait, speaks in steps:
        now += wait * MINUTE
        if speaks:
            state, last = state.heard(BAR_STREAM, now), now
        state, _ = state.judge(now)
        assert (state.state == "ACTIVE") == (now - last <= 2 * MINUTE)
        assert (state.state == "HALTED") == (now - last > 4 * MINUTE)
