"""Symbols that start and stop as the scanner chooses anew during the day."""

import json
from collections.abc import Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from session.days import CALENDAR, DAYS, SYMBOLS, TIMEFRAME, fresh_ledger, market, plan_of, rules
from session.portfolio_days import portfolio_plan, three

from harmony_pipeline.market.daily_summary import summarise
from harmony_pipeline.scanner.intraday import IntradayScan, intraday_scans, known_by
from harmony_pipeline.scanner.settings import ScannerSettings
from harmony_pipeline.schemas import CORPORATE_ACTIONS, UNIVERSE
from harmony_pipeline.session.clock import ReplayClock
from harmony_pipeline.session.day_backtest import backtest_day
from harmony_pipeline.session.divergence import compare
from harmony_pipeline.session.replay import day_bars, replay_day
from harmony_pipeline.session.result import SessionResult
from harmony_pipeline.session.session_replay import replay_session
from harmony_pipeline.session.strategy_signals import StrategySignals
from harmony_pipeline.session.stream import ReplayStream
from harmony_pipeline.testing.crashes import Crash, CrashingLedger, Fuse

BARS = market()
DAY = DAYS[3]
CLOCKS = ("13:00", "11:00")
SCANNER = ScannerSettings(
    minimum_absolute_gap=0.0, minimum_premarket_volume=0.0, minimum_price=None,
    require_premarket=False, maximum_selections=1, minimum_history_sessions=0,
)  # fmt: skip


def scans_of(
    day: date, bars: pl.DataFrame = BARS, settings: ScannerSettings = SCANNER
) -> tuple[IntradayScan, ...]:
    summary = summarise(bars, CALENDAR, TIMEFRAME, "09:25")
    return intraday_scans(
        day, CLOCKS, settings, summary, bars, UNIVERSE.empty(), CORPORATE_ACTIONS.empty(), CALENDAR
    )


def plan_with(ledger: Any, chosen: Any, bars: pl.DataFrame = BARS, **more: Any) -> Any:
    return plan_of(DAY, ledger, bars, chosen, selected=("BBB",), scans=scans_of(DAY, bars), **more)


def watched(result: SessionResult) -> pl.DataFrame:
    events = result.tables["session_events"].filter(pl.col("kind") == "symbols_watched")
    return events.select(
        "timestamp",
        "known_at",
        started=pl.col("detail").str.json_path_match("$.started[0]"),
        stopped=pl.col("detail").str.json_path_match("$.stopped[0]"),
    )


def naive_pick(day: date, clock: str, bars: pl.DataFrame = BARS) -> str:
    """The symbol that moved most from its last close of the session before, by a loop."""
    moment = pl.lit(clock).str.to_time("%H:%M")
    local = bars.with_columns(ends=pl.col("bar_end").dt.convert_time_zone(CALENDAR.zone).dt.time())
    best: tuple[float, str] = (-1.0, "")
    for symbol in SYMBOLS:
        own = local.filter(pl.col("symbol") == symbol)
        closes = own.filter((pl.col("session_date") < day) & (pl.col("session") == "regular"))
        now = own.filter((pl.col("session_date") == day) & (pl.col("ends") <= moment))
        gap = abs(now["close"][-1] / closes["close"][-1] - 1.0)
        best = max(best, (gap, symbol))
    return best[1]


@pytest.mark.parametrize("exits", ["barriers", "signal"])
def test_symbols_are_started_and_stopped_by_scans_and_nothing_else_is_entered(
    exits: str, tmp_path: Path
) -> None:
    ledger = fresh_ledger(tmp_path)
    plan = plan_with(ledger, rules(exits, max_participation=1.0))
    result = replay_day(plan, BARS, ledger)
    assert [scan.clock for scan in plan.scans] == ["11:00", "13:00"]
    picks = [naive_pick(DAY, scan.clock) for scan in plan.scans]
    changes = watched(result)
    assert changes["timestamp"].to_list() == [scan.at for scan in plan.scans]
    allowed, expected = "BBB", []
    for pick in picks:
        same = pick == allowed
        expected.append((None if same else pick, None if same else allowed))
        allowed = pick
    assert changes.select("started", "stopped").rows() == expected
    assert any(started for started, _ in expected)
    entries = result.orders.filter(pl.col("order_id").str.ends_with("-entry"))
    windows = ["BBB", *picks]
    for symbol, decided in entries.select("symbol", "timestamp").iter_rows():
        assert symbol == windows[sum(scan.at <= decided for scan in plan.scans)]
    assert entries["symbol"].n_unique() > 1
    assert compare(result, backtest_day(plan, BARS)).equal
    again = replay_session(plan, BARS, ledger, tmp_path / "again.sqlite")
    assert again.equal, again.summary()


