"""Every statement of the ledger, written once with SQLAlchemy Core and compiled once a dialect.

What runs is the compiled text, by the driver itself: SQLAlchemy's own execution would cost more
than SQLite does for a row.
"""

from collections.abc import Callable
from functools import cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    ClauseElement,
    ColumnElement,
    Dialect,
    Table,
    and_,
    bindparam,
    case,
    delete,
    func,
    literal_column,
    or_,
    select,
    update,
)
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg

from harmony_pipeline.session.ledger_rows import SessionRow
from harmony_pipeline.session.ledger_tables import (
    BOOKS,
    SELECTS,
    SELECTS_OF_SESSION,
    equity,
    events,
    fills,
    metadata,
    orders,
    positions,
    runs,
    sessions,
    snapshots,
)

SQLITE, POSTGRES = "sqlite", "postgresql"
_ONE: ColumnElement[int] = literal_column("1")
_ZERO: ColumnElement[int] = literal_column("0")


def dialect_of(name: str) -> Dialect:
    """How that database writes SQL: named parameters, given as a dict."""
    if name == SQLITE:
        return sqlite.dialect(paramstyle="named")  # type: ignore[no-untyped-call, no-any-return]
    return PGDialect_psycopg()  # type: ignore[no-untyped-call]


def compiled(statement: ClauseElement, dialect: str) -> str:
    """The statement as text for the driver."""
    return str(statement.compile(dialect=dialect_of(dialect)))


@cache
def statements(dialect: str) -> dict[str, str]:
    """Name -> SQL text. Public tables have their own names; `NAME_of_session`: those of one."""
    insert = sqlite.insert if dialect == SQLITE else postgresql.insert
    of_session = {f"{name}_of_session": one for name, one in SELECTS_OF_SESSION.items()}
    made = {**SELECTS, **of_session, **_reads(), **_writes(insert), **_rebuilds(insert)}
    return {name: compiled(statement, dialect) for name, statement in made.items()}


def _reads() -> dict[str, ClauseElement]:
    session = bindparam("session", type_=sessions.c.session_id.type)
    account = bindparam("account", type_=sessions.c.account.type)
    day = bindparam("date", type_=sessions.c.date.type)
    row = [sessions.c[name] for name in SessionRow.__dataclass_fields__]
    in_order = (orders.c.timestamp, orders.c.symbol, orders.c.order_id)
    return {
        "session": select(*row).where(sessions.c.session_id == session),
        "sessions": select(*row)
        .where(or_(account.is_(None), sessions.c.account == account))
        .where(or_(day.is_(None), sessions.c.date == day))
        .order_by(sessions.c.date, sessions.c.number, sessions.c.session_id),
        "session_ids": select(sessions.c.session_id, sessions.c.number).order_by(
            sessions.c.number, sessions.c.session_id
        ),
        "last_run": select(func.coalesce(func.max(runs.c.run), _ZERO)).where(
            runs.c.session_id == session
        ),
        "runs": select(runs).where(runs.c.session_id == session).order_by(runs.c.run),
        "sequence": select(func.coalesce(func.max(events.c.sequence), _ZERO)).where(
            events.c.session_id == session
        ),
        "last_known": select(func.coalesce(func.max(events.c.known_at), _ZERO)).where(
            events.c.session_id == session
        ),
        "events": select(events.c.sequence, events.c.detail)
        .where(and_(events.c.session_id == session, events.c.sequence > bindparam("after")))
        .order_by(events.c.sequence),
        "order": select(orders.c.state).where(orders.c.client_order_id == bindparam("name")),
        "open_orders": select(orders.c.state)
        .join(sessions, sessions.c.session_id == orders.c.session_id)
        .where(orders.c.open == _ONE)
        .where(sessions.c.account == account)
        .order_by(*in_order),
        "orders": select(orders.c.state).where(orders.c.session_id == session).order_by(*in_order),
        "closing_statuses": select(orders.c.client_order_id, orders.c.closing_status)
        .where(orders.c.session_id == session)
        .order_by(orders.c.client_order_id),
        "snapshot": select(snapshots.c.at, snapshots.c.sequence, snapshots.c.body).where(
            snapshots.c.session_id == session
        ),
        **_looks(session, account, row),
    }


