"""How fast each kind of rolling feature is: nanoseconds a bar at windows of 5 to 1,000, beside an
earlier build. Ends with a line for each target, and with exit code 1 where one is missed.

    python benchmarks/feature_kinds.py [--kinds cci,aroon] [--before CHECKOUT]

Each kernel runs alone over one block of 8,192 minute bars of one symbol, on one core, best of many.
What a kind reads from others is there already, so a kind costs what it adds to them. `--before`
names a checkout of an earlier Harmony, which is run in turns with this one.
"""

import argparse
import json
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from harmony_pipeline.features.catalog import FeatureSet, fill_log_returns_kernel
from harmony_pipeline.features.comparisons import MARKET
from harmony_pipeline.features.indicators import INDICATORS, Indicator
from harmony_pipeline.features.kernel_inputs import bar_matrix

WINDOWS, BARS, RUNS, TURNS = (5, 20, 100, 1_000), 8_192, 60, 3
WANTED = 6.0  # ns a bar
# the time of these grows with N: every bar takes all N numbers of its window anew
GROWING = {"cci": "cci_20", "fractional": "fractional_40_100"}  # the usual window
Costs = dict[str, dict[str, float]]  # by pattern and column, ns a bar


def columns_of(indicator: Indicator) -> list[str]:
    """A column for each window: shorter ones of a kind with several are a quarter and a half."""
    found = []
    for n in WINDOWS:
        number = {"F": max(2, n // 4), "S": max(3, n // 2), "Q": max(2, n // 4), "M": 15}
        if indicator.kind == "fractional":
            number["D"] = 40
        numbers = [str(number.get(letter, n)) for letter in indicator.parameters]
        found.append("_".join([indicator.kind, *numbers]))
    return found


def block() -> np.ndarray:
    """Bars of a random walk, with their log returns."""
    rng = np.random.default_rng(1)
    close = 100.0 * np.exp(np.cumsum(rng.normal(0.0, 1e-4, BARS)))
    opening = np.concatenate([close[:1], close[:-1]])
    place = np.arange(BARS)
    minute = 1_600_000_200_000_000 + (place // 390 * 1_440 + place % 390) * 60_000_000
    matrix = bar_matrix(
        [
            opening,
            np.maximum(opening, close) * (1.0 + 1e-4 * rng.random(BARS)),
            np.minimum(opening, close) * (1.0 - 1e-4 * rng.random(BARS)),
            close,
            rng.integers(1, 10_000, BARS).astype(float),
            minute // 86_400_000_000,
            np.ones(BARS),
            minute,
        ]
    )
    fill_log_returns_kernel()(matrix, np.zeros(1))
    return matrix


def measure(kinds: set[str]) -> Costs:
    """Ns a bar of every column of these kinds, or of all."""
    chosen = {
        each.pattern: columns_of(each)
        for each in (*INDICATORS, *MARKET)
        if each.parameters and (not kinds or each.kind in kinds)
    }
    names = [name for columns in chosen.values() for name in columns]
    computed = {column.name: column for column in FeatureSet.of(names).computed}
    matrix, rng = block(), np.random.default_rng(2)
    rows = {name: np.empty(BARS) for name in computed}
    costs = dict[str, float]()
    for name, column in computed.items():
        if column.indicator.across:  # the market's return
            rows[name][:] = rng.normal(0.0, 1e-4, BARS)
            continue
        state = np.zeros(column.state.stop - column.state.start)
        read = [rows[each] for each in column.reads]
        arguments = (matrix, *read, state, column.parameter_array, rows[name])
        column.kernel(*arguments)
        taken = []
        for _ in range(RUNS if name in names else 0):
            begun = time.perf_counter()
            column.kernel(*arguments)
            taken.append(time.perf_counter() - begun)
        costs[name] = min(taken, default=0.0) / BARS * 1e9
    return {pattern: {name: costs[name] for name in each} for pattern, each in chosen.items()}


def in_turns(checkouts: list[Path], kinds: str) -> list[Costs]:
    """The least cost of every column in each checkout, each in processes of its own, in turns."""
    found: list[Costs] = [{} for _ in checkouts]
    for _ in range(TURNS):
        for costs, checkout in zip(found, checkouts, strict=True):
            said = subprocess.run(
                [sys.executable, __file__, "--once", "--kinds", kinds],
                env=os.environ | {"PYTHONPATH": str(checkout)},
                capture_output=True, text=True, check=True,
            )  # fmt: skip
            for pattern, columns in json.loads(said.stdout).items():
                known = costs.setdefault(pattern, columns)
                known |= {name: min(known[name], cost) for name, cost in columns.items()}
    return found


def report(now: Costs, before: Costs) -> int:
    """A line a kind and a line a target; 1 where one is missed."""
    print(f"ns a bar, {BARS:,} bars; windows {', '.join(map(str, WINDOWS))}" + (
        "; in brackets before" if before else ""
    ))  # fmt: skip
    for pattern, columns in sorted(now.items(), key=lambda one: max(one[1].values())):
        earlier = before.get(pattern, {})
        cells = [
            f"{cost:7.1f}" + (f" ({earlier[name]:5.1f})" if name in earlier else "")
            for name, cost in columns.items()
        ]
        print(f"{pattern:24}{''.join(cells)}")
    flat = {name: cost for columns in now.values() for name, cost in columns.items()}
    grows = [name for name in flat if name.startswith(tuple(f"{kind}_" for kind in GROWING))]
    constant = [name for name in flat if name not in grows]
    judged = [max(names, key=flat.__getitem__) for names in (constant,) if names]
    judged += [name for name in GROWING.values() if name in flat]
    judged += [max(names, key=flat.__getitem__) for names in (grows,) if names]
    for name in judged:
        verdict = "met" if flat[name] <= WANTED else "MISSED"
        what = f"{name}, ns a bar" if name in grows else f"dearest O(1) kind ({name}), ns a bar"
        print(f"{what:60}{flat[name]:8.1f}  at most {WANTED:g}: {verdict}")
    return int(any(flat[name] > WANTED for name in judged))


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--kinds", default="", help="only these, with commas")
    parser.add_argument("--before", type=Path, help="a checkout of an earlier Harmony")
    parser.add_argument("--once", action="store_true", help=argparse.SUPPRESS)
    chosen = parser.parse_args()
    if chosen.once:
        print(json.dumps(measure({kind for kind in chosen.kinds.split(",") if kind})))
        return 0
    checkouts = [Path(__file__).resolve().parent.parent]
    checkouts += [chosen.before.resolve()] if chosen.before else []
    now, *earlier = in_turns(checkouts, chosen.kinds)
    return report(now, earlier[0] if earlier else {})


if __name__ == "__main__":
    sys.exit(main())
