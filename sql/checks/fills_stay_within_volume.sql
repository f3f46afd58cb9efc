-- asset: backtest
-- The fills of one bar never take more than the largest allowed part of its volume.
select fill.backtest_id, fill.symbol, fill.timestamp, sum(fill.quantity) as filled, max(bar.volume) as volume, max(run.participation) as participation
from fills as fill
inner join bars as bar on bar.symbol = fill.symbol and bar.timestamp = fill.timestamp
inner join backtests as run on run.backtest_id = fill.backtest_id
group by fill.backtest_id, fill.symbol, fill.timestamp, fill.side
having sum(fill.quantity) > max(run.participation) * max(bar.volume) + 1e-9
order by fill.backtest_id, fill.symbol, fill.timestamp;
