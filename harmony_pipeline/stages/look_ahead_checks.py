"""Look-ahead in the lake: what the graph checks of features, labels, models and predictions. Each
function returns the offending rows; none is a pass.

A stage is run again in memory with the future taken away at random moments, or put in another order
(robustness/look_ahead.py), and nothing that was known before may move. The moments are drawn by the
names of the periods, so a run repeats itself and another period is cut elsewhere. What the lake
holds is compared where it decides what is traded: the inputs and probabilities of a period, and the
model of one.
"""

import zlib
from collections.abc import Mapping, Sequence
from datetime import datetime

import numpy as np
import polars as pl

from harmony_pipeline.features.compute import compute_features
from harmony_pipeline.features.news_columns import NewsTotals
from harmony_pipeline.features.regimes import compute_regimes
from harmony_pipeline.frames import format_columns
from harmony_pipeline.labels import labelling
from harmony_pipeline.market.lives import securities_begin
from harmony_pipeline.market.periods import Period
from harmony_pipeline.market.sectors import Sectors
from harmony_pipeline.models.samples import Samples, build_samples
from harmony_pipeline.models.shifted_labels import shifted_label_score
from harmony_pipeline.robustness.look_ahead import (
    KnownTable,
    differing_rows,
    outcome_inputs,
    random_moments,
    shuffle_differences,
    truncation_differences,
)
from harmony_pipeline.stages.bins import with_first_bins
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.data_checks import SAMPLED_SYMBOLS, sampled_bars
from harmony_pipeline.stages.feature_sectors import dated_sectors
from harmony_pipeline.stages.lives import lives_of
from harmony_pipeline.stages.models import (
    model_columns,
    samples_until,
    train_horizon,
)
from harmony_pipeline.stages.news import is_on, require_news, scored_headlines, scored_news
from harmony_pipeline.stages.research import label_events

MOMENTS = 2  # each costs the stage twice
_OUTCOMES = ("end_timestamp", "return", "label", "weight")
_NOTHING = pl.DataFrame(schema={"partition": pl.String, "finding": pl.String})


