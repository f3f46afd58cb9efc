"""Every figure by name: what stands above it, its unit, how it is computed, and where that is from.

The reports and docs/analytics.md are written from this list; a test holds them equal. r: daily
return by session date, N: sessions a year of the calendar, b: the benchmark's daily return.
"""

from dataclasses import dataclass
from typing import Literal

Unit = Literal["fraction", "ratio", "currency", "bps", "count", "sessions", "hours", "per year"]
_FULL = "full sample, ddof 1"


@dataclass(frozen=True)
class Definition:
    """One figure."""

    name: str
    heading: str
    unit: Unit
    formula: str
    source: str = ""
    group: str = ""


def _group(group: str, *rows: tuple[str, str, Unit, str, str]) -> tuple[Definition, ...]:
    return tuple(Definition(*row, group) for row in rows)


DEFINITIONS: tuple[Definition, ...] = (
    *_group(
        "Return and risk",
        ("total_return", "Total return", "fraction", "last equity / initial cash - 1", ""),
        ("annual_return", "Annual return", "fraction", "(1 + total)^(N / sessions) - 1", ""),
        ("annual_volatility", "Annual volatility", "fraction", f"std(r) sqrt(N), {_FULL}", ""),
        ("sharpe", "Sharpe ratio", "ratio", "mean(r) / std(r) sqrt(N)", "Sharpe 1994"),
        (
            "sortino",
            "Sortino ratio",
            "ratio",
            "mean(r) / sqrt(mean(min(r, 0)^2)) sqrt(N)",
            "Sortino and Price 1994",
        ),
        ("calmar", "Calmar ratio", "ratio", "annual return / -max drawdown", "Young 1991"),
        (
            "omega",
            "Omega ratio",
            "ratio",
            "sum(max(r, 0)) / sum(max(-r, 0))",
            "Keating and Shadwick 2002, threshold 0",
        ),
        ("skew", "Skewness", "ratio", "m3 / m2^1.5", ""),
        ("kurtosis", "Kurtosis", "ratio", "m4 / m2^2, 3 for a normal sample", ""),
    ),
    *_group(
        "Tails",
        ("tail_ratio", "Tail ratio", "ratio", "|95% quantile of r| / |5% quantile of r|", ""),
        ("value_at_risk", "Value at risk, a day", "fraction", "5% quantile of r", ""),
        (
            "conditional_value_at_risk",
            "Conditional value at risk",
            "fraction",
            "mean of the worst 1 + floor(0.05 (n - 1)) of n returns",
            "Rockafellar and Uryasev 2000",
        ),
        ("best_day", "Best day", "fraction", "max(r)", ""),
        ("worst_day", "Worst day", "fraction", "min(r)", ""),
        ("positive_days", "Positive days", "fraction", "share of r > 0", ""),
        ("best_month", "Best month", "fraction", "max of compounded months", ""),
        ("worst_month", "Worst month", "fraction", "min of compounded months", ""),
        ("positive_months", "Positive months", "fraction", "share of months > 0", ""),
    ),
    *_group(
        "Drawdown",
        ("max_drawdown", "Deepest drawdown", "fraction", "min(equity / peak - 1), bar by bar", ""),
        (
            "average_drawdown",
            "Average drawdown",
            "fraction",
            "mean depth of the drawdowns, daily",
            "",
        ),
        ("drawdowns", "Drawdowns", "count", "falls from a peak of daily equity", ""),
        (
            "longest_drawdown",
            "Longest drawdown",
            "sessions",
            "from the peak to the recovery or the end",
            "",
        ),
        (
            "deepest_recovery",
            "Recovery of the deepest",
            "sessions",
            "from its trough to its recovery, none while it lasts",
            "",
        ),
        (
            "time_under_water",
            "Time under water",
            "fraction",
            "share of sessions that end below a peak",
            "",
        ),
    ),
    *_group(
        "Trades",
        ("trades", "Trades", "count", "closed round trips", ""),
        ("win_rate", "Win rate", "fraction", "share of trades with pnl > 0", ""),
        ("profit_factor", "Profit factor", "ratio", "sum of gains / sum of losses", ""),
        ("expectancy", "Expectancy", "currency", "mean pnl of a trade, after costs", ""),
        ("average_trade_return", "Average trade", "fraction", "mean of pnl / entry value", ""),
        ("average_win", "Average gain", "currency", "mean pnl of trades with pnl > 0", ""),
        ("average_loss", "Average loss", "currency", "mean pnl of trades with pnl < 0", ""),
        ("payoff_ratio", "Payoff ratio", "ratio", "average gain / -average loss", ""),
        ("best_trade", "Best trade", "fraction", "max of pnl / entry value", ""),
        ("worst_trade", "Worst trade", "fraction", "min of pnl / entry value", ""),
        (
            "longest_losing_streak",
            "Longest losing streak",
            "count",
            "trades in a row with pnl < 0, by exit",
            "",
        ),
        (
            "average_holding_hours",
            "Average holding time",
            "hours",
            "from the bar of the entry to that of the exit, closed hours too",
            "",
        ),
        ("long_share", "Long trades", "fraction", "share of trades that were long", ""),
    ),
    *_group(
        "Exposure and capacity",
        (
            "mean_gross_exposure",
            "Mean gross exposure",
            "fraction",
            "mean of gross exposure / equity at bar closes",
            "",
        ),
        (
            "max_gross_exposure",
            "Largest gross exposure",
            "fraction",
            "max of gross exposure / equity at bar closes",
            "",
        ),
        (
            "mean_net_exposure",
            "Mean net exposure",
            "fraction",
            "mean of net exposure / equity at bar closes",
            "",
        ),
        (
            "time_in_market",
            "Time in the market",
            "fraction",
            "share of bars at whose close a position was held",
            "",
        ),
        (
            "turnover",
            "Turnover",
            "per year",
            "value traded / mean equity, times N / sessions",
            "",
        ),
        (
            "participation_95",
            "Participation, busiest 5%",
            "fraction",
            "95% quantile of quantity filled in a bar / its volume",
            "",
        ),
        (
            "capacity",
            "Capacity",
            "currency",
            "mean equity * 1% / participation of the busiest 5%",
            "linear in size",
        ),
    ),
    *_group(
        "Execution and costs",
        (
            "fill_rate",
            "Fill rate",
            "fraction",
            "quantity filled / quantity of entry orders that risk let through",
            "",
        ),
        ("refused_share", "Refused by risk", "fraction", "share of entry orders", ""),
        ("slippage_bps", "Slippage", "bps", "sum of slippage / value traded", ""),
        ("fees_bps", "Fees", "bps", "sum of fees / value traded", ""),
        ("slippage", "Slippage in all", "currency", "sum of slippage per share * shares", ""),
        ("fees", "Fees in all", "currency", "sum of fees", ""),
        ("maker_share", "Maker share", "fraction", "share of the value traded", ""),
    ),
    *_group(
        "Benchmark",
        ("benchmark_return", "Benchmark's return", "fraction", "compounded b", ""),
        ("benchmark_sharpe", "Benchmark's Sharpe ratio", "ratio", "as above, of b", "Sharpe 1994"),
        ("beta", "Beta", "ratio", "cov(r, b) / var(b)", "Jensen 1968"),
        (
            "alpha",
            "Alpha, a year",
            "fraction",
            "(1 + mean(r - beta b))^N - 1",
            "Jensen 1968, compounded",
        ),
        ("correlation", "Correlation", "ratio", "corr(r, b)", ""),
        ("tracking_error", "Tracking error", "fraction", "std(r - b) sqrt(N)", ""),
        (
            "information_ratio",
            "Information ratio",
            "ratio",
            "mean(r - b) / std(r - b) sqrt(N)",
            "Grinold and Kahn 1999",
        ),
    ),
    *_group(
        "Regimes",
        (
            "profitable_regimes",
            "Profitable regimes",
            "fraction",
            "share of the regimes met in which the compounded return is > 0",
            "",
        ),
        (
            "worst_regime_sharpe",
            "Sharpe ratio of the worst",
            "ratio",
            "least Sharpe ratio of a regime",
            "",
        ),
        (
            "regime_spread",
            "Spread between regimes",
            "ratio",
            "largest minus least Sharpe ratio of a regime",
            "",
        ),
    ),
)
BY_NAME = {definition.name: definition for definition in DEFINITIONS}


def as_markdown() -> str:
    """The list as Markdown tables, one a group."""
    lines: list[str] = []
    for group in dict.fromkeys(definition.group for definition in DEFINITIONS):
        lines += [
            f"### {group}",
            "",
            "| figure | name | unit | formula | source |",
            "|---|---|---|---|---|",
        ]
        for one in DEFINITIONS:
            if one.group == group:
                cells = (one.heading, f"`{one.name}`", one.unit, one.formula, one.source)
                lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
        lines.append("")
    return "\n".join(lines)
