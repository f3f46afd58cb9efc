"""`harmony monitor` over a lake: a session of the live stage, shown as it stands and as it went."""

import json
import threading
from collections.abc import Iterator
from datetime import date
from pathlib import Path

import pytest
from exchange.alpaca_world import wait_until
from monitor.monitored import TOKEN, Page, ask

from harmony_pipeline.cli.monitor import serve_monitor
from harmony_pipeline.config import Settings
from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.monitor.access import TokenCheck
from harmony_pipeline.monitor.server import MonitorServer
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.stages import ingest, live, market, research
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.monitor import monitor_over
from harmony_pipeline.strategies.settings import StrategySettings
from harmony_pipeline.testing.tiny import tiny_settings

DAY = date(2024, 2, 28)
RSI = StrategySettings(use="harmony_pipeline.strategies.rsi:RsiMomentum")


@pytest.fixture(scope="module")
def traded(tmp_path_factory: pytest.TempPathFactory) -> PipelineContext:
    """A lake of two months, and the replayed session of a day."""
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
    live.run_session_here(pipeline, DAY.isoformat(), require_promoted=False)
    return pipeline


def page_of(pipeline: PipelineContext, **how: object) -> Iterator[tuple[str, Page]]:
    with MonitorServer(monitor_over(pipeline, TokenCheck(TOKEN), **how)) as server:  # type: ignore[arg-type]
        page = Page(server.url)
        yield server.url, page
        page.close()


def ended(tables: dict[str, dict[str, dict[str, object]]]) -> bool:
    return tables.get("session", {}).get("", {}).get("state") == "completed"


def test_the_page_shows_the_session_of_the_lake(traded: PipelineContext) -> None:
    for url, page in page_of(traded):
        page.read_until(ended)
        session = page.tables["session"][""]
        symbols = session["symbols"]
        status, _, text = ask(f"{url}api/chart?symbol={symbols[0]}")
        chart = json.loads(text)
        assert status == 200
        assert len(chart["bars"]) > 20
        assert chart["indicators"]
        last = page.tables["watch"][symbols[0]]
        assert chart["bars"][-1][0] == last["t"]
        assert chart["bars"][-1][4] == last["last"]
        assert json.loads(ask(f"{url}api/ticks?symbol={symbols[0]}")[2])["trades"] == []
        assert ask(f"{url}api/chart?symbol=NOBODY")[0] == 404
        with Ledger(traded.settings.state_root / "ledger.sqlite") as ledger:
            fills = ledger.table("session_fills", session_id=session["session_id"])
        assert len(page.tables["fills"]) == fills.height > 0
        assert any("session started" in row["text"] for row in page.tables["log"].values())
        assert set(page.tables["limits"]) >= {"max_position", "max_daily_loss", "max_drawdown"}


def test_a_past_session_is_replayed_as_fast_as_wanted(traded: PipelineContext) -> None:
    for _, page in page_of(traded, session=DAY.isoformat(), replay_speed=20_000.0):
        page.read_until(lambda tables: len(tables.get("equity", {})) > 0)
        early = len(page.tables["equity"])
        assert page.tables["session"][""]["state"] == "running"
        page.read_until(ended)
        assert len(page.tables["equity"]) > early
        assert page.tables["session"][""]["replayed"]


def test_a_session_that_is_not_there_is_refused(traded: PipelineContext, tmp_path: Path) -> None:
    with pytest.raises(NotReady, match="the last ones are: 2024-02-28-mine"):
        monitor_over(traded, TokenCheck(TOKEN), session="2020-01-01", replay_speed=60.0)
    nothing = PipelineContext(tiny_settings(tmp_path))
    with pytest.raises(NotReady, match="no session has run here yet"):
        monitor_over(nothing, TokenCheck(TOKEN), session="x", replay_speed=60.0)


def test_the_command_prints_a_token_once_and_none_that_was_given(
    traded: PipelineContext, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def served() -> str:
        stop = threading.Event()
        how = {"session": None, "replay_speed": None, "host": "127.0.0.1", "port": 0}
        thread = threading.Thread(
            target=serve_monitor, args=(traded.settings,), kwargs={**how, "stop": stop}
        )
        thread.start()
        shown: list[str] = []

        def said() -> bool:
            shown.append(capsys.readouterr().out)
            return "Ctrl-C" in "".join(shown)

        wait_until(said)
        stop.set()
        thread.join()
        return "".join(shown) + capsys.readouterr().out

    monkeypatch.delenv("HARMONY_MONITOR_TOKEN", raising=False)
    assert served().count("token of the kill switch: ") == 1
    monkeypatch.setenv("HARMONY_MONITOR_TOKEN", TOKEN)
    assert "token" not in served()
    monkeypatch.setenv("HARMONY_MONITOR_TOKEN", "short")
    with pytest.raises(ConfigError, match="HARMONY_MONITOR_TOKEN is shorter"):
        serve_monitor(traded.settings, session=None, replay_speed=None, host="127.0.0.1", port=0)
