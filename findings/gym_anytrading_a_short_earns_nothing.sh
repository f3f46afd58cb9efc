#!/bin/sh
# gym-anytrading 2.0.0, StocksEnv: reward and profit of its two positions, Short and Long.
# Guess: a short held while the price halves earns about half of the account, and the reward of an episode has the sign of its profit.
# Seen: the short earns a reward of 0.0 and a profit factor of exactly 1.0: Short is no position at all. A long held to the last bar has a
# reward of 0.0 too, while its account falls to 0.52 of what it was: a reward is paid at a sale only, the profit also at the end.
# Why it matters: an agent that is trained on this reward never learns to sell short, and learns that a losing share is best never sold.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'gym-anytrading==2.0.0' 'gymnasium==1.2.3' 'pandas==2.3.3' 'numpy==1.26.4' 'matplotlib==3.10.8'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import pandas as pd
from gym_anytrading.envs import Actions, StocksEnv

price = np.linspace(100, 50, 30)
bars = pd.DataFrame({"Open": price, "High": price, "Low": price, "Close": price, "Volume": 1.0})


def episode(action):
    """Take one action at every bar; return the sum of rewards and the last info."""
    env = StocksEnv(df=bars, window_size=2, frame_bound=(2, 30))
    env.trade_fee_bid_percent = env.trade_fee_ask_percent = 0.0
    env.reset(seed=0)
    rewards, ended = 0.0, False
    while not ended:
        _, reward, _, ended, info = env.step(action.value)
        rewards += reward
    return float(rewards), float(info["total_profit"])


# The first action is taken at bar 2 at the earliest; between there and the end the price falls by nearly half.
fall = price[-1] / price[2]
short, long = episode(Actions.Sell), episode(Actions.Buy)
print(f"price at the end over price at the first action: {fall:.3f}")
print(f"short: rewards {short[0]}, account {short[1]:.3f} (a short of the whole account: {2 - fall:.3f})")
print(f"long:  rewards {long[0]}, account {long[1]:.3f}")
assert short == (0.0, 1.0)
assert long[0] == 0.0 and abs(long[1] - fall) < 0.01
PY
