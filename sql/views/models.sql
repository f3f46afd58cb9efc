-- models: Every trained model.
-- grain: one row per (model_id); a file is sorted by (model_id)
-- columns:
--   model_id
--   period
--   horizon: bars
--   forecaster
--   created_at
--   feature_set_hash
--   data_hash
--   code_version
--   parameters: JSON
--   metrics: JSON
--   artifact: file below the state folder
--   recipe: hash of how it was trained, but for the data; null: not known (nullable)
--   partition: the lake's partition key, for pruning
create or replace view models as
select
    "model_id",
    "period",
    "horizon",
    "forecaster",
    "created_at",
    "feature_set_hash",
    "data_hash",
    "code_version",
    "parameters",
    "metrics",
    "artifact",
    "recipe",
    partition
from read_parquet('{lake}/models/partition=*/models.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
