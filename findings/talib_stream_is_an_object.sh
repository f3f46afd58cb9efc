#!/bin/sh
# TA-Lib 0.8.2: talib.stream.RSI(close, 14) gives an object with a memory, where releases before gave the newest value as a float.
# Guess: a float equal to RSI(close, 14)[-1].
# Seen: an RSI_Stream that no float() takes; .value is that number, .update(price) folds one more bar in, .peek looks without taking it, and the name
# stream_RSI in the package is gone. All that it gives is bit for bit what the batch function gives (checked here for RSI, MACD and ADX over 100 bars).
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'TA-Lib==0.8.2' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import numpy as np
import talib
import talib.stream

rng = np.random.default_rng(7)
close = 100 * np.exp(np.cumsum(rng.normal(0, 0.01, 300)))
high, low = close * 1.01, close * 0.99
stream = talib.stream.RSI(close[:200], 14)
try:
    float(stream)
    raised = False
except TypeError as error:
    raised = True
    print("float():", error)
assert raised and not hasattr(talib, "stream_RSI")
print("members:", [name for name in dir(stream) if not name.startswith("_")])
assert stream.value == talib.RSI(close[:200], 14)[-1]
for name, columns in (("RSI", (close,)), ("MACD", (close,)), ("ADX", (high, low, close))):
    batch = getattr(talib, name)(*columns)
    batch = np.array(batch if isinstance(batch, (list, tuple)) else [batch])
    one = getattr(talib.stream, name)(*(column[:200] for column in columns))
    for row in range(200, 300):
        got = np.atleast_1d(one.update(*(float(column[row]) for column in columns)))
        assert (got == batch[:, row]).all(), name
print("updates equal the batch, bit for bit")
PY
