"""A running day's bars are not in the lake: the page has them from what the session heard."""

from datetime import date
from pathlib import Path
from typing import Any

import polars as pl
from monitor.monitored import BARS, DAY, RULES, FrameMarket
from session.days import plan_of

from harmony_pipeline.monitor.session_feed import SessionFeed, Sources
from harmony_pipeline.monitor.timeline import Present
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.session.bar_log import BarLogTail, bar_log_path
from harmony_pipeline.session.clock import ReplayClock
from harmony_pipeline.session.event_tail import EventTail
from harmony_pipeline.session.ledger import Ledger
from harmony_pipeline.session.replay import day_bars, simulated_broker
from harmony_pipeline.session.runner import Supervision, run_session
from harmony_pipeline.session.stream import ReplayStream


class NoBars(FrameMarket):
    """A lake to which the day has not come yet."""

    def bars(self, day: date, symbols: Any) -> pl.DataFrame:
        return super().bars(day, symbols).clear()


def test_a_live_session_writes_what_it_hears_and_the_page_shows_it(tmp_path: Path) -> None:
    with Ledger(tmp_path / "ledger.sqlite") as ledger:
        plan = plan_of(DAY, ledger, BARS, RULES)
        frame = day_bars(plan, BARS)
        clock = ReplayClock(frame["timestamp"].min())  # type: ignore[arg-type]
        watch = Supervision(tmp_path, is_live=True)
        run_session(
            plan, ledger, simulated_broker(plan, ledger), ReplayStream(frame, clock), clock, watch
        )
    sources = Sources(tmp_path, tmp_path / "log", NoBars(), RiskSettings(), RULES.initial_cash)
    with EventTail(tmp_path / "ledger.sqlite") as tail:
        row = tail.newest_session()
        assert row is not None
        feed = SessionFeed(sources, tail, row, Present())
        shown = feed.poll()
    bars = [(row["symbol"], row["c"], row["v"]) for row in shown["bars"].values() if row]
    assert sum(len(kept) for kept in feed.history.values()) == frame.height
    assert sorted(bars) == sorted(frame.select("symbol", "close", "volume").rows())


def test_a_line_that_is_half_written_waits_for_its_rest(tmp_path: Path) -> None:
    path = bar_log_path(tmp_path, "s")
    tail = BarLogTail(path)
    assert list(tail.new_lines()) == []
    path.parent.mkdir()
    path.write_bytes(b'{"start": 1, "end": 2, "bars": []}\n{"start": 3, ')
    assert [line["start"] for line in tail.new_lines()] == [1]
    with path.open("ab") as file:
        file.write(b'"end": 4, "bars": []}\n')
    assert [line["start"] for line in tail.new_lines()] == [3]
