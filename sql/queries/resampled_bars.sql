-- Bars of an hour, made from the stored ones on the market's own grid: the macro bars_at takes any length, such as '15Min', '1Day' or '1Week'.
select *
from bars_at('1Hour')
order by symbol, timestamp, session;
