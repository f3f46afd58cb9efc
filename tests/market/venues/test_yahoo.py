"""Yahoo over a real connection: yfinance's own session against a local server that adjusts, limits
and fails as Yahoo does.
"""

import csv
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market.venues import yahoo_stocks
from market.venues.clocks import Hours
from polars.testing import assert_frame_equal

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.exchange.local_server import RESET, Fault
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.source_settings import YahooSettings
from harmony_pipeline.market.sources.registry import build_source
from harmony_pipeline.market.sources.retry import RetriesExhausted
from harmony_pipeline.market.sources.yahoo import YahooSource
from harmony_pipeline.market.sources.yahoo_chart import undo_adjustment
from harmony_pipeline.testing.servers.yahoo import Stock, YahooServer
from harmony_pipeline.testing.source_contract import SourceContract

NOW = datetime(2024, 6, 10, 15, 0, 0, tzinfo=UTC)  # a Monday, 11:00 in New York
DAILY_START, DAILY_END = datetime(2019, 1, 1, tzinfo=UTC), datetime(2024, 6, 1, tzinfo=UTC)
PRICES = ("open", "high", "low", "close")


def source_of(server, hours, symbols=("AAA", "BBB"), timeframe="1Day", retry=None, **yahoo):
    market = MarketSettings(
        symbols=symbols, timeframe=timeframe, yahoo=YahooSettings(base_url=server.url, **yahoo)
    )
    return YahooSource(market, retry or hours.retry(), hours.now, hours.sleep)


@pytest.fixture
def hours():
    return Hours(NOW)


@pytest.fixture(scope="module")
def daily_stocks():
    first, last = date(2018, 1, 1), date(2024, 7, 1)
    return [
        yahoo_stocks.daily(
            "AAA",
            first,
            last,
            [(date(2020, 8, 31), 4, 1)],
            [(date(2019, 5, 10), 0.77), (date(2023, 5, 12), 0.24)],
            seed=1,
        ),
        yahoo_stocks.daily("BBB", first, last, [(date(2022, 3, 7), 1, 20)], seed=2),
    ]


@pytest.fixture
def daily_server(daily_stocks, hours):
    with YahooServer(daily_stocks, hours.now) as server:
        yield server


NO_TICKS = dict.fromkeys(
    ("quotes", "trades"), "Yahoo shows neither the quotes nor the trades of the past"
)


class TestYahooByDayIsASource(SourceContract):
    timeframe, start, end = "1Day", DAILY_START, DAILY_END
    symbols = ("AAA", "BBB")
    lacks = NO_TICKS

    @pytest.fixture
    def source(self, daily_server, hours):
        return source_of(daily_server, hours)


@pytest.fixture(scope="module")
def minute_stocks():
    return [
        yahoo_stocks.intraday(
            symbol, "1m", 1, date(2024, 5, 30), date(2024, 6, 12), [(date(2024, 6, 4), 10, 1)], seed
        )
        for seed, symbol in enumerate(TestYahooByMinuteIsASource.symbols)
    ]


class TestYahooByMinuteIsASource(SourceContract):
    timeframe, start, end = "1Min", NOW - timedelta(days=9), NOW
    symbols = ("AAA", "BBB")
    lacks = NO_TICKS

    @pytest.fixture
    def source(self, minute_stocks, hours):
        with YahooServer(minute_stocks, hours.now) as server:
            yield source_of(server, hours, timeframe="1Min")


def rows_of(stock, interval, start, end):
    """The bars that the server was given, as traded."""
    return (
        stock.bars[interval]
        .filter(pl.col("timestamp").is_between(start, end, closed="left"))
        .select("timestamp", *PRICES, "volume")
    )


# --- splits ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("symbol", "splits"),
    [("FORWARD", yahoo_stocks.APPLE_LIKE), ("REVERSE", yahoo_stocks.INSURER_LIKE)],
)
def test_prices_are_raw_to_the_cent_and_volumes_to_the_share_after_any_splits(
    hours, symbol, splits
):
    stock = yahoo_stocks.daily(symbol, date(1999, 1, 1), date(2024, 6, 7), splits, seed=5)
    with YahooServer([stock], hours.now) as server:
        found = source_of(server, hours, (symbol,)).bars(
            None, datetime(1999, 1, 1, tzinfo=UTC), NOW, "1Day"
        )
    traded = stock.bars["1d"]
    assert_frame_equal(
        found.select("timestamp", *PRICES), traded.select("timestamp", *PRICES), check_exact=True
    )
    for day, received, true in zip(
        found["timestamp"].dt.date(), found["volume"], traded["volume"], strict=True
    ):
        ratio = Fraction(1)
        for when, top, bottom in splits:
            ratio *= Fraction(top, bottom) if when > day else 1
        # Yahoo rounds adjusted volume to a whole share of today: half of that is lost where shares
        # were merged since.
        assert abs(Fraction(received) - Fraction(true)) <= max(
            Fraction(0), Fraction(1, 2) / ratio + Fraction(1, 2)
        ) * (ratio != 1)


