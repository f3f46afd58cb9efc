-- overfitting: How likely luck and search made the result.
-- grain: one row per (strategy); a file is sorted by (strategy)
-- columns:
--   strategy
--   n_trials
--   psr (nullable)
--   dsr (nullable)
--   pbo (nullable)
--   splits
--   spa_pvalue (nullable)
--   min_track_record: days (nullable)
--   partition: the lake's partition key, for pruning
create or replace view overfitting as
select
    "strategy",
    "n_trials",
    "psr",
    "dsr",
    "pbo",
    "splits",
    "spa_pvalue",
    "min_track_record",
    partition
from read_parquet('{lake}/overfitting/partition=*/overfitting.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
