#!/bin/sh
# ccxt 4.5.90: parse8601 of a date alone gives None, without an error.
# Guess: midnight UTC, 1704067200000.
# Seen: None for '2024-01-01', right for '2024-01-01 00:00:00' and for stamps with an offset. fetch_ohlcv(since=None) is the call for the *newest* candles,
# so a download "from 2024-01-01" silently starts a few hundred candles ago.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'ccxt==4.5.90'
"$work/venv/bin/python" -W ignore - <<'PY'
import ccxt

parse = ccxt.Exchange.parse8601
answers = {text: parse(text) for text in ("2024-01-01", "2024-01-01 00:00:00", "2024-01-01T00:00:00Z", "2024-01-01T00:00:00+05:30")}
print(answers)
assert answers["2024-01-01"] is None
assert answers["2024-01-01 00:00:00"] == answers["2024-01-01T00:00:00Z"] == 1704067200000
assert answers["2024-01-01T00:00:00+05:30"] == 1704067200000 - 19_800_000
PY
