-- trial_returns: Daily returns of every trial.
-- grain: one row per (trial_id, timestamp); a file is sorted by (trial_id, timestamp)
-- columns:
--   trial_id
--   timestamp: midnight UTC of the session
--   return
--   partition: the lake's partition key, for pruning
create or replace view trial_returns as
select
    "trial_id",
    "timestamp",
    "return",
    partition
from read_parquet('{lake}/trial_returns/partition=*/trial_returns.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
