-- asset: backtest, blocking
-- No order fills before it was decided, and none is decided before its signal's bar is over.
select fill.backtest_id, fill.order_id, fill.timestamp as fill_bar, placed.timestamp as decided, placed.signal_timestamp
from fills as fill
inner join orders as placed on placed.backtest_id = fill.backtest_id and placed.order_id = fill.order_id
where
    (placed.kind = 'market' and fill.timestamp < placed.timestamp)
    or placed.timestamp <= placed.signal_timestamp
order by fill.backtest_id, fill.order_id;
