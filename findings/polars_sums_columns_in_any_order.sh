#!/bin/sh
# polars 2.1.0: sum_horizontal of floats has no fixed order of addition, so one expression over one frame has several answers.
# Guess: columns are added from left to right, as Python's sum would, and every run gives the same bits.
# Seen: on two threads 3,000 runs of one sum of 20 columns gave 3 or 4 different results, and the sum from left to right was none of them; one column after the
# other with + gave that sum each time. On one thread (POLARS_MAX_THREADS=1) there is one result, which still is not the sum from left to right.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/pip" install --quiet --disable-pip-version-check 'polars==2.1.0' 'numpy==2.4.6'
cat > "$work/sums.py" <<'PY'
from functools import reduce
from operator import add

import numpy as np
import polars as pl

random = np.random.default_rng(1)
frame = pl.DataFrame({f"c{number}": random.random(900) * 1e5 / 3 for number in range(20)})
left_to_right = reduce(add, (frame[name].to_numpy() for name in frame.columns)).tobytes()
summed = {frame.select(pl.sum_horizontal(frame.columns)).to_series().to_numpy().tobytes() for _ in range(3000)}
added = {frame.select(reduce(add, map(pl.col, frame.columns))).to_series().to_numpy().tobytes() for _ in range(300)}
print("threads:", pl.thread_pool_size(), "different sums:", len(summed), "left to right among them:", left_to_right in summed)
assert added == {left_to_right}
assert left_to_right not in summed
assert (len(summed) > 1) == (pl.thread_pool_size() > 1)
PY
"$work/venv/bin/python" "$work/sums.py"
POLARS_MAX_THREADS=1 "$work/venv/bin/python" "$work/sums.py"
