"""A crypto exchange over a real connection: ccxt's Binance against a local server that pages,
weighs, bans and fails as Binance does.
"""

from datetime import UTC, date, datetime, timedelta

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from market.venues.clocks import Hours
from market.venues.coins import MINUTE, minute_candles
from polars.testing import assert_frame_equal

from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.exchange.local_server import RESET, Fault
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.source_settings import CryptoSettings
from harmony_pipeline.market.sources.crypto import CryptoSource
from harmony_pipeline.market.sources.registry import build_source
from harmony_pipeline.market.sources.retry import RetriesExhausted
from harmony_pipeline.testing.servers.binance import BinanceServer, Pair
from harmony_pipeline.testing.source_contract import SourceContract

NOW = datetime(2024, 3, 9, 12, 0, 0, tzinfo=UTC)
START, END = datetime(2024, 3, 8, tzinfo=UTC), datetime(2024, 3, 8, 12, tzinfo=UTC)
VALUES = ("open", "high", "low", "close", "volume")


def source_of(server, hours, symbols=(), timeframe="1Min", retry=None, **crypto):
    market = MarketSettings(
        symbols=symbols,
        timeframe=timeframe,
        calendar="24/7",
        crypto=CryptoSettings(base_url=server.url, rate_limit_seconds=0.0, **crypto),
    )
    return CryptoSource(market, retry or hours.retry(), hours.now, hours.sleep)


@pytest.fixture
def hours():
    return Hours(NOW)


@pytest.fixture
def server(hours):
    quiet = range(300, 340)
    pairs = [
        Pair(
            "BTC",
            "USDT",
            {"1m": minute_candles(START - timedelta(hours=1), 60 * 40, seed=1)},
            tape(range(0, 10_000_000, 20_011)),
        ),
        Pair(
            "ETH",
            "USDT",
            {"1m": minute_candles(START - timedelta(hours=1), 60 * 40, seed=2, missing=quiet)},
            tape(range(0, 10_000_000, 90_007)),
        ),
        Pair("ETH", "BTC", {"1m": minute_candles(START, 600, seed=3)}),
        Pair("OLD", "USDT", {"1m": minute_candles(START, 10)}, status="BREAK"),
    ]
    with BinanceServer(pairs, hours.now) as running:
        yield running


LACKS = {
    "corporate actions": "a coin has no splits and pays no dividends",
    "quotes": "an exchange's public interface keeps no quotes of the past",
}


class TestCryptoIsASource(SourceContract):
    timeframe, start, end = "1Min", START, END
    symbols = ("BTC/USDT", "ETH/USDT")
    tick_start, tick_end = START, START + timedelta(hours=3)
    lacks = LACKS

    @pytest.fixture
    def source(self, server, hours):
        return source_of(server, hours, page_rows=250)


def test_candles_are_what_the_exchange_has_to_the_last_decimal(server, hours):
    found = source_of(server, hours).bars(["ETH/USDT"], START, END, "1Min")
    there = (
        server.pairs["ETHUSDT"]
        .candles["1m"]
        .filter(pl.col("timestamp").is_between(START, END, closed="left"))
    )
    assert_frame_equal(
        found.select("timestamp", *VALUES), there.select("timestamp", *VALUES), check_exact=True
    )


@given(
    st.integers(2, 40),
    st.integers(0, 150),
    st.sets(st.integers(0, 149)),
    st.lists(st.tuples(st.integers(0, 149), st.integers(0, 60)), max_size=3),
    st.integers(0, 59),
)
@settings(max_examples=20)
def test_paging_repeats_and_loses_no_candle_whatever_the_pages_and_gaps(
    shared, page_rows, length, holes, stretches, offset
):
    server, hours = shared
    missing = holes | {at for begin, count in stretches for at in range(begin, begin + count)}
    table = minute_candles(START, 150, missing=missing)
    server.pairs["BTCUSDT"] = Pair("BTC", "USDT", {"1m": table})
    start = START + timedelta(seconds=offset)
    end = start + length * MINUTE
    source = source_of(server, hours, page_rows=page_rows)
    asked = len(server.asked("/api/v3/klines"))
    found = source.bars(["BTC/USDT"], start, end, "1Min")
    there = table.filter(pl.col("timestamp").is_between(start, end, closed="left"))
    assert_frame_equal(
        found.select("timestamp", *VALUES), there.select("timestamp", *VALUES), check_exact=True
    )
    assert len(server.asked("/api/v3/klines")) - asked <= 2 * (length // page_rows + 1) + 1, (
        "a candle was asked for more often than needed"
    )
    pieces = [
        source.bars(each.symbols, each.start, each.end, "1Min")
        for each in source.requests(["BTC/USDT"], start, end, "1Min")
    ]
    if pieces:
        assert_frame_equal(pl.concat(pieces), found, check_exact=True)


