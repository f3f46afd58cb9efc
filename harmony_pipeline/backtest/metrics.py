"""What a backtest was worth: the figures named in `schemas.METRICS`.

Ratios come from *daily* returns by exchange date (the last equity of each session against that of
the session before), so they do not depend on the bar size; they are annualised by the calendar's
sessions. Deviations are sample deviations (ddof 1); Sortino divides by the downside deviation of
the full sample (Sortino and Price 1994): days above zero count as zero, they are not left out. What
cannot be measured (one day, no variance, no losing trade) is null, not zero.

skew and kurtosis are m3 / m2**1.5 and m4 / m2**2 (3 for a normal sample). max_drawdown is the least
`drawdown` of the equity table, bar by bar, and so never positive; calmar is annual_return over its
size. slippage and turnover count what a unit of a contract is worth (market/multipliers.py).
turnover is the value traded a year over mean equity; mean_gross_exposure the mean of gross
exposure over equity (and exposure its former name); time_in_market the share of bars at whose close
a position was held.

Interval of the Sharpe ratio: Lo, "The Statistics of Sharpe Ratios", FAJ 2002, with the skew and
kurtosis terms of Mertens, "Comments on variance of the IID estimator in Lo (2002)": n * var(SR) = 1
+ SR**2 / 2 - skew * SR + (kurtosis - 3) / 4 * SR**2, SR by day.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray, read_only
from harmony_pipeline.backtest.curve_figures import CurveFigures, curve_figures
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.multipliers import with_multiplier
from harmony_pipeline.schemas import METRICS, TIME

# a bar of this size finds the session of every regular bar, also of one that straddles the open
_ANY_REGULAR_BAR = "1Hour"
_DUST = 1e-15  # what rounding may leave of a constant return, which is a quotient less 1


def daily_returns(
    equity: pl.DataFrame,
    calendar: Calendar,
    initial: float | None = None,
    timeframe: str | None = None,
) -> pl.DataFrame:
    """One row a session of `equity` (schemas.EQUITY of one backtest): timestamp (midnight UTC of
    the session date), return.

    The first session is measured from `initial`, by default from the first row: no position can be
    open there in a run that starts with cash. Daily bars are recognised by their stamps when
    `timeframe` is not given.
    """
    if timeframe is None:
        timeframe = "1Day" if _are_daily(equity["timestamp"], calendar) else _ANY_REGULAR_BAR
    dated = calendar.with_session(equity.select("timestamp", "equity").sort("timestamp"), timeframe)
    last = dated.group_by("session_date", maintain_order=True).agg(pl.col("equity").last())
    first = initial if initial is not None else (equity["equity"][0] if equity.height else 1.0)
    return last.select(
        timestamp=pl.col("session_date")
        .cast(pl.Datetime("us"))
        .dt.replace_time_zone("UTC")
        .cast(TIME),
        **{"return": pl.col("equity") / pl.col("equity").shift(fill_value=first) - 1.0},
    )


def sharpe_interval(
    returns: Sequence[float] | FloatArray | pl.Series,
    level: float = 0.95,
    sessions_per_year: int = 1,
) -> tuple[float | None, float | None]:
    """(low, high) of the Sharpe ratio of daily returns, annualised when `sessions_per_year` is
    given; (None, None) when it cannot be measured.
    """
    sample = np.asarray(returns, dtype=np.float64)
    moments = _moments(sample)
    if moments is None:
        return None, None
    mean, deviation, skew, kurtosis = moments
    sharpe = mean / deviation
    variance = max(
        0.0, 1.0 + sharpe**2 / 2.0 - skew * sharpe + (kurtosis - 3.0) / 4.0 * sharpe**2
    ) / len(sample)
    reach = NormalDist().inv_cdf(0.5 + level / 2.0) * math.sqrt(variance)
    scale = math.sqrt(sessions_per_year)
    return (sharpe - reach) * scale, (sharpe + reach) * scale


def session_returns(equity: FloatArray, initial: float) -> FloatArray:
    """Returns from the equity at the end of each session, the first one measured from `initial`."""
    before = np.concatenate([[initial], equity[:-1]]) if len(equity) else equity
    returns: FloatArray = equity / before - 1.0
    return returns


def backtest_metrics(
    equity: pl.DataFrame,
    fills: pl.DataFrame,
    trades: pl.DataFrame,
    calendar: Calendar,
    initial: float,
    timeframe: str | None = None,
    multipliers: pl.DataFrame | None = None,
) -> dict[str, float | None]:
    """Every name of `schemas.METRICS` for one run; `initial` is the equity that it started from.

    multipliers: symbol, since, multiplier of contracts (market/multipliers.py).
    """
    daily = daily_returns(equity, calendar, initial, timeframe)["return"].to_numpy()
    own = calendar if timeframe is None else calendar.for_timeframe(timeframe)
    year = own.sessions_per_year
    return run_metrics(equity, fills, trades, daily, year, initial, multipliers)


def run_metrics(
    equity: pl.DataFrame,
    fills: pl.DataFrame,
    trades: pl.DataFrame,
    daily: FloatArray,
    year: int,
    initial: float,
    multipliers: pl.DataFrame | None = None,
    figures: CurveFigures | None = None,
) -> dict[str, float | None]:
    """The same from `daily`, the return of each session, `year` of which make a year; `figures` of
    the curve, where they are known.
    """
    if figures is None and len(daily):
        names = ("equity", "gross_exposure", "drawdown")
        figures = curve_figures(*(read_only(equity[name].to_numpy()) for name in names))
    found = {
        **_return_metrics(equity, figures, daily, initial, year),
        **_trade_metrics(trades),
        **_cost_metrics(
            figures, equity.height, fills, _units(fills, multipliers), len(daily), year
        ),
    }
    return {name: found[name] for name in METRICS}


def _return_metrics(
    equity: pl.DataFrame,
    figures: CurveFigures | None,
    daily: FloatArray,
    initial: float,
    year: int,
) -> dict[str, float | None]:
    none: dict[str, float | None] = dict.fromkeys(METRICS[:9])
    if not len(daily) or figures is None:
        return none
    total = float(equity["equity"][-1]) / initial - 1.0
    annual = (1.0 + total) ** (year / len(daily)) - 1.0 if total > -1.0 else None
    drawdown = figures.drawdown
    found = {**none, "total_return": total, "annual_return": annual, "max_drawdown": drawdown}
    if annual is not None and drawdown < 0.0:
        found["calmar"] = annual / -drawdown
    moments = _moments(daily)
    if moments is None:
        return found
    mean, deviation, skew, kurtosis = moments
    downside = math.sqrt(float(np.mean(np.minimum(daily, 0.0) ** 2)))
    return {
        **found,
        "annual_volatility": deviation * math.sqrt(year),
        "sharpe": mean / deviation * math.sqrt(year),
        "sortino": mean / downside * math.sqrt(year) if downside > 0.0 else None,
        "skew": skew,
        "kurtosis": kurtosis,
    }


def _moments(sample: FloatArray) -> tuple[float, float, float, float] | None:
    """(mean, sample deviation, skew, kurtosis); None without variance."""
    # a curve that grows at one rate leaves rounding dust in its returns, which is no variance
    if len(sample) < 2 or not float(np.ptp(sample)) > _DUST:
        return None
    mean = float(np.mean(sample))
    centred = sample - mean
    second = float(np.mean(centred**2))
    return (
        mean,
        float(np.std(sample, ddof=1)),
        float(np.mean(centred**3)) / second**1.5,
        float(np.mean(centred**4)) / second**2,
    )


def _trade_metrics(trades: pl.DataFrame) -> dict[str, float | None]:
    is_closed = trades["pnl"].is_not_null()
    pnl = trades["pnl"].filter(is_closed).to_numpy()
    if not len(pnl):
        return {
            "trades": 0.0,
            "win_rate": None,
            "profit_factor": None,
            "average_trade_return": None,
        }
    lost = float(-pnl[pnl < 0.0].sum())
    return {
        "trades": float(len(pnl)),
        "win_rate": float(np.mean(pnl > 0.0)),
        "profit_factor": float(pnl[pnl > 0.0].sum()) / lost if lost > 0.0 else None,
        "average_trade_return": float(np.mean(trades["return"].filter(is_closed).to_numpy())),
    }


def _units(fills: pl.DataFrame, multipliers: pl.DataFrame | None) -> pl.Series:
    """What was filled, in units of the underlying."""
    if multipliers is None:
        return fills["quantity"]
    known = with_multiplier(fills, multipliers)
    return known["quantity"] * known["multiplier"]


def _cost_metrics(
    figures: CurveFigures | None,
    rows: int,
    fills: pl.DataFrame,
    units: pl.Series,
    days: int,
    year: int,
) -> dict[str, float | None]:
    value, slippage = (fills["price"] * units).sum(), (fills["slippage"] * units).sum()
    costs = {"fees": float(fills["fee"].sum()), "slippage": float(slippage)}
    if figures is None:
        return {
            **costs,
            "turnover": None,
            "exposure": None,
            "time_in_market": None,
            "mean_gross_exposure": None,
        }
    mean = figures.equity / rows
    exposure = figures.exposure / rows if figures.solvent == rows else None
    return {
        **costs,
        "turnover": float(value) / mean * year / days if mean > 0.0 else None,
        "exposure": exposure,
        "time_in_market": figures.held / rows,
        "mean_gross_exposure": exposure,
    }


def _are_daily(stamps: pl.Series, calendar: Calendar) -> bool:
    """Whether the rows look like daily bars: all at midnight UTC, no date twice, each one a
    session.
    """
    dates = stamps.dt.date()
    return (
        bool((stamps == dates.cast(stamps.dtype)).all())
        and dates.n_unique() == len(dates)
        and all(map(calendar.is_session, dates.to_list()))
    )
