-- asset: bars, blocking
-- One bar a symbol and timestamp across all periods.
select symbol, timestamp, count(*) as copies
from bars
group by symbol, timestamp
having count(*) > 1
order by symbol, timestamp;
