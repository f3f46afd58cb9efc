"""Returns and their dispersion."""

from harmony_pipeline.features.indicator import Indicator, N, numbers
from harmony_pipeline.features.kernel_inputs import lag_state_size, window_state_size

RETURNS = (
    Indicator(
        "log_return",
        (),
        "returns:log_return",
        numbers(0),
        "ln(close / previous close)",
        "definition",
        "2",
        "log return",
        version=2,
    ),
    Indicator(
        "volatility",
        N,
        "returns:volatility",
        window_state_size,
        "sample deviation (ddof 1) of the last N log returns, not annualised",
        "definition",
        "N + 1",
        "log return",
        version=2,
    ),
    Indicator(
        "momentum",
        N,
        "returns:momentum",
        lag_state_size,
        "ln(close / close N bars ago)",
        "definition",
        "N + 1",
        "log return",
        smallest=1,
        version=2,
    ),
    Indicator(
        "lagged_return",
        N,
        "returns:lagged_return",
        lambda n: lag_state_size(n) + lag_state_size(n + 1),
        "log_return N bars ago",
        "definition",
        "N + 2",
        "log return",
        smallest=1,
    ),
    Indicator(
        "roc",
        N,
        "returns:roc",
        lag_state_size,
        "close / close N bars ago - 1",
        "TA-Lib ROCP",
        "N + 1",
        "fraction",
        smallest=1,
        version=2,
    ),
)
