"""Every column in its textbook form: plain NumPy and Python over the whole history, no state, no
kernel.

Written from the definitions (Wilder 1978, Bollinger, Lopez de Prado 2018, TA-Lib's documentation),
to judge the kernels by. Each takes the adjusted bars as a dict of arrays and returns one array, NaN
where the column is not known yet.
"""

import math

import numpy as np


def blank(bars):
    return np.full(len(bars["close"]), np.nan)


def trailing(values, n, statistic, first=0):
    """`statistic` of each run of n values, the first of which begins at index `first`."""
    out = np.full(len(values), np.nan)
    for i in range(first + n - 1, len(values)):
        out[i] = statistic(values[i - n + 1 : i + 1])
    return out


def changes(bars):
    return np.concatenate([[np.nan], np.diff(np.log(bars["close"]))])


def log_return(bars):
    return changes(bars)


def deviation(values):
    """Sample standard deviation with exactly rounded sums."""
    centre = math.fsum(values) / len(values)
    return math.sqrt(math.fsum((v - centre) ** 2 for v in values) / (len(values) - 1))


def volatility(bars, n):
    return trailing(changes(bars), n, deviation, first=1)


def momentum(bars, n):
    out = blank(bars)
    out[n:] = np.log(bars["close"][n:]) - np.log(bars["close"][:-n])
    return out


def roc(bars, n):
    out = blank(bars)
    out[n:] = (bars["close"][n:] - bars["close"][:-n]) / bars["close"][:-n]
    return out


def average(values):
    return math.fsum(values) / len(values)


def sma(bars, n):
    return trailing(bars["close"], n, average)


def seeded(values, n, alpha, first=0):
    """The mean of n values from index `first` on, then s + alpha * (x - s)."""
    out = np.full(len(values), np.nan)
    if len(values) < first + n:
        return out
    out[first + n - 1] = average(values[first : first + n])
    for i in range(first + n, len(values)):
        out[i] = (1 - alpha) * out[i - 1] + alpha * values[i]
    return out


def ema(bars, n):
    return seeded(bars["close"], n, 2 / (n + 1))


def sma_ratio(bars, fast, slow):
    return sma(bars, fast) / sma(bars, slow) - 1


def ema_ratio(bars, fast, slow):
    return ema(bars, fast) / ema(bars, slow) - 1


def macd_line(bars, fast, slow):
    return seeded(bars["close"], fast, 2 / (fast + 1), first=slow - fast) - ema(bars, slow)


def macd_signal(bars, fast, slow, signal):
    return seeded(macd_line(bars, fast, slow), signal, 2 / (signal + 1), first=slow - 1)


def macd(bars, fast, slow, signal):
    return macd_line(bars, fast, slow) - macd_signal(bars, fast, slow, signal)


def z(values):
    spread = deviation(values)
    return (values[-1] - average(values)) / spread if spread > 1e-12 * abs(values[-1]) else 0.0


def bollinger_z(bars, n):
    return trailing(bars["close"], n, z)


def volume_z(bars, n):
    return trailing(bars["volume"], n, z)


def volume_ratio(bars, n):
    return trailing(bars["volume"], n, lambda v: v[-1] / average(v) if average(v) > 0 else 1.0)


def rsi(bars, n):
    moves = np.diff(bars["close"], prepend=np.nan)
    gain, loss = (
        seeded(np.maximum(moves, 0), n, 1 / n, first=1),
        seeded(np.maximum(-moves, 0), n, 1 / n, first=1),
    )
    out = blank(bars)
    for i in range(n, len(out)):
        out[i] = (
            50.0
            if gain[i] + loss[i] == 0
            else 100 - 100 / (1 + gain[i] / loss[i])
            if loss[i] > 0
            else 100.0
        )
    return out


def true_ranges(bars):
    high, low, close = bars["high"], bars["low"], bars["close"]
    out = blank(bars)
    for i in range(1, len(out)):
        out[i] = max(high[i] - low[i], abs(high[i] - close[i - 1]), abs(low[i] - close[i - 1]))
    return out


def atr(bars, n):
    return seeded(true_ranges(bars), n, 1 / n, first=1)


def natr(bars, n):
    return 100 * atr(bars, n) / bars["close"]


def wilder_sum(values, n):
    """Wilder's running sum of index 1 on: the first n-1 values added up, then each bar s - s/n +
    x.
    """
    out, total = np.full(len(values), np.nan), 0.0
    for i in range(1, len(values)):
        total = total + values[i] if i < n else total - total / n + values[i]
        out[i] = total
    return out


def adx(bars, n):
    up, down = np.diff(bars["high"], prepend=np.nan), -np.diff(bars["low"], prepend=np.nan)
    plus = wilder_sum(np.where((up > down) & (up > 0), up, 0.0), n)
    minus = wilder_sum(np.where((down > up) & (down > 0), down, 0.0), n)
    ranges = wilder_sum(true_ranges(bars), n)
    out, seed = blank(bars), []
    for i in range(n, len(out)):
        plus_di, minus_di = (
            (100 * plus[i] / ranges[i], 100 * minus[i] / ranges[i]) if ranges[i] > 0 else (0.0, 0.0)
        )
        moving = plus_di + minus_di > 0
        dx = 100 * abs(plus_di - minus_di) / (plus_di + minus_di) if moving else 0.0
        if len(seed) < n:
            seed.append(dx)
            out[i] = average(seed) if len(seed) == n else np.nan
        else:
            out[i] = (out[i - 1] * (n - 1) + dx) / n if moving else out[i - 1]
    return out


def range_position(bars, n):
    low, high = trailing(bars["low"], n, min), trailing(bars["high"], n, max)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(high == low, 0.5, (bars["close"] - low) / (high - low))


def signed_volume(bars, n):
    out, change = blank(bars), changes(bars)
    for i in range(n, len(out)):
        volume, sign = bars["volume"][i - n + 1 : i + 1], np.sign(change[i - n + 1 : i + 1])
        out[i] = math.fsum(sign * volume) / math.fsum(volume) if volume.any() else 0.0
    return out


def vwap_distance(bars):
    out = blank(bars)
    typical = (bars["high"] + bars["low"] + bars["close"]) / 3
    for i, day in enumerate(bars["day"]):
        today = np.flatnonzero(bars["day"][: i + 1] == day)
        shares = math.fsum(bars["volume"][today])
        if shares > 0:
            out[i] = (
                bars["close"][i] / (math.fsum(typical[today] * bars["volume"][today]) / shares) - 1
            )
    return out


def gap(bars):
    out = blank(bars)
    for day in sorted(set(bars["day"])):
        today, before = np.flatnonzero(bars["day"] == day), np.flatnonzero(bars["day"] < day)
        if before.size:
            out[today] = math.log(bars["open"][today[0]] / bars["close"][before[-1]])
    return out


def cusum_event(bars, threshold=1.0):
    """AFML, snippet 2.4, with a threshold of its own for each bar; extended hours move the sums but
    are no events.
    """
    out, scale, up, down = np.zeros(len(bars["close"])), volatility(bars, 20), 0.0, 0.0
    for i, change in enumerate(changes(bars)):
        if np.isnan(change):
            continue
        up, down = max(0.0, up + change), min(0.0, down + change)
        if np.isnan(scale[i]) or not bars["regular"][i]:
            continue
        if down < -threshold * scale[i]:
            down, out[i] = 0.0, -1.0
        elif up > threshold * scale[i]:
            up, out[i] = 0.0, 1.0
    return out
