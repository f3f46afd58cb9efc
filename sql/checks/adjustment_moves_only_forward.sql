-- asset: bars
-- The adjustment factor changes only on the ex-date of a corporate action; anything else would rewrite the past.
with steps as (
    select
        symbol,
        date,
        adjustment_factor,
        lag(adjustment_factor) over (partition by symbol order by date) as earlier_factor,
        lag(date) over (partition by symbol order by date) as earlier_date
    from daily_summary
)
select steps.symbol, steps.date, steps.earlier_factor, steps.adjustment_factor
from steps
where
    steps.adjustment_factor <> steps.earlier_factor
    and not exists (
        select 1
        from corporate_actions as action
        where action.symbol = steps.symbol and action.date > steps.earlier_date and action.date <= steps.date
    )
order by steps.symbol, steps.date;