def features_know_no_future(pipeline: PipelineContext, periods: Sequence[Period]) -> pl.DataFrame:
    """Without the bars after a random moment, or with them in another order, no feature before it
    is another; returns the rows that move.
    """
    bars = sampled_bars(pipeline, periods)
    known = pl.col("timestamp") + pipeline.bar
    moments = _moments(bars, periods, known)

    def features(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        return _features_from(pipeline, tables)

    tables = {"bars": KnownTable(bars, known), **_beside_bars(pipeline)}
    if not moments:
        return _NOTHING
    return pl.concat(
        [
            truncation_differences(features, tables, known, moments),
            shuffle_differences(features, tables, known, moments[-1:], _seed(periods)),
        ]
    )


def _features_from(pipeline: PipelineContext, tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
    """The features that these tables give, from the first bar on."""
    return compute_features(
        tables["bars"],
        pipeline.feature_set,
        None,
        pipeline.calendar,
        pipeline.timeframe,
        NewsTotals.of(tables["news"]) if "news" in tables else None,
        Sectors.of_table(tables["universe"]) if "universe" in tables else None,
    ).table


def _beside_bars(pipeline: PipelineContext) -> dict[str, KnownTable]:
    """The scored headlines and the universe, where features read them."""
    chosen, found = pipeline.feature_set, dict[str, KnownTable]()
    if chosen.reads_news:
        require_news(pipeline, chosen)
        found["news"] = KnownTable(scored_headlines(pipeline), pl.col("known_at"))
    if chosen.reads_sectors:
        found["universe"] = KnownTable(dated_sectors(pipeline), pl.col("known_at"))
    return found


def news_scores_know_no_future(
    pipeline: PipelineContext, periods: Sequence[Period]
) -> pl.DataFrame:
    """Without the bars and headlines after a random moment, or with them in another order, no score
    of a headline that was known before it is another; returns the scores that move.
    """
    if not is_on(pipeline):
        return _NOTHING
    period = periods[-1]
    keys = [one.key for one in pipeline.trading_periods() if one.start <= period.start]
    headlines, bars = (pipeline.lake.read(table, keys) for table in ("news", "bars"))
    known = pl.col("known_at")
    mine = headlines.filter((known >= period.start) & (known < period.end))
    moments = random_moments(mine["known_at"], MOMENTS, _seed(periods))
    if not moments:
        return _NOTHING

    def scores(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        return scored_news(pipeline, period, tables["news"], tables["bars"].lazy())[0]

    tables = {
        "news": KnownTable(headlines, known),
        "bars": KnownTable(bars, pl.col("timestamp") + pipeline.bar),
    }
    identity = ("symbol", "known_at", "published_at", "headline")
    moved = truncation_differences(scores, tables, known, moments, identity)
    shuffled = shuffle_differences(scores, tables, known, moments[-1:], _seed(periods), identity)
    stored = pipeline.lake.read("news_scores", [period.key])
    now = scores({name: table.frame for name, table in tables.items()})
    finding = pl.lit("the score in the lake is not the one that its words give")
    stale = differing_rows(stored, now, identity).select(
        *identity, moment=pl.lit(None, dtype=pl.Datetime("us", "UTC")), finding=finding
    )
    return pl.concat([moved, shuffled, stale])


def labels_know_no_future(pipeline: PipelineContext, periods: Sequence[Period]) -> pl.DataFrame:
    """Without the bars after a random moment, or with them in another order, no label that was
    known before it is another, nor is its knowledge time; returns the labels that move.
    """
    bars = sampled_bars(pipeline, periods)
    ended = pl.col("timestamp") + pipeline.bar
    moments = _moments(bars, periods, ended)
    if not moments:
        return _NOTHING
    keys = [period.key for period in periods[-2:]]
    symbols = bars["symbol"].unique().to_list()
    events = label_events(pipeline, keys).filter(pl.col("symbol").is_in(symbols))
    begins = securities_begin(lives_of(pipeline))

    def labels(tables: Mapping[str, pl.DataFrame]) -> pl.DataFrame:
        return labelling.label_events(
            tables["bars"],
            tables["events"],
            pipeline.settings.event_labels,
            pipeline.calendar,
            pipeline.timeframe,
            securities_begin=begins,
        ).table

    tables = {"bars": KnownTable(bars, ended), "events": KnownTable(events, ended)}
    settled, identity = pl.col("end_timestamp"), ("horizon", "symbol", "timestamp")
    seed = _seed(periods)
    return pl.concat(
        [
            truncation_differences(labels, tables, settled, moments, identity),
            shuffle_differences(labels, tables, settled, moments[-1:], seed, identity),
        ]
    )


def models_know_no_future(pipeline: PipelineContext, periods: Sequence[Period]) -> pl.DataFrame:
    """A model is the same when everything that came after its period began is hidden from its
    training, and none of its inputs is an outcome; of one random period among these.
    """
    horizon = pipeline.settings.trade_horizon
    models = pipeline.lake.read("models", [period.key for period in periods]).filter(
        pl.col("horizon") == horizon
    )
    trained = [period for period in periods if period.key in models["period"].to_list()]
    if not trained:
        return _NOTHING
    period = trained[_seed(periods) % len(trained)]
    stored = str(models.filter(pl.col("period") == period.key)["model_id"][0])
    samples = {
        each: samples_until(pipeline, period.end, each)
        for each in pipeline.settings.labels.horizons_bars
    }
    hidden = {each: known_by(rows, period.start) for each, rows in samples.items()}
    fold = train_horizon(pipeline, period, horizon, hidden)
    rows = samples[horizon]
    findings = outcome_inputs(rows.names, rows.X, rows.frame).select(
        finding=format_columns("the input {} {}", "input", "finding")
    )["finding"].to_list()  # fmt: skip
    found = None if fold.model is None else fold.model.model_id
    if found != stored:
        findings.append(
            f"the model {stored} is {found or 'absent'} when what came after its period began is"
            " hidden from its training"
        )
    return pl.DataFrame(
        {"partition": [period.key] * len(findings), "finding": findings}, schema=_NOTHING.schema
    )


def scores_vanish_with_shifted_labels(
    pipeline: PipelineContext, periods: Sequence[Period]
) -> pl.DataFrame:
    """Models that learned from the labels of other events lose the score of the true one in one
    random period among these; returns the scores when they keep it.
    """
    horizon = pipeline.settings.trade_horizon
    models = pipeline.lake.read("models", [period.key for period in periods])
    trained = [period for period in periods if period.key in models["period"].to_list()]
    if not trained:
        return _NOTHING
    period = trained[_seed(periods) % len(trained)]
    samples = {horizon: samples_until(pipeline, period.end, horizon)}
    score = shifted_label_score(
        with_first_bins(pipeline, samples, period)[horizon],
        period,
        horizon,
        pipeline.calendar,
        pipeline.timeframe,
        pipeline.settings.model,
    )
    if score is None or score.vanishes:
        return _NOTHING
    finding = (
        f"with labels of {score.events[0]} to {score.events[-1]} events later the area under the"
        f" curve is still {score.mean:.3f} in the mean, with the true ones {score.auc:.3f}"
    )
    return pl.DataFrame({"partition": [period.key], "finding": [finding]}, schema=_NOTHING.schema)


def known_by(samples: Samples, moment: datetime) -> Samples:
    """The events before `moment`, and of each only what was known then: an outcome that came later
    is null.
    """
    before = samples.where((samples.frame["timestamp"] < moment).to_numpy())
    known = (pl.col("end_timestamp") <= moment).fill_null(value=False)
    frame = before.frame.with_columns(pl.when(known).then(name).alias(name) for name in _OUTCOMES)
    return Samples(frame, before.X, before.names, before.inputs)


def predictions_know_no_future(
    pipeline: PipelineContext, periods: Sequence[Period]
) -> pl.DataFrame:
    """The inputs and probabilities of one random period are what bars until a random moment in it
    give, bit for bit; returns the events that differ.
    """
    horizon = pipeline.settings.trade_horizon
    made = pipeline.lake.read("predictions", [period.key for period in periods]).filter(
        pl.col("horizon") == horizon
    )
    keys = set(made["period"].unique())
    predicted = [period for period in periods if period.key in keys]
    if not predicted:
        return _NOTHING
    period = predicted[_seed(periods) % len(predicted)]
    stored = made.filter(pl.col("period") == period.key)
    symbols = stored["symbol"].unique().sort().head(SAMPLED_SYMBOLS).to_list()
    known = pl.col("timestamp") + pipeline.bar
    moments = random_moments(stored.select(known).to_series(), 1, _seed(periods))
    if not moments:
        return _NOTHING
    wanted = (
        pl.col("symbol").is_in(symbols)
        & (known <= moments[0])
        & (pl.col("timestamp") >= period.start)
    )
    stored = stored.filter(wanted)
    held = samples_until(pipeline, period.end, horizon, start=period.start)
    held = held.where(held.frame.select(wanted).to_series().to_numpy())
    early = _samples_at(pipeline, held, symbols, moments[0])
    model = pipeline.registry.load(str(stored["model_id"][0])) if stored.height else None
    found = _unequal_inputs(held, early)
    if model is not None:
        rows = early.frame.select("symbol", "timestamp").with_columns(
            probability=pl.Series(model.predict(early), nan_to_null=True)
        )
        differing = differing_rows(stored.select("symbol", "timestamp", "probability"), rows)
        found = pl.concat([found, differing])
    return found.select(
        "symbol",
        "timestamp",
        partition=pl.lit(period.key),
        finding=format_columns(
            "{} is another when nothing after {} is known",
            "columns",
            pl.lit(f"{moments[0]:%Y-%m-%d %H:%M} UTC"),
        ),
    )


def _samples_at(
    pipeline: PipelineContext, held: Samples, symbols: Sequence[str], moment: datetime
) -> Samples:
    """The same events with inputs made anew of what was known at `moment`, from the first bar on;
    without outcomes.
    """
    keys = pipeline.overlapping(pipeline.trading_periods()[0].start, moment)
    # features that compare symbols need the bars of all
    wanted = (
        pl.lit(value=True)
        if pipeline.feature_set.compares
        else pl.col("symbol").is_in(list(symbols))
    )
    bars = (
        pipeline.lake.scan("bars", keys)
        .filter(wanted & (pl.col("timestamp") + pipeline.bar <= moment))
        .collect(engine="in-memory")
        .sort("symbol", "timestamp")
    )
    beside = {name: table.until(moment) for name, table in _beside_bars(pipeline).items()}
    features = _features_from(pipeline, {"bars": bars, **beside})
    # the regime of a session is known at its close
    calendar = pipeline.calendar.for_timeframe(pipeline.timeframe)
    sessions = calendar.schedule(pipeline.settings.market.start, pipeline.end_date)
    over = sessions.filter(pl.col("close") <= moment)["date"].to_list()
    regimes = compute_regimes(
        pipeline.lake.read("daily_summary", keys).filter(pl.col("date").is_in(over)),
        calendar,
        pipeline.settings.regimes,
        pipeline.settings.market.benchmark,
    )
    horizon = pipeline.settings.trade_horizon
    events = held.frame.with_columns(
        *(pl.lit(None, dtype=held.frame.schema[name]).alias(name) for name in _OUTCOMES),
        horizon=pl.lit(horizon, dtype=pl.Int64),
    )
    return build_samples(
        features, events, regimes, model_columns(pipeline), horizon,
        hidden_regime=pipeline.settings.model.hidden_regime,
    )  # fmt: skip


def _unequal_inputs(held: Samples, early: Samples) -> pl.DataFrame:
    """Events whose inputs are not the same bits: symbol, timestamp, columns."""
    unequal = ~((held.X == early.X) | (np.isnan(held.X) & np.isnan(early.X)))
    rows = np.flatnonzero(unequal.any(axis=1))
    names = np.array(held.names, dtype=object)
    return held.frame[rows].select("symbol", "timestamp").with_columns(
        columns=pl.Series([", ".join(names[unequal[row]]) for row in rows], dtype=pl.String)
    )  # fmt: skip


def _moments(bars: pl.DataFrame, periods: Sequence[Period], known: pl.Expr) -> list[datetime]:
    return random_moments(bars.select(known).to_series(), MOMENTS, _seed(periods))


def _seed(periods: Sequence[Period]) -> int:
    return zlib.crc32(" ".join(period.key for period in periods).encode())
