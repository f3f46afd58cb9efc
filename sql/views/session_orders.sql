-- session_orders: Orders of live sessions.
-- grain: one row per (session_id, symbol, timestamp, order_id); a file is sorted by (session_id, symbol, timestamp, order_id)
-- columns:
--   session_id
--   date: trading day
--   client_order_id: unique: a pure function of session and intent
--   order_id: unique over the lake: backtest or account, symbol, decision, role
--   parent_id: entry order of an exit; of a session perhaps one of an earlier day (nullable)
--   symbol
--   signal_timestamp: start of the signal's bar; null over quotes (nullable)
--   timestamp: the decision
--   side: buy or sell
--   quantity: shares as they were when it was placed: an entry or exit at timestamp, a leg of a bracket at its entry's fill; a later split changes them
--   kind: market, limit, stop
--   limit_price: raw, in those same shares (nullable)
--   stop_price: raw, in those same shares (nullable)
--   time_in_force: ioc, day, gtc, cls
--   status
--   reason: why it was placed, or refused; delisted or renamed: canceled because its symbol ended (nullable)
--   verdict: what the risk engine answered: approve, resize, queue, refuse, halt; entries (nullable)
--   risk_limit: the limit that made it smaller, or refused it (nullable)
--   wanted_quantity: shares of an entry before the limits; null: refused before its size was asked for (nullable)
--   model_id (nullable)
--   strategy: whose it is: of a portfolio, one of its strategies (nullable)
--   partition: the lake's partition key, for pruning
create or replace view session_orders as
select
    "session_id",
    "date",
    "client_order_id",
    "order_id",
    "parent_id",
    "symbol",
    "signal_timestamp",
    "timestamp",
    "side",
    "quantity",
    "kind",
    "limit_price",
    "stop_price",
    "time_in_force",
    "status",
    "reason",
    "verdict",
    "risk_limit",
    "wanted_quantity",
    "model_id",
    "strategy",
    partition
from read_parquet('{lake}/session_orders/partition=*/session_orders.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
