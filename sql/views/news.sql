-- news: Headlines of a symbol, each once. It may be used by what is decided after known_at.
-- grain: one row per (symbol, known_at, published_at, headline); a file is sorted by (symbol, known_at, published_at, headline)
-- columns:
--   symbol
--   published_at: as the supplier says, UTC
--   headline
--   known_at: when it could be acted upon: received, else published and news.delay_seconds
--   received_at: when the supplier delivered it, where a file says so (nullable)
--   source
--   origin: file it came from (nullable)
--   row: line or row number there, from 1 (nullable)
--   ingested_at: when it was learned
--   partition: the lake's partition key, for pruning
create or replace view news as
select
    "symbol",
    "published_at",
    "headline",
    "known_at",
    "received_at",
    "source",
    "origin",
    "row",
    "ingested_at",
    partition
from read_parquet('{lake}/news/partition=*/news.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
