"""A hidden Markov model of two states, calm and turbulent, each with Gaussian returns (Hamilton,
Econometrica 57, 1989).

`fit` estimates it from past returns (Baum-Welch: Rabiner, Proceedings of the IEEE 77, 1989,
III.C), and `filter_step` gives the probability of the turbulent state after one more return. It is
the filtered probability, from returns up to that one, and never the smoothed one, which also knows
later returns.

Parameters are seven numbers: whether they are known, the mean of each state, the variance of each
state, the probability to stay in each. The turbulent state is the second: the larger variance.
"""

import math

import numpy as np

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.kernel import inlined_kernel, kernel

PARAMETERS = 7
_ITERATIONS = 100
_STAYS = 0.95  # where the estimation begins
_LEAST = 1e-4  # probability of any move, so that no state is for ever
_LEAST_BEGIN = 1e-12  # of a state at the first return, which an outlier may need
_LEAST_VARIANCE = 1e-3  # of the variance of all returns: a state is no single return


@inlined_kernel
def filter_step(parameters: FloatArray, turbulent: float, value: float) -> float:
    """Probability of the turbulent state after `value`, from that before it."""
    stays_calm, stays_turbulent = parameters[5], parameters[6]
    expected = turbulent * stays_turbulent + (1.0 - turbulent) * (1.0 - stays_calm)
    return posterior(parameters, expected, value)


@inlined_kernel
def posterior(parameters: FloatArray, expected: float, value: float) -> float:
    """Bayes' rule: `expected`, strictly between 0 and 1, after the return `value`."""
    calm = _log_density(value, parameters[1], parameters[3])
    excited = _log_density(value, parameters[2], parameters[4])
    odds = (1.0 - expected) * math.exp(min(calm - excited, 700.0))
    return float(expected / (expected + odds))


@inlined_kernel
def stationary(parameters: FloatArray) -> float:
    """Share of the time that the chain is turbulent."""
    leaves_calm, leaves_turbulent = 1.0 - parameters[5], 1.0 - parameters[6]
    return float(leaves_calm / (leaves_calm + leaves_turbulent))


@inlined_kernel
def filter_all(parameters: FloatArray, returns: FloatArray) -> float:
    """The probability after all of `returns`, begun with the stationary one."""
    turbulent = posterior(parameters, stationary(parameters), returns[0])
    for value in returns[1:]:
        turbulent = filter_step(parameters, turbulent, value)
    return turbulent


@inlined_kernel
def _log_density(value: float, mean: float, variance: float) -> float:
    """Of a Gaussian, without the constant."""
    distance = value - mean
    return -0.5 * (math.log(variance) + distance * distance / variance)


@kernel
def fit(returns: FloatArray, parameters: FloatArray) -> None:
    """Estimate the seven parameters from `returns` in order of time; not known where they do not
    move. The same returns give the same bits: the beginning is fixed, and so is the number of
    steps.
    """
    n = returns.size
    spread = float(np.var(returns))
    parameters[0] = 0.0
    if not spread > 0.0:
        return
    parameters[1] = parameters[2] = np.mean(returns)
    parameters[3], parameters[4] = 0.25 * spread, 2.25 * spread
    parameters[5] = parameters[6] = _STAYS
    likelihood, forward = np.empty((2, n)), np.empty((2, n))
    backward, ahead = np.empty((2, n)), np.zeros((2, n))
    scale, share = np.empty(n), np.empty(n)
    begins = 0.5
    for _ in range(_ITERATIONS):
        _forward(returns, parameters, begins, likelihood, forward, scale)
        _backward(parameters, likelihood, scale, backward, ahead)
        begins = _maximise(returns, parameters, forward, backward, ahead, share, spread)
    if parameters[3] > parameters[4]:  # calm first
        for i in (1, 3, 5):
            parameters[i], parameters[i + 1] = parameters[i + 1], parameters[i]
    parameters[0] = 1.0


