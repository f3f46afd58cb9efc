-- trade_ticks: Every trade as reported.
-- grain: one row per (symbol, timestamp, origin, row); a file is sorted by (symbol, timestamp, origin, row)
-- columns:
--   symbol
--   timestamp: when it happened, UTC
--   price: raw price (nullable)
--   size: shares (nullable)
--   exchange: as the supplier writes it (nullable)
--   conditions: as the supplier writes them (nullable)
--   suspicious: marked by the supplier (nullable)
--   trade_id (nullable)
--   source: which MarketDataSource
--   ingested_at: when it was learned
--   origin: file or address it came from (nullable)
--   row: line or row number there, from 1 (nullable)
--   partition: the lake's partition key, for pruning
create or replace view trade_ticks as
select
    "symbol",
    "timestamp",
    "price",
    "size",
    "exchange",
    "conditions",
    "suspicious",
    "trade_id",
    "source",
    "ingested_at",
    "origin",
    "row",
    partition
from read_parquet('{lake}/trade_ticks/partition=*/trade_ticks.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
