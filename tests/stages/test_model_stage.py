"""Other forecasters, blends of horizons and searches through the stages, trained again to the same
bytes.
"""

import json
from datetime import datetime

import numpy as np
import polars as pl
import pytest

from harmony_pipeline.errors import NotReady
from harmony_pipeline.models.horizon_blend import BLEND
from harmony_pipeline.stages import cross_validation, look_ahead_checks, models
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.model_explanations import permutation_picture
from harmony_pipeline.stages.model_verification import retrain
from harmony_pipeline.stages.models import training_recipe
from harmony_pipeline.stages.result import StageResult


def with_model(pipeline, **changes):
    """The same market under other settings of [model]."""
    settings = pipeline.settings
    model = type(settings.model).model_validate({**settings.model.model_dump(), **changes})
    return PipelineContext(settings.model_copy(update={"model": model}))


def trained(pipeline):
    """Ids of the traded horizon's models by period, with predictions made, each trained again."""
    periods = pipeline.retraining_periods()
    result = models.model(pipeline, periods)
    models.predictions(pipeline, periods)
    horizon = pipeline.settings.trade_horizon
    ids = pipeline.lake.read("models").filter(horizon=horizon)["model_id"].to_list()
    assert ids
    assert all(retrain(pipeline, each).equal for each in ids)
    for check in (
        look_ahead_checks.models_know_no_future,
        look_ahead_checks.predictions_know_no_future,
    ):
        assert check(pipeline, periods).is_empty()
    return [pipeline.registry.load(each) for each in ids], result


def drawn_now(result: StageResult) -> dict[str, bytes]:
    """The pictures, every one of them drawn."""
    return {
        name: picture if isinstance(picture, bytes) else picture()
        for name, picture in result.pictures.items()
    }


def test_a_regression_trades_through_the_same_stages(copied):
    pipeline = with_model(copied, forecaster="harmony_pipeline.models.ridge:Ridge")
    found, result = trained(pipeline)
    assert all(model.model_id.startswith("ridge-h4-") for model in found)
    assert pipeline.lake.read("predictions")["probability"].is_between(0.0, 1.0).all()
    drawn = drawn_now(result)
    assert "permutation importance" in drawn
    assert "SHAP values" not in drawn


def test_the_default_is_explained_by_permutation_and_by_shap(copied):
    result = models.model(PipelineContext(copied.settings, again=True), copied.retraining_periods())
    drawn = drawn_now(result)
    assert {"feature importance", "permutation importance", "SHAP values"} <= set(drawn)
    assert all(drawn[name].startswith(b"\x89PNG") for name in drawn)
    settings, model_id, read = result.pictures["permutation importance"].given()

    def half(pipeline, end, horizon):
        events = read(pipeline, end, horizon)
        return events.where(np.arange(events.height) % 2 == 0)

    with pytest.raises(NotReady, match=f"the training events of {model_id} changed"):
        permutation_picture(settings, model_id, half)


def test_horizons_are_blended_for_the_traded_one_alone(copied):
    pipeline = with_model(copied, blend_horizons=True)
    found, result = trained(pipeline)
    assert {model.card.forecaster for model in found} == {BLEND}
    assert {tuple(model.card.parameters["horizons"]) for model in found} == {(4, 12)}
    others = pipeline.lake.read("models").filter(horizon=12)
    assert (others["forecaster"] == copied.settings.model.forecaster).all()
    assert "permutation importance" in drawn_now(result)
    for horizon, changes in ((4, True), (12, False)):
        # the recipe holds the setting for every horizon, and the other horizons for the traded one
        labels = pipeline.settings.labels.model_copy(update={"horizons_bars": (4, 8, 12)})
        other = PipelineContext(pipeline.settings.model_copy(update={"labels": labels}))
        same = training_recipe(other, horizon) == training_recipe(pipeline, horizon)
        assert same != changes


def test_a_search_is_told_in_the_models_table_and_is_another_recipe(copied):
    pytest.importorskip("optuna")
    logistic = {"forecaster": "harmony_pipeline.models.logistic:Logistic"}
    plain = with_model(copied, **logistic)
    pipeline = with_model(copied, **logistic, search={"trials": 3, "groups": 3})
    assert training_recipe(pipeline, 4) != training_recipe(plain, 4)
    found, _ = trained(pipeline)
    assert {model.card.searched for model in found} == {3}
    metrics = [json.loads(each) for each in pipeline.lake.read("models")["metrics"]]
    assert all(each["search"]["trials"] == 3 for each in metrics)


