"""How the equity of one account is shared out among strategies: a weight for each, from a session
on.

    equal               1 / n each
    fixed               as the settings say; what they leave over stays in cash
    inverse_volatility  in proportion to 1 / deviation of a strategy's own session returns over the
                        last `window` sessions before the weights hold (the naive risk parity of
                        Maillard, Roncalli, Teiletche, "The properties of equally weighted risk
                        contribution portfolios", Journal of Portfolio Management 36, 2010: equal
                        risk contributions where correlations are equal)

Weights of a session use returns of sessions before it and nothing else. A strategy without a whole
window of returns, or whose returns do not vary, has no deviation: it has 1 / n, and the others
share the rest. Weights never add up to more than 1.
"""

from collections.abc import Mapping, Sequence
from datetime import date

import numpy as np
import polars as pl

from harmony_pipeline.arrays import FloatArray
from harmony_pipeline.portfolio.settings import SharedAccountSettings

Weights = tuple[tuple[date, tuple[float, ...]], ...]
"""(the session from which they hold, a weight for each strategy), in order."""


def inverse_volatility_weights(returns: FloatArray) -> FloatArray:
    """Weights from session returns of shape (sessions, strategies), NaN where a strategy has none.

    >>> inverse_volatility_weights(np.array([[0.01, 0.02], [-0.01, -0.02]])).round(3).tolist()
    [0.667, 0.333]
    """
    count = returns.shape[1]
    weights: FloatArray = np.full(count, 1.0 / count)
    if len(returns) < 2:
        return weights
    deviations = returns.std(axis=0, ddof=1)  # NaN where a return is missing
    known = np.isfinite(deviations) & (deviations > 0.0)
    if known.any():
        inverse = 1.0 / deviations[known]
        weights[known] = inverse / inverse.sum() * (known.sum() / count)
    return weights


def weight_schedule(
    settings: SharedAccountSettings,
    sessions: Sequence[date],
    returns: Mapping[str, pl.DataFrame],
) -> Weights:
    """The weights of the account's strategies over `sessions`, which are in order.

    returns: for inverse_volatility, timestamp (midnight UTC of the session date) and return of each
    strategy's backtest by itself.
    """
    if not sessions:
        return ()
    names = settings.strategies
    if settings.allocation == "fixed":
        return ((sessions[0], tuple(settings.weights[name] for name in names)),)
    if settings.allocation == "equal":
        return ((sessions[0], tuple(1.0 / len(names) for _ in names)),)
    table = _by_session(sessions, [returns[name] for name in names])
    starts = range(0, len(sessions), settings.rebalance_sessions)
    return tuple((sessions[row], _at(table, row, settings.window_sessions)) for row in starts)


def _at(table: FloatArray, row: int, window: int) -> tuple[float, ...]:
    """Weights that hold from the session `row` on."""
    if row < window:
        return tuple(1.0 / table.shape[1] for _ in range(table.shape[1]))
    return tuple(inverse_volatility_weights(table[row - window : row]).tolist())


def _by_session(sessions: Sequence[date], returns: Sequence[pl.DataFrame]) -> FloatArray:
    """Returns of shape (sessions, strategies); NaN where a strategy has none."""
    table: FloatArray = np.full((len(sessions), len(returns)), np.nan)
    days = pl.DataFrame({"date": pl.Series(list(sessions), dtype=pl.Date)})
    for column, frame in enumerate(returns):
        own = frame.select(pl.col("timestamp").dt.date().alias("date"), "return")
        found = days.join(own, on="date", how="left", maintain_order="left")["return"]
        table[:, column] = found.fill_null(float("nan")).to_numpy()
    return table
