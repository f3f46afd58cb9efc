"""The features of one trading period, continued from the nearest valid saved state.

The result equals one run over the whole history, bit for bit. Saved states only save work. A state
saved after period Q is valid if it was made from the present bars, feature set, calendar and code.
Its manifest holds a *chain*, the hash of all of these up to Q, which must equal the chain computed
now. After a correction in an earlier period the chains differ from there on, and the fold restarts
at the last state before it.

The running period grows. Its manifest also has the moment up to which its bars were covered and a
hash of exactly those bars, and where features read sectors a hash of what was known of these then.
While they are unchanged, only later bars are computed and appended; not where features read news,
since a headline may be known late.
This module writes nothing: the caller writes `table` to `features` and `states` to `feature_state`,
both with `made_from`.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import date, datetime, timedelta
from functools import partial

import polars as pl

from harmony_pipeline.errors import ConfigError
from harmony_pipeline.features.bar_columns import in_one_piece
from harmony_pipeline.features.bars_hash import bars_hash
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.compute import FeatureResult, compute_features, session_days
from harmony_pipeline.features.moments import refuse_without_sectors
from harmony_pipeline.features.news_columns import NewsTotals
from harmony_pipeline.features.state import States
from harmony_pipeline.hashing import short_hash
from harmony_pipeline.lake.lake import Lake, code_version
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.sectors import Sectors
from harmony_pipeline.schemas import TIME

_EPOCH = date(1970, 1, 1)
_KEY = ("symbol", "timestamp")
_NUMBERS = ("open", "high", "low", "close", "volume", "adjustment_factor")


@dataclass(frozen=True)
class PeriodSectors:
    """Sectors as known on each day, and the first session date after each period by its key."""

    sectors: Sectors
    ends: Mapping[str, date]
    _had: dict[tuple[str, date, str], str] = field(default_factory=dict)

    def had(self, key: str, since: date, bars: str, symbols: Callable[[], Iterable[str]]) -> str:
        """The hash of the sectors that the symbols of a period's bars have from `since` to its end.
        `bars` identifies the bars, so that their symbols are asked for once.
        """
        known = self._had.get((key, since, bars))
        if known is None:
            known = self.sectors.hash_of(symbols(), since, self.ends[key])
            self._had[key, since, bars] = known
        return known


@dataclass(frozen=True)
class FeatureUpdate(FeatureResult):
    """The features of one period, their inputs, and where the fold began."""

    made_from: dict[str, str]
    continued_from: str
    """The period whose saved state was continued, itself when only its new bars were computed;
    empty: from the first bar on.
    """
    computed_bars: int

    def summary(self) -> dict[str, int | float | str]:
        """Statistics of the rows, and the work done."""
        return {
            **super().summary(),
            "continued_from": self.continued_from or "the first bar",
            "computed_bars": self.computed_bars,
        }


def update_features(
    lake: Lake,
    period_key: str,
    period_keys: Sequence[str],
    feature_set: FeatureSet,
    calendar: Calendar,
    timeframe: str,
    *,
    libraries: str = "",
    again: bool = False,
    news: NewsTotals | None = None,
    sectors: PeriodSectors | None = None,
) -> FeatureUpdate:
    """Features of the period `period_key`. `period_keys` has every trading period from the first
    on, in order.

    `libraries` identifies the libraries that compute; a state of other libraries is not continued.
    With `again` no saved features of the period itself are kept. `news` are the totals of the
    lake's scores, needed where the set reads news; `sectors` are needed where it reads sectors.
    Reads `bars`, `features` and `feature_state` of this and earlier periods. Raises ConfigError
    when the period is not among them.
    """
    if period_key not in period_keys:
        raise ConfigError(
            f"'{period_key}' is no trading period of this market: they run from {period_keys[0]} to"
            f" {period_keys[-1]}"
        )
    return _Update(
        lake,
        feature_set,
        calendar,
        timeframe,
        tuple(period_keys[: period_keys.index(period_key) + 1]),
        libraries,
        news,
        sectors,
    ).run(again=again or feature_set.reads_news)


def chains_of(
    lake: Lake,
    period_keys: Sequence[str],
    feature_set: FeatureSet,
    calendar: Calendar,
    timeframe: str,
    *,
    libraries: str = "",
    sectors: PeriodSectors | None = None,
) -> dict[str, str]:
    """The present `made_from["chain"]` of each period.

    It is a hash of every bar up to the period's end, of the feature set, the calendar, the code and
    the libraries; where the set reads sectors also of those that symbols had in periods in which
    they have bars.
    """
    update = _Update(
        lake, feature_set, calendar, timeframe, tuple(period_keys), libraries, sectors=sectors
    )
    chains = update.chains()
    return dict(zip(period_keys, chains[1:], strict=True))


@dataclass(frozen=True)
class _Update:
    """One update. `keys` are the periods up to the requested one, which is last."""

    lake: Lake
    feature_set: FeatureSet
    calendar: Calendar
    timeframe: str
    keys: tuple[str, ...]
    libraries: str = ""
    news: NewsTotals | None = None
    sectors: PeriodSectors | None = None

    def run(self, *, again: bool = False) -> FeatureUpdate:
        bars, chains = self._bars(self.keys[-1]), self.chains()
        until: datetime | None = bars["timestamp"].max()  # type: ignore[assignment]
        with ThreadPoolExecutor(1) as beside:  # one core hashes what the kernels read
            hashed = beside.submit(bars_hash, bars)
            result, origin, computed = self._continued(bars, chains, again=again)
        made_from = {
            "feature_set": self.feature_set.hash,
            "history": chains[-2],
            "chain": chains[-1],
            "bars": hashed.result(),
            "covered_until": until.isoformat() if until is not None else "",
            **self._sectors_known(bars),
        }
        return FeatureUpdate(result.table, result.states, made_from, origin, computed)

    def _continued(
        self, bars: pl.DataFrame, chains: Sequence[str], *, again: bool
    ) -> tuple[FeatureResult, str, int]:
        """The features of `bars`, the period whose state was continued, and the bars computed."""
        grown = None if again else self._append(bars, chains[-2])
        if grown is not None:
            result, computed = grown
            return result, self.keys[-1], computed
        states, origin, passed = self._states_before(chains)
        return self._compute(bars, states), origin, passed + bars.height

    def chains(self) -> list[str]:
        """chains[i] is the hash of everything that the state after the first i periods
        depends on.
        """
        hashes = self.lake.content_hashes(
            "bars", [key for key in self.keys if self.lake.has("bars", key)]
        )
        chains = [
            _digest(
                self.feature_set.hash,
                self.calendar.name,
                self.timeframe,
                code_version(),
                self.libraries,
            )
        ]
        scores = dict[str, str]()
        if self.feature_set.reads_news:
            scores = self.lake.content_hashes(
                "news_scores", [key for key in self.keys if self.lake.has("news_scores", key)]
            )
        sectors = self._sectors_had(hashes)
        for key in self.keys:
            parts = [each[key] for each in (hashes, scores, sectors) if key in each]
            chains.append(_digest(chains[-1], key, *parts) if parts else chains[-1])
        return chains

    def _sectors_had(self, bars: Mapping[str, str]) -> dict[str, str]:
        """A hash of the sectors of the symbols that have bars in each period, of those where one of
        them has a sector. A change in a symbol without bars is no part of any.
        """
        if not self.feature_set.reads_sectors:
            return {}
        known, since, found = self._given_sectors, date.min, dict[str, str]()
        for key in self.keys:
            if key in bars:
                had = known.had(key, since, bars[key], partial(self._symbols, key))
                if had:
                    found[key] = had
            since = known.ends[key]
        return found

    def _symbols(self, key: str) -> list[str]:
        """The symbols that have bars in a period."""
        with self.lake.reading("bars", [key]):
            column = self.lake.scan("bars", [key]).select(pl.col("symbol").unique())
            return column.collect(engine="in-memory")["symbol"].to_list()

    def _sectors_known(self, bars: pl.DataFrame) -> dict[str, str]:
        """What was known of the sectors of the symbols of `bars` up to the last one's day, as part
        of a manifest; empty where the set does not read them.
        """
        if not self.feature_set.reads_sectors or bars.is_empty():
            return {}
        stamps = bars["timestamp"].max()
        day = int(session_days(pl.Series([stamps], dtype=TIME), self.calendar, self.timeframe)[0])
        until = _EPOCH + timedelta(days=day + 1)
        symbols = bars["symbol"].unique().to_list()
        return {"sectors": self._given_sectors.sectors.hash_of(symbols, self._began, until)}

    @property
    def _began(self) -> date:
        """The first session date of the period, or of time."""
        return self._given_sectors.ends[self.keys[-2]] if len(self.keys) > 1 else date.min

    @property
    def _given_sectors(self) -> PeriodSectors:
        refuse_without_sectors(
            self.feature_set, None if self.sectors is None else self.sectors.sectors
        )
        assert self.sectors is not None
        return self.sectors

    def _append(self, bars: pl.DataFrame, history: str) -> tuple[FeatureResult, int] | None:
        """The saved features with those of later bars, and the number of these.

        None when saved and present bars disagree.
        """
        key = self.keys[-1]
        saved = self._made_from("feature_state", key)
        if (
            saved.get("history") != history
            or not saved.get("covered_until")
            or saved != self._made_from("features", key)
        ):
            return None
        until = datetime.fromisoformat(saved["covered_until"])
        covered = bars.filter(pl.col("timestamp") <= until)
        if bars_hash(covered) != saved["bars"]:
            return None
        known = self._sectors_known(covered)
        if known and known["sectors"] != saved.get("sectors"):
            return None
        later = bars.filter(pl.col("timestamp") > until)
        added = self._compute(later, self._saved_states(key))
        table = pl.concat(
            [self.lake.read("features", [key]).select(added.table.columns), added.table]
        ).sort("symbol", "timestamp")
        return FeatureResult(table, added.states), later.height

    def _states_before(self, chains: Sequence[str]) -> tuple[States, str, int]:
        """(states at the requested period's start, the period they were saved after, bars folded
        since).
        """
        last = len(self.keys) - 2
        valid = (
            i
            for i in range(last, -1, -1)
            if self._made_from("feature_state", self.keys[i]).get("chain") == chains[i + 1]
        )
        nearest = next(valid, -1)
        origin = self.keys[nearest] if nearest >= 0 else ""
        states: States = self._saved_states(origin) if origin else None
        passed = 0
        for key in self.keys[nearest + 1 : last + 1]:
            between = self._bars(key)
            states, passed = self._compute(between, states).states, passed + between.height
        return states, origin, passed

    def _bars(self, key: str) -> pl.DataFrame:
        """The bars of a period, with the columns that features depend on."""
        with self.lake.reading("bars", [key]):
            rows = self.lake.scan("bars", [key]).select(*_KEY, "session", *_NUMBERS)
            # in order, as every file of a lake; compute_features refuses any other
            return in_one_piece(rows.collect(engine="in-memory"))

    def _compute(self, bars: pl.DataFrame, states: States) -> FeatureResult:
        return compute_features(
            bars,
            self.feature_set,
            states,
            self.calendar,
            self.timeframe,
            self.news,
            self.sectors.sectors if self.sectors is not None else None,
        )

    def _saved_states(self, key: str) -> pl.DataFrame:
        return self.lake.read("feature_state", [key])

    def _made_from(self, table: str, key: str) -> dict[str, str]:
        return dict((self.lake.manifest(table, key) or {}).get("made_from", {}))


def _digest(*parts: str) -> str:
    return short_hash("\0".join(parts), 16)
