-- bar_state: What the quality rules remember of every symbol seen up to the end of a period, so that the next one needs no earlier bar.
-- grain: one row per (symbol); a file is sorted by (symbol)
-- columns:
--   symbol
--   timestamp: start of its last regular bar, or of its last bar when none was regular
--   close: last regular close (nullable)
--   adjustment_factor: forward cumulative, after its last bar
--   state: flat memory vector: market/validation/symbol_state.py (nullable)
--   partition: the lake's partition key, for pruning
create or replace view bar_state as
select
    "symbol",
    "timestamp",
    "close",
    "adjustment_factor",
    "state",
    partition
from read_parquet('{lake}/bar_state/partition=*/bar_state.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
