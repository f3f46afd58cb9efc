-- listings: Which security traded under which symbol from when to when, one row a version: what was learned of an end is a new row.
-- grain: one row per (security_id, symbol, valid_from, known); a file is sorted by (security_id, symbol, valid_from, known)
-- columns:
--   security_id: the same through changes of symbol
--   symbol
--   valid_from: first day under this symbol; null: before anything is known (nullable)
--   valid_to: first day no longer; null: still valid, as known then (nullable)
--   listed: as the source states it (nullable)
--   delisted: first day without trading (nullable)
--   successor: symbol that it continued under (nullable)
--   recovery: cash per share that a delisting paid; null: not stated (nullable)
--   reason: listed, appeared, known, symbol_change or delisting
--   source: where it was learned from
--   known: from which this version was known, before the open
--   partition: the lake's partition key, for pruning
create or replace view listings as
select
    "security_id",
    "symbol",
    "valid_from",
    "valid_to",
    "listed",
    "delisted",
    "successor",
    "recovery",
    "reason",
    "source",
    "known",
    partition
from read_parquet('{lake}/listings/partition=*/listings.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
