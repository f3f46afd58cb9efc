-- features: One column a feature, on adjusted prices; null until warm.
-- grain: one row per (symbol, timestamp); a file is sorted by (symbol, timestamp)
-- columns:
--   symbol
--   timestamp: start of the bar, UTC
--   one more column per feature of [features] names, null until warm, and cusum_event (-1, 0, 1)
--   partition: the lake's partition key, for pruning
create or replace view features as
select
    *
from read_parquet('{lake}/features/partition=*/features.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
