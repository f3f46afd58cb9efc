#!/bin/sh
# xgboost-cpu 3.2.0, lightgbm 4.7.0, catboost 1.2.10: sample weights that sum to 1 give another model than the same weights with a mean of 1.
# Guess: weights are relative, so one factor on all of them changes no prediction, as with a weighted mean.
# Seen: xgboost learns nothing at all: one probability for every row (min_child_weight=1 is a sum of weighted curvatures, which 1 in all never reaches).
# lightgbm and catboost learn, with other probabilities by 0.2 and more (min_sum_hessian_in_leaf, l2_leaf_reg). A factor of 1,000 moves xgboost by 0.8.
# Why it matters: weights by uniqueness, decay or return are often normalised to a sum of 1, which looks like a market without any signal.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'xgboost-cpu==3.2.0' 'lightgbm==4.7.0' 'catboost==1.2.10' 'numpy==2.4.6' 'pandas==2.3.3'
"$work/venv/bin/python" -W ignore - <<'PY'
import catboost
import lightgbm
import numpy as np
import xgboost

random = np.random.default_rng(0)
rows = 2_000
X = random.normal(size=(rows, 4))
y = (X[:, 0] + 0.5 * X[:, 1] + random.normal(0, 1, rows) > 0).astype(float)
weights = random.uniform(0.5, 1.5, rows)
weights /= weights.mean()


def by_xgboost(weight):
    data = xgboost.DMatrix(X, y, weight=weight)
    return xgboost.train({"objective": "binary:logistic", "max_depth": 3, "nthread": 1}, data, 50).predict(data)


def by_lightgbm(weight):
    return lightgbm.train({"objective": "binary", "verbosity": -1, "num_threads": 1}, lightgbm.Dataset(X, y, weight=weight), 50).predict(X)


def by_catboost(weight):
    model = catboost.CatBoostClassifier(iterations=50, depth=3, verbose=False, thread_count=1, allow_writing_files=False)
    return model.fit(X, y, sample_weight=weight).predict_proba(X)[:, 1]


moved = {}
for name, fitted in (("xgboost", by_xgboost), ("lightgbm", by_lightgbm), ("catboost", by_catboost)):
    mean_of_one, sum_of_one = fitted(weights), fitted(weights / weights.sum())
    moved[name] = float(np.abs(mean_of_one - sum_of_one).max())
    print(f"{name}: deviation of the probabilities {mean_of_one.std():.3f} and {sum_of_one.std():.3f}, largest move {moved[name]:.2f}")
    if name == "xgboost":
        assert mean_of_one.std() > 0.3 and sum_of_one.std() < 1e-6
assert min(moved.values()) > 0.1
more = float(np.abs(by_xgboost(weights * 1_000) - by_xgboost(weights)).max())
print(f"xgboost, weights times 1,000: largest move {more:.2f}")
assert more > 0.5
PY
