-- session_events: Everything that happened, in order; the intent is written before submitted.
-- grain: one row per (session_id, sequence); a file is sorted by (session_id, sequence)
-- columns:
--   session_id
--   date: trading day
--   sequence
--   kind
--   timestamp: when it happened
--   known_at: when we knew
--   client_order_id (nullable)
--   symbol (nullable)
--   detail: JSON
--   partition: the lake's partition key, for pruning
create or replace view session_events as
select
    "session_id",
    "date",
    "sequence",
    "kind",
    "timestamp",
    "known_at",
    "client_order_id",
    "symbol",
    "detail",
    partition
from read_parquet('{lake}/session_events/partition=*/session_events.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
