"""Events that strategies may begin from."""

from harmony_pipeline.features.indicator import Indicator, numbers
from harmony_pipeline.features.kinds.sources import AFML

CUSUM_EVENT = "cusum_event"
CUSUM_VOLATILITY_BARS = 20

EVENTS = (
    Indicator(
        CUSUM_EVENT,
        (),
        "cusum:cusum_event",
        numbers(2),
        "-1, 0 or 1: the symmetric CUSUM filter at features.cusum_threshold * volatility_20, on"
        " regular bars",
        f"{AFML}, 2.5.2.1",
        "1",
        "-1, 0, 1",
        reads=lambda: (f"volatility_{CUSUM_VOLATILITY_BARS}",),
        version=3,
    ),
)
