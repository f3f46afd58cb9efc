#!/bin/sh
# statsmodels 0.15.0, MarkovRegression: fittedvalues and predict() of returns whose regime is drawn anew every day, so that nothing can be predicted.
# Guess: what is fitted for a day does not change with what comes later, as that of AutoReg of the same package, which is the prediction of the day before.
# Seen: it is made of the smoothed probabilities, which know the day itself and all that follow. Its correlation with the return of its day is 0.93, and who
# is long where it is positive has a Sharpe ratio of 33 a year; with the probabilities predicted the day before (predict(probabilities="predicted"))
# the correlation is 0.04 and the ratio that of chance. The parameters are the same. (predict() says "Default is smoothed"; fittedvalues says nothing.)
# Why it matters: the in-sample "forecast" of a regime model is a picture of the past drawn with the future, under the name that is a forecast elsewhere.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'statsmodels==0.15.0' 'pandas==3.1.1' 'numpy==2.4.6' 'scipy==1.17.1'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
from statsmodels.tsa.api import AutoReg, MarkovRegression

ROWS = 2000
rng = np.random.default_rng(0)
returns = np.where(rng.random(ROWS) < 0.5, 0.01, -0.01) + rng.normal(0, 0.005, ROWS)
model = MarkovRegression(returns * 100, k_regimes=2)
result = model.fit(start_params=np.array([0.5, 0.5, -1.0, 1.0, 0.25]))
means = result.params[-3:-1]

by_hand = {
    "smoothed": result.smoothed_marginal_probabilities @ means,
    "predicted": result.predicted_marginal_probabilities[:ROWS] @ means,
}
series = {
    "fittedvalues": result.fittedvalues,
    "predict()": result.predict(),
    'predict(probabilities="predicted")': result.predict(probabilities="predicted"),
    "AutoReg.fittedvalues": np.r_[0.0, AutoReg(returns * 100, 1).fit().fittedvalues],
}


def judge(values):
    """Correlation with the return of the same day, and the Sharpe ratio a year of being long or short by the sign."""
    earned = np.sign(values - np.median(values)) * returns
    return float(np.corrcoef(values, returns)[0, 1]), float(earned.mean() / earned.std() * np.sqrt(252))


judged = {name: judge(np.asarray(values)) for name, values in series.items()}
for name, (correlation, sharpe) in judged.items():
    print(f"{name}: correlation with the day's return {correlation:.2f}, Sharpe ratio {sharpe:.1f}")
assert np.abs(result.fittedvalues - by_hand["smoothed"]).max() < 1e-9
assert np.abs(series['predict(probabilities="predicted")'] - by_hand["predicted"]).max() < 1e-9
assert all(judged[name][0] > 0.8 and judged[name][1] > 15 for name in ("fittedvalues", "predict()"))
assert all(abs(judged[name][0]) < 0.1 and abs(judged[name][1]) < 2 for name in ('predict(probabilities="predicted")', "AutoReg.fittedvalues"))
PY