def test_a_started_symbol_knows_what_one_knows_that_was_watched_all_day(tmp_path: Path) -> None:
    """Bar by bar the signals are the same, but for the side where a symbol is not watched."""
    ledger, chosen = fresh_ledger(tmp_path), rules("barriers")
    scanned, always = plan_with(ledger, chosen), plan_of(DAY, ledger, BARS, chosen)
    both = [StrategySignals(plan, ledger, in_process=True) for plan in (scanned, always)]
    frame, silenced, spoken = day_bars(always, BARS), 0, 0
    for batch in ReplayStream(frame, ReplayClock(frame["timestamp"][0])).moments():
        here, there = (each.update(batch).rows for each in both)
        picks = ["BBB", *(naive_pick(DAY, scan.clock) for scan in scanned.scans)]
        now = picks[sum(scan.at <= batch.end for scan in scanned.scans)]
        assert here.keys() == there.keys()
        for symbol, row in there.items():
            assert here[symbol] == (row if symbol == now else {**row, "side": 0})
            silenced += symbol != now
            spoken += symbol == now and now != "BBB"
    assert silenced > 3
    assert spoken > 0


def test_a_stopped_symbol_keeps_its_bracket(tmp_path: Path) -> None:
    chosen, kept = rules("barriers", max_participation=1.0), 0
    for number, day in enumerate(DAYS[1:5]):
        ledger = fresh_ledger(tmp_path / str(number))
        plan = plan_of(day, ledger, BARS, chosen, selected=SYMBOLS, scans=scans_of(day))
        result = replay_day(plan, BARS, ledger)
        events = result.tables["session_events"]
        stop = events.filter(pl.col("kind") == "symbols_watched").row(0, named=True)
        names = json.loads(stop["detail"])["stopped"]
        assert len(names) == 2
        legs = events.filter(
            pl.col("symbol").is_in(names) & pl.col("client_order_id").str.contains("stop$|take$")
        )
        before = legs.filter(pl.col("sequence") < stop["sequence"])
        over = ("filled", "canceled", "expired")
        ended = before.filter(pl.col("kind").is_in(over))["client_order_id"]
        working = set(before["client_order_id"]) - set(ended)
        # nobody asks for their end then, unless their time is over
        exits = result.orders.filter(pl.col("timestamp") == stop["known_at"])
        timed = exits.filter(pl.col("reason") == "vertical")["symbol"]
        touched = legs.filter(
            (pl.col("known_at") == stop["known_at"])
            & pl.col("client_order_id").is_in(working)
            & (pl.col("kind") == "cancel_requested")
            & ~pl.col("symbol").is_in(timed.to_list())
        )
        assert touched.is_empty()
        kept += len(working)
    assert kept > 0


def test_a_scan_looks_at_nothing_that_had_not_ended() -> None:
    (scan, _) = scans_of(DAY)
    mine = BARS.filter(pl.col("session_date") == DAY)
    picked = scan.select(mine)
    later = pl.col("bar_end") > scan.at
    wild = mine.with_columns(
        pl.when(later).then(pl.col(name) * 7.0).otherwise(pl.col(name)).alias(name)
        for name in ("open", "high", "low", "close", "volume")
    )
    assert scan.select(wild) == picked == scan.select(mine.filter(~later))
    # nor do scans of the day know later sessions
    cut = BARS.filter(pl.col("session_date") <= DAY)
    assert [each.hash for each in scans_of(DAY, cut)] == [each.hash for each in scans_of(DAY)]


def test_volume_so_far_is_the_sum_of_the_bars_by_then() -> None:
    summary = summarise(BARS, CALENDAR, TIMEFRAME, "09:25")
    found = known_by(summary, BARS, "11:00", CALENDAR)
    assert found.height == summary.height
    generator = np.random.default_rng(1)
    for row in generator.choice(found.height, 8, replace=False).tolist():
        names = ("symbol", "date", "premarket_volume", "premarket_last")
        symbol, day, volume, last = (found[name][row] for name in names)
        end = CALENDAR.session_open(day) + timedelta(minutes=90)
        own = BARS.filter(
            (pl.col("symbol") == symbol) & (pl.col("session_date") == day)
            & (pl.col("bar_end") <= end)
        )  # fmt: skip
        assert volume == sum(own["volume"].to_list())
        assert last == (own["close"][-1] if own.height else None)


def test_a_portfolio_follows_the_scans_too_and_survives_crashes(tmp_path: Path) -> None:
    members = three(max_participation=1.0)

    def session(path: Path, fuse: Fuse | None = None) -> SessionResult:
        with CrashingLedger(path, fuse or Fuse()) as ledger:
            plan = portfolio_plan(
                DAY, ledger, BARS, members, selected=("BBB",), scans=scans_of(DAY)
            )
            result = replay_day(plan, BARS, ledger)
            assert compare(result, backtest_day(plan, BARS)).equal
            return result

    whole = Fuse()
    expected = session(tmp_path / "whole.sqlite", whole)
    assert expected.fills["strategy"].n_unique() > 1
    assert watched(expected).height == 2
    for point in points(whole.steps):
        path = tmp_path / f"{point}.sqlite"
        with pytest.raises(Crash):
            session(path, Fuse(point))
        found = session(path)
        for name, table in expected.tables.items():
            assert table.equals(found.tables[name]), name


def points(steps: int) -> Sequence[int]:
    return (steps // 4, steps // 2, 3 * steps // 4)
