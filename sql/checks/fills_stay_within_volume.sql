-- asset: backtest
-- The fills of one bar never take more than the largest allowed part of its volume, where volume binds:
-- not in a market without common volume (instruments.volume), nor at an empty bar when costs.zero_volume says that it fills.
select fill.backtest_id, fill.symbol, fill.timestamp, sum(fill.quantity) as filled, max(bar.volume) as volume, max(run.participation) as participation
from fills as fill
inner join bars as bar on bar.symbol = fill.symbol and bar.timestamp = fill.timestamp
inner join backtests as run on run.backtest_id = fill.backtest_id
asof left join instruments as terms on terms.symbol = fill.symbol and fill.timestamp >= terms.valid_from
where not (coalesce(terms.volume, 'traded') = 'indicative' and (bar.volume > 0 or coalesce(run.zero_volume, 'auto') <> 'refuse'))
    and not (coalesce(bar.volume, 0) = 0 and coalesce(run.zero_volume, 'auto') = 'fill')
group by fill.backtest_id, fill.symbol, fill.timestamp, fill.side
having sum(fill.quantity) > max(run.participation) * max(bar.volume) + 1e-9
order by fill.backtest_id, fill.symbol, fill.timestamp;
