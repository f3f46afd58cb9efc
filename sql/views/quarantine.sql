-- quarantine: One row per raw row that is not in bars, and per quote or trade received that was not kept (partitions quote-DAY and trade-DAY).
-- grain: rows as they came; a file is sorted by (symbol, timestamp, source, row)
-- columns:
--   symbol
--   timeframe: 1Min, 15Min, 1Hour, 1Day, ...; quote or trade for ticks
--   timestamp: start of the bar, UTC; when a tick happened
--   source
--   origin (nullable)
--   row: where it came from (nullable)
--   rule: name of the rule it broke
--   reason: what was found, what was expected, the cure
--   partition: the lake's partition key, for pruning
create or replace view quarantine as
select
    "symbol",
    "timeframe",
    "timestamp",
    "source",
    "origin",
    "row",
    "rule",
    "reason",
    partition
from read_parquet('{lake}/quarantine/partition=*/quarantine.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
