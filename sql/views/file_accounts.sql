-- file_accounts: How many rows of each file a period received when it was last read: what no period received lies outside the market's range.
-- grain: one row per (reading, origin); a file is sorted by (reading, origin)
-- columns:
--   reading: which files were there and how they were read, as a hash
--   origin: the file
--   rows: rows in the file, unreadable ones included
--   first: earliest readable time in the file (nullable)
--   last: latest readable time in the file (nullable)
--   received: rows that this period received
--   read_from: start of what was read for this period
--   read_to: exclusive end of it
--   partition: the lake's partition key, for pruning
create or replace view file_accounts as
select
    "reading",
    "origin",
    "rows",
    "first",
    "last",
    "received",
    "read_from",
    "read_to",
    partition
from read_parquet('{lake}/file_accounts/partition=*/file_accounts.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
