"""Labels worked by hand, one per rule; the laws over random markets are in test_barrier_laws.py."""

from datetime import UTC, datetime, timedelta

import polars as pl
import pytest

from harmony_pipeline.errors import DataError
from harmony_pipeline.labels.labelling import label_events
from harmony_pipeline.labels.settings import LabelSettings
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.schemas import LABELS

XNYS = Calendar.of("XNYS")
OPEN = datetime(2024, 3, 4, 14, 30, tzinfo=UTC)  # a Monday, New York on standard time
QUARTER = timedelta(minutes=15)
# volatility 0.01, horizon 4: profit at 2 * 0.01 * sqrt(4) = 4 %, stop at 2 %; a long from 100 has
# 104 and 98, a short 96 and 102
FOUR = LabelSettings(horizons_bars=(4,), profit_take=2.0, stop_loss=1.0, minimum_barrier_bps=15.0)
CALM = (100.0, 101.0, 99.0)


def bars_of(*prices, factors=None, sessions=None, starts=None, symbol="A"):
    """Bars of one symbol from (open, high, low) rows, quarter after quarter from the open."""
    count = len(prices)
    return pl.DataFrame(
        {
            "symbol": [symbol] * count,
            "timestamp": starts or [OPEN + i * QUARTER for i in range(count)],
            "session": sessions or ["regular"] * count,
            "open": [float(p[0]) for p in prices],
            "high": [float(p[1]) for p in prices],
            "low": [float(p[2]) for p in prices],
            "close": [float(p[0]) for p in prices],
            "adjustment_factor": factors or [1.0] * count,
        },
        schema_overrides={"timestamp": pl.Datetime("us", "UTC")},
    )


def event(side=1, at=OPEN, volatility=0.01, symbol="A"):
    return pl.DataFrame(
        {"symbol": [symbol], "timestamp": [at], "side": [side], "volatility": [volatility]},
        schema_overrides={"timestamp": pl.Datetime("us", "UTC"), "side": pl.Int8},
    )


def outcome(bars, events, settings=FOUR, timeframe="15Min"):
    return label_events(bars, events, settings, XNYS, timeframe).table.row(0, named=True)


def test_no_outcome_is_looked_up_in_another_security_of_the_same_symbol() -> None:
    """The bars of day 2 are ten times dearer: those of who took the symbol over. A label may touch
    its profit there only if nobody says so.
    """
    dear = (1000.0, 1001.0, 999.0)
    bars = bars_of(CALM, CALM, dear, dear, dear, dear, dear)
    days = bars["timestamp"].dt.date()
    begins = pl.DataFrame({"symbol": bars["symbol"].head(1), "date": days.head(1)})
    plain = label_events(bars, event(), FOUR, XNYS, "15Min").table.row(0, named=True)
    same = label_events(bars, event(), FOUR, XNYS, "15Min", securities_begin=begins).table.row(
        0, named=True
    )
    assert plain == same  # it begins before the event
    later = bars.with_columns(
        timestamp=pl.when(pl.int_range(pl.len()) >= 2)
        .then(pl.col("timestamp") + timedelta(days=1))
        .otherwise("timestamp")
    )
    begins = pl.DataFrame({"symbol": bars["symbol"].head(1), "date": [days[0] + timedelta(days=1)]})
    crossed = label_events(later, event(), FOUR, XNYS, "15Min").table.row(0, named=True)
    cut = label_events(later, event(), FOUR, XNYS, "15Min", securities_begin=begins).table.row(
        0, named=True
    )
    assert (crossed["touched"], cut["touched"], cut["end_timestamp"], cut["label"]) == (
        "upper",
        None,
        None,
        None,
    )
    assert cut["entry_price"] == crossed["entry_price"]
    elsewhere = begins.with_columns(symbol=pl.lit("OTHER"))
    assert (
        label_events(later, event(), FOUR, XNYS, "15Min", securities_begin=elsewhere).table.row(
            0, named=True
        )
        == crossed
    )