def test_a_sequence_of_lagged_returns_is_learned_from_the_lake(copied):
    pytest.importorskip("torch")
    from harmony_pipeline.stages import research

    settings = copied.settings
    names = (*settings.features.names, "lagged_return_1", "lagged_return_2", "lagged_return_3")
    features = settings.features.model_copy(update={"names": names})
    pipeline = with_model(
        PipelineContext(settings.model_copy(update={"features": features})),
        forecaster="harmony_pipeline.models.sequence_network:SequenceNetwork",
        parameters={"epochs": 2},
    )
    research.features(pipeline, pipeline.trading_periods())
    found, _ = trained(pipeline)
    assert all(model.model.weights.past.shape == (1, 24) for model in found)
    assert "lagged_return_3_sided" in found[0].card.names


def test_bins_of_the_first_window_are_the_same_alone_and_in_a_backfill(copied):
    pipeline = with_model(
        copied,
        forecaster="harmony_pipeline.models.gradient_boosting:GradientBoosting",
        bins="first_window",
    )
    found, result = trained(pipeline)
    first = found[0].card
    assert first.bins["period"] == first.period
    assert all(model.card.bins == first.bins for model in found)
    made = pipeline.lake.read("models")
    horizon = pipeline.settings.trade_horizon
    (recipe,) = set(made.filter(horizon=horizon)["recipe"])
    assert recipe != training_recipe(pipeline, horizon)
    assert {"permutation importance", "SHAP values"} <= set(drawn_now(result))
    periods = pipeline.retraining_periods()
    assert look_ahead_checks.scores_vanish_with_shifted_labels(pipeline, periods).is_empty()
    alone = PipelineContext(pipeline.settings, again=True)
    for period in periods[-1:], periods[-2:-1]:
        models.model(alone, period)
    assert alone.lake.read("models").drop("created_at").equals(made.drop("created_at"))
    cross_validation.cross_validation(pipeline)
    assert recipe in set(pipeline.lake.read("cross_validation")["recipe"])
    # another value in the first window: other bins, and models that share no evidence with these
    key = pipeline.overlapping(datetime.fromisoformat(first.bins["first"]), periods[-1].end)[0]
    features = pipeline.lake.read("features", [key])
    pipeline.lake.write("features", key, features.with_columns(pl.col("rsi_14") + 1e-9))
    again = retrain(pipeline, found[-1].model_id)
    assert "the first training window, whose bins it has, changed in the lake" in again.sentence
    models.model(PipelineContext(pipeline.settings), periods)
    assert recipe not in set(pipeline.lake.read("models")["recipe"])


def test_bins_of_the_first_window_are_those_of_the_traded_horizon_in_a_blend_of_horizons(copied):
    pipeline = with_model(
        copied,
        forecaster="harmony_pipeline.models.gradient_boosting:GradientBoosting",
        bins="first_window",
        blend_horizons=True,
    )
    found, _ = trained(pipeline)
    assert {model.card.forecaster for model in found} == {BLEND}
    assert all(model.card.bins["period"] == found[0].card.period for model in found)


def test_a_forecaster_without_bins_has_the_recipe_that_it_had(copied):
    logistic = {"forecaster": "harmony_pipeline.models.logistic:Logistic"}
    pipeline = with_model(copied, **logistic, bins="first_window")
    found, _ = trained(pipeline)
    assert all(model.card.bins is None for model in found)
    assert {model.card.recipe for model in found} == {training_recipe(pipeline, 4)}


def test_predictions_take_over_the_events_of_the_models_and_read_again_what_has_changed(
    copied, monkeypatch
):
    periods, read = copied.retraining_periods(), []
    before = copied.lake.read("predictions")

    def counted(*arguments, **options):
        read.append(arguments[2])
        return models_samples_until(*arguments, **options)

    models_samples_until = models.samples_until
    monkeypatch.setattr(models, "samples_until", counted)
    pipeline = PipelineContext(copied.settings, again=True)
    models.model(pipeline, periods)
    models.predictions(pipeline, periods)
    assert read == [4, 12]  # by the models alone
    assert pipeline.lake.read("predictions").equals(before)
    assert not pipeline.kept_samples
    # of other periods, and of labels that were written since
    models.model(pipeline, periods)
    models.predictions(pipeline, periods[-1:])
    assert read == [4, 12] * 3
    models.model(pipeline, periods)
    key = pipeline.lake.partitions("labels")[0]
    labels = pipeline.lake.read("labels", [key])
    pipeline.lake.write("labels", key, labels.with_columns(weight=pl.col("weight") * 0.5))
    models.predictions(pipeline, periods)
    assert read == [4, 12] * 5
