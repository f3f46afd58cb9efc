#!/bin/sh
# ccxt 4.5.90: the candles that it builds from trades begin their weeks on Thursdays and their months every 30 days.
# Guess: build_ohlcvc(trades, "1w") begins on Monday, as round_timeframe("1w", ...) of the same object and the venues' own weekly candles.
# Seen: trades of Wednesday 2024-01-10 are in a week from Thursday 2024-01-04; round_timeframe says Monday 2024-01-08. A month "of" 2024-03-15 begins on 2024-02-17.
# Why it matters: candles built from trades do not join with those that the venue sends.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'ccxt==4.5.90'
"$work/venv/bin/python" - <<'PY'
import ccxt

venue = ccxt.Exchange()


def begins(timeframe: str, day: str) -> tuple[str, str]:
    at = venue.parse8601(f"{day}T00:00:00Z")
    candle = venue.build_ohlcvc([{"timestamp": at, "price": 100.0, "amount": 1.0}], timeframe)[0]
    return venue.ymd(candle[0]), venue.ymd(venue.round_timeframe(timeframe, at))


week, month = begins("1w", "2024-01-10"), begins("1M", "2024-03-15")
print("build_ohlcvc and round_timeframe: week", week, "month", month)
assert week == ("2024-01-04", "2024-01-08")
assert month[1] == "2024-03-01" != month[0]
PY
