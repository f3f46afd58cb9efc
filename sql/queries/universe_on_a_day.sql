-- Who could be known and traded on a day (--set day=2024-01-31; default: the last one with bars), by what was known before its open.
with asked as (
    select coalesce(cast(getvariable('day') as date), (select max(date) from daily_summary)) as day
),
members as (
    select known.*
    from (
        select listing.*
        from listings as listing, asked
        where listing.known <= asked.day
        qualify row_number() over (partition by security_id, symbol, valid_from order by known desc) = 1
    ) as known, asked
    where (known.valid_from is null or known.valid_from <= asked.day) and (known.valid_to is null or known.valid_to > asked.day)
),
facts as (
    -- the latest facts of the security, whatever its symbol was; a source without ids goes on under the new symbol
    select member.symbol, member.security_id, fact.date, fact.listed, fact.shares, fact."float", fact.market_cap, fact.sector
    from members as member
    cross join asked
    inner join universe as fact
        on fact.date <= asked.day
        and (
            coalesce(fact.security_id, fact.symbol) = member.security_id
            or (fact.security_id is null and fact.symbol = member.symbol and (fact.date >= member.valid_from or fact.listed = member.valid_from))
        )
    qualify row_number() over (partition by member.symbol, member.security_id order by fact.date desc) = 1
)
select
    asked.day,
    members.symbol,
    members.security_id,
    coalesce(members.listed, facts.listed) as listed,
    facts.shares,
    facts."float",
    facts.market_cap,
    facts.sector
from members
cross join asked
left join facts on facts.symbol = members.symbol and facts.security_id = members.security_id
order by members.symbol, members.security_id;
