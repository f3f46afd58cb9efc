"""Look-ahead in signals: what the graph checks of every strategy, the shipped ones and your own.

A strategy of columns is given years of rows at once, so nothing but a check keeps it from reading
the next bar. Each is built anew, from a module that is executed anew, and given the rows up to a
random moment: what the lake holds of the rows until then must be the same, bit for bit. So a shift
from later rows, a scale over the whole frame, what a class or module kept of an earlier call, a
clock and an unseeded draw are all found. What a strategy reads in a file is not cut; it is looked
up by date, and is not there when the same rows bear the dates of another time.
"""

import zlib
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import cache, partial

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.frames import format_columns
from harmony_pipeline.market.periods import Period
from harmony_pipeline.robustness.look_ahead import differing_rows, random_moments
from harmony_pipeline.stages.context import PipelineContext
from harmony_pipeline.strategies.base import SIGNAL_COLUMNS, remembers_the_market, signals_of
from harmony_pipeline.strategies.registry import build_anew
from harmony_pipeline.strategies.settings import acts_on_quotes

MOMENTS = 2  # each costs the signals of a period once
_CALENDAR_REPEATS = timedelta(days=28 * 365 + 7)
Reader = Callable[[str, tuple[str, ...]], pl.DataFrame]
_FOUND = {
    **{name: SIGNAL_COLUMNS[name] for name in ("symbol", "timestamp")},
    "partition": pl.String(),
    "finding": pl.String(),
}


def signals_know_no_future(pipeline: PipelineContext, periods: Sequence[Period]) -> pl.DataFrame:
    """The signals of one random period are what each strategy, built anew, makes of the rows up to
    random moments in it, bit for bit; returns those that differ.
    """
    return _differing(pipeline, periods, MOMENTS, timedelta(0))


def signals_rest_on_their_rows(
    pipeline: PipelineContext, periods: Sequence[Period]
) -> pl.DataFrame:
    """The signals of one random period are what each strategy makes of the same rows dated 28 years
    later, bit for bit; returns those that differ.

    The calendar repeats then, weekdays and leap years included, so only a strategy that looks dates
    up moves: in a file, in the lake, or in a list of its own. That may be an honest calendar of
    events, and may be the outcome.
    """
    return _differing(pipeline, periods, 1, _CALENDAR_REPEATS)


def _differing(
    pipeline: PipelineContext, periods: Sequence[Period], moments: int, later: timedelta
) -> pl.DataFrame:
    seed = zlib.crc32("/".join(period.key for period in periods).encode())
    period = periods[seed % len(periods)]
    stored = pipeline.lake.read("signals", [period.key])
    read = cache(pipeline.lake.read)
    found = [pl.DataFrame(schema=_FOUND)]
    for name, chosen in sorted(pipeline.settings.active_strategies.items()):
        if acts_on_quotes(chosen):
            continue
        own = stored.filter(pl.col("strategy") == name).drop("strategy")
        for moment in random_moments(own["timestamp"], moments, seed):
            known = own.filter(pl.col("timestamp") <= moment)
            said = f"nothing after the bar of {moment:%Y-%m-%d %H:%M} UTC is known"
            if later:
                said = f"the same rows up to {moment:%Y-%m-%d %H:%M} UTC are dated 28 years later"
            try:
                remade = _remade(pipeline, read, name, period, moment, later)
            except DataError as error:
                finding = f"strategy {name} gives no signals when {said}: {error}"
                row = {"partition": period.key, "finding": finding}
                found.append(pl.DataFrame([row], schema=_FOUND))
                continue
            finding = f"{{}} of strategy {name} is another when {said}"
            found.append(
                differing_rows(known, remade).select(
                    "symbol",
                    "timestamp",
                    partition=pl.lit(period.key),
                    finding=format_columns(finding, "columns"),
                )
            )
    return pl.concat(found)


def _remade(
    pipeline: PipelineContext,
    read: Reader,
    name: str,
    period: Period,
    moment: datetime,
    later: timedelta,
) -> pl.DataFrame:
    """The signals of a period that a strategy, built anew, makes of the rows up to a bar's start,
    all of them dated `later`.
    """
    strategy = build_anew(pipeline.strategy_settings(name))
    keys: tuple[str, ...] = (period.key,)
    if remembers_the_market(strategy):
        before = (one for one in pipeline.trading_periods() if one.start <= period.start)
        keys = tuple(one.key for one in before)
    stamp = pl.col("timestamp")

    def rows(table: str) -> pl.DataFrame:
        return read(table, keys).filter(stamp <= moment).with_columns(stamp + later)

    made = signals_of(strategy, rows("features"), partial(rows, "bars"), name)
    return made.with_columns(stamp - later).filter(stamp >= period.start)
