"""A year of simulated minute bars as a vendor would send them: one Parquet file a month, sorted by
symbol and time, with planted faults.

Cheaper than the market of `harmony_pipeline/market/simulation` (which knows sectors, news and fair
prices), because only size and shape matter here: 390 regular minutes, a few before the open and
after the close, prices in cents, now and then a gap of news. Every number is a function of (seed,
symbol, session, minute), so any month of any number of symbols is the same, and is made again only
when it is absent.

About one row in `ONE_FAULT_IN` is faulty, of one of `FAULTS`; how many of each were planted stands
in `planted.json`, and validation must find them.
"""

import json
import math
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path

import numpy as np
import polars as pl

from harmony_pipeline.kernel import kernel
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import Period, periods_between
from harmony_pipeline.market.simulation.random_keys import fold, key_of, normal, scramble, uniform

SEED, YEAR = 3, 2024
ROWS_A_SYMBOL = 99_600  # in the year, about
ONE_FAULT_IN = 4_000
FAULTS = (
    "duplicate",
    "conflicting_duplicate",
    "high_below_low",
    "non_positive_price",
    "missing_volume",
    "negative_volume",
    "open_or_close_outside_range",
    "misaligned_timestamp",
    "outside_session",
    "bad_print",
)
(
    DUPLICATE,
    CONFLICT,
    CROSSED,
    NOT_POSITIVE,
    NO_VOLUME,
    NEGATIVE,
    OUTSIDE_RANGE,
    STRAY,
    CLOSED,
    PRINT,
) = range(len(FAULTS))
OPEN, HIGH, LOW, CLOSE, VOLUME, TRADES, VWAP = range(7)
COLUMNS = ("open", "high", "low", "close", "volume", "trade_count", "vwap")
_BATCH_SYMBOLS = 50
MINUTE = 60_000_000
_SHAPE = 2  # counts up when the rows change, so that files of another shape are not taken for these


