-- news_words: What each word or pair of words weighs in the scores of a retraining period; partition: the trading period in which that period begins.
-- grain: one row per (period, word); a file is sorted by (period, word)
-- columns:
--   period: retraining period whose headlines are scored by it
--   word
--   weight: log-odds of a rise
--   headlines: headlines with the word among those learned from
--   learned_from: headlines learned from
--   settled_by: every outcome learned from was settled by then
--   partition: the lake's partition key, for pruning
create or replace view news_words as
select
    "period",
    "word",
    "weight",
    "headlines",
    "learned_from",
    "settled_by",
    partition
from read_parquet('{lake}/news_words/partition=*/news_words.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
