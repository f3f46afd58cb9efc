"""One round trip as it lies on its candles: which trades are shown, and every price, level and
moment of each.

Pure: tables in, records out; `trade_figures.py` draws them and `trade_page.py` puts them on a page.
Prices are raw. A barrier is set at the entry and moves with splits and dividends by the same
arithmetic as in the simulator.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.instruments import Instrument
from harmony_pipeline.market.timeframes import LONG_TIMEFRAMES
from harmony_pipeline.reports.number_format import money_text, price_text, quantity_text
from harmony_pipeline.reports.page import DASH
from harmony_pipeline.text import clock_time

CHOICE = (
    "Shown are the best, the worst and the median trade by return, the one entered last, and the"
    " last one closed for each reason. A trade that is several of these is shown once."
)
_BEFORE, _AFTER = 12, 8  # bars shown around a trade
_MOST = 150  # bars shown of one trade; of a longer one its beginning and its end


@dataclass(frozen=True)
class Step:
    """Something that happened: `place` is that of its bar in the view, `price` raw, in the prices
    of that moment.
    """

    kind: str
    timestamp: datetime
    place: int
    price: float | None = None
    quantity: float | None = None
    fee: float | None = None
    note: str = ""


@dataclass(frozen=True)
class TradeView:
    """A trade with the bars around it.

    bars: timestamp, open, high, low, close, adjustment_factor, session_date, one row a candle.
    steps: in order of time. upper, lower: (place, level) of every bar at which the barrier was
    watched. limit: place of the last bar that the horizon leaves, the vertical barrier. skipped:
    (place of the first bar after the gap, bars left out).
    """

    trade: Mapping[str, Any]
    why: tuple[str, ...]
    bars: pl.DataFrame
    steps: tuple[Step, ...]
    upper: tuple[tuple[int, float], ...]
    lower: tuple[tuple[int, float], ...]
    instrument: Instrument
    zone: str
    timeframe: str
    limit: int | None = None
    skipped: tuple[int, int] | None = None

    @property
    def decimals(self) -> int:
        """Decimals in which every price of this view is exact on the tick."""
        lowest = self.bars["low"].min()
        return self.instrument.decimals(float(lowest) if isinstance(lowest, float) else None)

    def price(self, value: float | None) -> str:
        """A price with the decimals of the instrument; a dash for none."""
        return price_text(self.instrument, value) or DASH

    def quantity(self, value: float | None) -> str:
        """A quantity with the decimals of the lot."""
        return quantity_text(self.instrument, value) or DASH

    def money(self, value: float | None) -> str:
        """An amount in the currency."""
        return money_text(self.instrument, value) or DASH

    def moment(self, stamp: datetime) -> str:
        """A time on the exchange's clock; of daily and weekly bars the session's date."""
        return exchange_time(stamp, self.zone, self.timeframe)

    def of_kind(self, kind: str) -> list[Step]:
        """The steps of one kind: signal, entry, exit, payment, factor."""
        return [step for step in self.steps if step.kind == kind]


def exchange_time(stamp: datetime, zone: str, timeframe: str) -> str:
    """`2024-03-05 15:30` (with seconds where there are some) on the clock of `zone`; only the date
    for daily and weekly bars, which are stamped midnight UTC.
    """
    if timeframe in LONG_TIMEFRAMES:
        return f"{stamp:%Y-%m-%d}"
    return clock_time(stamp.astimezone(ZoneInfo(zone)))


def chosen_trades(trades: pl.DataFrame) -> list[tuple[dict[str, Any], tuple[str, ...]]]:
    """The trades that CHOICE names, each with what it is, in that order."""
    if trades.is_empty():
        return []
    closed = trades.drop_nulls(["return", "exit_timestamp"]).sort("return", "trade_id")
    last = trades.sort("entry_timestamp", "trade_id").row(-1, named=True)
    found: list[tuple[str, dict[str, Any]]] = []
    if closed.height:
        found += [
            ("best", closed.row(-1, named=True)),
            ("worst", closed.row(0, named=True)),
            ("median", closed.row((closed.height - 1) // 2, named=True)),
        ]
    found.append(("latest", last))
    by_time = closed.sort("exit_timestamp", "trade_id")
    for reason in sorted(closed["exit_reason"].drop_nulls().unique().to_list()):
        found.append(
            (
                f"latest by {reason.replace('_', ' ')}",
                by_time.filter(pl.col("exit_reason") == reason).row(-1, named=True),
            )
        )
    chosen: dict[str, tuple[dict[str, Any], tuple[str, ...]]] = {}
    for why, trade in found:
        known = chosen.get(trade["trade_id"])
        chosen[trade["trade_id"]] = (trade, (*(known[1] if known else ()), why))
    return list(chosen.values())


def trade_view(
    trade: Mapping[str, Any],
    why: Sequence[str],
    bars: pl.DataFrame,
    orders: pl.DataFrame,
    fills: pl.DataFrame,
    instrument: Instrument,
    calendar: Calendar,
    timeframe: str,
    horizon: int | None = None,
    sessions: int = 0,
) -> TradeView | None:
    """The view of one trade; None when none of its bars is there.

    bars: schemas.BARS of the symbols that the trade was held under, also beyond the trade; extended
    hours are left out. orders and fills: those of its backtest. horizon: bars that the vertical
    barrier leaves; none for a strategy without barriers. sessions: above 0, how many it leaves in
    place of bars.
    """
    mine = orders.filter(
        (pl.col("order_id") == f"{trade['trade_id']}-entry")
        | (pl.col("parent_id") == f"{trade['trade_id']}-entry")
    )
    regular = (
        bars.filter(pl.col("session") == "regular")
        .sort("timestamp", "symbol")
        .unique("timestamp", keep="first", maintain_order=True)
    )
    if regular.is_empty() or trade["entry_timestamp"] > regular["timestamp"][-1]:
        return None
    entry_order = mine.filter(pl.col("parent_id").is_null()).head(1).to_dicts()
    late = bool(entry_order) and entry_order[0]["time_in_force"] == "cls"
    signal = entry_order[0]["signal_timestamp"] if entry_order else None
    shown, skipped = _window(regular, signal or trade["entry_timestamp"], trade["exit_timestamp"])
    dated = calendar.with_session(shown.select("timestamp"), timeframe)["session_date"]
    candles = shown.select(
        "timestamp", "open", "high", "low", "close", "adjustment_factor"
    ).with_columns(session_date=dated)
    own_fills = fills.filter(pl.col("order_id").is_in(mine["order_id"].to_list()))
    steps = _steps(trade, signal, candles, mine, own_fills)
    limit = None
    if horizon and skipped is None:
        limit = _limit(trade, candles, horizon + late, sessions)
    upper, lower = _levels(trade, candles, mine, limit, late)
    limit = limit if upper or lower else None
    return TradeView(
        trade,
        tuple(why),
        candles,
        steps,
        upper,
        lower,
        instrument,
        calendar.zone,
        timeframe,
        limit,
        skipped,
    )


def _limit(trade: Mapping[str, Any], bars: pl.DataFrame, horizon: int, sessions: int) -> int | None:
    """Place of the last bar of the horizon; None when it is not shown. Bars are counted from the
    entry's bar, which an entry at a close has before its horizon. So many sessions end with the
    first bar of the last of them after the entry's, at whose close the exit is decided.
    """
    entered = int(bars["timestamp"].search_sorted(trade["entry_timestamp"]))
    if not sessions:
        place = entered + horizon - 1
        return place if place < bars.height else None
    dates = bars["session_date"][entered:]
    after = dates.unique(maintain_order=True).slice(sessions, 1)
    first = None if after.is_empty() else dates.index_of(after[0])
    return None if first is None else entered + first


def _window(
    bars: pl.DataFrame, first: datetime, last: datetime | None
) -> tuple[pl.DataFrame, tuple[int, int] | None]:
    """The bars from a little before `first` to a little after `last`, the middle of a long trade
    left out.
    """
    times = bars["timestamp"]
    start = max(0, int(times.search_sorted(first)) - _BEFORE)
    stop = (
        bars.height
        if last is None
        else min(bars.height, int(times.search_sorted(last)) + 1 + _AFTER)
    )
    if stop - start <= _MOST:
        return bars[start:stop], None
    half = _MOST // 2
    return pl.concat([bars[start : start + half], bars[stop - half : stop]]), (
        half,
        stop - start - 2 * half,
    )


def _steps(
    trade: Mapping[str, Any],
    signal: datetime | None,
    bars: pl.DataFrame,
    orders: pl.DataFrame,
    fills: pl.DataFrame,
) -> tuple[Step, ...]:
    found = _fill_steps(trade, bars, orders, fills)
    if signal is not None:
        place = _place(bars, signal)
        found.insert(0, Step("signal", signal, place, bars["close"][place]))
    if trade["exit_timestamp"] is not None and not any(step.kind == "exit" for step in found):
        found.append(_payment_step(trade, bars))
    found += _factor_steps(trade, bars)
    return tuple(sorted(found, key=lambda step: step.timestamp))


def _place(bars: pl.DataFrame, moment: datetime) -> int:
    """Place of the first bar from `moment` on, else of the last bar."""
    return min(int(bars["timestamp"].search_sorted(moment)), bars.height - 1)


def _fill_steps(
    trade: Mapping[str, Any], bars: pl.DataFrame, orders: pl.DataFrame, fills: pl.DataFrame
) -> list[Step]:
    reasons = dict(orders.select("order_id", "reason").iter_rows())
    return [
        Step(
            "entry" if fill["order_id"] == f"{trade['trade_id']}-entry" else "exit",
            fill["timestamp"],
            _place(bars, fill["timestamp"]),
            fill["price"],
            fill["quantity"],
            fill["fee"],
            reasons.get(fill["order_id"]) or "",
        )
        for fill in fills.sort("timestamp", "fill_id").iter_rows(named=True)
    ]


def _payment_step(trade: Mapping[str, Any], bars: pl.DataFrame) -> Step:
    """A delisting or cash in lieu pays a position out without an order."""
    return Step(
        "payment",
        trade["exit_timestamp"],
        _place(bars, trade["exit_timestamp"]),
        trade["exit_price"],
        trade["quantity"],
        0.0,
        trade["exit_reason"] or "",
    )


def _factor_steps(trade: Mapping[str, Any], bars: pl.DataFrame) -> list[Step]:
    """Splits and dividends between the entry and the exit."""
    factor = bars["adjustment_factor"].to_list()
    first = _place(bars, trade["entry_timestamp"])
    last = _place(bars, trade["exit_timestamp"] or bars["timestamp"][-1])
    return [
        Step(
            "factor",
            bars["timestamp"][at],
            at,
            note=(
                f"split or dividend: the factor of the prices is {factor[at] / factor[at - 1]:.6g}"
                " times as large"
            ),
        )
        for at in range(first + 1, last + 1)
        if factor[at] != factor[at - 1]
    ]


def _levels(
    trade: Mapping[str, Any],
    bars: pl.DataFrame,
    orders: pl.DataFrame,
    limit: int | None,
    late: bool,
) -> tuple[tuple[tuple[int, float], ...], tuple[tuple[int, float], ...]]:
    """Upper and lower barrier at every bar from the entry to the exit or the limit, in the raw
    prices of that bar; empty for a strategy without barriers. `late`: entered at a close, so that
    the bar of the entry was not watched.
    """
    from harmony_pipeline.portfolio.exit_rules import level_now

    legs = orders.filter(pl.col("parent_id").is_not_null()).sort("timestamp", "order_id")
    stop, take = (legs[name].drop_nulls() for name in ("stop_price", "limit_price"))
    upper, lower = (take, stop) if trade["side"] == "long" else (stop, take)
    last = trade["exit_timestamp"]
    held = [
        (place, factor)
        for place, (moment, factor) in enumerate(
            bars.select("timestamp", "adjustment_factor").iter_rows()
        )
        if trade["entry_timestamp"] <= moment
        and (last is None or moment <= last)
        and (limit is None or place <= limit)
    ]

    def course(levels: pl.Series) -> tuple[tuple[int, float], ...]:
        return (
            tuple(
                (place, float(level_now(levels[0], held[0][1], factor)))
                for place, factor in held[late:]
            )
            if levels.len() and held
            else ()
        )

    return course(upper), course(lower)
