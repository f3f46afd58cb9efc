"""Features with kernel state, regimes, signals and labels, period by period.

A period's features continue from the nearest earlier kernel state that is still valid; a period's
labels look as far ahead as its outcomes need and no label is written before it is settled.
Materialising a period again after later bars arrived settles what was open. A period whose inputs,
settings and code are unchanged is left as it is.
"""

from collections.abc import Sequence
from datetime import datetime, timedelta
from functools import cache, cached_property, partial

import polars as pl

from harmony_pipeline.features.incremental import PeriodSectors, chains_of, update_features
from harmony_pipeline.features.news_columns import NewsTotals
from harmony_pipeline.features.regimes import compute_regimes
from harmony_pipeline.frames import moment_literal
from harmony_pipeline.labels import labelling
from harmony_pipeline.labels.events import events_from_signals
from harmony_pipeline.labels.reach import bars_in_reach
from harmony_pipeline.market.instruments import Instruments
from harmony_pipeline.market.lives import securities_begin
from harmony_pipeline.market.periods import Period
from harmony_pipeline.reports import sketches
from harmony_pipeline.stages.code_identity import library_versions, source_of
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.feature_sectors import period_sectors, sectors_known_late
from harmony_pipeline.stages.lives import lives_of
from harmony_pipeline.stages.market import latest_period_with_bars
from harmony_pipeline.stages.news import news_totals
from harmony_pipeline.stages.reasons import NO_BARS, NO_BARS_HERE
from harmony_pipeline.stages.result import Fact, StageResult
from harmony_pipeline.stages.unchanged import unchanged_since
from harmony_pipeline.stages.verdicts import require_sound
from harmony_pipeline.strategies.base import Strategy, remembers_the_market, signals_of
from harmony_pipeline.strategies.registry import build_strategy
from harmony_pipeline.strategies.settings import acts_on_quotes


def features(pipeline: PipelineContext, periods: Sequence[Period]) -> StageResult:
    """One column a feature, folded over time; the kernel state after the period's last bar is saved
    beside it.

    Earlier periods whose features are absent or stale are made as well: the fold passes over their
    bars in any case.
    """
    order, sectors = [period.key for period in pipeline.trading_periods()], period_sectors(pipeline)
    chains = chains_of(
        pipeline.lake,
        order,
        pipeline.feature_set,
        pipeline.calendar,
        pipeline.timeframe,
        libraries=library_versions(),
        sectors=sectors,
    )
    keys = [
        *_earlier_without_features(pipeline, chains, periods[0].key),
        *(period.key for period in periods),
    ]
    require_sound(pipeline, {"bars": keys})
    totals = news_totals(pipeline)
    parts: dict[str, StageResult] = {}
    for number, key in enumerate(keys, start=1):
        parts[key] = _features_of(pipeline, key, order, chains[key], totals, sectors)
        pipeline.progress("features", number, len(keys))
    facts: dict[str, Fact] = {
        "feature columns": len(pipeline.feature_set.names),
        "feature set": pipeline.feature_set.hash,
    }
    return StageResult.of(
        parts,
        facts=facts,
        notes=sectors_known_late(pipeline, sectors),
        nothing="" if latest_period_with_bars(pipeline) else NO_BARS,
    )


def _earlier_without_features(
    pipeline: PipelineContext, chains: dict[str, str], first: str
) -> list[str]:
    """Periods with bars before `first` since the newest whose saved state still holds."""
    missing: list[str] = []
    for key in reversed([key for key in chains if key < first and pipeline.lake.has("bars", key)]):
        if _feature_chain(pipeline, key) == chains[key]:
            break
        missing.insert(0, key)
    return missing


def _feature_chain(pipeline: PipelineContext, key: str) -> str:
    return str(
        (pipeline.lake.manifest("feature_state", key) or {}).get("made_from", {}).get("chain", "")
    )


