"""Which quotes and trades are kept.

Every received row is kept, or is in quarantine exactly once with the first rule that it broke, or
was merged into an equal row: received = kept + quarantined + merged. A verdict depends on the row
and on equal rows, never on later rows.

Duplicates. Two equal trades in one file are two trades: many are, at one price in one millisecond.
Two overlapping files have the same trades twice. So the n-th occurrence of a row in one file is the
n-th occurrence in another, and is kept once. Where trades have an id the id decides: equal rows of
one id are one trade, and of different rows of one id the one reported last is kept.

Order. A tape may be out of order (late reports). Rows are sorted by time, rows of one time keep
their order, and a note counts them.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.frames import format_columns
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.market.settings import MarketSettings
from harmony_pipeline.schemas import QUARANTINE, QUOTE_TICKS, TEXT, TICK_COUNTS, TRADE_TICKS, Table

_CORRECT = "correct the row or take it out"
_PLACES = ("source", "ingested_at", "origin", "row")
_SIDES = (("bid", "bid_size"), ("ask", "ask_size"))


@dataclass(frozen=True)
class ValidatedTicks:
    """`kept` (schemas.QUOTE_TICKS or TRADE_TICKS), `quarantine` (schemas.QUARANTINE), `counts`
    (TICK_COUNTS, a row a symbol) and notes.
    """

    kept: pl.DataFrame
    quarantine: pl.DataFrame
    counts: pl.DataFrame
    notes: list[str] = field(default_factory=list)


class _Rule(NamedTuple):
    """A row for which `broken` is true is quarantined with `sentence`."""

    name: str
    broken: pl.Expr
    sentence: pl.Expr


def validate_trades(
    received: pl.DataFrame, calendar: Calendar, settings: MarketSettings
) -> ValidatedTicks:
    """Validate trades of a source, with `ingested_at`, in any order."""
    price, size = pl.col("price"), pl.col("size")
    rules = [
        _Rule("unreadable", pl.col("defect").is_not_null(), pl.col("defect")),
        _Rule(
            "missing_price",
            price.is_null(),
            pl.lit("price is missing, expected a number: fill the cell, or fetch the trade again"),
        ),
        _Rule(
            "missing_size",
            size.is_null(),
            pl.lit(
                "size is missing, expected a number of shares: fill the cell, or fetch the trade"
                " again"
            ),
        ),
        _unknown_symbol(settings),
        _Rule(
            "non_positive_price",
            price <= 0.0,
            format_columns(f"price is {{}}, expected one above 0: {_CORRECT}", price),
        ),
        _Rule(
            "non_positive_size",
            size <= 0.0,
            format_columns(f"size is {{}}, expected one above 0: {_CORRECT}", size),
        ),
        *_session_rules(calendar, settings),
    ]
    return _validate_ticks(
        received, TRADE_TICKS, "trade", rules, calendar, ("symbol", "exchange", "trade_id")
    )


def validate_quotes(
    received: pl.DataFrame, calendar: Calendar, settings: MarketSettings
) -> ValidatedTicks:
    """Validate quotes of a source, with `ingested_at`, in any order.

    Feeds write a missing side as price 0 without size. It becomes null.
    """
    rules = [*_quote_rules(settings), *_session_rules(calendar, settings)]
    result = _validate_ticks(
        received.with_columns(_sides_or_null()), QUOTE_TICKS, "quote", rules, calendar, None
    )
    ticks, bid, ask = settings.ticks, pl.col("bid"), pl.col("ask")
    warnings = {
        "crossed": (ticks.crossed_quotes == "warn", bid > ask),
        "locked": (ticks.locked_quotes == "warn", bid == ask),
    }
    for what, (is_on, expression) in warnings.items():
        found = result.kept.filter(expression).height if is_on else 0
        if found:
            result.notes.append(f"{found} kept quotes are {what}")
    return result


def _sides_or_null() -> list[pl.Expr]:
    """Price and size of each side, null where the side is missing."""
    absent = [
        ((pl.col(price) == 0.0) & (pl.col(size).fill_null(0.0) == 0.0)).fill_null(False)
        for price, size in _SIDES
    ]
    return [
        pl.when(~gone).then(name).alias(name)
        for names, gone in zip(_SIDES, absent, strict=True)
        for name in names
    ]


def _quote_rules(settings: MarketSettings) -> list[_Rule]:
    """What is wrong with a quote by itself."""
    bid, ask = pl.col("bid"), pl.col("ask")
    wrong_price = pl.coalesce(
        *(
            pl.when(pl.col(price) <= 0.0).then(format_columns(f"{price} is {{}}", price))
            for price, _ in _SIDES
        )
    )
    wrong_size = pl.coalesce(
        *(
            pl.when((pl.col(size) <= 0.0) & pl.col(price).is_not_null()).then(
                format_columns(f"{size} is {{}}", size)
            )
            for price, size in _SIDES
        )
    )
    locked, crossed = settings.ticks.locked_quotes, settings.ticks.crossed_quotes
    return [
        _Rule("unreadable", pl.col("defect").is_not_null(), pl.col("defect")),
        _unknown_symbol(settings),
        _Rule(
            "non_positive_price",
            wrong_price.is_not_null(),
            format_columns(f"{{}}, expected a price above 0: {_CORRECT}", wrong_price),
        ),
        _Rule(
            "non_positive_size",
            wrong_size.is_not_null(),
            format_columns(f"{{}}, expected a number of shares above 0: {_CORRECT}", wrong_size),
        ),
        _Rule(
            "crossed_quote",
            (bid > ask) & (crossed == "quarantine"),
            format_columns(
                "bid {} is above ask {}: set market.ticks.crossed_quotes to warn to keep such"
                " quotes",
                bid,
                ask,
            ),
        ),
        _Rule(
            "locked_quote",
            (bid == ask) & (locked == "quarantine"),
            format_columns(
                "bid and ask are both {}: set market.ticks.locked_quotes to keep to keep such"
                " quotes",
                bid,
            ),
        ),
    ]


def _unknown_symbol(settings: MarketSettings) -> _Rule:
    unknown = ~pl.col("symbol").is_in(list(settings.symbols)) if settings.symbols else pl.lit(False)
    return _Rule(
        "unknown_symbol",
        unknown,
        format_columns(
            "symbol '{}' is not among market.symbols: add it there, or take the row out", "symbol"
        ),
    )


def _session_rules(calendar: Calendar, settings: MarketSettings) -> list[_Rule]:
    shown = (
        pl.col("timestamp").dt.convert_time_zone(calendar.zone).dt.strftime("%a %Y-%m-%d %H:%M:%S")
    )
    cure = "correct the stamp, or check market.calendar and market.files.timezone"
    extended = pl.lit(False) if settings.extended_hours else pl.col("session") != "regular"
    return [
        _Rule(
            "outside_session",
            pl.col("session").is_null(),
            format_columns(
                f"{{}} in {calendar.zone} is outside every session of {calendar.name}: {cure}",
                shown,
            ),
        ),
        _Rule(
            "extended_hours_off",
            extended,
            format_columns(
                "a tick of the {}market, and market.extended_hours is false: set it to true to keep"
                " such ticks",
                "session",
            ),
        ),
    ]


def _validate_ticks(
    received: pl.DataFrame,
    table: Table,
    timeframe: str,
    rules: Sequence[_Rule],
    calendar: Calendar,
    identity: tuple[str, ...] | None,
) -> ValidatedTicks:
    rows = _complete_columns(received, table)
    notes = _order_notes(rows)
    rows = rows.sort(table.key, maintain_order=True)
    rows = rows.with_columns(calendar.parts(rows["timestamp"])["session"])
    verdict = pl.lit(0, pl.UInt8)
    for at, rule in reversed(list(enumerate(rules, 1))):
        verdict = (
            pl.when(rule.broken.fill_null(False)).then(pl.lit(at, pl.UInt8)).otherwise(verdict)
        )
    number = rows.select(verdict.alias("rule"))["rule"]
    refused = (
        [
            _quarantine_rows(rows.filter(number == at), timeframe, rule.name, rule.sentence)
            for at, rule in enumerate(rules, 1)
        ]
        if (number > 0).any()
        else []
    )
    sound = rows.filter(number == 0)
    distinct = _drop_duplicates(sound, table, identified=identity is not None)
    kept, contradicted = (
        (distinct, sound.clear()) if identity is None else _resolve_identities(distinct, identity)
    )
    text = pl.lit("another row of this trade_id, reported later, is kept: take out the wrong one")
    quarantine = QUARANTINE.conform(
        pl.concat(
            [
                QUARANTINE.empty(),
                *refused,
                _quarantine_rows(contradicted, timeframe, "conflicting_duplicate", text),
            ]
        )
    )
    counts = _counts(rows, kept, quarantine, timeframe)
    if counts["merged"].sum():
        notes.append(f"{counts['merged'].sum()} {timeframe}s were received twice and kept once")
    return ValidatedTicks(table.conform(kept), quarantine, counts, notes)


def _complete_columns(received: pl.DataFrame, table: Table) -> pl.DataFrame:
    """All columns of the table and `defect`; optional columns that a source left out are null.

    A number that is not finite becomes null.
    """
    missing = [
        name
        for name, column in table.columns.items()
        if name not in received.columns and not column.nullable
    ]
    if missing:
        raise DataError(
            f"{table.name} lack the column(s) {', '.join(missing)}; they have"
            f" {', '.join(received.columns)}: a source must give them"
        )
    dtypes = {**table.dtypes, "defect": TEXT}
    whole = received.select(
        pl.col(name).cast(dtype) if name in received.columns else pl.lit(None, dtype).alias(name)
        for name, dtype in dtypes.items()
    )
    return whole.with_columns(
        pl.when(pl.col(name).is_finite()).then(name)
        for name, dtype in table.dtypes.items()
        if dtype == pl.Float64()
    )


def _order_notes(rows: pl.DataFrame) -> list[str]:
    """The number of rows that stood after a later one of their symbol, by the order of
    each file.
    """
    numbered = rows.filter(pl.col("row").is_not_null()).sort(
        "origin", "symbol", "row", maintain_order=True
    )
    same = (pl.col("origin") == pl.col("origin").shift()) & (
        pl.col("symbol") == pl.col("symbol").shift()
    )
    late = int(
        numbered.select(((pl.col("timestamp") < pl.col("timestamp").shift()) & same).sum()).item()
        or 0
    )
    return [f"{late} rows were out of the order of time and were sorted"] if late else []


def value_columns(table: Table) -> list[str]:
    """The value columns of a tick, without its origin and its time of ingest."""
    return [name for name in table.columns if name not in _PLACES]


def occurrence(table: Table, *, identified: bool) -> pl.Expr:
    """The index of a row among equal rows of one file, from 0; always 0 for a trade with an id."""
    values = value_columns(table)
    number = pl.int_range(pl.len()).over("source", "origin", *values)
    return (
        pl.when(pl.col("trade_id").is_null()).then(number).otherwise(0) if identified else number
    ).alias("_occurrence")


def _drop_duplicates(rows: pl.DataFrame, table: Table, *, identified: bool) -> pl.DataFrame:
    """The n-th of equal rows, once for any number of files with it."""
    values = value_columns(table)
    numbered = rows.with_columns(occurrence(table, identified=identified))
    return numbered.unique([*values, "_occurrence"], keep="first", maintain_order=True).drop(
        "_occurrence"
    )


def _resolve_identities(
    rows: pl.DataFrame, identity: tuple[str, ...]
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Of rows of one identity the last by time, and of one time by its values; and the others.

    File names do not decide.
    """
    named = rows.filter(pl.col(identity[-1]).is_not_null())
    if not named.select(pl.struct(identity).is_duplicated().any()).item():
        return rows, rows.clear()
    placed = rows.with_row_index("_place")
    ranked = placed.filter(pl.col(identity[-1]).is_not_null()).sort(
        "timestamp",
        *(name for name in ("price", "size", "conditions", "suspicious") if name in rows.columns),
    )
    losing = ranked.filter(~pl.struct(identity).is_last_distinct())["_place"]
    lost = placed["_place"].is_in(losing.to_list())
    return rows.filter(~lost), rows.filter(lost)


