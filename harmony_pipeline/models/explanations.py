"""What a model looks at: permutation importance with its noise floor, and SHAP values.

*Permutation importance* of an input is how much the mean cross entropy of the calibrated
probabilities grows when the input's values change places among the events (Breiman 2001, "Random
forests", Machine Learning 45). It is measured on the calibration part, to which no tree was fitted.

Its *noise floor* is what an input without meaning reaches: the model is fitted again with copies of
inputs in random order beside the true ones, which have every distribution and no relation, and
their importances are measured in the same way (the shadow features of Kursa & Rudnicki 2010,
"Feature selection with the Boruta package", J. Statistical Software 36). The floor is the largest
of them. An input below it is not told from noise.

*SHAP values* say for each event what each input added to its log-odds; LightGBM computes them
itself (`BoostedTrees.contributions`).
"""

from dataclasses import dataclass, replace

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.models.base import Forecaster, Model
from harmony_pipeline.models.boosted_returns import ReturnTrees
from harmony_pipeline.models.calibration import Platt
from harmony_pipeline.models.gradient_boosting import BoostedTrees
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.models.walk_forward import Split, fit_calibrated

COPIES = 5
REPEATS = 3
_NOISE = "permuted_copy_{}"
MOST_ROWS = 5_000
"""Latest events that are explained: a forecast a permutation and an input is many forecasts."""


@dataclass(frozen=True)
class Importance:
    """table: input, importance (increase of the mean cross entropy, the mean over permutations),
    deviation (of it, over permutations), the largest first. floor: the largest importance of a copy
    without meaning.
    """

    table: pl.DataFrame
    floor: float

    @property
    def above(self) -> list[str]:
        """Inputs that are told from noise, the most important first."""
        return self.table.filter(pl.col("importance") > self.floor)["input"].to_list()


def permutation_importance(
    forecaster: Forecaster,
    samples: Samples,
    parts: Split,
    seed: int,
    oldest_weight: float = 1.0,
) -> Importance:
    """Importances on the calibration part of a model that is fitted to the other, with COPIES
    meaningless inputs. The seed alone decides which inputs are copied, and every permutation.
    """
    random = np.random.default_rng(seed)
    widened = with_permuted_copies(samples, COPIES, random)
    found = fit_calibrated(forecaster, widened, parts, oldest_weight)
    later = found.later.where(np.arange(found.later.height) >= found.later.height - MOST_ROWS)
    losses = importances(found.model, found.calibration, later, random, REPEATS)
    table = pl.DataFrame(
        {
            "input": widened.names,
            "importance": losses.mean(axis=1),
            "deviation": losses.std(axis=1, ddof=1),
        }
    )
    true = pl.col("input").is_in(list(samples.names))
    floor = table.filter(~true)["importance"].max()
    return Importance(
        table.filter(true).sort(["importance", "input"], descending=[True, False]),
        float(floor) if isinstance(floor, float) else 0.0,
    )


def with_permuted_copies(samples: Samples, copies: int, random: np.random.Generator) -> Samples:
    """The same events with `copies` further inputs: randomly chosen ones in random order."""
    chosen = random.integers(0, len(samples.names), copies)
    columns = [samples.X[random.permutation(samples.height), place] for place in chosen]
    X = np.column_stack([samples.X, *columns])
    names = (*samples.names, *(_NOISE.format(number) for number in range(copies)))
    widened = Samples(samples.frame, np.ascontiguousarray(X), names)
    window = samples.bin_window
    if window is None:
        return widened
    # the copy of an input has the input's bins
    known = np.ascontiguousarray(np.column_stack([window.X, window.X[:, chosen]]))
    return widened.binned(replace(window, X=known, names=names))


def importances(
    model: Model, calibration: Platt, later: Samples, random: np.random.Generator, repeats: int
) -> FloatArray:
    """The increase of the mean cross entropy, [inputs, repeats]."""
    labels, weights = later.labels(), later.weights()

    def loss(X: FloatArray) -> float:
        margin = calibration.slope * model.margin(X) + calibration.intercept
        each = np.logaddexp(0.0, margin) - labels * margin
        return float((each * weights).sum() / weights.sum())

    honest = loss(later.X)
    found = np.empty((len(later.names), repeats))
    X = later.X.copy()
    for place in range(len(later.names)):
        for repeat in range(repeats):
            X[:, place] = later.X[random.permutation(later.height), place]
            found[place, repeat] = loss(X) - honest
        X[:, place] = later.X[:, place]
    return found


def shap_values(model: Model, X: FloatArray) -> FloatArray | None:
    """What each input adds to the log-odds of each row [rows, inputs]; None for a model that is not
    a sum of trees.
    """
    if isinstance(model, ReturnTrees):
        return model.contributions(X)
    return model.contributions(X)[:, :-1] if isinstance(model, BoostedTrees) else None
