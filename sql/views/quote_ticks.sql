-- quote_ticks: Changes of the national best bid and offer.
-- grain: one row per (symbol, timestamp, origin, row); a file is sorted by (symbol, timestamp, origin, row)
-- columns:
--   symbol
--   timestamp: when it happened, UTC
--   bid: raw price; null: no bid (nullable)
--   bid_size: shares (nullable)
--   ask: raw price; null: no offer (nullable)
--   ask_size: shares (nullable)
--   conditions: as the supplier writes them (nullable)
--   source: which MarketDataSource
--   ingested_at: when it was learned
--   origin: file or address it came from (nullable)
--   row: line or row number there, from 1 (nullable)
--   partition: the lake's partition key, for pruning
create or replace view quote_ticks as
select
    "symbol",
    "timestamp",
    "bid",
    "bid_size",
    "ask",
    "ask_size",
    "conditions",
    "source",
    "ingested_at",
    "origin",
    "row",
    partition
from read_parquet('{lake}/quote_ticks/partition=*/quote_ticks.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
