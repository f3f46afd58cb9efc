"""A contextual bandit over multipliers of the position: LinUCB with disjoint linear models (Li,
Chu, Langford and Schapire, "A contextual-bandit approach to personalized news article
recommendation", WWW 2010, algorithm 1).

For each multiplier a, with ridge r: A_a = r I + sum of x x', b_a = sum of x y over the trades that
it was given and that are settled, w_a = A_a^-1 b_a. At a trade with signals x the multiplier with
the largest w_a x + alpha sqrt(x' A_a^-1 x) is taken, of equal ones the smallest. What it earns is
y = z - lambda z^2 / 2 for z = multiplier * profit / (equity * target_trade_volatility): the profit
in units of what a trade is meant to move, less a penalty for its size.

Trades come in the order of time, and a trade teaches when it is settled, not when it is made: a
choice knows only what was settled by its decision. Nothing is drawn, so the same trades give the
same weights.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from harmony_pipeline.arrays import FloatArray, IntArray

POLICY_ARMS = 5  # the most multipliers that one policy chooses among
POLICY_SIGNALS = 5  # what it looks at (policy_kernels.py)


@dataclass(frozen=True)
class Lessons:
    """Settled trades at the size of the rule that the policy scales. `decided` and `settled` are
    microseconds UTC, `signals` [trades, signals], `gains` the profit in units of equity *
    target_trade_volatility.
    """

    decided: IntArray
    settled: IntArray
    signals: FloatArray
    gains: FloatArray


@dataclass(frozen=True)
class BanditRule:
    """What is chosen among, and how boldly."""

    multipliers: tuple[float, ...]
    exploration: float
    ridge: float
    risk_aversion: float
    minimum_trades: int

    def reward(self, multiplier: float, gain: float) -> float:
        """What a trade of that multiplier earned."""
        z = multiplier * gain
        return z - 0.5 * self.risk_aversion * z * z


@dataclass
class LinUCB:
    """The posterior of every multiplier."""

    rule: BanditRule
    size: int
    precision: FloatArray = field(init=False)
    """A: [multipliers, signals, signals]."""
    moments: FloatArray = field(init=False)
    """b: [multipliers, signals]."""
    learned: int = 0

    def __post_init__(self) -> None:
        arms = len(self.rule.multipliers)
        self.precision = np.tile(self.rule.ridge * np.eye(self.size), (arms, 1, 1))
        self.moments = np.zeros((arms, self.size))

    def weights(self) -> FloatArray:
        """w: [multipliers, signals]."""
        solved = np.linalg.solve(self.precision, self.moments[:, :, None])
        return np.asarray(solved[:, :, 0], np.float64)

    def choose(self, x: FloatArray) -> int:
        """The place of the multiplier with the largest upper bound for the signals x."""
        spread = np.linalg.solve(self.precision, np.broadcast_to(x, self.moments.shape)[:, :, None])
        bounds = self.weights() @ x + self.rule.exploration * np.sqrt(spread[:, :, 0] @ x)
        return int(np.argmax(bounds))

    def learn(self, arm: int, x: FloatArray, reward: float) -> None:
        """Take in what the multiplier number `arm` earned."""
        self.precision[arm] += np.outer(x, x)
        self.moments[arm] += reward * x
        self.learned += 1


@dataclass(frozen=True)
class LearnedPolicy:
    """The weights [multipliers, signals] of what was settled by `since`, microseconds UTC; none
    where that was too little.
    """

    since: int
    trades: int
    weights: FloatArray | None


def learn_policies(
    lessons: Lessons, rule: BanditRule, starts: Sequence[int]
) -> list[LearnedPolicy]:
    """The policy of each period that begins at one of `starts` (microseconds UTC, ascending), from
    the trades that were settled by then.
    """
    bandit = LinUCB(rule, lessons.signals.shape[1])
    events = sorted(
        [(int(at), 0, row) for row, at in enumerate(lessons.settled)]
        + [(int(at), 1, row) for row, at in enumerate(lessons.decided)]
    )
    chosen, found, place = dict[int, int](), list[LearnedPolicy](), 0
    for start in starts:
        while place < len(events) and events[place][0] <= start:
            _at, decides, row = events[place]
            place += 1
            x = lessons.signals[row]
            if decides:
                chosen[row] = bandit.choose(x)
            elif row in chosen:
                arm = chosen.pop(row)
                gain = float(lessons.gains[row])
                bandit.learn(arm, x, rule.reward(rule.multipliers[arm], gain))
        enough = bandit.learned >= rule.minimum_trades
        found.append(LearnedPolicy(start, bandit.learned, bandit.weights() if enough else None))
    return found
