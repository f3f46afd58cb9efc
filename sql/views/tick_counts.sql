-- tick_counts: What became of the quotes and trades received for a day: received = kept + quarantined + merged. Partitions quote-DAY and trade-DAY.
-- grain: one row per (timeframe, symbol); a file is sorted by (timeframe, symbol)
-- columns:
--   timeframe: quote or trade
--   symbol
--   received: rows
--   kept: rows in quote_ticks or trade_ticks
--   quarantined: rows in quarantine
--   merged: rows that another file had told already
--   partition: the lake's partition key, for pruning
create or replace view tick_counts as
select
    "timeframe",
    "symbol",
    "received",
    "kept",
    "quarantined",
    "merged",
    partition
from read_parquet('{lake}/tick_counts/partition=*/tick_counts.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
