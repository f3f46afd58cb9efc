"""Bins of the first training window: those that LightGBM finds there, for every later model, and no
value that came later shapes them.
"""

from dataclasses import replace
from datetime import timedelta

import lightgbm
import numpy as np
import polars as pl
import pytest

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import period_from_key
from harmony_pipeline.models import openmp
from harmony_pipeline.models.base import build_forecaster
from harmony_pipeline.models.bins import BinnedRows, training_data
from harmony_pipeline.models.first_window import first_window
from harmony_pipeline.models.gradient_boosting import GradientBoosting
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.models.settings import ModelSettings
from harmony_pipeline.models.walk_forward import predict_period, split, train_period
from harmony_pipeline.testing.forecaster_contract import planted_samples

CLOCK = Calendar.of("24/7")
MONTHS = [period_from_key(f"2023-{month:02}", "month", "UTC") for month in range(1, 7)]
FIRST = ModelSettings(bins="first_window", minimum_train_rows=200, parameters={"rounds": 30})
EVENTS = planted_samples(9000, 0.8, inputs=5, per_day=16)
"""Of January to May."""


def window_of(samples, periods=MONTHS, settings=FIRST):
    return first_window(samples, periods, CLOCK, "15Min", settings)


def trained(samples, period, settings=FIRST):
    window = window_of(samples, [one for one in MONTHS if one.start <= period.start], settings)
    return train_period(samples.binned(window), period, 8, CLOCK, "15Min", settings, "f")


def test_the_first_window_is_that_of_the_first_period_that_can_be_trained():
    window = window_of(EVENTS)
    assert window.period == "2023-02"
    parts = split(EVENTS, MONTHS[1], CLOCK, "15Min", FIRST)
    assert np.array_equal(window.X, EVENTS.X[parts.fit])
    assert window.last == EVENTS.frame["timestamp"].filter(pl.Series(parts.fit)).max()
    later = FIRST.model_copy(update={"minimum_train_rows": 3000})
    assert window_of(EVENTS, settings=later).period == "2023-03"
    assert window_of(EVENTS, MONTHS[:1]) is None
    assert window_of(EVENTS, settings=ModelSettings()) is None
    linear = {"forecaster": "harmony_pipeline.models.logistic:Logistic", "parameters": {}}
    assert window_of(EVENTS, settings=FIRST.model_copy(update=linear)) is None


def test_a_forecaster_of_others_asks_for_bins_where_one_of_them_does():
    blend = {
        "forecaster": "harmony_pipeline.models.blend:Blend",
        "parameters": {"members": [{"forecaster": "harmony_pipeline.models.ridge:Ridge"}]},
    }
    assert window_of(EVENTS, settings=FIRST.model_copy(update=blend)) is None
    whole = FIRST.model_copy(update={**blend, "parameters": {}})
    assert window_of(EVENTS, settings=whole) is not None


def test_the_trees_are_those_of_lightgbm_with_the_first_window_as_reference():
    window, period = window_of(EVENTS), MONTHS[3]
    fit = split(EVENTS, period, CLOCK, "15Min", FIRST).fit
    parameters = {
        **GradientBoosting(FIRST.parameters, FIRST.seed).parameters,
        "objective": "binary", "bagging_freq": 1, "seed": FIRST.seed, "deterministic": True,
        "force_col_wise": True, "enable_bundle": False, "verbosity": -1,
    }  # fmt: skip
    rounds = parameters.pop("rounds")
    missing = np.full((1, 5), np.nan)
    of_data = {"max_bin": 63, "enable_bundle": False, "feature_pre_filter": False, "verbosity": -1}
    first = np.vstack([window.X, missing])
    reference = lightgbm.Dataset(first, label=np.zeros(len(first)), params=of_data)
    data = lightgbm.Dataset(
        EVENTS.X[fit], label=EVENTS.labels()[fit], weight=EVENTS.weights()[fit],
        reference=reference, params=of_data,
    )  # fmt: skip
    by_hand = lightgbm.train(parameters, data, num_boost_round=rounds)
    model = trained(EVENTS, period).model
    assert np.array_equal(model.model.margin(EVENTS.X), by_hand.predict(EVENTS.X, raw_score=True))
    # and they are other trees than those of the window's own bins
    own = train_period(EVENTS, period, 8, CLOCK, "15Min", FIRST, "f").model
    assert not np.array_equal(model.model.margin(EVENTS.X), own.model.margin(EVENTS.X))
    thresholds = thresholds_of(model)
    # a threshold lies between neighbours of the first window
    for place, threshold in thresholds:
        known = np.sort(window.X[:, place])
        at = np.searchsorted(known, threshold)
        assert 0 < at < len(known)
        middle = 0.5 * (known[at - 1] + known[at])
        assert threshold == pytest.approx(middle, abs=1e-12) or abs(threshold) < 1e-30


