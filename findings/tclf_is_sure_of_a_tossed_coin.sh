#!/bin/sh
# tclf 0.4.0, ClassicalClassifier with the quote rule: trades at the midpoint, on which the rule has no opinion.
# Guess: 0 or NaN for them, and predict_proba says 0.5.
# Seen: each gets a side by a coin (strategy="random" is the default, with seed 42), and predict_proba calls it certain: 1.0. Of 10,000 trades at the
# midpoint 5,000 are bought and 5,000 sold, give or take; per minute of 20 trades the imbalance has a deviation of 4.4 trades where there is
# none to know. strategy="const" gives the 0 and the 0.5.
# Why it matters: a signal of order flow is noise on every share that trades at the midpoint, the seed makes it repeatable, and no column tells which
# sides were made up.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'tclf==0.4.0' 'scikit-learn==1.9.1' 'pandas==3.0.6' 'numpy==1.26.4'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import pandas as pd
from tclf.classical_classifier import ClassicalClassifier

TRADES, MINUTE = 10_000, 20
trades = pd.DataFrame({"trade_price": np.full(TRADES, 10.25), "bid_ex": np.full(TRADES, 10.0), "ask_ex": np.full(TRADES, 10.5)})
trades.loc[0, "trade_price"] = 10.5
by_hand = np.sign(trades["trade_price"] - (trades["bid_ex"] + trades["ask_ex"]) / 2).to_numpy()
assert by_hand[0] == 1 and not by_hand[1:].any()


def sides(**options):
    model = ClassicalClassifier(layers=[("quote", "ex")], **options).fit(trades)
    return model.predict(trades), model.predict_proba(trades)


side, probability = sides()
minutes = side.reshape(-1, MINUTE).sum(axis=1)
print(f"default: {int((side == 1).sum())} bought, {int((side == -1).sum())} sold, 0 for {int((side == 0).sum())}; least certain {probability.max(axis=1).min()}")
print(f"deviation of the imbalance of {MINUTE} trades: {minutes.std():.2f}, that of coins {np.sqrt(MINUTE):.2f}")
assert side[0] == 1 and not (side == 0).any() and probability.max(axis=1).min() == 1.0
assert abs((side == 1).mean() - 0.5) < 0.03 and abs(minutes.std() / np.sqrt(MINUTE) - 1) < 0.15
again, other = sides()[0], sides(random_state=1)[0]
print(f"again: {(again == side).mean():.0%} the same sides; with another seed: {(other == side).mean():.0%}")
assert (again == side).all() and 0.4 < (other == side).mean() < 0.6
constant, even = sides(strategy="const")
assert (constant == by_hand).all() and (even[1:] == 0.5).all()
PY
