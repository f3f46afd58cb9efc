"""`harmony exchange` over a lake, and a session of the live stage at it, by settings alone."""

import os
import threading
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import polars as pl
import pytest
import typer
from exchange.exchange_world import KEYS

from harmony_pipeline.cli.commands.sessions import _replay_recorded
from harmony_pipeline.cli.demo_exchange import Pacing
from harmony_pipeline.cli.exchange import OFFLINE_KEYS, serve_exchange
from harmony_pipeline.config import Settings, load_settings
from harmony_pipeline.errors import ConfigError, DataError, NotReady
from harmony_pipeline.exchange.control_client import ExchangeClient
from harmony_pipeline.exchange.orders import order_json
from harmony_pipeline.exchange.server import ExchangeServer
from harmony_pipeline.session.exchange_books import ExchangeComparison, compare_with_exchange
from harmony_pipeline.session.plan import SessionPlan
from harmony_pipeline.session.reconcile import Reconciliation, reconcile
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.stages import ingest, market, research, session_runs
from harmony_pipeline.stages.alpaca_session import connect
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.exchange import exchange_over
from harmony_pipeline.stages.session_plans import bars_of, open_ledger, plan_of, replay_account
from harmony_pipeline.strategies.settings import StrategySettings
from harmony_pipeline.testing.stepped_day import AROUND_THE_CLOCK, PAIRS, day_of
from harmony_pipeline.testing.tiny import tiny_settings

DAY = date(2024, 2, 28)
RSI = StrategySettings(use="harmony_pipeline.strategies.rsi:RsiMomentum")


@pytest.fixture(scope="module")
def lake_of_a_market(tmp_path_factory: pytest.TempPathFactory) -> PipelineContext:
    settings = tiny_settings(tmp_path_factory.mktemp("market"), end=date(2024, 3, 1))
    values = settings.model_dump() | {
        "strategies": {"mine": RSI.model_dump()},
        "session": settings.session.model_dump() | {"strategy": "mine", "watch": "universe"},
        "file": settings.file,
    }
    pipeline = PipelineContext(Settings.model_validate(values))
    periods = pipeline.trading_periods()
    market.corporate_actions(pipeline)
    ingest.raw_bars(pipeline, periods)
    for stage in (market.bars, market.daily_summary, research.features):
        stage(pipeline, periods)
    return pipeline


MARKET = """
[paths]
lake = "lake"
state = "state"
[market]
source = "files"
calendar = "{calendar}"
timeframe = "1Min"
start = {day}
end = {end}
[market.files]
paths = ["bars.csv"]
[market.partitions]
trading_period = "month"
retraining_period = "month"
[strategies.mine]
use = "harmony_pipeline.testing.stepped_day:Contrarian"
exits = "barriers"
horizon_bars = 6
[labels]
profit_take = 1.2
stop_loss = 0.8
[session]
strategy = "mine"
watch = "universe"
[exchange]
requests_per_minute = 1000000
bars_behind_seconds = 0.03
{more}
"""


def lake_of_files(folder: Path, bars: pl.DataFrame, calendar: str, more: str) -> PipelineContext:
    """A lake of one day, whose bars lie in a file."""
    day = bars["timestamp"].min().date()  # type: ignore[union-attr]
    columns = ("symbol", "timestamp", "open", "high", "low", "close", "volume")
    bars.select(columns).write_csv(folder / "bars.csv")
    file = folder / "harmony.toml"
    end = day + timedelta(days=1)
    file.write_text(MARKET.format(calendar=calendar, day=day, end=end, more=more))
    pipeline = PipelineContext(load_settings(file, environment={}))
    periods = pipeline.trading_periods()
    market.corporate_actions(pipeline)
    ingest.raw_bars(pipeline, periods)
    for stage in (market.bars, market.daily_summary, research.features):
        stage(pipeline, periods)
    return pipeline


