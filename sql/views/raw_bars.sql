-- raw_bars: Bars as received, every version of a row with the moment it was learned; a cell that could not be read is null and `defect` says what stood there.
-- grain: rows as they came; a file is sorted by (symbol, timestamp, ingested_at, origin, row)
-- columns:
--   symbol
--   timeframe: 1Min, 15Min, 1Hour, 1Day, ...
--   timestamp: start of the bar, UTC
--   open: raw price (nullable)
--   high: raw price (nullable)
--   low: raw price (nullable)
--   close: raw price (nullable)
--   volume: shares (nullable)
--   trade_count: trades in the bar (nullable)
--   vwap: volume-weighted price (nullable)
--   source: which MarketDataSource
--   ingested_at: when it was learned
--   origin: file or address it came from (nullable)
--   row: line or row number there, from 1 (nullable)
--   defect: what could not be read (nullable)
--   partition: the lake's partition key, for pruning
create or replace view raw_bars as
select
    "symbol",
    "timeframe",
    "timestamp",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "trade_count",
    "vwap",
    "source",
    "ingested_at",
    "origin",
    "row",
    "defect",
    partition
from read_parquet('{lake}/raw_bars/partition=*/raw_bars.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
