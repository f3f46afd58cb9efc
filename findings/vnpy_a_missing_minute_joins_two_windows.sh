#!/bin/sh
# vnpy 4.5.0, BarGenerator(window=5): five-minute bars from one-minute bars of a contract that does not trade in every minute.
# Guess: where the last minute of a window has no bar, the window ends at the first bar of the next one.
# Seen: a window ends with the bar of minute 4, 9, 14 ... and with no other. Without a trade at 10:04 the bar stamped 10:00 runs to 10:09; without
# one at 10:14 and 10:19 too it is followed by one of 15 minutes. Where a minute trades with a probability of 0.7, all 48 windows of four hours
# have trades, and there are 29 bars, of up to 20 minutes.
# Why it matters: a range, a volume and a return of "five minutes" are those of ten, and the bar is known five minutes later than its stamp says.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps 'vnpy==4.5.0' 'numpy==2.4.6' 'ta-lib==0.8.2' 'tzlocal==5.3.1' 'loguru==0.7.3'
mkdir "$work/.vntrader" && cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
from datetime import datetime, timedelta

import numpy as np
from vnpy.trader.constant import Exchange, Interval
from vnpy.trader.object import BarData
from vnpy.trader.utility import BarGenerator

OPEN = datetime(2024, 1, 2, 10, 0)


def windows_of(minutes):
    """Feed bars of one minute; return stamp, first and last minute of every window, read from prices that count minutes."""
    windows = []
    generator = BarGenerator(lambda bar: None, window=5, on_window_bar=windows.append)
    for minute in minutes:
        price = float(minute)
        generator.update_bar(
            BarData(
                gateway_name="x", symbol="cu2403", exchange=Exchange.SHFE, datetime=OPEN + timedelta(minutes=int(minute)), interval=Interval.MINUTE,
                open_price=price, high_price=price, low_price=price, close_price=price, volume=1,
            )
        )
    return [(bar.datetime.strftime("%H:%M"), int(bar.open_price), int(bar.close_price)) for bar in windows]


full = windows_of(range(30))
holes = windows_of([minute for minute in range(30) if minute not in (4, 14, 19)])
print("every minute traded:", full)
print("without 4, 14, 19:  ", holes)
assert full == [(f"10:{start:02d}", start, start + 4) for start in range(0, 30, 5)]
assert holes == [("10:00", 0, 9), ("10:10", 10, 24), ("10:25", 25, 29)]

traded = np.flatnonzero(np.random.default_rng(0).random(240) < 0.7)
there = len(set((traded // 5).tolist()))
seen = windows_of(traded)
longest = max(last - first + 1 for _, first, last in seen)
print(f"minutes with trades {len(traded)}, windows with trades {there}, bars {len(seen)}, the longest spans {longest} minutes")
assert there == 48 and len(seen) < 40 and longest > 10
PY
