"""The table `instruments`: defaults, the data, the source, and the settings' last word.

Point in time: a step of prices that a trading period shows holds from the next period on; only the
first period's own prices stand for that period, since nothing is known before it. What a source
says later of a symbol holds from the day it said it.
"""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from datetime import date
from fractions import Fraction
from math import gcd
from typing import Any

import polars as pl

from harmony_pipeline.market.instrument_defaults import apply_terms, default_terms
from harmony_pipeline.market.instruments import BEFORE_ALL, Instrument, Instruments
from harmony_pipeline.market.multipliers import contract_multipliers
from harmony_pipeline.market.price_steps import MANY, PRICES, price_steps
from harmony_pipeline.market.steps import tick_fraction
from harmony_pipeline.stages.context import PipelineContext, refuse_the_past
from harmony_pipeline.stages.market import ALL
from harmony_pipeline.stages.reasons import NO_BARS
from harmony_pipeline.stages.result import StageResult

_ROWS_A_PERIOD = 2000  # bars a symbol and trading period whose prices are looked at
_NOT_TERMS = ("symbol", "valid_from", "since_ever")


def instruments(pipeline: PipelineContext) -> StageResult:
    """Tick, lot, multiplier and the other terms that each symbol with bars is traded by, from when
    on, and where they come from.
    """
    refuse_the_past(pipeline)
    symbols = sorted(
        pipeline.lake.scan("daily_summary")
        .select("symbol")
        .unique()
        .collect(engine="in-memory")["symbol"]
        .to_list()
    )
    defaults = {symbol: default_terms(symbol, pipeline.settings.market) for symbol in symbols}
    told = _told(pipeline, symbols)
    settled = {
        symbol
        for symbol in symbols
        if _tick_is_set(pipeline, symbol) or "tick_size" in told.get(symbol, {})
    }
    steps = _steps(
        pipeline,
        [
            symbol
            for symbol, (_, from_data) in defaults.items()
            if from_data and symbol not in settled
        ],
    )
    before = Instruments.of_table(pipeline.lake.read("instruments"))
    rows: list[Instrument] = []
    for symbol, (terms, _) in defaults.items():
        found = list(_with_steps(terms, steps.get(symbol, [])))
        if symbol in told:
            found = _with_told(
                found,
                told[symbol],
                pipeline.source.name,
                [row for row in before.rows if row.symbol == symbol],
            )
        rows += _without_repeats(_with_settings(pipeline, row) for row in found)
    table = Instruments.of(rows).table()
    pipeline.lake.write("instruments", ALL, table, {"source": pipeline.settings.market.source})
    return StageResult(
        rows={"instruments": table.height},
        facts={
            f"{kind} instruments": number
            for kind, number in (
                table.group_by("asset_class")
                .agg(pl.col("symbol").n_unique())
                .sort("asset_class")
                .iter_rows()
            )
        },
        preview=table.tail(8),
        notes=_notes(table),
        nothing="" if table.height else NO_BARS,
    )


def multipliers_of(pipeline: PipelineContext, rows: pl.DataFrame) -> pl.DataFrame | None:
    """What one unit of each symbol of `rows` is worth times its price (market/multipliers.py)."""
    return contract_multipliers(
        pipeline.instruments, rows["symbol"].unique(), pipeline.calendar, pipeline.timeframe
    )


def _tick_is_set(pipeline: PipelineContext, symbol: str) -> bool:
    chosen = pipeline.settings.market.instruments
    return chosen.defaults.tick_size is not None or (
        symbol in chosen.symbols and chosen.symbols[symbol].tick_size is not None
    )


def _with_settings(pipeline: PipelineContext, row: Instrument) -> Instrument:
    chosen = pipeline.settings.market.instruments
    row = apply_terms(row, chosen.defaults, "settings")
    return (
        apply_terms(row, chosen.symbols[row.symbol], "settings of the symbol")
        if row.symbol in chosen.symbols
        else row
    )


