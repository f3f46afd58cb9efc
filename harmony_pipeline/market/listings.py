"""Which security had which symbol, from when to when, as far as it was known on any day.

Nothing is known before its `known` date. A listing has versions: one when it is first known (its
end still open), and one more each time its end is learned or changes. `known_on` returns the
versions of a day. So later events change nothing that was known before, and no study sees a symbol
before its listing or loses one that was delisted.

A security keeps its `security_id` through changes of symbol. Where a source has no ids, the id is
the first known symbol of the security. A symbol that another security uses again has the date in
its id: `AAA:2020-09-10`.
"""

from datetime import date, timedelta
from typing import Any

import polars as pl

from harmony_pipeline.frames import format_columns
from harmony_pipeline.market.calendars import Calendar
from harmony_pipeline.schemas import LISTINGS, UNIVERSE

# snapshots in a row without a security that mean a delisting; illiquid ones skip a day or two
GONE_AFTER = 5
CHANGE, DELISTING = "symbol_change", "delisting"
# a source dates the first day under a new symbol up to some sessions late
_SAME_BEGINNING = timedelta(days=10)
EVENTS = {
    "symbol": pl.String(),
    "date": pl.Date(),
    "kind": pl.String(),
    "successor": pl.String(),
    "recovery": pl.Float64(),
}
_SECURITY = ["symbol", "security_id"]
_FACTS = [*_SECURITY, "date", "stated", "shares", "float", "market_cap", "sector"]
_IDENTITY = ["security_id", "symbol", "valid_from"]


def known_on(listings: pl.DataFrame, day: date) -> pl.DataFrame:
    """Each listing as it was known before the open of `day`: its latest version, in the columns of
    schemas.LISTINGS.
    """
    versions = listings.filter(pl.col("known") <= day).sort(
        *_IDENTITY, "known", maintain_order=True
    )
    return versions.unique(_IDENTITY, keep="last", maintain_order=True)


def members(universe: pl.DataFrame, listings: pl.DataFrame, day: date) -> pl.DataFrame:
    """Securities that could be traded on `day`, from what was known before its open.

    Columns: symbol, security_id, listed, shares, float, market_cap, sector. `listings` has the
    columns of schemas.LISTINGS, `universe` those of schemas.UNIVERSE. Both may hold rows of any
    later date.
    """
    open_then = (pl.col("valid_from").is_null() | (pl.col("valid_from") <= day)) & (
        pl.col("valid_to").is_null() | (pl.col("valid_to") > day)
    )
    listed = (
        known_on(listings, day)
        .filter(open_then)
        .select("symbol", "security_id", "valid_from", "listed")
    )
    facts = (
        universe.filter(pl.col("date") <= day)
        .rename({"listed": "stated", "security_id": "given"})
        .with_columns(named=pl.coalesce("given", "symbol"))
    )
    by_security = listed.join(
        facts.drop("symbol"), left_on="security_id", right_on="named", how="inner"
    )
    # A source without ids goes on under the new symbol; of a reused symbol the facts of the earlier
    # company are not meant.
    by_symbol = listed.filter(pl.col("symbol") != pl.col("security_id")).join(
        facts.filter(pl.col("given").is_null()), on="symbol", how="inner"
    )
    by_symbol = by_symbol.filter(
        (pl.col("date") >= pl.col("valid_from")) | (pl.col("stated") == pl.col("valid_from"))
    )
    latest = (
        pl.concat([by_security.select(_FACTS), by_symbol.select(_FACTS)])
        .sort("date", maintain_order=True)
        .unique(_SECURITY, keep="last", maintain_order=True)
    )
    joined = listed.join(latest, on=_SECURITY, how="left", maintain_order="left")
    joined = joined.select(
        "symbol",
        "security_id",
        pl.coalesce("listed", "stated").alias("listed"),
        "shares",
        "float",
        "market_cap",
        "sector",
    )
    return joined.unique(_SECURITY, keep="last", maintain_order=True).sort("symbol", "security_id")


def new_rows(snapshots: pl.DataFrame, calendar: Calendar) -> pl.DataFrame:
    """Rows of daily snapshots (schemas.UNIVERSE) that change something, dated by the session that
    could first use them.
    """
    if snapshots.is_empty():
        return snapshots
    rows = snapshots.sort("symbol", "security_id", "date", maintain_order=True)
    facts = [name for name in rows.columns if name not in ("date", "symbol", "security_id")]
    new = pl.any_horizontal(
        pl.int_range(pl.len()).over("symbol", "security_id") == 0,
        *(pl.col(name).ne_missing(pl.col(name).shift()) for name in facts),
    )
    rows = rows.filter(new)
    return UNIVERSE.conform(rows.with_columns(date=_next_sessions(rows["date"], calendar)))


