"""What the graph checks of itself: each function returns the offending rows; none is a pass.

The time laws are tested by doing: bars after a moment are changed beyond recognition, the stage is
run again in memory, and nothing that was known before that moment may move.
"""

from collections.abc import Sequence
from datetime import datetime
from itertools import pairwise

import polars as pl

from harmony_pipeline.features.compute import FeatureResult, compute_features
from harmony_pipeline.features.state import States
from harmony_pipeline.labels import labelling
from harmony_pipeline.market.lives import securities_begin
from harmony_pipeline.market.periods import Period
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.stages.lives import lives_of
from harmony_pipeline.stages.research import label_events
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


def _sampled(pipeline: PipelineContext, periods: Sequence[Period]) -> pl.DataFrame:
    """Bars of a few symbols over at most two of the periods, the latest ones."""
    bars = pipeline.lake.read("bars", [period.key for period in periods[-2:]])
    chosen = bars["symbol"].unique().sort().head(SAMPLED_SYMBOLS).to_list()
    return bars.filter(pl.col("symbol").is_in(chosen))


def features_fold(pipeline: PipelineContext, periods: Sequence[Period]) -> pl.DataFrame:
    """In one go, in pieces with saved state, and bar by bar (the last bars): the same bits; returns
    the rows that differ.
    """
    bars = _sampled(pipeline, periods)
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


def features_know_no_future(pipeline: PipelineContext, periods: Sequence[Period]) -> pl.DataFrame:
    """Changing every bar after a moment changes no feature before it; returns the rows that
    move.
    """
    bars = _sampled(pipeline, periods)
    if bars.is_empty():
        return bars.select("symbol", "timestamp")
    moment = _middle(bars)
    before = pl.col("timestamp") < moment
    return _differing(
        _features(pipeline, bars).table.filter(before),
        _features(pipeline, disturbed(bars, moment)).table.filter(before),
    )


def labels_know_no_future(pipeline: PipelineContext, periods: Sequence[Period]) -> pl.DataFrame:
    """Changing every bar after a moment changes no label known before it; returns the labels that
    move.
    """
    bars = _sampled(pipeline, periods)
    if bars.is_empty():
        return bars.select("symbol", "timestamp")
    symbols = bars["symbol"].unique().to_list()
    keys = [period.key for period in periods[-2:]]
    events = label_events(pipeline, keys).filter(pl.col("symbol").is_in(symbols))
    moment = _middle(bars)
    known, begins = pl.col("end_timestamp") <= moment, securities_begin(lives_of(pipeline))

    def labelled(frame: pl.DataFrame) -> pl.DataFrame:
        table = labelling.label_events(
            frame,
            events,
            pipeline.settings.labels,
            pipeline.calendar,
            pipeline.timeframe,
            securities_begin=begins,
        ).table
        return table.filter(known).sort("horizon", "symbol", "timestamp")

    return _differing(labelled(bars), labelled(disturbed(bars, moment)))


def disturbed(bars: pl.DataFrame, moment: datetime) -> pl.DataFrame:
    """The same bars with every price and volume from `moment` on changed, differently in each
    row.
    """
    wave = 1.0 + 0.3 * ((pl.int_range(pl.len()) * 7919) % 101) / 101.0
    changed = [
        pl.when(pl.col("timestamp") >= moment)
        .then(pl.col(name) * wave)
        .otherwise(pl.col(name))
        .alias(name)
        for name in ("open", "high", "low", "close", "volume")
    ]
    return bars.with_columns(changed)


def _middle(bars: pl.DataFrame) -> datetime:
    stamps = bars["timestamp"].unique().sort()
    middle = stamps[len(stamps) // 2]
    assert isinstance(middle, datetime)
    return middle


def _features(
    pipeline: PipelineContext, bars: pl.DataFrame, states: States = None
) -> FeatureResult:
    return compute_features(
        bars, pipeline.feature_set, states, pipeline.calendar, pipeline.timeframe
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
