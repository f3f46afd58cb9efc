"""One strategy on one page: what it earned, what it risked, and why to doubt it.

Pure: frames and a few numbers in, a self-contained HTML document out; the same input gives the same bytes, so nothing of the clock is in it.
Every part is left out when there is nothing to put in it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import polars as pl

from harmony_pipeline import schemas
from harmony_pipeline.reports import figures
from harmony_pipeline.reports.page import (
    DASH,
    Cell,
    Html,
    day,
    fixed,
    folded,
    fraction,
    frame_table,
    mark,
    page,
    plain,
    section,
    share,
    table,
    text,
    tiles,
    verdict,
    words,
)

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
    ("n_trials", "Configurations tried", fixed(0), "every one counts against the result"),
    ("psr", "Probabilistic Sharpe ratio", fixed(3), "probability that the true Sharpe ratio is above zero"),
    ("dsr", "Deflated Sharpe ratio", fixed(3), "the same, above the best that so many worthless trials would show"),
    ("pbo", "Probability of overfitting", fixed(3), "how often the best in sample was below the median out of sample"),
    ("spa_pvalue", "SPA p-value", fixed(3), "of no trial being better than doing nothing"),
    ("min_track_record", "Minimum track record", fixed(0), "days needed before the Sharpe ratio is believable at 95%"),
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
    """What the page is made of. Tables as in schemas, of this strategy; empty or None: that part is left out.

    backtest: one row of BACKTESTS. sharpe_interval: 95 % bounds, annualised. promotions may hold earlier decisions, the latest is shown.
    monte_carlo: MONTE_CARLO; fan and sensitivity: robustness.MonteCarlo.fan and Stability.table; benchmark: frame[timestamp, value].
    trade_page: address of the page that shows trades on their candles.
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


def tear_sheet(inputs: TearSheet) -> str:
    """The page as one string, to be written as UTF-8."""
    run = inputs.backtest
    header: list[object] = [
        f"{day(run.get('start'))} to {day(run.get('end'))}, starting with {fixed(0)(run.get('initial_cash'))}",
        Html(f"parameters <code>{text(run.get('parameters') or '{}')}</code>"),
    ]
    if inputs.trade_page:
        header.append(Html(f'<a href="{text(inputs.trade_page)}">trades on their candles</a>: signal, entry, barriers and exit of some trades'))
    parts = [
        _headline(inputs),
        section("Equity", figures.as_img(figures.equity_curve(inputs.equity, "Equity after costs", inputs.benchmark), "equity and drawdown")),
        _gate(inputs.promotions),
        _metrics(inputs),
        _monte_carlo(inputs),
        _overfitting(inputs.overfitting),
        _sensitivity(inputs.sensitivity),
        _regimes(inputs.regimes),
        _folds(inputs.folds),
        _trades(inputs.trades),
    ]
    return page(
        inputs.strategy,
        header,
        parts,
        footer=f"Backtest {run.get('backtest_id') or DASH}. Past results say little about future ones; the pages of doubt above say how little.",
    )


def interval_text(interval: tuple[float | None, float | None]) -> str:
    """`95%: 0.21 to 2.41`; empty when unknown."""
    low, high = interval
    return "" if low is None or high is None else f"95%: {low:.2f} to {high:.2f}"


def _headline(inputs: TearSheet) -> str:
    run = inputs.backtest
    return tiles(
        [
            ("Total return", fraction(1)(run.get("total_return")), f"{fraction(1)(run.get('annual_return'))} a year"),
            ("Sharpe ratio", fixed(2)(run.get("sharpe")), interval_text(inputs.sharpe_interval) or "annualised"),
            ("Deepest drawdown", fraction(1)(run.get("max_drawdown")), f"Calmar {fixed(2)(run.get('calmar'))}"),
            ("Trades", fixed(0)(run.get("trades")), f"{share(0)(run.get('win_rate'))} won"),
        ]
    )


def _metrics(inputs: TearSheet) -> str:
    rows = []
    for name, heading, write, meaning in _MEANINGS:
        if name in inputs.backtest:
            aside = interval_text(inputs.sharpe_interval) if name == "sharpe" else ""
            rows.append({"name": heading, "value": write(inputs.backtest[name]), "meaning": f"{meaning}; {aside}" if aside else meaning})
    return section("Metrics", table({"name": "measure", "value": "value", "meaning": "meaning"}, rows, words=("name", "meaning")))


def _gate(promotions: pl.DataFrame) -> str:
    if promotions.is_empty():
        return ""
    latest = promotions.filter(pl.col("decided_at") == pl.col("decided_at").max())
    first = latest.row(0, named=True)
    failed = [words(rule) for rule in latest.filter(~pl.col("passed"))["rule"].to_list()]
    sentence = (
        f"Promoted: {first['model_id']} passed every rule."
        if first["promoted"]
        else f"Not promoted: {first['model_id']} fails on {', '.join(failed) or 'a rule'}."
    )
    rules = frame_table(
        latest,
        {"rule": "rule", "measure": "measure", "threshold": "threshold", "passed": "outcome"},
        {"rule": words, "measure": lambda value: "not measurable" if value is None else plain(value), "passed": mark},
        words=("rule", "passed"),
    )
    previous = f"Decided {plain(first['decided_at'])} UTC; the champion before: {first['previous_model_id'] or 'none'}."
    return section("Promotion gate", verdict(bool(first["promoted"]), sentence), rules, f'<p class="note">{text(previous)}</p>')


