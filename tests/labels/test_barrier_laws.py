"""Over random nasty markets: equal to the naive twin, blind to the future, the same however time is
cut.
"""

from datetime import UTC, datetime
from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from labels.markets import STEP, micros, random_bars, random_events
from labels.naive import SESSIONS, label, uniqueness

from harmony_pipeline.labels.labelling import label_events
from harmony_pipeline.labels.reach import bars_in_reach
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.market.calendars import Calendar

XNYS = Calendar.of("XNYS")
SEEDS = st.integers(0, 2**32 - 1)
HORIZONS = st.sampled_from([(1,), (8, 32), (3, 60), (200,)])
FEW = settings(max_examples=12, deadline=None)


OPTIONS = st.fixed_dictionaries(
    {
        "vertical": st.sampled_from(["bars", "bars", "sessions"]),
        "touch": st.sampled_from(["high_low", "close"]),
        "entry": st.sampled_from(["open", "close"]),
    }
)


METHODS = st.sampled_from(["triple_barrier", "triple_barrier", "trend_scanning", "horizon"])


def settings_of(horizons, options=None, method="triple_barrier"):
    if method == "trend_scanning":
        horizons = tuple(max(one, 5) for one in horizons)
    return LabelSettings(
        method=method,
        horizons_bars=horizons, profit_take=1.5, stop_loss=1.0, minimum_barrier_bps=15.0,
        **options or {},
    )  # fmt: skip


def labelled(bars, events, horizons=(8, 32), options=None, method="triple_barrier", **keep):
    chosen = settings_of(horizons, options, method)
    return label_events(bars, events, chosen, XNYS, "15Min", **keep).table


