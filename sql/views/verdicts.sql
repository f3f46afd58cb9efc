-- verdicts: Blocking checks that failed and have not passed since: nothing is made of such a partition until it is repaired or waived.
-- grain: one row per (asset, period, check_name); a file is sorted by (asset, period, check_name)
-- columns:
--   asset
--   period: partition of the asset; all: every one
--   check_name
--   judged_at: when it failed
--   content_hash: of the partition that was judged (nullable)
--   offending_rows
--   finding: the first of them in words
--   waived_at (nullable)
--   waived_why (nullable)
--   partition: the lake's partition key, for pruning
create or replace view verdicts as
select
    "asset",
    "period",
    "check_name",
    "judged_at",
    "content_hash",
    "offending_rows",
    "finding",
    "waived_at",
    "waived_why",
    partition
from read_parquet('{lake}/verdicts/partition=*/verdicts.parquet', hive_partitioning = true, hive_types = {'partition': varchar}, union_by_name = true);
