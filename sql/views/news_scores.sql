-- news_scores: The score of each headline by the words of its retraining period, which were learned from outcomes that were settled before that period began.
-- grain: one row per (symbol, known_at, published_at, headline); a file is sorted by (symbol, known_at, published_at, headline)
-- columns:
--   symbol
--   published_at: as the supplier says, UTC
--   headline
--   known_at: when it could be acted upon
--   period: retraining period that it belongs to
--   score: -1 to 1; null: too little was known to learn from (nullable)
--   partition: the lake's partition key, for pruning
create or replace view news_scores as
select
    "symbol",
    "published_at",
    "headline",
    "known_at",
    "period",
    "score",
    partition
from read_parquet('{lake}/news_scores/partition=*/news_scores.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