@dataclass(frozen=True)
class SimulatedYear:
    """`symbols` names over the sessions of 2024, below `root`; `files` makes what is absent."""

    root: Path
    symbols: int

    @staticmethod
    def of_rows(root: Path, rows: int) -> "SimulatedYear":
        """The year whose number of bars is nearest to `rows`."""
        return SimulatedYear(root, max(1, round(rows / ROWS_A_SYMBOL)))

    @property
    def folder(self) -> Path:
        """Where the files of this many symbols are."""
        return self.root / f"minutes-{YEAR}-seed{SEED}-shape{_SHAPE}-{self.symbols}-symbols"

    @cached_property
    def names(self) -> list[str]:
        """The symbols, in order."""
        return [f"S{number:05d}" for number in range(self.symbols)]

    @property
    def months(self) -> list[Period]:
        """The year by months of the exchange."""
        return periods_between(date(YEAR, 1, 1), date(YEAR + 1, 1, 1), "month", "America/New_York")

    @property
    def files(self) -> list[Path]:
        """One a month, whether or not it was made."""
        return [self.folder / f"{month.key}.parquet" for month in self.months]

    @property
    def planted(self) -> dict[str, int]:
        """Rows that each rule must find, over the whole year."""
        total: dict[str, int] = dict.fromkeys(FAULTS, 0)
        for file in self.files:
            for fault, count in json.loads(file.with_suffix(".planted.json").read_text()).items():
                total[fault] += count
        return total

    def make(self, tell: Callable[[str], None] = print) -> None:
        """Write the files that are absent, one month after the other and some symbols at a time, so
        that memory stays small.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for month, file in zip(self.months, self.files, strict=True):
            if not file.exists():
                begun = time.perf_counter()
                rows = self._write(month, file)
                tell(
                    f"  made {file.name}: {rows:,} rows of {self.symbols} symbols in"
                    f" {time.perf_counter() - begun:.1f} s"
                )

    def _write(self, month: Period, file: Path) -> int:
        import pyarrow.parquet as pq

        planted, rows, writer = np.zeros(len(FAULTS), np.int64), 0, None
        temporary = file.with_suffix(".tmp")
        for frame, counts in self._batches(month):
            table = frame.to_arrow(compat_level=pl.CompatLevel.oldest())
            writer = writer or pq.ParquetWriter(temporary, table.schema, compression="zstd")
            writer.write_table(table, row_group_size=122_880)
            planted += counts
            rows += frame.height
        assert writer is not None
        writer.close()
        file.with_suffix(".planted.json").write_text(
            json.dumps(dict(zip(FAULTS, planted.tolist(), strict=True)))
        )
        # last, so that a file that exists is whole and its count lies beside it
        temporary.replace(file)
        return rows

    def _batches(self, month: Period) -> Iterator[tuple[pl.DataFrame, np.ndarray]]:
        calendar = Calendar.of("XNYS")
        year = calendar.schedule(date(YEAR, 1, 1), month.end_date)
        clock = np.column_stack(
            [
                year[name].dt.epoch("us").to_numpy()
                for name in ("pre_open", "open", "close", "post_close")
            ]
        )
        first = int((year["date"] < month.first_date).sum())
        most = _BATCH_SYMBOLS * (len(clock) - first) * 1_000
        which, stamps, values = (
            np.empty(most, np.int64),
            np.empty(most, np.int64),
            np.empty((len(COLUMNS), most)),
        )
        for begin in range(0, self.symbols, _BATCH_SYMBOLS):
            end = min(begin + _BATCH_SYMBOLS, self.symbols)
            planted = np.zeros(len(FAULTS), np.int64)
            rows = trade(key_of(SEED, 77), begin, end, clock, first, which, stamps, values, planted)
            numbers = {
                name: pl.Series(values[at, :rows]).fill_nan(None) for at, name in enumerate(COLUMNS)
            }
            frame = pl.DataFrame({"timestamp": stamps[:rows], **numbers}).select(
                pl.col("timestamp").cast(pl.Datetime("us", "UTC")),
                pl.Series("symbol", self.names).gather(which[:rows]),
                *COLUMNS,
            )
            # Faulty stamps are planted at the end of their symbol's month by the kernel's order; a
            # vendor's file is sorted.
            yield frame.sort("symbol", "timestamp", maintain_order=True), planted


@kernel
def cents(price: float) -> float:
    """A price on the tick, at least a cent."""
    return max(math.floor(price * 100.0 + 0.5), 1.0) / 100.0


@kernel
def part(word: np.uint64, at: int) -> float:
    """One of four 16-bit pieces of a random word, between 0 and 1: cheap chance where quality does
    not matter.
    """
    return float((word >> np.uint64(16 * at)) & np.uint64(0xFFFF)) / 65536.0 + 1.0 / 131072.0


@kernel
def trade(seed, begin, end, clock, first, which, stamps, values, planted):
    """Rows of the symbols `begin <= symbol < end` in the sessions from `first` on; returns their
    number.

    clock [sessions, 4]: pre_open, open, close, post_close in microseconds. values [7, rows] in the
    order of COLUMNS.
    """
    row = 0
    for symbol in range(begin, end):
        own = fold(seed, symbol)
        base = 8.0 * math.exp(3.5 * uniform(own, 0))
        busy = 2_000.0 * math.exp(4.0 * uniform(own, 1))  # shares a minute
        early = 0.004 + 0.05 * uniform(own, 2) ** 3  # chance of a bar in a premarket minute
        level = math.log(base)
        for session in range(clock.shape[0]):
            today = fold(own, session + 10)
            level += 0.014 * normal(today, 0)
            if uniform(today, 1) < 0.004:
                level += 0.16 * (uniform(today, 2) - 0.4)  # news overnight
            if session < first:
                continue
            price = math.exp(level)
            pre, opens, closes, post = clock[session]
            stamp = pre
            while stamp < post:
                word = fold(today, stamp // MINUTE)
                regular = opens <= stamp < closes
                chance = part(word, 3)
                if regular:
                    trades = chance > 0.002
                elif stamp < opens:
                    trades = chance < early * (3.0 if opens - stamp < 90 * MINUTE else 1.0)
                else:
                    trades = chance < 0.5 * early
                if trades:
                    row = _bar(
                        row, symbol, stamp, price, busy, regular, word, which, stamps, values
                    )
                    price = values[CLOSE, row - 1]
                    if scramble(word) % np.uint64(ONE_FAULT_IN) == 0:
                        row = _fault(
                            row,
                            clock,
                            session,
                            regular,
                            scramble(word ^ seed),
                            which,
                            stamps,
                            values,
                            planted,
                        )
                stamp += MINUTE
    return row


@kernel
def _bar(row, symbol, stamp, price, busy, regular, word, which, stamps, values):
    shock = part(word, 0) + part(word, 1) - 1.0  # triangular, deviation 0.41
    more = scramble(word ^ np.uint64(0x5555555555555555))
    opening = cents(price)
    close = cents(price * (1.0 + 0.0006 * 2.45 * shock))
    reach = 0.0004 * opening
    high = cents(max(opening, close) + reach * part(more, 0) * part(more, 1))
    low = cents(min(opening, close) - reach * part(more, 1) * part(more, 2))
    volume = (
        math.floor(busy * (1.0 if regular else 0.2) * (0.1 + 3.0 * part(word, 2) * part(more, 3)))
        + 1.0
    )
    which[row], stamps[row] = symbol, stamp
    values[OPEN, row], values[HIGH, row], values[LOW, row], values[CLOSE, row] = (
        opening,
        high,
        max(low, 0.01),
        close,
    )
    values[VOLUME, row] = volume
    values[TRADES, row] = math.floor(volume / 120.0) + 1.0
    values[VWAP, row] = math.floor((opening + high + low + close) * 2_500.0 + 0.5) / 10_000.0
    return row + 1


@kernel
def _fault(row, clock, session, regular, word, which, stamps, values, planted):
    """Spoils the latest row, or repeats it; returns the number of rows."""
    at = row - 1
    kind = np.int64(word % np.uint64(10))
    if kind == PRINT and not regular:
        kind = NO_VOLUME  # before the day's first regular bar a far price may be news
    planted[kind] += 1
    if kind in (DUPLICATE, CONFLICT):
        which[row], stamps[row] = which[at], stamps[at]
        values[:, row] = values[:, at]
        if kind == CONFLICT:
            values[VOLUME, row] += 1.0
        return row + 1
    if kind == CROSSED:
        values[HIGH, at], values[LOW, at] = values[LOW, at] - 0.01, values[HIGH, at] + 0.01
    elif kind == NOT_POSITIVE:
        values[LOW, at] = 0.0
    elif kind == NO_VOLUME:
        values[VOLUME, at] = math.nan
    elif kind == NEGATIVE:
        values[VOLUME, at] = -values[VOLUME, at]
    elif kind == OUTSIDE_RANGE:
        values[OPEN, at] = values[HIGH, at] + 0.05
    elif kind == STRAY:
        stamps[at] += MINUTE // 2
    elif kind == CLOSED:
        # before the day's first early bar
        stamps[at] = clock[session, 0] - 30 * MINUTE + stamps[at] // MINUTE % 29 * MINUTE
    elif kind == PRINT:
        values[OPEN, at] = cents(values[CLOSE, at] * 2.5)
        values[HIGH, at] = values[OPEN, at]
    return row
