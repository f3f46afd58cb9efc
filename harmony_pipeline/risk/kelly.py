"""Bets on the two barriers of a trade: the size that each idea of a good bet asks for.

A trade of currency value v gains v * gain with probability p and loses v * loss otherwise; gain and
loss are the distances of the barriers as fractions of the price. Sizes are returned as a multiple
of the equity, v / equity. A bet without edge has size 0.

- Kelly, "A new interpretation of information rate", Bell System Technical Journal 35 (1956);
  Thorp, "The Kelly criterion in blackjack, sports betting and the stock market" (2006).
- The bound on ruin: Busseti, Ryu, Boyd, "Risk-constrained Kelly gambling", Journal of Investing 25
  (2016), section 3.
- Utility: Merton, "Lifetime portfolio selection under uncertainty" (1969), here for two outcomes.
- Reaching a wealth: Browne, "Reaching goals by a deadline: digital options and continuous-time
  active portfolio management", Advances in Applied Probability 31 (1999), theorem 3.1.
"""

import math

from harmony_pipeline.kernel import kernel_without_allocation

_BISECTIONS = 80  # from an interval of 80 or 1 to the last bits of a double


@kernel_without_allocation
def kelly_bet(probability: float, gain: float, loss: float) -> float:
    """Argmax of p log(1 + v gain) + (1 - p) log(1 - v loss): p / loss - (1 - p) / gain."""
    return max(0.0, probability / loss - (1.0 - probability) / gain)


@kernel_without_allocation
def utility_bet(
    probability: float, gain: float, loss: float, cost: float, risk_aversion: float
) -> float:
    """Argmax of the expected utility W^(1 - a) / (1 - a) of wealth W, the logarithm for a = 1, when
    every round trip costs v * cost.

    With G = gain - cost, L = loss + cost and K = (p G / ((1 - p) L))^(1 / a) it is (K - 1) / (G + K
    L).
    """
    won, lost = gain - cost, loss + cost
    if won <= 0.0 or probability * won <= (1.0 - probability) * lost:
        return 0.0
    if probability >= 1.0:
        return 1.0 / lost
    odds = math.pow(probability * won / ((1.0 - probability) * lost), 1.0 / risk_aversion)
    return (odds - 1.0) / (won + odds * lost)


@kernel_without_allocation
def ruin_bounded_bet(
    probability: float, gain: float, loss: float, ruin_wealth: float, ruin_probability: float
) -> float:
    """Largest bet, no more than Kelly's, after which the wealth of a player who repeats it for ever
    falls to the part `ruin_wealth` with no more than `ruin_probability`.

    Sufficient for that, with a = log(ruin_probability) / log(ruin_wealth), is E[R^-a] <= 1 for the
    return R of one bet: p (1 + v gain)^-a + (1 - p) (1 - v loss)^-a <= 1.
    """
    best = kelly_bet(probability, gain, loss)
    if best == 0.0:
        return 0.0
    power = math.log(ruin_probability) / math.log(ruin_wealth)
    if _risk(best, probability, gain, loss, power) <= 1.0:
        return best
    low, high = 0.0, best  # the left side is convex in v, 1 at 0, and falls from there
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if _risk(middle, probability, gain, loss, power) <= 1.0:
            low = middle
        else:
            high = middle
    return low


@kernel_without_allocation
def _risk(bet: float, probability: float, gain: float, loss: float, power: float) -> float:
    left = 1.0 - bet * loss
    lost = 0.0 if probability >= 1.0 else math.inf if left <= 0.0 else math.pow(left, -power)
    return probability * math.pow(1.0 + bet * gain, -power) + (1.0 - probability) * lost


@kernel_without_allocation
def target_bet(wealth_share: float, deviation: float, trades: int) -> float:
    """The bet that makes reaching the target within `trades` trades most likely, for trades of
    normal returns with a positive mean and this deviation.

    `wealth_share` u is the part of the target that is there. v = phi(Phi^-1(u)) / (u deviation
    sqrt(trades)); the mean does not matter. Reached, nothing is put at risk any more.
    """
    if wealth_share >= 1.0:
        return 0.0
    z = normal_quantile(wealth_share)
    density = math.exp(-0.5 * z * z) / math.sqrt(2.0 * math.pi)
    return density / (wealth_share * deviation * math.sqrt(trades))


@kernel_without_allocation
def normal_quantile(probability: float) -> float:
    """Phi^-1 by bisection on erfc, which is exact in the lower tail; the upper one mirrors it.

    `probability` in (0, 1).
    """
    if probability > 0.5:
        return -normal_quantile_below(1.0 - probability)
    return normal_quantile_below(probability)


@kernel_without_allocation
def normal_quantile_below(probability: float) -> float:
    """Phi^-1 of a probability <= 1/2."""
    low, high = -40.0, 0.0
    for _ in range(_BISECTIONS):
        middle = 0.5 * (low + high)
        if 0.5 * math.erfc(-middle / math.sqrt(2.0)) < probability:
            low = middle
        else:
            high = middle
    return 0.5 * (low + high)