def _told(pipeline: PipelineContext, symbols: list[str]) -> dict[str, dict[str, Any]]:
    """What the source says of each symbol, without what it does not know."""
    if not pipeline.source.capabilities.instruments:
        return {}
    rows = pipeline.source.instruments().filter(pl.col("symbol").is_in(symbols))
    return {
        row["symbol"]: {name: value for name, value in row.items() if value is not None}
        for row in rows.iter_rows(named=True)
    }


def _with_told(
    found: list[Instrument], told: dict[str, Any], source: str, before: list[Instrument]
) -> list[Instrument]:
    """The rows with what the source says.

    It holds for all time when it may stand for the past and the source never said otherwise;
    else from the day it says so.
    """
    terms = {name: value for name, value in told.items() if name not in _NOT_TERMS}
    if "tick_size" in terms:
        terms |= {"small_tick_size": None, "small_tick_below": None}
    mark = f"; {', '.join(name for name, value in terms.items() if value is not None)}: {source}"
    today: date = told["valid_from"]
    now = [replace(row, **terms, origin=row.origin + mark) for row in found]
    earlier = [row for row in before if mark in row.origin and row.valid_from < today]
    if not earlier:
        return now if told["since_ever"] else [*found, replace(now[-1], valid_from=today)]
    return [*before[: before.index(earlier[-1]) + 1], replace(now[-1], valid_from=today)]


def _steps(
    pipeline: PipelineContext, symbols: list[str]
) -> dict[str, list[tuple[date, Fraction, bool]]]:
    """By symbol: (first day on which it is known, step, whether many prices show it).

    A later step is finer. Bars are read period by period.
    """
    found: dict[str, list[tuple[date, Fraction, bool]]] = {}
    if not symbols:
        return found
    have = set(pipeline.lake.partitions("bars"))
    for period in (each for each in pipeline.trading_periods() if each.key in have):
        rows = (
            pipeline.lake.scan("bars", [period.key])
            .filter(pl.col("symbol").is_in(symbols))
            .select("symbol", *PRICES)
        )
        bars = (
            rows.group_by("symbol", maintain_order=True)
            .head(_ROWS_A_PERIOD)
            .collect(engine="in-memory")
        )
        for symbol, prices, step in price_steps(bars).iter_rows():
            mine = found.setdefault(symbol, [])
            shown = tick_fraction(step)
            if not mine:
                mine.append((BEFORE_ALL, shown, prices >= MANY))
            elif (finer := _common(mine[-1][1], shown)) != mine[-1][1]:
                mine.append((period.end_date, finer, prices >= MANY or mine[-1][2]))
    return found


def _common(one: Fraction, other: Fraction) -> Fraction:
    """The largest step on which both lie."""
    return Fraction(
        gcd(one.numerator * other.denominator, other.numerator * one.denominator),
        one.denominator * other.denominator,
    )


def _with_steps(
    terms: Instrument, steps: Iterable[tuple[date, Fraction, bool]]
) -> Iterator[Instrument]:
    """The terms with the steps that the data show.

    Of shares, few prices never make the tick coarser than the exchange's own.
    """
    rows = []
    for day, step, many in steps:
        tick = float(step)
        if terms.asset_class == "equity" and not many:
            tick = min(tick, terms.tick_size)
        rows.append(
            replace(
                terms,
                valid_from=day,
                tick_size=tick,
                small_tick_size=None,
                small_tick_below=None,
                origin=f"{terms.origin}; tick_size: data",
            )
        )
    yield from rows or [terms]


def _without_repeats(rows: Iterable[Instrument]) -> list[Instrument]:
    """Rows that change something."""
    kept: list[Instrument] = []
    for row in rows:
        if (
            not kept
            or replace(row, valid_from=kept[-1].valid_from, origin=kept[-1].origin) != kept[-1]
        ):
            kept.append(row)
    return kept


def _notes(table: pl.DataFrame) -> list[str]:
    currencies = sorted(table["currency"].drop_nulls().unique().to_list())
    if len(currencies) < 2:
        return []
    return [
        (
            f"the symbols are priced in {', '.join(currencies)}: an account adds their money as it"
            " is, so give each currency a market of its own"
        )
    ]
