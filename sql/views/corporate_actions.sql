-- corporate_actions: Splits and cash dividends by ex-date.
-- grain: one row per (symbol, date, kind); a file is sorted by (symbol, date, kind)
-- columns:
--   symbol
--   date: ex-date
--   kind: split or dividend
--   value: new shares per old share; cash per share
--   partition: the lake's partition key, for pruning
create or replace view corporate_actions as
select
    "symbol",
    "date",
    "kind",
    "value",
    partition
from read_parquet('{lake}/corporate_actions/partition=*/corporate_actions.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
