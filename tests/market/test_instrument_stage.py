"""The table `instruments` of small lakes: what the data show period by period, what a source tells,
what settings decide.
"""

from datetime import UTC, date, datetime, timedelta

import numpy as np
import polars as pl
import pytest
from market.venues.clocks import Hours
from market.venues.coins import minute_candles

from harmony_pipeline.config import load_settings
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.source_settings import CryptoSettings
from harmony_pipeline.market.sources.alpaca import translate
from harmony_pipeline.market.sources.base import (
    SOURCE_BAR_DTYPES,
    MarketDataSource,
    SourceCapabilities,
)
from harmony_pipeline.market.sources.crypto import CryptoSource
from harmony_pipeline.schemas import TABLES
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.instruments import instruments
from harmony_pipeline.testing.servers.binance import BinanceServer, Pair

NOW = datetime(2024, 3, 9, 12, tzinfo=UTC)


class Told(MarketDataSource):
    """A source of files that also knows terms."""

    name = "venue"
    capabilities = SourceCapabilities(remote=False, instruments=True)

    def __init__(self, **rows):
        self.rows = [{"symbol": symbol, **terms} for symbol, terms in rows.items()]

    def bars(self, symbols, start, end, timeframe):
        return pl.DataFrame(schema=SOURCE_BAR_DTYPES)

    def instruments(self):
        return pl.DataFrame(self.rows)


def lake_of(folder, calendar, prices, settings="", source=None):
    """A pipeline context whose lake holds hourly bars of 2024: {symbol: [prices of January, of
    February, ...]}.
    """
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "harmony.toml").write_text(
        f"""[paths]\nlake = "lake"\nstate = "state"\n[market]\nsource = "files"\ncalendar = "{calendar}"\ntimeframe = "1Hour"
start = 2024-01-01\nend = 2024-04-01\n[market.partitions]\ntrading_period = "month"\nretraining_period = "month"\n{settings}"""
    )
    pipeline = PipelineContext(load_settings(folder / "harmony.toml", {}))
    if source is not None:
        pipeline.__dict__["source"] = source
    for number, period in enumerate(pipeline.trading_periods()):
        rows = [
            {
                "symbol": symbol, "timeframe": "1Hour",
                "timestamp": period.start + timedelta(hours=10 + at), "session": "regular",
                **dict.fromkeys(("open", "high", "low", "close"), float(price)), "volume": 10.0,
                "adjustment_factor": 1.0,
            }
            for symbol, months in prices.items()
            for at, price in enumerate(months[number] if number < len(months) else [])
        ]  # fmt: skip
        pipeline.lake.write(
            "bars",
            period.key,
            pl.DataFrame(rows, schema=TABLES["bars"].dtypes) if rows else TABLES["bars"].empty(),
        )
        days = [
            {
                "symbol": symbol, "date": period.first_date, "volume": 1.0, "bars": 1,
                "regular_bars": 1, "expected_regular_bars": 1,
                "last_timestamp": period.start, "adjustment_factor": 1.0, "premarket_volume": 0.0,
                "premarket_bars": 0, "scan_time": period.start,
                "postmarket_volume": 0.0,
            }
            for symbol in sorted({row["symbol"] for row in rows})
        ]  # fmt: skip
        pipeline.lake.write(
            "daily_summary",
            period.key,
            (
                TABLES["daily_summary"].conform(pl.DataFrame(days))
                if days
                else TABLES["daily_summary"].empty()
            ),
        )
    instruments(pipeline)
    return pipeline


def walk(step, price, count=200):
    return (
        np.round(price / step + np.cumsum(np.random.default_rng(3).integers(-9, 10, count))) * step
    ).round(10)


def test_a_finer_step_holds_from_the_period_after_the_one_that_showed_it(tmp_path):
    pipeline = lake_of(
        tmp_path,
        "24/7",
        {
            "COIN": [walk(0.01, 3.0), walk(0.0001, 0.4), walk(0.0001, 0.3)],
            "BTCUSD": [walk(0.5, 40_000.0)],
        },
    )
    table = pipeline.lake.read("instruments")
    coin = table.filter(pl.col("symbol") == "COIN")
    assert coin.select("valid_from", "tick_size", "price_precision").rows() == [
        (date(1900, 1, 1), 0.01, 2),
        (date(2024, 3, 1), 0.0001, 4),
    ]
    assert pipeline.instruments.at("COIN", date(2024, 2, 29)).tick_size == 0.01
    assert pipeline.instruments.at("COIN", date(2024, 3, 1)).tick_size == 0.0001
    assert pipeline.instruments.at("BTCUSD").tick_size == 0.5
    assert coin["origin"].unique().to_list() == ["default crypto; tick_size: data"]


def test_later_bars_change_no_earlier_terms(tmp_path):
    months = [walk(0.01, 3.0), walk(0.0001, 0.4), walk(0.000001, 0.02)]
    short = lake_of(tmp_path / "short", "24/7", {"COIN": months[:2]}).lake.read("instruments")
    long = lake_of(tmp_path / "long", "24/7", {"COIN": months}).lake.read("instruments")
    assert long.filter(pl.col("valid_from") <= date(2024, 3, 1)).equals(short)
    assert long.height == short.height + 1


def test_shares_follow_the_exchange_and_its_data(tmp_path):
    nse = lake_of(
        tmp_path / "nse",
        "XBOM",
        {"RELIANCE": [walk(0.05, 2900.0)], "CHEAP": [walk(0.01, 90.0)], "NEW": [[101.0, 102.0]]},
    ).instruments
    assert [nse.at(symbol).tick_size for symbol in ("RELIANCE", "CHEAP", "NEW")] == [
        0.05,
        0.01,
        0.01,
    ]
    assert (nse.at("NEW").currency, nse.at("NEW").lot_size) == ("INR", 1.0)