def _quarantine_rows(
    rows: pl.DataFrame, timeframe: str, rule: str, sentence: pl.Expr
) -> pl.DataFrame:
    origin = pl.coalesce("origin", "source")
    place = (
        pl.when(pl.col("row").is_null())
        .then(origin)
        .otherwise(format_columns("{} row {}", origin, "row"))
    )
    return rows.select(
        "symbol", pl.lit(timeframe).alias("timeframe"), "timestamp", "source", "origin", "row",
        pl.lit(rule).alias("rule"),
        format_columns("{}: {}", place, sentence.fill_null("")).alias("reason"),
    )  # fmt: skip


def _counts(
    rows: pl.DataFrame, kept: pl.DataFrame, quarantine: pl.DataFrame, timeframe: str
) -> pl.DataFrame:
    """Counts of each symbol's rows. merged is the remainder; another check compares the sum with
    the tables.
    """
    number = pl.len().cast(pl.Int64)
    found = rows.group_by("symbol").agg(number.alias("received"))
    for frame, name in ((kept, "kept"), (quarantine, "quarantined")):
        found = found.join(
            frame.group_by("symbol").agg(number.alias(name)), on="symbol", how="left"
        )
    found = found.with_columns(
        pl.col("kept", "quarantined").fill_null(0), timeframe=pl.lit(timeframe)
    )
    return TICK_COUNTS.conform(
        found.with_columns(merged=pl.col("received") - pl.col("kept") - pl.col("quarantined"))
    )
