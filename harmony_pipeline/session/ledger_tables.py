"""The ledger's own tables, declared once for SQLite and PostgreSQL, and how the public ones are
read from them.

Money columns are whole numbers of 1/10000 of the currency (`fee`, `equity`, `cash`,
`gross_exposure`, `net_exposure`), divided on the way out by 10000.0, which gives the nearest
double, as it does in the backtest. Times are microseconds since 1970 UTC. `orders.state` is the
order as the lifecycle left it; the other columns of that table are its public face. `strategy` is
null (in positions, where it is part of the key, empty) where one strategy had the account.

`events` is only ever appended to. `sessions`, `orders`, `fills`, `positions` and `equity` are made
from it (`ledger_rebuild.py`). `runs` and `snapshots` are no books: they say which process is alive,
and where it goes on after a crash.
"""

from collections.abc import Sequence
from functools import cache
from typing import Any

import polars as pl
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    UniqueConstraint,
    bindparam,
    cast,
    func,
    literal_column,
    or_,
    select,
    text,
)
from sqlalchemy.dialects.sqlite import REAL

from harmony_pipeline.frames import sort_rows
from harmony_pipeline.schemas import DAY, TABLES, TEXT, TIME, WHOLE

VERSION = 4
"""Of the tables below; `ledger_migrations.py` brings older ledgers to it."""

# A strict SQLite table knows integer, real, text and blob. PostgreSQL sorts text as SQLite does.
_WHOLE = BigInteger().with_variant(Integer(), "sqlite")
_REAL = Float(53).with_variant(REAL(), "sqlite")
_TEXT = Text().with_variant(Text(collation="C"), "postgresql")

metadata = MetaData()


def _text(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, _TEXT, nullable=null)


def _whole(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, _WHOLE, nullable=null)


def _real(name: str, *, null: bool = False) -> Column[Any]:
    return Column(name, _REAL, nullable=null)


def _session(*, key: bool = False) -> Column[Any]:
    return Column(
        "session_id", _TEXT, ForeignKey("sessions.session_id"), nullable=False, primary_key=key
    )


def _side() -> tuple[Column[Any], CheckConstraint]:
    return _text("side"), CheckConstraint("side in ('buy', 'sell')")


sessions = Table(
    "sessions",
    metadata,
    Column("session_id", _TEXT, primary_key=True, nullable=False),
    _text("date"),
    _text("account"),
    _text("strategy"),
    _text("model_id", null=True),
    _text("plan_hash"),
    _text("state"),
    _text("reason", null=True),
    _text("previous_session_id", null=True),
    # in which order they were opened
    Column("number", _WHOLE, nullable=False, server_default=text("0")),
    CheckConstraint("state in ('running', 'completed', 'stopped', 'killed')"),
    sqlite_strict=True,
    implicit_returning=False,
)
runs = Table(
    "runs",
    metadata,
    _session(key=True),
    Column("run", _WHOLE, primary_key=True, nullable=False),
    _whole("pid"),
    _whole("started_at"),
    _whole("heartbeat_at"),
    _text("outcome", null=True),
    sqlite_strict=True,
    implicit_returning=False,
    sqlite_with_rowid=False,
)
orders = Table(
    "orders",
    metadata,
    Column("client_order_id", _TEXT, primary_key=True, nullable=False),
    _session(),
    _text("order_id"),
    _text("parent_id", null=True),
    _text("symbol"),
    _whole("signal_timestamp", null=True),
    _whole("timestamp"),
    *_side(),
    _real("quantity"),
    _text("kind"),
    _real("limit_price", null=True),
    _real("stop_price", null=True),
    _text("time_in_force"),
    _text("status"),
    _text("closing_status"),
    _text("reason", null=True),
    _text("model_id", null=True),
    _text("verdict", null=True),
    _text("risk_limit", null=True),
    _real("wanted_quantity", null=True),
    _whole("open"),
    _text("state"),
    _text("strategy", null=True),
    CheckConstraint("open in (0, 1)"),
    sqlite_strict=True,
    implicit_returning=False,
)
Index("orders_of_session", orders.c.session_id)
Index(
    "open_orders",
    orders.c.open,
    sqlite_where=text("open = 1"),
    postgresql_where=text("open = 1"),
)
fills = Table(
    "fills",
    metadata,
    Column("execution_id", _TEXT, primary_key=True, nullable=False),
    _text("fill_id"),
    _session(),
    _text("order_id"),
    Column("client_order_id", _TEXT, ForeignKey("orders.client_order_id"), nullable=False),
    _text("symbol"),
    _whole("timestamp"),
    *_side(),
    _real("quantity"),
    _real("price"),
    _real("reference_price"),
    _whole("fee"),
    _real("slippage"),
    _text("liquidity"),
    _text("strategy", null=True),
    CheckConstraint("quantity > 0"),
    CheckConstraint("price > 0"),
    sqlite_strict=True,
    implicit_returning=False,
)
Index("fills_of_session", fills.c.session_id)
positions = Table(
    "positions",
    metadata,
    _session(key=True),
    Column("symbol", _TEXT, primary_key=True, nullable=False),
    _real("quantity"),
    _real("entry_price"),
    _real("last_price", null=True),
    _real("stop_price", null=True),
    _real("take_profit_price", null=True),
    Column("strategy", _TEXT, primary_key=True, nullable=False, server_default=text("''")),
    sqlite_strict=True,
    implicit_returning=False,
    sqlite_with_rowid=False,
)
equity = Table(
    "equity",
    metadata,
    _session(key=True),
    Column("timestamp", _WHOLE, primary_key=True, nullable=False),
    _whole("equity"),
    _whole("cash"),
    _whole("gross_exposure"),
    _whole("net_exposure"),
    _real("drawdown"),
    sqlite_strict=True,
    implicit_returning=False,
    sqlite_with_rowid=False,
)
events = Table(
    "events",
    metadata,
    _session(key=True),
    Column("sequence", _WHOLE, primary_key=True, nullable=False),
    _text("key"),
    _text("kind"),
    _whole("timestamp"),
    _whole("known_at"),
    _text("client_order_id", null=True),
    _text("symbol", null=True),
    _text("detail"),
    UniqueConstraint("session_id", "key"),
    sqlite_strict=True,
    implicit_returning=False,
)
snapshots = Table(
    "snapshots",
    metadata,
    _session(key=True),
    _whole("at", null=True),
    _whole("sequence"),
    Column("body", LargeBinary, nullable=False),
    sqlite_strict=True,
    implicit_returning=False,
)
ledger_version = Table(
    "ledger_version",
    metadata,
    Column("version", _WHOLE, primary_key=True, nullable=False, autoincrement=False),
    sqlite_strict=True,
    implicit_returning=False,
)

