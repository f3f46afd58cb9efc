"""Time, tick, volume and dollar bars out of trades: by history, by day or by trade, with the same
kernel and bits.

>>> maker = TradeBars(BarKind.of("5Min"), Calendar.of("XNYS"), codes="sip")
>>> states, bars = maker.fold({}, trades)          # any number of calls, in the order of the tape
>>> states, rest = maker.finish(states, as_of)     # bars that end by the clock alone

Each bar has its `end_timestamp`, from which it is known to be over: the end of its slot for a time
bar, the trade that reached the threshold for the others, and the end of the part of the session for
a bar that the session cut short (`complete` is then false). No bar holds two parts of a session. A
bar without a trade that may set a price has volume and no prices.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.frames import symbol_ranges
from harmony_pipeline.instants import micros
from harmony_pipeline.market.bar_time import DAY_SECONDS, slots
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.ticks import kernels as k
from harmony_pipeline.market.ticks.conditions import eligibility
from harmony_pipeline.schemas import TIME

States = Mapping[str, FloatArray]

TRADE_BAR_DTYPES = {
    "symbol": pl.String(),
    "timeframe": pl.String(),  # 1Min, 1000Tick, 50000Volume, 1000000Dollar
    "timestamp": TIME,  # start of the slot, or the first trade
    "end_timestamp": TIME,
    "session": pl.String(),
    "open": pl.Float64(),
    "high": pl.Float64(),
    "low": pl.Float64(),
    "close": pl.Float64(),
    "volume": pl.Float64(),
    "trade_count": pl.Float64(),
    "vwap": pl.Float64(),
    "complete": pl.Boolean(),
}
_UNITS = {"sec": 1, "min": 60, "hour": 3600}
_KINDS = {"time": 0, "tick": 1, "volume": 2, "dollar": 3}


@dataclass(frozen=True)
class BarKind:
    """What ends a bar: `size` seconds, trades, shares or units of currency."""

    kind: Literal["time", "tick", "volume", "dollar"]
    size: float

    def __post_init__(self) -> None:
        """Refuse sizes that make no bars."""
        if self.size <= 0 or (
            self.kind == "time" and not (float(self.size).is_integer() and self.size <= DAY_SECONDS)
        ):
            raise ConfigError(
                f"{self.kind} bars of size {self.size:g} cannot be made: use 1 to {DAY_SECONDS}"
                " whole seconds, or a threshold above 0"
            )

    @staticmethod
    def of(text: str) -> "BarKind":
        """From `30Sec`, `15Min`, `1Hour`, `1000Tick`, `50000Volume` or `1000000Dollar`. Raises
        ConfigError for other text.
        """
        found = re.fullmatch(r"(\d+(?:\.\d+)?)(Sec|Min|Hour|Tick|Volume|Dollar)", text)
        if not found:
            raise ConfigError(
                f"'{text}' names no kind of bar: write it like 5Sec, 1Min, 1Hour, 1000Tick,"
                " 50000Volume or 1000000Dollar"
            )
        size, unit = float(found[1]), found[2].lower()
        if unit in _UNITS:
            return BarKind("time", size * _UNITS[unit])
        return BarKind(unit, size)  # type: ignore[arg-type]

    @property
    def name(self) -> str:
        """The value of the column `timeframe`."""
        if self.kind == "time":
            unit = next(name for name in ("hour", "min", "sec") if self.size % _UNITS[name] == 0)
            return f"{self.size / _UNITS[unit]:g}{unit.capitalize()}"
        return f"{self.size:.15g}{self.kind.capitalize()}"

    @property
    def seconds(self) -> int | None:
        """Length of the slots of time bars; None for the others."""
        return int(self.size) if self.kind == "time" else None


def trade_bars(
    trades: pl.DataFrame, kind: BarKind, calendar: Calendar, codes: str = "sip"
) -> pl.DataFrame:
    """Bars of whole sessions of trades (columns of schemas.TRADE_TICKS), the last one of each
    symbol included.
    """
    maker = TradeBars(kind, calendar, codes)
    states, ended = maker.fold({}, trades)
    _, last = maker.finish(states)
    return pl.concat([ended, last]).sort(
        "symbol", "end_timestamp", "timestamp", maintain_order=True
    )


class TradeBars:
    """The fold of one kind of bars. States are plain vectors, one a symbol, and may be stored
    between days.
    """

    def __init__(self, kind: BarKind, calendar: Calendar, codes: str = "sip") -> None:
        self.kind = kind
        self.calendar = calendar
        self.codes = codes

    def fold(
        self, states: States, trades: pl.DataFrame
    ) -> tuple[dict[str, FloatArray], pl.DataFrame]:
        """States after `trades`, and the bars that ended, sorted by symbol and end. The given
        states do not change.

        `trades` has symbol, timestamp, price, size, conditions and suspicious, in any order of
        symbols, each symbol in the order of the tape. Trades outside every session are left out.
        Raises DataError when a trade is older than one that was folded before.
        """
        rows = self._prepare_trades(trades)
        after = {symbol: state.copy() for symbol, state in states.items()}
        ended: list[tuple[str, FloatArray]] = []
        for symbol, (begin, end) in symbol_ranges(rows["symbol"]).items():
            state = after.setdefault(symbol, k.empty_state())
            part = rows[begin:end]
            stamps = part["stamp"].to_numpy()
            if state[k.LATEST] > stamps[0] or (np.diff(stamps) < 0).any():
                raise DataError(
                    f"the trades of {symbol} are not in the order of time: sort them by timestamp,"
                    " and fold older trades first"
                )
            out = np.empty((end - begin + 1, k.BAR_SIZE))
            begins, prices, sizes, sets = (
                part[name].to_numpy() for name in ("begin", "price", "size", "sets")
            )
            count = k.fold_trades(
                state,
                begins,
                stamps,
                prices,
                sizes,
                sets,
                _KINDS[self.kind.kind],
                self._threshold,
                out,
            )
            ended.append((symbol, out[:count]))
        return after, self._bars_frame(ended)

    def finish(
        self, states: States, as_of: datetime | None = None
    ) -> tuple[dict[str, FloatArray], pl.DataFrame]:
        """Bars that the clock ended by `as_of` (None: every open bar), and the states
        without them.
        """
        after = {symbol: state.copy() for symbol, state in states.items()}
        opened = [
            (symbol, state[None, :].copy())
            for symbol, state in sorted(after.items())
            if state[k.TRADES] > 0.0
        ]
        bars = self._bars_frame(opened)
        if as_of is not None:
            bars = bars.filter(pl.col("end_timestamp") <= as_of)
        for symbol in bars["symbol"].to_list():
            after[symbol][k.TRADES] = 0.0
        return after, bars

    @property
    def _threshold(self) -> float:
        return np.inf if self.kind.kind == "time" else float(self.kind.size)

    def _prepare_trades(self, trades: pl.DataFrame) -> pl.DataFrame:
        """Trades that may set something, sorted by symbol, each with its slot and what
        it may set.
        """
        ordered = trades.select(
            "symbol", "timestamp", "price", "size", "conditions", "suspicious"
        ).sort("symbol", maintain_order=True)
        rows = pl.concat(
            [ordered, slots(ordered["timestamp"], self.kind.seconds, self.calendar)],
            how="horizontal",
        )
        rows = rows.with_columns(eligibility(rows, self.codes)).filter(
            pl.col("session").is_not_null() & (pl.col("sets") > 0)
        )
        return rows.select(
            "symbol",
            "sets",
            pl.col("price", "size").cast(pl.Float64),
            stamp=pl.col("timestamp").dt.epoch("us"),
            begin=pl.col("begin").dt.epoch("us"),
        )

    def _bars_frame(self, ended: list[tuple[str, FloatArray]]) -> pl.DataFrame:
        values = np.concatenate([rows for _, rows in ended]) if ended else np.empty((0, k.BAR_SIZE))
        symbols = pl.Series(
            "symbol", [symbol for symbol, rows in ended for _ in range(len(rows))], pl.String
        )
        begin = pl.Series(values[:, k.GROUP].astype(np.int64)).cast(TIME)
        place = slots(begin, self.kind.seconds, self.calendar)
        by_clock = self.kind.kind == "time"
        complete = (
            np.ones(len(values), np.bool_) if by_clock else values[:, k.MEASURE] >= self._threshold
        )
        priced = values[:, k.PRICED]
        average = np.divide(
            values[:, k.NOTIONAL], priced, out=np.full(len(values), np.nan), where=priced > 0.0
        )
        first, latest = (
            pl.Series(values[:, at].astype(np.int64)).cast(TIME) for at in (k.START, k.LATEST)
        )
        reached = pl.Series(complete & (not by_clock))
        frame = pl.DataFrame(
            {
                "symbol": symbols,
                "timestamp": place["slot"] if by_clock else first,
                "session": place["session"],
                "slot_end": place["end"],
                "latest": latest,
                "reached": reached,
                "open": values[:, k.OPEN],
                "high": values[:, k.HIGH],
                "low": values[:, k.LOW],
                "close": values[:, k.CLOSE],
                "volume": values[:, k.VOLUME],
                "trade_count": values[:, k.TRADES],
                # the quotient of two sums may leave the range by a rounding error
                "vwap": np.clip(average, values[:, k.LOW], values[:, k.HIGH]),
                "complete": complete,
            }
        ).with_columns(
            pl.col("open", "high", "low", "close", "vwap").fill_nan(None),
            timeframe=pl.lit(self.kind.name),
            end_timestamp=pl.when("reached").then("latest").otherwise("slot_end"),
        )
        return frame.select(pl.col(name).cast(dtype) for name, dtype in TRADE_BAR_DTYPES.items())


class LiveTradeBars:
    """The same fold, one trade at a time, for a session."""

    def __init__(
        self, kind: BarKind, calendar: Calendar, codes: str = "sip", states: States | None = None
    ) -> None:
        self.maker = TradeBars(kind, calendar, codes)
        self.states: dict[str, FloatArray] = {
            symbol: state.copy() for symbol, state in (states or {}).items()
        }
        # where the latest trade fell: from, until, begin, session
        self._slot: tuple[int, int, int, str | None] = (0, 0, 0, None)
        self._masks: dict[tuple[str | None, bool, str | None], int] = {}
        self._rule = (_KINDS[kind.kind], self.maker._threshold)
        self._row = (
            np.empty(1, np.int64),
            np.empty(1, np.int64),
            np.empty(1),
            np.empty(1),
            np.empty(1, np.uint8),
        )
        self._out = np.empty((2, k.BAR_SIZE))
        self._nothing = pl.DataFrame(schema=TRADE_BAR_DTYPES)

    def update(
        self,
        symbol: str,
        timestamp: datetime,
        price: float,
        size: float,
        conditions: str | None = None,
        *,
        suspicious: bool = False,
    ) -> pl.DataFrame:
        """The bars that this trade ended; usually none."""
        stamp = micros(timestamp)
        begin, session = self._place(stamp)
        sets = self._sets(conditions, session, suspicious=suspicious)
        if session is None or not sets:
            return self._nothing
        state = self.states.get(symbol)
        if state is None:
            state = self.states[symbol] = k.empty_state()
        if state[k.LATEST] > stamp:
            raise DataError(
                f"a trade of {symbol} at {timestamp} is older than the last one: hand trades over"
                " in the order of time"
            )
        group, stamps, prices, sizes, masks = self._row
        group[0], stamps[0], prices[0], sizes[0], masks[0] = begin, stamp, price, size, sets
        kind, threshold = self._rule
        count = k.fold_trades(
            state, group, stamps, prices, sizes, masks, kind, threshold, self._out
        )
        return (
            self.maker._bars_frame([(symbol, self._out[:count].copy())]) if count else self._nothing
        )

    def close_until(self, now: datetime) -> pl.DataFrame:
        """The bars that the clock has ended by `now`, without another trade."""
        self.states, bars = self.maker.finish(self.states, now)
        return bars

    def _place(self, stamp: int) -> tuple[int, str | None]:
        start, until, begin, session = self._slot
        if not start <= stamp < until:
            row = slots(pl.Series([stamp]).cast(TIME), self.maker.kind.seconds, self.maker.calendar)
            session = row["session"][0]
            begin, until = (
                int(row[name].dt.epoch("us")[0]) if session else stamp for name in ("begin", "end")
            )
            self._slot = (begin, until, begin, session)
        return begin, session

    def _sets(self, conditions: str | None, session: str | None, *, suspicious: bool) -> int:
        key = (conditions, suspicious, session)
        if key not in self._masks:
            row = pl.DataFrame(
                [key],
                schema={"conditions": pl.String, "suspicious": pl.Boolean, "session": pl.String},
                orient="row",
            )
            self._masks[key] = int(eligibility(row, self.maker.codes)[0])
        return self._masks[key]
