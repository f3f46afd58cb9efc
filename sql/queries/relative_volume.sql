-- Volume of a session against the mean of up to 20 sessions before it, in the shares of that day (--set day=2024-01-31; default: the last one with bars).
with asked as (
    select coalesce(cast(getvariable('day') as date), (select max(date) from daily_summary)) as day
),
past as (
    select
        today.symbol,
        earlier.date,
        -- after a 2-for-1 split an old volume counts twice
        earlier.volume * coalesce(
            (
                select product(split.value)
                from corporate_actions as split
                where split.symbol = earlier.symbol and split.kind = 'split' and split.date > earlier.date and split.date <= today.date
            ),
            1.0
        ) as volume
    from daily_summary as today
    inner join daily_summary as earlier on earlier.symbol = today.symbol and earlier.date < today.date
    where today.date = (select day from asked)
    qualify row_number() over (partition by today.symbol order by earlier.date desc) <= 20
),
usual as (
    select symbol, avg(volume) as usual_volume, count(*) as sessions from past group by symbol
)
select
    today.symbol,
    today.date,
    today.volume,
    usual.usual_volume,
    today.volume / nullif(usual.usual_volume, 0) as relative_volume,
    coalesce(usual.sessions, 0) as sessions
from daily_summary as today
left join usual on usual.symbol = today.symbol
where today.date = (select day from asked)
order by relative_volume desc nulls last, today.symbol;