BOOKS = (sessions, orders, fills, positions, equity)
"""What is made from `events`, in the order in which rows refer to each other."""


def _currency(column: Column[Any]) -> Any:
    return cast(column, _REAL) / literal_column("10000.0")


def _public(table: Table, *columns: Any) -> Select[Any]:
    """Those columns of `table`, of one day where the parameter names one."""
    day = bindparam("date", type_=_TEXT)
    return (
        select(sessions.c.session_id, sessions.c.date, *columns)
        .select_from(table.join(sessions, table.c.session_id == sessions.c.session_id))
        .where(or_(day.is_(None), sessions.c.date == day))
    )


def _strategy(table: Table) -> Any:
    """Whose row it is: the strategy that it names, else that of the session."""
    return func.coalesce(func.nullif(table.c.strategy, literal_column("''")), sessions.c.strategy)


def _named(table: Table, names: str) -> list[Column[Any]]:
    return [table.c[name] for name in names.split()]


SELECTS: dict[str, Select[Any]] = {
    "session_orders": _public(
        orders,
        *_named(
            orders,
            "client_order_id order_id parent_id symbol signal_timestamp timestamp side quantity"
            " kind limit_price stop_price time_in_force status reason verdict risk_limit"
            " wanted_quantity model_id",
        ),
        _strategy(orders),
    ),
    "session_fills": _public(
        fills,
        *_named(
            fills,
            "client_order_id fill_id order_id symbol timestamp side quantity price reference_price",
        ),
        _currency(fills.c.fee),
        fills.c.slippage,
        fills.c.liquidity,
        _strategy(fills),
    ),
    "session_positions": _public(
        positions,
        *_named(positions, "symbol quantity entry_price last_price stop_price take_profit_price"),
        _strategy(positions),
    ),
    "session_equity": _public(
        equity,
        equity.c.timestamp,
        *(
            _currency(equity.c[name])
            for name in ("equity", "cash", "gross_exposure", "net_exposure")
        ),
        equity.c.drawdown,
    ),
    "session_events": _public(
        events,
        *_named(events, "sequence kind timestamp known_at client_order_id symbol detail"),
    ),
}

# Statements of their own: where a parameter may be absent, no database uses an index for it, and
# would read every session for one.
SELECTS_OF_SESSION: dict[str, Select[Any]] = {
    name: statement.where(sessions.c.session_id == bindparam("session", type_=_TEXT))
    for name, statement in SELECTS.items()
}


def public_frame(name: str, rows: Sequence[Sequence[Any]]) -> pl.DataFrame:
    """Rows of `SELECTS[name]` as that public table: its types, its order."""
    table = TABLES[name]
    if not rows:
        return table.empty()
    stored, read = _kept_as(name)
    frame = pl.DataFrame(rows, schema=stored, orient="row")
    return sort_rows(frame.with_columns(read), table.key)


@cache
def _kept_as(name: str) -> tuple[dict[str, Any], list[pl.Expr]]:
    """The types in which the ledger keeps the columns of a table, and how dates, which it keeps as
    text, and times, as microseconds, are read from them.
    """
    dtypes = TABLES[name].dtypes
    dates = [column for column, dtype in dtypes.items() if dtype == DAY]
    times = [column for column, dtype in dtypes.items() if dtype == TIME]
    read = [
        *(pl.col(one).str.to_date("%Y-%m-%d") for one in dates),
        *(pl.col(one).cast(TIME) for one in times),
    ]
    return {**dtypes, **dict.fromkeys(dates, TEXT), **dict.fromkeys(times, WHOLE)}, read
