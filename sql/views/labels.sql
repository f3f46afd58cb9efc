-- labels: Outcome of every event, each known at its own end_timestamp.
-- grain: one row per (horizon, symbol, timestamp); a file is sorted by (horizon, symbol, timestamp)
-- columns:
--   symbol
--   timestamp: the event's bar
--   horizon: bars, or sessions where labels.vertical says so
--   side: -1 or 1
--   entry_timestamp: bar of the entry, at its open or close (nullable)
--   entry_price: raw (nullable)
--   upper_barrier: raw price at entry; null without barriers (nullable)
--   lower_barrier: raw price at entry; null without barriers (nullable)
--   end_timestamp: end of the bar that settled it; null while unresolved (nullable)
--   touched: upper, lower or vertical (nullable)
--   return: in the direction of side, before costs (nullable)
--   label: 1 when return > 0, or the trend has the side; else 0 (nullable)
--   weight: average uniqueness, or the trend's absolute t-value (nullable)
--   partition: the lake's partition key, for pruning
create or replace view labels as
select
    "symbol",
    "timestamp",
    "horizon",
    "side",
    "entry_timestamp",
    "entry_price",
    "upper_barrier",
    "lower_barrier",
    "end_timestamp",
    "touched",
    "return",
    "label",
    "weight",
    partition
from read_parquet('{lake}/labels/partition=*/labels.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