@pytest.fixture(scope="module")
def shared():
    hours = Hours(NOW)
    with BinanceServer([Pair("BTC", "USDT")], hours.now, weight_limit=10**9) as server:
        yield server, hours


# --- the running candle ---------------------------------------------------------------------------


def test_the_running_candle_is_never_handed_out_by_the_clock_of_the_exchange(hours):
    table = minute_candles(NOW - timedelta(hours=2), 240)
    slow = Hours(NOW)  # our own clock, which is wrong by minutes
    with BinanceServer([Pair("BTC", "USDT", {"1m": table})], hours.now) as server:
        for seconds in (0, 1, 30, 59, 60, 61, 125):
            for wrong in (-300, 0, 300):
                hours.moment, slow.moment = (
                    NOW + timedelta(seconds=seconds),
                    NOW + timedelta(seconds=seconds + wrong),
                )
                found = source_of(server, slow, settle_seconds=0.0).bars(
                    ["BTC/USDT"], NOW - timedelta(hours=1), NOW + timedelta(hours=1), "1Min"
                )
                there = table.filter(
                    pl.col("timestamp").is_between(
                        NOW - timedelta(hours=1), NOW + timedelta(minutes=seconds // 60 - 1)
                    )
                )
                assert_frame_equal(
                    found.select("timestamp", *VALUES),
                    there.select("timestamp", *VALUES),
                    check_exact=True,
                )


def test_a_candle_that_ends_while_it_is_read_is_left_for_the_next_question(hours):
    table = minute_candles(NOW - timedelta(hours=2), 240)
    with BinanceServer([Pair("BTC", "USDT", {"1m": table})], hours.now) as server:
        source = source_of(server, hours, settle_seconds=0.0)
        hours.moment = NOW + timedelta(seconds=59)
        # carries the clock over the candle's end
        server.faults.add(Fault(status=503, headers={"Retry-After": "5"}), path="/api/v3/klines")
        found = source.bars(
            ["BTC/USDT"], NOW - timedelta(minutes=5), NOW + timedelta(hours=1), "1Min"
        )
        assert hours.now() > NOW + timedelta(minutes=1)
        hours.sleep(120)
        later = source.bars(
            ["BTC/USDT"], NOW - timedelta(minutes=5), NOW + timedelta(hours=1), "1Min"
        )
    assert found["timestamp"][-1] == NOW - timedelta(minutes=1)
    assert_frame_equal(found, later.head(found.height), check_exact=True)


# --- failures -------------------------------------------------------------------------------------

HTML = Fault(status=200, body="<html><body>Bad gateway</body></html>")
BURST = [
    Fault(
        status=429, body={"code": -1003, "msg": "Too many requests."}, headers={"Retry-After": "7"}
    ),
    Fault(status=418, body={"code": -1003, "msg": "IP banned"}, headers={"Retry-After": "30"}),
    Fault(status=500),
    Fault(status=503, body="<html>Service Unavailable</html>"),
    Fault(status=504),
    Fault(
        status=400,
        body={
            "code": -1001,
            "msg": "Internal error; unable to process your request. Please try again.",
        },
    ),
    HTML,
    RESET,
    Fault(cut_after_bytes=200),
]


def test_bars_are_complete_after_a_burst_of_every_failure(server, hours):
    calm = source_of(server, hours).bars(None, START, END, "1Min")
    server.faults.add(*BURST, path="/api/v3/klines", after=1)
    server.faults.add(*BURST, path="/api/v3/exchangeInfo")
    troubled = source_of(server, hours, page_rows=200, retry=hours.retry(attempts=20)).bars(
        None, START, END, "1Min"
    )
    assert_frame_equal(troubled, calm, check_exact=True)
    assert server.faults.left == 0


@given(st.lists(st.sampled_from(range(len(BURST))), max_size=8), st.integers(0, 4))
@settings(max_examples=15)
def test_no_order_of_failures_changes_a_row(shared, order, after):
    server, hours = shared
    table = minute_candles(START, 150)
    server.pairs["BTCUSDT"] = Pair("BTC", "USDT", {"1m": table})
    server.faults.clear()
    server.faults.add(*(BURST[at] for at in order), path="/", after=after)
    source = source_of(
        server, hours, page_rows=40, retry=hours.retry(attempts=30, limit_seconds=1e6)
    )
    found = source.bars(["BTC/USDT"], START, END, "1Min")
    server.faults.clear()
    assert_frame_equal(
        found.select("timestamp", *VALUES), table.select("timestamp", *VALUES), check_exact=True
    )


def test_a_download_that_dies_at_any_page_and_is_asked_again_has_the_same_rows(server, hours):
    whole = source_of(server, hours, page_rows=100).bars(
        ["BTC/USDT", "ETH/USDT"], START, END, "1Min"
    )
    pieces = source_of(server, hours, page_rows=100).requests(
        ["BTC/USDT", "ETH/USDT"], START, END, "1Min"
    )
    assert len(pieces) == 16
    for dies_at in range(len(pieces) + 1):
        server.faults.clear()
        server.faults.add(*[RESET] * 50, path="/api/v3/klines", after=dies_at)
        kept = {}
        for process in range(2):
            source = source_of(server, hours, page_rows=100, retry=hours.retry(attempts=1))
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


def test_the_weight_limit_is_waited_out_without_a_ban(hours):
    table = minute_candles(START, 700)
    with BinanceServer([Pair("BTC", "USDT", {"1m": table})], hours.now, weight_limit=40) as server:
        found = source_of(server, hours, page_rows=10).bars(["BTC/USDT"], START, END, "1Min")
    assert found.height == 700
    refusals = [seconds for seconds in hours.slept if seconds >= 1.0]
    assert 3 <= len(refusals) <= 8, "each minute's allowance was used and its end waited for"
    assert sum(hours.slept) < 60 * 8, "nobody was banned"


def test_a_ban_longer_than_our_patience_is_said_in_one_line(server, hours):
    server.faults.add(
        *[
            Fault(
                status=418,
                body={"code": -1003, "msg": "IP banned until 1710000000000"},
                headers={"Retry-After": "3600"},
            )
        ]
        * 50,
        path="/api",
    )
    with pytest.raises(
        RetriesExhausted, match=r"asking binance for its clock: .*418.*IP banned"
    ) as raised:
        source_of(server, hours).bars(["BTC/USDT"], START, END, "1Min")
    assert "\n" not in str(raised.value)
    assert hours.slept == []


@pytest.mark.parametrize(
    ("fault", "said"),
    [
        (
            Fault(status=400, body={"code": -1121, "msg": "Invalid symbol."}),
            "refuses 1Min candles of BTC/USDT: binance Invalid symbol|-1121",
        ),
        (
            Fault(status=451, body="Service unavailable from a restricted location"),
            "451.*restricted location",
        ),
    ],
)
def test_a_final_refusal_is_passed_on_at_once_in_one_line(server, hours, fault, said):
    server.faults.add(*[fault] * 5, path="/api/v3/klines")
    with pytest.raises(DataError, match=said) as raised:
        source_of(server, hours).bars(["BTC/USDT"], START, END, "1Min")
    assert "\n" not in str(raised.value)
    assert hours.slept == [] and len(server.asked("/api/v3/klines")) == 1


# --- symbols and the list of pairs ----------------------------------------------------------------


def test_the_exchanges_own_spelling_is_understood_and_kept(server, hours):
    source = source_of(server, hours)
    ours, theirs = (
        source.bars(["BTC/USDT"], START, END, "1Min"),
        source.bars(["BTCUSDT"], START, END, "1Min"),
    )
    assert theirs["symbol"].unique().to_list() == ["BTCUSDT"]
    assert_frame_equal(
        ours.drop("symbol", "origin"), theirs.drop("symbol", "origin"), check_exact=True
    )


def test_no_symbols_means_the_active_pairs_against_the_chosen_currency(server, hours):
    assert set(source_of(server, hours).bars(None, START, END, "1Min")["symbol"]) == {
        "BTC/USDT",
        "ETH/USDT",
    }
    assert set(source_of(server, hours, quote=None).bars(None, START, END, "1Min")["symbol"]) == {
        "BTC/USDT",
        "ETH/USDT",
        "ETH/BTC",
    }
    assert set(source_of(server, hours, ("ETH/BTC",)).bars(None, START, END, "1Min")["symbol"]) == {
        "ETH/BTC"
    }


def test_an_unknown_pair_is_named_with_the_cure(server, hours):
    with pytest.raises(
        DataError, match="binance lists no pair 'NOPE/USDT': write it like BTC/USDT"
    ):
        source_of(server, hours).bars(["NOPE/USDT"], START, END, "1Min")


def test_a_pair_that_was_listed_since_is_found(server, hours):
    source = source_of(server, hours)
    source.bars(["BTC/USDT"], START, END, "1Min")
    server.pairs["NEWUSDT"] = Pair("NEW", "USDT", {"1m": minute_candles(START, 10)})
    assert source.bars(["NEW/USDT"], START, END, "1Min").height == 10


def test_the_universe_is_the_pairs_that_trade_today(server, hours):
    universe = source_of(server, hours).universe()
    assert universe.select("date", "symbol").rows() == [
        (date(2024, 3, 9), symbol) for symbol in ("BTC/USDT", "ETH/BTC", "ETH/USDT")
    ]


def test_a_candle_without_a_number_is_handed_on_with_what_is_missing(hours):
    table = (
        minute_candles(START, 5)
        .with_row_index()
        .with_columns(close=pl.when(pl.col("index") != 2).then("close"))
        .drop("index")
    )
    with BinanceServer([Pair("BTC", "USDT", {"1m": table})], hours.now) as server:
        found = source_of(server, hours).bars(["BTC/USDT"], START, END, "1Min")
    assert found.height == 5
    assert found["close"].null_count() == 1
    assert found["defect"].to_list() == [
        None,
        None,
        "the exchange sent no number for close: ask again later",
        None,
        None,
    ]


# --- ticks ----------------------------------------------------------------------------------------


def tape(moments):
    """One trade each at those milliseconds after START, numbered in order; the numbers pass from
    three digits to four.
    """
    at = sorted(moments)
    return pl.DataFrame(
        {
            "timestamp": pl.Series(
                [START + timedelta(milliseconds=each) for each in at],
                dtype=pl.Datetime("us", "UTC"),
            ),
            "id": range(990, 990 + len(at)),
            "price": [round(0.01 + 1e-8 * number, 8) for number in range(len(at))],
            "size": [1.5 + number for number in range(len(at))],
            "buyer_is_maker": [number % 3 == 0 for number in range(len(at))],
        },
        schema_overrides={"id": pl.Int64},
    )


@given(
    st.lists(st.integers(0, 3 * 3_600_000), max_size=30)
    | st.lists(st.integers(1000, 1005), max_size=30),
    st.integers(6, 20),
)
@settings(max_examples=12)
def test_trades_are_all_there_once_however_crowded(shared, moments, page_rows):
    server, hours = shared
    crowded = max((moments.count(each) for each in set(moments)), default=0) >= page_rows
    there = tape(moments)
    server.pairs["BTCUSDT"] = Pair("BTC", "USDT", {}, there)
    source = source_of(server, hours, page_rows=page_rows)
    end = START + timedelta(hours=3)
    if crowded:
        with pytest.raises(DataError, match="in one millisecond"):
            source.trades(["BTC/USDT"], START, end)
        return
    found = source.trades(["BTC/USDT"], START, end)
    expected = there.filter(pl.col("timestamp") < end)
    assert (
        found.select("timestamp", "row", "price", "size").rows()
        == expected.select("timestamp", "id", "price", "size").rows()
    )
    assert found["conditions"].to_list() == [
        "sell" if maker else "buy" for maker in expected["buyer_is_maker"]
    ]


def test_quotes_of_the_past_are_refused_with_the_reason(server, hours):
    source = source_of(server, hours)
    with pytest.raises(ConfigError, match=r"market\.source binance has no quotes"):
        source.quotes(["BTC/USDT"], START, END)


# --- settings -------------------------------------------------------------------------------------


def test_it_is_chosen_by_its_name_in_the_settings(tmp_path):
    source = build_source(MarketSettings(source="crypto", calendar="24/7"), tmp_path)
    assert isinstance(source, CryptoSource)
    assert (source.name, source.identity) == ("binance", "crypto binance spot")


def test_an_exchange_that_does_not_exist_is_named_with_those_like_it(tmp_path):
    with pytest.raises(ConfigError, match=r"market\.crypto\.exchange is 'binanse'.*binance"):
        CryptoSource(MarketSettings(crypto=CryptoSettings(exchange="binanse"))).bars(
            ["BTC/USDT"], START, END, "1Min"
        )


def test_a_missing_package_is_one_line_with_the_cure(monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, "ccxt", None)
    with pytest.raises(ConfigError, match=r"pip install 'harmony-pipeline\[crypto\]'"):
        CryptoSource(MarketSettings()).bars(["BTC/USDT"], START, END, "1Min")


def test_every_address_of_the_exchange_is_moved_to_the_named_host(tmp_path):
    source = CryptoSource(MarketSettings(crypto=CryptoSettings(base_url="http://127.0.0.1:9/")))
    addresses = source._client.exchange.urls["api"]
    assert addresses["public"] == "http://127.0.0.1:9/api/v3"
    assert all(each.startswith("http://127.0.0.1:9/") for each in addresses.values())


def test_no_key_is_ever_sent(server, hours, monkeypatch):
    monkeypatch.setenv("BINANCE_APIKEY", "secret")
    source_of(server, hours).bars(["BTC/USDT"], START, END, "1Min")
    assert server.seen
    assert not [each for each in server.seen if "x-mbx-apikey" in each.headers]
