-- From a bar to what it led to: the orders signalled by it, their fills and round trips, in backtests and sessions (--set symbol=A, bar=2024-01-31T15:00Z).
with placed as (
    select backtest_id as run, order_id, symbol, signal_timestamp, timestamp as decided, side, status, model_id from orders where parent_id is null
    union all
    select session_id, order_id, symbol, signal_timestamp, timestamp, side, status, model_id from session_orders where parent_id is null
),
executed as (
    select run, order_id, min(timestamp) as first_fill, sum(quantity) as filled, sum(quantity * price) / sum(quantity) as average_price
    from (
        select backtest_id as run, order_id, timestamp, quantity, price from fills
        union all
        select placed.session_id, fill.order_id, fill.timestamp, fill.quantity, fill.price -- a later session may have filled it
        from session_fills as fill
        inner join session_orders as placed on placed.client_order_id = fill.client_order_id
    )
    group by run, order_id
)
select
    bar.symbol,
    bar.timestamp as bar,
    bar.close,
    placed.run,
    placed.order_id,
    placed.decided,
    placed.side,
    placed.status,
    placed.model_id,
    forecast.probability,
    executed.filled,
    executed.average_price,
    trade.trade_id,
    trade.exit_timestamp,
    trade.exit_reason,
    trade.pnl
from bars as bar
inner join placed on placed.symbol = bar.symbol and placed.signal_timestamp = bar.timestamp
left join predictions as forecast on forecast.model_id = placed.model_id and forecast.symbol = bar.symbol and forecast.timestamp = bar.timestamp
left join executed on executed.run = placed.run and executed.order_id = placed.order_id
left join trades as trade
    on trade.backtest_id = placed.run
    and trade.symbol = placed.symbol
    and trade.entry_timestamp = executed.first_fill
    and trade.side = case placed.side when 'buy' then 'long' else 'short' end
where
    (getvariable('symbol') is null or bar.symbol = getvariable('symbol'))
    and (getvariable('bar') is null or bar.timestamp = cast(getvariable('bar') as timestamptz))
order by bar.symbol, bar.timestamp, placed.run, placed.order_id;
