-- Annualised close-to-close volatility of adjusted prices by sector, as listed at the latest date known.
with returns as (
    select
        symbol,
        ln(close * adjustment_factor) - lag(ln(close * adjustment_factor)) over (partition by symbol order by date) as log_return
    from daily_summary
    where close is not null
),
sectors as (
    select symbol, sector from universe qualify row_number() over (partition by symbol order by date desc) = 1
)
select coalesce(sectors.sector, 'unknown') as sector, count(distinct returns.symbol) as symbols, stddev_samp(returns.log_return) * sqrt(252) as annual_volatility
from returns
left join sectors on sectors.symbol = returns.symbol
where returns.log_return is not null
group by 1
order by annual_volatility desc;