@kernel
def _forward(
    returns: FloatArray,
    parameters: FloatArray,
    begins: float,
    likelihood: FloatArray,
    forward: FloatArray,
    scale: FloatArray,
) -> None:
    """Rabiner's scaled forward recursion, [states, returns]. `begins`: probability of the second
    state at the first return. Likelihoods are relative to the larger of the two, which the scale
    takes out again.
    """
    n, stays = returns.size, (parameters[5], parameters[6])
    for t in range(n):
        first = _log_density(returns[t], parameters[1], parameters[3])
        second = _log_density(returns[t], parameters[2], parameters[4])
        # the larger one is e to the 0
        less = math.exp(-abs(first - second))
        likelihood[0, t] = 1.0 if first >= second else less
        likelihood[1, t] = less if first >= second else 1.0
    calm, excited = 0.0, 0.0
    for t in range(n):
        zero, one = 1.0 - begins, begins
        if t:
            one = excited * stays[1] + calm * (1.0 - stays[0])
            zero = calm * stays[0] + excited * (1.0 - stays[1])
        zero, one = zero * likelihood[0, t], one * likelihood[1, t]
        total = zero + one
        calm, excited = zero / total, one / total
        scale[t], forward[0, t], forward[1, t] = total, calm, excited


@kernel
def _backward(
    parameters: FloatArray,
    likelihood: FloatArray,
    scale: FloatArray,
    backward: FloatArray,
    ahead: FloatArray,
) -> None:
    """The scaled backward recursion, [states, returns]; `ahead` is what comes of being in a state
    at the next return.
    """
    n, stays = scale.size, (parameters[5], parameters[6])
    calm, excited = 1.0, 1.0
    backward[0, n - 1] = backward[1, n - 1] = 1.0
    for t in range(n - 2, -1, -1):
        zero = likelihood[0, t + 1] * calm / scale[t + 1]
        one = likelihood[1, t + 1] * excited / scale[t + 1]
        calm = stays[0] * zero + (1.0 - stays[0]) * one
        excited = stays[1] * one + (1.0 - stays[1]) * zero
        ahead[0, t], ahead[1, t] = zero, one
        backward[0, t], backward[1, t] = calm, excited


@kernel
def _maximise(
    returns: FloatArray,
    parameters: FloatArray,
    forward: FloatArray,
    backward: FloatArray,
    ahead: FloatArray,
    share: FloatArray,
    spread: float,
) -> float:
    """The parameters of most likelihood under the smoothed states of the past; returns the
    probability of the second state at its first return. share [returns]: room for those of a state.
    """
    n = returns.size
    begins = (
        forward[1, 0]
        * backward[1, 0]
        / (forward[0, 0] * backward[0, 0] + forward[1, 0] * backward[1, 0])
    )
    for k in range(2):
        own, later, keeps = forward[k], backward[k], parameters[5 + k]
        stays, weight, weight_before_last, total = 0.0, 0.0, 0.0, 0.0
        for t in range(n):
            both = forward[0, t] * backward[0, t] + forward[1, t] * backward[1, t]
            share[t] = own[t] * later[t] / both
            weight += share[t]
            total += share[t] * returns[t]
            stays += own[t] * keeps * ahead[k, t] / both  # after the last return nothing is ahead
            weight_before_last = weight if t == n - 2 else weight_before_last
        mean = total / weight if weight > 0.0 else parameters[1 + k]
        squares = 0.0
        for t in range(n):
            squares += share[t] * (returns[t] - mean) ** 2
        parameters[1 + k] = mean
        parameters[3 + k] = _LEAST_VARIANCE * spread
        if weight > 0.0:
            parameters[3 + k] = max(squares / weight, _LEAST_VARIANCE * spread)
        if weight_before_last > 0.0:
            parameters[5 + k] = min(max(stays / weight_before_last, _LEAST), 1.0 - _LEAST)
    return float(min(max(begins, _LEAST_BEGIN), 1.0 - _LEAST_BEGIN))