def _features_of(
    pipeline: PipelineContext,
    key: str,
    order: list[str],
    chain: str,
    news: NewsTotals | None,
    sectors: PeriodSectors | None,
) -> StageResult:
    manifest = pipeline.lake.manifest("features", key) or {}
    made_before = manifest.get("made_from", {})
    if made_before.get("chain") == chain and made_before.get("libraries") == library_versions():
        since = unchanged_since(pipeline, ("features", "feature_state"), key, made_before)
        if since:
            return StageResult(rows={"features": int(manifest["rows"])}, unchanged_since=since)
    result = update_features(
        pipeline.lake,
        key,
        order,
        pipeline.feature_set,
        pipeline.calendar,
        pipeline.timeframe,
        libraries=library_versions(),
        again=pipeline.again,
        news=news,
        sectors=sectors,
    )
    made_from = {**result.made_from, "libraries": library_versions()}
    pipeline.lake.write("features", key, result.table, made_from, in_order=True)
    pipeline.lake.write("feature_state", key, result.states, made_from)
    by_day = result.table.group_by(pl.col("timestamp").dt.date().alias("day")).agg(
        pl.col("volatility_20").mean()
    )
    return StageResult(
        rows={"features": result.table.height},
        preview=result.table.tail(5),
        pictures={
            "volatility by day": sketches.line(by_day.sort("day")["volatility_20"].to_list())
        },
        nothing="" if result.table.height else NO_BARS_HERE,
    )


def regimes(pipeline: PipelineContext, periods: Sequence[Period]) -> StageResult:
    """Trend and volatility regime of each session, known at its close, from summaries up to it."""
    begin = pipeline.trading_periods()[0].start
    settings = (pipeline.settings.regimes, pipeline.settings.market.benchmark)
    known = pipeline.hashes_until("daily_summary", [period.end for period in periods])
    made_from = {
        period.key: pipeline.made_from({"daily_summary": hashes}, *settings)
        for period, hashes in zip(periods, known, strict=True)
    }
    since = {key: unchanged_since(pipeline, ("regimes",), key, made_from[key]) for key in made_from}
    table = pl.DataFrame()
    if not all(since.values()):
        summary = pipeline.lake.read("daily_summary", pipeline.overlapping(begin, periods[-1].end))
        table = compute_regimes(
            summary,
            pipeline.calendar.for_timeframe(pipeline.timeframe),
            pipeline.settings.regimes,
            pipeline.settings.market.benchmark,
        )
    parts: dict[str, StageResult] = {}
    for period in periods:
        made_before = since[period.key]
        if made_before:
            rows = pipeline.lake.read("regimes", [period.key])
        else:
            dates = pl.col("timestamp").dt.date()
            rows = table.filter((dates >= period.first_date) & (dates < period.end_date))
            pipeline.lake.write("regimes", period.key, rows, made_from[period.key])
        parts[period.key] = StageResult(
            rows={"regimes": rows.height},
            facts=_days_by_regime(rows),
            preview=rows.tail(5),
            pictures={"index level": sketches.line(rows["index_level"].to_list())},
            nothing="" if rows.height else "no sessions with bars in this period",
            unchanged_since=made_before,
        )
    return StageResult.of(parts)


def _days_by_regime(rows: pl.DataFrame) -> dict[str, Fact]:
    counted = (
        rows.filter(pl.col("trend").is_not_null())
        .group_by("trend", "volatility")
        .len()
        .sort("trend", "volatility")
    )
    return {
        f"days {trend} {volatility or 'unknown'}": int(days)
        for trend, volatility, days in counted.iter_rows()
    }


def signals(pipeline: PipelineContext, periods: Sequence[Period]) -> StageResult:
    """Side and strength of every active strategy on every bar where its features are warm; those
    that act on quotes have none.
    """
    active = sorted(
        (name, pipeline.strategy_settings(name))
        for name, chosen in pipeline.settings.active_strategies.items()
        if not acts_on_quotes(chosen)
    )
    strategies = {name: build_strategy(strategy) for name, strategy in active}
    code = source_of(*(strategy.use for _name, strategy in active))
    remembering = _Remembering(pipeline, strategies, periods[-1])
    parts: dict[str, StageResult] = {}
    for number, period in enumerate(periods, start=1):
        keys = remembering.until(period) if remembering else [period.key]
        made_from = pipeline.made_from({"features": keys, "bars": keys}, dict(active), code)
        since = unchanged_since(pipeline, ("signals",), period.key, made_from)
        if since is None:
            table = _signals_of(pipeline, strategies, period, remembering)
            pipeline.lake.write("signals", period.key, table, made_from)
        else:
            table = pipeline.lake.read("signals", [period.key])
        parts[period.key] = _shown_signals(table, list(strategies), since)
        pipeline.progress("signals", number, len(periods))
    return StageResult.of(parts)


