-- cross_validation: How the recipe of today forecasts on every path of the cross-validation.
-- grain: one row per (horizon, path); a file is sorted by (horizon, path)
-- columns:
--   recipe: as in models
--   horizon: bars
--   path: from 0
--   rows: settled events with a probability
--   brier_ratio: under 1: better than the base rate (nullable)
--   auc (nullable)
--   calibration_error (nullable)
--   taken: events with at least model.threshold
--   mean_return: of those, before costs (nullable)
--   sharpe: annualised, of their sum by day, before costs (nullable)
--   partition: the lake's partition key, for pruning
create or replace view cross_validation as
select
    "recipe",
    "horizon",
    "path",
    "rows",
    "brier_ratio",
    "auc",
    "calibration_error",
    "taken",
    "mean_return",
    "sharpe",
    partition
from read_parquet('{lake}/cross_validation/partition=*/cross_validation.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
