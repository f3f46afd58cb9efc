-- cost_calibration: Costs fitted to recorded fills of a venue, and measured from quotes.
-- grain: one row per (symbol, parameter, source); a file is sorted by (symbol, parameter, source)
-- columns:
--   symbol: *: all symbols together
--   parameter: half_spread_bps or impact_coefficient, as in the settings
--   source: fills or quotes
--   estimate
--   standard_error: null: held at 0, or too little to tell (nullable)
--   observations: orders in a bar, or quotes
--   first: of the observations
--   last
--   setting: line of the settings file that takes the estimate over
--   partition: the lake's partition key, for pruning
create or replace view cost_calibration as
select
    "symbol",
    "parameter",
    "source",
    "estimate",
    "standard_error",
    "observations",
    "first",
    "last",
    "setting",
    partition
from read_parquet('{lake}/cost_calibration/partition=*/cost_calibration.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
