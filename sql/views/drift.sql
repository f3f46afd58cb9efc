-- drift: How far each period's inputs and probabilities were from those of the training before it.
-- grain: one row per (horizon, period, measure); a file is sorted by (horizon, period, measure)
-- columns:
--   period
--   horizon: bars
--   model_id
--   measure: name of an input, probability, or calibration
--   rows: events of the period
--   value: stability index; of calibration Spiegelhalter's normal statistic (nullable)
--   threshold: what chance alone reaches once in a hundred (nullable)
--   drifted: beyond the threshold and, of an index, beyond 0.25
--   partition: the lake's partition key, for pruning
create or replace view drift as
select
    "period",
    "horizon",
    "model_id",
    "measure",
    "rows",
    "value",
    "threshold",
    "drifted",
    partition
from read_parquet('{lake}/drift/partition=*/drift.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
