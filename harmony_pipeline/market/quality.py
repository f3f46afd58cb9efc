"""Which raw rows may become bars.

The laws. Every raw row ends in `bars` or, exactly once, in `quarantine` with the first rule that it broke and a sentence that says where it
stands, what was found and what to do. A verdict uses the bar itself and what came before it, never what came after: a bar is known at its
end, and a rule that waited for the next bar would let the future choose the past. Cutting time into periods changes no verdict.

Bad prints. A price is one when it departs by more than `max_bar_return` from the previous regular close *and* from the bar's own
close, while those two agree (within a quarter of it) and no split explains it; a high alone must depart by half as much again. IBM's open of
159.58 on 2002-12-23, between closes of 79.82 and 80.46, is one. A bar that *closes* far away is kept, since only later bars could tell an
error from a crash: AIG lost 61 % on 2008-09-15.
"""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.adjustments import shares_on, split_ratios, with_forward_factor
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.settings import TIMEFRAME_MINUTES, MarketSettings
from harmony_pipeline.market.stamp_hints import zone_hints
from harmony_pipeline.schemas import BARS, QUARANTINE, RAW_BARS

PRICES = ("open", "high", "low", "close")
VALUES = (*PRICES, "volume", "trade_count", "vwap")
NOT_A_FAULT = ("extended_hours_off",)  # rows that are sound and were not asked for: left out of quarantined_fraction
_AGREEMENT = 0.25  # of max_bar_return: two closes nearer than this agree. Half would have taken AIG's real low of 1.25 on 2008-09-16 (close -23 %)
_SPIKE = 1.5  # times max_bar_return for a high that the open does not share: small stocks do run up 60 % and fade within a day
_LEARNED = ("ingested_at", "origin", "row")
_CORRECT = "correct the row or take it out"
_BEFORE = {"symbol": pl.String(), "close": pl.Float64(), "adjustment_factor": pl.Float64(), "timestamp": RAW_BARS.dtypes["timestamp"]}
_RULE, _REASON, _PLACE = "rule", "reason", "_place"


@dataclass(frozen=True)
class Validated:
    """`bars` (schemas.BARS), `quarantine` (schemas.QUARANTINE) and `counts`.

    counts: rows_raw, rows_bars, rows_quarantine, quarantined_fraction (without rows that were merely not asked for),
    rules (name -> rows) and notes (sentences).
    """

    bars: pl.DataFrame
    quarantine: pl.DataFrame
    counts: dict[str, Any]


@dataclass(frozen=True)
class Rule:
    """A row that meets `broken` is quarantined; `sentence` says what was found, what was expected and the cure."""

    name: str
    broken: pl.Expr
    sentence: pl.Expr


def validate(raw: pl.DataFrame, before: pl.DataFrame, actions: pl.DataFrame, calendar: Calendar, timeframe: str, settings: MarketSettings) -> Validated:
    """Sort raw rows (schemas.RAW_BARS, in any order) into bars and quarantine, and give bars their session and adjustment factor.

    `before` carries each symbol's last regular close from earlier periods: symbol, close, adjustment_factor, timestamp; it may be empty.
    """
    rows = calendar.with_session(_in_order(_complete(raw)), timeframe)
    carried = calendar.with_session(before.select(pl.col(name).cast(dtype) for name, dtype in _BEFORE.items()), timeframe)
    carried = carried.with_columns(pl.coalesce("session_date", pl.col("timestamp").dt.date()).alias("session_date"))
    hints = zone_hints(rows, calendar, timeframe)

    sound, faulty = _by_own_values(rows, rules(calendar, timeframe, settings, hints))
    unique, repeated = _without_duplicates(sound)
    clean, misprinted = _without_bad_prints(unique, carried, actions, settings.quality.max_bar_return)
    adjusted = with_forward_factor(clean, carried, actions)

    bars = adjusted.bars.select(pl.col(name).cast(dtype) for name, dtype in BARS.dtypes.items())
    quarantine = QUARANTINE.conform(pl.concat([faulty, repeated, misprinted]).sort("symbol", "timestamp", "origin", "row", _RULE, _REASON))
    assert bars.height + quarantine.height == raw.height, "a raw row was lost or counted twice"
    return Validated(bars, quarantine, _counts(raw.height, bars.height, quarantine, [*adjusted.notes, *hints.values()]))


