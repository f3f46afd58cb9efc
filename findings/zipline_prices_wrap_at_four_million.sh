#!/bin/sh
# zipline-reloaded 3.2.1, BcolzDailyBarWriter (every ingested bundle of daily bars): what does not fit into 32 bits.
# Guess: a price that is too large is an error, and so is a volume.
# Seen: a price is kept as thousandths in 32 bits, and only numbers that are too large before that are looked for. A column of whole yen is cut
# modulo 2**32: bitcoin at 15,000,000 is read back as 2,115,098.112 and 4,294,968 as 0.704. In a column of floats the same prices are gone, or something
# else, as the processor casts them. No error, no warning. A volume above 4,294,967,295 becomes 0, with a warning; its day has a close all the
# same, but counts as one without trades: the last traded day is the one before the burst of volume.
# Why it matters: prices in yen, won or rupiah jump by four million at an invisible line; coins and shares of a fraction of a cent stop trading on
# their busiest days.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'zipline-reloaded==3.2.1' 'pandas==2.3.3' 'numpy==2.4.6'
"$work/venv/bin/python" -W ignore - "$work" <<'PY'
import sys
import warnings

import pandas as pd
from exchange_calendars import get_calendar
from zipline.data.bcolz_daily_bars import BcolzDailyBarReader, BcolzDailyBarWriter

calendar = get_calendar("XNYS", start="2023-12-01", end="2024-02-28")
sessions = calendar.sessions_in_range("2024-01-02", "2024-01-08")


def stored(name, close, volume):
    """Write five daily bars, read them back; return closes, volumes, last traded days and the warnings of the writer."""
    bars = pd.DataFrame({"open": close, "high": close, "low": close, "close": close, "volume": volume}, index=sessions)
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        BcolzDailyBarWriter(f"{sys.argv[1]}/{name}", calendar, sessions[0], sessions[-1]).write([(1, bars)])
    reader = BcolzDailyBarReader(f"{sys.argv[1]}/{name}")
    closes, volumes = (reader.load_raw_arrays([column], sessions[0], sessions[-1], [1])[0].ravel().tolist() for column in ("close", "volume"))
    traded = [reader.get_last_traded_dt(1, session).strftime("%m-%d") for session in sessions]
    return closes, volumes, traded, [str(warning.message) for warning in said if "bounds" in str(warning.message)]


prices = [4_000_000, 4_294_967, 4_294_968, 15_000_000, 4_000_000]
whole, _, _, said = stored("whole", prices, [1000.0] * 5)
floats, _, _, said_too = stored("floats", [float(price) for price in prices], [1000.0] * 5)
print("prices written", prices)
print("as whole numbers", whole, "as floats", floats, "warnings", len(said) + len(said_too))
assert whole == [price * 1000 % 2**32 / 1000 for price in prices] and whole[2:4] == [0.704, 2_115_098.112]
assert [read == price for read, price in zip(floats, prices, strict=True)] == [True, True, False, False, True]
assert not said and not said_too

closes, volumes, traded, said = stored("volumes", [10.0, 11.0, 12.0, 13.0, 14.0], [1e9, 4_294_967_295.0, 5e9, 6e9, 1e9])
print("volumes", volumes, "closes", closes, "last traded", traded, "warnings", len(said))
assert volumes == [1_000_000_000, 4_294_967_295, 0, 0, 1_000_000_000] and closes == [10.0, 11.0, 12.0, 13.0, 14.0]
assert traded == ["01-02", "01-03", "01-03", "01-03", "01-08"] and len(said) == 1
PY
