-- asset: daily_summary
-- No symbol has bars before it listed or after it was delisted, by what is known of its listings; a symbol without any is not judged.
with latest as (
    select * from listings
    qualify row_number() over (partition by security_id, symbol, valid_from order by known desc) = 1
)
select day.symbol, min(day.date) as first, max(day.date) as last, count(*) as sessions, sum(day.bars) as bars
from daily_summary as day
where
    exists (select 1 from latest where latest.symbol = day.symbol)
    and not exists (
        select 1
        from latest
        where
            latest.symbol = day.symbol
            and (latest.valid_from is null or latest.valid_from <= day.date)
            and (latest.valid_to is null or latest.valid_to > day.date)
    )
group by day.symbol
order by day.symbol;