def _monte_carlo(inputs: TearSheet) -> str:
    paths = inputs.monte_carlo
    cash = inputs.backtest.get("initial_cash") or 0.0
    if paths.filter(pl.col("scenario") != "none").is_empty() or cash <= 0.0:
        return ""
    growth = pl.col("final_equity") / cash - 1.0
    table_rows = (
        paths.group_by("scenario", maintain_order=True)
        .agg(
            paths=pl.len(),
            p05=growth.quantile(0.05, "linear"),
            p50=growth.quantile(0.50, "linear"),
            p95=growth.quantile(0.95, "linear"),
            drawdown=pl.col("max_drawdown").quantile(0.05, "linear"),
            losing=(growth < 0.0).mean(),
        )
        .sort(pl.col("scenario").replace_strict({name: i for i, name in enumerate(_SCENARIOS)}, default=len(_SCENARIOS), return_dtype=pl.Int64))
    )
    rows = frame_table(
        table_rows,
        {"scenario": "scenario", "p05": "return, worst 5%", "p50": "median", "p95": "best 5%", "drawdown": "drawdown, worst 5%", "losing": "paths that lose"},
        {
            "scenario": lambda name: _SCENARIOS.get(name, words(name)),
            **{key: fraction(1) for key in ("p05", "p50", "p95", "drawdown")},
            "losing": share(0),
        },
        words=("scenario",),
    )
    fan = figures.as_img(figures.monte_carlo_fan(inputs.fan, "Stressed paths"), "bands of stressed equity paths") if inputs.fan is not None else ""
    outcomes = figures.as_img(figures.monte_carlo_outcomes(paths, cash), "final returns and drawdowns by scenario")
    most = int(table_rows["paths"].max())  # type: ignore[arg-type]
    return section("Monte Carlo", fan, outcomes, rows, note=f"{most} paths a scenario, from the closed trades of this backtest.")


def _overfitting(overfitting: pl.DataFrame) -> str:
    if overfitting.is_empty():
        return ""
    row = overfitting.row(0, named=True)
    rows = [{"name": heading, "value": write(row[name]), "meaning": meaning} for name, heading, write, meaning in _OVERFITTING]
    return section("Overfitting", table({"name": "measure", "value": "value", "meaning": "meaning"}, rows, words=("name", "meaning")))


def _sensitivity(stability: pl.DataFrame | None) -> str:
    if stability is None or stability.is_empty():
        return ""
    return section("Sensitivity", figures.as_img(figures.sensitivity_heatmap(stability), "Annualised Sharpe ratio by parameters"))


def _regimes(regimes: pl.DataFrame) -> str:
    return section("Regimes", figures.as_img(figures.regime_bars(regimes), "Sharpe ratio by market regime")) if regimes.height else ""


def _folds(folds: pl.DataFrame) -> str:
    if folds.is_empty():
        return ""
    rows = frame_table(
        folds.sort("period", "horizon"),
        {
            "period": "period",
            "train_start": "trained from",
            "train_last_end": "last outcome used",
            "test_start": "tested from",
            "test_end": "until",
            "train_rows": "trained on",
            "test_rows": "tested on",
            "purged_rows": "purged",
        },
        {"train_start": day, "train_last_end": plain, "test_start": day, "test_end": day},
        words=("period",),
    )
    return section(
        "Walk-forward", figures.as_img(figures.fold_timeline(folds), "training, embargo and test of every period"), folded("every period in numbers", rows)
    )


def _trades(trades: pl.DataFrame, most: int = 8) -> str:
    closed = trades.drop_nulls("pnl")
    if closed.is_empty():
        return ""
    headings = {
        "symbol": "symbol",
        "side": "side",
        "entry_timestamp": "in",
        "exit_timestamp": "out",
        "exit_reason": "closed by",
        "pnl": "profit",
        "return": "return",
    }
    cells: dict[str, Cell] = {"pnl": fixed(2), "return": fraction(2), "exit_reason": words}
    best = closed.filter(pl.col("pnl") > 0.0).sort(["pnl", "trade_id"], descending=[True, False]).head(most)
    worst = closed.filter(pl.col("pnl") < 0.0).sort("pnl", "trade_id").head(most)
    blocks = [figures.as_img(figures.trade_return_histogram(closed), "distribution of trade returns")]
    for heading, rows in (("Largest gains", best), ("Largest losses", worst)):
        if rows.height:
            blocks.append(f"<h3>{heading}</h3>" + frame_table(rows, headings, cells, words=("symbol", "side", "exit_reason")))
    still_open = trades.height - closed.height
    return section("Trades", *blocks, note=f"{closed.height} closed, {still_open} still open." if still_open else f"{closed.height} closed.")
