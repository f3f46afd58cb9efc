"""What has been fetched: against a naive minute-by-minute account."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from harmony_pipeline.market.ingest.coverage import EVERY, TimeRange, add_range, missing_ranges
from harmony_pipeline.schemas import COVERAGE

NOON = datetime(2024, 1, 1, 12, tzinfo=UTC)


def at(hour: int) -> datetime:
    return NOON + timedelta(hours=hour)


spans = st.tuples(st.integers(0, 20), st.integers(1, 8)).map(lambda pair: (pair[0], sum(pair)))
fetches = st.lists(
    st.tuples(st.sampled_from([("A",), ("B",), ("A", "B"), None]), spans), max_size=8
)


def account(done) -> dict[str, set[int]]:
    hours: dict[str, set[int]] = {"A": set(), "B": set(), EVERY: set()}
    for symbols, (first, last) in done:
        for symbol in symbols or (EVERY,):
            hours[symbol] |= set(range(first, last))
    return {symbol: found | hours[EVERY] for symbol, found in hours.items()}


@given(done=fetches, asked=spans, symbols=st.sampled_from([["A"], ["A", "B"], None]))
def test_what_is_missing_is_what_was_never_fetched(done, asked, symbols):
    table = COVERAGE.empty()
    for names, (first, last) in done:
        table = add_range(table, "x", "1Hour", TimeRange(names, at(first), at(last)), NOON)
    found: dict[str, set[int]] = {}
    for stretch in missing_ranges(table, "x", "1Hour", symbols, at(asked[0]), at(asked[1])):
        hours = range(
            int((stretch.start - NOON).total_seconds()) // 3600,
            int((stretch.end - NOON).total_seconds()) // 3600,
        )
        for symbol in stretch.symbols or (EVERY,):
            assert not found.setdefault(symbol, set()) & set(hours)
            found[symbol] |= set(hours)
    expected = {symbol: set(range(*asked)) - account(done)[symbol] for symbol in symbols or [EVERY]}
    assert found == {symbol: hours for symbol, hours in expected.items() if hours}


@given(done=fetches)
def test_stretches_are_kept_as_the_shortest_list(done):
    table = COVERAGE.empty()
    for names, (first, last) in done:
        table = add_range(table, "x", "1Hour", TimeRange(names, at(first), at(last)), NOON)
    for rows in table.partition_by("symbol"):
        gaps = (rows["start"].shift(-1) - rows["end"]).drop_nulls()
        assert all(gap > timedelta() for gap in gaps)


def test_another_feed_or_bar_size_covers_nothing():
    table = add_range(COVERAGE.empty(), "iex", "1Min", TimeRange(("A",), at(0), at(9)), NOON)
    assert missing_ranges(table, "sip", "1Min", ["A"], at(0), at(9)) == [
        TimeRange(("A",), at(0), at(9))
    ]
    assert missing_ranges(table, "iex", "1Hour", ["A"], at(0), at(9)) == [
        TimeRange(("A",), at(0), at(9))
    ]
    assert missing_ranges(table, "iex", "1Min", ["A", "NEW"], at(0), at(9)) == [
        TimeRange(("NEW",), at(0), at(9))
    ]
