"""News: headlines with the moment from which each could be acted upon, and their scores.

Headlines are read whole at every ingest, as files of bars are: a folder may have got another file.
A headline that the lake has stays as it was first known. Scores follow period by period from words
that were learned before.
"""

from collections.abc import Sequence
from datetime import UTC, datetime

import polars as pl

from harmony_pipeline.errors import ConfigError, NotReady
from harmony_pipeline.features.catalog import FeatureSet
from harmony_pipeline.features.news_columns import NewsTotals
from harmony_pipeline.market.news.files import NewsFiles, read_news_files
from harmony_pipeline.market.news.judging import JudgedNews, judge_news
from harmony_pipeline.market.news.settings import NewsSettings
from harmony_pipeline.market.news.simulated import simulated_news
from harmony_pipeline.market.periods import Period
from harmony_pipeline.market.sources.simulated import SimulatedSource
from harmony_pipeline.models.embargo import embargo_start
from harmony_pipeline.models.headlines import (
    HeadlineWords,
    headline_outcomes,
    learn_words,
    score_headlines,
)
from harmony_pipeline.reports import sketches
from harmony_pipeline.schemas import NEWS_WORDS
from harmony_pipeline.stages.context import PipelineContext, refuse_the_past
from harmony_pipeline.stages.result import Fact, StageResult
from harmony_pipeline.stages.unchanged import unchanged_since
from harmony_pipeline.text import listing

NO_NEWS = 'no source of news is set: news.source is "off"'


def is_on(pipeline: PipelineContext) -> bool:
    """Whether there is a source of news."""
    return pipeline.settings.news.source != "off"


def news(pipeline: PipelineContext, periods: Sequence[Period]) -> StageResult:
    """Headlines, each once, with the moment from which it could be acted upon; what was refused is
    in news_quarantine.
    """
    if not is_on(pipeline):
        return StageResult(rows={"news": 0}, nothing=NO_NEWS)
    refuse_the_past(pipeline)
    read = _read(pipeline)
    known = pipeline.lake.read("news")
    judged = judge_news(read.rows, known, pipeline.settings.news, datetime.now(UTC))
    parts = {
        period.key: _kept_of(pipeline, judged, period, last=period.key == _last(pipeline))
        for period in periods
    }
    first, end = pipeline.trading_periods()[0].start, pipeline.trading_periods()[-1].end
    inside = judged.kept.filter((pl.col("known_at") >= first) & (pl.col("known_at") < end))
    facts: dict[str, Fact] = {
        "files": read.files,
        "rows received": read.rows.height,
        "new headlines": judged.new,
        "repeats and rows known before": judged.repeated,
        "quarantined": judged.refused.height,
        "of the new, known late": judged.late,
        "outside the market's dates": judged.kept.height - inside.height,
    }
    unheard = _without_bars(pipeline, judged.kept)
    notes = [*read.notes, *([unheard] if unheard else [])]
    for rule, number in judged.refused.group_by("rule").len().sort("rule").iter_rows():
        facts[f"quarantined by {rule}"] = int(number)
    return StageResult.of(parts, facts=facts, notes=notes, preview=inside.tail(5))


def _without_bars(pipeline: PipelineContext, kept: pl.DataFrame) -> str:
    """A sentence where headlines are of symbols that the market has no bar of."""
    traded = pipeline.lake.scan("bars").select("symbol").unique().collect(engine="in-memory")
    if traded.is_empty():
        return ""
    others = kept.join(traded, on="symbol", how="anti")
    if others.is_empty():
        return ""
    names = listing(others["symbol"].unique().sort().to_list())
    return f"{others.height} headlines are of symbols without bars: {names}"


def _last(pipeline: PipelineContext) -> str:
    return pipeline.trading_periods()[-1].key


def _read(pipeline: PipelineContext) -> NewsFiles:
    settings = pipeline.settings
    if settings.news.source == "files":
        return read_news_files(settings.news, settings.folder)
    source = pipeline.source
    if not isinstance(source, SimulatedSource):
        raise ConfigError(
            f'news.source = "simulated" tells of the simulated market, and market.source is'
            f' "{settings.market.source}": use news.source = "files"'
        )
    periods = pipeline.trading_periods()
    span = (periods[0].start, periods[-1].end)
    rows = simulated_news(source, pipeline.exchange, settings.market, settings.news, span)
    return NewsFiles(rows, 0)


def _kept_of(
    pipeline: PipelineContext, judged: JudgedNews, period: Period, *, last: bool
) -> StageResult:
    """The rows of one period, written where they changed."""
    known = pl.col("known_at")
    rows = judged.kept.filter((known >= period.start) & (known < period.end))
    published = pl.col("published_at")
    within = (published >= period.start) & (published < period.end)
    if last:  # also what has no time, or one of no period
        within |= published.is_null() | (published >= period.end)
        within |= published < pipeline.trading_periods()[0].start
    refused = judged.refused.filter(within)
    made_from = {"source": pipeline.settings.news.source}
    for table, frame in (("news", rows), ("news_quarantine", refused)):
        held = pipeline.lake.has(table, period.key)
        if held or frame.height:
            before = pipeline.lake.read(table, [period.key])
            schema = pipeline.lake.tables[table]
            if not held or not before.equals(schema.conform(frame)):
                pipeline.lake.write(table, period.key, frame, made_from)
    return StageResult(
        rows={"news": rows.height, "news_quarantine": refused.height},
        preview=rows.tail(5),
        pictures={"headlines by day": sketches.bars(_by_day(rows, pl.len()))},
        nothing="" if rows.height or refused.height else "no news in this period",
    )


