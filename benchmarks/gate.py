"""How often the gate promotes what is worthless, and how often it finds an edge of known size.

Each market (`harmony_pipeline/testing/edge_markets.py`: five symbols, six years of hours) goes
the whole way through the stages: files, validation, features, labels, models, backtest, Monte
Carlo, statistics, decision. The strategy is the rule library, which is told nothing of the edge.

    python benchmarks/gate.py --markets 200 --workers 2 --output gate.jsonl

A market is a line of the output; what is there is not made again, so a run may be stopped at any
time. Its lake lies in memory where the system has `/dev/shm`, so that the disk is not measured;
`--folder` names another place. The rules that a decision asked are kept with their measures: the
tables say what each rule buys, by leaving it out. Ends with a line a target; exit code 1 on a miss.

`--variant forecast`: boosted trees decide which of the trades of `MetaLabelled` are taken, with
momentum planted in half of the markets. The rules about the stability of forecasts (docs/gate.md)
are measured at thresholds that refuse nothing; a table says what they would refuse at others.
`--variant first_window`: the same with `model.bins = "first_window"`.
"""

import argparse
import json
import math
import os
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from datetime import date, datetime, timedelta
from multiprocessing import get_context, parent_process
from pathlib import Path
from threading import Thread

import polars as pl

from harmony_pipeline.testing.edge_markets import EDGES, Edge, bars_of_market

FIRST_SEED = 60_000  # no parameter was chosen on these markets
SHARPES = (0.5, 1.0, 1.5, 2.0, 3.0)
TARGET_SHARPE = 2.0
YEARS = 6.0
IN_MEMORY = Path("/dev/shm") if Path("/dev/shm").is_dir() else Path(tempfile.gettempdir())
_SETTINGS = """
[paths]
lake = "lake"
state = "state"
[market]
source = "files"
calendar = "XNYS"
timeframe = "1Hour"
start = 2018-01-02
end = {end}
benchmark = "S0"
extended_hours = false
[market.files]
paths = ["bars.parquet"]
[market.partitions]
trading_period = "year"
retraining_period = "year"
[costs]
half_spread_bps = 1.8
[risk]
max_net_exposure = 1.0
max_position = 0.1
[strategies.moving_average_crossover]
enabled = false
[strategies.rsi_momentum]
enabled = false
[strategies.bollinger_reversion]
enabled = false
"""
_LIBRARY = """
[strategies.meta_labelled]
enabled = false
[labels]
horizons_bars = [7]
[model]
forecaster = "harmony_pipeline.models.logistic:Logistic"
maximum_train_days = 365
[session]
strategy = "rule_library"
[strategies.rule_library]
use = "harmony_pipeline.strategies.rule_library:RuleLibrary"
"""
_FORECAST = """
[labels]
horizons_bars = [7]
profit_take = 2.0
stop_loss = 2.0
[model]
threshold = 0.52
bins = "{bins}"
[session]
strategy = "meta_labelled"
[strategies.meta_labelled]
use = "harmony_pipeline.strategies.meta:MetaLabelled"
exits = "barriers"
uses_model = true
[gate]
minimum_cross_validation_sharpe = -99.0
maximum_input_drift = 99.0
maximum_calibration_drift = 99.0
"""


@dataclass(frozen=True)
class Variant:
    """What is traded, and what is planted in half of the markets."""

    settings: str
    edges: tuple[Edge, ...] = EDGES
    sharpe: float = TARGET_SHARPE


VARIANTS = {
    "library": Variant(_LIBRARY),
    "forecast": Variant(_FORECAST.format(bins="each_window"), ("momentum",), 5.0),
    "first_window": Variant(_FORECAST.format(bins="first_window"), ("momentum",), 5.0),
}
TRIED = {  # rules that are off, by thresholds that one may ask
    "cross_validation_sharpe": (-1.0, -0.5, 0.0, 0.5, 1.0),
    "input_drift": (0.1, 0.25, 0.5, 1.0, 2.0),
    "calibration_drift": (1.64, 1.96, 2.58, 3.29),
}


