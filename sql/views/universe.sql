-- universe: Who was listed, as known then.
-- grain: one row per (date, symbol), in that order
-- columns:
--   date
--   symbol
--   listed (nullable)
--   delisted (nullable)
--   float: shares (nullable)
--   market_cap: currency (nullable)
--   sector (nullable)
--   partition: the lake's partition key, for pruning
create or replace view universe as
select
    "date",
    symbol,
    listed,
    delisted,
    "float",
    market_cap,
    sector,
    partition
from read_parquet('{lake}/universe/*/*.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true)
order by date, symbol;
