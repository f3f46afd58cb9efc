#!/bin/sh
# hexital 4.1.0: EMA of a currency pair, with the default rounding=4.
# Guess: the readings that are shown are rounded to four places, and the recursion goes on with the exact value.
# Seen: the next value is made of the rounded one. A step of EMA(200) is a hundredth of the distance to the price, so that one of less than half a pip is rounded
# away: the average stands still as long as the price is within 50 pips of it. In 2,000 hours that drift up by 40 pips it does not move once; the exact one
# (rounding=None) rises by 38. A coin of 0.0034 has an average of 0.0034 after it has risen by two thirds.
# Why it matters: crossings of price and average, in pairs and small coins, happen at other times or never; rounding=None is the average of the formula.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'hexital==4.1.0'
"$work/venv/bin/python" - <<'PY'
from hexital import Candle
from hexital.indicators import EMA


def averages(prices, rounding):
    candles = [Candle(price, price, price, price, 1) for price in prices]
    indicator = EMA(candles=candles, period=200, **rounding)
    indicator.calculate()
    return [candle.indicators.get(indicator.name) for candle in candles[199:]]


def formula(prices):
    value = sum(prices[:200]) / 200
    values = [value]
    for price in prices[200:]:
        value += 2 / 201 * (price - value)
        values.append(value)
    return values


for name, prices in (
    ("pair", [1.1] * 200 + [1.1 + 0.004 * hour / 2000 for hour in range(2000)]),
    ("coin", [0.0034] * 200 + [0.0034 + 0.0023 * hour / 2000 for hour in range(2000)]),
):
    rounded, exact, own = averages(prices, {}), averages(prices, {"rounding": None}), formula(prices)
    print(f"{name}: price {prices[0]} to {prices[-1]:.6f}, EMA(200) by default {rounded[-1]}, with rounding=None {exact[-1]:.6f}, by the formula {own[-1]:.6f}")
    assert max(abs(left - right) for left, right in zip(exact, own, strict=True)) < 1e-12
    assert len(set(rounded)) == 1 and abs(rounded[-1] - prices[0]) < 1e-12
    assert exact[-1] - rounded[-1] > (0.0037 if name == "pair" else 0.0015)
PY
