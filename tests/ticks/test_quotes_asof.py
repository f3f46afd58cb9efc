"""The quote that stood before a trade, in Polars."""

import polars as pl
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from ticks.tapes import at, quotes, trades

from harmony_pipeline.market.ticks.asof import with_quotes, with_spreads

moments = st.lists(st.integers(0, 30), min_size=1, max_size=25)


@given(moments, moments, st.booleans())
def test_a_trade_sees_the_last_quote_before_it(traded, quoted, at_same_time):
    tape = trades(*((at(second), 10.0, 1.0) for second in traded))
    book = quotes(
        *(
            (at(second), 9.0 + number / 100, 11.0 + number / 100)
            for number, second in enumerate(sorted(quoted))
        )
    )
    joined = with_quotes(tape.lazy(), book.lazy(), at_same_time=at_same_time).collect(
        engine="in-memory"
    )
    assert_frame_equal(joined.select(tape.columns), tape)
    for row in joined.iter_rows(named=True):
        before = [
            quote
            for quote in book.rows(named=True)
            if quote["timestamp"] < row["timestamp"]
            or (at_same_time and quote["timestamp"] == row["timestamp"])
        ]
        assert row["bid"] == (before[-1]["bid"] if before else None)
        assert row["quote_timestamp"] == (before[-1]["timestamp"] if before else None)


@given(moments, moments)
def test_quotes_of_the_same_time_and_later_change_nothing(traded, quoted):
    tape = trades(*((at(second), 10.0, 1.0) for second in traded))
    book = quotes(*((at(second), 9.0, 11.0) for second in sorted(quoted)))
    now = at(traded[0])
    other = book.with_columns(bid=pl.when(pl.col("timestamp") < now).then("bid").otherwise(-1.0))
    until = pl.col("timestamp") <= now
    found, changed = (
        with_spreads(tape.lazy(), each.lazy()).filter(until).collect(engine="in-memory")
        for each in (book, other)
    )
    assert_frame_equal(found, changed)


def test_spreads_and_signs_by_hand():
    book = quotes((at(0), 10.0, 10.1), (at(10), None, 10.2))
    tape = trades(
        (at(0), 10.05, 1.0),
        (at(1), 10.1, 1.0),
        (at(2), 10.02, 1.0),
        (at(3), 10.05, 1.0),
        (at(4), 10.05, 1.0),
        (at(5), 10.3, 1.0),
        (at(11), 10.2, 1.0),
    )
    joined = with_spreads(tape.lazy(), book.lazy()).collect(engine="in-memory")
    # no quote yet; bought at the ask; sold; at the mid after a rise; at the mid, unchanged since;
    # above the ask; no bid
    assert joined["sign"].to_list() == [None, 1, -1, 1, 1, 1, None]
    assert joined["inside"].to_list() == [None, True, True, True, True, False, None]
    assert [spread and round(spread, 9) for spread in joined["quoted_spread"]] == [
        None,
        0.1,
        0.1,
        0.1,
        0.1,
        0.1,
        None,
    ]
    assert [
        spread if spread is None else round(spread, 9) for spread in joined["effective_spread"]
    ] == [None, 0.1, 0.06, 0.0, 0.0, 0.5, None]


def test_a_symbol_sees_its_own_quotes_only():
    book = pl.concat([quotes((at(0), 10.0, 10.1)), quotes((at(1), 50.0, 50.1), symbol="BBB")])
    joined = with_quotes(trades((at(2), 10.0, 1.0)).lazy(), book.lazy()).collect(engine="in-memory")
    assert joined["bid"].to_list() == [10.0]
