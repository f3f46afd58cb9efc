"""`harmony demo`: a day of paper trading, offline, from the first premarket bar to the report.

    harmony demo                                       a small simulated market of its own
    harmony --config examples/us_equity_minute.toml demo --date 2025-02-06    real minute bars
    harmony demo --through-sensor                      started by Dagster's sensor (demo_sensor.py)

The exchange is a process on loopback that speaks Alpaca's protocols. The session is the one that
`paper_session_sensor` starts: a process of its own, with the unmodified alpaca-py, supervised by
lock, heartbeat and kill switch. At the end the books of both are compared order by order, and the
session with the backtest of the day.
"""

import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import typer

from harmony_pipeline.cli.demo_exchange import ExchangeProcess, Pacing
from harmony_pipeline.cli.demo_process import CommandProcess
from harmony_pipeline.config import Settings, load_settings
from harmony_pipeline.errors import HarmonyError
from harmony_pipeline.execution.brokers.alpaca.keys import KEY, SECRET
from harmony_pipeline.market.timeframes import TIMEFRAME_MINUTES
from harmony_pipeline.process_variables import variables_restored
from harmony_pipeline.session.divergence_causes import with_causes
from harmony_pipeline.session.exchange_books import compare_with_exchange
from harmony_pipeline.session.process_control import read_lock
from harmony_pipeline.session.result import SessionResult, read_session
from harmony_pipeline.stages import ingest, live, market, research, scanner
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.result import StageResult
from harmony_pipeline.stages.session_plans import PAPER, bars_of, open_ledger, watched

KEYS = ("PKHARMONYDEMO", "offline-paper-trading")
_STRATEGY = "harmony_pipeline.strategies.rsi:RsiMomentum"
_SHOWN_EVERY = 1.0  # seconds between two lines of progress
_MOST_SHOWN = 12  # differences
_MARKET = """# The market of `harmony demo`: simulated minute bars, nothing has to be fetched.
[paths]
lake = "lake"
state = "state"

[market]
source = "simulated"
timeframe = "1Min"
start = 2024-06-03
end = 2024-06-08

[market.simulated]
symbols = 20
low_float_symbols = 4

[market.partitions]
trading_period = "month"
retraining_period = "month"

[scanner]
minimum_absolute_gap = 0.0
minimum_premarket_volume = 0.0
require_premarket = false
maximum_selections = 20
"""


def session_process(pipeline: PipelineContext, day: date) -> StageResult:
    """The session as the run of `paper_session_sensor` starts it: a process, supervised here."""
    return live.paper_session(pipeline, [day], require_promoted=True, own_process=True)


def demo(
    settings: Settings,
    day: str | None,
    *,
    speed: float | None,
    symbols: int,
    with_monitor: bool = True,
    start: Callable[[PipelineContext, date], StageResult] = session_process,
) -> bool:
    """Run the demo; whether both books agree. `speed`: at most so many times real time while the
    exchange is open; None: as fast as the session goes. `with_monitor`: `harmony monitor` runs
    beside it, and its address is printed. `start` lives through the session.
    """
    began = time.monotonic()
    file = _market_of(settings)
    state = load_settings(file).state_root / "demo" / f"{datetime.now(UTC):%Y%m%dT%H%M%S}"
    usual = {
        "HARMONY__PATHS__STATE": str(state),
        "HARMONY__STRATEGIES__DEMO__USE": _STRATEGY,
        # a bracket ends each position: no reversal, which a broker cannot take at one price
        "HARMONY__STRATEGIES__DEMO__EXITS": "barriers",
        "HARMONY__SESSION__STRATEGY": "demo",
        "HARMONY__SESSION__WATCH": "scanner",
        "HARMONY__SCANNER__MAXIMUM_SELECTIONS": str(symbols),
        "HARMONY__SCANNER__MINIMUM_ABSOLUTE_GAP": "0.0",
        "HARMONY__SCANNER__MINIMUM_PREMARKET_VOLUME": "0.0",
        "HARMONY__EXCHANGE__REQUESTS_PER_MINUTE": "1000000",
    }
    with _variables(usual):
        typer.echo(f"market: {file}")
        before = PipelineContext(load_settings(file))
        chosen = _ready(before, day)
        # a scan needs premarket bars; without them every symbol is watched
        watch = "scanner" if watched(before, chosen) else "universe"
        log = state / "exchange.log"
        with (
            ExchangeProcess(file, chosen.isoformat(), KEYS, log) as exchange,
            _variables(_at(exchange) | {"HARMONY__SESSION__WATCH": watch}),
        ):
            pipeline = PipelineContext(load_settings(file))
            with _monitor(file, state) if with_monitor else nullcontext():
                _trade(pipeline, chosen, exchange, speed, start)
                agrees = _report(pipeline, chosen, exchange)
    typer.echo(f"{time.monotonic() - began:.0f} s in all; state folder: {state}")
    again = f"harmony --config {file} monitor --replay {chosen}"
    typer.echo(f"look again: HARMONY__PATHS__STATE={state} {again}")
    return agrees


