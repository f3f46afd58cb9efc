#!/bin/sh
# technical 1.7.0 (the helpers of freqtrade): weekly candles begin on the weekday of the first row, and an hour whose last minute had no trade is never merged.
# Guess: resample_to_interval(..., "1w") cuts weeks at Monday, as exchanges do; resampled_merge gives the hour of 09:00 to the next minute that there is.
# Seen: the same coin loaded from Wednesday on has weeks from Wednesday, loaded from Friday on from Friday. Without a candle
# at 09:59 the hour of 09:00 reaches no minute at all: those from 10:00 on have none, and after a longer history the hour before it.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'technical==1.7.0' 'pandas==3.1.1' 'numpy==2.2.6'
"$work/venv/bin/python" -W ignore - <<'PY'
import pandas as pd
from technical.util import resample_to_interval, resampled_merge


def candles(start, count, size):
    dates = pd.date_range(start, periods=count, freq=size, tz="UTC")
    return pd.DataFrame({"date": dates, "open": 1.0, "high": 1.0, "low": 1.0, "close": range(count), "volume": 1.0})


days = candles("2024-01-03", 60, "1D")
for skipped in (0, 2):
    weeks = resample_to_interval(days.iloc[skipped:], "1w")["date"].dt.day_name().unique().tolist()
    print(f"daily candles from {days['date'].iloc[skipped]:%A} on: weeks begin on", weeks)
    assert weeks == [f"{days['date'].iloc[skipped]:%A}"]

minutes = candles("2024-01-02 09:00", 180, "1min")
whole = minutes[minutes["date"] != pd.Timestamp("2024-01-02 09:59", tz="UTC")].reset_index(drop=True)
for name, rows in (("every minute", minutes), ("without 09:59", whole)):
    merged = resampled_merge(rows, resample_to_interval(rows, "1h"))
    seen = merged.loc[merged["date"] == pd.Timestamp("2024-01-02 10:30", tz="UTC"), "resample_60_close"].item()
    print(f"{name}: the close of the last whole hour, at 10:30:", seen)
    assert (seen == 59.0) if name == "every minute" else pd.isna(seen)
PY
