"""Which quotes and trades are kept: the account, the rules, duplicates across files, order."""

from datetime import timedelta

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from ticks.tapes import at, quotes, trades

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.settings import MarketSettings, TickSettings
from harmony_pipeline.market.ticks.validate import validate_quotes, validate_trades, value_columns
from harmony_pipeline.schemas import QUOTE_TICKS, TRADE_TICKS

NYSE, MARKET = Calendar.of("XNYS"), MarketSettings()


def settings(**ticks) -> MarketSettings:
    return MarketSettings(ticks=TickSettings(**ticks))


def broken(result):
    return result.quarantine["rule"].to_list()


def closes(received, result):
    counts = result.counts
    assert counts["received"].sum() == received.height
    assert (counts["received"] == counts["kept"] + counts["quarantined"] + counts["merged"]).all()
    assert counts["kept"].sum() == result.kept.height
    assert counts["quarantined"].sum() == result.quarantine.height
    assert (counts["merged"] >= 0).all()


values = st.sampled_from([None, -1.0, 0.0, 10.0, 10.5, float("nan"), float("inf")])
rows = st.lists(
    st.tuples(
        st.integers(-40_000, 60_000),
        values,
        values,
        st.sampled_from([None, "1", "2"]),
        st.sampled_from(["a.csv", "b.csv"]),
    ),
    max_size=40,
)


@given(rows)
def test_every_trade_is_kept_refused_or_merged(drawn):
    received = pl.concat(
        [
            TRADE_TICKS.empty(),
            *(
                trades((at(second), price, size), trade_id=name, origin=origin)
                for second, price, size, name, origin in drawn
            ),
        ]
    )
    result = validate_trades(received, NYSE, MARKET)
    closes(received, result)
    assert_frame_equal(result.kept, TRADE_TICKS.conform(result.kept))
    assert (result.kept["price"] > 0.0).all()
    assert (result.kept["size"] > 0.0).all()
    assert result.quarantine["reason"].str.contains("csv row 2: ").all()


@given(rows)
def test_every_quote_is_kept_refused_or_merged(drawn):
    received = pl.concat(
        [
            QUOTE_TICKS.empty(),
            *(
                quotes((at(second), bid, ask), origin=origin)
                for second, bid, ask, _, origin in drawn
            ),
        ]
    )
    result = validate_quotes(received, NYSE, MARKET)
    closes(received, result)
    assert (result.kept["bid"] <= result.kept["ask"]).fill_null(True).all()


sound = st.lists(
    st.tuples(st.integers(0, 5), st.sampled_from([10.0, 11.0]), st.sampled_from([1.0, 2.0])),
    min_size=1,
    max_size=25,
)


@given(sound, st.integers(0, 25), st.randoms(use_true_random=False))
def test_overlapping_files_in_any_order_give_the_ticks_of_one(drawn, cut, chance):
    ordered = sorted(drawn, key=lambda row: row[0])
    whole = trades(
        *((at(second), price, size) for second, price, size in ordered), origin="whole.csv"
    )
    # the second file starts anywhere, but not between two trades of one time
    start = next(
        (
            place
            for place in range(min(cut, whole.height), 0, -1)
            if place == whole.height or ordered[place][0] != ordered[place - 1][0]
        ),
        0,
    )
    part = whole[start:].with_columns(origin=pl.lit("z_part.csv"), row=pl.col("row") - start)
    pieces = [
        whole.sample(fraction=1.0, shuffle=True, seed=chance.randrange(1_000)),
        part,
        whole.with_columns(origin=pl.lit("zz_copy.csv")),
    ]
    chance.shuffle(pieces)
    received = pl.concat(pieces)
    result = validate_trades(received, NYSE, MARKET)
    closes(received, result)
    told = value_columns(TRADE_TICKS)
    assert_frame_equal(
        result.kept.select(told), validate_trades(whole, NYSE, MARKET).kept.select(told)
    )
    assert result.kept.height == whole.height


def test_two_equal_trades_of_one_file_are_two_trades_and_of_two_files_one():
    once = trades((at(1), 10.0, 100.0), (at(1), 10.0, 100.0))
    assert validate_trades(once, NYSE, MARKET).kept.height == 2
    twice = validate_trades(
        pl.concat([once, once.with_columns(origin=pl.lit("u.csv"))]), NYSE, MARKET
    )
    assert twice.kept.height == 2
    assert twice.counts["merged"].to_list() == [2]
    assert twice.notes == ["2 trades were received twice and kept once"]


def test_a_trade_id_tells_one_trade_wherever_it_stands():
    rows = trades((at(1), 10.0, 100.0), (at(1), 10.0, 100.0), trade_id="7")
    assert validate_trades(rows, NYSE, MARKET).counts.row(0, named=True)["merged"] == 1


