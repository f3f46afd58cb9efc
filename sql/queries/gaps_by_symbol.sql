-- Regular bars that the calendar expects and the lake does not have, by symbol.
select
    symbol,
    count(*) as sessions,
    sum(expected_regular_bars) as expected,
    sum(regular_bars) as present,
    sum(greatest(expected_regular_bars - regular_bars, 0)) as missing
from daily_summary
group by symbol
order by missing desc, symbol;
