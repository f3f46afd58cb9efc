"""One strategy on one page: what it earned, what it risked, and why to doubt it.

Pure: frames and a few numbers in, a self-contained HTML document out; the same input gives the same
bytes, so nothing of the clock is in it. Every part is left out when there is nothing to put in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from harmony_pipeline import schemas
from harmony_pipeline.models.gate import rule_meaning, threshold_text
from harmony_pipeline.reports import figures
from harmony_pipeline.reports.page import fixed, fraction, humanize, render, share

_MEANINGS = (
    ("total_return", "Total return", fraction(1), "over the whole period, after costs"),
    ("annual_return", "Annual return", fraction(1), "compounded"),
    ("annual_volatility", "Annual volatility", share(1), "of daily returns"),
    ("sharpe", "Sharpe ratio", fixed(2), "annualised, daily returns"),
    ("sortino", "Sortino ratio", fixed(2), "downside deviation of the full sample"),
    ("calmar", "Calmar ratio", fixed(2), "annual return over deepest drawdown"),
    ("max_drawdown", "Deepest drawdown", fraction(1), "from a peak of equity"),
    ("skew", "Skewness", fixed(2), "of daily returns"),
    ("kurtosis", "Kurtosis", fixed(2), "of daily returns"),
    ("trades", "Trades", fixed(0), "closed round trips"),
    ("win_rate", "Win rate", share(1), "trades with a profit"),
    ("profit_factor", "Profit factor", fixed(2), "gains over losses"),
    ("average_trade_return", "Average trade", fraction(2), "of entry value"),
    ("turnover", "Turnover", fixed(1), "traded value over equity"),
    ("time_in_market", "Time in the market", share(1), "bars at whose close a position was held"),
    ("mean_gross_exposure", "Mean gross exposure", share(1), "value of positions over equity"),
    ("fees", "Fees", fixed(0), "currency"),
    ("slippage", "Slippage", fixed(0), "currency"),
    ("participation", "Largest participation", share(2), "of a bar's volume"),
)
_OVERFITTING = (
    (
        "n_trials",
        "Configurations tried",
        fixed(0),
        "of every strategy in this lake; each counts against the result",
    ),
    (
        "effective_trials",
        "Effective trials",
        fixed(1),
        "independent ones that would be as lucky, since similar trials are no new chance",
    ),
    (
        "psr",
        "Probabilistic Sharpe ratio",
        fixed(3),
        "probability that the true Sharpe ratio is above zero",
    ),
    (
        "dsr",
        "Deflated Sharpe ratio",
        fixed(3),
        "the same, above the best that so many worthless trials would show",
    ),
    (
        "pbo",
        "Probability of overfitting",
        fixed(3),
        "how often the best in sample was below the median out of sample",
    ),
    ("spa_pvalue", "SPA p-value", fixed(3), "of no trial being better than doing nothing"),
    (
        "superior_trials",
        "Superior trials",
        fixed(0),
        "that beat doing nothing, with a chance of 5% that any of them does not (StepM)",
    ),
    (
        "min_track_record",
        "Minimum track record",
        fixed(0),
        "days until the Sharpe ratio is believable at 95%, with one more day of the worst loss",
    ),
)
_SCENARIOS = {
    "none": "as it was",
    "shuffle": "trades in another order",
    "bootstrap": "trades drawn anew",
    "block_bootstrap": "blocks drawn anew",
    "missed": "some trades missed",
    "slippage": "more slippage",
    "anomalies": "shocks",
    "stressed": "all of it together",
}


@dataclass(frozen=True)
class TearSheet:
    """What the page is made of. Tables as in schemas, of this strategy; empty or None: that part is
    left out.

    backtest: one row of BACKTESTS. sharpe_interval: 95 % bounds, annualised. promotions may hold
    earlier decisions, the latest is shown. monte_carlo: MONTE_CARLO; fan: what
    robustness.MonteCarlo.fan gives; sensitivity: Stability.table; benchmark: frame[timestamp,
    value]. trade_page and interactive_page: addresses of the pages beside this one.
    """

    strategy: str
    backtest: Mapping[str, Any]
    sharpe_interval: tuple[float | None, float | None] = (None, None)
    equity: pl.DataFrame = field(default_factory=schemas.EQUITY.empty)
    trades: pl.DataFrame = field(default_factory=schemas.TRADES.empty)
    monte_carlo: pl.DataFrame = field(default_factory=schemas.MONTE_CARLO.empty)
    overfitting: pl.DataFrame = field(default_factory=schemas.OVERFITTING.empty)
    folds: pl.DataFrame = field(default_factory=schemas.FOLDS.empty)
    promotions: pl.DataFrame = field(default_factory=schemas.PROMOTIONS.empty)
    regimes: pl.DataFrame = field(default_factory=schemas.REGIME_STABILITY.empty)
    fan: pl.DataFrame | None = None
    sensitivity: pl.DataFrame | None = None
    benchmark: pl.DataFrame | None = None
    trade_page: str | None = None
    interactive_page: str | None = None


def tear_sheet(inputs: TearSheet) -> str:
    """The page as one string, to be written as UTF-8."""
    return render(
        "tear_sheet.html.j2",
        strategy=inputs.strategy,
        trade_page=inputs.trade_page,
        interactive_page=inputs.interactive_page,
        run=dict.fromkeys(schemas.BACKTESTS.dtypes) | dict(inputs.backtest),
        headline=_headline(inputs),
        equity=figures.equity_curve(
            inputs.equity,
            "Equity after costs",
            inputs.benchmark,
            inputs.backtest.get("initial_cash"),
        ),
        gate=_gate(inputs.promotions),
        metrics=_metrics(inputs),
        **_monte_carlo(inputs),
        overfitting=_overfitting(inputs.overfitting),
        sensitivity=(
            None
            if inputs.sensitivity is None or inputs.sensitivity.is_empty()
            else figures.sensitivity_heatmap(inputs.sensitivity)
        ),
        regimes=figures.regime_bars(inputs.regimes) if inputs.regimes.height else None,
        folds=inputs.folds.sort("period", "horizon").to_dicts(),
        fold_timeline=figures.fold_timeline(inputs.folds) if inputs.folds.height else None,
        **_trades(inputs.trades),
    )


def interval_text(interval: tuple[float | None, float | None]) -> str:
    """`95%: 0.21 to 2.41`; empty when unknown."""
    low, high = interval
    return "" if low is None or high is None else f"95%: {low:.2f} to {high:.2f}"


def _gate(promotions: pl.DataFrame) -> list[dict[str, Any]]:
    """The rules of the latest decision, with what each asks and what its measure means."""
    latest = promotions.filter(pl.col("decided_at") == pl.col("decided_at").max())
    return [
        row
        | {
            "asked": threshold_text(row["rule"], row["threshold"]),
            "meaning": rule_meaning(row["rule"]),
        }
        for row in latest.iter_rows(named=True)
    ]


def _headline(inputs: TearSheet) -> list[tuple[str, str, str]]:
    run = inputs.backtest
    return [
        (
            "Total return",
            fraction(1)(run.get("total_return")),
            f"{fraction(1)(run.get('annual_return'))} a year",
        ),
        (
            "Sharpe ratio",
            fixed(2)(run.get("sharpe")),
            interval_text(inputs.sharpe_interval) or "annualised",
        ),
        (
            "Deepest drawdown",
            fraction(1)(run.get("max_drawdown")),
            f"Calmar {fixed(2)(run.get('calmar'))}",
        ),
        ("Trades", fixed(0)(run.get("trades")), f"{share(0)(run.get('win_rate'))} won"),
    ]


def _metrics(inputs: TearSheet) -> list[dict[str, str]]:
    rows = []
    for name, heading, write, meaning in _MEANINGS:
        if name in inputs.backtest:
            aside = interval_text(inputs.sharpe_interval) if name == "sharpe" else ""
            rows.append(
                {
                    "name": heading,
                    "value": write(inputs.backtest[name]),
                    "meaning": f"{meaning}; {aside}" if aside else meaning,
                }
            )
    return rows


def _overfitting(overfitting: pl.DataFrame) -> list[dict[str, str]]:
    return [
        {"name": heading, "value": write(row[name]), "meaning": meaning}
        for row in overfitting.head(1).to_dicts()
        for name, heading, write, meaning in _OVERFITTING
    ]


def _monte_carlo(inputs: TearSheet) -> dict[str, object]:
    """Quantiles of every scenario and its pictures; no scenario without resampled trades."""
    paths = inputs.monte_carlo
    cash = inputs.backtest.get("initial_cash") or 0.0
    if paths.filter(pl.col("scenario") != "none").is_empty() or cash <= 0.0:
        return {"scenarios": [], "fan": None, "outcomes": None}
    growth = pl.col("final_equity") / cash - 1.0
    scenarios = (
        paths.group_by("scenario", maintain_order=True)
        .agg(
            paths=pl.len(),
            p05=growth.quantile(0.05, "linear"),
            p50=growth.quantile(0.50, "linear"),
            p95=growth.quantile(0.95, "linear"),
            drawdown=pl.col("max_drawdown").quantile(0.05, "linear"),
            losing=(growth < 0.0).mean(),
        )
        .sort(
            pl.col("scenario").replace_strict(
                {name: i for i, name in enumerate(_SCENARIOS)},
                default=len(_SCENARIOS),
                return_dtype=pl.Int64,
            )
        )
    )
    return {
        "scenarios": [
            row | {"scenario": _SCENARIOS.get(row["scenario"], humanize(row["scenario"]))}
            for row in scenarios.to_dicts()
        ],
        "fan": (
            figures.monte_carlo_fan(inputs.fan, "Stressed paths")
            if inputs.fan is not None
            else None
        ),
        "outcomes": figures.monte_carlo_outcomes(paths, cash),
    }


def _trades(trades: pl.DataFrame, most: int = 8) -> dict[str, object]:
    closed = trades.drop_nulls("pnl")
    return {
        "closed": closed.height,
        "still_open": trades.height - closed.height,
        "trade_returns": figures.trade_return_histogram(closed) if closed.height else None,
        "gains": (
            closed.filter(pl.col("pnl") > 0.0)
            .sort(["pnl", "trade_id"], descending=[True, False])
            .head(most)
            .to_dicts()
        ),
        "losses": closed.filter(pl.col("pnl") < 0.0).sort("pnl", "trade_id").head(most).to_dicts(),
    }
