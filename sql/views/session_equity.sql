-- session_equity: The live portfolio at each bar's close.
-- grain: one row per (session_id, timestamp); a file is sorted by (session_id, timestamp)
-- columns:
--   session_id
--   date: trading day
--   timestamp: start of the bar, UTC
--   equity
--   cash
--   gross_exposure: currency
--   net_exposure: currency
--   drawdown: equity / peak - 1
--   partition: the lake's partition key, for pruning
create or replace view session_equity as
select
    "session_id",
    "date",
    "timestamp",
    "equity",
    "cash",
    "gross_exposure",
    "net_exposure",
    "drawdown",
    partition
from read_parquet('{lake}/session_equity/partition=*/session_equity.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