def test_of_one_trade_id_with_two_prices_the_later_report_is_kept():
    rows = trades((at(2), 10.5, 100.0), (at(1), 10.0, 100.0), trade_id="7")
    result = validate_trades(rows, NYSE, MARKET)
    assert result.kept["price"].to_list() == [10.5]
    assert broken(result) == ["conflicting_duplicate"]
    assert "t.csv row 3: another row of this trade_id" in result.quarantine["reason"][0]


@pytest.mark.parametrize(
    ("row", "rule", "text"),
    [
        ((at(1), None, 1.0), "missing_price", "price is missing"),
        ((at(1), 10.0, None), "missing_size", "size is missing"),
        ((at(1), 0.0, 1.0), "non_positive_price", "price is 0.0, expected one above 0"),
        ((at(1), 10.0, -5.0), "non_positive_size", "size is -5.0"),
        (
            (at(1) - timedelta(days=2), 10.0, 1.0),
            "outside_session",
            "Sun 2024-06-30 09:30:01 in America/New_York is outside every session of XNYS",
        ),
        ((at(-6 * 3600), 10.0, 1.0), "outside_session", "Tue 2024-07-02 03:30:00"),
    ],
)
def test_a_trade_that_cannot_be_is_refused_with_a_sentence(row, rule, text):
    result = validate_trades(trades(row), NYSE, MARKET)
    assert broken(result) == [rule]
    assert text in result.quarantine["reason"][0]
    assert result.quarantine["timeframe"][0] == "trade"


@pytest.mark.parametrize(
    ("bid", "ask", "chosen", "rules", "notes"),
    [
        (10.0, 10.1, {}, [], []),
        (None, 10.1, {}, [], []),
        (None, None, {}, [], []),  # no market: what stood before does not stand any more
        (10.1, 10.1, {}, [], []),
        (10.1, 10.1, {"locked_quotes": "warn"}, [], ["1 kept quotes are locked"]),
        (10.1, 10.1, {"locked_quotes": "quarantine"}, ["locked_quote"], []),
        (10.2, 10.1, {}, ["crossed_quote"], []),
        (10.2, 10.1, {"crossed_quotes": "warn"}, [], ["1 kept quotes are crossed"]),
        (-1.0, 10.1, {}, ["non_positive_price"], []),
    ],
)
def test_quotes_of_every_kind(bid, ask, chosen, rules, notes):
    result = validate_quotes(quotes((at(1), bid, ask)), NYSE, settings(**chosen))
    assert (broken(result), result.notes) == (rules, notes)


def test_a_side_of_price_and_size_nought_is_no_side():
    rows = quotes((at(1), 0.0, 10.1)).with_columns(bid_size=0.0)
    assert validate_quotes(rows, NYSE, MARKET).kept.select("bid", "bid_size", "ask").row(0) == (
        None,
        None,
        10.1,
    )
    assert broken(validate_quotes(quotes((at(1), 0.0, 10.1)), NYSE, MARKET)) == [
        "non_positive_price"
    ]
    assert broken(
        validate_quotes(quotes((at(1), 10.0, 10.1)).with_columns(ask_size=0.0), NYSE, MARKET)
    ) == ["non_positive_size"]


def test_settings_decide_about_symbols_and_extended_hours():
    rows = trades((at(-60), 10.0, 1.0), (at(60), 10.0, 1.0))
    assert broken(validate_trades(rows, NYSE, MarketSettings(extended_hours=False))) == [
        "extended_hours_off"
    ]
    assert broken(validate_trades(rows, NYSE, MarketSettings(symbols=("BBB",)))) == [
        "unknown_symbol",
        "unknown_symbol",
    ]


def test_late_reports_are_sorted_and_counted():
    result = validate_trades(
        trades((at(5), 10.0, 1.0), (at(1), 11.0, 1.0), (at(6), 12.0, 1.0)), NYSE, MARKET
    )
    assert result.kept["price"].to_list() == [11.0, 10.0, 12.0]
    assert result.notes == ["1 rows were out of the order of time and were sorted"]


def test_a_suspicious_trade_is_kept_with_its_mark():
    assert validate_trades(trades((at(1), 10.0, 1.0), suspicious=True), NYSE, MARKET).kept[
        "suspicious"
    ].to_list() == [True]


def test_what_a_source_must_give_is_named():
    with pytest.raises(DataError, match="trade_ticks lack the column"):
        validate_trades(trades((at(1), 10.0, 1.0)).drop("symbol"), NYSE, MARKET)
