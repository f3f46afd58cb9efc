-- coverage: Which stretches of time were fetched from a supplier: a bar that is absent from one was not there.
-- grain: one row per (identity, timeframe, symbol, start); a file is sorted by (identity, timeframe, symbol, start)
-- columns:
--   identity: supplier, feed and adjustment
--   timeframe
--   symbol: * stands for every symbol of the source
--   start
--   end: exclusive
--   learned_at: when its last part was fetched
--   partition: the lake's partition key, for pruning
create or replace view coverage as
select
    "identity",
    "timeframe",
    "symbol",
    "start",
    "end",
    "learned_at",
    partition
from read_parquet('{lake}/coverage/partition=*/coverage.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
