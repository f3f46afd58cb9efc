-- session_positions: Positions at the end of each session, of each strategy where several share the account.
-- grain: one row per (session_id, symbol, strategy); a file is sorted by (session_id, symbol, strategy)
-- columns:
--   session_id
--   date: trading day
--   symbol
--   quantity: signed shares
--   entry_price
--   last_price (nullable)
--   stop_price (nullable)
--   take_profit_price (nullable)
--   strategy: whose it is: of a portfolio, one of its strategies (nullable)
--   partition: the lake's partition key, for pruning
create or replace view session_positions as
select
    "session_id",
    "date",
    "symbol",
    "quantity",
    "entry_price",
    "last_price",
    "stop_price",
    "take_profit_price",
    "strategy",
    partition
from read_parquet('{lake}/session_positions/partition=*/session_positions.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
