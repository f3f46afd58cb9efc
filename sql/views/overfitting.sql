-- overfitting: How likely luck and search made the result.
-- grain: one row per (strategy); a file is sorted by (strategy)
-- columns:
--   strategy
--   n_trials: configurations of every strategy ever tried in this lake
--   effective_trials: independent trials that are as lucky (nullable)
--   observations: days (nullable)
--   psr (nullable)
--   dsr (nullable)
--   pbo (nullable)
--   splits
--   spa_pvalue (nullable)
--   superior_trials: trials that beat doing nothing, at 5 % for all together (StepM) (nullable)
--   is_superior: whether the chosen configuration does (nullable)
--   min_track_record: days, with one more day of worst_loss (nullable)
--   worst_loss: fraction of equity, at the stops or seen in a day (nullable)
--   partition: the lake's partition key, for pruning
create or replace view overfitting as
select
    "strategy",
    "n_trials",
    "effective_trials",
    "observations",
    "psr",
    "dsr",
    "pbo",
    "splits",
    "spa_pvalue",
    "superior_trials",
    "is_superior",
    "min_track_record",
    "worst_loss",
    partition
from read_parquet('{lake}/overfitting/partition=*/overfitting.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
