-- universe: Who was listed, as known then: a row holds from its date on until the security's next row.
-- grain: one row per (date, symbol, security_id); a file is sorted by (date, symbol, security_id)
-- columns:
--   date: from which it was known, before the open
--   symbol
--   security_id: the source's own id of the security behind the symbol; null where it has none (nullable)
--   listed (nullable)
--   delisted: first day without trading (nullable)
--   shares: shares outstanding (nullable)
--   float: shares (nullable)
--   market_cap: currency (nullable)
--   sector (nullable)
--   partition: the lake's partition key, for pruning
create or replace view universe as
select
    "date",
    "symbol",
    "security_id",
    "listed",
    "delisted",
    "shares",
    "float",
    "market_cap",
    "sector",
    partition
from read_parquet('{lake}/universe/partition=*/universe.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
