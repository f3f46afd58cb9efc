-- From a trade back to the bar that signalled it and every raw row behind that bar, with file and line (--set trade=ID; default: all trades).
with raw as (
    select
        told.*,
        -- the sound version learned last is the bar: of the rows that say what the bar says, the last one
        bar.symbol is not null
        and row_number() over (
            partition by told.symbol, told.timestamp, bar.symbol is not null order by told.ingested_at desc, told.origin, told."row"
        ) = 1 as became_the_bar
    from raw_bars as told
    left join bars as bar
        on bar.symbol = told.symbol
        and bar.timestamp = told.timestamp
        and bar.open = told.open
        and bar.high = told.high
        and bar.low = told.low
        and bar.close = told.close
        and bar.volume = told.volume
),
entered as (
    select fill.backtest_id, fill.symbol, fill.side, min(fill.timestamp) as first_fill, fill.order_id
    from fills as fill
    group by fill.backtest_id, fill.symbol, fill.side, fill.order_id
)
select
    trade.backtest_id,
    trade.trade_id,
    trade.symbol,
    trade.side,
    trade.entry_timestamp,
    trade.pnl,
    placed.order_id,
    placed.decided,
    placed.model_id,
    forecast.probability,
    bar.timestamp as bar,
    bar.close,
    raw.source,
    raw.origin,
    raw."row",
    raw.ingested_at,
    raw.close as raw_close,
    raw.became_the_bar
from trades as trade
inner join entered
    on entered.backtest_id = trade.backtest_id
    and entered.symbol = trade.symbol
    and entered.first_fill = trade.entry_timestamp
    and entered.side = case trade.side when 'long' then 'buy' else 'sell' end
inner join (select *, timestamp as decided from orders where parent_id is null) as placed
    on placed.backtest_id = entered.backtest_id and placed.order_id = entered.order_id
left join bars as bar on bar.symbol = placed.symbol and bar.timestamp = placed.signal_timestamp
left join raw on raw.symbol = bar.symbol and raw.timestamp = bar.timestamp
left join predictions as forecast on forecast.model_id = placed.model_id and forecast.symbol = placed.symbol and forecast.timestamp = placed.signal_timestamp
where getvariable('trade') is null or trade.trade_id = getvariable('trade')
order by trade.backtest_id, trade.trade_id, raw.ingested_at, raw.origin, raw."row";