def rules(calendar: Calendar, timeframe: str, settings: MarketSettings, hints: dict[str, str]) -> list[Rule]:
    """What can be told from a row alone, in the order in which rows are judged."""
    o, h, l, c, v = (pl.col(name) for name in ("open", "high", "low", "close", "volume"))  # noqa: E741 - the letters of a bar
    unknown = ~pl.col("symbol").is_in(list(settings.symbols)) if settings.symbols else pl.lit(False)
    idle = pl.lit(False) if settings.quality.allow_zero_volume else v == 0.0
    extended = pl.lit(False) if settings.extended_hours else pl.col("session") != "regular"
    local = pl.col("timestamp").dt.convert_time_zone(calendar.zone)
    shown = local.dt.strftime("%a %Y-%m-%d %H:%M:%S") if timeframe != "1Day" else pl.col("timestamp").dt.strftime("%a %Y-%m-%d")
    hint = pl.col("origin").fill_null("").replace_strict(hints, default="", return_dtype=pl.String)
    hint = pl.when(hint == "").then(pl.lit("correct the stamp, or check market.calendar and market.files.timezone")).otherwise(hint)
    grid = "midnight UTC of the session date" if timeframe == "1Day" else f"the {timeframe} grid of the exchange's clock"
    return [
        Rule("unreadable", pl.col("defect").is_not_null(), pl.col("defect")),
        Rule(
            "missing_price",
            _any(_absent(name) for name in PRICES),
            pl.format("{} is missing, expected a price: fill the cell, or fetch the bar again", _first(PRICES, _absent)),
        ),
        Rule("missing_volume", _absent("volume"), pl.lit("volume is missing, expected a number of shares: fill the cell, or fetch the bar again")),
        Rule("unknown_symbol", unknown, pl.format("symbol '{}' is not among market.symbols: add it there, or take the row out", "symbol")),
        Rule(
            "non_positive_price",
            _any(_not_positive(name) for name in PRICES),
            pl.format(f"{{}}, expected a price above 0: {_CORRECT}", _first_found(PRICES, _not_positive)),
        ),
        Rule("negative_volume", v < 0.0, pl.format(f"volume is {{}}, expected 0 or more: {_CORRECT}", v)),
        Rule("high_below_low", h < l, pl.format(f"high {{}} is below low {{}}: {_CORRECT}", h, l)),
        Rule(
            "open_or_close_outside_range",
            (h < pl.max_horizontal(o, c)) | (l > pl.min_horizontal(o, c)),
            pl.format(f"open {{}} or close {{}} lies outside low {{}} to high {{}}: {_CORRECT}", o, c, l, h),
        ),
        Rule(
            "misaligned_timestamp",
            _off_grid(local, timeframe),
            pl.format(
                f"timestamp {{}} ({{}} in {calendar.zone}) is not on {grid}: correct the stamp, or set market.timeframe to the data's own", _utc(), shown
            ),
        ),
        Rule(
            "outside_session",
            pl.col("session").is_null(),
            pl.format(f"timestamp {{}} ({{}} in {calendar.zone}) is outside every session of {calendar.name}: {{}}", _utc(), shown, hint),
        ),
        Rule(
            "extended_hours_off", extended, pl.format("a bar of the {}market, and market.extended_hours is false: set it to true to keep such bars", "session")
        ),
        Rule("zero_volume", idle, pl.lit("volume is 0, and market.quality.allow_zero_volume is false: set it to true to keep such bars")),
    ]


# --- the three judges -------------------------------------------------------------------------------------------------