class _Remembering:
    """Signals of the strategies whose memory is the whole market: made once for all periods of a
    run, from the market's first bar to the end of the run's last period, and cut by period. A
    signal depends on no later bar, so the cut changes nothing.
    """

    def __init__(
        self, pipeline: PipelineContext, strategies: dict[str, Strategy], last: Period
    ) -> None:
        self._pipeline = pipeline
        self.strategies = {
            name: strategy
            for name, strategy in strategies.items()
            if remembers_the_market(strategy)
        }
        self._last = last

    def __bool__(self) -> bool:
        return bool(self.strategies)

    def until(self, period: Period) -> list[str]:
        """Keys of every trading period up to this one."""
        return [one.key for one in self._pipeline.trading_periods() if one.start <= period.start]

    def of(self, name: str, period: Period) -> pl.DataFrame:
        """The signals of one strategy in one period."""
        stamp = pl.col("timestamp")
        start, end = moment_literal(period.start), moment_literal(period.end)
        return self._tables[name].filter((stamp >= start) & (stamp < end))

    @cached_property
    def _tables(self) -> dict[str, pl.DataFrame]:
        keys = self.until(self._last)
        needed = {
            name for strategy in self.strategies.values() for name in strategy.required_features()
        }
        known = (
            self._pipeline.lake.scan("features", keys)
            .select("symbol", "timestamp", *sorted(needed))
            .collect(engine="in-memory")
        )
        bars = cache(partial(self._pipeline.lake.read, "bars", keys))
        return {
            name: signals_of(strategy, known, bars, name)
            for name, strategy in self.strategies.items()
        }


def _signals_of(
    pipeline: PipelineContext,
    strategies: dict[str, Strategy],
    period: Period,
    remembering: _Remembering,
) -> pl.DataFrame:
    known = cache(partial(pipeline.lake.read, "features", [period.key]))
    bars = partial(pipeline.lake.read, "bars", [period.key])
    frames = [
        (
            remembering.of(name, period)
            if name in remembering.strategies
            else signals_of(strategy, known(), bars, name)
        ).select(pl.lit(name).alias("strategy"), "symbol", "timestamp", "side", "strength")
        for name, strategy in strategies.items()
    ]
    return pl.concat(frames)


def _shown_signals(
    table: pl.DataFrame, strategies: Sequence[str], since: datetime | None
) -> StageResult:
    taken = table.filter(pl.col("side") != 0)
    by_strategy = dict(taken.group_by("strategy").len().iter_rows())
    by_day = taken.group_by(pl.col("timestamp").dt.date().alias("day")).len().sort("day")
    return StageResult(
        rows={"signals": table.height},
        facts={f"{name} takes a side on": int(by_strategy.get(name, 0)) for name in strategies},
        preview=taken.tail(5),
        pictures={"sides taken by day": sketches.bars(by_day["len"].to_list())},
        nothing=(
            ""
            if table.height
            else (
                "no strategy has all its features on a bar of this period: they need more bars"
                " before it"
            )
        ),
        unchanged_since=since,
    )


def labels(pipeline: PipelineContext, periods: Sequence[Period]) -> StageResult:
    """Outcome of every event of the traded strategy by `labels.method` and its own bracket, each
    known at its own `end_timestamp`.
    """
    parts: dict[str, StageResult] = {}
    terms = pipeline.instruments, lives_of(pipeline)
    begins = securities_begin(terms[1])
    for number, period in enumerate(periods, start=1):
        since = _labels_unchanged_since(pipeline, period, terms)
        if since is None:
            table, reach = _labels_of(pipeline, period, terms[0], begins)
            pipeline.lake.write(
                "labels", period.key, table, _labels_made_from(pipeline, period, reach, terms)
            )
        else:
            table = pipeline.lake.read("labels", [period.key])
        parts[period.key] = _shown_labels(table, since)
        pipeline.progress("labels", number, len(periods))
    return StageResult.of(parts)


_Terms = tuple[Instruments, pl.DataFrame]  # and the lives of the symbols


