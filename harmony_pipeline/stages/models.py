"""Walk-forward: one model a retraining period and horizon, trained on what was settled before the
period, predicting inside it.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime

import polars as pl

from harmony_pipeline.frames import sort_rows
from harmony_pipeline.lake.lake import code_version
from harmony_pipeline.market.periods import Period, next_period, period_at
from harmony_pipeline.models.bins import BinWindow
from harmony_pipeline.models.embargo import embargo_start
from harmony_pipeline.models.samples import Samples, build_samples
from harmony_pipeline.models.trained import TrainedModel
from harmony_pipeline.models.walk_forward import Fold, predict_period, train_period
from harmony_pipeline.reports import sketches
from harmony_pipeline.reports.drawings import Drawing
from harmony_pipeline.reports.figures import feature_importance, fold_timeline
from harmony_pipeline.stages.bins import with_first_bins
from harmony_pipeline.stages.code_identity import library_version, source_of
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.model_explanations import explanation_pictures
from harmony_pipeline.stages.result import Fact, Picture, StageResult
from harmony_pipeline.stages.unchanged import unchanged_since

_AFTER_THE_FORECAST = ("threshold", "trade_horizon_bars")


def model(pipeline: PipelineContext, periods: Sequence[Period]) -> StageResult:
    """The models of each retraining period, trained on outcomes known before it began, purged and
    embargoed.
    """
    made_from = _train_inputs(pipeline, periods)
    since = {
        period.key: _trained_since(pipeline, period, made_from[period.key]) for period in periods
    }
    due = [period for period in periods if since[period.key] is None]
    horizons = pipeline.settings.labels.horizons_bars
    samples = (
        with_first_bins(pipeline, _read_samples(pipeline, due[-1].end, horizons), due[-1])
        if due
        else {}
    )
    notes: dict[str, list[str]] = {period.key: [] for period in periods}
    pictures: dict[str, Picture] = {}
    for number, period in enumerate(periods, start=1):
        if since[period.key] is None:
            traded = _train_period(
                pipeline, period, samples, made_from[period.key], notes[period.key]
            )
            pictures = _model_pictures(pipeline, traded, samples) or pictures
        pipeline.progress("models", number, len(periods))
    keys = [period.key for period in periods]
    models, folds = pipeline.lake.read("models", keys), pipeline.lake.read("folds", keys)
    parts = {
        key: _shown_model(pipeline, key, models, folds, notes[key], since[key]) for key in keys
    }
    trained = any(part.rows["models"] for part in parts.values())
    if due:
        pictures["walk-forward"] = Drawing.of(
            fold_timeline, folds.filter(pl.col("horizon") == pipeline.settings.trade_horizon)
        )
    newest = parts[periods[-1].key].facts
    return StageResult.of(
        parts,
        facts=newest,
        preview=folds.tail(10),
        pictures=pictures,
        nothing="" if trained else f"no model: {why_no_model(pipeline)}",
    )


def _train_inputs(
    pipeline: PipelineContext, periods: Sequence[Period]
) -> dict[str, dict[str, str]]:
    """By period, everything before its end: events inside it are counted in its fold."""
    ends = [period.end for period in periods]
    tables = {name: pipeline.hashes_until(name, ends) for name in ("labels", "features", "regimes")}
    settings = pipeline.settings
    parts = (
        settings.model,
        settings.labels.horizons_bars,
        model_columns(pipeline),
        source_of(settings.model.forecaster),
        [training_recipe(pipeline, horizon) for horizon in settings.labels.horizons_bars],
        *((library_version("optuna"),) if settings.model.search.trials else ()),
        *((library_version("torch"),) if "SequenceNetwork" in str(settings.model) else ()),
    )
    return {
        period.key: pipeline.made_from(
            {name: hashes[at] for name, hashes in tables.items()}, *parts
        )
        for at, period in enumerate(periods)
    }


def training_recipe(pipeline: PipelineContext, horizon: int) -> str:
    """A hash of everything that decides how a model of this horizon is made, but for the data.

    Forecaster with its parameters and code, seed, training window, embargo and calibration; inputs;
    news where inputs read them; events and their barriers; bars and retraining period. What is
    decided after the forecast (the probability that trades, sizes, costs) is no part of it. Models
    of one recipe share their evidence; those of another start anew (docs/gate.md).
    """
    settings = pipeline.settings
    chosen, market = settings.model, settings.market
    primary = settings.strategies[settings.session.strategy]
    parameters = {
        name: value for name, value in primary.parameters.items()
        if not (primary.uses_model and name in _AFTER_THE_FORECAST)
    }  # fmt: skip
    names = dict.fromkeys((*settings.features.names, "volatility_20"))
    names.pop("cusum_event", None)
    inputs = pipeline.feature_set_of(tuple(names))
    return pipeline.fingerprint(
        {name: value for name, value in chosen.model_dump(mode="json").items()
         if name not in _AFTER_THE_FORECAST},
        source_of(chosen.forecaster, primary.use, *settings.features.own),
        (inputs.hash, model_columns(pipeline), settings.regimes.model_dump(mode="json")),
        {name: value for name, value in settings.event_labels.model_dump(mode="json").items()
         if name != "horizons_bars"},
        (horizon, primary.use, parameters, primary.watch),
        *((settings.labels.horizons_bars,) if _is_blended(pipeline, horizon) else ()),
        (market.calendar, market.timeframe, pipeline.calendar.grid.text, market.benchmark,
         market.partitions.retraining_period),
        *((settings.news,) if inputs.reads_news else ()),
    )  # fmt: skip


def _trained_since(
    pipeline: PipelineContext, period: Period, made_from: dict[str, str]
) -> datetime | None:
    """When the period was trained on just these inputs; None when the registry lacks one of its
    models.
    """
    since = unchanged_since(pipeline, ("models", "folds"), period.key, made_from)
    if since is None or not all(
        map(pipeline.registry.has, pipeline.lake.read("models", [period.key])["model_id"])
    ):
        return None
    return since


def _train_period(
    pipeline: PipelineContext,
    period: Period,
    samples: dict[int, Samples],
    made_from: dict[str, str],
    notes: list[str],
) -> TrainedModel | None:
    """Train one model a horizon and write the period's rows; returns that of the traded horizon."""
    fitted = {horizon: train_horizon(pipeline, period, horizon, samples) for horizon in samples}
    for horizon, fold in fitted.items():
        if fold.model is None:
            notes.append(f"horizon {horizon}: no model: {fold.reason}")
            continue
        pipeline.registry.save(fold.model)
    pipeline.lake.write(
        "models", period.key, pl.concat([fold.model_row for fold in fitted.values()]), made_from
    )
    pipeline.lake.write(
        "folds", period.key, pl.concat([fold.fold_row for fold in fitted.values()]), made_from
    )
    return fitted[pipeline.settings.trade_horizon].model


