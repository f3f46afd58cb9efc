-- quality_warnings: Bars that a rule found odd and let pass; a row that stands here is in bars, but for wrong_time_zone, which speaks of a whole file.
-- grain: one row per (symbol, timestamp, rule); a file is sorted by (symbol, timestamp, rule)
-- columns:
--   symbol
--   timeframe: 1Min, 15Min, 1Hour, 1Day, ...
--   timestamp: start of the bar at which the rule knew, UTC
--   rule: name of the rule
--   measure: what the rule measured: docs/quality.md (nullable)
--   reason: what was found, what to do
--   partition: the lake's partition key, for pruning
create or replace view quality_warnings as
select
    "symbol",
    "timeframe",
    "timestamp",
    "rule",
    "measure",
    "reason",
    partition
from read_parquet('{lake}/quality_warnings/partition=*/quality_warnings.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
