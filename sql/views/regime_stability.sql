-- regime_stability: How a strategy did in each regime.
-- grain: one row per (strategy, trend, volatility); a file is sorted by (strategy, trend, volatility)
-- columns:
--   strategy
--   trend
--   volatility
--   days
--   total_return
--   sharpe: annualised (nullable)
--   partition: the lake's partition key, for pruning
create or replace view regime_stability as
select
    "strategy",
    "trend",
    "volatility",
    "days",
    "total_return",
    "sharpe",
    partition
from read_parquet('{lake}/regime_stability/partition=*/regime_stability.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
