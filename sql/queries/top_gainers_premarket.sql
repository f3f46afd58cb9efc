-- The largest premarket gap of each day, best three.
select date, symbol, price, previous_close, gap, premarket_volume, relative_volume
from scan_candidates
where gap is not null
qualify row_number() over (partition by date order by gap desc, symbol) <= 3
order by date, gap desc, symbol;
