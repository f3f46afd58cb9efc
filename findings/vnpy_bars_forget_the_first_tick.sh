#!/bin/sh
# vnpy 4.5.0, BarGenerator: bars of one minute from ticks whose volume counts up through the day, as Chinese futures exchanges send it.
# Guess: the first bar of a day holds the day's volume so far (the opening auction's 1,000 lots are in the first tick), and a new day begins a new bar.
# Seen: the first tick's volume is in no bar, on the first day and on each later one: 300 of the 1,300 lots of a day are left. And a bar ends when hour
# or minute changes, whatever the date: a last tick at 09:30:05 and the next day's first at 09:30:40 are one bar, stamped with the second day, whose
# open is yesterday's price and whose volume is 0.
# Why it matters: the largest print of the day is missing from volume and VWAP; a quiet contract's overnight gap becomes the range of one minute.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check --no-deps 'vnpy==4.5.0' 'numpy==2.4.6' 'ta-lib==0.8.2' 'tzlocal==5.3.1' 'loguru==0.7.3'
mkdir "$work/.vntrader" && cd "$work"
"$work/venv/bin/python" -W ignore - <<'PY'
from datetime import datetime

from vnpy.trader.constant import Exchange
from vnpy.trader.object import TickData
from vnpy.trader.utility import BarGenerator


def bars_of(rows):
    bars = []
    generator = BarGenerator(bars.append)
    for stamp, price, volume in rows:
        generator.update_tick(
            TickData(gateway_name="x", symbol="cu2403", exchange=Exchange.SHFE, datetime=datetime.fromisoformat(stamp), last_price=price, volume=volume)
        )
    generator.generate()
    return bars


days = ("2024-01-02", "2024-01-03")
rows = [
    (f"{day} {clock}", price, volume)
    for day in days
    for clock, price, volume in (("09:00:00", 100.0, 1000), ("09:00:30", 101.0, 1100), ("09:01:05", 102.0, 1200), ("09:01:40", 101.0, 1300))
]
bars = bars_of(rows)
for day in days:
    total = sum(bar.volume for bar in bars if bar.datetime.date().isoformat() == day)
    print(f"{day}: the exchange counted 1300 lots, the bars hold {total:.0f}")
    assert total == 300

merged = bars_of([("2024-01-02 09:30:05", 100.0, 10), ("2024-01-03 09:30:40", 110.0, 7), ("2024-01-03 09:31:10", 111.0, 9)])
first = merged[0]
print(f"{len(merged)} bars of two days; {first.datetime}: open {first.open_price}, close {first.close_price}, volume {first.volume}")
assert len(merged) == 2 and (first.datetime.day, first.open_price, first.close_price, first.volume) == (3, 100.0, 110.0, 0)
PY