def listings_from_universe(universe: pl.DataFrame, source: str) -> pl.DataFrame:
    """Listings that rows of `universe` state.

    A spell begins with a symbol's first row, or when it lists anew after a delisting.
    """
    if universe.is_empty():
        return LISTINGS.empty()
    rows = securities_of(universe)
    rows = rows.with_columns(listed=pl.col("valid_from"), known=pl.col("date"))
    opened = rows.filter("new").with_columns(
        reason=pl.lit("listed"), delisted=pl.lit(None, pl.Date()), valid_to=pl.lit(None, pl.Date())
    )
    is_new_end = pl.col("delisted").is_not_null() & pl.col("delisted").ne_missing(pl.col("earlier"))
    closed = rows.filter(is_new_end).with_columns(
        reason=pl.lit(DELISTING), valid_to=pl.col("delisted")
    )
    return _conform([opened, closed], source)


def securities_of(universe: pl.DataFrame) -> pl.DataFrame:
    """The rows of `universe`, each with the security that it is about: `security_id`, whether it is
    the first row of a spell of this security under its symbol (`new`), `valid_from`, the `listed`
    of that row, and `earlier`, the `delisted` of the row before. Sorted by symbol, the source's own
    id, and date.
    """
    rows = universe.sort("symbol", "security_id", "date", maintain_order=True).with_columns(
        given=pl.col("security_id")
    )
    rows = rows.with_columns(security=pl.coalesce("given", "symbol"))
    over = ["symbol", "security"]
    ended = pl.col("delisted").forward_fill().shift().over(over)
    new = (pl.int_range(pl.len()).over(over) == 0) | (pl.col("listed") > ended).fill_null(
        value=False
    )
    rows = rows.with_columns(new=new).with_columns(
        spell=pl.col("new").cast(pl.Int64).cum_sum().over(over)
    )
    spell = [*over, "spell"]
    rows = rows.with_columns(
        valid_from=pl.col("listed").first().over(spell),
        earlier=pl.col("delisted").shift().over(spell),
    )
    again = format_columns("{}:{}", "symbol", "valid_from")
    name = (
        pl.when(pl.col("given").is_not_null() | (pl.col("spell") == 1))
        .then("security")
        .otherwise(again)
    )
    return rows.with_columns(security_id=name).drop("given", "security", "spell")


def listings_from_snapshots(
    snapshots: pl.DataFrame, calendar: Calendar, source: str
) -> pl.DataFrame:
    """Listings from daily snapshots (date, security_id, symbol), each known only after that day's
    close.

    The beginning of a security in the first snapshot is unknown. A security whose symbol differs
    from its last one has changed it. A security that is absent from GONE_AFTER snapshots in a row
    is taken as delisted, which is known only then.
    """
    if snapshots.is_empty():
        return LISTINGS.empty()
    dates = snapshots["date"].unique().sort()
    spells = _symbol_spells(snapshots, dates)
    after = _next_sessions(dates, calendar)
    opened = _opened_listings(spells, after)
    closed = _closed_listings(spells, dates, after)
    return _conform([opened, closed], source)


def _symbol_spells(snapshots: pl.DataFrame, dates: pl.Series) -> pl.DataFrame:
    """Runs of snapshots with one security under one symbol: security_id, symbol, `begin` and `last`
    (positions in `dates`), `next_begin` and `next_symbol` of the security's next run, and
    valid_from (null for what stands in the first snapshot).
    """
    rows = snapshots.select(
        "date", pl.coalesce("security_id", "symbol").alias("security_id"), "symbol"
    ).with_columns(place=dates.search_sorted(snapshots["date"], side="left").cast(pl.Int64))
    rows = rows.sort("security_id", "place", "symbol", maintain_order=True)
    back = pl.col("place") - pl.col("place").shift().over("security_id")
    broken = (
        back.is_null()
        | (back > GONE_AFTER)
        | (pl.col("symbol") != pl.col("symbol").shift().over("security_id"))
    ).fill_null(value=True)
    grouped = rows.with_columns(spell=broken.cast(pl.Int64).cum_sum()).group_by(
        "security_id", "symbol", "spell", maintain_order=True
    )
    spells = grouped.agg(begin=pl.col("place").first(), last=pl.col("place").last()).sort(
        "security_id", "begin", maintain_order=True
    )
    following = [
        pl.col(name).shift(-1).over("security_id").alias(f"next_{name}")
        for name in ("begin", "symbol")
    ]
    begun = pl.lit(dates.gather(spells["begin"]))
    return spells.with_columns(*following, valid_from=pl.when(pl.col("begin") > 0).then(begun))


def _opened_listings(spells: pl.DataFrame, after: pl.Series) -> pl.DataFrame:
    """The beginning of every run, known in the session after its first snapshot (`after`)."""
    previous = spells.select(pl.col("last").shift().over("security_id")).to_series()
    renamed = (spells["begin"] - previous <= GONE_AFTER).fill_null(value=False)
    return spells.select(
        "security_id",
        "symbol",
        "valid_from",
        known=after.gather(spells["begin"]),
        reason=pl.when(pl.lit(renamed))
        .then(pl.lit(CHANGE))
        .when(pl.col("begin") > 0)
        .then(pl.lit("appeared"))
        .otherwise(pl.lit("known")),
    )


