"""Turns a session into changes for the pages: reads what is new, in bounded steps.

One poll reads at most some thousand events; what is left comes with the next. The session is shown
as far as its own events go: bars and equity up to the bars that it has heard.
"""

from collections import Counter, deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from harmony_pipeline.monitor import changes as table
from harmony_pipeline.monitor.books import Books
from harmony_pipeline.monitor.changes import Changes, Row, merge, milliseconds
from harmony_pipeline.monitor.health import Pulse, read_pulse
from harmony_pipeline.monitor.limits import Account, limits_in_use
from harmony_pipeline.monitor.log_tail import LogTail
from harmony_pipeline.monitor.market import DayBars, Market
from harmony_pipeline.monitor.timeline import Timeline
from harmony_pipeline.portfolio.kernel_types import MONEY
from harmony_pipeline.risk.settings import RiskSettings
from harmony_pipeline.session.bar_log import BarLogTail, bar_log_path
from harmony_pipeline.session.event_tail import FOREVER, EventTail
from harmony_pipeline.session.ledger_rows import RUNNING, SessionRow

_KEPT_BARS = 2_000  # of a symbol
_BAR_NAMES = ("symbol", "t", "o", "h", "l", "c", "v")
Bar = tuple[str, int, float, float, float, float, float]


@dataclass(frozen=True)
class Sources:
    """Where everything is read from. state: the session's state folder; log: the JSON log;
    initial_cash: what the first session of an account opens with.
    """

    state: Path
    log: Path
    market: Market
    risk: RiskSettings
    initial_cash: float


