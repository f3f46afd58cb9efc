"""The quality rules in plain words, one row after the other: the slow twin that the compiled judge
must agree with.

It shares no code with `market/rules` but the calendar, which has tests of its own. One `Memory` a
symbol, lists instead of rings, medians by sorting, versions by comparing tuples.
"""

import math
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from statistics import median
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.ingest.versions import WITHDRAWN
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.market.timeframes import TIMEFRAME_SECONDS

VALUES = ("volume", "trade_count", "vwap", "close", "open", "high", "low")
SPLITS = (1.5, 2, 2.5, 3, 4, 5, 6, 7, 8, 10, 12, 15, 20, 25, 30, 40, 50)
DEFAULTS = {
    "misaligned_timestamp": "quarantine", "zero_volume": "warn", "bad_print": "quarantine",
    "wrong_scale": "quarantine", "ticker_reuse": "warn", "wrong_unit": "warn",
    "split_like_jump": "warn", "outlier": "warn", "volume_spike": "warn", "stale_repeat": "warn",
    "frozen_prices": "warn", "spike_reversal": "warn", "changed_unit": "warn",
}  # fmt: skip
PAST = [name for name in DEFAULTS if name != "misaligned_timestamp"]

Row = dict[str, Any]


@dataclass
class Memory:
    """What came before, of one symbol."""

    close: float | None = None  # last regular close, with its date and its place in the calendar
    close_date: date | None = None
    place: int = 0
    factor: float = 1.0
    splits: float = 1.0  # since that close
    last_date: date | None = None
    values: tuple[float, ...] = ()
    run: int = 0
    frozen: int = 0  # bars in a row with the last four prices
    # the last close that was refused for its scale, and how many were in a row
    scale: tuple[float, int] | None = None
    bars: int = 0
    idle: int = 0
    returns: list[float] = field(default_factory=list)
    # volume of a bar, one number a finished session
    largest: list[float] = field(default_factory=list)
    session: date | None = None
    session_volume: float = 0.0
    spike: tuple[float, float] | None = None  # close before it, its close
    # price before it, power of ten, bars it has lasted
    unit: tuple[float, float, int] | None = None


@dataclass
class Answer:
    """Verdict by place of the row in `raw`, factor by place of the kept ones, warnings as (place,
    rule).
    """

    verdicts: dict[int, str] = field(default_factory=dict)
    factors: dict[int, float] = field(default_factory=dict)
    warnings: list[tuple[int, str]] = field(default_factory=list)


