"""Indicators of complete bars of a longer timeframe."""

from harmony_pipeline.features.indicator import MN, Indicator
from harmony_pipeline.features.kernel_inputs import lag_state_size, window_state_size

LARGER_BARS = (
    Indicator(
        "larger_sma_ratio",
        MN,
        "larger_bars:larger_sma_ratio",
        lambda _, n: 2 + window_state_size(n),
        "close / mean of the closes of the last N complete bars of M minutes - 1",
        "definition",
        "N complete larger bars",
        "fraction",
    ),
    Indicator(
        "larger_momentum",
        MN,
        "larger_bars:larger_momentum",
        lambda _, n: 2 + lag_state_size(n + 1),
        "ln(close of the last complete bar of M minutes / close N such bars before)",
        "definition",
        "N + 1 complete larger bars",
        "log return",
    ),
    Indicator(
        "larger_volatility",
        MN,
        "larger_bars:larger_volatility",
        lambda _, n: 3 + window_state_size(n),
        "sample deviation of the last N log returns of complete bars of M minutes",
        "definition",
        "N + 1 complete larger bars",
        "log return",
    ),
)
