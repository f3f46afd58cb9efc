"""The live monitor over a lake and a state folder."""

import threading
from collections.abc import Sequence
from datetime import date, datetime, timedelta
from typing import Any

import polars as pl

from harmony_pipeline.errors import NotReady
from harmony_pipeline.instants import micros, moment
from harmony_pipeline.log import log_file
from harmony_pipeline.market.timeframes import TIMEFRAME_SECONDS
from harmony_pipeline.monitor.access import TokenCheck
from harmony_pipeline.monitor.application import Monitor
from harmony_pipeline.monitor.changes import milliseconds
from harmony_pipeline.monitor.follower import Follower, MakeTimeline, present
from harmony_pipeline.monitor.hub import Hub
from harmony_pipeline.monitor.session_feed import Sources, session_of
from harmony_pipeline.monitor.timeline import Replay, Timeline
from harmony_pipeline.session.event_tail import EventTail
from harmony_pipeline.session.ledger_rows import SessionRow
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.session_plans import bars_of, day_start, existing_ledger, ledger_place
from harmony_pipeline.strategies.registry import build_strategy

_MOST_INDICATORS = 4
_PRICES = ("open", "high", "low", "close", "volume")
_SHOWN = (
    "symbol", "score", "gap", "price", "relative_volume", "premarket_volume", "passed",
    "rejected_by",
)  # fmt: skip


class LakeMarket:
    """`Market` of monitor/market.py over a pipeline's lake. Calls from several threads wait for
    each other.
    """

    def __init__(self, pipeline: PipelineContext) -> None:
        self._pipeline = pipeline
        self._lock = threading.Lock()
        self.bar_micros = TIMEFRAME_SECONDS[pipeline.timeframe] * 1_000_000
        settings = pipeline.settings
        read = (
            feature
            for name in settings.session_strategies
            for feature in build_strategy(settings.strategies[name]).required_features()
        )
        known = [feature for feature in dict.fromkeys(read) if feature != "cusum_event"]
        self._indicators = tuple(known[:_MOST_INDICATORS])

    def bars(self, day: date, symbols: Sequence[str]) -> pl.DataFrame:
        """Bars of the session of `day`."""
        with self._lock:
            frame = bars_of(self._pipeline, day)
        return frame.filter(pl.col("symbol").is_in(list(symbols))).select(
            "symbol", "timestamp", *_PRICES
        )

    def indicators(self) -> tuple[str, ...]:
        """Features that the session's strategies read."""
        return self._indicators

    def chart(self, day: date, symbol: str) -> pl.DataFrame:
        """Bars of two sessions, with indicators where the lake has features."""
        with self._lock:
            pipeline = self._pipeline
            begin = day_start(pipeline, pipeline.calendar.previous_session(day))
            end = day_start(pipeline, day) + timedelta(days=1)
            periods = pipeline.overlapping(begin, end)
            within = (
                (pl.col("symbol") == symbol)
                & (pl.col("timestamp") >= begin)
                & (pl.col("timestamp") < end)
            )
            lake = pipeline.lake
            bars = lake.scan("bars", periods).filter(within).select("timestamp", *_PRICES)
            features = (
                lake.scan("features", periods).filter(within).select("timestamp", *self._indicators)
            )
            return (
                bars.sort("timestamp")
                .join(features, on="timestamp", how="left", maintain_order="left")
                .collect(engine="in-memory")
            )

    def trades(self, day: date, symbol: str, until: int, count: int) -> list[dict[str, Any]]:
        """Last trades of the day's ticks."""
        rows = self._ticks("trade_ticks", day, symbol, until, ("price", "size"), count)
        return [{"at": _millis(at), "price": price, "size": size} for at, price, size in rows]

    def quotes(self, day: date, symbol: str, until: int, count: int) -> list[dict[str, Any]]:
        """Last quotes of the day's ticks."""
        names = ("bid", "bid_size", "ask", "ask_size")
        rows = self._ticks("quote_ticks", day, symbol, until, names, count)
        return [{"at": _millis(at), **dict(zip(names, rest, strict=True))} for at, *rest in rows]

    def _ticks(
        self, table: str, day: date, symbol: str, until: int, names: Sequence[str], count: int
    ) -> list[tuple[Any, ...]]:
        with self._lock:
            if not self._pipeline.lake.has(table, day.isoformat()):
                return []
            return (
                self._pipeline.lake.scan(table, [day.isoformat()])
                .filter((pl.col("symbol") == symbol) & (pl.col("timestamp") < moment(until)))
                .select("timestamp", *names)
                .sort("timestamp", maintain_order=True)
                .tail(count)
                .collect(engine="in-memory")
                .rows()
            )

    def scan(self, day: date) -> list[dict[str, Any]]:
        """The day's candidates with their rank, chosen ones first."""
        key = day.isoformat()
        with self._lock:
            lake = self._pipeline.lake
            if not lake.has("scan_candidates", key):
                return []
            chosen = lake.read("scan_selections", [key]).select("symbol", "rank")
            found = lake.read("scan_candidates", [key]).select(_SHOWN)
        ranked = found.join(chosen, on="symbol", how="left", maintain_order="left")
        order = ranked.sort("rank", "score", descending=[False, True], nulls_last=True)
        return order.to_dicts()


def _millis(at: datetime) -> int:
    return milliseconds(micros(at))


def monitor_over(
    pipeline: PipelineContext,
    token: TokenCheck,
    *,
    session: str | None = None,
    replay_speed: float | None = None,
) -> Monitor:
    """A monitor of the session that runs or ran last, or of `session` (an id or a date); with
    `replay_speed` of a past one as it went. Raises NotReady when a past one is not there.
    """
    settings = pipeline.settings
    timeline: MakeTimeline = present
    if replay_speed is not None:
        session = _past_session(ledger_tail(pipeline), session)
        speed = replay_speed

        def timeline(tail: EventTail, row: SessionRow) -> Timeline:
            first, last = tail.span(row.session_id) or (0, 0)
            return Replay(first, last, speed)

    market = LakeMarket(pipeline)
    sources = Sources(
        settings.state_root,
        log_file(settings.present_state_root),
        market,
        settings.risk,
        settings.backtest.initial_cash,
    )
    hub = Hub()
    follower = Follower(hub, sources, ledger_place(pipeline), session, timeline)
    return Monitor(
        hub, follower, market, settings.state_root, token, replayed=replay_speed is not None
    )


def ledger_tail(pipeline: PipelineContext) -> EventTail:
    """A reader of the market's ledger. Raises NotReady where there is none."""
    return EventTail(existing_ledger(pipeline))


def _past_session(tail: EventTail, chosen: str | None) -> str:
    with tail:
        row = session_of(tail, chosen)
        if row is None:
            known = ", ".join(each.session_id for each in tail.sessions()[-5:]) or "none"
            raise NotReady(f"there is no session {chosen}; the last ones are: {known}")
        return row.session_id
