"""`harmony exchange` over a lake, and a session of the live stage at it, by settings alone."""

import os
import threading
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import typer
from exchange.alpaca_world import wait_until
from exchange.exchange_world import KEYS

from harmony_pipeline.cli.app import _replay_recorded
from harmony_pipeline.cli.exchange import OFFLINE_KEYS, serve_exchange
from harmony_pipeline.config import Settings, load_settings
from harmony_pipeline.errors import ConfigError, DataError, NotReady
from harmony_pipeline.stages import ingest, live, market, research
from harmony_pipeline.stages.alpaca_session import connect
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.exchange import exchange_over
from harmony_pipeline.stages.session_plans import open_ledger
from harmony_pipeline.strategies.settings import StrategySettings
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


def settings_at(pipeline: PipelineContext, exchange: Any) -> Settings:
    """The same settings, with the account at the exchange."""
    addresses = {
        "trading_url": exchange.url, "data_url": exchange.url,
        "trading_stream_url": f"{exchange.ws_url}/stream",
        "data_stream_url": f"{exchange.ws_url}/v2/iex",
        "requests_per_minute": 100_000, "gather_seconds": 0.02, "clock_seconds": 0.1,
    }  # fmt: skip
    values = pipeline.settings.model_dump()
    return Settings.model_validate(
        values
        | {
            # a busy machine may be late by minutes of an exchange that is this fast
            "session": values["session"] | {"broker": "alpaca", "stale_after_seconds": 1e5},
            "alpaca": values["alpaca"] | addresses,
            "file": pipeline.settings.file,
        }
    )


def test_a_session_of_the_live_stage_trades_at_the_exchange(
    lake_of_a_market: PipelineContext, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("ALPACA_API_KEY", KEYS[0])
    monkeypatch.setenv("ALPACA_SECRET_KEY", KEYS[1])
    exchange = exchange_over(
        lake_of_a_market, [DAY], KEYS, file=tmp_path / "exchange.sqlite", speed=0.0, port=0
    )
    with exchange:
        open_event = next(
            number
            for number in range(exchange.venue.market.events)
            if any(bar.regular for bar in exchange.venue.market.bars_of(number))
        )
        exchange.step(open_event - 6)
        pipeline = PipelineContext(settings_at(lake_of_a_market, exchange))
        driver = threading.Thread(target=start_when_heard, args=(exchange,))
        driver.start()
        result = live.run_session_here(pipeline, DAY.isoformat(), require_promoted=False)
        driver.join()
        assert result is not None
        assert result.state == "completed"
        # how much is filled in time depends on the machine; test_session_day.py compares the books
        names = {order.client_order_id for order in exchange.venue.orders.values()}
        assert len(names) == len(exchange.venue.orders)
        assert {name.partition("~")[0][:10] for name in names if name[:4] == "2024"} <= {
            "2024-02-28"
        }
        assert exchange.venue.books.is_balanced()
        assert live.reconciliation(pipeline, [DAY]).rows.keys() == {"differences"}
    text = "".join(
        path.read_text(errors="replace")
        for path in pipeline.settings.state_root.rglob("*")
        if path.is_file()
    )
    assert KEYS[1] not in text


def test_a_recorded_session_is_replayed_by_its_id(
    lake_of_a_market: PipelineContext, capsys: pytest.CaptureFixture[str]
) -> None:
    pipeline = lake_of_a_market
    result = live.run_session_here(pipeline, DAY.isoformat(), require_promoted=False)
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


def start_when_heard(exchange: Any) -> None:
    """Let the exchange run once the session listens to both streams."""
    wait_until(lambda: exchange.hub.listeners and exchange.trade_stream.listeners, 30.0)

    async def run() -> None:
        exchange.set_speed(12_000.0)

    exchange.call(run())


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
            live.run_session_here(pipeline, DAY.isoformat(), require_promoted=False)
        monkeypatch.setenv("ALPACA_API_KEY", "PKWRONG")
        monkeypatch.setenv("ALPACA_SECRET_KEY", "wrong")
        with pytest.raises(ConfigError, match="refused the keys"):
            live.run_session_here(pipeline, DAY.isoformat(), require_promoted=False)
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
    assert shown.count(f"ALPACA_API_KEY={OFFLINE_KEYS[0]}") == 2
    assert "HARMONY_ALPACA__TRADING_URL=http://127.0.0.1:" in shown
    assert "HARMONY_ALPACA__DATA_STREAM_URL=ws://127.0.0.1:" in shown


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
    assert live._factory("alpaca") is connect
    assert "ALPACA_API_KEY" not in os.environ or os.environ["ALPACA_API_KEY"]
