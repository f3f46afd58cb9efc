-- exchange_sessions: When the market's exchange is open: one row a session of its calendar, whole from the first known to the last.
-- grain: one row per (date); a file is sorted by (date)
-- columns:
--   calendar: its name in market.calendar
--   time_zone: the exchange's clock
--   date: session date; a session that begins the evening before bears the date on which it ends
--   pre_open: start of extended hours before the open; the open where there are none
--   open: start of regular trading, UTC
--   close: end of regular trading; early on half-days
--   post_close: end of extended hours after the close
--   break_start: start of lunch, where there is one (nullable)
--   break_end: end of lunch (nullable)
--   partition: the lake's partition key, for pruning
create or replace view exchange_sessions as
select
    "calendar",
    "time_zone",
    "date",
    "pre_open",
    "open",
    "close",
    "post_close",
    "break_start",
    "break_end",
    partition
from read_parquet('{lake}/exchange_sessions/partition=*/exchange_sessions.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
