"""Events keep their JSON form for ever."""

import typing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harmony_pipeline.execution import events as ev

GOLDEN = Path(__file__).with_name("golden_events.jsonl").read_bytes().splitlines()
NOON = datetime(2024, 3, 5, 17, 0, tzinfo=UTC)


@pytest.mark.parametrize("line", GOLDEN, ids=[f"{n:02d}" for n in range(len(GOLDEN))])
def test_an_old_encoded_event_still_decodes_and_encodes_to_the_same_facts(line: bytes) -> None:
    event = ev.decode(line)
    again = msgspec.json.decode(ev.encode(event))
    assert_kept(msgspec.json.decode(line), again)


def assert_kept(old: object, new: object) -> None:
    """Fields may have been added at any depth; none was lost or changed."""
    if isinstance(old, list):
        assert isinstance(new, list)
        assert len(old) == len(new)
        for pair in zip(old, new, strict=True):
            assert_kept(*pair)
        return
    if not isinstance(old, dict):
        assert new == old
        return
    assert isinstance(new, dict)
    assert old.keys() <= new.keys()
    for name, value in old.items():
        assert_kept(value, new[name])


def test_the_golden_file_holds_every_kind_of_event() -> None:
    kinds = {msgspec.json.decode(line)["kind"] for line in GOLDEN}
    assert kinds == {str(kind.__struct_config__.tag) for kind in typing.get_args(ev.Event)}


def test_no_two_events_share_a_tag() -> None:
    tags = [kind.__struct_config__.tag for kind in typing.get_args(ev.Event)]
    assert len(tags) == len(set(tags))


def test_events_are_frozen() -> None:
    event = ev.OrderCanceled(happened_at=NOON, known_at=NOON, client_order_id="a", symbol="X")
    with pytest.raises(AttributeError):
        event.symbol = "Y"  # type: ignore[misc]


def test_an_unknown_kind_is_an_error_and_not_a_guess() -> None:
    with pytest.raises(msgspec.ValidationError):
        ev.decode(
            b'{"kind":"teleported","happened_at":"2024-01-01T00:00:00Z","known_at":"2024-01-01T00:00:00Z"}'
        )


@settings(max_examples=30, deadline=None)
@given(
    price=st.floats(min_value=1e-6, max_value=1e9),
    quantity=st.floats(min_value=1e-9, max_value=1e9),
    micros=st.integers(0, 10**15),
)
def test_floats_and_times_come_back_exactly(price: float, quantity: float, micros: int) -> None:
    moment = datetime(2000, 1, 1, tzinfo=UTC) + timedelta(microseconds=micros)
    event = ev.OrderFilled(
        happened_at=moment,
        known_at=moment,
        client_order_id="a",
        symbol="X",
        execution_id="e",
        side="buy",
        quantity=quantity,
        price=price,
        cumulative_quantity=quantity,
    )
    assert ev.decode(ev.encode(event)) == event
