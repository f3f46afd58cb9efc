-- regimes: Market regime of each session, known at its close.
-- grain: one row per (timestamp); a file is sorted by (timestamp)
-- columns:
--   timestamp: start of the bar, UTC
--   known_at: the session's close
--   trend: bull or bear (nullable)
--   volatility: low or high (nullable)
--   index_level: benchmark, adjusted, 1.0 at its start
--   trend_average: moving average of index_level (nullable)
--   realised_volatility: annualised (nullable)
--   volatility_median: trailing median of realised_volatility (nullable)
--   hidden_state: calm or turbulent: the likelier one of two (nullable)
--   turbulent_probability: filtered, of the turbulent state; fitted to earlier years (nullable)
--   partition: the lake's partition key, for pruning
create or replace view regimes as
select
    "timestamp",
    "known_at",
    "trend",
    "volatility",
    "index_level",
    "trend_average",
    "realised_volatility",
    "volatility_median",
    "hidden_state",
    "turbulent_probability",
    partition
from read_parquet('{lake}/regimes/partition=*/regimes.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