def test_a_long_that_reaches_its_profit_ends_with_the_touching_bar():
    row = outcome(bars_of(CALM, CALM, (100.5, 104.2, 100)), event())
    assert (row["entry_timestamp"], row["entry_price"]) == (OPEN + QUARTER, 100.0)
    assert (row["upper_barrier"], row["lower_barrier"]) == (104.0, 98.0)
    assert (row["touched"], row["label"], row["end_timestamp"]) == ("upper", 1, OPEN + 3 * QUARTER)
    assert row["return"] == pytest.approx(0.04, abs=1e-15)
    assert row["weight"] == 1.0


def test_the_stop_wins_when_one_bar_holds_both():
    long = outcome(bars_of(CALM, CALM, (100, 105, 97)), event())
    short = outcome(bars_of(CALM, CALM, (100, 103, 95)), event(side=-1))
    assert (long["touched"], long["label"]) == ("lower", 0)
    assert long["return"] == pytest.approx(-0.02, abs=1e-15)
    assert (short["touched"], short["label"]) == ("upper", 0)
    assert short["return"] == pytest.approx(-0.02, abs=1e-15)


def test_a_gap_open_beyond_the_profit_is_settled_at_the_open_even_when_the_low_reaches_the_stop():
    row = outcome(bars_of(CALM, CALM, (106, 107, 97)), event())
    assert row["touched"] == "upper"
    assert row["return"] == pytest.approx(0.06, abs=1e-15)


def test_a_gap_open_beyond_the_stop_loses_more_than_the_stop():
    row = outcome(bars_of(CALM, CALM, (95, 105, 94)), event())
    assert row["touched"] == "lower"
    assert row["return"] == pytest.approx(-0.05, abs=1e-15)


def test_a_short_mirrors_a_long():
    gap_profit = outcome(bars_of(CALM, CALM, (94, 103, 93)), event(side=-1))
    gap_stop = outcome(bars_of(CALM, CALM, (103, 104, 95)), event(side=-1))
    inside = outcome(bars_of(CALM, CALM, (100, 101, 96)), event(side=-1))
    assert (gap_profit["upper_barrier"], gap_profit["lower_barrier"]) == (102.0, 96.0)
    assert (gap_profit["touched"], gap_profit["return"]) == ("lower", pytest.approx(0.06))
    assert (gap_stop["touched"], gap_stop["return"]) == ("upper", pytest.approx(-0.03))
    assert (inside["touched"], inside["return"], inside["label"]) == (
        "lower",
        pytest.approx(0.04),
        1,
    )


def test_the_entry_bar_can_touch_by_its_high_and_low():
    assert outcome(bars_of(CALM, (100, 104, 99)), event())["touched"] == "upper"
    assert outcome(bars_of(CALM, (100, 104, 98)), event())["touched"] == "lower"


def test_nothing_touched_leaves_at_the_open_of_the_bar_after_the_horizon():
    calm = [CALM] * 5
    row = outcome(bars_of(*calm, (100.5, 120, 80)), event())
    assert (row["touched"], row["end_timestamp"]) == ("vertical", OPEN + 6 * QUARTER)
    assert row["return"] == pytest.approx(0.005, abs=1e-15)
    assert outcome(bars_of(*calm, (100, 100, 100)), event())["label"] == 0, (
        "a return of zero is not a success"
    )


def test_the_last_watched_bar_is_number_horizon():
    touched_late = outcome(bars_of(CALM, CALM, CALM, CALM, (100, 104, 99)), event())
    assert (touched_late["touched"], touched_late["end_timestamp"]) == ("upper", OPEN + 5 * QUARTER)


def test_a_split_inside_the_life_moves_the_levels_and_not_the_outcome():
    # 4-for-1 before the third bar: 104 becomes 26, 98 becomes 24.50
    calm_after = outcome(bars_of(CALM, CALM, (25, 25.9, 24.6), factors=[1, 1, 4]), event())
    profit = outcome(bars_of(CALM, CALM, (25, 26, 24.6), factors=[1.0, 1.0, 4.0]), event())
    assert calm_after["touched"] is None
    assert (profit["touched"], profit["upper_barrier"]) == ("upper", 104.0)
    assert profit["return"] == pytest.approx(0.04, abs=1e-15)


