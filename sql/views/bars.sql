-- bars: Validated, de-duplicated, session-aware bars; past rows never change.
-- grain: one row per (symbol, timestamp); a file is sorted by (symbol, timestamp)
-- columns:
--   symbol
--   timeframe: 1Min, 15Min, 1Hour, 1Day, ...
--   timestamp: start of the bar, UTC
--   session: pre, regular or post
--   open: raw price
--   high: raw price
--   low: raw price
--   close: raw price
--   volume: shares
--   trade_count: trades in the bar (nullable)
--   vwap: volume-weighted price (nullable)
--   adjustment_factor: forward cumulative, 1.0 at the symbol's first bar: adjusted price = price * factor
--   partition: the lake's partition key, for pruning
create or replace view bars as
select
    "symbol",
    "timeframe",
    "timestamp",
    "session",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "trade_count",
    "vwap",
    "adjustment_factor",
    partition
from read_parquet('{lake}/bars/partition=*/bars.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
