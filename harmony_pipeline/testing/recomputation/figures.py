"""The figures of a backtest, made a second time: the formulas of docs/analytics.md over lists, and
the same from empyrical and quantstats where they are installed.

The returns are daily, by session date. It shares no code with backtest/ and analytics/.
"""

import importlib
import importlib.util
import math
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from itertools import pairwise
from typing import Any

Figures = dict[str, float | None]


@dataclass(frozen=True)
class Run:
    """One backtest as lists, in currency.

    sessions: the date of each row of equity. traded, slipped: value and slippage of each fill.
    pnl, returns: of closed trades. year: sessions a year.
    """

    initial: float
    sessions: Sequence[date]
    equity: Sequence[float]
    gross: Sequence[float]
    fees: Sequence[float]
    traded: Sequence[float]
    slipped: Sequence[float]
    pnl: Sequence[float]
    returns: Sequence[float]
    year: int

    def daily(self) -> list[float]:
        """The return of each session, the first one from the initial cash."""
        last = dict(zip(self.sessions, self.equity, strict=True))
        levels = [self.initial, *last.values()]
        return [now / before - 1.0 for before, now in pairwise(levels)]


def plain_figures(run: Run) -> Figures:
    """Every metric of `schemas.METRICS` from its formula; None where it cannot be measured."""
    daily = run.daily()
    held = [gross / equity for gross, equity in zip(run.gross, run.equity, strict=True)]
    exposure = _mean(held) if min(run.equity, default=0.0) > 0.0 else None
    won = [value for value in run.pnl if value > 0.0]
    lost = -math.fsum(value for value in run.pnl if value < 0.0)
    mean_equity = _mean(run.equity) or 0.0
    return {
        **_return_figures(run, daily),
        "turnover": (
            math.fsum(run.traded) / mean_equity * run.year / len(daily) if mean_equity > 0 else None
        ),
        "trades": float(len(run.pnl)),
        "win_rate": len(won) / len(run.pnl) if run.pnl else None,
        "profit_factor": math.fsum(won) / lost if lost > 0.0 else None,
        "average_trade_return": _mean(run.returns),
        "fees": math.fsum(run.fees),
        "slippage": math.fsum(run.slipped),
        "exposure": exposure,
        "mean_gross_exposure": exposure,
        "time_in_market": _mean([float(gross > 0.0) for gross in run.gross]),
    }


def _return_figures(run: Run, daily: Sequence[float]) -> Figures:
    names = (
        "total_return", "annual_return", "annual_volatility", "sharpe", "sortino", "calmar",
        "max_drawdown", "skew", "kurtosis",
    )  # fmt: skip
    found: Figures = dict.fromkeys(names)
    if not daily:
        return found
    total = run.equity[-1] / run.initial - 1.0
    deepest = _deepest([run.initial, *run.equity])
    found |= {"total_return": total, "max_drawdown": deepest}
    if total > -1.0:
        annual = (1.0 + total) ** (run.year / len(daily)) - 1.0
        found["annual_return"] = annual
        found["calmar"] = annual / -deepest if deepest < 0.0 else None
    if len(daily) > 1 and max(daily) > min(daily):
        mean = math.fsum(daily) / len(daily)
        moments = [
            math.fsum((value - mean) ** power for value in daily) / len(daily)
            for power in (2, 3, 4)
        ]
        deviation = math.sqrt(moments[0] * len(daily) / (len(daily) - 1))
        downside = math.sqrt(math.fsum(min(value, 0.0) ** 2 for value in daily) / len(daily))
        root = math.sqrt(run.year)
        found |= {
            "annual_volatility": deviation * root,
            "sharpe": mean / deviation * root,
            "sortino": mean / downside * root if downside > 0.0 else None,
            "skew": moments[1] / moments[0] ** 1.5,
            "kurtosis": moments[2] / moments[0] ** 2,
        }
    return found


def library_figures(run: Run) -> dict[str, Figures]:
    """The figures of the same name and definition of each library that is installed."""
    daily = run.daily()
    if len(daily) < 2 or max(daily) == min(daily):
        return {}
    return {
        name: make(run, daily)
        for name, make in _LIBRARIES.items()
        if importlib.util.find_spec(name) is not None
    }


def _of_empyrical(run: Run, daily: Sequence[float]) -> Figures:
    library, returns = _quietly("empyrical"), _array(daily)
    year = {"annualization": run.year}
    bars = [run.initial, *run.equity]
    moves = _array([now / before - 1.0 for before, now in pairwise(bars)])
    return {
        "total_return": float(library.cum_returns_final(returns)),
        "annual_return": float(library.annual_return(returns, **year)),
        "annual_volatility": float(library.annual_volatility(returns, **year)),
        "sharpe": float(library.sharpe_ratio(returns, **year)),
        "sortino": float(library.sortino_ratio(returns, **year)),
        "max_drawdown": float(library.max_drawdown(moves)),
    }


def _of_quantstats(run: Run, daily: Sequence[float]) -> Figures:
    library = _quietly("quantstats.stats")
    pandas = importlib.import_module("pandas")
    index = pandas.DatetimeIndex(sorted(set(run.sessions)))
    returns = pandas.Series(daily, index)
    return {
        "annual_volatility": float(library.volatility(returns, periods=run.year)),
        "sharpe": float(library.sharpe(returns, periods=run.year)),
        "sortino": float(library.sortino(returns, periods=run.year)),
    }


_LIBRARIES: Mapping[str, Callable[[Run, Sequence[float]], Figures]] = {
    "empyrical": _of_empyrical,
    "quantstats": _of_quantstats,
}


def _quietly(name: str) -> Any:
    """The module; what it warns about while it is imported is its own business."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return importlib.import_module(name)


def _array(values: Sequence[float]) -> Any:
    return importlib.import_module("numpy").array(values)


def _deepest(levels: Sequence[float]) -> float:
    """The least of level / highest level so far - 1."""
    peak, deepest = levels[0], 0.0
    for level in levels:
        peak = max(peak, level)
        deepest = min(deepest, level / peak - 1.0)
    return deepest


def _mean(values: Sequence[float]) -> float | None:
    return math.fsum(values) / len(values) if values else None