def test_a_dividend_lowers_the_stop_with_the_price():
    # 2 a share on a close of 100: the factor rises by 100 / 98, the stop of 98 stands at 96.04
    row = outcome(bars_of(CALM, CALM, (98, 98, 96.05), factors=[1.0, 1.0, 100 / 98]), event())
    assert row["touched"] is None
    hit = outcome(bars_of(CALM, CALM, (98, 98, 96.03), factors=[1.0, 1.0, 100 / 98]), event())
    assert (hit["touched"], hit["return"]) == ("lower", pytest.approx(-0.02, abs=1e-12))


def test_levels_between_equal_factors_touch_to_the_last_bit():
    odd = 1.0 / 3.0 * 1.0137
    row = outcome(bars_of(CALM, CALM, (100, 101, 98), factors=[odd] * 3), event())
    assert row["touched"] == "lower"


def test_unresolved_keeps_its_entry_and_nothing_else():
    row = outcome(bars_of(CALM, CALM, CALM), event())
    assert (row["entry_price"], row["upper_barrier"], row["lower_barrier"]) == (100.0, 104.0, 98.0)
    assert [row[name] for name in ("end_timestamp", "touched", "return", "label", "weight")] == [
        None
    ] * 5


def test_without_a_next_bar_there_is_no_entry():
    row = outcome(bars_of(CALM), event())
    assert [
        row[name]
        for name in (
            "entry_timestamp",
            "entry_price",
            "upper_barrier",
            "lower_barrier",
            "end_timestamp",
        )
    ] == [None] * 5


def test_another_symbol_s_bars_are_never_used():
    bars = pl.concat(
        [bars_of(CALM, CALM), bars_of((100, 200, 1), (100, 200, 1), (100, 200, 1), symbol="B")]
    )
    assert outcome(bars, event())["touched"] is None


def test_extended_hours_neither_trade_nor_touch_nor_count():
    prices = [CALM, (100, 150, 50), CALM, (100, 150, 50), CALM, CALM, CALM, (101, 101, 101)]
    sessions = ["regular", "post", "regular", "pre", "regular", "regular", "regular", "regular"]
    row = outcome(bars_of(*prices, sessions=sessions), event())
    assert (row["touched"], row["return"]) == ("vertical", pytest.approx(0.01))
    ignored = label_events(
        bars_of(*prices, sessions=sessions), event(at=OPEN + QUARTER), FOUR, XNYS, "15Min"
    )
    assert (ignored.table.height, ignored.summary()["extended_events"]) == (0, 1)


def test_no_barrier_is_nearer_than_the_minimum_and_every_barrier_is_on_the_tick():
    row = outcome(bars_of(CALM, (33.33, 33.34, 33.32)), event(volatility=0.0))
    # 33.33 * (1 +- 0.0015) = 33.379995, 33.280005
    assert (row["upper_barrier"], row["lower_barrier"]) == (33.38, 33.28)
    penny = outcome(bars_of(CALM, (0.5, 0.5, 0.5)), event(volatility=0.0))
    # 0.50075 and 0.49925, halves up
    assert (penny["upper_barrier"], penny["lower_barrier"]) == (0.5008, 0.4993)


def test_a_barrier_of_a_sub_penny_entry_is_never_on_its_wrong_side():
    # 1.0066 less 15 basis points is 1.0051, nearest to 1.01, which is above the entry: the stop is
    # 1.00, the next price a tick below
    row = outcome(bars_of(CALM, (1.0066, 1.007, 1.006)), event(volatility=0.0))
    assert (row["upper_barrier"], row["lower_barrier"], row["touched"]) == (1.02, 1.0, None)


