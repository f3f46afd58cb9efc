-- Sessions of securities through changes of symbol (--set security=FB, an id or any symbol it had; default: those that changed), under one id.
with spans as (
    select * from listings
    qualify row_number() over (partition by security_id, symbol, valid_from order by known desc) = 1
),
chosen as (
    select distinct security_id
    from spans
    where
        security_id = getvariable('security')
        or symbol = getvariable('security')
        or (getvariable('security') is null and reason = 'symbol_change')
),
days as (
    -- the listing that began last at or before the day is the one it belongs to
    select day.*, span.security_id, span.valid_to
    from daily_summary as day
    asof join (select *, coalesce(valid_from, date '0001-01-01') as begun from spans) as span on day.symbol = span.symbol and day.date >= span.begun
)
select security_id, symbol, date, "open", high, low, "close", volume, adjustment_factor
from days
where security_id in (select security_id from chosen) and (valid_to is null or date < valid_to)
order by security_id, date, symbol;