def _market_of(settings: Settings) -> Path:
    """The settings file of the market: the given one where its bars are minutes, else that of a
    small simulated market, written once.
    """
    if settings.file.exists() and TIMEFRAME_MINUTES.get(settings.market.timeframe) == 1:
        return settings.file.resolve()
    file = settings.state_root / "demo-market" / "harmony.toml"
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(_MARKET, encoding="utf-8")
    return file.resolve()


def _ready(pipeline: PipelineContext, day: str | None) -> date:
    """Make bars, features and the scan of the day where they are absent; the day."""
    from harmony_pipeline.cli.argument_checks import day_of

    if not pipeline.lake.partitions("features"):
        typer.echo("making the lake: bars, features")
        periods = pipeline.trading_periods()
        market.corporate_actions(pipeline)
        ingest.raw_bars(pipeline, periods)
        for stage in (market.bars, market.daily_summary, research.features):
            stage(pipeline, periods)
    chosen = date.fromisoformat(day_of(pipeline, day))
    scanner.scan(pipeline, [chosen])
    return chosen


def _at(exchange: ExchangeProcess) -> dict[str, str]:
    """Settings of a session at this exchange, which moves when the session is done: no waits."""
    return {
        **exchange.addresses,
        KEY: KEYS[0],
        SECRET: KEYS[1],
        "HARMONY__SESSION__BROKER": "alpaca",
        "HARMONY__SESSION__HEARTBEAT_SECONDS": "0.001",
        "HARMONY_ALPACA__REQUESTS_PER_MINUTE": "1000000",
        "HARMONY_ALPACA__GATHER_SECONDS": "0.03",
        "HARMONY_ALPACA__QUIET_SECONDS": "0.01",
    }


@contextmanager
def _variables(values: dict[str, str]) -> Iterator[None]:
    """Environment variables, for this process and those that it starts."""
    with variables_restored(values):
        os.environ.update(values)
        yield


class _Monitor(CommandProcess):
    """`harmony monitor` of the demo's session, at a port of the system's choice."""

    def started(self, output: str) -> None:
        """Tell the page's address and the token of its kill switch."""
        for line in output.splitlines():
            if line.startswith("monitor: "):
                typer.echo(f"watch:    {line.split()[1]} in a browser, while the demo runs")
            elif line.startswith("token "):
                typer.echo(f"          {line}")


def _monitor(file: Path, state: Path) -> _Monitor:
    arguments = ["--config", str(file), "monitor", "--port", "0"]
    return _Monitor("the monitor", arguments, state / "monitor.log", "monitor: ")


# --- the day --------------------------------------------------------------------------------------


def _trade(
    pipeline: PipelineContext,
    day: date,
    exchange: ExchangeProcess,
    speed: float | None,
    start: Callable[[PipelineContext, date], StageResult],
) -> None:
    """The session as its sensor starts it, while a thread moves the exchange and tells how far it
    is. Whatever ends the session ends the thread; runsession_process ends the session's process.
    """
    names = watched(pipeline, day)
    bars = bars_of(pipeline, day).filter(pl.col("symbol").is_in(names))
    typer.echo(
        f"exchange: {day}, {len(names)} symbols, {bars.height} bars, at {exchange.url}\n"
        f"session:  alpaca-py, {', '.join(pipeline.settings.session_strategies)}; Ctrl-C ends all"
    )
    over = threading.Event()
    failed: list[Exception] = []
    progress = _Progress(exchange)
    pacing = Pacing(
        exchange,
        pipeline.settings.state_root,
        bars["timestamp"].unique().to_list(),
        pipeline.calendar.session_open(day),
        progress.bar,
        progress.tell,
        over.is_set,
        0.0 if not speed else 60.0 / speed,
    )

    def move() -> None:
        try:
            pacing.run()
        except Exception as error:  # the session must not wait for an exchange that is gone
            failed.append(error)
            _stop_session(pipeline.settings.state_root)

    thread = threading.Thread(target=move, name="exchange pacing", daemon=True)
    thread.start()
    try:
        result = start(pipeline, day)
    finally:
        over.set()
        thread.join(timeout=10.0)
    if failed:
        raise failed[0]
    if result.nothing:
        raise HarmonyError(f"the session of {day} did not run: {result.nothing}")
    progress.last()


