-- divergence: Live session against the backtest of the same day, order by order.
-- grain: one row per (session_id, symbol, timestamp, kind, key); a file is sorted by (session_id, symbol, timestamp, kind, key)
-- columns:
--   session_id
--   date: trading day
--   kind: order, fill or equity
--   key
--   symbol
--   timestamp
--   live: JSON; null: missing there (nullable)
--   backtest: JSON; null: missing there (nullable)
--   equal
--   strategy: whose order or fill; null: equity, which is the account's (nullable)
--   partition: the lake's partition key, for pruning
create or replace view divergence as
select
    "session_id",
    "date",
    "kind",
    "key",
    "symbol",
    "timestamp",
    "live",
    "backtest",
    "equal",
    "strategy",
    partition
from read_parquet('{lake}/divergence/partition=*/divergence.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
