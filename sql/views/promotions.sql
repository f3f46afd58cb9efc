-- promotions: Every decision of the gate, one row a rule.
-- grain: one row per (decided_at, model_id, rule); a file is sorted by (decided_at, model_id, rule)
-- columns:
--   model_id
--   decided_at
--   promoted
--   rule
--   measure (nullable)
--   threshold
--   passed
--   previous_model_id (nullable)
--   strategy: whose backtest was judged; null: not known (nullable)
--   recipe: of the model, as in models (nullable)
--   trial_id: of the backtest that was judged, as in trials; null: not known (nullable)
--   reason: why a person decided so; null: the gate decided (nullable)
--   partition: the lake's partition key, for pruning
create or replace view promotions as
select
    "model_id",
    "decided_at",
    "promoted",
    "rule",
    "measure",
    "threshold",
    "passed",
    "previous_model_id",
    "strategy",
    "recipe",
    "trial_id",
    "reason",
    partition
from read_parquet('{lake}/promotions/partition=*/promotions.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
