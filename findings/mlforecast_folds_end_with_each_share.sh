#!/bin/sh
# mlforecast 1.1.0, cross_validation: one share was delisted on 30 June, another has rows to December; one model is fitted to both.
# Guess: the folds are stretches of the calendar: the last is the last week of December, and the dead share, which has no rows there, is not in it.
# Seen: each share's folds are counted back from its own last row. The dead one is "tested" in its last week of June by a model that was fitted to the other
# share's rows until 22 December. Where both move with one market and the date is among the features, a tree has seen the answers: its
# mean error is 0.00 for the dead share and 1.85 standard deviations for the living one.
# Why it matters: a panel of shares of unequal ends (every panel without survivorship bias) is cross-validated with the future.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'mlforecast==1.1.0' 'pandas==2.3.3' 'numpy==2.3.5' 'scikit-learn==1.7.2'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import pandas as pd
from mlforecast import MLForecast
from sklearn.tree import DecisionTreeRegressor

days = pd.bdate_range("2023-01-02", "2023-12-29")
market = np.random.default_rng(0).normal(0, 1, len(days))
live = pd.DataFrame({"unique_id": "LIVE", "ds": days, "y": market})
dead = live[live["ds"] <= "2023-06-30"].assign(unique_id="DEAD")
latest = []


class Tree(DecisionTreeRegressor):
    """A tree that notes the last day that it was fitted to."""

    def fit(self, inputs, outcomes):
        latest.append(days[int(np.asarray(inputs["day"]).max())])
        return super().fit(inputs, outcomes)


def day(dates):
    return days.get_indexer(dates)


forecast = MLForecast(models={"tree": Tree(random_state=0)}, freq="B", lags=[1], date_features=[day])
folds = forecast.cross_validation(pd.concat([live, dead]), n_windows=1, h=5)
ends = folds.groupby("unique_id")["cutoff"].first()
errors = folds.assign(error=(folds["tree"] - folds["y"]).abs()).groupby("unique_id")["error"].mean()
print(f"the model was fitted to rows until {latest[0]:%Y-%m-%d}")
for name in ("DEAD", "LIVE"):
    print(f"{name}: tested after {ends[name]:%Y-%m-%d}, mean absolute error {errors[name]:.2f}")
assert latest == [pd.Timestamp("2023-12-22")] and ends["DEAD"] == pd.Timestamp("2023-06-23")
assert errors["DEAD"] < 1e-9 and errors["LIVE"] > 0.5
PY
