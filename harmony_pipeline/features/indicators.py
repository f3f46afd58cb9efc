"""All indicators, by the heading under which docs/features.md has them.

The tables in `kinds/` import no kernel, since numba loads slowly: a kernel is named
`module:function` and imported on first use. docs/features.md is written from them.
"""

from harmony_pipeline.features.indicator import Indicator, Kernel
from harmony_pipeline.features.kinds.averages import AVERAGES
from harmony_pipeline.features.kinds.distribution import DISTRIBUTION
from harmony_pipeline.features.kinds.events import CUSUM_EVENT, CUSUM_VOLATILITY_BARS, EVENTS
from harmony_pipeline.features.kinds.larger_bars import LARGER_BARS
from harmony_pipeline.features.kinds.liquidity import LIQUIDITY
from harmony_pipeline.features.kinds.oscillators import OSCILLATORS
from harmony_pipeline.features.kinds.returns import RETURNS
from harmony_pipeline.features.kinds.sessions import SESSIONS
from harmony_pipeline.features.kinds.trend import TREND
from harmony_pipeline.features.kinds.volatility import VOLATILITY
from harmony_pipeline.features.kinds.volume import VOLUME

__all__ = [
    "CUSUM_EVENT",
    "CUSUM_VOLATILITY_BARS",
    "GROUPS",
    "INDICATORS",
    "LONGEST_WINDOW",
    "Indicator",
    "Kernel",
]

LONGEST_WINDOW = 10_000
GROUPS = {
    "Returns": RETURNS,
    "Averages": AVERAGES,
    "Trend": TREND,
    "Oscillators": OSCILLATORS,
    "Volatility": VOLATILITY,
    "Distribution and memory": DISTRIBUTION,
    "Volume": VOLUME,
    "Liquidity": LIQUIDITY,
    "Session and calendar": SESSIONS,
    "Larger bars": LARGER_BARS,
    "Events": EVENTS,
}
"""Indicators by heading."""
INDICATORS = tuple(indicator for group in GROUPS.values() for indicator in group)
