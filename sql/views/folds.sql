-- folds: What each walk-forward period was trained and tested on.
-- grain: one row per (horizon, period); a file is sorted by (horizon, period)
-- columns:
--   period
--   model_id: null: too little history (nullable)
--   horizon: bars
--   train_start (nullable)
--   train_end: no outcome later than this was used
--   train_last_end: latest label end used (nullable)
--   test_start
--   test_end
--   train_rows
--   test_rows
--   purged_rows
--   embargo: bars
--   partition: the lake's partition key, for pruning
create or replace view folds as
select
    "period",
    "model_id",
    "horizon",
    "train_start",
    "train_end",
    "train_last_end",
    "test_start",
    "test_end",
    "train_rows",
    "test_rows",
    "purged_rows",
    "embargo",
    partition
from read_parquet('{lake}/folds/partition=*/folds.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