class Naive:
    """Judges raw rows; its memories stay, so that it can be asked again for the time after."""

    def __init__(
        self, actions: pl.DataFrame, calendar: Calendar, timeframe: str, settings: MarketSettings
    ) -> None:
        self.actions: dict[str, list[Row]] = {}
        for one in sorted(
            actions.rows(named=True), key=lambda one: (one["date"], one["kind"], one["value"])
        ):
            self.actions.setdefault(one["symbol"], []).append(one)
        self.calendar, self.timeframe, self.settings, self.quality = (
            calendar,
            timeframe,
            settings,
            settings.quality,
        )
        self.places = {day: place for place, day in enumerate(calendar.table["date"].to_list())}
        self.memories: dict[str, Memory] = {}

    def judge(self, raw: pl.DataFrame) -> Answer:
        answer = Answer()
        rows = (
            self.calendar.with_session(raw, self.timeframe)
            .with_row_index("index")
            .sort("symbol", "timestamp")
            .rows(named=True)
        )
        groups: dict[tuple[str, datetime], list[Row]] = {}
        for row in rows:
            groups.setdefault((row["symbol"], row["timestamp"]), []).append(row)
        for (symbol, _), versions in groups.items():
            self.versions(self.memories.setdefault(symbol, Memory()), versions, answer)
        return answer

    def severity(self, rule: str, row: Row) -> str:
        clock = ZoneInfo("UTC" if self.timeframe == "1Day" else self.calendar.zone)
        day = row["timestamp"].astimezone(clock).date()
        if any(
            one.symbol == row["symbol"] and one.rule == rule and one.first <= day < one.end
            for one in self.quality.allow
        ):
            return "off"
        default = (
            "quarantine"
            if rule == "zero_volume" and not self.quality.allow_zero_volume
            else DEFAULTS[rule]
        )
        return self.quality.symbols.get(row["symbol"], {}).get(
            rule, self.quality.rules.get(rule, default)
        )

    # --- versions ---------------------------------------------------------------------------------

    def versions(self, memory: Memory, rows: list[Row], answer: Answer) -> None:
        waiting = []
        gone = max((row["ingested_at"] for row in rows if row["defect"] == WITHDRAWN), default=None)
        for row in [row for row in rows if gone is not None and row["ingested_at"] <= gone]:
            last = row["defect"] == WITHDRAWN and row["ingested_at"] == gone
            answer.verdicts[row["index"]] = "withdrawn" if last else "superseded"
        for row in [row for row in rows if row["index"] not in answer.verdicts]:
            own = self.own(row)
            if own:
                answer.verdicts[row["index"]] = own
            else:
                waiting.append(row)
        waiting.sort(
            key=lambda row: (
                row["ingested_at"],
                *(_low(row[name]) for name in VALUES),
                row["origin"] or "",
                row["row"] or 0,
            ),
            reverse=True,
        )
        kept = scaled = None
        while waiting and kept is None:
            row = waiting.pop(0)
            self.act(memory, row)
            broken = self.past(memory, row)
            refusing = [
                rule for rule in PAST if rule in broken and self.severity(rule, row) == "quarantine"
            ]
            if refusing:
                answer.verdicts[row["index"]] = refusing[0]
                scaled = scaled or (row if "wrong_scale" in refusing else None)
            else:
                kept = row
                answer.verdicts[row["index"]] = "bar"
                answer.factors[row["index"]] = memory.factor
                broken |= self.remember(memory, row, reused="ticker_reuse" in broken)
                if not self.aligned(row):
                    broken.add("misaligned_timestamp")
                answer.warnings += [
                    (row["index"], rule) for rule in broken if self.severity(rule, row) != "off"
                ]
            for other in list(waiting):
                if _same(other, row):
                    answer.verdicts[other["index"]] = "duplicate"
                    waiting.remove(other)
        if (
            kept is None
            and scaled is not None
            and memory.values
            and _apart(scaled["close"], memory.values[3], 5)
        ):
            again = memory.scale is not None and not _apart(scaled["close"], memory.scale[0], 2)
            memory.scale = (scaled["close"], memory.scale[1] + 1 if again else 1)
        if kept is not None:
            for row in rows:
                if row["ingested_at"] < kept["ingested_at"]:
                    answer.verdicts[row["index"]] = "superseded"
                elif row["index"] not in answer.verdicts:
                    answer.verdicts[row["index"]] = "conflicting_duplicate"

    # --- a row alone ------------------------------------------------------------------------------

    def own(self, row: Row) -> str | None:
        prices = [row[name] for name in ("open", "high", "low", "close")]
        if row["defect"] is not None:
            return "unreadable"
        if any(price is None or not math.isfinite(price) for price in prices):
            return "missing_price"
        if row["volume"] is None or not math.isfinite(row["volume"]):
            return "missing_volume"
        if self.settings.symbols and row["symbol"] not in self.settings.symbols:
            return "unknown_symbol"
        if min(prices) <= 0:
            return "non_positive_price"
        if min(prices) < self.quality.min_price or max(prices) > self.quality.max_price:
            return "price_out_of_bounds"
        if row["volume"] < 0:
            return "negative_volume"
        if row["volume"] > self.quality.max_volume:
            return "volume_out_of_bounds"
        if row["high"] < row["low"]:
            return "high_below_low"
        if max(prices) > row["high"] or min(prices) < row["low"]:
            return "open_or_close_outside_range"
        if not self.aligned(row) and self.severity("misaligned_timestamp", row) == "quarantine":
            return "misaligned_timestamp"
        if row["session"] is None:
            filler = row["volume"] == 0 and len(set(prices)) == 1
            return "closed_market_filler" if filler else "outside_session"
        if row["session"] != "regular" and not self.settings.extended_hours:
            return "extended_hours_off"
        if row["volume"] == 0 and self.severity("zero_volume", row) == "quarantine":
            return "zero_volume"
        return None

    def aligned(self, row: Row) -> bool:
        local = row["timestamp"].astimezone(
            ZoneInfo("UTC" if self.timeframe == "1Day" else self.calendar.zone)
        )
        since_midnight = local.replace(tzinfo=None) - datetime.combine(
            local.date(), datetime.min.time()
        )
        return since_midnight % timedelta(seconds=TIMEFRAME_SECONDS[self.timeframe]) == timedelta()

    # --- a row and what came before ---------------------------------------------------------------

    def act(self, memory: Memory, row: Row) -> None:
        """Apply the actions that are due; those on or before the first bar do not count."""
        today = row["session_date"]
        if memory.last_date is None:
            return
        due = [
            one
            for one in self.actions.get(row["symbol"], ())
            if memory.last_date < one["date"] <= today
        ]
        for day in sorted({one["date"] for one in due}):
            multiplier, splits = 1.0, 1.0
            for one in (one for one in due if one["date"] == day and one["value"] > 0):
                if one["kind"] == "split":
                    multiplier, splits = multiplier * one["value"], splits * one["value"]
                elif one["kind"] == "dividend" and memory.close is not None:
                    close = memory.close / memory.splits
                    if one["value"] < close:
                        multiplier *= close / (close - one["value"])
            memory.factor *= multiplier
            memory.splits *= splits
            memory.largest = [volume * splits for volume in memory.largest]
            memory.session_volume *= splits
            memory.spike = memory.spike and (memory.spike[0] / splits, memory.spike[1] / splits)
            memory.scale = memory.scale and (memory.scale[0] / splits, memory.scale[1])
            memory.unit = memory.unit and (memory.unit[0] / splits, *memory.unit[1:])
        memory.last_date = (
            max(memory.last_date, *(one["date"] for one in due)) if due else memory.last_date
        )

    def past(self, memory: Memory, row: Row) -> set[str]:
        """Rules that the row breaks, whatever their severity, but not those that are off: what is
        off is not looked at.
        """
        broken, quality = set(), self.quality
        if memory.close is not None and self.bad_print(memory, row):
            broken.add("bad_print")
        if self.wrong_scale(memory, row):
            broken.add("wrong_scale")
        if row["volume"] == 0 and memory.bars > 0 and memory.idle <= 0.5 * memory.bars:
            broken.add("zero_volume")
        run = memory.run + 1 if memory.values == _five(row) else 1
        frozen = memory.frozen + 1 if memory.values[:4] == _five(row)[:4] else 1
        if (
            run >= (quality.stale_bars if row["high"] > row["low"] else quality.stale_flat_bars)
            and self.severity("stale_repeat", row) != "off"
        ):
            broken.add("stale_repeat")
        elif frozen >= (
            quality.frozen_bars if row["high"] > row["low"] else quality.frozen_flat_bars
        ):
            broken.add("frozen_prices")
        if row["session"] == "regular" and memory.close is not None:
            jump = self.jump(memory, row)
            if jump and self.severity(jump, row) == "off":
                jump = None
            broken |= {jump} if jump else set()
            moved = self.log_return(memory, row)
            if not jump and self.is_outlier(memory, row, moved):
                broken.add("outlier")
            if memory.spike:
                base, close = memory.spike
                if abs(math.log(row["close"] / base)) <= 0.25 * abs(math.log(close / base)):
                    broken.add("spike_reversal")
            if len(memory.largest) >= 5 and row["volume"] >= quality.volume_spike_ratio * max(
                memory.largest
            ):
                logs = [math.log(volume) for volume in memory.largest]
                if (math.log(row["volume"]) - median(logs)) / max(
                    _deviation(logs), 0.25
                ) >= quality.volume_spike_z:
                    broken.add("volume_spike")
            if (
                memory.unit
                and memory.unit[2] + 1 == quality.unit_bars
                and _stays(memory.unit, row["close"])
            ):
                broken.add("changed_unit")
        return {rule for rule in broken if self.severity(rule, row) != "off"}

    def bad_print(self, memory: Memory, row: Row) -> bool:
        limit, close = self.quality.max_bar_return, row["close"]
        references = (memory.close, memory.close / memory.splits)

        def far(price: float, upward: float) -> bool:
            return all(
                price / one > 1 + upward * limit or price / one < 1 - limit
                for one in (*references, close)
            )

        agrees = any(abs(close / one - 1) <= limit * 0.25 for one in references)
        return agrees and (far(row["open"], 1.0) or far(row["high"], 1.5) or far(row["low"], 1.0))

    def wrong_scale(self, memory: Memory, row: Row) -> bool:
        opening, high, low, close = (row[name] for name in ("open", "high", "low", "close"))
        if not _apart(opening, close, 2):
            for price in (high, low):
                lonely = _apart(price, opening, 5) and _apart(price, close, 5)
                if lonely and (
                    _power_of_ten(price / close, 1.25) or _power_of_ten(price / opening, 1.25)
                ):
                    return True
        if not memory.values:
            return False
        near, now = memory.values[3], memory.values[3] / memory.splits
        if not _apart(close, near, 2) or not _apart(close, now, 2):
            return (
                bool(_power_of_ten(opening / close, 1.25))
                and _apart(opening, near, 5)
                and _apart(opening, now, 5)
            )
        scale = _power_of_ten(close / now, 1.25)
        return (
            bool(scale)
            and _apart(close, near, 5)
            and not self.level_is_known(memory, row, scale)
            and not self.volume_explains(memory, row, scale)
        )

    def level_is_known(self, memory: Memory, row: Row, scale: float) -> bool:
        if (
            memory.scale
            and memory.scale[1] >= self.quality.scale_bars
            and not _apart(row["close"], memory.scale[0], 2)
        ):
            return True
        if memory.close is None:
            return True
        taken_back = memory.unit is not None and scale * memory.unit[1] == 1
        absent = self.places[row["session_date"]] - memory.place - 1
        return (
            taken_back
            or absent >= self.quality.reuse_sessions
            or not _apart(row["close"], memory.close / memory.splits, 5)
        )

    def volume_explains(self, memory: Memory, row: Row, scale: float) -> bool:
        usual = median(memory.largest) if memory.largest else memory.session_volume
        if not (row["volume"] > 0 and usual > 0):
            return False
        ratio = row["volume"] / usual
        if scale < 1:
            return ratio >= 1 / math.sqrt(scale)
        largest = max(memory.largest) if len(memory.largest) >= 5 else 0.0
        if ratio >= 3 and row["volume"] >= 3 * largest:
            return True
        return (
            row["session"] == "regular"
            and memory.close_date != row["session_date"]
            and ratio <= 1 / math.sqrt(scale)
        )

    def jump(self, memory: Memory, row: Row) -> str | None:
        quality, previous = self.quality, memory.close / memory.splits
        ratio = row["open"] / previous
        absent = self.places[row["session_date"]] - memory.place - 1
        elsewhere = ratio >= quality.reuse_price_factor or ratio * quality.reuse_price_factor <= 1
        if (
            absent >= quality.reuse_sessions and elsewhere
        ) or absent >= quality.reuse_sessions_alone:
            return "ticker_reuse"
        unit = _power_of_ten(ratio, 1.25)
        taken_back = memory.unit is not None and unit * memory.unit[1] == 1
        if (
            not taken_back
            and unit in {100, 1000, 0.01, 0.001}
            and _power_of_ten(row["close"] / previous, 1.25) == unit
        ):
            return "wrong_unit"
        if row["vwap"] and row["vwap"] > 0 and _power_of_ten(row["vwap"] / row["close"], 1.25):
            return "wrong_unit"
        near = any(
            abs(ratio * one - 1) <= quality.split_tolerance
            or abs(ratio / one - 1) <= quality.split_tolerance
            for one in SPLITS
        )
        if (
            memory.close_date != row["session_date"]
            and near
            and math.log(row["high"] / row["low"]) <= quality.split_calm
        ):
            before = (
                max(memory.largest) * memory.close / memory.splits
                if len(memory.largest) >= 5
                else 0.0
            )
            if before == 0 or row["volume"] * row["open"] <= quality.split_turnover * before:
                return "split_like_jump"
        return None

    def log_return(self, memory: Memory, row: Row) -> float:
        if self.timeframe != "1Day" and memory.close_date != row["session_date"]:
            return math.log(row["close"] / row["open"])
        return math.log(row["close"] * memory.splits / memory.close)

    def is_outlier(self, memory: Memory, row: Row, moved: float) -> bool:
        if abs(moved) < self.quality.outlier_return or len(memory.returns) < 30:
            return False
        sessions = (
            max(self.places[row["session_date"]] - memory.place, 1)
            if self.timeframe == "1Day"
            else 1
        )
        far = (moved - median(memory.returns)) / max(_deviation(memory.returns), 1e-6)
        return abs(far / math.sqrt(sessions)) >= self.quality.outlier_z

    def remember(self, memory: Memory, row: Row, *, reused: bool) -> set[str]:
        found = set()
        memory.frozen = memory.frozen + 1 if memory.values[:4] == _five(row)[:4] else 1
        memory.scale = None
        memory.run = memory.run + 1 if memory.values == _five(row) else 1
        memory.values = _five(row)
        if row["session"] == "regular":
            if memory.close is not None:
                previous = memory.close / memory.splits
                unit = 0 if reused else _power_of_ten(row["open"] / previous, 1.25)
                if unit and _power_of_ten(row["close"] / previous, 1.25) == unit:
                    memory.unit = (
                        None if memory.unit and unit * memory.unit[1] == 1 else (previous, unit, 1)
                    )
                elif memory.unit:
                    lasting = (
                        _stays(memory.unit, row["close"])
                        and memory.unit[2] < self.quality.unit_bars
                    )
                    memory.unit = (*memory.unit[:2], memory.unit[2] + 1) if lasting else None
                moved = self.log_return(memory, row)
                base = (
                    row["open"]
                    if self.timeframe != "1Day" and memory.close_date != row["session_date"]
                    else previous
                )
                memory.spike = (base, row["close"]) if self.is_outlier(memory, row, moved) else None
                memory.returns = [*memory.returns, moved][-60:]
            if memory.session != row["session_date"]:
                if memory.session_volume > 0:
                    memory.largest = [*memory.largest, memory.session_volume][-20:]
                memory.session, memory.session_volume = row["session_date"], 0.0
                if _volume_unit_changed(memory.largest):
                    found.add("changed_unit")
            memory.session_volume = max(memory.session_volume, row["volume"])
            memory.close, memory.close_date, memory.splits = row["close"], row["session_date"], 1.0
            memory.place = self.places[row["session_date"]]
        memory.bars += 1
        memory.idle += row["volume"] == 0
        memory.last_date = row["session_date"]
        return found


