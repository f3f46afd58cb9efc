-- scan_candidates: Every symbol with every measure and every reason for rejection.
-- grain: one row per (date, symbol); a file is sorted by (date, symbol)
-- columns:
--   date
--   as_of: knowledge time
--   symbol
--   price: last known (nullable)
--   previous_close: regular, adjusted for a split of today (nullable)
--   gap: price / previous_close - 1 (nullable)
--   absolute_gap (nullable)
--   premarket_volume: shares
--   relative_volume: same clock window, up to 20 sessions, split-adjusted (nullable)
--   dollar_volume: previous session (nullable)
--   float: shares (nullable)
--   sector (nullable)
--   history_sessions
--   score (nullable)
--   passed
--   rejected_by: every rule it broke, rank_limit included
--   partition: the lake's partition key, for pruning
create or replace view scan_candidates as
select
    "date",
    "as_of",
    "symbol",
    "price",
    "previous_close",
    "gap",
    "absolute_gap",
    "premarket_volume",
    "relative_volume",
    "dollar_volume",
    "float",
    "sector",
    "history_sessions",
    "score",
    "passed",
    "rejected_by",
    partition
from read_parquet('{lake}/scan_candidates/partition=*/scan_candidates.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
