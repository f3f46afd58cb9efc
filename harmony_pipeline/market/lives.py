"""Events for the holder of a symbol when a listing ends or begins: delistings, changes of symbol,
reused symbols.

Listings have versions with the day from which each was known. Here they become events. An event
happens on the first day on which it is both true and known: a delisting that a source learns five
sessions late can be traded no earlier than that.

    delisting       the security stops trading; `recovery` is the cash per share, null if unknown
    symbol_change   it continues under `successor`
    listing         another security, or the same one after a delisting, begins to trade under a
                    symbol that was used before

>>> events = life_events(lake.read("listings"))
>>> relevant_events(events, bars["symbol"].unique().to_list())
"""

from collections.abc import Iterable
from datetime import date
from typing import Any

import polars as pl

from harmony_pipeline.errors import DataError
from harmony_pipeline.market.listings import CHANGE, DELISTING
from harmony_pipeline.schemas import CORPORATE_ACTIONS

LISTING = "listing"
# in this order on one day: who leaves makes room for who comes
KINDS = (DELISTING, CHANGE, LISTING)
LIFE_EVENTS: dict[str, Any] = {
    "date": pl.Date(),
    "kind": pl.String(),
    "symbol": pl.String(),
    "successor": pl.String(),
    "recovery": pl.Float64(),
}
_IDENTITY = ["security_id", "symbol", "valid_from"]


def empty_events() -> pl.DataFrame:
    """The events of a market without listings."""
    return pl.DataFrame(schema=LIFE_EVENTS)


def life_events(listings: pl.DataFrame) -> pl.DataFrame:
    """LIFE_EVENTS of listings (schemas.LISTINGS, every version), in the order in which they happen.

    If an end has several versions, the one that was known first counts, so that nothing is booked
    twice. Raises DataError when symbols change in a circle on one day.
    """
    if listings.is_empty():
        return empty_events()
    rows = (
        listings
        if "recovery" in listings.columns
        else listings.with_columns(recovery=pl.lit(None, pl.Float64()))
    )
    rows = rows.sort(*_IDENTITY, "known", maintain_order=True)
    ended = rows.filter(pl.col("valid_to").is_not_null()).unique(
        _IDENTITY, keep="first", maintain_order=True
    )
    moved = (
        (pl.col("reason") == CHANGE)
        & pl.col("successor").is_not_null()
        & (pl.col("successor") != pl.col("symbol"))
    )
    ends = ended.select(
        date=pl.max_horizontal("valid_to", "known"),
        kind=pl.when(moved).then(pl.lit(CHANGE)).otherwise(pl.lit(DELISTING)),
        symbol="symbol",
        successor=pl.when(moved).then("successor"),
        recovery=pl.when(~moved).then("recovery"),
    )
    changes = ends.filter(pl.col("kind") == CHANGE)
    events = pl.concat([ends, _find_relistings(rows, ended, changes)]).unique(maintain_order=True)
    return _sort_events(events.cast(LIFE_EVENTS))  # type: ignore[arg-type]


def relevant_events(
    events: pl.DataFrame, symbols: Iterable[str], until: date | None = None
) -> pl.DataFrame:
    """The events of `symbols`, and of all that they are linked to by changes of symbol, in either
    direction.

    Only events up to and including the day `until` are returned.
    """
    due = events if until is None else events.filter(pl.col("date") <= until)
    if due.is_empty():
        return due
    links = due.filter(pl.col("successor").is_not_null()).select("symbol", "successor")
    known = set(symbols)
    while True:
        more = {name for link in links.iter_rows() if known.intersection(link) for name in link}
        if more <= known:
            return due.filter(pl.col("symbol").is_in(sorted(known)))
        known |= more


def ended_symbols(events: pl.DataFrame) -> dict[str, str]:
    """Symbol -> the kind of its last event (`listing`: it trades again).

    An arrival under a new symbol counts as its listing.
    """
    if events.is_empty():
        return {}
    arrived = events.filter(pl.col("kind") == CHANGE).select(
        "date", symbol="successor", kind=pl.lit(LISTING), place=pl.lit(1, pl.Int8())
    )
    own = events.select(
        "date",
        "symbol",
        "kind",
        place=pl.when(pl.col("kind") == LISTING).then(1).otherwise(0).cast(pl.Int8()),
    )
    last = (
        pl.concat([own, arrived])
        .sort("date", "place", maintain_order=True)
        .unique("symbol", keep="last", maintain_order=True)
    )
    return dict(last.select("symbol", "kind").iter_rows())


def symbols_of(events: pl.DataFrame) -> list[str]:
    """Every symbol in the events."""
    return sorted({*events["symbol"], *events["successor"].drop_nulls()})


