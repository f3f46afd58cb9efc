-- equity: The portfolio at each bar's close; over quotes at the end of each minute.
-- grain: one row per (backtest_id, timestamp); a file is sorted by (backtest_id, timestamp)
-- columns:
--   backtest_id
--   timestamp: start of the bar, UTC
--   equity
--   cash
--   gross_exposure: currency
--   net_exposure: currency
--   drawdown: equity / peak - 1
--   partition: the lake's partition key, for pruning
create or replace view equity as
select
    "backtest_id",
    "timestamp",
    "equity",
    "cash",
    "gross_exposure",
    "net_exposure",
    "drawdown",
    partition
from read_parquet('{lake}/equity/partition=*/equity.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