def _looks(
    session: BindParameter[Any], account: BindParameter[Any], row: list[Any]
) -> dict[str, ClauseElement]:
    """What a reader asks beside a running session."""
    of_session = events.c.session_id == session
    after = bindparam("after", type_=events.c.known_at.type)
    until = bindparam("until", type_=events.c.known_at.type)
    newer = and_(of_session, events.c.sequence > after)
    too_late = select(func.min(events.c.sequence)).where(and_(newer, events.c.known_at > until))
    limit = bindparam("limit", type_=events.c.sequence.type)
    figures = ("timestamp", "equity", "cash", "gross_exposure", "net_exposure", "drawdown")
    of_equity = equity.c.session_id == session
    return {
        "newest_session": select(*row)
        .where(or_(account.is_(None), sessions.c.account == account))
        .order_by(sessions.c.number.desc(), sessions.c.session_id.desc())
        .limit(_ONE)
        .offset(_ZERO),
        "span": select(func.min(events.c.known_at), func.max(events.c.known_at)).where(
            and_(of_session, events.c.kind != bindparam("but"))
        ),
        "events_known": select(events.c.sequence, events.c.known_at, events.c.detail)
        .where(newer)
        .where(events.c.sequence < func.coalesce(too_late.scalar_subquery(), bindparam("last")))
        .order_by(events.c.sequence)
        .limit(limit)
        .offset(_ZERO),
        "equity_known": select(*(equity.c[name] for name in figures))
        .where(and_(of_equity, equity.c.timestamp > after, equity.c.timestamp <= until))
        .order_by(equity.c.timestamp)
        .limit(limit)
        .offset(_ZERO),
        "last_equity": select(equity.c.equity)
        .where(of_equity)
        .order_by(equity.c.timestamp.desc())
        .limit(_ONE)
        .offset(_ZERO),
        "positions": select(positions)
        .where(positions.c.session_id == session)
        .order_by(positions.c.symbol),
    }


def _writes(insert: Callable[[Table], Any]) -> dict[str, ClauseElement]:
    """Parameters have the names of columns; those of a `where` begin with `of_`."""
    of_session = bindparam("of_session", type_=sessions.c.session_id.type)
    next_event = select(func.coalesce(func.max(events.c.sequence), _ZERO) + _ONE).where(
        events.c.session_id == of_session
    )
    next_session = select(func.coalesce(func.max(sessions.c.number), _ZERO) + _ONE)
    put_order = insert(orders)
    put_snapshot = insert(snapshots)
    new = put_order.excluded
    its_own = orders.c.session_id == new.session_id
    return {
        "add_session": insert(sessions).values(
            _bound(sessions) | {"number": next_session.scalar_subquery()}
        ),
        "set_session_state": update(sessions)
        .where(sessions.c.session_id == of_session)
        .values(state=bindparam("state"), reason=bindparam("reason")),
        "add_run": insert(runs),
        "set_run": update(runs)
        .where(and_(runs.c.session_id == of_session, runs.c.run == bindparam("of_run")))
        .values(heartbeat_at=bindparam("heartbeat_at"), outcome=bindparam("outcome")),
        "add_event": insert(events)
        .values(_bound(events) | {"sequence": next_event.scalar_subquery()})
        .on_conflict_do_nothing(index_elements=["session_id", "key"]),
        "put_order": put_order.on_conflict_do_update(
            index_elements=["client_order_id"],
            set_={
                **{name: new[name] for name in ("status", "reason", "open", "state")},
                "closing_status": case((its_own, new.status), else_=orders.c.closing_status),
            },
        ),
        "add_fill": insert(fills).on_conflict_do_nothing(index_elements=["execution_id"]),
        "add_equity": insert(equity).on_conflict_do_nothing(
            index_elements=["session_id", "timestamp"]
        ),
        "clear_positions": delete(positions).where(positions.c.session_id == of_session),
        "add_position": insert(positions),
        "put_snapshot": put_snapshot.on_conflict_do_update(
            index_elements=["session_id"],
            set_={name: put_snapshot.excluded[name] for name in ("at", "sequence", "body")},
        ),
    }


def _bound(table: Table) -> dict[str, Any]:
    return {column.name: bindparam(column.name, type_=column.type) for column in table.columns}


def _rebuilds(insert: Callable[[Table], Any]) -> dict[str, ClauseElement]:
    """`all_TABLE`, `clear_TABLE` and `restore_TABLE` of each table that is made from events."""
    made: dict[str, ClauseElement] = {}
    for table in BOOKS:
        key = [column.name for column in table.primary_key]
        made[f"all_{table.name}"] = select(table).order_by(*(table.c[name] for name in key))
        made[f"empty_{table.name}"] = delete(table)
        restore = insert(table)
        others = [column.name for column in table.columns if column.name not in key]
        made[f"restore_{table.name}"] = restore.on_conflict_do_update(
            index_elements=key, set_={name: restore.excluded[name] for name in others}
        )
    return made


def every_table() -> list[Table]:
    """The tables, those that others refer to first."""
    return list(metadata.sorted_tables)
