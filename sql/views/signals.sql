-- signals: Primary signals of every strategy, on every bar where its features are warm.
-- grain: one row per (strategy, symbol, timestamp); a file is sorted by (strategy, symbol, timestamp)
-- columns:
--   strategy
--   symbol
--   timestamp: start of the bar, UTC
--   side: -1, 0, 1
--   strength: 0 to 1
--   partition: the lake's partition key, for pruning
create or replace view signals as
select
    "strategy",
    "symbol",
    "timestamp",
    "side",
    "strength",
    partition
from read_parquet('{lake}/signals/partition=*/signals.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
