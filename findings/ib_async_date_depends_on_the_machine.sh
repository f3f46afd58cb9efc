#!/bin/sh
# ib_async 2.1.0: util.formatIBDatetime(date), which makes endDateTime of a request for historical bars, means the end of the day where the machine stands.
# Guess: the end of that day on the exchange's clock, or in UTC.
# Seen: the same date asks for bars to 14:59:59Z in Tokyo and to 04:59:59Z of the next day in New York, which are different bars. A naive datetime
# likewise; only one with a zone means one instant.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'ib_async==2.1.0'
"$work/venv/bin/python" -W ignore - <<'PY'
import os
import time
from datetime import date, datetime, timezone

from ib_async import util

asked = {}
for zone in ("Asia/Tokyo", "America/New_York", "UTC"):
    os.environ["TZ"] = zone
    time.tzset()
    asked[zone] = [util.formatIBDatetime(when) for when in (date(2024, 1, 2), datetime(2024, 1, 2, 9, 30), datetime(2024, 1, 2, 9, 30, tzinfo=timezone.utc))]
    print(zone, asked[zone])
assert asked["Asia/Tokyo"][0] == "20240102 14:59:59 UTC"
assert asked["America/New_York"][0] == "20240103 04:59:59 UTC"
assert len({answers[1] for answers in asked.values()}) == 3 and len({answers[2] for answers in asked.values()}) == 1
PY
