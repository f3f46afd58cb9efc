-- bar_grid: Where bars of a timeframe start: as the settings say, or as the first bars of the lake showed.
-- grain: one row per (timeframe); a file is sorted by (timeframe)
-- columns:
--   timeframe
--   grid: clock, session, or minutes after midnight; see market.grid
--   evidence: what it was taken from
--   partition: the lake's partition key, for pruning
create or replace view bar_grid as
select
    "timeframe",
    "grid",
    "evidence",
    partition
from read_parquet('{lake}/bar_grid/partition=*/bar_grid.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
