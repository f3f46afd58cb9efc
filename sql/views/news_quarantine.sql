-- news_quarantine: One row per row of news that is not in news; one without a time in the market's dates stands in the last period.
-- grain: rows as they came; a file is sorted by (origin, row, rule)
-- columns:
--   symbol (nullable)
--   published_at (nullable)
--   headline: its beginning (nullable)
--   source
--   origin: file it came from (nullable)
--   row: line or row number there, from 1 (nullable)
--   rule: name of the rule it broke
--   reason: what was found, what was expected, the cure
--   partition: the lake's partition key, for pruning
create or replace view news_quarantine as
select
    "symbol",
    "published_at",
    "headline",
    "source",
    "origin",
    "row",
    "rule",
    "reason",
    partition
from read_parquet('{lake}/news_quarantine/partition=*/news_quarantine.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
