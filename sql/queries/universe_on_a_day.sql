-- Who could be known and traded on a day (--set day=2024-01-31; default: the last one with bars), by what was known before its open.
with asked as (
    select coalesce(cast(getvariable('day') as date), (select max(date) from daily_summary)) as day
),
known as (
    select listing.*
    from listings as listing, asked
    where listing.known <= asked.day
    qualify row_number() over (partition by security_id, symbol, valid_from order by known desc) = 1
),
facts as (
    select fact.*
    from universe as fact, asked
    where fact.date <= asked.day
    qualify row_number() over (partition by symbol, coalesce(security_id, symbol) order by date desc) = 1
)
select
    asked.day,
    known.symbol,
    known.security_id,
    coalesce(known.listed, facts.listed) as listed,
    facts.shares,
    facts."float",
    facts.market_cap,
    facts.sector
from known
cross join asked
left join facts on facts.symbol = known.symbol and coalesce(facts.security_id, facts.symbol) = known.security_id
where (known.valid_from is null or known.valid_from <= asked.day) and (known.valid_to is null or known.valid_to > asked.day)
order by known.symbol, known.security_id;