@dataclass(frozen=True)
class Market:
    """What is planted, and the seed of everything else."""

    edge: Edge
    sharpe: float
    seed: int
    variant: str = "library"


@dataclass(frozen=True)
class Decided:
    """A market and what the gate said: each rule's measure, threshold and whether it passed."""

    market: Market
    promoted: bool
    rules: dict[str, tuple[float | None, float, bool]]
    captured: float
    cpu_seconds: float

    def promoted_without(self, left_out: str = "") -> bool:
        """The decision of the rules that are on by default, but for one."""
        asked = [
            passed
            for name, (_, _, passed) in self.rules.items()
            if name != left_out and name not in TRIED
        ]
        return bool(asked) and all(asked)

    def passes_at(self, rule: str, threshold: float) -> bool:
        """Whether it passes one of the `TRIED` rules at this threshold."""
        measure = self.rules[rule][0] if rule in self.rules else None
        if measure is None:
            return False
        is_least = rule == "cross_validation_sharpe"
        return measure >= threshold if is_least else measure <= threshold

    def passes(self, rule: str) -> bool:
        """Whether it passed one rule; a market in which nothing was traded passes none."""
        return rule in self.rules and self.rules[rule][2]


def main() -> None:
    """Decide all markets that are not decided yet, then say what came out."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--markets", type=int, default=200, help="without an edge, and with one")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--output", type=Path, default=Path("gate.jsonl"))
    parser.add_argument("--folder", type=Path, default=IN_MEMORY, help="where the lakes lie")
    parser.add_argument("--variant", choices=tuple(VARIANTS), default="library")
    parser.add_argument("--curve", action="store_true", help="edges of other sizes too")
    parser.add_argument("--picture", type=Path, help="draw the curve to this PNG file")
    chosen = parser.parse_args()
    wanted = list(markets(chosen.markets, chosen.variant, curve=chosen.curve))
    known = {one.market: one for one in read(chosen.output)}
    due = [market for market in wanted if market not in known]
    started = time.monotonic()
    for number, decided in enumerate(decide_all(due, chosen.workers, chosen.folder), start=1):
        known[decided.market] = decided
        with chosen.output.open("a", encoding="utf-8") as file:
            file.write(json.dumps(asdict(decided)) + "\n")
        passed = time.monotonic() - started
        sys.stderr.write(f"\r{number} of {len(due)} markets, {passed:.0f} s ")
    sys.stderr.write("\n")
    if chosen.picture:
        chosen.picture.write_bytes(power_curve([known[market] for market in wanted]))
    if not report([known[market] for market in wanted]):
        sys.exit(1)


def markets(number: int, variant: str, *, curve: bool) -> Iterator[Market]:
    """Markets without an edge and with one of the wanted size in turn, and the curve's."""
    of = VARIANTS[variant]
    for place in range(number):
        yield Market("none", 0.0, FIRST_SEED + place, variant)
        edge = of.edges[place % len(of.edges)]
        yield Market(edge, of.sharpe, FIRST_SEED + 5_000 + place, variant)
    if curve:
        for sharpe in SHARPES:
            if sharpe != of.sharpe:
                for place in range(number // 4):
                    seed = FIRST_SEED + round(10_000 * (1.0 + sharpe)) + place
                    yield Market(of.edges[place % len(of.edges)], sharpe, seed, variant)


def read(path: Path) -> list[Decided]:
    """What an earlier run decided; a line that was cut off is left out."""
    found = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            row = json.loads(line)
        except ValueError:
            continue
        row["market"] = Market(**row["market"])
        row["rules"] = {name: tuple(rule) for name, rule in row["rules"].items()}
        found.append(Decided(**row))
    return found


def decide_all(due: Sequence[Market], workers: int, place: Path) -> Iterator[Decided]:
    """The decisions in the order in which they are ready."""
    os.environ["POLARS_MAX_THREADS"] = "1"
    # a fork of a process with Polars' threads may never wake up
    context = get_context("spawn")
    with ProcessPoolExecutor(workers, mp_context=context, initializer=_end_with_parent) as pool:
        for future in as_completed([pool.submit(decide, market, place) for market in due]):
            yield future.result()


def _end_with_parent() -> None:
    """A worker does not outlive a run that was killed."""
    parent = parent_process()
    assert parent is not None, "a worker has a parent"

    def watch() -> None:
        parent.join()
        os._exit(1)

    Thread(target=watch, daemon=True).start()


def decide(market: Market, place: Path = IN_MEMORY) -> Decided:
    """One market from files, below the folder `place`, to the decision."""
    from assets.chain import run_stages
    from assets.groups import PROMOTE
    from harmony_pipeline.config import load_settings
    from harmony_pipeline.market.calendars import Calendar
    from harmony_pipeline.stages.context import PipelineContext

    begun = time.process_time()
    calendar = Calendar.of("XNYS").table
    with tempfile.TemporaryDirectory(prefix="harmony-gate-", dir=place) as name:
        folder = Path(name)
        bars = bars_of_market(market.edge, market.sharpe, market.seed, YEARS, whole_days(calendar))
        bars.write_parquet(folder / "bars.parquet")
        last: datetime = bars["timestamp"].max()  # type: ignore[assignment]
        settings = folder / "harmony.toml"
        text = (
            _SETTINGS.format(end=last.date() + timedelta(days=1))
            + VARIANTS[market.variant].settings
        )
        settings.write_text(text, encoding="utf-8")
        pipeline = PipelineContext(load_settings(settings, {}))
        run_stages(pipeline, PROMOTE)
        rules = pipeline.lake.read("promotions")
        returns = pipeline.lake.read("backtests")
        return Decided(
            market,
            bool(rules["promoted"].all()) and rules.height > 0,
            {
                row["rule"]: (row["measure"], row["threshold"], row["passed"])
                for row in rules.iter_rows(named=True)
            },
            float((returns["sharpe"][0] if returns.height else None) or 0.0),  # nothing was traded
            time.process_time() - begun,
        )


def whole_days(calendar: pl.DataFrame) -> pl.Series:
    """The hour in which each session of six and a half hours opens, from 2018 on, UTC. calendar:
    the table of the exchange's sessions.
    """
    whole = pl.col("close") - pl.col("open") == timedelta(hours=6, minutes=30)
    days = calendar.filter(pl.col("date") >= date(2018, 1, 2), whole)
    return days["open"].dt.truncate("1h")


# --- what came out --------------------------------------------------------------------------------


def report(found: Sequence[Decided]) -> bool:
    """Print the tables and the targets; whether all are met."""
    null = [one for one in found if one.market.edge == "none"]
    edges = [one for one in found if one.market.edge != "none"]
    wanted = VARIANTS[found[0].market.variant].sharpe
    target = [one for one in edges if one.market.sharpe == wanted]
    print("planted annual Sharpe  edge       promoted   95 % interval   captured Sharpe")
    for sharpe, edge in sorted({(one.market.sharpe, one.market.edge) for one in found}):
        row([one for one in found if (one.market.sharpe, one.market.edge) == (sharpe, edge)])
    names = sorted({name for one in found for name in one.rules} - set(TRIED))
    print(f"\nrule left out             promoted without an edge   with one of Sharpe {wanted:g}")
    for name in ("", *names):
        rates = [rate([one.promoted_without(name) for one in group]) for group in (null, target)]
        print(f"{name or '(none)':26}{rates[0]:>23.1%}{rates[1]:>23.1%}")
    print(f"\nrule                      passed without an edge     with one of Sharpe {wanted:g}")
    for name in names:
        rates = [rate([one.passes(name) for one in group]) for group in (null, target)]
        print(f"{name:26}{rates[0]:>23.1%}{rates[1]:>23.1%}")
    added_rules(null, target)
    return found[0].market.variant != "library" or judge(null, target, found)


def added_rules(null: Sequence[Decided], edges: Sequence[Decided]) -> None:
    """Print what each rule that is off would let pass by itself and added to the others, where it
    was measured.
    """
    measured = [name for name in TRIED if any(name in one.rules for one in null)]
    if measured:
        print(
            "\n                                  alone: without, with an edge     added to the rest"
        )
    for rule in measured:
        for threshold in TRIED[rule]:
            shares = []
            for group in (null, edges):
                passes = [one.passes_at(rule, threshold) for one in group]
                both = [
                    passed and one.promoted_without()
                    for passed, one in zip(passes, group, strict=True)
                ]
                shares += [rate(passes), rate(both)]
            alone, added = shares[::2], shares[1::2]
            print(
                f"{rule:24}{threshold:>8.2f}{alone[0]:>15.1%}{alone[1]:>11.1%}"
                f"{added[0]:>14.1%}{added[1]:>9.1%}"
            )


def row(group: Sequence[Decided]) -> None:
    """One line of the first table."""
    promoted, market = sum(one.promoted_without() for one in group), group[0].market
    low, high = interval(promoted, len(group))
    mean = sum(one.captured for one in group) / len(group)
    print(
        f"{market.sharpe:>21.1f}  {market.edge:9}  {promoted:>3} of {len(group):<4}"
        f" {low:>6.1%} to {high:>6.1%}  {mean:>8.2f}"
    )


def power_curve(found: Sequence[Decided]) -> bytes:
    """How often the gate promotes, by the size of the planted edge, with exact intervals: PNG."""
    from harmony_pipeline.reports import style

    sizes = sorted({one.market.sharpe for one in found})
    groups = [
        [one.promoted_without() for one in found if one.market.sharpe == size] for size in sizes
    ]
    rates = [rate(group) for group in groups]
    bounds = [interval(sum(group), len(group)) for group in groups]
    figure, (axes,) = style.canvas(
        "Promoted by the gate",
        f"{len(found)} markets of six years of hourly bars; whiskers: exact 95 % intervals",
        height=3.2,
    )
    below = [share - low for share, (low, _) in zip(rates, bounds, strict=True)]
    above = [high - share for share, (_, high) in zip(rates, bounds, strict=True)]
    axes.errorbar(
        sizes, rates, yerr=[below, above], color=style.ACCENT, marker="o", capsize=3, linewidth=1.5
    )
    axes.set_xlabel("annual Sharpe ratio of the planted rule, net of costs (0: no edge)")
    axes.set_ylim(-0.02, 1.02)
    style.percent_axis(axes.yaxis)
    return style.png(figure)


def judge(null: Sequence[Decided], target: Sequence[Decided], found: Sequence[Decided]) -> bool:
    """Print a line a target."""
    false, power = (rate([one.promoted_without() for one in group]) for group in (null, target))
    seconds = sorted(one.cpu_seconds for one in found)[len(found) // 2]
    lines = [
        (f"false promotion of {len(null)} markets", f"{false:.1%}", "at most 1 %", false <= 0.01),
        (f"detection of {len(target)} markets", f"{power:.1%}", "at least 80 %", power >= 0.8),
        ("CPU seconds a market, median", f"{seconds:.2f}", "under 2", seconds < 2.0),
    ]
    print()
    for what, measured, wanted, met in lines:
        print(f"{what}: {measured}, wanted {wanted}: {'met' if met else 'MISSED'}")
    return all(met for *_, met in lines)


def rate(answers: Sequence[bool]) -> float:
    """Share of yes; NaN of none."""
    return sum(answers) / len(answers) if answers else math.nan


def interval(hits: int, of: int) -> tuple[float, float]:
    """Clopper and Pearson's exact 95 % interval of a rate."""
    from scipy.stats import beta

    low = beta.ppf(0.025, hits, of - hits + 1) if hits else 0.0
    high = beta.ppf(0.975, hits + 1, of - hits) if hits < of else 1.0
    return float(low), float(high)


if __name__ == "__main__":
    main()
