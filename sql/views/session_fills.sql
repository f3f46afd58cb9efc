-- session_fills: Executions of live sessions.
-- grain: one row per (session_id, symbol, timestamp, fill_id); a file is sorted by (session_id, symbol, timestamp, fill_id)
-- columns:
--   session_id
--   date: trading day
--   client_order_id
--   fill_id
--   order_id
--   symbol
--   timestamp: start of the bar it happened in; over quotes the moment
--   side: buy or sell
--   quantity: shares as of timestamp
--   price
--   reference_price: price before costs
--   fee: currency
--   slippage: currency per share, >= 0
--   liquidity: taker or maker
--   strategy: whose it is: of a portfolio, one of its strategies (nullable)
--   partition: the lake's partition key, for pruning
create or replace view session_fills as
select
    "session_id",
    "date",
    "client_order_id",
    "fill_id",
    "order_id",
    "symbol",
    "timestamp",
    "side",
    "quantity",
    "price",
    "reference_price",
    "fee",
    "slippage",
    "liquidity",
    "strategy",
    partition
from read_parquet('{lake}/session_fills/partition=*/session_fills.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
