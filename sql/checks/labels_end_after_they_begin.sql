-- asset: labels
-- An outcome is known only after its event's bar, its entry and never before its entry bar is over.
select symbol, timestamp, horizon, entry_timestamp, end_timestamp
from labels
where entry_timestamp <= timestamp or end_timestamp <= entry_timestamp
order by symbol, timestamp, horizon;