class SessionFeed:
    """One session of a ledger. Belongs to one thread."""

    def __init__(
        self, sources: Sources, tail: EventTail, row: SessionRow, timeline: Timeline
    ) -> None:
        self.session_id, self.day = row.session_id, row.date
        self._sources, self._tail, self._row, self._timeline = sources, tail, row, timeline
        before = row.previous_session_id
        opening = tail.positions(before) if before else []
        equity = tail.last_equity(before) if before else None
        self.base = sources.initial_cash if equity is None else equity / MONEY
        self.books = Books(opening, tail.order)
        self._sequence = 0
        self._equity_at = 0
        self._account: Account | None = None
        self._bars: DayBars | None = None
        self._bar_log = BarLogTail(bar_log_path(sources.state, row.session_id))
        self._equity_times: set[int] = set()
        self._unmarked: list[Bar] = []
        self.history: dict[str, deque[Bar]] = {}  # the last bars that were shown, by symbol
        self._watch: dict[str, Row] = {}
        self._log = LogTail(sources.log)

    @property
    def cursor(self) -> int:
        """Start of the last bars that are shown, microseconds."""
        return self.books.cursor

    def poll(self) -> Changes:
        """What is new since the last poll."""
        now = self._timeline.now()
        # first: a session that has ended is shown with all that came before its end
        self._row = self._tail.session(self.session_id) or self._row
        for stored in self._tail.events_after(self.session_id, self._sequence, now):
            self.books.see(stored)
            self._sequence = stored.sequence
        equity, bars = self._new_equity(), self._new_bars()
        pulse = self._pulse()
        told = [self.books.take_changes(), bars, equity, {table.LIMITS: self._limits()}]
        told.append({table.SESSION: {"": self._session_row(pulse)}})
        told.append({table.HEALTH: {"": self._health_row(pulse)}, table.WATCH: dict(self._watch)})
        if not self._timeline.replayed:
            told.append({table.LOG: dict(self._log.new_rows())})
        return merge(told)

    def scanner(self) -> Changes:
        """The scan of the session's day; it does not change."""
        rows = self._sources.market.scan(self.day)
        return {table.SCANNER: {row["symbol"]: row for row in rows}}

    # --- bars -------------------------------------------------------------------------------------

    def _new_bars(self) -> Changes:
        cursor = self.books.cursor
        if not cursor:
            return {}
        if self._bars is None:
            symbols = sorted({*self.books.symbols, *self.books.held_symbols})
            self._bars = DayBars(self._sources.market.bars(self.day, symbols))
        rows: dict[str, Row | None] = {}
        for bar in [*self._bars.until(cursor), *self._logged_bars()]:
            known = self.history.setdefault(bar[0], deque(maxlen=_KEPT_BARS))
            if not known or bar[1] > known[-1][1]:
                known.append(bar)
                rows[f"{bar[0]} {bar[1]}"] = self._bar_row(bar)
                self._unmarked.append(bar)
        self._mark()
        return merge([{table.BARS: rows}, self.books.take_changes()])

    def _mark(self) -> None:
        """Value positions as the session does: at the closes of the moments that have an equity
        row, which are those of regular bars.
        """
        waiting = []
        for bar in self._unmarked:
            if bar[1] in self._equity_times:
                self.books.mark(bar[0], bar[5])
            elif bar[1] > self._equity_at:
                waiting.append(bar)
        self._unmarked = waiting
        oldest = min((bar[1] for bar in waiting), default=self._equity_at)
        self._equity_times = {at for at in self._equity_times if at >= oldest}

    def _logged_bars(self) -> Iterable[Bar]:
        """Bars of a running day, which the lake does not have yet."""
        for line in self._bar_log.new_lines():
            for symbol, *prices in line["bars"]:
                o, h, low, c, v = (float(price) for price in prices)
                yield symbol, int(line["start"]), o, h, low, c, v

    def _bar_row(self, bar: Bar) -> Row:
        row = dict(zip(_BAR_NAMES, bar, strict=True)) | {"t": milliseconds(bar[1])}
        symbol, seen = bar[0], self._watch.get(bar[0])
        first = seen["first"] if seen else bar[2]
        self._watch[symbol] = {
            "symbol": symbol,
            "last": bar[5],
            "first": first,
            "volume": (seen["volume"] if seen else 0.0) + bar[6],
            "t": row["t"],
        }
        return row

    # --- account ----------------------------------------------------------------------------------

    def _new_equity(self) -> Changes:
        rows: dict[str, Row | None] = {}
        for row in self._tail.equity_after(self.session_id, self._equity_at, self.books.cursor):
            self._equity_at = int(row["timestamp"])
            self._equity_times.add(self._equity_at)
            self._account = Account(
                row["equity"] / MONEY,
                row["cash"] / MONEY,
                row["gross_exposure"] / MONEY,
                row["net_exposure"] / MONEY,
                row["drawdown"],
                self.base,
            )
            at = milliseconds(self._equity_at)
            rows[str(at)] = {"t": at, "equity": self._account.equity}
        return {table.EQUITY: rows}

    def _limits(self) -> dict[str, Row | None]:
        if self._account is None:
            return {}
        counts = dict(Counter(self.books.limited.values()))
        return dict(limits_in_use(self._sources.risk, self._account, self.books.held(), counts))

    # --- the session ------------------------------------------------------------------------------

    def _pulse(self) -> Pulse:
        if self._timeline.replayed:
            return Pulse(running=False, killed=None)
        return read_pulse(self._sources.state, self.session_id)

    def _state(self) -> str:
        """How the ledger says it ended; a replay has not ended before its last event."""
        if self._timeline.replayed and self._timeline.now() != FOREVER:
            return RUNNING
        return self._row.state

    def _session_row(self, pulse: Pulse) -> Row:
        account, books = self._account, self.books
        state = self._state()
        beat = pulse.risk_state if state == RUNNING else None  # may be older than the end
        return {
            "session_id": self.session_id,
            "date": self.day.isoformat(),
            "account": self._row.account,
            "strategy": self._row.strategy,
            "model": self._row.model_id,
            "state": state,
            "reason": self._row.reason if state != RUNNING else None,
            "risk_state": beat or books.risk_state,
            "breakers": sorted(books.breakers),
            "killed": pulse.killed,
            "replayed": self._timeline.replayed,
            "equity": account.equity if account else None,
            "cash": account.cash if account else None,
            "base": self.base,
            "drawdown": account.drawdown if account else None,
            "realized": books.realized(),
            "fees": books.fees(),
            "orders": len(books.orders),
            "fills": books.fills,
            "symbols": list(books.symbols),
            "cursor": milliseconds(books.cursor) if books.cursor else None,
        }

    def _health_row(self, pulse: Pulse) -> Row:
        now = self._now(pulse)
        return {
            "running": pulse.running,
            "heartbeat_age": None if pulse.age is None else round(pulse.age, 1),
            "pid": pulse.pid,
            "now": None if now is None else milliseconds(now),
            "bar": self._sources.market.bar_micros // 1000,
            "events": self._sequence,
            **self.books.latency.row(),
        }

    def _now(self, pulse: Pulse) -> int | None:
        """The session's present, microseconds: it has ended the bars that it has heard."""
        if self._timeline.now() != FOREVER:
            return self._timeline.now()
        cursor = self.books.cursor
        known = [cursor + self._sources.market.bar_micros] if cursor else []
        known += [pulse.now] if pulse.now is not None else []
        return max(known, default=None)


def session_of(tail: EventTail, chosen: str | None) -> SessionRow | None:
    """The session that is called for: by id, by date (its last one), or the newest."""
    if chosen is None:
        return tail.newest_session()
    found = tail.session(chosen)
    if found is not None:
        return found
    try:
        day = date.fromisoformat(chosen)
    except ValueError:
        return None
    return next((row for row in reversed(tail.sessions()) if row.date == day), None)
