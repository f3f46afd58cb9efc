"""Yahoo's chart answers in Harmony's columns: pure functions of what Yahoo said.

Prices and volumes are handed on as traded then. Yahoo divides prices and multiplies volumes of the
past by every later split, whatever `auto_adjust` says, and its dividends too; here that is undone
with the splits that Yahoo itself reports. So a bar says the same before and after a later split,
and the forward `adjustment_factor` does not count a split twice.

Yahoo holds prices as 32-bit floats: 129.04 arrives as 129.0399932861328. Undoing a split would
multiply that noise, and every later split would draw it anew, which a lake that keeps corrections
would take for corrections. So a price is read as the shortest decimal that the float can stand for.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.frames import format_columns
from harmony_pipeline.market.sources.base import SOURCE_BAR_DTYPES, SOURCE_BAR_ORDER
from harmony_pipeline.market.timeframes import TIMEFRAME_MINUTES
from harmony_pipeline.schemas import CORPORATE_ACTIONS

PRICES = ("open", "high", "low", "close")
_DECIMALS = range(2, 13)  # a share is quoted in cents or their hundredths, a coin may need twelve
_DIVIDEND_STEP = 1e-6  # Yahoo rounds split-adjusted dividends to six decimals
DAILY_SETTLE = timedelta(minutes=30)  # until the auction and late prints are in Yahoo's daily row
LONGEST_DELAY = timedelta(minutes=20)  # of the exchanges that Yahoo shows late


@dataclass(frozen=True)
class Chart:
    """One answer of the chart endpoint.

    `rows`: stamp (Unix seconds), open, high, low, close, volume as sent, null where nothing
    readable was sent, and `unread`, a sentence about that. `splits`: date (ex-date), ratio (new
    shares per old one); `dividends`: date, cash as sent. Dates are of the exchange.
    """

    zone: str
    meta: Mapping[str, Any]
    rows: pl.DataFrame
    splits: pl.DataFrame
    dividends: pl.DataFrame


def read_chart(result: Mapping[str, Any], symbol: str) -> Chart:
    """The chart in `chart.result[0]` of an answer. Raises DataError when it is not of the known
    form.
    """
    try:
        meta = result["meta"]
        zone = str(meta["exchangeTimezoneName"])
        ZoneInfo(zone)
        quote = result["indicators"]["quote"][0]
        stamps = result.get("timestamp") or []
        rows = _rows(
            stamps, {name: quote.get(name) or [None] * len(stamps) for name in (*PRICES, "volume")}
        )
        events = result.get("events") or {}
        splits = [
            (each["date"], each["numerator"] / each["denominator"])
            for each in (events.get("splits") or {}).values()
        ]
        dividends = [
            (each["date"], each["amount"]) for each in (events.get("dividends") or {}).values()
        ]
    except (
        KeyError,
        IndexError,
        TypeError,
        ValueError,
        ZeroDivisionError,
        pl.exceptions.PolarsError,
    ) as error:
        raise DataError(
            f"Yahoo's answer for {symbol} is not of the known form ({type(error).__name__}:"
            f" {error}): update yfinance, or report it to Harmony"
        ) from error
    return Chart(zone, meta, rows, _events(splits, "ratio", zone), _events(dividends, "cash", zone))


def bars_of(
    chart: Chart,
    splits: pl.DataFrame,
    symbol: str,
    timeframe: str,
    now: datetime,
    settle_seconds: float,
) -> pl.DataFrame:
    """The ended bars of a chart, raw, in the columns of a source's bars. `splits` reach from before
    the first bar up to `now`.
    """
    local = pl.from_epoch("stamp", time_unit="s").dt.replace_time_zone("UTC")
    rows = _without_live_quote(chart, timeframe)
    if timeframe == "30Min":
        rows = _half_hours(rows, _opening_seconds(chart) % 1800)
    rows = rows.with_columns(date=local.dt.convert_time_zone(chart.zone).dt.date())
    rows = rows.filter(_has_ended(chart, timeframe, now, settle_seconds))
    stamp = (
        pl.col("date").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
        if timeframe == "1Day"
        else local.dt.cast_time_unit("us")
    )
    raw = with_later_ratio(rows, splits).with_columns(
        *(undo_adjustment(pl.col(name), pl.col("ratio")).alias(name) for name in PRICES),
        volume=pl.when(pl.col("ratio") == 1.0)
        .then("volume")
        .otherwise((pl.col("volume") / pl.col("ratio")).round()),
        symbol=pl.lit(symbol),
        timeframe=pl.lit(timeframe),
        timestamp=stamp,
        source=pl.lit("yahoo"),
        origin=pl.lit(f"chart/{symbol}"),
        defect=pl.col("unread"),
    )
    return raw.select(
        pl.col(name).cast(dtype) if name in raw.columns else pl.lit(None, dtype=dtype).alias(name)
        for name, dtype in SOURCE_BAR_DTYPES.items()
    ).sort(SOURCE_BAR_ORDER, maintain_order=True)


def actions_of(chart: Chart, symbol: str) -> pl.DataFrame:
    """Splits, and dividends in cash per share as paid then. `chart` reaches up to now. Several on
    one date: splits multiply, cash adds up.
    """
    cash = with_later_ratio(chart.dividends, chart.splits).with_columns(
        value=undo_adjustment(pl.col("cash"), pl.col("ratio"), _DIVIDEND_STEP / 2)
    )
    paid = cash.group_by("date").agg(pl.col("value").sum()).with_columns(kind=pl.lit("dividend"))
    split = (
        chart.splits.group_by("date")
        .agg(value=pl.col("ratio").product())
        .with_columns(kind=pl.lit("split"))
    )
    return CORPORATE_ACTIONS.conform(
        pl.concat([paid, split])
        .with_columns(symbol=pl.lit(symbol))
        .select(list(CORPORATE_ACTIONS.dtypes))
    )


def with_later_ratio(rows: pl.DataFrame, splits: pl.DataFrame) -> pl.DataFrame:
    """`rows` with `ratio`, the product of the splits after each row's `date`: new shares of today
    per share of then, 1 where there was none.
    """
    later = (
        splits.group_by("date")
        .agg(pl.col("ratio").product())
        .sort("date", descending=True)
        .with_columns(pl.col("ratio").cum_prod())
        .sort("date")
    )
    ordered = rows.with_row_index("order").sort("date", maintain_order=True)
    joined = ordered.join_asof(
        later, on="date", strategy="forward", allow_exact_matches=False, check_sortedness=False
    )
    return joined.sort("order").drop("order").with_columns(pl.col("ratio").fill_null(1.0))


def undo_adjustment(adjusted: pl.Expr, ratio: pl.Expr, rounding: float = 0.0) -> pl.Expr:
    """The price behind a split-adjusted 32-bit float: of all decimals that become that float when
    divided by `ratio`, the shortest (two places at least).

    `rounding` is the error of a value that its supplier rounded before sending it. A number with
    more bits than a 32-bit float is taken at its word.
    """
    exponent = adjusted.abs().log(2.0).floor()
    half_step = pl.when(adjusted == 0.0).then(0.0).otherwise(pl.lit(2.0).pow(exponent - 24.0))
    narrow = adjusted.cast(pl.Float32).cast(pl.Float64) == adjusted
    value = adjusted * ratio
    error = (
        pl.max_horizontal(
            pl.when(narrow).then(half_step).otherwise(0.0),
            pl.when(ratio == 1.0).then(0.0).otherwise(rounding),
        )
        * ratio
        * 1.0001
    )
    fitting = [
        pl.when((value.round(places) - value).abs() <= error).then(value.round(places))
        for places in _DECIMALS
    ]
    return pl.coalesce(*fitting, value)


# --- which rows are bars --------------------------------------------------------------------------


def _without_live_quote(chart: Chart, timeframe: str) -> pl.DataFrame:
    """Yahoo appends the latest quote as a row of its own, stamped with the moment of the last
    trade; beside the bar that holds it, it is none.

    By day it repeats the date of the row before it. Within the day it has no volume of its own.
    """
    live = pl.col("stamp") == int(chart.meta.get("regularMarketTime") or 0)
    if timeframe == "1Day":
        day = (
            pl.from_epoch("stamp", time_unit="s")
            .dt.replace_time_zone("UTC")
            .dt.convert_time_zone(chart.zone)
            .dt.date()
        )
        extra = live & (day == day.shift(1)).fill_null(False)
    else:
        extra = live & (pl.col("volume").fill_null(0.0) == 0.0)
    return chart.rows.filter(~extra)


def _opening_seconds(chart: Chart) -> int:
    """When the session that Yahoo names opens: Yahoo cuts its own bars from there (09:15 in
    Mumbai), and so do half hours made of them.
    """
    session = (chart.meta.get("currentTradingPeriod") or {}).get("regular") or {}
    return int(session.get("start") or 0)


def _half_hours(quarters: pl.DataFrame, opening: int) -> pl.DataFrame:
    """Bars of 30 minutes from those of 15, `opening` seconds after each half hour. What lacks a
    number in a part has none as a whole.
    """
    whole = quarters.group_by(
        (pl.col("stamp") - opening) // 1800 * 1800 + opening, maintain_order=True
    ).agg(
        pl.col("open").first(),
        pl.col("high").max(),
        pl.col("low").min(),
        pl.col("close").last(),
        pl.col("volume").sum(),
        pl.col("unread").drop_nulls().first(),
    )
    return whole.with_columns(
        pl.when(pl.col("unread").is_null()).then(pl.col(name)).alias(name)
        for name in (*PRICES, "volume")
    )


def _has_ended(chart: Chart, timeframe: str, now: datetime, settle_seconds: float) -> pl.Expr:
    """Whether a row's bar is over, and Yahoo has seen it all.

    Within the day Yahoo has seen everything up to its last trade, or up to 20 minutes ago where
    nothing traded since: some exchanges are shown late. By day the row is whole half an hour after
    the close of the session that Yahoo names, or else with the end of the date.
    """
    if timeframe != "1Day":
        seen = max(
            int(chart.meta.get("regularMarketTime") or 0), int((now - LONGEST_DELAY).timestamp())
        )
        return pl.col("stamp") + TIMEFRAME_MINUTES[timeframe] * 60 + settle_seconds <= min(
            seen, int(now.timestamp())
        )
    zone = ZoneInfo(chart.zone)
    today = now.astimezone(zone).date()
    session = ((chart.meta.get("currentTradingPeriod") or {}).get("regular") or {}).get("end")
    closes = datetime.fromtimestamp(int(session), UTC) if session else None
    over = (
        closes is not None
        and closes.astimezone(zone).date() == today
        and closes + DAILY_SETTLE <= now
    )
    return pl.col("date") <= today if over else pl.col("date") < today


# --- reading --------------------------------------------------------------------------------------


def _rows(stamps: Sequence[int], columns: Mapping[str, Sequence[Any]]) -> pl.DataFrame:
    numbers = {
        name: pl.Series(name, values, dtype=pl.Float64, strict=False)
        for name, values in columns.items()
    }
    numbers = {
        name: series.to_frame().select(pl.when(pl.col(name).is_finite()).then(pl.col(name)))[name]
        for name, series in numbers.items()
    }
    frame = pl.DataFrame({"stamp": pl.Series(stamps, dtype=pl.Int64), **numbers})
    missing = pl.concat_str(
        *(pl.when(pl.col(name).is_null()).then(pl.lit(name)) for name in columns),
        separator=", ",
        ignore_nulls=True,
    )
    sentence = format_columns(
        "Yahoo sent no number for {}: it often follows within a day, ask again then", missing
    )
    return frame.with_columns(
        unread=pl.when(pl.any_horizontal(pl.col(name).is_null() for name in columns)).then(sentence)
    ).sort("stamp", maintain_order=True)


def _events(found: Sequence[tuple[int, float]], name: str, zone: str) -> pl.DataFrame:
    frame = pl.DataFrame(found, schema={"stamp": pl.Int64, name: pl.Float64}, orient="row")
    day = (
        pl.from_epoch("stamp", time_unit="s")
        .dt.replace_time_zone("UTC")
        .dt.convert_time_zone(zone)
        .dt.date()
    )
    return frame.select(day.alias("date"), name).sort("date", name)
