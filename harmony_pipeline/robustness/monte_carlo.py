"""Monte Carlo of a trade list: other outcomes of the same trades, and of slightly worse ones.

A trade acts on a path as a return on equity: its pnl over the equity just before it was booked, in
the order of exits. For trades that do not overlap that is the equity at entry, by which the
position was sized. For overlapping trades it also includes what settled while the trade was open.
The equity at entry would be the other choice, but then the trades in their own order would not
compound to the backtest's result. With this choice they do, exactly: the product telescopes to
(cash + sum of pnl) / cash. So `none` is the backtest's closed-trade curve, and a shuffle changes
only the drawdown. Positions of a path grow and shrink with its equity, as sizing by a fraction of
equity does. A sum of pnl in currency would let a path that has halved trade at full size.

| scenario | order of trades | disturbance |
|---|---|---|
| none | as they were, one path, exact sums | none |
| bootstrap | drawn one by one with replacement | none |
| block_bootstrap | stationary bootstrap, blocks of `block` days in the mean | none |
| shuffle | permuted: drawdown only | none |
| missed | as they were | each trade is missed with `miss_probability` |
| slippage | as they were | cost on entry value, both sides, uniform in [0, 2 * slippage_bps] |
| anomalies | as they were | shocks of -anomaly_size * abs(worst trade) on some days |
| stressed | stationary bootstrap | misses, slippage and anomalies together |

Shocks come by days, not by trades: `anomaly_probability` is the chance of a day with a closed
trade, whichever of its trades is struck. By trades, whoever trades ten times as often would meet
ten times as many shocks of the same size in the same years.

A block holds whole days: all trades of the portfolio that were closed on them. Trades of one day
share their market, so drawing them one by one takes a hundred positions in one move for a hundred
opinions: with 100 symbols correlated by 0.5 a worthless strategy then passes "earns in the worst
5 %" 23 times in 100. The gate asks `stressed`, whose order is that of blocks.

The mean of the extra cost is slippage_bps; with `slippage_anomaly_probability` a trade's slippage
is `slippage_anomaly_size` times what was drawn. max_drawdown is `equity / peak - 1` on closed
trades. The starting cash is the first peak, and open losses inside a trade are not included.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from harmony_pipeline import schemas
from harmony_pipeline.arrays import FloatArray, IntArray
from harmony_pipeline.errors import DataError
from harmony_pipeline.market.multipliers import with_multiplier
from harmony_pipeline.robustness.paths import (
    BLOCKS,
    IN_ORDER,
    RESAMPLED,
    SHUFFLED,
    Trouble,
    run_paths,
    share_paths,
)
from harmony_pipeline.robustness.settings import MonteCarloSettings

QUANTILES = {"p05": 0.05, "p25": 0.25, "p50": 0.50, "p75": 0.75, "p95": 0.95}
FAN_PATHS = 1000  # enough for smooth bands; the tables hold every path
FAN_STEPS = 200  # trade numbers at which the bands are taken


@dataclass(frozen=True)
class Scenario:
    """One resampling scenario. `stream` keys its draws, so that a new scenario changes no other."""

    name: str
    stream: int
    order: int
    misses: bool = False
    slips: bool = False
    anomalies: bool = False

    @property
    def method(self) -> str:
        """The method that orders the trades."""
        if self.stream == 0:
            return "none"
        return {
            IN_ORDER: "in_order",
            RESAMPLED: "bootstrap",
            BLOCKS: "stationary_bootstrap",
            SHUFFLED: "shuffle",
        }[self.order]


BASELINE = Scenario("none", 0, IN_ORDER)
SCENARIOS = (
    Scenario("bootstrap", 1, RESAMPLED),
    Scenario("block_bootstrap", 2, BLOCKS),
    Scenario("shuffle", 3, SHUFFLED),
    Scenario("missed", 4, IN_ORDER, misses=True),
    Scenario("slippage", 5, IN_ORDER, slips=True),
    Scenario("anomalies", 6, IN_ORDER, anomalies=True),
    Scenario("stressed", 7, BLOCKS, misses=True, slips=True, anomalies=True),
)


@dataclass(frozen=True)
class TradeReturns:
    """Closed trades in the order of their exits, as fractions of the equity before each."""

    returns: FloatArray
    values: FloatArray  # entry value / equity before
    curve: FloatArray  # currency, trades + 1 points, the first is the starting cash
    days: IntArray  # number of the first trade of each day on which one was closed


@dataclass(frozen=True)
class MonteCarlo:
    """`table` as schemas.MONTE_CARLO; `quantiles` by (scenario, measure)."""

    table: pl.DataFrame
    quantiles: pl.DataFrame
    initial_cash: float
    sample: TradeReturns
    settings: MonteCarloSettings

    @property
    def trades(self) -> int:
        """Number of closed trades."""
        return int(self.sample.returns.size)

    def fan(self, *names: str) -> pl.DataFrame:
        """Bands by (scenario, trade number) of the equity of the first `FAN_PATHS` paths of these
        scenarios (by default all), after those of the path that was; in currency. The paths are
        walked again: few fans are ever looked at.
        """
        stops = fan_stops(self.trades)
        fans = [_fan(BASELINE, self.sample.curve[stops][None, :], stops)]
        for scenario in SCENARIOS if self.trades else ():
            if not names or scenario.name in names:
                paths = min(self.settings.paths, FAN_PATHS)
                curves = run_scenario(self.sample, scenario, self.settings, paths, stops=stops)[2]
                fans.append(_fan(scenario, curves * self.initial_cash, stops))
        return pl.concat(fans)

    def quantile(self, scenario: str, measure: str, name: str) -> float | None:
        """One quantile of `final_equity`, `total_return` or `max_drawdown`; `name` is `p05` ...
        `p95`.

        None when there is no such row.
        """
        found = self.quantiles.filter(
            (pl.col("scenario") == scenario) & (pl.col("measure") == measure)
        )[name].to_list()
        return float(found[0]) if found else None

    def summary(self) -> dict[str, float | int | None]:
        """The main results. Drawdowns are negative, so their worst 5 % is p05."""
        final = self.table.filter(pl.col("scenario") == "none")["final_equity"]
        stressed = self.table.filter(pl.col("scenario") == "stressed")["final_equity"]
        losing = (
            float((stressed < self.initial_cash).cast(pl.Float64).mean() or 0.0)  # type: ignore[arg-type]
            if stressed.len()
            else None
        )
        return {
            "trades": self.trades,
            "paths": self.table.height,
            "final_equity": float(final[0]),
            "total_return": float(final[0]) / self.initial_cash - 1.0,
            "max_drawdown": self.quantile("none", "max_drawdown", "p50"),
            "bootstrap_p05_return": self.quantile("bootstrap", "total_return", "p05"),
            "stressed_p05_return": self.quantile("stressed", "total_return", "p05"),
            "stressed_median_return": self.quantile("stressed", "total_return", "p50"),
            "stressed_p05_drawdown": self.quantile("stressed", "max_drawdown", "p05"),
            "stressed_loss_probability": losing,
        }


def simulate(
    trades: pl.DataFrame,
    initial_cash: float,
    settings: MonteCarloSettings,
    backtest_id: str,
    multipliers: pl.DataFrame | None = None,
    zone: str = "UTC",
) -> MonteCarlo:
    """Every scenario over the closed rows of `trades` (schemas.TRADES; open ones are left out).
    multipliers: what a unit of a contract is worth (market/multipliers.py). zone: whose dates are
    the days of a block.

    Raises DataError when the cash is not positive or a closed trade has no finite pnl or entry
    value. Without a closed trade the result holds only the path `none`.
    """
    if not initial_cash > 0.0:
        raise DataError(
            f"backtest {backtest_id}: initial_cash is {initial_cash}, expected more than 0: set"
            " backtest.initial_cash"
        )
    sample = trade_returns(trades, initial_cash, multipliers, zone)
    peak = np.maximum.accumulate(sample.curve)
    deepest = np.array([np.min(sample.curve / peak) - 1.0])
    rows = {BASELINE.name: _rows(backtest_id, BASELINE, settings, sample.curve[-1:], deepest)}
    bands = [_quantiles(BASELINE, sample.curve[-1:], deepest, initial_cash)]
    for scenario in SCENARIOS if sample.returns.size else ():
        final, drawdown, _ = run_scenario(sample, scenario, settings, settings.paths)
        rows[scenario.name] = _rows(backtest_id, scenario, settings, final * initial_cash, drawdown)
        bands.append(_quantiles(scenario, final * initial_cash, drawdown, initial_cash))
    return MonteCarlo(
        # in the order of the table, which is then not sorted
        schemas.MONTE_CARLO.conform(pl.concat(rows[name] for name in sorted(rows))),
        pl.concat(bands),
        initial_cash,
        sample,
        settings,
    )


def trade_returns(
    trades: pl.DataFrame,
    initial_cash: float,
    multipliers: pl.DataFrame | None = None,
    zone: str = "UTC",
) -> TradeReturns:
    """The closed trades as returns on the equity before each, with their entry values.

    Once the account is empty (equity before a trade <= 0) a fraction of it has no meaning. Such
    trades use the starting cash.
    """
    ended = trades.filter(pl.col("exit_timestamp").is_not_null())
    closed = with_multiplier(ended, multipliers, "entry_timestamp").sort(
        "exit_timestamp", "symbol", "entry_timestamp", "trade_id"
    )
    value = (pl.col("quantity") * pl.col("entry_price") * pl.col("multiplier")).abs()
    broken = closed.filter(~(pl.col("pnl").is_finite() & value.is_finite()).fill_null(value=False))
    if broken.height:
        row = broken.row(0, named=True)
        found = f"pnl {row['pnl']} and entry_price {row['entry_price']}"
        raise DataError(
            f"trades: trade {row['trade_id']} is closed but has {found}, expected finite numbers:"
            " run its backtest again"
        )
    pnl = closed["pnl"].to_numpy().astype(np.float64)
    curve = initial_cash + np.concatenate(([0.0], np.cumsum(pnl)))
    before = np.where(curve[:-1] > 0.0, curve[:-1], initial_cash)
    values = closed.select(value.alias("value"))["value"].to_numpy().astype(np.float64)
    day = closed["exit_timestamp"].dt.convert_time_zone(zone).dt.date().to_physical().to_numpy()
    return TradeReturns(
        np.ascontiguousarray(pnl / before),
        np.ascontiguousarray(values / before),
        curve,
        np.flatnonzero(np.diff(day, prepend=day[0] - 1) != 0)
        if day.size
        else np.zeros(0, np.int64),
    )


def run_scenario(
    sample: TradeReturns,
    scenario: Scenario,
    settings: MonteCarloSettings,
    paths: int,
    first_path: int = 0,
    stops: IntArray | None = None,
    threads: int | None = None,
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Paths `first_path` to `first_path + paths` of one scenario: final [paths], drawdown [paths],
    curves [paths, stops] equity after so many trades; start 1.0. `threads`: as many as there are
    cores, by default; the numbers do not depend on it.
    """
    returns = sample.returns
    stops = np.zeros(0, np.int64) if stops is None else stops
    final, drawdown = np.empty(paths), np.empty(paths)
    curves = np.empty((paths if stops.size else 0, stops.size))
    worst = float(returns.min()) if returns.size else 0.0
    if worst >= 0.0:  # no trade lost: the largest move, as a loss
        worst = -float(np.abs(returns).max()) if returns.size else 0.0
    costs = (
        sample.values * (2.0 * settings.slippage_bps / 1e4)
        if scenario.slips
        else np.zeros(returns.size)
    )
    trouble = Trouble(
        settings.miss_probability if scenario.misses else 0.0,
        shock_probability(sample, settings) if scenario.anomalies else 0.0,
        settings.anomaly_size * worst,
        settings.slippage_anomaly_probability if scenario.slips else 0.0,
        settings.slippage_anomaly_size,
    )
    seed = np.uint64(settings.seed & 0xFFFFFFFFFFFFFFFF)

    def walk(first: int, end: int) -> None:
        run_paths(
            returns, costs, sample.days, seed, scenario.stream, first_path + first, scenario.order,
            1.0 / settings.block, trouble, stops,
            final[first:end], drawdown[first:end], curves[first:end],
        )  # fmt: skip

    share_paths(walk, paths, returns.size, threads)
    return final, drawdown, curves


