"""`harmony ingest` from venues over real connections: whole, gone on with after SIGKILL at a page,
right after bursts of 429 and 500, never a row twice.
"""

import signal
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from market.alpaca.alpaca_world import NOW, minutes
from market.venues import yahoo_stocks
from market.venues.coins import minute_candles
from polars.testing import assert_frame_equal

from harmony_pipeline.config import load_settings
from harmony_pipeline.exchange.local_server import Fault, LocalServer
from harmony_pipeline.stages import ingest
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.testing.servers.alpaca import BROKEN, ENVIRONMENT, AlpacaServer, limited
from harmony_pipeline.testing.servers.binance import BinanceServer, Pair
from harmony_pipeline.testing.servers.yahoo import YahooServer

pytestmark = [pytest.mark.slow, pytest.mark.network]
PATIENCE = "[market.patience]\nattempts = 8\nbase_seconds = 0.001\ncap_seconds = 0.01\n"


@dataclass(frozen=True)
class Venue:
    """One network source: its server, the settings that lead there, where its pages are, and what
    it has.
    """

    server: LocalServer
    settings: str
    pages: str
    truth: pl.DataFrame
    limited: Fault
    broken: Fault
    moving: frozenset[str] = frozenset()
    """names in the query that say when it was asked"""


@contextmanager
def alpaca() -> Iterator[Venue]:
    with AlpacaServer(minutes(), NOW, page_rows=400) as server:
        names = sorted(minutes()["symbol"].unique())
        market = (
            f'source = "alpaca"\ntimeframe = "1Min"\nsymbols = {names}\nstart = 2023-01-03\nend ='
            f' 2023-01-07\n[market.alpaca]\ndata_url = "{server.url}"\ntrading_url ='
            f' "{server.url}"\npage_rows = 400\nrequests_per_minute = 100000\n'
        )
        yield Venue(server, market, "/v2/stocks/bars", minutes(), limited(), BROKEN)


@contextmanager
def yahoo() -> Iterator[Venue]:
    """Eight stocks by day, two of which split since: a page is a symbol."""
    first, last = date(2023, 12, 1), date(2024, 9, 1)
    splits = {"S2": [(date(2024, 2, 7), 4, 1)], "S5": [(date(2024, 6, 10), 10, 1)]}
    stocks = [
        yahoo_stocks.daily(f"S{at}", first, last, splits.get(f"S{at}", ()), seed=at)
        for at in range(8)
    ]
    # whole months are ingested
    start, end = datetime(2024, 1, 1, tzinfo=UTC), datetime(2024, 4, 1, tzinfo=UTC)
    truth = pl.concat(
        [stock.bars["1d"].with_columns(symbol=pl.lit(stock.symbol)) for stock in stocks]
    )
    with YahooServer(stocks) as server:
        market = (
            'source = "yahoo"\ntimeframe = "1Day"\nsymbols ='
            f" {[stock.symbol for stock in stocks]}\nstart = 2024-01-01\nend ="
            f' 2024-04-01\n[market.yahoo]\nbase_url = "{server.url}"\n'
        )
        limited_by_yahoo, broken = (
            Fault(status=429, body="Too Many Requests"),
            Fault(status=500, body="<html>Internal Server Error</html>"),
        )
        inside = truth.filter(pl.col("timestamp").is_between(start, end, closed="left"))
        yield Venue(
            server,
            market,
            "/v8/finance/chart",
            inside,
            limited_by_yahoo,
            broken,
            frozenset({"period2", "crumb"}),
        )


@contextmanager
def crypto() -> Iterator[Venue]:
    """Two pairs of Binance by the minute, one of them silent for hours."""
    start, end = datetime(2024, 3, 8, tzinfo=UTC), datetime(2024, 3, 9, tzinfo=UTC)
    candles = {
        "BTC": minute_candles(start, 2000, seed=1),
        "ETH": minute_candles(start, 2000, seed=2, missing=range(350, 700)),
    }
    truth = pl.concat(
        [table.with_columns(symbol=pl.lit(f"{base}/USDT")) for base, table in candles.items()]
    )
    with BinanceServer(
        [Pair(base, "USDT", {"1m": table}) for base, table in candles.items()], weight_limit=10**9
    ) as server:
        market = (
            'source = "crypto"\ncalendar = "24/7"\ntimeframe = "1Min"\nsymbols = ["BTC/USDT",'
            ' "ETH/USDT"]\nstart = 2024-03-08\nend = 2024-03-09\n[market.crypto]\nbase_url ='
            f' "{server.url}"\npage_rows = 200\nrate_limit_seconds = 0.0\n'
        )
        limited_by_binance = Fault(
            status=429,
            body={"code": -1003, "msg": "Too many requests."},
            headers={"Retry-After": "0"},
        )
        inside = truth.filter(pl.col("timestamp").is_between(start, end, closed="left"))
        yield Venue(server, market, "/api/v3/klines", inside, limited_by_binance, Fault(status=500))


