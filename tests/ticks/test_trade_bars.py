"""Bars of trades: the fold's laws, the naive twin, and the cases that markets bring."""

import pickle
from datetime import timedelta
from itertools import pairwise

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from ticks.naive import bars_of
from ticks.tapes import at, tapes, trades

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.ticks import kernels
from harmony_pipeline.market.ticks.bars import BarKind, LiveTradeBars, TradeBars, trade_bars
from harmony_pipeline.market.ticks.conditions import VOLUME, eligibility

NYSE = Calendar.of("XNYS")
KINDS = [
    BarKind.of(text)
    for text in ("1Sec", "1Min", "5Min", "1Hour", "7Tick", "300Volume", "2500.5Dollar")
]
kinds = st.sampled_from(KINDS)
ORDER = ("symbol", "end_timestamp", "timestamp")


def in_one_go(tape, kind):
    return trade_bars(tape, kind, NYSE).sort(*ORDER, maintain_order=True)


# --- laws -----------------------------------------------------------------------------------------


@given(tapes(), kinds, st.lists(st.integers(0, 120), max_size=6))
def test_any_cutting_of_the_tape_gives_the_same_bars(tape, kind, cuts):
    maker, states, found = TradeBars(kind, NYSE), {}, []
    edges = sorted({0, tape.height, *(min(cut, tape.height) for cut in cuts)})
    for begin, end in pairwise(edges):
        states, bars = maker.fold(states, tape[begin:end])
        states = pickle.loads(pickle.dumps(states))
        found.append(bars)
    found.append(maker.finish(states)[1])
    assert_frame_equal(
        pl.concat(found).sort(*ORDER, maintain_order=True), in_one_go(tape, kind), check_exact=True
    )


@given(tapes(most=40), kinds)
def test_trade_by_trade_gives_the_bars_of_the_whole_tape(tape, kind):
    live = LiveTradeBars(kind, NYSE)
    found = [
        live.update(
            row["symbol"],
            row["timestamp"],
            row["price"],
            row["size"],
            row["conditions"],
            suspicious=row["suspicious"],
        )
        for row in tape.iter_rows(named=True)
    ]
    found.append(live.close_until(at(1e6)))
    assert_frame_equal(
        pl.concat(found).sort(*ORDER, maintain_order=True), in_one_go(tape, kind), check_exact=True
    )


@given(tapes(), kinds)
def test_shares_are_conserved(tape, kind):
    bars = in_one_go(tape, kind)
    marked = tape.with_columns(NYSE.parts(tape["timestamp"])["session"])
    counts = (eligibility(marked, "sip") & VOLUME > 0) & marked["session"].is_not_null()
    assert sum(map(np.longdouble, bars["volume"])) == pytest.approx(
        float(tape.filter(counts)["size"].sum()), abs=1e-9
    )
    whole = tape.with_columns(pl.col("size").ceil())
    assert in_one_go(whole, kind)["volume"].sum() == whole.filter(counts)["size"].sum()