def shock_probability(sample: TradeReturns, settings: MonteCarloSettings) -> float:
    """The chance of a trade to meet a shock: that of a day, shared by the trades of a day."""
    return settings.anomaly_probability * sample.days.size / sample.returns.size


def fan_stops(trades: int) -> IntArray:
    """Trade numbers of the fan: 0, then at most FAN_STEPS rising ones up to all trades."""
    steps = np.linspace(0, trades, min(trades, FAN_STEPS) + 1)
    return np.rint(steps).astype(np.int64)


def _rows(
    backtest_id: str,
    scenario: Scenario,
    settings: MonteCarloSettings,
    final: FloatArray,
    drawdown: FloatArray,
) -> pl.DataFrame:
    return pl.DataFrame(
        {"path": np.arange(final.size), "final_equity": final, "max_drawdown": drawdown}
    ).with_columns(
        backtest_id=pl.lit(backtest_id),
        scenario=pl.lit(scenario.name),
        method=pl.lit(scenario.method),
        miss_probability=pl.lit(settings.miss_probability if scenario.misses else 0.0),
        slippage_bps=pl.lit(settings.slippage_bps if scenario.slips else 0.0),
        anomaly_probability=pl.lit(settings.anomaly_probability if scenario.anomalies else 0.0),
        block=pl.lit(settings.block if scenario.order == BLOCKS else 1, dtype=pl.Int64),
    )


def _quantiles(
    scenario: Scenario, final: FloatArray, drawdown: FloatArray, initial_cash: float
) -> pl.DataFrame:
    measures = {
        "final_equity": final,
        "total_return": final / initial_cash - 1.0,
        "max_drawdown": drawdown,
    }
    taken = np.array(
        [np.quantile(values, list(QUANTILES.values())) for values in measures.values()]
    )
    ids = {
        "scenario": [scenario.name] * len(measures),
        "measure": list(measures),
        "paths": [final.size] * len(measures),
    }
    return pl.DataFrame({**ids, **{key: taken[:, i] for i, key in enumerate(QUANTILES)}})


def _fan(scenario: Scenario, curves: FloatArray, stops: IntArray) -> pl.DataFrame:
    taken = np.quantile(curves, list(QUANTILES.values()), axis=0)
    return pl.DataFrame(
        {
            "scenario": [scenario.name] * stops.size,
            "trade": stops,
            **{key: taken[i] for i, key in enumerate(QUANTILES)},
        }
    )
