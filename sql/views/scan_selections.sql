-- scan_selections: The symbols a session watches.
-- grain: one row per (date, rank); a file is sorted by (date, rank)
-- columns:
--   date
--   as_of
--   rank
--   symbol
--   score
--   partition: the lake's partition key, for pruning
create or replace view scan_selections as
select
    "date",
    "as_of",
    "rank",
    "symbol",
    "score",
    partition
from read_parquet('{lake}/scan_selections/partition=*/scan_selections.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