def _model_pictures(
    pipeline: PipelineContext, model: TrainedModel | None, samples: Mapping[int, Samples]
) -> dict[str, Picture]:
    """What the traded horizon's model looks at; empty without one."""
    if model is None:
        return {}
    importance = model.model.importance()
    return {
        "feature importance": Drawing.of(
            feature_importance, list(importance), list(importance.values())
        ),
        **explanation_pictures(pipeline, model, samples[model.card.horizon].names, samples_until),
    }


def train_horizon(
    pipeline: PipelineContext, period: Period, horizon: int, samples: Mapping[int, Samples]
) -> Fold:
    """The model of one period and horizon by the settings of today; `samples` are the events of
    every horizon.
    """
    samples = with_first_bins(pipeline, samples, period)
    window = samples[horizon].bin_window
    # all horizons have the same inputs; the first window of another may come later
    others = {other: rows.binned(window) for other, rows in samples.items() if other != horizon}
    return train_period(
        samples[horizon],
        period,
        horizon,
        pipeline.calendar,
        pipeline.timeframe,
        pipeline.settings.model,
        pipeline.feature_set.hash,
        code_version=code_version(),
        recipe=recipe_of_bins(pipeline, horizon, window),
        others=others if _is_blended(pipeline, horizon) else None,
    )


def recipe_of_bins(pipeline: PipelineContext, horizon: int, window: BinWindow | None) -> str:
    """`training_recipe`, and the first window where its bins are kept: models of other bins share
    no evidence.
    """
    recipe = training_recipe(pipeline, horizon)
    return recipe if window is None else pipeline.fingerprint(recipe, window.description)


def _is_blended(pipeline: PipelineContext, horizon: int) -> bool:
    """Whether the horizon's model is a blend with those of the other horizons."""
    settings = pipeline.settings
    return settings.model.blend_horizons and horizon == settings.trade_horizon


