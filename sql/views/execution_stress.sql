-- execution_stress: The backtest of a strategy run again with worse luck at the exchange, one row a draw.
-- grain: one row per (strategy, draw); a file is sorted by (strategy, draw)
-- columns:
--   strategy
--   draw
--   noise_seed: of execution_noise
--   latency_bars
--   reject_probability
--   late_bar_probability
--   dropped_bar_probability
--   cost_multiple: of half spread and fees
--   trades: closed
--   total_return
--   max_drawdown: <= 0
--   final_equity
--   partition: the lake's partition key, for pruning
create or replace view execution_stress as
select
    "strategy",
    "draw",
    "noise_seed",
    "latency_bars",
    "reject_probability",
    "late_bar_probability",
    "dropped_bar_probability",
    "cost_multiple",
    "trades",
    "total_return",
    "max_drawdown",
    "final_equity",
    partition
from read_parquet('{lake}/execution_stress/partition=*/execution_stress.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