def _by_day(rows: pl.DataFrame, measure: pl.Expr) -> list[float]:
    days = rows.group_by(pl.col("known_at").dt.date().alias("day")).agg(measure.alias("measure"))
    return days.sort("day")["measure"].drop_nulls().to_list()


def news_scores(pipeline: PipelineContext, periods: Sequence[Period]) -> StageResult:
    """The score of each headline by words that were learned from outcomes settled before its
    retraining period began.
    """
    if not is_on(pipeline):
        return StageResult(rows={"news_scores": 0}, nothing=NO_NEWS)
    parts: dict[str, StageResult] = {}
    for number, period in enumerate(periods, start=1):
        parts[period.key] = _scored(pipeline, period)
        pipeline.progress("news_scores", number, len(periods))
    return StageResult.of(parts)


def _scored(pipeline: PipelineContext, period: Period) -> StageResult:
    keys = [one.key for one in pipeline.trading_periods() if one.start <= period.start]
    made_from = pipeline.made_from(
        {"news": keys, "bars": keys},
        pipeline.settings.news,
        pipeline.settings.model.embargo_bars,
    )
    since = unchanged_since(pipeline, ("news_scores", "news_words"), period.key, made_from)
    if since is None:
        scored, words = scored_news(
            pipeline,
            period,
            pipeline.lake.read("news", keys),
            pipeline.lake.scan("bars", keys),
        )
        pipeline.lake.write("news_scores", period.key, scored, made_from)
        pipeline.lake.write("news_words", period.key, words, made_from)
    else:
        scored = pipeline.lake.read("news_scores", [period.key])
        words = pipeline.lake.read("news_words", [period.key])
    unscored = scored["score"].null_count()
    return StageResult(
        rows={"news_scores": scored.height, "news_words": words.height},
        facts={"headlines without a score": unscored},
        pictures={"mean score by day": sketches.line(_by_day(scored, pl.col("score").mean()))},
        preview=words.sort("weight", "word")
        .select("period", "word", "weight", "headlines")
        .head(5),
        nothing="" if scored.height else "no news in this period",
        unchanged_since=since,
    )


def scored_news(
    pipeline: PipelineContext, period: Period, headlines: pl.DataFrame, bars: pl.LazyFrame
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """(NEWS_SCORES, NEWS_WORDS) of one trading period, from the news and the bars up to its end."""
    settings = pipeline.settings.news
    needed = ("symbol", "timestamp", "session", "open", "close", "adjustment_factor")
    spoken = headlines["symbol"].unique().to_list()
    rows = bars.select(needed).filter(pl.col("symbol").is_in(spoken)).collect(engine="in-memory")
    outcomes = headline_outcomes(
        headlines.select("symbol", "known_at", "published_at", "headline"),
        rows,
        pipeline.calendar,
        pipeline.timeframe,
        settings.horizon_bars,
    )
    known = pl.col("known_at")
    mine = outcomes.filter((known >= period.start) & (known < period.end))
    scores = [pipeline.lake.tables["news_scores"].empty()]
    words = [NEWS_WORDS.empty()]
    for retraining in pipeline.retraining_periods():
        if retraining.end <= period.start or retraining.start >= period.end:
            continue
        learned = _learned_before(pipeline, retraining, outcomes, settings)
        own = mine.filter((known >= retraining.start) & (known < retraining.end))
        scored = own.with_columns(score_headlines(own, learned), period=pl.lit(retraining.key))
        scores.append(pipeline.lake.tables["news_scores"].conform(scored))
        if learned is not None and period.start <= retraining.start < period.end:
            words.append(learned.table(retraining.key))
    return pl.concat(scores).sort("symbol", "known_at", "published_at", "headline"), pl.concat(
        words
    )


def _learned_before(
    pipeline: PipelineContext,
    retraining: Period,
    outcomes: pl.DataFrame,
    settings: NewsSettings,
) -> HeadlineWords | None:
    settled_by = embargo_start(
        pipeline.calendar,
        pipeline.timeframe,
        retraining.start,
        pipeline.settings.model.embargo_bars,
    )
    return learn_words(outcomes, settings, settled_by)


def news_totals(
    pipeline: PipelineContext, feature_set: FeatureSet | None = None
) -> NewsTotals | None:
    """The totals that features are folded from; None where no feature reads news. Raises
    ConfigError where one does and there is no source, NotReady before the scores are made.
    """
    chosen = pipeline.feature_set if feature_set is None else feature_set
    if not chosen.reads_news:
        return None
    require_news(pipeline, chosen)
    return NewsTotals.of(scored_headlines(pipeline))


def scored_headlines(pipeline: PipelineContext) -> pl.DataFrame:
    """symbol, known_at and score of every headline in the lake."""
    rows = pipeline.lake.scan("news_scores").select("symbol", "known_at", "score")
    return rows.collect(engine="in-memory")


def require_news(pipeline: PipelineContext, chosen: FeatureSet) -> None:
    """Raises ConfigError or NotReady where features of news cannot be made."""
    name = next(one.name for one in chosen.computed if one.indicator.given)
    if not is_on(pipeline):
        readers = [one.name for one in chosen.computed if name in one.reads]
        raise ConfigError(
            f"feature '{(readers or [name])[0]}' is made of headlines, and {NO_NEWS}: name their"
            " files in [news], or take the feature out"
        )
    if not pipeline.lake.partitions("news_scores"):
        raise NotReady("headlines have no scores yet; make them with: harmony backfill news_scores")
