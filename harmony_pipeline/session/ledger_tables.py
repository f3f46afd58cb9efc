"""The ledger's own tables and how the public ones are read from them.

Money columns are whole numbers of 1/10000 of the currency (`fee`, `equity`, `cash`,
`gross_exposure`, `net_exposure`), divided on the way out by 10000.0, which gives the nearest
double, as it does in the backtest. Times are microseconds since 1970 UTC. `orders.state` is the
order as the lifecycle left it; the other columns of that table are its public face.
"""

import sqlite3
from collections.abc import Sequence

import polars as pl

from harmony_pipeline.schemas import TABLES

VERSION = 2

SCHEMA = (
    """create table sessions (
        session_id text primary key, date text not null, account text not null, strategy text not null, model_id text, plan_hash text not null,
        state text not null check (state in ('running', 'completed', 'stopped', 'killed')), reason text, previous_session_id text,
        sequence integer not null) strict""",
    """create table runs (
        session_id text not null references sessions, run integer not null, pid integer not null, started_at integer not null, heartbeat_at integer not null,
        outcome text, primary key (session_id, run)) strict, without rowid""",
    """create table orders (
        client_order_id text primary key, session_id text not null references sessions, order_id text not null, parent_id text, symbol text not null,
        signal_timestamp integer, timestamp integer not null, side text not null check (side in ('buy', 'sell')), quantity real not null, kind text not null,
        limit_price real, stop_price real, time_in_force text not null, status text not null, closing_status text not null, reason text, model_id text,
        verdict text, risk_limit text, wanted_quantity real,
        open integer not null check (open in (0, 1)), state text not null) strict""",
    "create index orders_of_session on orders (session_id)",
    "create index open_orders on orders (open) where open = 1",
    """create table fills (
        execution_id text primary key, fill_id text not null, session_id text not null references sessions, order_id text not null,
        client_order_id text not null references orders, symbol text not null, timestamp integer not null, side text not null check (side in ('buy', 'sell')),
        quantity real not null check (quantity > 0), price real not null check (price > 0), reference_price real not null, fee integer not null,
        slippage real not null, liquidity text not null) strict""",
    "create index fills_of_session on fills (session_id)",
    """create table positions (
        session_id text not null references sessions, symbol text not null, quantity real not null, entry_price real not null, last_price real, stop_price real,
        take_profit_price real, primary key (session_id, symbol)) strict, without rowid""",
    """create table equity (
        session_id text not null references sessions, timestamp integer not null, equity integer not null, cash integer not null,
        gross_exposure integer not null, net_exposure integer not null, drawdown real not null, primary key (session_id, timestamp)) strict, without rowid""",
    """create table events (
        session_id text not null references sessions, sequence integer not null, key text not null, kind text not null, timestamp integer not null,
        known_at integer not null, client_order_id text, symbol text, detail text not null,
        primary key (session_id, sequence), unique (session_id, key)) strict""",
    """create table snapshots (
        session_id text primary key references sessions, at integer, sequence integer not null, body blob not null) strict""",
)

UPGRADES = {
    1: (
        "alter table orders add column verdict text",
        "alter table orders add column risk_limit text",
        "alter table orders add column wanted_quantity real",
    ),
}
"""What makes a ledger of a version one of the next; what it did not keep is null."""

_FROM = (
    "join sessions s using (session_id) where (:date is null or s.date = :date) and (:session is"
    " null or s.session_id = :session)"
)
SELECTS = {
    "session_orders": (
        "select s.session_id, s.date, client_order_id, order_id, parent_id, symbol,"
        " signal_timestamp, timestamp, side, quantity, kind, limit_price, stop_price,"
        f" time_in_force, status, o.reason, verdict, risk_limit, wanted_quantity, o.model_id from orders o {_FROM}"
    ),
    "session_fills": (
        "select s.session_id, s.date, client_order_id, fill_id, order_id, symbol, timestamp, side,"
        " quantity, price, reference_price, fee / 10000.0, slippage, liquidity from fills f"
        f" {_FROM}"
    ),
    "session_positions": (
        "select s.session_id, s.date, symbol, quantity, entry_price, last_price, stop_price,"
        f" take_profit_price from positions p {_FROM}"
    ),
    "session_equity": (
        "select s.session_id, s.date, timestamp, equity / 10000.0, cash / 10000.0, gross_exposure"
        f" / 10000.0, net_exposure / 10000.0, drawdown from equity e {_FROM}"
    ),
    "session_events": (
        "select s.session_id, s.date, e.sequence, kind, timestamp, known_at, client_order_id,"
        f" symbol, detail from events e {_FROM}"
    ),
}


def public_frame(name: str, rows: Sequence[sqlite3.Row]) -> pl.DataFrame:
    """Rows of `SELECTS[name]` as that public table: its types, its order."""
    schema = TABLES[name]
    columns: list[pl.Series] = []
    for index, (column, dtype) in enumerate(schema.dtypes.items()):
        values = [row[index] for row in rows]
        if dtype == pl.Date():
            columns.append(pl.Series(column, values, dtype=pl.String).str.to_date("%Y-%m-%d"))
        elif isinstance(dtype, pl.Datetime):
            columns.append(pl.Series(column, values, dtype=pl.Int64).cast(dtype))
        else:
            columns.append(pl.Series(column, values, dtype=dtype))
    return schema.conform(pl.DataFrame(columns))