def settings_at(pipeline: PipelineContext, exchange: Any) -> Settings:
    """The same settings, with the account at the exchange."""
    addresses = {
        "trading_url": exchange.url, "data_url": exchange.url,
        "trading_stream_url": f"{exchange.ws_url}/stream",
        "data_stream_url": exchange.data_stream_url,
        "requests_per_minute": 100_000, "gather_seconds": 0.02, "clock_seconds": 0.1,
        "quiet_seconds": 0.01,
    }  # fmt: skip
    values = pipeline.settings.model_dump()
    return Settings.model_validate(
        values
        | {
            # a busy machine may be late by minutes of an exchange that is this fast
            "session": values["session"]
            | {"broker": "alpaca", "stale_after_seconds": 1e5, "heartbeat_seconds": 0.001},
            "alpaca": values["alpaca"] | addresses,
            "file": pipeline.settings.file,
        }
    )


def paced_session(
    pipeline: PipelineContext, day: date, file: Path, monkeypatch: pytest.MonkeyPatch
) -> tuple[SessionResult, ExchangeComparison, Reconciliation, ExchangeServer]:
    """The day of the live stage at an exchange that is moved when the session has done with the
    minute before, as `harmony demo` moves it; both books, compared.
    """
    monkeypatch.setenv("ALPACA_API_KEY", KEYS[0])
    monkeypatch.setenv("ALPACA_SECRET_KEY", KEYS[1])
    exchange = exchange_over(pipeline, [day], KEYS, file=file, speed=0.0, port=0)
    with exchange:
        there = PipelineContext(settings_at(pipeline, exchange))
        over = threading.Event()
        pacing = Pacing(
            ExchangeClient(exchange.url, KEYS), there.settings.state_root,
            bars_of(there, day)["timestamp"].unique().to_list(),
            there.calendar.session_open(day), there.bar, lambda _: None, over.is_set,
        )  # fmt: skip
        driver = threading.Thread(target=pacing.run)
        driver.start()
        try:
            result = session_runs.run_session_here(there, day.isoformat(), require_promoted=False)
        finally:
            over.set()
            driver.join()
        assert result is not None
        venue = exchange.venue
        shown = [order_json(each, venue.legs(each)) for each in venue.orders.values()]
        books = compare_with_exchange(result, venue.books.to_dict(), shown)
        broker = connect(there.settings, plan_at_end(there, day)).broker
        with open_ledger(there) as ledger:
            reconciled = reconcile(ledger, result.session_id, broker)
        broker.close()
    return result, books, reconciled, exchange


def plan_at_end(pipeline: PipelineContext, day: date) -> SessionPlan:
    with open_ledger(pipeline) as ledger:
        return plan_of(pipeline, ledger, day, replay_account(pipeline))[0]