def test_an_event_on_the_last_bar_of_a_half_day_enters_at_the_next_session():
    starts = [
        datetime(2024, 7, 3, 16, tzinfo=UTC),
        datetime(2024, 7, 5, 13, tzinfo=UTC),
        datetime(2024, 7, 5, 14, tzinfo=UTC),
    ]
    row = outcome(
        bars_of(CALM, CALM, (100, 104, 100), starts=starts), event(at=starts[0]), timeframe="1Hour"
    )
    assert row["entry_timestamp"] == starts[1]
    assert row["end_timestamp"] == datetime(2024, 7, 5, 15, tzinfo=UTC)


def test_a_bar_cut_by_the_close_ends_with_the_close():
    starts = [datetime(2024, 7, 3, 15, tzinfo=UTC), datetime(2024, 7, 3, 16, 30, tzinfo=UTC)]
    row = outcome(
        bars_of(CALM, (100, 104, 100), starts=starts), event(at=starts[0]), timeframe="1Hour"
    )
    assert row["end_timestamp"] == datetime(2024, 7, 3, 17, tzinfo=UTC)


def test_a_daily_label_is_known_at_the_close_of_its_session():
    starts = [
        datetime(2024, 7, 2, tzinfo=UTC),
        datetime(2024, 7, 3, tzinfo=UTC),
        datetime(2024, 7, 5, tzinfo=UTC),
    ]
    row = outcome(
        bars_of(CALM, (100, 101, 97), CALM, starts=starts), event(at=starts[0]), timeframe="1Day"
    )
    assert (row["touched"], row["end_timestamp"]) == ("lower", datetime(2024, 7, 3, 17, tzinfo=UTC))


def test_the_table_is_the_schema_s_and_every_horizon_is_there():
    settings = LabelSettings(horizons_bars=(32, 2))
    table = label_events(bars_of(*[CALM] * 6), event(), settings, XNYS, "15Min").table
    assert table.schema == pl.Schema(LABELS.dtypes)
    assert table["horizon"].to_list() == [2, 32]
    assert table.equals(LABELS.conform(table))


def test_no_bars_and_no_events_make_an_empty_table():
    bars, events = bars_of(CALM), event()
    assert label_events(bars, events.clear(), FOUR, XNYS, "15Min").table.equals(LABELS.empty())
    assert label_events(bars.clear(), events.clear(), FOUR, XNYS, "15Min").table.equals(
        LABELS.empty()
    )


def test_the_summary_counts_what_happened():
    bars = bars_of(CALM, CALM, (100, 105, 100), CALM)
    events = pl.concat([event(), event(at=OPEN + QUARTER), event(at=OPEN + 3 * QUARTER)])
    summary = label_events(bars, events, FOUR, XNYS, "15Min").summary()
    assert (
        summary["rows"],
        summary["h4_upper"],
        summary["h4_unresolved"],
        summary["h4_positive_rate"],
    ) == (3, 2, 1, 1.0)


@pytest.mark.parametrize(
    ("events", "words"),
    [
        (event(side=0), "side must be -1 or 1"),
        (event(volatility=float("nan")), "volatility a number >= 0"),
        (event(volatility=None), "volatility a number >= 0"),
        (event(at=OPEN + timedelta(days=1)), "have no bar"),
        (event(symbol="ZZ"), "have no bar, first ZZ"),
        (pl.concat([event(), event(side=-1)]), "more than once"),
    ],
)
def test_events_that_cannot_be_labelled_are_refused_by_name(events, words):
    with pytest.raises(DataError, match=words):
        label_events(
            bars_of(CALM, CALM),
            events.with_columns(pl.col("volatility").cast(pl.Float64)),
            FOUR,
            XNYS,
            "15Min",
        )


def test_doubled_bars_are_refused():
    with pytest.raises(DataError, match=r"bars: A at .* more than once"):
        label_events(pl.concat([bars_of(CALM), bars_of(CALM)]), event(), FOUR, XNYS, "15Min")
