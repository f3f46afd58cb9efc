-- position_actions: What splits, dividends, delistings and changes of symbol did to the positions of a backtest.
-- grain: one row per (backtest_id, sequence); a file is sorted by (backtest_id, sequence)
-- columns:
--   backtest_id
--   sequence: order in which they happened, before the fills of the same timestamp; what met a symbol without a bar comes first
--   timestamp: start of the first bar that was met with it
--   symbol: before a change of symbol
--   date: of the action; of a presumed delisting the day before it was presumed
--   kind: split, dividend, delisting, symbol_change or presumed_delisted
--   value: new shares per old share; cash per share; price paid per share (nullable)
--   successor: symbol after a change (nullable)
--   quantity_before: signed shares
--   quantity_after: signed shares
--   cash: paid to us, cash in lieu of a split's fractions too; negative when we paid
--   strategy: whose it is: of a portfolio, one of its strategies (nullable)
--   partition: the lake's partition key, for pruning
create or replace view position_actions as
select
    "backtest_id",
    "sequence",
    "timestamp",
    "symbol",
    "date",
    "kind",
    "value",
    "successor",
    "quantity_before",
    "quantity_after",
    "cash",
    "strategy",
    partition
from read_parquet('{lake}/position_actions/partition=*/position_actions.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
