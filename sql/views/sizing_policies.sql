-- sizing_policies: What each multiplier of the position is worth by the learned policy of size (risk.sizing = bandit), period by period; null weights: too little was settled.
-- grain: one row per (period, multiplier); a file is sorted by (period, multiplier)
-- columns:
--   period: retraining period in which it is in force
--   since: first date of that period
--   multiplier: part of the volatility target
--   trades: settled trades learned from, all before the period
--   constant: weight (nullable)
--   edge: weight of the model's edge (nullable)
--   move: weight of the trade's deviation (nullable)
--   unrest: weight of the account's recent volatility (nullable)
--   drawdown: weight of the drawdown (nullable)
--   partition: the lake's partition key, for pruning
create or replace view sizing_policies as
select
    "period",
    "since",
    "multiplier",
    "trades",
    "constant",
    "edge",
    "move",
    "unrest",
    "drawdown",
    partition
from read_parquet('{lake}/sizing_policies/partition=*/sizing_policies.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
