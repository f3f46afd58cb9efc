"""What the graph checks of its bars and of the fold: each function returns the offending rows; none
is a pass. Look-ahead has a file of its own, `look_ahead_checks.py`.
"""

from collections.abc import Sequence
from itertools import pairwise

import polars as pl

from harmony_pipeline.features.compute import FeatureResult, compute_features
from harmony_pipeline.features.state import States
from harmony_pipeline.market.periods import Period
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.feature_sectors import feature_sectors
from harmony_pipeline.stages.news import news_totals
from harmony_pipeline.stages.soundness import unsound_bars

SAMPLED_SYMBOLS = 3  # enough to catch a broken kernel, few enough to run with every materialisation
PIECES = 4
SINGLE_BARS = 20  # the last stamps, each a piece of its own


def bars_are_sound(pipeline: PipelineContext, periods: Sequence[Period]) -> pl.DataFrame:
    """Schema, order, uniqueness and prices hold, the accounting closes, and not too much is in
    quarantine; returns what does not hold.
    """
    return unsound_bars(
        pipeline.lake,
        [period.key for period in periods],
        pipeline.settings.market.quality.max_quarantined_fraction,
    )


def sampled_bars(pipeline: PipelineContext, periods: Sequence[Period]) -> pl.DataFrame:
    """Bars of a few symbols over at most two of the periods, the latest ones; of the benchmark too
    where features compare symbols with it.
    """
    bars = pipeline.lake.read("bars", [period.key for period in periods[-2:]])
    chosen = bars["symbol"].unique().sort().head(SAMPLED_SYMBOLS).to_list()
    if pipeline.feature_set.compares and pipeline.settings.market.benchmark is not None:
        chosen.append(pipeline.settings.market.benchmark)
    return bars.filter(pl.col("symbol").is_in(chosen))


def features_fold(pipeline: PipelineContext, periods: Sequence[Period]) -> pl.DataFrame:
    """In one go, in pieces with saved state, and bar by bar (the last bars): the same bits; returns
    the rows that differ.
    """
    bars = sampled_bars(pipeline, periods)
    if bars.is_empty():
        return bars.select("symbol", "timestamp")
    whole = _features(pipeline, bars).table
    pieces: list[pl.DataFrame] = []
    states: States = None
    for piece in _pieces(bars):
        result = _features(pipeline, piece, states)
        states = result.states
        pieces.append(result.table)
    return _differing(whole, pl.concat(pieces).sort("symbol", "timestamp"))


def _pieces(bars: pl.DataFrame) -> list[pl.DataFrame]:
    """The bars cut at the quarters of their stamps and before each of the last ones; whole when
    they have one stamp.
    """
    stamps = bars["timestamp"].unique().sort()
    count = len(stamps)
    quarters = (count * part // PIECES for part in range(1, PIECES))
    places = sorted(
        {at for at in (*quarters, *range(count - SINGLE_BARS, count)) if 0 < at < count}
    )
    edges = [stamps[0], *(stamps[at] for at in places)]
    starts = pl.col("timestamp")
    inner = [bars.filter((starts >= first) & (starts < end)) for first, end in pairwise(edges)]
    return [*inner, bars.filter(starts >= edges[-1])]


def _features(
    pipeline: PipelineContext, bars: pl.DataFrame, states: States = None
) -> FeatureResult:
    return compute_features(
        bars,
        pipeline.feature_set,
        states,
        pipeline.calendar,
        pipeline.timeframe,
        news_totals(pipeline),
        feature_sectors(pipeline),
    )


def _differing(left: pl.DataFrame, right: pl.DataFrame) -> pl.DataFrame:
    """Key columns of rows that are not equal bit for bit; a row that only one side has differs."""
    if left.height != right.height:
        common = left.join(right, on=["symbol", "timestamp"], how="anti").select(
            "symbol", "timestamp"
        )
        return (
            common
            if common.height
            else right.join(left, on=["symbol", "timestamp"], how="anti").select(
                "symbol", "timestamp"
            )
        )
    unequal = [left[name].ne_missing(right[name]) for name in left.columns]
    mask = unequal[0]
    for column in unequal[1:]:
        mask = mask | column
    return left.filter(mask).select("symbol", "timestamp")
