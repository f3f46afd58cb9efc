-- daily_summary: One row a symbol and session, kept up to date at ingest. Prices raw.
-- grain: one row per (symbol, date); a file is sorted by (symbol, date)
-- columns:
--   symbol
--   date: exchange session
--   open: first regular price (nullable)
--   high: regular (nullable)
--   low: regular (nullable)
--   close: last regular price (nullable)
--   volume: regular shares
--   bars: bars of every session part
--   regular_bars: regular bars
--   expected_regular_bars: by the calendar
--   last_timestamp: start of the day's last bar
--   adjustment_factor: of the day
--   premarket_volume: shares in bars ended by scan_time
--   premarket_high (nullable)
--   premarket_low (nullable)
--   premarket_last: last close known by scan_time (nullable)
--   premarket_bars: bars ended by scan_time
--   scan_time: the cutoff that the premarket columns use
--   postmarket_volume: shares
--   partition: the lake's partition key, for pruning
create or replace view daily_summary as
select
    "symbol",
    "date",
    "open",
    "high",
    "low",
    "close",
    "volume",
    "bars",
    "regular_bars",
    "expected_regular_bars",
    "last_timestamp",
    "adjustment_factor",
    "premarket_volume",
    "premarket_high",
    "premarket_low",
    "premarket_last",
    "premarket_bars",
    "scan_time",
    "postmarket_volume",
    partition
from read_parquet('{lake}/daily_summary/partition=*/daily_summary.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
