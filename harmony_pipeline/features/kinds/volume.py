"""Volume against its usual, and with the direction of the price."""

from harmony_pipeline.features.indicator import Indicator, N, two_sums
from harmony_pipeline.features.kernel_inputs import (
    pairs_state_size,
    sums_state_size,
    window_state_size,
)

VOLUME = (
    Indicator(
        "volume_z",
        N,
        "volume:volume_z",
        window_state_size,
        "(volume - mean) / sample deviation of the last N volumes; 0 in a flat window",
        "definition",
        "N",
        "deviations",
        version=2,
    ),
    Indicator(
        "volume_ratio",
        N,
        "volume:volume_ratio",
        window_state_size,
        "volume / mean of the last N volumes; 1 without any trade",
        "definition",
        "N",
        "multiple",
        version=2,
    ),
    Indicator(
        "signed_volume",
        N,
        "volume:signed_volume",
        two_sums,
        "sum of sign(log return) * volume over N bars / sum of their volume; 0 without any trade",
        "Granville's on-balance volume (1963), bounded",
        "N + 1",
        "-1 to 1",
        version=2,
    ),
    Indicator(
        "mfi",
        N,
        "volume:mfi",
        lambda n: 1 + sums_state_size(n, n),
        "100 * the share of typical * volume on rising bars among N that moved; 50 when"
        " there is none",
        "Quong and Soudack, Stocks & Commodities 7:3, 1989; TA-Lib MFI",
        "N + 1",
        "0 to 100",
    ),
    Indicator(
        "cmf",
        N,
        "volume:cmf",
        two_sums,
        "sum of ((close - low) - (high - close)) / (high - low) * volume over N bars /"
        " sum of their volume",
        "Chaikin money flow",
        "N",
        "-1 to 1",
    ),
    Indicator(
        "vwma_ratio",
        N,
        "volume:vwma_ratio",
        two_sums,
        "close / volume-weighted mean of N closes - 1; 0 without any trade",
        "definition",
        "N",
        "fraction",
    ),
    Indicator(
        "volume_correlation",
        N,
        "volume:volume_correlation",
        pairs_state_size,
        "correlation of N log returns with their volumes; 0 where one does not move",
        "Karpoff, Journal of Financial and Quantitative Analysis 22, 1987",
        "N + 1",
        "-1 to 1",
        smallest=3,
    ),
)