def _shown_model(
    pipeline: PipelineContext,
    key: str,
    models: pl.DataFrame,
    folds: pl.DataFrame,
    notes: list[str],
    since: datetime | None,
) -> StageResult:
    """One period of `models` and `folds`, which hold all periods of the run."""
    own, own_folds = models.filter(pl.col("period") == key), folds.filter(pl.col("period") == key)
    traded = folds.filter(pl.col("horizon") == pipeline.settings.trade_horizon).sort("test_start")
    fold = traded.filter(pl.col("period") == key)
    counts: dict[str, Fact] = {
        "labels to train on": int(fold["train_rows"].sum()),
        "labels purged": int(fold["purged_rows"].sum()),
    }
    names: dict[str, Fact] = {
        f"model of horizon {horizon}": name
        for horizon, name in own.sort("horizon").select("horizon", "model_id").iter_rows()
    }
    return StageResult(
        rows={"models": own.height, "folds": own_folds.height},
        facts=counts | names,
        preview=own_folds,
        pictures={
            "labels to train on, by period": sketches.bars(
                traded["train_rows"].to_list(), marked=traded["period"].to_list().index(key)
            )
        },
        notes=notes,
        nothing="" if own.height else _too_little(pipeline, key, fold),
        unchanged_since=since,
    )


def _too_little(pipeline: PipelineContext, key: str, fold: pl.DataFrame) -> str:
    found = int(fold["train_rows"].sum())
    needed = pipeline.settings.model.minimum_train_rows
    if found < needed:
        return (
            f"too little history before {key}: a model needs {needed} settled labels, there are"
            f" {found}"
        )
    return (
        f"the {found} settled labels before {key} cannot be fitted: too few before the calibration"
        " part, or one outcome only"
    )


def why_no_model(pipeline: PipelineContext) -> str:
    """Why no retraining period has a model of the traded horizon, and from when on one would be
    possible; empty when there is one.
    """
    horizon, needed = pipeline.settings.trade_horizon, pipeline.settings.model.minimum_train_rows
    models = pipeline.lake.read("models").filter(pl.col("horizon") == horizon)
    if models.height:
        return ""
    if not pipeline.lake.partitions("labels"):
        return "there are no labels yet; make them with: harmony backfill research"
    labels = pipeline.lake.scan("labels").filter(
        (pl.col("horizon") == horizon) & pl.col("label").is_not_null()
    )
    settled = labels.select("end_timestamp").collect(engine="in-memory")["end_timestamp"].sort()
    if not pipeline.lake.partitions("folds") and len(settled) >= needed:
        return (
            "no retraining period was trained yet; make the models with: harmony backfill retrain"
        )
    cure = (
        "; sooner with more symbols, older bars or a lower model.minimum_train_rows"
        if len(settled) < needed
        else ""
    )
    place = " but too few of them before any retraining period" if len(settled) >= needed else ""
    return (
        f"too little history (needs {needed} settled labels, has {len(settled)}{place};"
        f" {_first_possible(pipeline, settled, needed)}{cure})"
    )


def _first_possible(pipeline: PipelineContext, settled: pl.Series, needed: int) -> str:
    """When the first model can be trained: after the label that fills the number, at the pace so
    far where it is still to come.
    """
    if len(settled) < 2 or settled[-1] == settled[0]:
        return "no date can be told from so few"
    enough = (
        settled[needed - 1]
        if len(settled) >= needed
        else settled[0] + (settled[-1] - settled[0]) * ((needed - 1) / (len(settled) - 1))
    )
    size, chosen = pipeline.settings.market.partitions.retraining_period, pipeline.settings.model
    begun = period_at(enough, size, pipeline.zone)
    # the first period whose embargo begins after the label that fills the number
    while (
        embargo_start(pipeline.calendar, pipeline.timeframe, begun.start, chosen.embargo_bars)
        < enough
    ):
        begun = next_period(begun, size, pipeline.zone)
    day = begun.key if size == "hour" else begun.first_date
    about = "" if len(settled) >= needed else "about "
    return f"the first model would be possible from {about}{day} on, when a {size} begins"


def predictions(pipeline: PipelineContext, periods: Sequence[Period]) -> StageResult:
    """Out-of-sample probabilities of every event inside each period, by the model trained before
    it.
    """
    made_from = _predict_inputs(pipeline, periods)
    since = {
        period.key: unchanged_since(pipeline, ("predictions",), period.key, made_from[period.key])
        for period in periods
    }
    due = [period for period in periods if since[period.key] is None]
    horizons = pipeline.settings.labels.horizons_bars
    samples = _samples_again(pipeline, due[0].start, due[-1].end, horizons) if due else {}
    parts: dict[str, StageResult] = {}
    for number, period in enumerate(periods, start=1):
        ids = list(
            pipeline.lake.read("models", [period.key]).select("horizon", "model_id").iter_rows()
        )
        if since[period.key] is None:
            frames = [
                predict_period(pipeline.registry.load(model_id), samples[horizon], period)
                for horizon, model_id in ids
                if horizon in samples
            ]
            table = pl.concat(frames) if frames else pipeline.lake.tables["predictions"].empty()
            pipeline.lake.write("predictions", period.key, table, made_from[period.key])
        else:
            table = pipeline.lake.read("predictions", [period.key])
        why = (
            ""
            if table.height
            else "no signal takes a side in this period"
            if ids
            else f"no model of {period.key}"
        )
        parts[period.key] = _shown_predictions(pipeline, table, why, since[period.key])
        pipeline.progress("predictions", number, len(periods))
    why_none = why_no_model(pipeline)
    return StageResult.of(parts, nothing=f"no model: {why_none}" if why_none else "")