def thresholds_of(model):
    dumped = model.model._booster.dump_model()["tree_info"]

    def below(node):
        if "split_feature" in node:
            yield node["split_feature"], node["threshold"]
            yield from below(node["left_child"])
            yield from below(node["right_child"])

    return [each for tree in dumped for each in below(tree["tree_structure"])]


def test_a_period_alone_has_the_model_of_the_backfill():
    together = EVENTS.binned(window_of(EVENTS))
    for period in MONTHS[1:5]:
        backfilled = train_period(together, period, 8, CLOCK, "15Min", FIRST, "f")
        known = EVENTS.where((EVENTS.frame["timestamp"] < period.end).to_numpy())
        alone = trained(known, period)
        assert alone.model.files() == backfilled.model.files()
        assert alone.model.card.bins["period"] == "2023-02"
        predicted = [predict_period(fold, EVENTS, period) for fold in (alone, backfilled)]
        assert predicted[0].equals(predicted[1])


def test_later_values_leave_the_bins_and_a_value_of_the_first_window_names_others():
    period = MONTHS[4]
    begun = (EVENTS.frame["timestamp"] >= period.start).to_numpy()
    honest = trained(EVENTS, period).model
    wild = EVENTS.X.copy()
    wild[begun] *= 1e6
    assert trained(replace(EVENTS, X=wild), period).model.files() == honest.files()
    moved = EVENTS.X.copy()
    moved[0, 0] += 1e-9
    other = trained(replace(EVENTS, X=moved), period).model
    assert other.card.bins["hash"] != honest.card.bins["hash"]
    assert {**other.card.bins, "hash": ""} == {**honest.card.bins, "hash": ""}
    again = type(honest).from_files(honest.files())
    assert again.card.bins == honest.card.bins
    assert (
        "bins"
        not in train_period(EVENTS, period, 8, CLOCK, "15Min", FIRST, "f").model.card.fields()
    )


def test_a_window_that_was_not_over_is_refused():
    window = window_of(EVENTS)
    late = replace(window, settled_by=window.settled_by + timedelta(days=60))
    with pytest.raises(ValueError, match="bins of the window of 2023-02"):
        train_period(EVENTS.binned(late), MONTHS[2], 8, CLOCK, "15Min", FIRST, "f")


def test_an_input_that_is_first_missing_later_keeps_its_missing_values_apart():
    period = MONTHS[4]
    X = EVENTS.X.copy()
    late = (EVENTS.frame["timestamp"] >= MONTHS[2].start).to_numpy()
    # what is missing was high: only a bin of its own can learn that
    hidden = late & (X[:, 0] > 0.8)
    X[hidden, 0] = np.nan
    model = trained(replace(EVENTS, X=X), period).model
    rows = np.tile(np.median(EVENTS.X, axis=0), (3, 1))
    rows[:, 0] = (np.nan, 0.7, -1.5)
    margins = model.model.margin(rows)
    assert margins[0] > margins[1] > margins[2]