def actions_by_new_symbol(actions: pl.DataFrame, events: pl.DataFrame) -> pl.DataFrame:
    """CORPORATE_ACTIONS with a split or dividend on the day of a symbol change under the new
    symbol.

    It stands there once, whichever name its source used.
    """
    if events.is_empty():
        return actions
    changes = (
        events.filter(pl.col("kind") == CHANGE)
        .select("symbol", "date", "successor")
        .unique(["symbol", "date"], keep="first", maintain_order=True)
    )
    if changes.is_empty():
        return actions
    named = actions.join(
        changes, on=["symbol", "date"], how="left", maintain_order="left"
    ).with_columns(moved=pl.col("successor").is_not_null())
    named = named.with_columns(symbol=pl.coalesce("successor", "symbol")).sort(
        "moved", maintain_order=True
    )
    kept = named.unique(["symbol", "date", "kind"], keep="first", maintain_order=True)
    return CORPORATE_ACTIONS.conform(kept)


def securities_begin(events: pl.DataFrame) -> pl.DataFrame:
    """symbol, date: from that day on the symbol is another security.

    No outcome of a trade may be looked up across it.
    """
    arrived = events.filter(pl.col("kind") == CHANGE).select("date", symbol="successor")
    return (
        pl.concat([events.select("symbol", "date"), arrived.select("symbol", "date")])
        .unique()
        .sort("symbol", "date")
    )


def _find_relistings(
    rows: pl.DataFrame, ended: pl.DataFrame, changes: pl.DataFrame
) -> pl.DataFrame:
    """LIFE_EVENTS of kind listing: a listing of a symbol that had one before, of another security
    or after an end.
    """
    opened = rows.unique(_IDENTITY, keep="first", maintain_order=True).with_columns(
        begin=pl.coalesce("valid_from", "known")
    )
    opened = opened.join(
        ended.select(*_IDENTITY, ended=pl.lit(value=True)),
        on=_IDENTITY,
        how="left",
        nulls_equal=True,
        maintain_order="left",
    )
    opened = opened.sort("symbol", "begin", "security_id", maintain_order=True)
    before, over = (
        pl.col("security_id").shift().over("symbol"),
        pl.col("ended").shift().over("symbol"),
    )
    again = opened.filter(
        before.is_not_null() & ((before != pl.col("security_id")) | over.fill_null(value=False))
    )
    again = again.select(date=pl.max_horizontal("begin", "known"), symbol="symbol")
    again = again.join(
        changes.select("date", symbol="successor"),
        on=["date", "symbol"],
        how="anti",
        maintain_order="left",
    )
    return again.select(
        "date",
        kind=pl.lit(LISTING),
        symbol="symbol",
        successor=pl.lit(None, pl.String()),
        recovery=pl.lit(None, pl.Float64()),
    )


def _sort_events(events: pl.DataFrame) -> pl.DataFrame:
    """Events by date; on one day delistings, then changes, then listings.

    Of changes A to B and B to C on one day the second comes first.
    """
    changes = events.filter(pl.col("kind") == CHANGE)
    chained = changes.join(
        changes.select("date", symbol="successor"), on=["date", "symbol"], how="semi"
    )
    depth = [
        _count_predecessors(day, symbol, successors)
        for successors in [_successors(changes, chained)]
        for day, symbol in changes.select("date", "symbol").iter_rows()
    ]
    hops = (
        changes.select("date", "symbol", "kind")
        .with_columns(hops=pl.Series(depth, dtype=pl.Int64))
        .unique(["date", "symbol"], keep="first")
    )
    ordered = events.join(
        hops, on=["date", "symbol", "kind"], how="left", maintain_order="left"
    ).with_columns(
        place=pl.col("kind").replace_strict(
            {kind: place for place, kind in enumerate(KINDS)}, return_dtype=pl.Int64
        ),
        hops=pl.col("hops").fill_null(0),
    )
    return ordered.sort("date", "place", "hops", "symbol", maintain_order=True).select(
        list(LIFE_EVENTS)
    )


def _successors(changes: pl.DataFrame, chained: pl.DataFrame) -> dict[tuple[date, str], str]:
    """(date, symbol) -> successor, of the days on which changes meet; empty on nearly
    every market.
    """
    if chained.is_empty():
        return {}
    days = changes.filter(pl.col("date").is_in(chained["date"].unique().to_list()))
    return {
        (day, symbol): successor
        for day, symbol, successor in days.select("date", "symbol", "successor").iter_rows()
    }


def _count_predecessors(day: date, symbol: str, successors: dict[tuple[date, str], str]) -> int:
    """Number of changes of that day that must come before this one."""
    hops, at, seen = 0, successors.get((day, symbol)), {symbol}
    while at is not None and (day, at) in successors:
        if at in seen:
            raise DataError(
                f"listings: {' and '.join(sorted(seen))} change symbols in a circle on {day}:"
                " correct the symbol changes of that day"
            )
        seen.add(at)
        hops, at = hops + 1, successors[day, at]
    return hops