def _low(value: float | None) -> float:
    return -math.inf if value is None or not math.isfinite(value) else value


def _same(left: Row, right: Row) -> bool:
    return left["ingested_at"] == right["ingested_at"] and all(
        _low(left[name]) == _low(right[name]) for name in VALUES
    )


def _five(row: Row) -> tuple[float, ...]:
    return tuple(row[name] for name in ("open", "high", "low", "close", "volume"))


def _apart(price: float, other: float, factor: float) -> bool:
    return price > factor * other or price * factor < other


def _deviation(values: list[float]) -> float:
    middle = median(values)
    return 1.4826 * median(abs(value - middle) for value in values)


def _power_of_ten(ratio: float, within: float) -> float:
    return next(
        (
            power
            for power in (10, 100, 1000, 0.1, 0.01, 0.001)
            if power / within <= ratio <= power * within
        ),
        0,
    )


def _stays(unit: tuple[float, float, int], close: float) -> bool:
    return 0.5 <= close / (unit[0] * unit[1]) <= 2.0


def _volume_unit_changed(largest: list[float]) -> bool:
    if len(largest) < 20:
        return False
    old, new = largest[:15], largest[15:]
    apart = min(new) > 10 * max(old) or min(old) > 10 * max(new)
    return apart and _power_of_ten(median(new) / median(old), 1.6) in {100, 1000, 0.01, 0.001}