def _labels_made_from(
    pipeline: PipelineContext, period: Period, reach: str, terms: _Terms
) -> dict[str, str]:
    """Inputs from the margin before the period up to the period `reach`; the end of the market
    counts where it was reached.
    """
    last = pipeline.trading_periods()[-1].key
    begun = pipeline.overlapping(period.start - _margin(pipeline), period.end)[0]
    keys = [one.key for one in pipeline.trading_periods() if begun <= one.key <= reach]
    tables = {"bars": keys, "signals": keys, "features": keys}
    settings = pipeline.settings
    strategy = settings.strategies[settings.session.strategy]
    made_from = pipeline.made_from(
        tables,
        settings.labels,
        settings.session.strategy,
        strategy,
        terms[0].unusual(),
        terms[1].rows(),
    )
    return {**made_from, "reach": reach, "last_period": last if reach == last else ""}


def _labels_unchanged_since(
    pipeline: PipelineContext, period: Period, terms: _Terms
) -> datetime | None:
    before = (pipeline.lake.manifest("labels", period.key) or {}).get("made_from", {})
    if "reach" not in before:
        return None
    return unchanged_since(
        pipeline,
        ("labels",),
        period.key,
        _labels_made_from(pipeline, period, before["reach"], terms),
    )


def _shown_labels(table: pl.DataFrame, since: datetime | None) -> StageResult:
    touched = table.group_by("touched").len().sort("touched")
    by_day = (
        table.group_by(pl.col("timestamp").dt.date().alias("day"))
        .agg(pl.col("label").mean())
        .sort("day")
    )
    return StageResult(
        rows={"labels": table.height},
        facts={kind or "unresolved": int(rows) for kind, rows in touched.iter_rows()},
        preview=table.tail(5),
        pictures={"share right by day": sketches.line(by_day["label"].to_list())},
        nothing="" if table.height else "no signal takes a side in this period",
        unchanged_since=since,
    )


def _labels_of(
    pipeline: PipelineContext, period: Period, instruments: Instruments, begins: pl.DataFrame
) -> tuple[pl.DataFrame, str]:
    """Labels of one period, from bars that reach far enough on both sides, wider when an outcome
    needs it; and the last period that was read. What is read and not in reach is left out, two
    thirds of three periods.
    """
    end_of_lake = pipeline.trading_periods()[-1].end
    margin = _margin(pipeline)
    while True:
        start, end = period.start - margin, period.end + margin
        keys = pipeline.overlapping(start, end)
        with pipeline.lake.reading("bars", keys):
            bars = pipeline.lake.scan("bars", keys).collect(engine="in-memory")
        reach = bars_in_reach(bars, pipeline.settings.event_labels, period.start, period.end)
        bars = bars.filter(_within(reach))
        events = label_events(pipeline, keys, reach)
        table = labelling.label_events(
            bars, events, pipeline.settings.event_labels, pipeline.calendar, pipeline.timeframe,
            keep_from=period.start, keep_until=period.end,
            instruments=instruments, securities_begin=begins,
        ).table  # fmt: skip
        if end >= end_of_lake or not table["end_timestamp"].null_count():
            return table, keys[-1]
        margin *= 4


def label_events(
    pipeline: PipelineContext,
    keys: Sequence[str],
    span: tuple[datetime, datetime] | None = None,
) -> pl.DataFrame:
    """Events of the traded strategy in those trading periods, or from the first to the last moment
    of `span` in them: regular bars where it takes a side.
    """
    within = pl.lit(value=True) if span is None else _within(span)
    chosen = (
        pipeline.lake.scan("signals", keys)
        .filter(within)
        .filter((pl.col("strategy") == pipeline.settings.session.strategy) & (pl.col("side") != 0))
        .collect(engine="in-memory")
    )
    scale = (
        pipeline.lake.scan("features", keys)
        .filter(within)
        .select("symbol", "timestamp", "volatility_20")
        .collect(engine="in-memory")
    )
    return events_from_signals(chosen, scale)


def _within(span: tuple[datetime, datetime]) -> pl.Expr:
    """Whether a row's `timestamp` lies in `span`, its ends included."""
    first, last = span
    return pl.col("timestamp").is_between(moment_literal(first), moment_literal(last))


def _margin(pipeline: PipelineContext) -> timedelta:
    """Calendar time that surely holds the longest horizon: sessions with weekends, holidays and
    missing bars.
    """
    a_session = pipeline.calendar.bars_per_session(pipeline.timeframe)
    labels = pipeline.settings.labels
    sessions = labels.scale_bars(max(labels.horizons_bars), a_session) / a_session + 2
    days_each = 7 if pipeline.timeframe == "1Week" else 1
    return timedelta(days=(2 * sessions + 5) * days_each)
