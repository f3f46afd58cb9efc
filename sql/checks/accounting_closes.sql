-- asset: bars, blocking
-- Every raw row is either a bar or in quarantine: offending periods are those where the counts do not add up.
with counts as (
    select partition, count(*) as raw_rows, 0 as bar_rows, 0 as quarantined from raw_bars group by partition
    union all
    select partition, 0, count(*), 0 from bars group by partition
    union all
    select partition, 0, 0, count(*) from quarantine where timeframe not in ('quote', 'trade') group by partition
)
select partition, sum(raw_rows) as raw_rows, sum(bar_rows) as bar_rows, sum(quarantined) as quarantined
from counts
where partition in (select partition from bars union select partition from quarantine where timeframe not in ('quote', 'trade'))
group by partition
having sum(raw_rows) <> sum(bar_rows) + sum(quarantined)
order by partition;