@given(tapes(), kinds)
def test_the_future_moves_no_bar_that_has_ended(tape, kind):
    now = tape["timestamp"][tape.height // 2]
    past = pl.col("timestamp") <= now
    other = tape.with_columns(
        pl.when(past).then("price").otherwise(pl.col("price") * 3.0),
        pl.when(past).then("size").otherwise(pl.lit(777.0)),
    )
    known = pl.col("end_timestamp") <= now
    assert_frame_equal(
        in_one_go(tape, kind).filter(known), in_one_go(other, kind).filter(known), check_exact=True
    )


@given(tapes(), kinds)
def test_prices_keep_their_order_and_bars_theirs(tape, kind):
    bars = in_one_go(tape, kind)
    priced = bars.drop_nulls("open")
    assert (
        priced["low"] <= priced.select(pl.min_horizontal("open", "close", "vwap")).to_series()
    ).all()
    assert (
        priced["high"] >= priced.select(pl.max_horizontal("open", "close", "vwap")).to_series()
    ).all()
    assert (bars["timestamp"] <= bars["end_timestamp"]).all()
    if kind.kind == "time":
        assert not bars.select("symbol", "timestamp", "session").is_duplicated().any()


@pytest.mark.parametrize("compiled", [True, False], ids=["compiled", "plain"])
@given(
    st.lists(
        st.tuples(
            st.integers(0, 3),
            st.integers(0, 9),
            st.integers(1, 50),
            st.sampled_from([0.1, 1.0, 3.0]),
            st.integers(1, 7),
        ),
        min_size=1,
        max_size=60,
    ),
    st.sampled_from([("time", np.inf), ("tick", 4.0), ("volume", 5.5), ("dollar", 40.0)]),
)
def test_the_kernel_does_what_one_would_write_down(compiled, rows, rule):
    kind, threshold = rule
    groups = np.sort(np.array([row[0] for row in rows], np.int64))
    stamps = np.cumsum([row[1] for row in rows]).astype(np.int64)
    price, size = np.array([float(row[2]) for row in rows]), np.array([row[3] for row in rows])
    # whoever sets the last may set high and low
    sets = np.array([row[4] | (1 if row[4] & 2 else 0) for row in rows], np.uint8)
    fold = kernels.fold_trades if compiled else kernels.fold_trades.py_func
    state, out = kernels.empty_state(), np.empty((len(rows) + 1, kernels.BAR_SIZE))
    count = fold(
        state,
        groups,
        stamps,
        price,
        size,
        sets,
        {"time": 0, "tick": 1, "volume": 2, "dollar": 3}[kind],
        threshold,
        out,
    )
    done, rest = bars_of(list(zip(groups, stamps, price, size, sets, strict=True)), kind, threshold)
    found = [*out[:count], *([state] if rest else [])]
    wanted = [*done, *([rest] if rest else [])]
    assert len(found) == len(wanted)
    places = {
        "start": kernels.START,
        "latest": kernels.LATEST,
        "open": kernels.OPEN,
        "high": kernels.HIGH,
        "low": kernels.LOW,
        "close": kernels.CLOSE,
        "volume": kernels.VOLUME,
        "trades": kernels.TRADES,
        "notional": kernels.NOTIONAL,
    }
    for bar, expected in zip(found, wanted, strict=True):
        np.testing.assert_array_equal(
            [bar[at_] for at_ in places.values()], [float(expected[name]) for name in places]
        )


# --- examples -------------------------------------------------------------------------------------


def test_a_minute_bar_by_hand():
    tape = trades(
        (at(1), 10.0, 100.0),
        (at(30), 12.0, 50.0),
        (at(59.999999), 11.0, 50.0),
        (at(60), 20.0, 10.0),
    )
    bars = trade_bars(tape, BarKind.of("1Min"), NYSE)
    assert bars.drop("symbol", "timeframe").rows() == [
        (
            at(0),
            at(60),
            "regular",
            10.0,
            12.0,
            10.0,
            11.0,
            200.0,
            3.0,
            (1000.0 + 600.0 + 550.0) / 200.0,
            True,
        ),
        (at(60), at(120), "regular", 20.0, 20.0, 20.0, 20.0, 10.0, 1.0, 20.0, True),
    ]


def test_a_tick_bar_ends_at_its_last_trade_and_the_session_cuts_the_rest_short():
    tape = trades(*((at(at_), 10.0 + at_, 1.0) for at_ in (1, 2, 3, 4, 5)))
    bars = trade_bars(tape, BarKind.of("2Tick"), NYSE)
    assert bars.select("timestamp", "end_timestamp", "close", "complete").rows() == [
        (at(1), at(2), 12.0, True),
        (at(3), at(4), 14.0, True),
        (at(5), NYSE.session_close(at(0).date()), 15.0, False),
    ]


def test_a_trade_is_not_split_and_the_excess_not_carried():
    tape = trades(
        (at(1), 10.0, 90.0), (at(2), 10.0, 500.0), (at(3), 10.0, 90.0), (at(4), 10.0, 10.0)
    )
    assert trade_bars(tape, BarKind.of("100Volume"), NYSE)["volume"].to_list() == [590.0, 100.0]
    assert trade_bars(tape, BarKind.of("5900Dollar"), NYSE)["volume"].to_list() == [590.0, 100.0]


def test_the_hour_of_the_open_has_a_bar_before_it_and_one_after_it():
    tape = trades((at(-60), 9.0, 5.0), (at(60), 10.0, 7.0))
    bars = trade_bars(tape, BarKind.of("1Hour"), NYSE)
    assert bars.select("timestamp", "session", "end_timestamp", "volume").rows() == [
        (at(-1800), "pre", at(0), 5.0),
        (at(-1800), "regular", at(1800), 7.0),
    ]


def test_a_half_day_ends_at_one_o_clock():
    afternoon = NYSE.session_close(at(86_400).date())  # 2024-07-03, 13:00 New York
    tape = trades((afternoon - timedelta(seconds=1), 10.0, 1.0), (afternoon, 11.0, 2.0))
    bars = trade_bars(tape, BarKind.of("2Hour"), NYSE)
    assert bars.select("session", "end_timestamp", "volume").rows() == [
        ("regular", afternoon, 1.0),
        ("post", afternoon + timedelta(hours=1), 2.0),
    ]


def test_trades_outside_every_session_are_left_out():
    # a Sunday
    assert trade_bars(trades((at(-86_400 * 2), 10.0, 1.0)), BarKind.of("1Min"), NYSE).is_empty()


def test_a_bar_is_closed_by_the_clock_without_another_trade():
    live = LiveTradeBars(BarKind.of("1Min"), NYSE)
    assert live.update("AAA", at(5), 10.0, 100.0).is_empty()
    assert live.close_until(at(59)).is_empty()
    assert live.close_until(at(60))["close"].to_list() == [10.0]
    assert live.close_until(at(120)).is_empty()


def test_states_handed_in_stay_as_they_were():
    maker = TradeBars(BarKind.of("1Min"), NYSE)
    states, _ = maker.fold({}, trades((at(1), 10.0, 1.0)))
    before = states["AAA"].copy()
    maker.fold(states, trades((at(2), 11.0, 1.0)))
    maker.finish(states)
    np.testing.assert_array_equal(states["AAA"], before)


def test_a_tape_that_runs_backwards_is_refused():
    maker = TradeBars(BarKind.of("1Min"), NYSE)
    states, _ = maker.fold({}, trades((at(10), 10.0, 1.0)))
    with pytest.raises(DataError, match="AAA are not in the order of time"):
        maker.fold(states, trades((at(9), 10.0, 1.0)))
    with pytest.raises(DataError, match="order of time"):
        maker.fold({}, pl.concat([trades((at(9), 10.0, 1.0)), trades((at(8), 10.0, 1.0))]))


@pytest.mark.parametrize(
    "text", ["1Fortnight", "0Min", "2000Min", "0.5Sec", "100000Sec", "0Tick", "Volume"]
)
def test_a_kind_that_makes_no_bars_is_refused(text):
    with pytest.raises(ConfigError):
        BarKind.of(text)


def test_a_kind_has_one_name():
    assert [BarKind.of(text).name for text in ("60Min", "1Hour", "90Min", "90Sec", "5Sec", "1000Tick",
    "1000000Dollar", "0.5Volume")] == [
        "1Hour", "1Hour", "90Min", "90Sec", "5Sec", "1000Tick", "1000000Dollar", "0.5Volume",
    ]  # fmt: skip
