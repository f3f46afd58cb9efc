-- feature_state: Kernel state after the last bar of a period: what lets the next day continue.
-- grain: one row per (symbol); a file is sorted by (symbol)
-- columns:
--   symbol
--   timestamp: start of the bar, UTC
--   feature_set_hash
--   state: flat state vector
--   partition: the lake's partition key, for pruning
create or replace view feature_state as
select
    "symbol",
    "timestamp",
    "feature_set_hash",
    "state",
    partition
from read_parquet('{lake}/feature_state/partition=*/feature_state.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
