-- trades: Round trips, first in first out; open ones have a null exit.
-- grain: one row per (backtest_id, symbol, entry_timestamp, trade_id); a file is sorted by (backtest_id, symbol, entry_timestamp, trade_id)
-- columns:
--   backtest_id
--   trade_id
--   symbol
--   side: long or short
--   quantity: shares as of entry
--   entry_timestamp
--   entry_price
--   exit_timestamp (nullable)
--   exit_price (nullable)
--   exit_reason (nullable)
--   fees: currency
--   slippage: currency
--   pnl: net of fees (nullable)
--   return: pnl / entry value (nullable)
--   model_id (nullable)
--   strategy: whose it is: of a portfolio, one of its strategies (nullable)
--   partition: the lake's partition key, for pruning
create or replace view trades as
select
    "backtest_id",
    "trade_id",
    "symbol",
    "side",
    "quantity",
    "entry_timestamp",
    "entry_price",
    "exit_timestamp",
    "exit_price",
    "exit_reason",
    "fees",
    "slippage",
    "pnl",
    "return",
    "model_id",
    "strategy",
    partition
from read_parquet('{lake}/trades/partition=*/trades.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
