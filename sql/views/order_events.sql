-- order_events: Every transition of every order of a backtest.
-- grain: one row per (backtest_id, order_id, sequence); a file is sorted by (backtest_id, order_id, sequence)
-- columns:
--   backtest_id
--   order_id
--   symbol
--   sequence: of the order's events, from 1
--   timestamp: start of the bar it happened in, or the moment itself
--   known_at: when it could be known
--   event: intent, approved, resized, queued, refused, submitted, accepted, triggered, adjusted (by a split; over quotes also a dividend), partially_filled, filled, canceled, expired, rejected; over quotes also cancel_requested
--   from_status: null: the order's first event (nullable)
--   to_status
--   quantity: of a fill its shares; of an intent what was wanted; of an adjustment the order's new total; of an end what was not filled; else what the order is for
--   price: of a fill; of a trigger the price that reached it; a level (nullable)
--   reason: of a verdict the limit; of an end why (nullable)
--   partition: the lake's partition key, for pruning
create or replace view order_events as
select
    "backtest_id",
    "order_id",
    "symbol",
    "sequence",
    "timestamp",
    "known_at",
    "event",
    "from_status",
    "to_status",
    "quantity",
    "price",
    "reason",
    partition
from read_parquet('{lake}/order_events/partition=*/order_events.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