def _closed_listings(spells: pl.DataFrame, dates: pl.Series, after: pl.Series) -> pl.DataFrame:
    """The end of every run that another symbol follows, or nothing for GONE_AFTER snapshots."""
    changed = (pl.col("next_begin") - pl.col("last") <= GONE_AFTER).fill_null(value=False)
    gone = ~changed & (pl.col("last") + GONE_AFTER < len(dates))
    ending = spells.filter(changed | gone).with_columns(changed.alias("changed"))
    at = ending.select(
        pl.when("changed").then("next_begin").otherwise(pl.col("last") + GONE_AFTER)
    ).to_series()
    return ending.with_columns(
        known=after.gather(at),
        renamed_on=dates.gather(at),
        gone_on=after.gather(ending["last"]),
        successor=pl.when("changed").then("next_symbol"),
    ).select(
        *_IDENTITY,
        "successor",
        "known",
        valid_to=pl.when("changed").then("renamed_on").otherwise("gone_on"),
        delisted=pl.when(~pl.col("changed")).then("gone_on"),
        reason=pl.when("changed").then(pl.lit(CHANGE)).otherwise(pl.lit(DELISTING)),
    )


def apply_events(listings: pl.DataFrame, events: pl.DataFrame, source: str) -> pl.DataFrame:
    """`listings` with symbol changes and delistings (EVENTS) applied, each known on its date.

    A change ends the listing of the old symbol and begins one of the new symbol under the same
    security_id. Events are few, so they are applied one by one in order of date: the security of a
    chain of changes is only known along the chain.
    """
    held: dict[str, list[dict[str, Any]]] = {}
    for row in listings.to_dicts():
        held.setdefault(row["symbol"], []).append(row)
    for event in events.sort("date", "symbol", "kind").iter_rows(named=True):
        symbol, day, successor = event["symbol"], event["date"], event["successor"]
        rows = held.setdefault(symbol, [])
        ended = _find_listing(rows, symbol, day) | {
            "reason": event["kind"],
            "known": day,
            "source": source,
            "valid_to": day,
        }
        for row in rows:  # whoever takes the symbol later is another security
            if (
                row["security_id"] == ended["security_id"]
                and _begin_date(row) > day
                and row["known"] > day
            ):
                row["security_id"] = f"{symbol}:{_begin_date(row)}"
        rows.append(
            ended
            | (
                {"delisted": day, "recovery": event["recovery"]}
                if event["kind"] == DELISTING
                else {"successor": successor}
            )
        )
        if event["kind"] == CHANGE:
            _continue_listing(
                held.setdefault(successor, []), ended["security_id"], successor, day, source
            )
    table = [row for symbol in sorted(held) for row in held[symbol]]
    return LISTINGS.conform(pl.DataFrame(table, schema=LISTINGS.dtypes)).unique(
        list(LISTINGS.key), keep="last", maintain_order=True
    )


def _begin_date(row: dict[str, Any]) -> date:
    """When a listing began or, if that is unknown, when it was first known."""
    begun: date = row["valid_from"] or row["known"]
    return begun


def _find_listing(rows: list[dict[str, Any]], symbol: str, day: date) -> dict[str, Any]:
    """The listing of `symbol` that an event on `day` concerns, without its end.

    It has an unknown beginning where none is known by then.
    """
    known = [row for row in rows if row["known"] <= day]
    running = [row for row in known if (row["valid_from"] or date.min) < day]
    latest = max(
        running, key=lambda row: (row["valid_from"] or date.min, row["known"]), default=None
    )
    if latest is None:
        taken = any(row["security_id"] == symbol for row in known)
        return {
            "security_id": f"{symbol}:{day}" if taken else symbol,
            "symbol": symbol,
            "valid_from": None,
            "listed": None,
        }
    return {name: latest.get(name) for name in (*_IDENTITY, "listed")}


def _continue_listing(
    rows: list[dict[str, Any]], security: str, symbol: str, day: date, source: str
) -> None:
    """Begin the new symbol of a security.

    Rows of the source for that symbol from about that day on belong to the same security.
    """
    for row in rows:
        if timedelta() <= _begin_date(row) - day <= _SAME_BEGINNING:
            row |= {"security_id": security, "valid_from": day}
    rows.append(
        {
            "security_id": security,
            "symbol": symbol,
            "valid_from": day,
            "reason": CHANGE,
            "known": day,
            "source": source,
        }
    )


def _next_sessions(dates: pl.Series, calendar: Calendar) -> pl.Series:
    """The first session after each date, which is the first that can use what was written after a
    close.
    """
    sessions = calendar.table["date"]
    return sessions.gather(sessions.search_sorted(dates, side="right").clip(0, len(sessions) - 1))


def _conform(parts: list[pl.DataFrame], source: str) -> pl.DataFrame:
    return LISTINGS.conform(
        pl.concat(
            [
                part.drop("source", strict=False).with_columns(source=pl.lit(source))
                for part in parts
            ],
            how="diagonal_relaxed",
        )
    )
