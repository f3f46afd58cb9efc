-- monte_carlo: Final equity and drawdown of every resampled path.
-- grain: one row per (backtest_id, scenario, path); a file is sorted by (backtest_id, scenario, path)
-- columns:
--   backtest_id
--   scenario: none = undisturbed
--   method
--   path
--   final_equity
--   max_drawdown
--   miss_probability
--   slippage_bps
--   anomaly_probability
--   block: days of a block in the mean; 1: trades one by one
--   partition: the lake's partition key, for pruning
create or replace view monte_carlo as
select
    "backtest_id",
    "scenario",
    "method",
    "path",
    "final_equity",
    "max_drawdown",
    "miss_probability",
    "slippage_bps",
    "anomaly_probability",
    "block",
    partition
from read_parquet('{lake}/monte_carlo/partition=*/monte_carlo.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