def _by_own_values(rows: pl.DataFrame, judged: Sequence[Rule]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Rows that break no rule, and the rest as quarantine rows under the first rule they break."""
    verdict = pl.lit(0, pl.UInt8)
    for at, rule in reversed(list(enumerate(judged, 1))):
        verdict = pl.when(rule.broken.fill_null(False)).then(pl.lit(at, pl.UInt8)).otherwise(verdict)
    number = rows.select(verdict.alias(_RULE))[_RULE]
    if not (number > 0).any():
        return rows, _quarantined(rows.clear(), "", pl.lit(""))
    broken = [_quarantined(rows.filter(number == at), rule.name, rule.sentence) for at, rule in enumerate(judged, 1)]
    return rows.filter(number == 0), pl.concat(broken)


def _without_duplicates(rows: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Of rows with one symbol and timestamp the one learned last is kept; `rows` is sorted by these two."""
    same_as_next = ((pl.col("symbol") == pl.col("symbol").shift(-1)) & (pl.col("timestamp") == pl.col("timestamp").shift(-1))).fill_null(False)
    repeated = rows.select(again=same_as_next | same_as_next.shift(1, fill_value=False))["again"]
    if not repeated.any():
        return rows, _quarantined(rows.clear(), "", pl.lit(""))
    groups = rows.with_row_index(_PLACE).filter(repeated).sort("symbol", "timestamp", *_LEARNED, *VALUES, _PLACE)
    key = ["symbol", "timestamp"]
    kept = groups.unique(key, keep="last", maintain_order=True)
    dropped = groups.join(kept.select(_PLACE), on=_PLACE, how="anti", maintain_order="left")
    beside = dropped.join(kept.select(*key, *VALUES, kept_at=_at()), on=key, how="left", suffix="_kept", maintain_order="left")
    differs = [pl.col(name).ne_missing(pl.col(f"{name}_kept")) for name in VALUES]
    changed = pl.concat_str(
        [pl.when(other).then(pl.format(f"{name} {{}} against {{}}", _text(name), _text(f"{name}_kept"))) for name, other in zip(VALUES, differs, strict=True)],
        separator=", ",
        ignore_nulls=True,
    )
    conflict = beside.select(conflict=_any(differs))["conflict"]
    quarantine = [
        _quarantined(beside.filter(~conflict), "duplicate", pl.format("the same bar as {}, which is kept: nothing is lost", "kept_at")),
        _quarantined(
            beside.filter(conflict),
            "conflicting_duplicate",
            pl.format("another row for this symbol and time, learned later ({}), is kept: {}; take out the wrong one", "kept_at", changed),
        ),
    ]
    stays = rows.with_row_index(_PLACE).join(dropped.select(_PLACE), on=_PLACE, how="anti", maintain_order="left").drop(_PLACE)
    return stays, pl.concat(quarantine)


def _without_bad_prints(rows: pl.DataFrame, carried: pl.DataFrame, actions: pl.DataFrame, limit: float) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Take out bars with a price that neither the previous regular close nor the bar's own close supports."""
    close = pl.col("close")
    rows = rows.with_columns(pl.int_range(pl.len(), dtype=pl.Int64).alias(_PLACE))
    suspects = rows.filter((pl.col("high") > (1.0 + limit) * close) | (pl.col("low") < (1.0 - limit) * close))
    if not suspects.height:
        return rows.drop(_PLACE), _quarantined(rows.clear(), "", pl.lit(""))
    ratios = split_ratios(actions)
    closes = pl.concat(
        [
            carried.select("symbol", pl.lit(-1, pl.Int64).alias(_PLACE), previous="close", previous_date="session_date"),
            rows.filter(pl.col("session") == "regular").select("symbol", _PLACE, previous="close", previous_date="session_date"),
        ]
    )
    bad = suspects.clear()
    while True:  # a bad print must not be a later bar's previous close; each round settles at least the earliest one still open
        earlier = closes.join(bad, on=_PLACE, how="anti", maintain_order="left").drop_nulls("previous")
        judged = suspects.join_asof(earlier, on=_PLACE, by="symbol", strategy="backward", allow_exact_matches=False, check_sortedness=False)
        found = _misprinted(judged.drop_nulls("previous"), ratios, limit)
        settled = found[_PLACE].equals(bad[_PLACE])
        bad = found
        if settled:
            break
    text = pl.format(
        f"{{}}, more than {limit:.0%} from both the previous close {{}} and the bar's own close {{}}, which agree: "
        "correct the row, or raise market.quality.max_bar_return",
        _first_found(("open", "high", "low"), _far_from_close(limit)),
        "previous",
        "close",
    )
    return rows.join(bad, on=_PLACE, how="anti", maintain_order="left").drop(_PLACE), _quarantined(bad, "bad_print", text)


def _misprinted(judged: pl.DataFrame, ratios: pl.DataFrame, limit: float) -> pl.DataFrame:
    """Bars whose close agrees with the previous one, in the shares of either day, while their high or low agrees with none of these."""
    close = pl.col("close")
    then = shares_on(judged, "previous_date", ratios, include_same_day=True)
    now = shares_on(judged, "session_date", ratios, include_same_day=True)
    references = (pl.col("previous"), pl.col("previous") * pl.lit(then) / pl.lit(now))
    agrees = _any((close / reference - 1.0).abs() <= limit * _AGREEMENT for reference in references)

    def far(name: str, upward: float = 1.0) -> pl.Expr:
        ratios_to = [pl.col(name) / reference for reference in (*references, close)]
        return pl.all_horizontal((ratio > 1.0 + upward * limit) | (ratio < 1.0 - limit) for ratio in ratios_to)

    return judged.filter(agrees & (far("open") | far("high", _SPIKE) | far("low")))


# --- the parts of the judges ------------------------------------------------------------------------------------------


def _complete(raw: pl.DataFrame) -> pl.DataFrame:
    """All columns of RAW_BARS, those that a source may leave out as null; NaN is no value."""
    missing = [name for name, column in RAW_BARS.columns.items() if name not in raw.columns and not (column.nullable or name == "ingested_at")]
    if missing:
        raise DataError(
            f"raw bars lack the column(s) {', '.join(missing)}; they have {', '.join(raw.columns)}: a source must give every column of schemas.RAW_BARS"
        )
    whole = raw.select(pl.col(name).cast(dtype) if name in raw.columns else pl.lit(None, dtype).alias(name) for name, dtype in RAW_BARS.dtypes.items())
    return whole.with_columns(pl.when(pl.col(name).is_finite()).then(name) for name in VALUES)


def _in_order(rows: pl.DataFrame) -> pl.DataFrame:
    """Sorted by symbol and timestamp; sources hand their rows over sorted, so look before sorting."""
    symbol, stamp = pl.col("symbol"), pl.col("timestamp")
    ordered = (symbol > symbol.shift()) | ((symbol == symbol.shift()) & (stamp >= stamp.shift()))
    return rows if rows.select(ordered.all()).item() else rows.sort("symbol", "timestamp", maintain_order=True)


def _off_grid(local: pl.Expr, timeframe: str) -> pl.Expr:
    if timeframe == "1Day":
        return pl.col("timestamp").dt.time() != pl.time(0)
    minutes = TIMEFRAME_MINUTES[timeframe]
    stray = pl.col("timestamp").dt.epoch("us") % 60_000_000 != 0
    return stray if minutes == 1 else stray | ((local.dt.hour().cast(pl.Int32) * 60 + local.dt.minute()) % minutes != 0)


def _quarantined(rows: pl.DataFrame, rule: str, sentence: pl.Expr) -> pl.DataFrame:
    """Rows as they stand in the quarantine table, each with its place and its sentence."""
    return rows.select(
        "symbol",
        "timeframe",
        "timestamp",
        "source",
        "origin",
        "row",
        pl.lit(rule).alias(_RULE),
        pl.format("{}: {}", _at(), sentence.fill_null("")).alias(_REASON),
    )


def _at() -> pl.Expr:
    """`AAPL.csv row 12`, as far as a source says where a row comes from."""
    origin = pl.coalesce("origin", "source")
    return pl.when(pl.col("row").is_null()).then(origin).otherwise(pl.format("{} row {}", origin, "row"))


def _absent(name: str) -> pl.Expr:
    return pl.col(name).is_null()


def _not_positive(name: str) -> pl.Expr:
    return pl.col(name) <= 0.0


def _far_from_close(limit: float) -> Callable[[str], pl.Expr]:
    return lambda name: (pl.col(name) / pl.col("close") - 1.0).abs() > limit


def _any(conditions: Iterable[pl.Expr]) -> pl.Expr:
    return pl.any_horizontal(*conditions)


def _first(names: Sequence[str], holds: Callable[[str], pl.Expr]) -> pl.Expr:
    """Name of the first column for which `holds`."""
    return pl.coalesce(*(pl.when(holds(name)).then(pl.lit(name)) for name in names))


def _first_found(names: Sequence[str], holds: Callable[[str], pl.Expr]) -> pl.Expr:
    """`open is 0.0` for the first column for which `holds`."""
    return pl.coalesce(*(pl.when(holds(name)).then(pl.format(f"{name} is {{}}", name)) for name in names))


def _text(name: str) -> pl.Expr:
    return pl.col(name).cast(pl.String).fill_null("nothing")


def _utc() -> pl.Expr:
    return pl.col("timestamp").dt.strftime("%Y-%m-%dT%H:%M:%SZ")


def _counts(raw: int, kept: int, quarantine: pl.DataFrame, notes: list[str]) -> dict[str, Any]:
    by_rule = dict(quarantine.group_by(_RULE).len().sort(_RULE).iter_rows())
    faults = sum(count for rule, count in by_rule.items() if rule not in NOT_A_FAULT)
    return {
        "rows_raw": raw,
        "rows_bars": kept,
        "rows_quarantine": quarantine.height,
        "quarantined_fraction": faults / raw if raw else 0.0,
        "rules": by_rule,
        "notes": notes,
    }
