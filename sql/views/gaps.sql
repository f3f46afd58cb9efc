-- gaps: Regular bars that the calendar expects and the lake does not have, as runs within a session.
-- grain: one row per (symbol, date, first_missing); a file is sorted by (symbol, date, first_missing)
-- columns:
--   symbol
--   timeframe
--   date: exchange session
--   first_missing: start of the first absent bar
--   last_missing: start of the last absent bar
--   bars: absent bars in the run
--   session_bars: bars expected in the session
--   kind: missing, no_trade, halt or unknown
--   past_sessions: sessions with bars that the habit was learned from
--   usual_silence: share of absent bars at this time of day in past sessions (nullable)
--   neighbour_trades: trades in the thinner of the bars that touch the run, estimated from volume where not counted (nullable)
--   evidence: why it is of this kind
--   partition: the lake's partition key, for pruning
create or replace view gaps as
select
    "symbol",
    "timeframe",
    "date",
    "first_missing",
    "last_missing",
    "bars",
    "session_bars",
    "kind",
    "past_sessions",
    "usual_silence",
    "neighbour_trades",
    "evidence",
    partition
from read_parquet('{lake}/gaps/partition=*/gaps.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
