"""The walk-forward harness beside bare LightGBM calls: the same folds, rows and parameters.

The harness runs twice: with bins of each window, as the bare calls, and with those of the first
window (`model.bins`), which it finds itself, as the stage `model` does.

    python benchmarks/walk_forward.py [--rows 120000] [--folds 8] [--before CHECKOUT]

The bare calls bin, grow and predict (the calibration part and the test part of each fold), and
nothing else: no split, no calibration, no metrics, no hashes, no tables of predictions. The masks
of their folds are given. Works are taken in turn; the best of three rounds, by the time of the
cores. Ends with a line for each target; exit code 1 on a miss. `--before` names a checkout of an
earlier Harmony, whose harness is run in turns with this one.
"""

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from side_by_side import ROOT, judge, run_task

from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.periods import Period, period_from_key
from harmony_pipeline.models.gradient_boosting import GradientBoosting
from harmony_pipeline.models.openmp import ensure_openmp
from harmony_pipeline.models.samples import Samples
from harmony_pipeline.models.settings import ModelSettings
from harmony_pipeline.models.walk_forward import predict_period, split, train_period
from harmony_pipeline.testing.forecaster_contract import planted_samples

CLOCK, SETTINGS, HORIZON, INPUTS, PER_DAY = Calendar.of("24/7"), ModelSettings(), 8, 20, 90


def folds_of(samples: Samples, count: int) -> list[Period]:
    """The last `count` months that have events."""
    months = samples.frame["timestamp"].dt.strftime("%Y-%m").unique().sort().to_list()
    return [period_from_key(key, "month", "UTC") for key in months[-count:]]


def harness(samples: Samples, folds: list[Period], *, first: bool) -> None:
    """Train each fold and predict its period; `first`: with the bins of the first window."""
    if first:
        # imported here: an earlier Harmony (--before) has none
        from harmony_pipeline.models.first_window import first_window

        chosen = SETTINGS.model_copy(update={"bins": "first_window"})
        samples = samples.binned(first_window(samples, folds, CLOCK, "15Min", chosen))
    for fold in folds:
        found = train_period(samples, fold, HORIZON, CLOCK, "15Min", SETTINGS, "f")
        assert found.model is not None, found.reason
        predict_period(found, samples, fold)


def bare_calls(samples: Samples, folds: list[Period]) -> Callable[[], None]:
    """The calls of LightGBM of the same folds, on rows that are chosen beforehand."""
    ensure_openmp()
    import lightgbm as lgb

    parameters = {
        **GradientBoosting(SETTINGS.parameters, SETTINGS.seed).parameters,
        "objective": "binary", "bagging_freq": 1, "feature_pre_filter": False, "verbosity": -1,
        "seed": SETTINGS.seed, "deterministic": True, "force_row_wise": True,
    }  # fmt: skip
    rounds = parameters.pop("rounds")
    labels, weights = samples.labels(), samples.weights()
    parts = [split(samples, fold, CLOCK, "15Min", SETTINGS) for fold in folds]

    def run() -> None:
        for part in parts:
            data = lgb.Dataset(
                samples.X[part.fit], label=labels[part.fit], weight=weights[part.fit],
                params=parameters,
            )  # fmt: skip
            booster = lgb.train(parameters, data, num_boost_round=rounds)
            for rows in (part.calibrate, part.test):
                booster.predict(samples.X[rows], raw_score=True, num_threads=1)

    return run


def best(work: Callable[[], None], rounds: int = 3) -> float:
    """Least time of the cores."""
    found = []
    for _ in range(rounds):
        begun = time.process_time()
        work()
        found.append(time.process_time() - begun)
    return min(found)


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=120_000)
    parser.add_argument("--folds", type=int, default=8)
    parser.add_argument("--before", type=Path, help="a checkout of an earlier Harmony")
    parser.add_argument("--task", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    rows, folds = chosen.rows, chosen.folds
    if chosen.task:  # name:rows:folds
        name, rows, folds = chosen.task.split(":")
        samples = planted_samples(int(rows), 0.3, inputs=INPUTS, per_day=PER_DAY)
        periods = folds_of(samples, int(folds))
        first = name == "harness, first window"
        work = (
            bare_calls(samples, periods)
            if name == "bare"
            else lambda: harness(samples, periods, first=first)
        )
        work()
        print(f'{{"seconds": {best(work)}}}')
        return 0
    trees = {"bare": ROOT, "harness, each window": ROOT, "harness, first window": ROOT}
    if chosen.before:
        trees["harness before"] = chosen.before.resolve()
    seconds: dict[str, list[float]] = {name: [] for name in trees}
    for _ in range(2):
        for name, tree in trees.items():
            found = run_task(__file__, f"{name}:{rows}:{folds}", tree=tree)
            seconds[name].append(np.nan if found is None else found["seconds"])
    least = {name: float(np.nanmin(taken)) for name, taken in seconds.items()}
    for name, taken in least.items():
        print(f"{name:21} {taken:7.3f} s of the cores")
    met = [
        judge(f"bare calls / {name}", least["bare"] / least[name], wanted)
        for name, wanted in (("harness, each window", 1.0), ("harness, first window", 1.2))
    ]
    return 0 if all(met) else 1


if __name__ == "__main__":
    sys.exit(main())