def test_a_bar_says_the_same_before_and_after_a_later_split(hours):
    stock = yahoo_stocks.daily(
        "AAA",
        date(2023, 1, 1),
        date(2024, 7, 1),
        [(date(2024, 6, 12), 3, 1)],
        [(date(2024, 2, 9), 0.31)],
        seed=8,
    )
    with YahooServer([stock], hours.now) as server:
        source = source_of(server, hours, ("AAA",))
        start, end = datetime(2023, 1, 1, tzinfo=UTC), datetime(2024, 6, 7, tzinfo=UTC)
        before, paid = source.bars(None, start, end, "1Day"), source.corporate_actions(None)
        hours.sleep(3 * 86400)
        after, paid_since = source.bars(None, start, end, "1Day"), source.corporate_actions(None)
    assert_frame_equal(before, after, check_exact=True)
    assert paid.rows() == [("AAA", date(2024, 2, 9), "dividend", 0.31)]
    assert paid_since.rows() == [
        ("AAA", date(2024, 2, 9), "dividend", 0.31),
        ("AAA", date(2024, 6, 12), "split", 3.0),
    ]


@given(
    st.integers(1, 5_000_000).map(lambda cents: cents / 100),
    st.lists(st.tuples(st.integers(1, 50), st.integers(1, 20)), max_size=3),
)
def test_what_a_split_adjusted_float_stood_for_is_found_again(price, splits):
    ratio = 1.0
    for top, bottom in splits:
        ratio *= top / bottom
    narrow = pl.Series([price / ratio], dtype=pl.Float64).cast(pl.Float32).cast(pl.Float64)
    found = (
        pl.DataFrame({"sent": narrow, "ratio": [ratio]})
        .select(undo_adjustment(pl.col("sent"), pl.col("ratio")))
        .item()
    )
    # A float of 24 bits cannot tell prices apart that are closer than its step; where it can, the
    # price comes back to the cent.
    step = abs(price) * 2.0**-23
    assert found == price if step < 0.005 else abs(found - price) <= step


@pytest.mark.parametrize("symbol", ["AAPL", "AIG", "GOOG", "IBM", "EEM"])
def test_real_prices_of_twenty_years_come_back_as_they_were_traded(hours, symbol, market_data):
    shared = market_data / "us_equity_daily"
    bars = pl.read_csv(shared / f"{symbol}.csv", try_parse_dates=True).with_columns(
        pl.col("timestamp")
        .dt.convert_time_zone("America/New_York")
        .dt.date()
        .cast(pl.Datetime("us"))
        .dt.replace_time_zone("UTC")
    )
    with (shared / "corporate_actions.csv").open() as lines:
        actions = [row for row in csv.DictReader(lines) if row["symbol"] == symbol]
    splits = [
        (date.fromisoformat(row["date"]), Fraction(row["value"]).limit_denominator(1000))
        for row in actions
        if row["kind"] == "split"
    ]
    dividends = [
        (date.fromisoformat(row["date"]), round(float(row["value"]), 4))
        for row in actions
        if row["kind"] == "dividend"
    ]
    stock = Stock(
        symbol,
        {"1d": bars},
        [(when, ratio.numerator, ratio.denominator) for when, ratio in splits],
        dividends,
    )
    with YahooServer([stock], hours.now) as server:
        source = source_of(server, hours, (symbol,))
        found = source.bars(None, datetime(1998, 1, 1, tzinfo=UTC), NOW, "1Day")
        told = source.corporate_actions(None)
    assert found.height == bars.height > 1500
    for name in PRICES:
        true, error = bars[name], (found[name] - bars[name]).abs()
        # of a 32-bit float: prices in hundredths of a cent above some 400 dollars lie closer than
        # that
        step = true * 2.0**-23
        assert error.filter((step < 5e-5) | (true == true.round(2))).max() == 0.0
        assert (error <= step).all()
    assert told.filter(pl.col("kind") == "split").select("date", "value").rows() == [
        (when, float(ratio)) for when, ratio in splits
    ]
    cash = told.filter(pl.col("kind") == "dividend")
    assert cash["date"].to_list() == [when for when, _ in dividends]
    assert cash["value"].to_list() == pytest.approx([amount for _, amount in dividends], abs=6e-5)


