"""Liquidity and spread as bars show them."""

from harmony_pipeline.features.indicator import Indicator, N, two_sums
from harmony_pipeline.features.kernel_inputs import pairs_state_size, sums_state_size

LIQUIDITY = (
    Indicator(
        "amihud",
        N,
        "liquidity:amihud",
        two_sums,
        "mean of |log return| / (close * volume / 1e6) of those of N bars that traded; 0"
        " when none did",
        "Amihud, Journal of Financial Markets 5, 2002",
        "N + 1",
        "log return per million",
    ),
    Indicator(
        "kyle_lambda",
        N,
        "liquidity:kyle_lambda",
        lambda n: pairs_state_size(n) + sums_state_size(n),
        "slope of N log returns on sign(log return) * volume, times the mean volume",
        "Kyle, Econometrica 53, 1985, by the sign of the bar",
        "N + 1",
        "log return per mean volume",
        smallest=3,
    ),
    Indicator(
        "roll_spread",
        N,
        "liquidity:roll_spread",
        lambda n: 2 + pairs_state_size(n),
        "2 sqrt(-covariance of N log returns with the one before each); 0 where it is above 0",
        "Roll, Journal of Finance 39, 1984",
        "N + 2",
        "fraction",
        smallest=3,
    ),
    Indicator(
        "corwin_schultz",
        N,
        "liquidity:corwin_schultz",
        lambda n: 3 + sums_state_size(n),
        "mean over N bars of the high-low spread of each with the bar before, gaps taken"
        " out, not below 0",
        "Corwin and Schultz, Journal of Finance 67, 2012",
        "N + 1",
        "fraction",
        version=2,
    ),
)