def test_a_session_of_the_live_stage_trades_at_the_exchange(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The last half-hour of a day; it is the one that is replayed in one process: every order, fill and
    equity row.
    """
    bars = day_of(5, 33, start=datetime(2024, 3, 5, 20, 27, tzinfo=UTC))
    pipeline = lake_of_files(tmp_path, bars, "XNYS", "")
    result, books, reconciled, exchange = paced_session(
        pipeline, date(2024, 3, 5), tmp_path / "exchange.sqlite", monkeypatch
    )
    assert result.state == "completed"
    assert books.differences == ()
    assert books.orders == len(exchange.venue.orders) > 6
    assert reconciled.differences == ()
    here = session_runs.run_session_here(pipeline, "2024-03-05", require_promoted=False)
    assert here is not None
    same = ("order", "timestamp", "side", "quantity", "price", "fee", "liquidity")
    assert rows_of(result.fills, same) == rows_of(here.fills, same)
    assert {"maker", "taker"} == set(result.fills["liquidity"])
    columns = ("order", "side", "quantity", "status", "reason")
    assert rows_of(result.orders, columns) == rows_of(here.orders, columns)
    equity = ("timestamp", "equity", "cash", "gross_exposure", "net_exposure", "drawdown")
    assert result.equity.select(equity).equals(here.equity.select(equity))
    assert_no_secret(pipeline)


def test_a_day_that_is_over_at_the_exchange_is_not_begun(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ALPACA_API_KEY", KEYS[0])
    monkeypatch.setenv("ALPACA_SECRET_KEY", KEYS[1])
    bars, day = day_of(5, 3, start=datetime(2024, 3, 5, 20, 57, tzinfo=UTC)), date(2024, 3, 5)
    pipeline = lake_of_files(tmp_path, bars, "XNYS", "")
    with exchange_over(pipeline, [day], KEYS, file=None, speed=0.0, port=0) as exchange:
        exchange.step(6)
        there = PipelineContext(settings_at(pipeline, exchange))
        with pytest.raises(NotReady, match="2024-03-05 is over: it ended at 21:00 UTC") as raised:
            session_runs.run_session_here(there, "2024-03-05", require_promoted=False)
    assert "2024-03-05 is over" in (Path(__file__).parents[2] / "docs" / "operating.md").read_text()
    assert "the exchange's clock says 2024-03-05 21:00." in str(raised.value)
    with open_ledger(there) as ledger:
        assert ledger.sessions() == []


def test_a_session_of_coins_trades_at_the_exchange(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """The last half-hour before midnight, by settings alone."""
    bars = day_of(4, 33, PAIRS, AROUND_THE_CLOCK, datetime(2024, 3, 9, 23, 27, tzinfo=UTC))
    pipeline = lake_of_files(tmp_path, bars, "24/7", COINS)
    result, books, reconciled, exchange = paced_session(
        pipeline, date(2024, 3, 9), tmp_path / "exchange.sqlite", monkeypatch
    )
    assert result.state == "completed"
    assert books.differences == ()
    assert reconciled.differences == ()
    cash, held = exchange.venue.books.cash, dict(exchange.venue.books.holdings())
    assert int(result.closing.portfolio.account[0]["cash"]) == cash
    assert result.shares == {symbol: float(quantity) for symbol, quantity in held.items()}
    kinds = {order.type for order in exchange.venue.orders.values()}
    assert kinds == {"market", "stop_limit"}
    assert result.fills.height > 6
    assert_no_secret(pipeline)


def rows_of(table: pl.DataFrame, columns: tuple[str, ...]) -> list[tuple[Any, ...]]:
    """Rows, with the order's name without its account."""
    order = pl.col("order_id").str.extract(r"replay-[0-9a-f]+-(.*)")
    return sorted(table.with_columns(order=order).select(columns).rows())


COINS = """
[market.instruments.defaults]
lot_size = 1e-9
minimum_quantity = 0.001
[costs]
preset = "alpaca"
[risk]
allow_short = false
"""


def assert_no_secret(pipeline: PipelineContext) -> None:
    """Neither logs nor tables hold the key's secret."""
    files = [path for path in pipeline.settings.state_root.rglob("*") if path.is_file()]
    assert files
    assert not [path for path in files if KEYS[1].encode() in path.read_bytes()]


def test_coins_that_alpaca_would_not_know_are_refused_with_what_to_do(tmp_path: Path) -> None:
    bars = day_of(4, 33, PAIRS, AROUND_THE_CLOCK, datetime(2024, 3, 9, 23, 27, tzinfo=UTC))
    coarse = lake_of_files(tmp_path, bars, "24/7", "")
    with pytest.raises(ConfigError, match=r"BTC/USD is counted in steps of 1e-08.*lot_size"):
        connect(coarse.settings, plan_at_end(coarse, date(2024, 3, 9)))


def test_a_recorded_session_is_replayed_by_its_id(
    lake_of_a_market: PipelineContext, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = lake_of_a_market
    result = session_runs.run_session_here(pipeline, DAY.isoformat(), require_promoted=False)
    assert result is not None
    context: Any = SimpleNamespace(obj=pipeline.settings)
    _replay_recorded(context, result.session_id, alone=True)
    assert "comes out as it was written" in capsys.readouterr().out
    with open_ledger(pipeline) as ledger:
        saved = ledger.snapshot(result.session_id)
        assert saved is not None
        body = saved.body | {"trades": [{"symbol": "not traded"}]}
        ledger.save_snapshot(replace(saved, body=body))
    with pytest.raises(typer.Exit) as ended:
        _replay_recorded(context, result.session_id, alone=True)
    assert ended.value.exit_code == 1
    assert "at the end trades" in capsys.readouterr().out
    with pytest.raises(DataError, match=f"no session s9 .*{result.session_id}"):
        _replay_recorded(context, "s9", alone=True)
    with pytest.raises(ConfigError, match="leave --date"):
        _replay_recorded(context, result.session_id, alone=False)


def test_wrong_keys_and_no_keys_are_one_line_and_no_session(
    lake_of_a_market: PipelineContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    exchange = exchange_over(lake_of_a_market, [DAY], KEYS, file=None, speed=0.0, port=0)
    with exchange:
        settings = settings_at(lake_of_a_market, exchange)
        for name in ("ALPACA_API_KEY", "ALPACA_SECRET_KEY", "APCA_API_KEY_ID"):
            monkeypatch.delenv(name, raising=False)
        pipeline = PipelineContext(settings)
        with pytest.raises(ConfigError, match="neither in the environment nor in a file"):
            session_runs.run_session_here(pipeline, DAY.isoformat(), require_promoted=False)
        monkeypatch.setenv("ALPACA_API_KEY", "PKWRONG")
        monkeypatch.setenv("ALPACA_SECRET_KEY", "wrong")
        with pytest.raises(ConfigError, match="refused the keys"):
            session_runs.run_session_here(pipeline, DAY.isoformat(), require_promoted=False)
        assert exchange.venue.orders == {}


def test_the_command_says_how_to_reach_it_and_goes_on_where_it_stood(
    lake_of_a_market: PipelineContext,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("ALPACA_API_KEY", "ALPACA_SECRET_KEY"):
        monkeypatch.delenv(name, raising=False)
    stop = threading.Event()
    stop.set()
    for new in (True, False):
        serve_exchange(lake_of_a_market.settings, [DAY], speed=0.0, port=0, new=new, stop=stop)
    shown = capsys.readouterr().out
    assert "CLOCK_SECONDS" not in shown
    assert shown.count(f"ALPACA_API_KEY={OFFLINE_KEYS[0]}") == 2
    assert "HARMONY_ALPACA__TRADING_URL=http://127.0.0.1:" in shown
    assert "HARMONY_ALPACA__DATA_STREAM_URL=ws://127.0.0.1:" in shown
    serve_exchange(lake_of_a_market.settings, [DAY], speed=60.0, port=0, new=True, stop=stop)
    assert "HARMONY_ALPACA__CLOCK_SECONDS=0.1" in capsys.readouterr().out


def test_a_day_without_bars_and_daily_bars_are_refused_with_what_to_do(
    lake_of_a_market: PipelineContext, tmp_path: Path
) -> None:
    with pytest.raises(NotReady, match="harmony ingest"):
        exchange_over(PipelineContext(tiny_settings(tmp_path)), [DAY], KEYS, file=None)
    daily = PipelineContext(tiny_settings(tmp_path, timeframe="1Day"))
    with pytest.raises(ConfigError, match="1Day"):
        exchange_over(daily, [DAY], KEYS, file=None)


def test_addresses_are_settings_under_both_spellings(tmp_path: Path) -> None:
    file = tmp_path / "harmony.toml"
    file.write_text("")
    names = ("HARMONY_ALPACA__TRADING_URL", "HARMONY__ALPACA__TRADING_URL")
    for name in names:
        settings = load_settings(file, environment={name: "http://127.0.0.1:1"})
        assert settings.alpaca.trading_url == "http://127.0.0.1:1"
        assert settings.alpaca.order_stream == "ws://127.0.0.1:1/stream"
    with pytest.raises(ConfigError, match="same setting"):
        load_settings(file, environment=dict.fromkeys(names, "http://127.0.0.1:1"))
    live_url = {"HARMONY_ALPACA__TRADING_URL": "https://api.alpaca.markets"}
    with pytest.raises(ConfigError, match="real money"):
        load_settings(file, environment=live_url)


def test_the_factory_is_the_one_that_the_word_names() -> None:
    assert session_runs.connection_factory("alpaca") is connect
    assert "ALPACA_API_KEY" not in os.environ or os.environ["ALPACA_API_KEY"]
