-- Regular bars that the calendar expects, by symbol: how many are there, how many are not, and what those probably are; the longest run beside them.
with there as (
    select symbol, count(*) as sessions, sum(regular_bars) as present from daily_summary group by symbol
),
absent as (
    select
        symbol,
        sum(bars) as absent,
        coalesce(sum(bars) filter (kind = 'missing'), 0) as missing,
        coalesce(sum(bars) filter (kind = 'halt'), 0) as halt,
        coalesce(sum(bars) filter (kind = 'no_trade'), 0) as no_trade,
        coalesce(sum(bars) filter (kind = 'unknown'), 0) as unknown,
        max(bars) as longest,
        arg_max(first_missing, (bars, first_missing)) as longest_from
    from gaps
    group by symbol
)
select
    symbol,
    coalesce(there.sessions, 0) as sessions,
    coalesce(there.present, 0) + coalesce(absent.absent, 0) as expected,
    coalesce(there.present, 0) as present,
    coalesce(absent.missing, 0) as missing,
    coalesce(absent.halt, 0) as halt,
    coalesce(absent.no_trade, 0) as no_trade,
    coalesce(absent.unknown, 0) as unknown,
    absent.longest,
    absent.longest_from
from there
full join absent using (symbol)
order by missing desc, unknown desc, symbol;
