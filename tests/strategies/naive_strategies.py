"""Rules written out in plain Python from their descriptions, as twins of the compiled ones."""

import math

import numpy as np


def trailing(z, price, ranges, entry_z, exit_z, full_z, trail, longest):
    """(side, strength) of every bar of one symbol, by the words of z_score_momentum.py."""
    said, position, blocked = [], None, 0
    for place, now in enumerate(z):
        if blocked and now * blocked < entry_z:
            blocked = 0
        if position:
            side = position["side"]
            position["seen"].append((price[place], ranges[place]))
            stops = []
            for end in range(1, len(position["seen"]) + 1):
                prices = [one for one, _ in position["seen"][:end]]
                best = max(prices) if side > 0 else min(prices)
                stops.append(best * (1.0 - side * trail * position["seen"][end - 1][1]))
            stop = max(stops) if side > 0 else min(stops)
            stopped = price[place] <= stop if side > 0 else price[place] >= stop
            old = longest and place - position["at"] >= longest
            if stopped or old:
                blocked = side if now * side >= entry_z else 0
                position = None
            elif now * side < exit_z:
                position = None
        if not position:
            side = 1 if now >= entry_z else -1 if now <= -entry_z else 0
            if side and side != blocked:
                position = {"side": side, "at": place, "seen": [(price[place], ranges[place])],
                            "strength": min(abs(now) / full_z, 1.0)}  # fmt: skip
        said.append((position["side"], position["strength"]) if position else (0, 0.0))
    return said


def least_squares(columns, target):
    """(coefficients, residuals, standard errors) by numpy's solver."""
    matrix = np.column_stack(columns)
    coefficients = np.linalg.lstsq(matrix, target, rcond=None)[0]
    errors = target - matrix @ coefficients
    variance = errors @ errors / (len(target) - matrix.shape[1])
    covariance = variance * np.linalg.pinv(matrix.T @ matrix)
    return coefficients, errors, np.sqrt(np.diag(covariance))


def engle_granger(y, x, lags):
    """(alpha, beta, statistic), regression by regression."""
    (alpha, beta), left, _ = least_squares([np.ones(len(x)), x], y)
    change = np.diff(left)
    rows = range(lags, len(change))
    columns = [[left[t] for t in rows]]
    columns += [[change[t - lag] for t in rows] for lag in range(1, lags + 1)]
    slopes, _, errors = least_squares([np.array(one) for one in columns], change[lags:])
    return alpha, beta, slopes[0] / errors[0]


def spread(z, entry_z, exit_z, stop_z, longest):
    """Side of the spread at each moment of a period, by the words of pairs.py."""
    sides, side, at, rests, over = [], 0, 0, False, False
    for place, now in enumerate(z):
        known = not math.isnan(now)
        away = now if side < 0 else -now  # how far on the side on which it was entered
        if side and known and away >= stop_z:
            side, over = 0, True
        elif side and known and away <= exit_z:
            side = 0
        elif side and place - at >= longest:
            side, rests = 0, True
        if known and abs(now) < entry_z:
            rests = False
        if known and not side and not over and not rests and entry_z <= abs(now) < stop_z:
            side, at = (-1 if now > 0 else 1), place
        sides.append(side)
    return sides