def _stop_session(state: Path) -> None:
    """Ask the session's process to end in order."""
    import signal

    holder = read_lock(state)
    if holder and holder.get("pid"):
        try:
            os.kill(int(holder["pid"]), signal.SIGTERM)
        except (OSError, ValueError):
            return


class _Progress:
    """A line a second: time of the exchange, orders, fills, equity."""

    def __init__(self, exchange: ExchangeProcess) -> None:
        from datetime import timedelta

        self.bar = timedelta(minutes=1)
        self._exchange, self._shown = exchange, 0.0
        self._began = time.monotonic()
        self._status: dict[str, Any] = {}

    def tell(self, status: dict[str, Any]) -> None:
        """After each minute."""
        self._status = status
        if time.monotonic() - self._shown >= _SHOWN_EVERY:
            self.last()

    def last(self) -> None:
        """Print where things stand."""
        self._shown = time.monotonic()
        if not self._status:
            return
        equity = float(self._exchange.ask("GET", "/v2/account")["equity"])
        now = datetime.fromisoformat(self._status["now"])
        typer.echo(
            f"  {self._shown - self._began:5.0f} s  {now:%H:%M} UTC  orders"
            f" {self._status['orders']:4d}  fills {self._status['executions']:4d}  equity"
            f" {equity:12,.2f}"
        )


# --- the evening ----------------------------------------------------------------------------------


def _report(pipeline: PipelineContext, day: date, exchange: ExchangeProcess) -> bool:
    """Print the end of the day; whether both books agree."""
    result = _session(pipeline, day)
    books = compare_with_exchange(
        result, exchange.ask("GET", "/control/ledger"), _all_orders(exchange)
    )
    broker = live.reconciliation(pipeline, [day])
    live.divergence(pipeline, [day])
    live.daily_report(pipeline, [day])
    refused = result.orders.filter(pl.col("status") == "refused").height
    typer.echo(
        f"\nend of {day}: {result.state}; {result.orders.height} orders ({refused} refused by our"
        f" own limits), {result.fills.height} fills, equity"
        f" {result.equity['equity'][-1] if result.equity.height else 0.0:,.2f}"
    )
    found = [*books.differences, *broker.notes]
    typer.echo(
        f"books:      {books.orders} orders at the exchange, compared one by one:"
        f" {'equal' if not found else f'{len(found)} differences'}; cash {books.cash:,.2f}"
    )
    for sentence in found[:_MOST_SHOWN]:
        typer.echo(f"  {sentence}")
    _tell_divergence(pipeline.lake.read("divergence", [day.isoformat()]))
    typer.echo(f"report:     {pipeline.settings.state_root / 'reports' / f'session-{day}.html'}")
    return not found


def _tell_divergence(table: pl.DataFrame) -> None:
    different = with_causes(table, {}, {})  # the demo's bars are the lake's
    typer.echo(
        f"backtest:   {table.height} orders, fills and equity rows of the same day: "
        + ("no divergence" if different.is_empty() else f"{different.height} rows differ")
    )
    for row in different.head(_MOST_SHOWN).iter_rows(named=True):
        typer.echo(
            f"  {row['kind']} {row['key']} {row['symbol']}: {row['cause']}; session"
            f" {row['live'] or 'has none'}, backtest {row['backtest'] or 'has none'}"
        )


def _session(pipeline: PipelineContext, day: date) -> SessionResult:
    with open_ledger(pipeline) as ledger:
        return read_session(ledger, list(ledger.sessions(PAPER, day))[-1].session_id)


def _all_orders(exchange: ExchangeProcess) -> list[dict[str, Any]]:
    """Every order of the account, legs inside, page by page."""
    found: dict[str, dict[str, Any]] = {}
    after = ""
    while True:
        path = f"/v2/orders?status=all&limit=500&direction=asc&nested=true{after}"
        page = exchange.ask("GET", path)
        new = [order for order in page if order["id"] not in found]
        found |= {order["id"]: order for order in new}
        if len(page) < 500 or not new:
            return list(found.values())
        # those of one moment lie together, and a page may end among them
        stamps = sorted({order["submitted_at"] for order in page})
        after = f"&after={stamps[-2] if len(stamps) > 1 else stamps[-1]}"
