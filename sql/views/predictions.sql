-- predictions: Out-of-sample probabilities of the primary signal being right.
-- grain: one row per (horizon, symbol, timestamp); a file is sorted by (horizon, symbol, timestamp)
-- columns:
--   model_id
--   period
--   horizon: bars
--   symbol
--   timestamp: start of the bar, UTC
--   probability: calibrated; null: the model cannot answer (nullable)
--   reason: why there is no probability (nullable)
--   recipe: of the model, as in models (nullable)
--   partition: the lake's partition key, for pruning
create or replace view predictions as
select
    "model_id",
    "period",
    "horizon",
    "symbol",
    "timestamp",
    "probability",
    "reason",
    "recipe",
    partition
from read_parquet('{lake}/predictions/partition=*/predictions.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