def bar_end(start):
    day = datetime.fromtimestamp(start // 1_000_000, UTC).date().isoformat()
    return min(start + STEP, micros(day, SESSIONS[day][1]))


def naive_table(bars, events, horizon, options):
    """Rows like the table's, from the plain loops. XNYS has 26 bars of 15 minutes a session."""
    sessions = horizon if options["vertical"] == "sessions" else 0
    chosen = {
        "sessions": sessions, "closes": options["touch"] == "close", "entry_price": options["entry"]
    }  # fmt: skip
    rows = []
    for symbol in sorted(set(events["symbol"])):
        mine = bars.filter(
            (pl.col("symbol") == symbol) & (pl.col("session") == "regular")
        ).with_columns(pl.col("timestamp").to_physical())
        own = [
            {
                "t": b["timestamp"],
                "end": bar_end(b["timestamp"]),
                "factor": b["adjustment_factor"],
                "day": b["timestamp"] // 86_400_000_000,
                **{k: b[k] for k in ("open", "high", "low", "close")},
            }
            for b in mine.iter_rows(named=True)
        ]
        place = {bar["t"]: i for i, bar in enumerate(own)}
        wanted = [
            e
            for e in (
                events.filter(pl.col("symbol") == symbol)
                .with_columns(pl.col("timestamp").to_physical())
                .iter_rows(named=True)
            )
            if e["timestamp"] in place
        ]
        found = [
            label(
                own,
                place[e["timestamp"]],
                e["side"],
                e["volatility"],
                26 * horizon if sessions else horizon,
                (1.5, 1.0),
                15.0,
                **chosen,
            )
            for e in wanted
        ]
        weights = uniqueness([(f["born"], f["end"]) for f in found], len(own))
        for e, f, weight in zip(wanted, found, weights, strict=True):
            entry, end = (
                own[f[name]] if f[name] is not None else None for name in ("entry", "end")
            )
            rows.append(
                (
                    symbol,
                    e["timestamp"],
                    entry and entry["t"],
                    f["entry_price"],
                    f["upper"],
                    f["lower"],
                    end and end["end"],
                    f["touched"],
                    f["return"],
                    weight,
                )
            )
    return rows


@FEW
@given(
    seed=SEEDS,
    horizons=HORIZONS,
    missing=st.sampled_from([0.0, 0.1, 0.5]),
    swing=st.sampled_from([0.0005, 0.004, 0.02]),
    density=st.sampled_from([0.02, 0.4, 1.0]),
    options=OPTIONS,
)
def test_the_fast_labels_equal_the_naive_ones(seed, horizons, missing, swing, density, options):
    bars = random_bars(seed, missing=missing, swing=swing)
    events = random_events(seed, bars, density)
    if options["vertical"] == "sessions":
        horizons = tuple(min(one, 3) for one in horizons)
    table = labelled(bars, events, horizons, options)
    exact = [
        "symbol",
        "timestamp",
        "entry_timestamp",
        "entry_price",
        "upper_barrier",
        "lower_barrier",
        "end_timestamp",
        "touched",
    ]
    for horizon in set(horizons):
        rows = table.filter(pl.col("horizon") == horizon).with_columns(
            pl.col("timestamp", "entry_timestamp", "end_timestamp").to_physical()
        )
        expected = naive_table(bars, events, horizon, options)
        assert rows.select(exact).rows() == [row[:8] for row in expected]
        assert rows["return"].to_list() == pytest.approx([row[8] for row in expected], abs=1e-12)
        assert rows["weight"].to_list() == pytest.approx([row[9] for row in expected], abs=1e-11)
        assert rows["label"].to_list() == [
            None if row[8] is None else int(row[8] > 0) for row in expected
        ]


@FEW
@given(seed=SEEDS, cut=st.floats(0.05, 0.95), horizons=HORIZONS, options=OPTIONS, method=METHODS)
def test_bars_and_events_after_a_moment_change_no_label_that_ended_by_then(
    seed, cut, horizons, options, method
):
    bars = random_bars(seed)
    events = random_events(seed, bars)
    moment = bars["timestamp"].sort()[int(cut * bars.height)]
    other = random_bars(seed + 1).with_columns(pl.col("open", "high", "low", "close") * 3.0)
    ended = pl.col("timestamp") < moment
    changed = pl.concat([bars.filter(ended), other.filter(~ended)]).sort("symbol", "timestamp")
    changed_events = pl.concat(
        [events.filter(ended), random_events(seed + 2, other.filter(~ended))]
    ).sort("symbol", "timestamp")
    known = pl.col("end_timestamp") <= moment
    chosen = {"horizons": horizons, "options": options, "method": method}
    before = labelled(bars, events, **chosen).filter(known)
    assert before.equals(labelled(changed, changed_events, **chosen).filter(known))
    assert before.equals(
        labelled(bars.filter(ended), events.filter(ended), **chosen).filter(known)
    ), "the future may also be absent"


@FEW
@given(
    seed=SEEDS,
    horizons=st.sampled_from([(1,), (8,), (3, 12)]),
    missing=st.sampled_from([0.0, 0.1]),
    method=METHODS,
    entry=st.sampled_from(["open", "close"]),
)
def test_period_by_period_equals_one_go_bit_for_bit(seed, horizons, missing, method, entry):
    bars = random_bars(seed, missing=missing)
    events = random_events(seed, bars, 0.8)
    starts = [datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (*SESSIONS, "2024-07-10")]
    pieces = []
    # a half-day has 14 bars, enough context for 12
    for number, (start, end) in enumerate(pairwise(starts)):
        near = (pl.col("timestamp") >= starts[max(number - 2, 0)]) & (
            pl.col("timestamp") < starts[min(number + 3, len(starts) - 1)]
        )
        pieces.append(
            labelled(
                bars.filter(near),
                events.filter(near),
                horizons,
                {"entry": entry},
                method=method,
                keep_from=start,
                keep_until=end,
            )
        )
    whole = labelled(bars, events, horizons, {"entry": entry}, method=method)
    assert pl.concat(pieces).sort("horizon", "symbol", "timestamp").equals(whole)


@FEW
@given(
    seed=SEEDS,
    horizons=st.sampled_from([(1,), (8,), (3, 12), (30,)]),
    missing=st.sampled_from([0.0, 0.1, 0.6]),
    options=OPTIONS,
    method=METHODS,
)
def test_bars_in_reach_of_a_period_give_its_labels_bit_for_bit(
    seed, horizons, missing, options, method
):
    bars = random_bars(seed, missing=missing)
    events = random_events(seed, bars, 0.8)
    whole = labelled(bars, events, horizons, options, method)
    starts = [datetime.fromisoformat(day).replace(tzinfo=UTC) for day in (*SESSIONS, "2024-07-10")]
    chosen, stamp = settings_of(horizons, options, method), pl.col("timestamp")
    read = []
    for start, end in pairwise(starts):
        near = stamp.is_between(*bars_in_reach(bars, chosen, start, end))
        period = {"keep_from": start, "keep_until": end}
        some = labelled(bars.filter(near), events.filter(near), horizons, options, method, **period)
        assert some.equals(whole.filter((stamp >= start) & (stamp < end)))
        read.append(bars.filter(near).height)
    if horizons == (1,) and options["vertical"] == "bars" and method != "trend_scanning":
        assert max(read) < 0.6 * bars.height


def test_rows_in_any_order_give_the_same_table():
    bars = random_bars(5)
    events = random_events(5, bars)
    assert labelled(
        bars.sample(fraction=1.0, shuffle=True, seed=1),
        events.sample(fraction=1.0, shuffle=True, seed=2),
    ).equals(labelled(bars, events))


def test_one_symbol_alone_gets_the_labels_it_has_among_others():
    bars = random_bars(6, symbols=("A", "B", "C"))
    events = random_events(6, bars)
    alone = labelled(bars.filter(pl.col("symbol") == "B"), events.filter(pl.col("symbol") == "B"))
    assert alone.equals(labelled(bars, events).filter(pl.col("symbol") == "B"))