def test_currencies_need_no_data_and_two_of_them_are_told(tmp_path):
    pipeline = lake_of(
        tmp_path,
        "FX",
        {"EURUSD": [[1.1, 1.2]], "USDJPY": [[150.0, 151.0]], "XAUUSD": [walk(0.01, 2050.0)]},
    )
    assert [
        pipeline.instruments.at(symbol).tick_size for symbol in ("EURUSD", "USDJPY", "XAUUSD")
    ] == [
        0.00001,
        0.001,
        0.01,
    ]
    assert "JPY, USD" in instruments(pipeline).notes[0]


def test_settings_go_before_data_and_source(tmp_path):
    chosen = (
        "[market.instruments.defaults]\nshortable ="
        ' false\n[market.instruments.symbols."COIN"]\ntick_size = 0.001\nlot_size = 0.1\n'
    )
    told = Told(
        COIN={
            "valid_from": NOW.date(),
            "since_ever": True,
            "tick_size": 0.01,
            "minimum_notional": 5.0,
        }
    )
    pipeline = lake_of(
        tmp_path, "24/7", {"COIN": [walk(0.1, 30.0)], "OTHER": [walk(0.1, 30.0)]}, chosen, told
    )
    coin, other = pipeline.instruments.at("COIN"), pipeline.instruments.at("OTHER")
    assert (coin.tick_size, coin.lot_size, coin.minimum_notional, coin.shortable) == (
        0.001,
        0.1,
        5.0,
        False,
    )
    assert (other.tick_size, other.shortable) == (0.1, False)
    assert (
        coin.origin
        == "default crypto; tick_size, minimum_notional: venue; shortable: settings; tick_size,"
        " lot_size: settings of the symbol"
    )


def test_what_a_source_says_later_holds_from_the_day_it_says_it(tmp_path):
    first = {"valid_from": date(2024, 2, 1), "since_ever": True, "tick_size": 0.01}
    pipeline = lake_of(tmp_path, "24/7", {"COIN": [walk(0.01, 3.0)]}, source=Told(COIN=first))
    assert [row.valid_from for row in pipeline.instruments.rows] == [date(1900, 1, 1)]
    instruments(pipeline)
    assert len(pipeline.instruments.rows) == 1  # nothing new
    pipeline.__dict__["source"] = Told(
        COIN={**first, "valid_from": date(2024, 3, 5), "tick_size": 0.001}
    )
    instruments(pipeline)
    assert [(row.valid_from, row.tick_size) for row in pipeline.instruments.rows] == [
        (date(1900, 1, 1), 0.01),
        (date(2024, 3, 5), 0.001),
    ]
    pipeline.__dict__["source"] = Told(
        COIN={**first, "valid_from": date(2024, 3, 9), "tick_size": 0.001}
    )
    instruments(pipeline)
    assert len(pipeline.instruments.rows) == 2


def test_a_share_that_cannot_be_sold_short_today_could_be_before(tmp_path):
    """Alpaca keeps no history of it: nothing is said of the days before it was asked."""
    assets = [
        {"symbol": "AAPL", "status": "active", "exchange": "NASDAQ", "shortable": True},
        {"symbol": "HARD", "status": "active", "exchange": "NYSE", "shortable": False},
    ]
    told = translate.instruments_of_assets(assets, date(2024, 3, 9))

    source = Told(**{row["symbol"]: row for row in told.iter_rows(named=True)})
    source.name = "alpaca"
    pipeline = lake_of(tmp_path, "XNYS", {"AAPL": [[150.0]], "HARD": [[3.0]]}, source=source)
    assert [pipeline.instruments.at("HARD", date(2024, 3, day)).shortable for day in (8, 9)] == [
        True,
        False,
    ]
    assert pipeline.instruments.at("HARD", date(2024, 3, 9)).small_tick_size == 0.0001
    assert pipeline.instruments.at("AAPL", date(2024, 3, 9)).venue == "NASDAQ"


def test_alpaca_states_steps_of_coins():
    asset = {
        "symbol": "BTC/USD",
        "status": "active",
        "exchange": "CRYPTO",
        "shortable": False,
        "min_order_size": "0.000012",
        "min_trade_increment": "0.000000001",
        "price_increment": "0.001",
    }
    row = translate.instruments_of_assets([asset], date(2024, 3, 9)).row(0, named=True)
    assert (row["tick_size"], row["lot_size"], row["minimum_quantity"], row["shortable"]) == (
        0.001,
        1e-9,
        0.000012,
        False,
    )


@pytest.mark.slow
def test_a_crypto_exchange_tells_its_steps_over_the_network():
    hours = Hours(NOW)
    with BinanceServer(
        [Pair("BTC", "USDT", {"1m": minute_candles(NOW - timedelta(hours=1), 5)})], hours.now
    ) as server:
        market = MarketSettings(
            calendar="24/7", crypto=CryptoSettings(base_url=server.url, rate_limit_seconds=0.0)
        )
        rows = CryptoSource(market, hours.retry(), hours.now, hours.sleep).instruments()
    assert rows.filter(pl.col("symbol") == "BTC/USDT").select(
        "tick_size", "lot_size", "currency", "valid_from"
    ).row(0) == (1e-8, 1e-8, "USDT", NOW.date())
    assert {"BTC/USDT", "BTCUSDT"} == set(rows["symbol"])


def test_a_lake_without_the_table_trades_by_the_defaults_of_its_market(tmp_path):
    pipeline = lake_of(tmp_path, "FX", {})
    assert (
        pipeline.instruments.at("EURUSD").tick_size,
        pipeline.instruments.at("EURUSD").volume,
    ) == (
        0.00001,
        "indicative",
    )
