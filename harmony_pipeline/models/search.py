"""Hyper-parameter search inside one training window, by purged cross-validation.

A period searches anew on the events that its model is fitted to. It sees neither the calibration
part nor anything later, so the calibration, and the test more so, stay untouched by the choice.

The events are cut into groups in order of time; each is predicted by a model of the others, purged
and embargoed on both sides (`purged_folds.py`). All margins together get one Platt calibration, and
the score is their weighted mean cross entropy, so forecasters of any scale can be compared. Trial 0
is the settings' own parameters, and another choice must score better. The sampler (tree-structured
Parzen estimator: Bergstra et al. 2011, "Algorithms for hyper-parameter optimization", NeurIPS 24;
optuna) is seeded by the model's seed. The number of trials is part of the recipe, since trying more
is another way to make a model.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.errors import ConfigError, DataError
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.models.base import Range, build_forecaster, forecaster_class
from harmony_pipeline.models.calibration import fit_platt
from harmony_pipeline.models.purged_folds import Fold, folds
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.models.settings import CrossValidationSettings, ModelSettings

_FEWEST_ROWS = 20  # of a fold's training events


@runtime_checkable
class Searchable(Protocol):
    """A forecaster class whose parameters can be searched."""

    search_space: Mapping[str, Range]


@dataclass(frozen=True)
class SearchResult:
    """parameters: over the forecaster's defaults. score: mean cross entropy out of fold (lower is
    better), None when nothing could be searched. score_of_settings: of trial 0. trials: done.
    """

    parameters: dict[str, Any]
    trials: int
    score: float | None
    score_of_settings: float | None


def search_parameters(
    samples: Samples, settings: ModelSettings, seed: int, calendar: Calendar, timeframe: str
) -> SearchResult:
    """The parameters that predict best inside `samples`, the resolved events to fit.

    With too few events for the folds nothing is searched, and the settings' own parameters stay.
    Raises ConfigError when the forecaster says of no parameter in which range to search.
    """
    kind = forecaster_class(settings.forecaster)
    if not isinstance(kind, Searchable) or not kind.search_space:
        raise ConfigError(
            f"model.search.trials = {settings.search.trials}, but {settings.forecaster} has no"
            " search_space; set trials = 0, or choose another forecaster"
        )
    space = {
        name: allowed
        for name, allowed in kind.search_space.items()
        if name not in settings.parameters  # what the settings say is decided
    }
    try:
        found = folds(
            samples, calendar, timeframe, settings.embargo_bars,
            CrossValidationSettings(groups=settings.search.groups, test_groups=1),
        )  # fmt: skip
    except DataError:
        found = []
    usable = [fold for fold in found if _can_teach(samples, fold)]
    if not usable or not space:
        return SearchResult(dict(settings.parameters), 0, None, None)

    def score(parameters: Mapping[str, Any]) -> float:
        chosen = {**settings.parameters, **parameters}
        return out_of_fold_loss(samples, usable, settings.forecaster, chosen, seed)

    return _studied(settings, space, seed, score)


def _studied(
    settings: ModelSettings, space: Mapping[str, Range], seed: int, score: Any
) -> SearchResult:
    """The best of the trials that optuna proposes."""
    optuna = _optuna()
    defaults = build_forecaster(settings.forecaster, settings.parameters, seed).parameters
    before = optuna.logging.get_verbosity()
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    try:
        study = optuna.create_study(sampler=optuna.samplers.TPESampler(seed=seed))
        study.enqueue_trial({name: defaults[name] for name in space}, skip_if_exists=True)
        study.optimize(
            lambda trial: score({name: _proposed(trial, name, space[name]) for name in space}),
            n_trials=settings.search.trials,
        )
    finally:
        optuna.logging.set_verbosity(before)
    best = study.best_trial
    return SearchResult(
        {**settings.parameters, **best.params},
        len(study.trials),
        float(best.value),
        float(study.trials[0].value),
    )


def _proposed(trial: Any, name: str, allowed: Range) -> float | int:
    if allowed.whole:
        return int(
            trial.suggest_int(name, int(allowed.low), int(allowed.high), log=allowed.logarithmic)
        )
    return float(trial.suggest_float(name, allowed.low, allowed.high, log=allowed.logarithmic))


def out_of_fold_loss(
    samples: Samples,
    chosen: list[Fold],
    forecaster: str,
    parameters: Mapping[str, Any],
    seed: int,
) -> float:
    """Weighted mean cross entropy of the calibrated margins of every test event, each by a model
    that has not seen it.
    """
    margins, labels, weights = list[FloatArray](), list[FloatArray](), list[FloatArray]()
    for fold in chosen:
        model = build_forecaster(forecaster, parameters, seed).fit(samples.where(fold.train))
        tested = samples.where(fold.test)
        margins.append(model.margin(tested.X))
        labels.append(tested.labels())
        weights.append(tested.weights())
    margin, label, weight = (np.concatenate(each) for each in (margins, labels, weights))
    raised = fit_platt(margin, label, weight)
    margin = raised.slope * margin + raised.intercept
    loss = weight * (np.logaddexp(0.0, margin) - label * margin)
    return float(loss.sum() / weight.sum())


def _can_teach(samples: Samples, fold: Fold) -> bool:
    labels = samples.labels()[fold.train]
    return labels.size >= _FEWEST_ROWS and np.unique(labels).size == 2


def _optuna() -> Any:
    try:
        import optuna
    except ImportError:
        raise ConfigError(
            "model.search.trials needs optuna, which is not installed; install it with: pip"
            " install 'harmony-pipeline[search]', or set model.search.trials = 0"
        ) from None
    return optuna
