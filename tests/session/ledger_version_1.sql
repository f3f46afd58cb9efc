-- The tables of version 1, as that code made them.
create table sessions (
    session_id text primary key, date text not null, account text not null, strategy text not null, model_id text, plan_hash text not null,
    state text not null check (state in ('running', 'completed', 'stopped', 'killed')), reason text, previous_session_id text,
    sequence integer not null) strict;
create table runs (
    session_id text not null references sessions, run integer not null, pid integer not null, started_at integer not null, heartbeat_at integer not null,
    outcome text, primary key (session_id, run)) strict, without rowid;
create table orders (
    client_order_id text primary key, session_id text not null references sessions, order_id text not null, parent_id text, symbol text not null,
    signal_timestamp integer, timestamp integer not null, side text not null check (side in ('buy', 'sell')), quantity real not null, kind text not null,
    limit_price real, stop_price real, time_in_force text not null, status text not null, closing_status text not null, reason text, model_id text,
    open integer not null check (open in (0, 1)), state text not null) strict;
create index orders_of_session on orders (session_id);
create index open_orders on orders (open) where open = 1;
create table fills (
    execution_id text primary key, fill_id text not null, session_id text not null references sessions, order_id text not null,
    client_order_id text not null references orders, symbol text not null, timestamp integer not null, side text not null check (side in ('buy', 'sell')),
    quantity real not null check (quantity > 0), price real not null check (price > 0), reference_price real not null, fee integer not null,
    slippage real not null, liquidity text not null) strict;
create index fills_of_session on fills (session_id);
create table positions (
    session_id text not null references sessions, symbol text not null, quantity real not null, entry_price real not null, last_price real, stop_price real,
    take_profit_price real, primary key (session_id, symbol)) strict, without rowid;
create table equity (
    session_id text not null references sessions, timestamp integer not null, equity integer not null, cash integer not null,
    gross_exposure integer not null, net_exposure integer not null, drawdown real not null, primary key (session_id, timestamp)) strict, without rowid;
create table events (
    session_id text not null references sessions, sequence integer not null, key text not null, kind text not null, timestamp integer not null,
    known_at integer not null, client_order_id text, symbol text, detail text not null,
    primary key (session_id, sequence), unique (session_id, key)) strict;
create table snapshots (
    session_id text primary key references sessions, at integer, sequence integer not null, body blob not null) strict;
pragma user_version = 1;
