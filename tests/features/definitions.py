"""Every column in its textbook form: plain NumPy and Python over the whole history, no state, no
kernel.

Written from the definitions (Wilder 1978, Bollinger, Lopez de Prado 2018, TA-Lib's documentation),
to judge the kernels by. Each takes the adjusted bars as a dict of arrays and returns one array, NaN
where the column is not known yet.
"""

import math
from datetime import date, timedelta

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


def lagged_return(bars, n):
    out = blank(bars)
    out[n + 1 :] = np.log(bars["close"][1:-n] / bars["close"][: -n - 1])
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


# --- trend ---------------------------------------------------------------------------------------


def gap_to(above, below):
    return above / below - 1


def trix(bars, n):
    first = ema(bars, n)
    second = seeded(first, n, 2 / (n + 1), first=n - 1)
    third = seeded(second, n, 2 / (n + 1), first=2 * n - 2)
    return 100 * gap_to(third, np.concatenate([[np.nan], third[:-1]]))


def shifted(values, n):
    return np.concatenate([np.full(n, np.nan), values[:-n]])


def dpo(bars, n):
    return gap_to(shifted(bars["close"], n // 2 + 1), sma(bars, n))


def efficiency_ratio(bars, n):
    out, close = blank(bars), bars["close"]
    for i in range(n, len(out)):
        way = math.fsum(abs(np.diff(close[i - n : i + 1])))
        out[i] = abs(close[i] - close[i - n]) / way if way > 0 else 0.0
    return out


def kama_ratio(bars, n):
    out, close, ratio = blank(bars), bars["close"], efficiency_ratio(bars, n)
    level = close[n - 1]
    for i in range(n, len(out)):
        level += (ratio[i] * (2 / 3 - 2 / 31) + 2 / 31) ** 2 * (close[i] - level)
        out[i] = gap_to(close[i], level)
    return out


def aroon(bars, n):
    out = blank(bars)
    for i in range(n, len(out)):
        high, low = bars["high"][i - n : i + 1][::-1], bars["low"][i - n : i + 1][::-1]
        out[i] = 100 * (int(np.argmin(low)) - int(np.argmax(high))) / n
    return out


def line(values):
    """(slope, R^2) of the line of least squares."""
    x = np.arange(len(values)) - (len(values) - 1) / 2
    y = values - average(values)
    xy, xx, yy = math.fsum(x * y), math.fsum(x * x), math.fsum(y * y)
    return xy / xx, xy * xy / (xx * yy) if yy > 1e-24 * values[-1] ** 2 else 0.0


def regression_slope(bars, n):
    return trailing(bars["close"], n, lambda v: line(v)[0] / average(v))


def regression_fit(bars, n):
    return trailing(bars["close"], n, lambda v: line(v)[1])


def vortex(bars, n):
    up = np.abs(bars["high"] - shifted(bars["low"], 1))
    down = np.abs(bars["low"] - shifted(bars["high"], 1))
    out, ranges = blank(bars), true_ranges(bars)
    for i in range(n, len(out)):
        w = slice(i - n + 1, i + 1)
        total = math.fsum(ranges[w])
        out[i] = (math.fsum(up[w]) - math.fsum(down[w])) / total if total > 0 else 0.0
    return out


def directional(bars, n, sign):
    up, down = np.diff(bars["high"], prepend=np.nan), -np.diff(bars["low"], prepend=np.nan)
    move, other = (up, down) if sign > 0 else (down, up)
    moves = wilder_sum(np.where((move > other) & (move > 0), move, 0.0), n)
    ranges, out = wilder_sum(true_ranges(bars), n), blank(bars)
    for i in range(n, len(out)):
        out[i] = 100 * moves[i] / ranges[i] if ranges[i] > 0 else 0.0
    return out


def plus_di(bars, n):
    return directional(bars, n, 1)


def minus_di(bars, n):
    return directional(bars, n, -1)


def donchian(bars, n):
    low = shifted(trailing(bars["low"], n, min), 1)
    high = shifted(trailing(bars["high"], n, max), 1)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(high == low, 0.5, (bars["close"] - low) / (high - low))


def keltner(bars, n):
    ranges = atr(bars, n)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where(ranges == 0, 0.0, (bars["close"] - ema(bars, n)) / ranges)


# --- oscillators ---------------------------------------------------------------------------------


def stochastic_k(bars, n, k):
    return 100 * trailing(range_position(bars, n), k, average, first=n - 1)


def stochastic_d(bars, n, k, d):
    return trailing(stochastic_k(bars, n, k), d, average, first=n + k - 2)


def williams_r(bars, n):
    return 100 * (range_position(bars, n) - 1)


def typical_prices(bars):
    return (bars["high"] + bars["low"] + bars["close"]) / 3


def cci(bars, n):
    def of(values):
        centre = average(values)
        spread = math.fsum(abs(values - centre)) / n
        return (values[-1] - centre) / (0.015 * spread) if spread > 1e-13 * centre else 0.0

    return trailing(typical_prices(bars), n, of)


def ultimate(bars, fast, slow, long):
    before = shifted(bars["close"], 1)
    gains, ranges = bars["close"] - np.minimum(bars["low"], before), true_ranges(bars)

    def share(n):
        return np.array(
            [
                np.nan if i < n
                else math.fsum(gains[i - n + 1 : i + 1]) / math.fsum(ranges[i - n + 1 : i + 1])
                if ranges[i - n + 1 : i + 1].any()
                else 0.5
                for i in range(len(gains))
            ]
        )  # fmt: skip

    return 100 * (4 * share(fast) + 2 * share(slow) + share(long)) / 7


def stochastic_rsi(bars, n):
    def of(values):
        low, high = min(values), max(values)
        return (values[-1] - low) / (high - low) if high - low > 1e-9 else 0.5

    return trailing(rsi(bars, n), n, of, first=n)


# --- volatility ----------------------------------------------------------------------------------


def root_average(values):
    return math.sqrt(max(average(values), 0.0))


def parkinson(bars, n):
    width = np.log(bars["high"]) - np.log(bars["low"])
    return trailing(width**2 / (4 * math.log(2)), n, root_average)


def garman_klass(bars, n):
    width, body = np.log(bars["high"] / bars["low"]), np.log(bars["close"] / bars["open"])
    return trailing(width**2 / 2 - (2 * math.log(2) - 1) * body**2, n, root_average)


def rogers_satchell_terms(bars):
    opening, high, low, close = (np.log(bars[name]) for name in ("open", "high", "low", "close"))
    return (high - close) * (high - opening) + (low - close) * (low - opening)


def rogers_satchell(bars, n):
    return trailing(rogers_satchell_terms(bars), n, root_average)


def yang_zhang(bars, n):
    gaps = np.log(bars["open"]) - shifted(np.log(bars["close"]), 1)
    bodies, terms, out = (
        np.log(bars["close"] / bars["open"]),
        rogers_satchell_terms(bars),
        blank(bars),
    )
    k = 0.34 / (1.34 + (n + 1) / (n - 1))
    for i in range(n, len(out)):
        w = slice(i - n + 1, i + 1)
        parts = deviation(gaps[w]) ** 2, deviation(bodies[w]) ** 2, max(average(terms[w]), 0.0)
        out[i] = math.sqrt(parts[0] + k * parts[1] + (1 - k) * parts[2])
    return out


def ewma_volatility(bars, n):
    return np.sqrt(seeded(changes(bars) ** 2, n, 2 / (n + 1), first=1))


def downside_volatility(bars, n):
    return trailing(np.minimum(changes(bars), 0) ** 2, n, root_average, first=1)


def ulcer_index(bars, n):
    falls = 100 * (bars["close"] / trailing(bars["close"], n, max) - 1)
    return trailing(falls**2, n, root_average, first=n - 1)


def volatility_ratio(bars, fast, slow):
    over, under = volatility(bars, fast), volatility(bars, slow)
    with np.errstate(invalid="ignore", divide="ignore"):
        return np.where((under == 0) & ~np.isnan(over), 1.0, over / under)


# --- distribution --------------------------------------------------------------------------------


def shape_of(values, power):
    distance = values - average(values)
    second = average(distance**2)
    return average(distance**power) / second ** (power / 2) if second > 1e-30 else None


def skewness(bars, n):
    return trailing(changes(bars), n, lambda v: shape_of(v, 3) or 0.0, first=1)


def kurtosis(bars, n):
    def of(values):
        found = shape_of(values, 4)
        return 0.0 if found is None else found - 3

    return trailing(changes(bars), n, of, first=1)


def correlation_of(x, y):
    dx, dy = x - average(x), y - average(y)
    both = math.sqrt(math.fsum(dx * dx) * math.fsum(dy * dy))
    return math.fsum(dx * dy) / both if both > 0 else 0.0


def autocorrelation(bars, n):
    change, out = changes(bars), blank(bars)
    for i in range(n + 1, len(out)):
        out[i] = correlation_of(change[i - n + 1 : i + 1], change[i - n : i])
    return out


def variance_ratio(bars, n, q):
    out, steps, small = blank(bars), momentum(bars, q), volatility(bars, n)
    for i in range(n + q - 1, len(out)):
        expected = q * small[i] ** 2
        out[i] = deviation(steps[i - n + 1 : i + 1]) ** 2 / expected if expected > 0 else 1.0
    return out


def hurst(bars, n, q):
    ratio = variance_ratio(bars, n, q)
    with np.errstate(divide="ignore"):
        return np.clip(0.5 + np.log(ratio) / (2 * math.log(q)), 0, 1)


def sign_entropy(bars, n):
    def of(values):
        shares = [np.mean(np.sign(values) == sign) for sign in (-1, 0, 1)]
        return -math.fsum(p * math.log(p) for p in shares if p > 0) / math.log(3)

    return trailing(changes(bars), n, of, first=1)


def fractional(bars, d, n):
    weights = [1.0]
    for k in range(1, n):
        weights.append(-weights[-1] * (d / 100 - k + 1) / k)
    return trailing(
        np.log(bars["close"]),
        n,
        lambda v: math.fsum(w * x for w, x in zip(weights, v[::-1], strict=True)),
    )


# --- volume and liquidity ------------------------------------------------------------------------


def mfi(bars, n):
    typical, out = typical_prices(bars), blank(bars)
    move, flow = np.diff(typical, prepend=np.nan), typical * bars["volume"]
    for i in range(n, len(out)):
        w = slice(i - n + 1, i + 1)
        up, down = math.fsum(flow[w][move[w] > 0]), math.fsum(flow[w][move[w] < 0])
        out[i] = 100 * up / (up + down) if up + down > 0 else 50.0
    return out


def cmf(bars, n):
    high, low, close, volume = (bars[name] for name in ("high", "low", "close", "volume"))
    with np.errstate(invalid="ignore", divide="ignore"):
        place = np.where(high > low, ((close - low) - (high - close)) / (high - low), 0.0)
    out = blank(bars)
    for i in range(n - 1, len(out)):
        w = slice(i - n + 1, i + 1)
        total = math.fsum(volume[w])
        out[i] = math.fsum(place[w] * volume[w]) / total if total > 0 else 0.0
    return out


def vwma_ratio(bars, n):
    out, close, volume = blank(bars), bars["close"], bars["volume"]
    for i in range(n - 1, len(out)):
        w = slice(i - n + 1, i + 1)
        total = math.fsum(volume[w])
        out[i] = close[i] / (math.fsum(close[w] * volume[w]) / total) - 1 if total > 0 else 0.0
    return out


def volume_correlation(bars, n):
    change, out = changes(bars), blank(bars)
    for i in range(n, len(out)):
        w = slice(i - n + 1, i + 1)
        out[i] = correlation_of(change[w], bars["volume"][w])
    return out


def amihud(bars, n):
    change, amount, out = changes(bars), bars["close"] * bars["volume"] / 1e6, blank(bars)
    for i in range(n, len(out)):
        w = slice(i - n + 1, i + 1)
        traded = amount[w] > 0
        out[i] = average(abs(change[w][traded]) / amount[w][traded]) if traded.any() else 0.0
    return out


def kyle_lambda(bars, n):
    change, out = changes(bars), blank(bars)
    signed = np.sign(change) * bars["volume"]
    for i in range(n, len(out)):
        w = slice(i - n + 1, i + 1)
        x, y = signed[w] - average(signed[w]), change[w]
        spread = math.fsum(x * x)
        out[i] = math.fsum(x * y) / spread * average(bars["volume"][w]) if spread > 0 else 0.0
    return out


def roll_spread(bars, n):
    change, out = changes(bars), blank(bars)
    for i in range(n + 1, len(out)):
        x, y = change[i - n + 1 : i + 1], change[i - n : i]
        covariance = math.fsum((x - average(x)) * (y - average(y))) / (n - 1)
        out[i] = 2 * math.sqrt(max(-covariance, 0.0))
    return out


def corwin_schultz(bars, n):
    high, low, close = bars["high"], bars["low"], bars["close"]
    spreads = blank(bars)
    for i in range(1, len(spreads)):
        gap = max(low[i] - close[i - 1], 0.0) or min(high[i] - close[i - 1], 0.0)
        top, bottom = high[i] - gap, low[i] - gap
        beta = math.log(top / bottom) ** 2 + math.log(high[i - 1] / low[i - 1]) ** 2
        gamma = math.log(max(top, high[i - 1]) / min(bottom, low[i - 1])) ** 2
        k = 3 - 2 * math.sqrt(2)
        alpha = (math.sqrt(2 * beta) - math.sqrt(beta)) / k - math.sqrt(gamma / k)
        spreads[i] = max(2 * math.expm1(alpha) / (1 + math.exp(alpha)), 0.0)
    return trailing(spreads, n, average, first=1)


# --- session, calendar, larger bars --------------------------------------------------------------


def session_rows(bars):
    """(rows of the session, row of its first regular bar or None) by day."""
    for day in sorted(set(bars["day"])):
        rows = np.flatnonzero(bars["day"] == day)
        regular = rows[bars["regular"][rows] > 0]
        yield rows, int(regular[0]) if regular.size else None


def minute_of_session(bars):
    out = np.full(len(bars["close"]), -1.0)
    for rows, first in session_rows(bars):
        for i in rows[rows >= first]:
            out[i] = (bars["start"][i] - bars["start"][first]) / 60_000_000
    return out


def day_of_week(bars):
    return np.array(
        [(date(1970, 1, 1) + timedelta(days=int(d))).weekday() for d in bars["day"]], float
    )


def session_return(bars):
    out = np.zeros(len(bars["close"]))
    for rows, first in session_rows(bars):
        begun = rows[rows >= first]
        out[begun] = np.log(bars["close"][begun]) - math.log(bars["open"][first])
    return out


def first_hour_return(bars):
    out, whole = np.zeros(len(bars["close"])), session_return(bars)
    for rows, first in session_rows(bars):
        begun = rows[rows >= first]
        hour = begun[bars["start"][begun] < bars["start"][first] + 3_600_000_000]
        out[hour], out[begun[begun > hour[-1]]] = whole[hour], whole[hour[-1]]
    return out


def overnight_return(bars):
    out, last = blank(bars), None
    for rows, first in session_rows(bars):
        if last is not None:
            out[first:] = math.log(bars["open"][first] / last)
        last = bars["close"][rows[bars["regular"][rows] > 0][-1]]
    return out


def session_range_position(bars):
    out = blank(bars)
    for rows, _ in session_rows(bars):
        for i in rows:
            so_far = rows[rows <= i]
            low, high = bars["low"][so_far].min(), bars["high"][so_far].max()
            out[i] = (bars["close"][i] - low) / (high - low) if high > low else 0.5
    return out


def prior_range_position(bars):
    out, before = blank(bars), None
    for rows, _ in session_rows(bars):
        if before is not None:
            low, high = before
            out[rows] = (bars["close"][rows] - low) / (high - low) if high > low else 0.5
        before = bars["low"][rows].min(), bars["high"][rows].max()
    return out


def complete_closes(bars, minutes):
    """For each bar the closes of the larger bars that ended before it."""
    number = bars["start"] // (minutes * 60_000_000)
    lasts = np.append(np.flatnonzero(np.diff(number)), len(number) - 1)
    return [bars["close"][lasts[number[lasts] < number[i]]] for i in range(len(number))]


def of_larger(bars, minutes, needed, statistic):
    return np.array(
        [
            statistic(closes[-needed:], bars["close"][i]) if len(closes) >= needed else np.nan
            for i, closes in enumerate(complete_closes(bars, minutes))
        ]
    )


def larger_sma_ratio(bars, minutes, n):
    return of_larger(bars, minutes, n, lambda closes, close: close / average(closes) - 1)


def larger_momentum(bars, minutes, n):
    return of_larger(bars, minutes, n + 1, lambda closes, _: math.log(closes[-1] / closes[0]))


def larger_volatility(bars, minutes, n):
    return of_larger(bars, minutes, n + 1, lambda closes, _: deviation(np.diff(np.log(closes))))