# --- stamps and the running bar -------------------------------------------------------------------


@pytest.mark.parametrize(
    ("zone", "opens"),
    [
        ("America/New_York", (9, 30)),
        ("Asia/Tokyo", (9, 0)),
        ("Pacific/Auckland", (10, 0)),
        ("Australia/Sydney", (10, 0)),
    ],
)
def test_a_daily_bar_is_stamped_midnight_utc_of_its_session_date_everywhere(hours, zone, opens):
    from datetime import time

    stock = yahoo_stocks.daily(
        "AAA", date(2024, 1, 1), date(2024, 5, 1), zone=zone, opens=time(*opens)
    )
    with YahooServer([stock], hours.now) as server:
        source = source_of(server, hours, ("AAA",))
        start, end = datetime(2024, 1, 10, tzinfo=UTC), datetime(2024, 4, 10, tzinfo=UTC)
        found = source.bars(None, start, end, "1Day")
    assert_frame_equal(
        found.select("timestamp", *PRICES),
        rows_of(stock, "1d", start, end).drop("volume"),
        check_exact=True,
    )


def test_the_day_that_runs_is_handed_out_half_an_hour_after_its_close_and_whole(
    daily_server, hours
):
    source = source_of(daily_server, hours, ("AAA",))
    today = datetime(2024, 6, 10, tzinfo=UTC)
    for moment, known in (("15:00", False), ("19:59", False), ("20:15", False), ("20:31", True)):
        hours.moment = datetime.fromisoformat(f"2024-06-10T{moment}:00+00:00")
        found = source.bars(None, today - timedelta(days=5), hours.moment, "1Day")
        assert (today in found["timestamp"].dt.convert_time_zone("UTC").to_list()) is known, moment
        assert found["timestamp"].is_unique().all()
    whole = rows_of(daily_server.stocks["AAA"], "1d", today, today + timedelta(days=1))
    assert_frame_equal(
        found.tail(1).select("timestamp", *PRICES, "volume"), whole, check_exact=True
    )