def with_late_input(late):
    """Input 0 is 0.0 until March, and another's values after it."""
    X = EVENTS.X.copy()
    X[(EVENTS.frame["timestamp"] < MONTHS[2].start).to_numpy(), 0] = late
    return replace(EVENTS, X=X)


@pytest.mark.parametrize("late", [0.0, np.nan])
def test_an_input_that_did_not_vary_has_the_bins_of_each_window(late):
    samples, period = with_late_input(late), MONTHS[4]
    window = window_of(samples)
    fitted = samples.X[split(samples, period, CLOCK, "15Min", FIRST).fit]
    found = window.completed(fitted)
    assert np.array_equal(found[:, 1:], window.X[:, 1:], equal_nan=True)
    ranks = np.round(np.linspace(0, len(fitted) - 1, len(window.X))).astype(int)
    assert np.array_equal(found[:, 0], np.sort(fitted[:, 0])[ranks], equal_nan=True)
    fold = trained(samples, period)
    assert fold.model.model.importance()["input_0"] > 0.5
    # within the first window nothing is to be completed
    assert window.completed(window.X) is window.X
    alone = samples.where((samples.frame["timestamp"] < period.end).to_numpy())
    assert trained(alone, period).model.files() == fold.model.files()


def test_two_values_that_stay_the_same_two_need_no_other_bins():
    X = EVENTS.X.copy()
    X[:, 1] = np.where(X[:, 1] < 1.0, -1.0, 1.0)
    window = window_of(replace(EVENTS, X=X))
    assert window.completed(X) is window.X
    X[-1, 1] = 2.0
    assert window.completed(X) is not window.X


def test_inputs_that_were_mostly_one_value_do_not_break_the_fit():
    # LightGBM's own choice of a layout crashed here, with rows that stand together
    random = np.random.default_rng(5)
    first, later = random.normal(size=(600, 19)), random.normal(size=(7000, 19))
    first[:, 6:] = np.where(random.random((600, 13)) < 0.87, np.nan, first[:, 6:])
    frame = planted_samples(7000, 0.0).frame
    samples = Samples(frame, later, tuple(f"input_{number}" for number in range(19)))
    window = replace(window_of(EVENTS), X=first, names=samples.names)
    for kept in (window, replace(window, X=np.nan_to_num(first))):
        bins = BinnedRows.all(kept, later)
        parameters = {
            **GradientBoosting({}, 1).parameters, "objective": "binary", "seed": 1, "verbosity": -1,
            "feature_pre_filter": False, "force_row_wise": True, "bagging_freq": 1,
        }  # fmt: skip
        rounds = parameters.pop("rounds")
        data = training_data(later, bins, samples.labels(), samples.weights(), parameters)
        assert parameters["force_col_wise"]
        assert not parameters["force_row_wise"]
        openmp.lightgbm().train(parameters, data, num_boost_round=rounds)


@pytest.mark.parametrize("kind", ["boosted_returns:BoostedQuantiles", "bagging:SequentialBagging"])
def test_every_forecaster_of_trees_takes_the_bins(kind):
    path = f"harmony_pipeline.models.{kind}"
    few = {"bags": 2, "rounds": 10} if "Bagging" in kind else {"rounds": 10}
    binned = EVENTS.binned(window_of(EVENTS))
    rows = np.arange(EVENTS.height) < 4000
    with_bins, own = (
        build_forecaster(path, few, 3).fit(each.where(rows)) for each in (binned, EVENTS)
    )
    assert with_bins.save() != own.save()
    again = build_forecaster(path, few, 3).fit(binned.where(rows))
    assert with_bins.save() == again.save()


def test_labels_and_weights_by_row_go_with_the_rows():
    binned = EVENTS.binned(window_of(EVENTS))
    odd = np.arange(EVENTS.height) % 2 == 1
    part = binned.where(odd).where(np.arange(int(odd.sum())) < 500)
    assert np.array_equal(binned.X[part.bins.rows], part.X)
    assert isinstance(part.frame, pl.DataFrame)
    assert part.bins.events is binned.bins.events