VENUES: dict[str, Callable[[], object]] = {"alpaca": alpaca, "crypto": crypto, "yahoo": yahoo}


@pytest.fixture(params=sorted(VENUES))
def venue(
    request: pytest.FixtureRequest,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Venue]:
    import yfinance  # takes a second

    # yfinance keeps Yahoo's cookies in the user's; here and in child processes
    cache = str(tmp_path_factory.mktemp("cache"))
    yfinance.set_tz_cache_location(cache)
    monkeypatch.setenv("XDG_CACHE_HOME", cache)
    for name, value in ENVIRONMENT.items():
        monkeypatch.setenv(name, value)
    with VENUES[request.param]() as found:  # type: ignore[attr-defined]
        yield found


def settings_of(venue: Venue, folder: Path) -> Path:
    file = folder / "harmony.toml"
    file.write_text(
        '[paths]\nlake = "lake"\nstate ='
        f' "state"\n[market]\n{venue.settings}{PATIENCE}[market.ingest]\nrecheck_sessions = 0\n'
    )
    return file


def ingested(file: Path) -> PipelineContext:
    pipeline = PipelineContext(load_settings(file))
    ingest.raw_bars(pipeline, pipeline.trading_periods())
    return pipeline


def pages_seen(venue: Venue) -> list[tuple[tuple[str, str], ...]]:
    """Path and query of every page that was answered well."""
    answered = [
        each
        for each in venue.server.seen
        if each.path.startswith(venue.pages) and each.fault is None
    ]
    return [
        (
            ("path", each.path),
            *sorted(item for item in each.query.items() if item[0] not in venue.moving),
        )
        for each in answered
    ]


def assert_whole(pipeline: PipelineContext, venue: Venue) -> None:
    rows = pipeline.lake.read("raw_bars")
    assert not rows.select("symbol", "timestamp").is_duplicated().any()
    columns = ["symbol", "timestamp", "open", "high", "low", "close", "volume"]
    assert_frame_equal(
        rows.select(columns), venue.truth.sort("symbol", "timestamp").select(columns)
    )


def test_it_is_whole_and_a_second_ingest_asks_nothing(venue, tmp_path):
    file = settings_of(venue, tmp_path)
    assert_whole(ingested(file), venue)
    seen = pages_seen(venue)
    assert len(seen) == len(set(seen)) > 3
    assert_whole(ingested(file), venue)
    assert pages_seen(venue) == seen


def test_bursts_of_429_and_500_change_nothing(venue, tmp_path):
    venue.server.faults.add(*[venue.limited] * 4, *[venue.broken] * 3, path=venue.pages, after=1)
    venue.server.faults.add(venue.broken, None, venue.limited, path=venue.pages, after=2)
    assert_whole(ingested(settings_of(venue, tmp_path)), venue)
    assert venue.server.faults.left == 0


@pytest.mark.parametrize("page", [0, 4])
def test_killed_at_a_page_it_goes_on_from_there(venue, tmp_path, fork_server, page):
    file = settings_of(venue, tmp_path)
    venue.server.faults.add(Fault(delay_seconds=60.0), path=venue.pages, after=page)
    process = fork_server.start(
        "chain.forked_runs:ingest_bars", str(file), output=tmp_path / "output"
    )
    deadline = time.monotonic() + 90
    while venue.server.faults.left and not process.has_ended() and time.monotonic() < deadline:
        time.sleep(0.01)
    process.kill()
    assert process.wait() == -signal.SIGKILL, process.said()
    before = pages_seen(venue)
    assert len(before) == page
    assert_whole(ingested(file), venue)
    again = [asked for asked in pages_seen(venue)[page:] if asked in before]
    assert len(again) <= 1, "only the pages of the piece that was under way may be asked for again"