def test_a_minute_that_runs_is_never_handed_out_whatever_the_second(hours):
    stock = yahoo_stocks.intraday("AAA", "1m", 1, date(2024, 6, 3), date(2024, 6, 12))
    with YahooServer([stock], hours.now) as server:
        source = source_of(server, hours, ("AAA",), "1Min", settle_seconds=0.0)
        for second in (0, 1, 17, 59, 60, 61, 119):
            hours.moment = NOW + timedelta(seconds=second)
            found = source.bars(None, NOW - timedelta(hours=1), hours.moment, "1Min")
            expected = rows_of(
                stock, "1m", NOW - timedelta(hours=1), NOW + timedelta(minutes=second // 60)
            )
            assert_frame_equal(
                found.select("timestamp", *PRICES, "volume"), expected, check_exact=True
            )


def test_half_hours_are_made_of_quarters_since_yahoo_answers_them_with_hours(hours):
    stock = yahoo_stocks.intraday(
        "AAA", "15m", 15, date(2024, 5, 20), date(2024, 6, 12), [(date(2024, 6, 4), 2, 1)]
    )
    with YahooServer([stock], hours.now) as server:
        source = source_of(server, hours, ("AAA",), "30Min", settle_seconds=0.0)
        found = source.bars(None, NOW - timedelta(days=14), NOW, "30Min")
    expected = {}
    for stamp, opened, high, low, close, volume in rows_of(
        stock, "15m", NOW - timedelta(days=14), NOW
    ).iter_rows():
        half = stamp.replace(minute=stamp.minute // 30 * 30)
        known = expected.setdefault(half, [opened, high, low, close, 0.0])
        expected[half] = [
            known[0],
            max(known[1], high),
            min(known[2], low),
            close,
            known[4] + volume,
        ]
    assert [
        (row[0], list(row[1:])) for row in found.select("timestamp", *PRICES, "volume").iter_rows()
    ] == list(expected.items())


def test_a_row_without_numbers_is_handed_on_with_what_is_missing(hours):
    stock = yahoo_stocks.daily("AAA", date(2024, 1, 1), date(2024, 6, 1))
    holed = (
        stock.bars["1d"]
        .with_row_index()
        .with_columns(
            *(
                pl.when(pl.col("index") != 10).then(pl.col(name)).alias(name)
                for name in (*PRICES, "volume")
            ),
        )
    )
    holed = holed.with_columns(volume=pl.when(pl.col("index") != 20).then("volume")).drop("index")
    with YahooServer([Stock("AAA", {"1d": holed})], hours.now) as server:
        found = source_of(server, hours, ("AAA",)).bars(
            None, datetime(2024, 1, 1, tzinfo=UTC), NOW, "1Day"
        )
    assert found.height == holed.height
    marked = found.filter(pl.col("defect").is_not_null())
    assert marked["timestamp"].to_list() == [holed["timestamp"][10], holed["timestamp"][20]]
    assert "open, high, low, close, volume" in marked["defect"][0]
    assert "no number for volume" in marked["defect"][1] and marked["close"][1] is not None


# --- limits ---------------------------------------------------------------------------------------


def test_thirty_days_of_minutes_are_asked_for_in_pieces_that_yahoo_grants(hours):
    stock = yahoo_stocks.intraday("AAA", "1m", 1, date(2024, 5, 1), date(2024, 6, 12))
    start = NOW - timedelta(days=29, hours=23)
    with YahooServer([stock], hours.now) as server:
        source = source_of(server, hours, ("AAA",), "1Min")
        pieces = source.requests(None, start, NOW, "1Min")
        found = source.bars(None, start, NOW, "1Min")
    assert len(pieces) == 5
    assert all(each.end - each.start <= timedelta(days=7) for each in pieces)
    assert_frame_equal(
        found.select("timestamp", "close"),
        rows_of(stock, "1m", start, NOW - timedelta(minutes=1)).select("timestamp", "close"),
        check_exact=True,
    )


@pytest.mark.parametrize(
    ("timeframe", "days"),
    [("1Min", 30), ("5Min", 60), ("15Min", 60), ("30Min", 60), ("1Hour", 730)],
)
def test_what_yahoo_no_longer_keeps_is_refused_in_one_line_with_the_cure(
    daily_server, hours, timeframe, days
):
    source = source_of(daily_server, hours, ("AAA",))
    end = NOW - timedelta(days=days + 1)
    with pytest.raises(
        DataError, match=rf"keeps {timeframe} bars for {days} days.*market\.start"
    ) as raised:
        source.bars(None, end - timedelta(days=10), end, timeframe)
    assert "\n" not in str(raised.value)
    assert [
        (each.start, each.end)
        for each in source.requests(None, end - timedelta(days=10), end, timeframe)
    ] == [(end - timedelta(days=10), end)]
    assert not daily_server.asked("/v8/finance/chart/AAA")


def test_a_range_that_begins_too_early_gives_what_there_is_and_a_note(hours):
    stock = yahoo_stocks.intraday("AAA", "15m", 15, date(2024, 3, 1), date(2024, 6, 12))
    with YahooServer([stock], hours.now) as server:
        source = source_of(server, hours, ("AAA",), "15Min")
        answer = source.read_bars(None, NOW - timedelta(days=90), NOW, "15Min")
        asked = source.requests(None, NOW - timedelta(days=90), NOW, "15Min")
    found = answer.rows
    assert found["timestamp"].min() >= NOW - timedelta(days=60)
    assert found.height > 500
    assert all(
        "keeps 15Min bars for 60 days" in note
        for note in (*answer.notes, *(each.note for each in asked))
    )
    assert len(answer.notes) == len(asked) == 1


def test_a_refusal_of_yahoos_is_passed_on_in_its_words(hours):
    stock = yahoo_stocks.intraday("AAA", "1m", 1, date(2024, 5, 1), date(2024, 6, 12))
    with (
        YahooServer([stock], lambda: NOW + timedelta(days=10)) as server,
        pytest.raises(DataError, match=r"Yahoo refuses AAA: .*within the last 30 days"),
    ):
        source_of(server, hours, ("AAA",), "1Min").bars(
            None, NOW - timedelta(days=25), NOW - timedelta(days=24), "1Min"
        )


# --- failures -------------------------------------------------------------------------------------

HTML = Fault(status=200, body="<html><body>We'll be right back</body></html>")
BURST = [
    Fault(status=429, body="Too Many Requests"),
    Fault(status=429),
    Fault(status=500),
    Fault(status=503, body="<html>down</html>"),
    HTML,
    RESET,
    Fault(cut_after_bytes=100),
]


def test_bars_are_complete_after_a_burst_of_every_failure(daily_server, hours):
    calm = source_of(daily_server, hours).bars(None, DAILY_START, DAILY_END, "1Day")
    daily_server.faults.add(*BURST, path="/v8/finance/chart")
    source = source_of(daily_server, hours, retry=hours.retry(attempts=20))
    assert_frame_equal(source.bars(None, DAILY_START, DAILY_END, "1Day"), calm, check_exact=True)
    assert daily_server.faults.left == 0


@given(st.lists(st.sampled_from(range(len(BURST))), max_size=6), st.integers(0, 3))
@settings(max_examples=15)
def test_no_order_of_failures_changes_a_row(order, after):
    hours = Hours(NOW)
    stocks = [
        yahoo_stocks.daily("AAA", date(2024, 1, 1), date(2024, 6, 1), [(date(2024, 3, 4), 2, 1)])
    ]
    with YahooServer(stocks, hours.now) as server:
        calm = source_of(server, hours, ("AAA",)).bars(
            None, datetime(2024, 1, 1, tzinfo=UTC), NOW, "1Day"
        )
        server.faults.add(*(BURST[at] for at in order), path="/", after=after)
        source = source_of(
            server, hours, ("AAA",), retry=hours.retry(attempts=30, limit_seconds=1e6)
        )
        assert_frame_equal(
            source.bars(None, datetime(2024, 1, 1, tzinfo=UTC), NOW, "1Day"), calm, check_exact=True
        )


def test_a_download_that_dies_at_any_request_and_is_asked_again_has_the_same_rows(hours):
    splits = [(date(2024, 6, 3), 10, 1)]
    stocks = [
        yahoo_stocks.intraday(symbol, "1m", 1, date(2024, 5, 27), date(2024, 6, 12), splits, seed)
        for seed, symbol in enumerate(("AAA", "BBB"))
    ]
    start = NOW - timedelta(days=12)
    with YahooServer(stocks, hours.now) as server:
        whole = source_of(server, hours, timeframe="1Min").bars(None, start, NOW, "1Min")
        pieces = source_of(server, hours, timeframe="1Min").requests(None, start, NOW, "1Min")
        for dies_at in range(2 * len(pieces)):
            server.faults.clear()
            server.faults.add(*[RESET] * 50, path="/v8", after=dies_at)
            kept = {}
            for process in range(2):
                source = source_of(server, hours, timeframe="1Min", retry=hours.retry(attempts=1))
                try:
                    for piece in pieces:
                        if piece not in kept:
                            kept[piece] = source.bars(piece.symbols, piece.start, piece.end, "1Min")
                except DataError:
                    assert process == 0
                server.faults.clear()
            assert_frame_equal(
                pl.concat(kept.values()).sort("symbol", "timestamp"), whole, check_exact=True
            )


def test_a_supplier_that_stays_down_is_given_up_in_one_line(daily_server, hours):
    daily_server.faults.add(
        *[Fault(status=503, body="<html>\n\n" + "down " * 1000)] * 100, path="/v8"
    )
    with pytest.raises(
        RetriesExhausted, match=r"asking Yahoo for AAA: no answer after 3 attempt\(s\).*HTTP 503"
    ) as raised:
        source_of(daily_server, hours, retry=hours.retry(attempts=3)).bars(
            None, DAILY_START, DAILY_END, "1Day"
        )
    assert "\n" not in str(raised.value) and len(str(raised.value)) < 500


def test_a_wait_that_yahoo_names_is_kept(daily_server, hours):
    # yfinance asks twice itself
    daily_server.faults.add(*[Fault(status=503, headers={"Retry-After": "40"})] * 2, path="/v8")
    source_of(daily_server, hours, ("AAA",)).bars(None, DAILY_START, DAILY_END, "1Day")
    assert 40.0 <= hours.slept[0] <= 41.0


def test_a_symbol_that_yahoo_does_not_know_has_no_rows_and_a_note(daily_server, hours):
    source = source_of(daily_server, hours, ("AAA", "NONE"))
    answer = source.read_bars(None, DAILY_START, DAILY_END, "1Day")
    assert answer.rows["symbol"].unique().to_list() == ["AAA"]
    assert ["'NONE'" in note for note in answer.notes] == [True]
    assert (
        source.bars(
            ["AAA"], datetime(2001, 1, 1, tzinfo=UTC), datetime(2002, 1, 1, tzinfo=UTC), "1Day"
        ).height
        == 0
    )


# --- the rest -------------------------------------------------------------------------------------

PROFILE = {
    "assetProfile": {"sector": "Technology"},
    "defaultKeyStatistics": {"floatShares": 15_000_000_000, "sharesOutstanding": 15_300_000_000},
    "price": {"marketCap": {"raw": 2.9e12, "fmt": "2.9T"}},
    "quoteType": {"firstTradeDateEpochUtc": 345479400},
}


def test_the_universe_is_what_yahoo_says_today_with_null_for_what_it_leaves_out(hours):
    stocks = [
        yahoo_stocks.daily("AAA", date(2024, 1, 1), date(2024, 6, 1), summary=PROFILE),
        yahoo_stocks.daily("BBB", date(2024, 1, 1), date(2024, 6, 1)),
    ]
    with YahooServer(stocks, hours.now) as server:
        source = source_of(server, hours, ("AAA", "BBB", "NONE"))
        told = source.universe()
        server.spoil_crumb()  # a crumb that went stale is fetched anew
        assert_frame_equal(source.universe(), told)
    assert told.select(
        "date", "symbol", "listed", "delisted", "shares", "float", "market_cap", "sector"
    ).rows() == [
        (date(2024, 6, 10), "AAA", date(1980, 12, 12), None, 15.3e9, 15e9, 2.9e12, "Technology"),
        (date(2024, 6, 10), "BBB", None, None, None, None, None, None),
    ]


def test_dividends_and_splits_of_one_date_are_one_row_each(hours):
    day = date(2021, 5, 3)
    stock = yahoo_stocks.daily(
        "AAA",
        date(2020, 1, 1),
        date(2024, 6, 1),
        [(day, 2, 1), (date(2022, 1, 3), 5, 1)],
        [(day, 0.25), (date(2021, 8, 2), 1.23)],
    )
    with YahooServer([stock], hours.now) as server:
        told = source_of(server, hours, ("AAA",)).corporate_actions(None)
    assert told.rows() == [
        ("AAA", day, "dividend", 0.25),
        ("AAA", day, "split", 2.0),
        ("AAA", date(2021, 8, 2), "dividend", 1.23),
        ("AAA", date(2022, 1, 3), "split", 5.0),
    ]


def test_a_renamed_symbol_keeps_our_name(hours):
    with YahooServer(
        [yahoo_stocks.daily("BRK-B", date(2024, 1, 1), date(2024, 6, 1))], hours.now
    ) as server:
        source = source_of(server, hours, ("BRK.B",), rename={"BRK.B": "BRK-B"})
        assert source.bars(None, datetime(2024, 1, 1, tzinfo=UTC), NOW, "1Day")[
            "symbol"
        ].unique().to_list() == ["BRK.B"]


def test_symbols_with_odd_letters_reach_yahoo_as_they_are(hours):
    with YahooServer(
        [
            yahoo_stocks.daily(symbol, date(2024, 1, 1), date(2024, 6, 1))
            for symbol in ("^GSPC", "EURUSD=X")
        ],
        hours.now,
    ) as server:
        found = source_of(server, hours, ("^GSPC", "EURUSD=X")).bars(
            None, datetime(2024, 1, 1, tzinfo=UTC), NOW, "1Day"
        )
    assert set(found["symbol"]) == {"^GSPC", "EURUSD=X"}


def test_without_symbols_the_cure_is_named(daily_server, hours):
    with pytest.raises(ConfigError, match=r"market\.symbols is empty, and Yahoo cannot list"):
        source_of(daily_server, hours, ()).bars(None, DAILY_START, DAILY_END, "1Day")


def test_it_is_chosen_by_its_name_in_the_settings(tmp_path):
    source = build_source(
        MarketSettings(source="yahoo", symbols=("AAPL",), timeframe="1Day"), tmp_path
    )
    assert isinstance(source, YahooSource)
    assert "splits undone" in source.identity


def test_a_missing_package_is_one_line_with_the_cure(monkeypatch, hours):
    import sys

    monkeypatch.setitem(sys.modules, "yfinance.data", None)
    with pytest.raises(ConfigError, match=r"pip install 'harmony-pipeline\[yahoo\]'"):
        YahooSource(MarketSettings(symbols=("AAPL",)), hours.retry()).bars(
            None, DAILY_START, DAILY_END, "1Day"
        )
