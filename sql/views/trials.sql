-- trials: Every configuration ever tried.
-- grain: one row per (trial_id); a file is sorted by (trial_id)
-- columns:
--   trial_id
--   strategy
--   parameters: JSON
--   evaluated_at
--   sharpe: annualised, as in backtests; null: it never traded (nullable)
--   observations: days
--   skew (nullable)
--   kurtosis (nullable)
--   configuration: hash of every setting behind the returns; null: not known (nullable)
--   partition: the lake's partition key, for pruning
create or replace view trials as
select
    "trial_id",
    "strategy",
    "parameters",
    "evaluated_at",
    "sharpe",
    "observations",
    "skew",
    "kurtosis",
    "configuration",
    partition
from read_parquet('{lake}/trials/partition=*/trials.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
