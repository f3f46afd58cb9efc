-- asset: trade_ticks, blocking
-- Every trade received was kept, quarantined or merged into an equal one: offending are days and symbols whose tables do not hold what was counted.
with counted as (
    select right(partition, 10) as day, symbol, received, kept, quarantined, merged from tick_counts where timeframe = 'trade'
),
held as (
    select coalesce(kept.day, refused.day) as day, coalesce(kept.symbol, refused.symbol) as symbol, coalesce(kept.n, 0) as kept, coalesce(refused.n, 0) as quarantined
    from (select partition as day, symbol, count(*) as n from trade_ticks group by all) as kept
    full join (select right(partition, 10) as day, symbol, count(*) as n from quarantine where timeframe = 'trade' group by all) as refused
        on kept.day = refused.day and kept.symbol = refused.symbol
)
select coalesce(counted.day, held.day) as day, coalesce(counted.symbol, held.symbol) as symbol, counted.received, held.kept, held.quarantined, counted.merged
from counted
full join held on counted.day = held.day and counted.symbol = held.symbol
where coalesce(counted.received, -1) <> coalesce(held.kept, 0) + coalesce(held.quarantined, 0) + coalesce(counted.merged, 0)
    or coalesce(counted.kept, 0) <> coalesce(held.kept, 0)
    or coalesce(counted.quarantined, 0) <> coalesce(held.quarantined, 0)
order by day, symbol;