def _predict_inputs(
    pipeline: PipelineContext, periods: Sequence[Period]
) -> dict[str, dict[str, str]]:
    regimes = pipeline.hashes_until("regimes", [period.end for period in periods])
    settings = pipeline.settings
    parts = (
        settings.labels.horizons_bars,
        model_columns(pipeline),
        source_of(settings.model.forecaster),
    )
    inputs = {}
    for period, known in zip(periods, regimes, strict=True):
        keys = pipeline.overlapping(period.start, period.end)
        inputs[period.key] = pipeline.made_from(
            {"models": [period.key], "features": keys, "labels": keys, "regimes": known}, *parts
        )
    return inputs


def _shown_predictions(
    pipeline: PipelineContext, table: pl.DataFrame, why: str, since: datetime | None
) -> StageResult:
    traded = table.filter(pl.col("horizon") == pipeline.settings.trade_horizon)["probability"]
    tenths = [int(((traded >= at / 20) & (traded < (at + 1) / 20)).sum()) for at in range(20)]
    return StageResult(
        rows={"predictions": table.height},
        preview=table.tail(8),
        pictures={"probabilities, 0 to 1": sketches.bars(tenths)},
        nothing=why,
        unchanged_since=since,
    )


def _read_samples(
    pipeline: PipelineContext, end: datetime, horizons: Sequence[int]
) -> dict[int, Samples]:
    """`samples_until` of each horizon, kept for the predictions that follow."""
    start = pipeline.trading_periods()[0].start
    found = {horizon: samples_until(pipeline, end, horizon) for horizon in horizons}
    pipeline.kept_samples.clear()
    pipeline.kept_samples[_source(pipeline, start, end)] = found
    return found


def _samples_again(
    pipeline: PipelineContext, start: datetime, end: datetime, horizons: Sequence[int]
) -> dict[int, Samples]:
    """`samples_until` of each horizon, as the models read them where nothing has changed since."""
    kept = pipeline.kept_samples.pop(_source(pipeline, start, end), {})
    pipeline.kept_samples.clear()
    return {
        horizon: kept[horizon]
        if horizon in kept
        else samples_until(pipeline, end, horizon, start=start)
        for horizon in horizons
    }


def _source(pipeline: PipelineContext, start: datetime, end: datetime) -> str:
    """What events are read from: the content of the tables, and the columns."""
    keys = pipeline.overlapping(start, end)
    hashes = [pipeline.lake.content_hashes(table, keys) for table in ("labels", "features")]
    regimes = pipeline.lake.content_hashes("regimes")
    return pipeline.fingerprint(keys, end, hashes, regimes, model_columns(pipeline))


def samples_until(
    pipeline: PipelineContext, end: datetime, horizon: int, start: datetime | None = None
) -> Samples:
    """Events of one horizon before `end` (and from `start` on), each with the features of its own
    bar.
    """
    keys = pipeline.overlapping(start or pipeline.trading_periods()[0].start, end)
    events = (
        pipeline.lake.scan("labels", keys)
        .filter((pl.col("horizon") == horizon) & (pl.col("timestamp") < end))
        .collect(engine="in-memory")
    )
    wanted = events.lazy().select("symbol", "timestamp")
    known = (
        pipeline.lake.scan("features", keys)
        .join(wanted, on=["symbol", "timestamp"], how="semi")
        .collect(engine="in-memory")
    )
    return build_samples(
        sort_rows(known, ("symbol", "timestamp")), events, pipeline.lake.read("regimes"),
        model_columns(pipeline), horizon,
        hidden_regime=pipeline.settings.model.hidden_regime,
    )  # fmt: skip


def model_columns(pipeline: PipelineContext) -> tuple[str, ...]:
    """Feature columns that models see: the chosen set and cusum_event, without what only primary
    signals need.
    """
    return (*pipeline.settings.features.names, "cusum_event")
